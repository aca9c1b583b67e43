"""Typed answers on a page: a table of objects, fields that come while they stream, a row for each field of a vote."""

from __future__ import annotations

import json
from typing import Any

from browser import Lab, Notebook, contrasts
from display_samples import Page, record, static_html
from playwright.sync_api import Browser, expect
from test_saved_view import PAGE, opened

from parallm_magics.display import FieldTally, Tally, View

HOSTILE = '<img src=x onerror="window.hurt=1">'
INVOICE: dict[str, Any] = {
    "vendor": "Acme",
    "total": 12.5,
    "due": None,
    "tags": ["new", "late"],
    "lines": [{"item": "bolt", "price": 2.5}, {"item": "nut", "price": 1}],
    "address": {"street": "Main 1", "city": HOSTILE},
    "note": "word " * 40,
}


def objects(number: int) -> View:
    """A map of that many invoices."""
    told = (INVOICE | {"vendor": f"Acme {at}", "total": at * 1.5} for at in range(number))
    return View(
        title=f"{number} of {number} items succeeded",
        pattern="fanout",
        records=tuple(
            record(at, str(at + 1), text=json.dumps(each), value=each, key=at, item=f"Bill {at}")
            for at, each in enumerate(told)
        ),
    )


def voted() -> View:
    """A vote on four fields, of which two are decided."""

    def fell(name: str, counts: tuple[tuple[str, int], ...], winner: str | None) -> FieldTally:
        valid = sum(votes for _, votes in counts)
        status: Any = "decided" if winner else "tie"
        tally = Tally(counts, winner, status, valid, 5, abstained=5 - valid, agreement=0.6)
        return FieldTally(name, tally, winner)

    fields = (
        fell("vendor", (("Acme", 4), ("Akme", 1)), "Acme"),
        fell("due", (("June", 2), ("July", 2)), None),
        fell(
            "note",
            (("A long note that most of the voters have written. " * 3, 3),),
            "A long note that most of the voters have written.",
        ),
        fell("city", ((HOSTILE, 2), ("Ghent", 2)), None),
    )
    records = tuple(
        record(at, f"v{at + 1}", text="{}", value={"vendor": "Acme"}) for at in range(5)
    )
    return View(
        title="2 of 4 fields decided",
        pattern="vote",
        records=records,
        fields=fields,
        ballots=("valid",) * 5,
        tally=fields[0].tally,
    )


def test_a_table_of_objects_opens_to_all_of_their_fields(chromium: Browser) -> None:
    """A column a field; on a narrow page fewer, and the answer is in sight; what they hold is never run."""
    for width, columns in ((1200, ["vendor", "total", "due", "tags"]), (600, ["vendor", "total"])):
        page = opened(chromium, objects(3), width)
        table = page.locator("#run table").first
        wide = {
            name: table.locator("th", has_text=name).first.bounding_box()["width"]
            for name in columns
        }
        assert all(each > 20 for each in wide.values()), wide
        cells = table.locator("tbody tr").first.locator("td, th").all_inner_texts()
        assert "Acme 0" in [cell.strip() for cell in cells]
        opens = table.locator("summary").first
        box = opens.bounding_box()
        assert box["x"] < width
        opens.click()
        inside = table.locator("details").first
        expect(inside.get_by_role("rowheader", name="address")).to_be_visible()
        expect(inside.get_by_role("rowheader", name="nut")).to_be_visible()
        assert HOSTILE in inside.inner_text()
        assert page.locator("#run img").count() == 0
        assert page.evaluate("window.hurt") is None
        page.close()


def test_a_vote_on_objects_has_a_row_for_each_field(chromium: Browser) -> None:
    """With winner, votes and status in words; a click shows how the votes fell."""
    for width in (1200, 600, 490):
        page = opened(chromium, voted(), width)
        table = page.locator("#run table").first
        rows = [
            [cell.strip() for cell in row.locator("td, th").all_inner_texts()]
            for row in table.locator("> tbody > tr").all()
        ]
        assert [row[0] for row in rows] == ["vendor", "due", "note", "city"]
        assert [row[1] for row in rows][:2] == ["Acme", "none"]
        assert [row[3] for row in rows] == ["4 of 5", "2 of 5", "3 of 5", "2 of 5"]
        assert rows[1][4].startswith("tie: June or July")
        for head in table.locator("th[scope=col]").all():
            assert head.bounding_box()["height"] < 70, "no heading is broken within a word"
        expect(page.get_by_text("1 of 5")).to_be_hidden()
        table.locator("summary").first.click()
        expect(page.get_by_text("1 of 5")).to_be_visible()
        run = page.locator("#run").bounding_box()
        assert run["width"] <= width
        assert page.locator("#run img").count() == 0
        page.close()


def test_what_is_told_in_colours_is_told_in_words(chromium: Browser) -> None:
    """Every table has a caption, and each of its rows and columns a heading; texts can be read in the dark."""
    for view in (objects(3), voted()):
        page = chromium.new_page(viewport={"width": 900, "height": 900})
        dark = PAGE.replace("body{", "body{background:#111;color:#eee;")
        page.set_content(dark % static_html(view))
        assert page.locator("#run table:not(:has(> caption))").count() == 0
        assert page.locator("#run tbody > tr:not(:has(> th[scope=row]))").count() == 0
        assert page.locator("#run thead th:not([scope=col])").count() == 0
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert min(contrasts(page.locator("#run")).values()) >= 3
        page.close()
    assert "tie" in Page(static_html(voted())).text


SAYS = """import asyncio
from dataclasses import dataclass

@dataclass
class Invoice:
    vendor: str
    total: float
    due: str

def said(task, index):
    return '{"vendor": "Acme and sons", "total": 12.5, "due": "tomorrow at noon"}'
"""


def test_fields_come_while_an_answer_streams(lab: Lab, chromium: Browser) -> None:
    """A column a field from the start; what has come is seen before the answer is whole, and no JSON ever."""
    cell = (
        "%%fanout --schema Invoice --stream on -m said:?latency=4&scale=1\n"
        "%section a\nRead it.\n%section b\nRead that."
    )
    load = "%load_ext parallm_magics\n%parallm provider said --sim said"
    lab.write("streams.ipynb", [SAYS, load, cell])
    with_table = Notebook.open(chromium, lab, "streams.ipynb")
    with_table.run(0, 1)
    with_table.start(2)
    live = with_table.output(2).locator(".parallm-live")
    expect(live.locator("th", has_text="vendor").first).to_be_visible(timeout=30_000)
    assert live.locator("th", has_text="due").count() > 0
    expect(live.get_by_text("Acme and sons").first).to_be_visible(timeout=30_000)
    assert "{" not in live.inner_text()
    with_table.wait(2)
    shown = with_table.output(2).inner_text()
    with_table.close()
    lab.shut_down_kernels()
    assert "tomorrow at noon" in shown
    assert "{" not in shown
