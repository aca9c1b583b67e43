"""Batches as a page shows them: while they are under way, left, and collected; light and dark, wide and narrow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Lab, Notebook
from playwright.sync_api import Browser, expect
from provider import KEY, Loopback

LOAD = """
import os
os.environ |= {environment}
%load_ext parallm_magics
%parallm recordings answers-{theme}.jsonl
from parallm_magics.providers.anthropic_batches import AnthropicBatches
AnthropicBatches.limits = AnthropicBatches.limits._replace(requests=100)
docs = [f"document {{n}} {theme}" for n in range(250)]
"""
MAP = "%%fanout --each docs -m claude-haiku-5-5 --batch -o run\nRead {{item}}."
TEXT_FITS = """out => [...out.querySelectorAll('.widget-html')]
    .every(each => each.scrollWidth <= each.clientWidth + 1)"""
"""A table may scroll by itself; what stands above it may not be cut for that."""
READABLE = 4.5
"""WCAG 2's least contrast of normal text, level AA."""
PICTURES = os.environ.get("PARALLM_PICTURES", "")
"""Where pictures of the pages are kept; nowhere unless it is set."""


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A provider whose batches are under way until they are told to end."""
    with Loopback() as server:
        server.batches.seconds = None
        server.batches.patch = {"request_counts.succeeded": 30, "request_counts.errored": 2}
        yield server


def picture(notebook: Notebook, name: str) -> None:
    """Keep a picture of the page, where somebody wants to see it."""
    if PICTURES:
        notebook.page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_batch_is_watched_left_and_collected(
    lab: Lab, chromium: Browser, server: Loopback, theme: str
) -> None:
    """A row a batch while it is under way; "Leave" lets them go on; the cell run again has all answers."""
    environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
    load = LOAD.format(environment=environment, theme=theme)
    lab.theme(theme)
    lab.write(f"batch-{theme}.ipynb", [load, MAP, MAP, "%parallm batches"])
    notebook = Notebook.open(chromium, lab, f"batch-{theme}.ipynb")
    try:
        notebook.run(0)
        notebook.start(1)
        live = notebook.output(1)
        expect(live.locator(".widget-html table").first).to_contain_text("under way")
        expect(live).to_contain_text("msgbatch_000002")
        expect(live).to_contain_text("96 of 250 done")
        expect(live).to_contain_text("an interrupt leaves them")
        button = live.get_by_role("button", name="Leave")
        for width in (1200, 600):
            notebook.page.set_viewport_size({"width": width, "height": 900})
            expect(button).to_be_in_viewport()
            assert live.evaluate(TEXT_FITS), width
            picture(notebook, f"live-{theme}-{width}")
        notebook.page.set_viewport_size({"width": 1200, "height": 900})
        button.click()
        notebook.wait(1)
        expect(live).to_contain_text("0 of 250 workers were done, 250 go on in a batch")
        expect(live).to_contain_text("250 calls go on in 3 batches")
        expect(live).to_contain_text("0 of 250 items succeeded (250 in a batch)")
        picture(notebook, f"left-{theme}")
        server.batches.patch = {}
        server.batches.finish()
        notebook.run(2)
        result = notebook.output(2)
        expect(result).to_contain_text("250 of 250 items succeeded")
        expect(result).to_contain_text("in 3 batches")
        expect(result).not_to_contain_text("one by one")
        notebook.unfold()
        expect(result.get_by_text(re.compile("msgbatch_00000[012]"))).to_have_count(3)
        assert {t: r for t, r in notebook.contrasts(1, 2).items() if r < READABLE} == {}
        picture(notebook, f"done-{theme}")
        result.locator("summary", has_text="3 batches").scroll_into_view_if_needed()
        picture(notebook, f"rows-{theme}")
        notebook.run(3)
        expect(notebook.output(3)).to_contain_text("collected")
        picture(notebook, f"listed-{theme}")
    finally:
        notebook.close()
        lab.shut_down_kernels()
    assert len(server.batches.made) == 3
