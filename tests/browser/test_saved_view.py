"""The saved view of a run on a page: how high it stands, and what of it a narrow page keeps."""

from __future__ import annotations

from typing import Any

import pytest
from display_samples import FOLLOW_UP, failed, fanout, record, static_html, vote
from playwright.sync_api import Browser

from parallm_magics.display import View

NAMES = "security correctness speed docs tests names errors types state config logging packaging"
LINE = "No path traversal check: the names of the archive are joined to the target as they are."
# What front ends say of tables, and what each of them says of the page.
PAGE = """<!doctype html><style>body{margin:0;font:13px/1.3 sans-serif}#run{font-size:14px}
#run td,#run th{padding:.5em;text-align:right;vertical-align:middle;white-space:normal;max-width:none}
</style><div id=run>%s</div>"""


def sections(number: int) -> View:
    """That many sections with answers of one line, and their synthesis."""
    workers = [
        record(at, name, text=LINE, start=0.1 * at, model=f"anthropic:claude-haiku-5-{at % 2}")
        for at, name in enumerate(NAMES.split()[:number])
    ]
    merged = record(FOLLOW_UP, "synthesis", role="synthesis", text=LINE + LINE, start=3.0)
    return fanout(*workers, extra=(merged,), text=merged.text, text_title="Synthesis")


def items(number: int) -> View:
    """A map of that many, one of them without an answer."""
    asked: dict[str, Any] = {"value": "late", "text": "ANSWER: late, as it has not come."}
    told = [
        {"key": str(at + 1), "item": f"Ticket {at}: where is the parcel that I ordered in May?"}
        for at in range(number)
    ]
    return fanout(
        *(record(at, str(at + 1), **asked, **told[at]) for at in range(number - 1)),
        failed(number - 1, str(number), **told[-1]),
        counts=(("", (("late", number - 1), ("lost", 0))),),
    )


def opened(chromium: Browser, view: View, width: int) -> Any:
    """The run on a page of that many pixels."""
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.set_content(PAGE % static_html(view))
    return page


@pytest.mark.parametrize(
    ("view", "most"),
    [
        pytest.param(sections(4), 360, id="4 sections"),
        pytest.param(sections(12), 700, id="12 sections"),
        pytest.param(vote(), 360, id="a vote"),
        pytest.param(items(200), 900, id="200 items"),
    ],
)
def test_a_run_is_no_higher_than_a_screen(chromium: Browser, view: View, most: int) -> None:
    """On a page of 1,200 pixels."""
    page = opened(chromium, view, 1200)
    height = page.locator("#run").evaluate("run => run.getBoundingClientRect().height")
    page.close()
    assert height <= most


@pytest.mark.parametrize("view", [sections(12), items(40)], ids=["sections", "items"])
def test_the_answer_stays_in_sight_on_a_narrow_page(chromium: Browser, view: View) -> None:
    """Of 600 pixels: columns of less weight give way to it. On a wide one all are there."""
    found = {}
    for width in (1200, 600):
        page = opened(chromium, view, width)
        heads = page.locator("#run thead").first.locator("th")
        found[width] = {
            head.inner_text().split(" (")[0]: head.evaluate(
                "head => [...head.querySelectorAll('bdi'), head].map(e => e.getBoundingClientRect())"
                ".map(box => [box.left, box.width])[0]"
            )
            for head in heads.all()
        }
        page.close()
    left, wide = found[600]["Answer"]
    assert wide >= 120
    assert left + wide <= 600
    assert found[600]["Tokens"][1] < 1
    assert found[1200]["Tokens"][1] > 20


def test_a_very_narrow_page_scrolls_the_table_alone(chromium: Browser) -> None:
    """Of 244 pixels, as beside a side bar: the page itself stays as wide as it is."""
    page = opened(chromium, sections(4), 244)
    assert page.evaluate("document.documentElement.scrollWidth") <= 244
    around = page.locator("#run table").first.locator("xpath=..")
    assert around.evaluate("box => box.scrollWidth > box.clientWidth")
    page.close()


def test_an_answer_opens_below_its_line(chromium: Browser) -> None:
    """By a click or by the keyboard; the row grows, and the columns stay where they are."""
    page = opened(chromium, fanout(record(0, text=f"{LINE}\n\n{LINE}"), text="x"), 1200)
    row = page.locator("#run tbody tr").first
    before = row.bounding_box()
    columns = "rows => [...rows[0].cells].map(cell => cell.getBoundingClientRect().left)"
    places = page.locator("#run thead tr").evaluate_all(columns)
    page.locator("#run summary").focus()
    page.keyboard.press("Enter")
    assert row.bounding_box()["height"] > 2 * before["height"]
    assert page.locator("#run thead tr").evaluate_all(columns) == places
    page.close()
