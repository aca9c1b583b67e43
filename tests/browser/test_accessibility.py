"""What a screen reader, a keyboard and weak eyes meet: axe-core finds nothing in any view."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from browser import Lab, Notebook
from display_samples import GUARD, blocked, failed, fanout, record, static_html, vote
from hostile import hostile_report
from live_views import live_html
from playwright.sync_api import Browser, Page

from parallm_magics.core.tasks import Event
from parallm_magics.display import Board, SectionVote, Tally, html

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")

THEMES = {
    "light": ("#fff", "rgba(0,0,0,.87)", "#0d47a1"),
    "dark": ("#111", "rgba(255,255,255,.87)", "#64b5f6"),
}
"""Ground, text and links of JupyterLab's themes."""

LONG = """## Most serious

**Memory** is not [bounded](https://example.org), see `load`:

1. one
2. two

> so

```python
x = 1
```

| a | b |
|---|---|
| c | d |
"""


def live() -> str:
    """A table of workers of which some run, one is done and one has failed."""
    rows = [(f"s{at + 1}", "sim:m") for at in range(4)]
    board = Board(rows)
    for at in range(4):
        board.tell(Event("started", at, 0.0))
    board.tell(Event("ended", 0, 1.5, record=record(0, "s1")))
    board.tell(Event("ended", 1, 1.5, record=failed(1, "s2")))
    return live_html(board, 2.0)


def items(count: int) -> str:
    """A map over this many items."""
    found = [
        record(at, f"s{at}", text=LONG, key=f"k{at}", item=f"item {at}", value="yes")
        for at in range(count)
    ]
    return static_html(fanout(*found, title="40 of 40 succeeded"))


def sections() -> str:
    """A fan-out with a long answer, a failure, a vote and a synthesis."""
    votes = (record(3, "v", text="ANSWER: a", value="a"), record(4, "v", text="b", value="b"))
    tally = Tally((("a", 1), ("b", 1)), None, "tie", 2, 2, agreement=0.5, tied=("a", "b"))
    merged = record(GUARD, "synthesis", role="synthesis", text=LONG)
    return static_html(
        fanout(
            record(0, text=LONG),
            failed(1),
            record(2, text=LONG, thinking="Let me see. " * 20),
            *votes,
            extra=(merged,),
            text=LONG,
            text_title="Synthesis",
            notes=("mind this",),
            simulated=True,
            section_votes=(SectionVote("v", tally, votes),),
        )
    )


VIEWS: dict[str, Callable[[], str]] = {
    "fan-out": lambda: static_html(fanout(record(0, text=LONG), record(1, text=LONG))),
    "sections": sections,
    "tall": lambda: static_html(fanout(record(0, text="word\n" * 200), text="line\n" * 200)),
    "vote": lambda: static_html(vote()),
    "map": lambda: items(40),
    "study": lambda: html(hostile_report("some words")),
    "blocked": lambda: static_html(blocked()),
    "failures": lambda: static_html(replace(fanout(failed(0), failed(1)), title="0 of 2")),
    "live": live,
}


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Page:
    """A page with axe-core in it."""
    return chromium.new_page()


def findings(page: Page, drawn: str, theme: str) -> list[str]:
    """What axe-core has against the view, opened wherever it opens; an element each."""
    ground, words, links = THEMES[theme]
    style = f"background:{ground};color:{words};font:14px sans-serif"
    page.set_content(
        f'<!doctype html><html lang="en"><head><title>A notebook</title>'
        f"<style>a {{color: {links}}}</style></head>"
        f'<body style="{style}"><main><h1>A notebook</h1>{drawn}</main></body></html>'
    )
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]} {json.dumps(node.get('failureSummary', ''))[:300]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1200, 480])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(page: Page, view: str, width: int, theme: str) -> None:
    """Names, roles, tables, contrast and keyboard, in both themes, on wide and narrow pages."""
    page.set_viewport_size({"width": width, "height": 900})
    assert findings(page, VIEWS[view](), theme) == []


def test_a_fault_would_be_found(page: Page) -> None:
    """The check is not blind."""
    found = findings(page, '<p style="color:#ccc">faint</p><img src="x.png">', "light")
    assert {each.partition(":")[0] for each in found} >= {"color-contrast", "image-alt"}


LIVE = """
%%fanout -m sim:?latency=2
%section quick
Answer at once.
%section slow -m sim:?latency=4
Think.
%section slower -m sim:?latency=7
Think.
"""
RUN = ".parallm-run"
WATCH = """cell => {
    const heard = window.parallmHeard = [];
    const look = () => {
        const regions = cell.querySelectorAll('[role=status]');
        for (const region of regions)
            if (region.textContent && heard.at(-1) !== region.textContent) heard.push(region.textContent);
        window.parallmMost = Math.max(window.parallmMost ?? 0, regions.length);
    };
    new MutationObserver(look).observe(cell, {subtree: true, childList: true, characterData: true});
}"""


def test_a_screen_reader_hears_a_sentence_a_phase(lab: Lab, chromium: Browser) -> None:
    """From one polite region beside the live table; Cancel is the first stop of the Tab key."""
    lab.write("heard.ipynb", ["%load_ext parallm_magics", LIVE])
    notebook = Notebook.open(chromium, lab, "heard.ipynb")
    page = notebook.page
    notebook.run(0)
    notebook.cell(1).evaluate(WATCH)
    notebook.start(1)
    button = notebook.output(1).locator(".parallm-live button").first
    button.wait_for()
    page.evaluate(AXE)
    checked = page.evaluate("axe.run('.parallm-live', {resultTypes: ['violations']})")
    stops = page.evaluate(
        """() => [...document.querySelectorAll('.parallm-live :is(button, a, summary, [tabindex])')]
            .filter(each => each.tabIndex >= 0).map(each => each.textContent)"""
    )
    notebook.wait(1)
    heard, most = page.evaluate("[parallmHeard, parallmMost]")
    saved = page.evaluate(f"axe.run('{RUN}', {{resultTypes: ['violations']}})")
    notebook.close()
    lab.shut_down_kernels()
    assert heard == ["3 workers started.", "Half of 3 workers done.", "3 workers done."]
    assert most == 1
    assert stops[0] == "Cancel"
    assert [(each["id"], each["nodes"][0]["html"]) for each in checked["violations"]] == []
    assert [(each["id"], each["nodes"][0]["html"]) for each in saved["violations"]] == []
