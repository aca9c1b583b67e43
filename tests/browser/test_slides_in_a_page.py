"""The slides of a lesson in a real browser, with the real reveal.js, from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import slides
from lesson_form import lessons, read
from nbformat.v4 import new_markdown_cell, new_notebook
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.skipif(
    not slides.KEPT.exists(), reason="python notebooks/slides.py fetches reveal.js"
)
HERE = """[...Reveal.getCurrentSlide().querySelectorAll('.jp-Cell')].filter(cell => cell.checkVisibility())
    .map(cell => cell.innerText).join(' ')"""


def turned(page: Page) -> list[str]:
    """What stands on each slide, from the first to the last, and whether nothing reaches out of it."""
    told = []
    for _ in range(200):
        told.append(page.evaluate(HERE))
        box = page.evaluate("Reveal.getCurrentSlide().getBoundingClientRect().toJSON()")
        assert 0 <= box["left"] < box["right"] <= 1200
        assert 0 <= box["top"] < box["bottom"] <= 720
        before = page.evaluate("[Reveal.getIndices(), Reveal.getProgress()]")
        page.keyboard.press("Space")
        if page.evaluate("[Reveal.getIndices(), Reveal.getProgress()]") == before:
            return told
    raise AssertionError("the slides have no end")


@pytest.mark.parametrize("name", lessons())
def test_slides_can_be_turned_to_the_end(chromium: Browser, tmp_path: Path, name: str) -> None:
    """Every heading is seen; nothing is loaded, and nothing fails."""
    path = tmp_path / "lesson.html"
    path.write_text(slides.page(read(name), name, slides.reveal()), "utf-8")
    page = chromium.new_page(viewport={"width": 1200, "height": 720})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: problems.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("Reveal.isReady()")
    told = "\n".join(turned(page))
    assert problems == [path.as_uri()]
    for cell in read(name).cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("## "):
                assert line.strip("# ").replace("`", "") in told
    page.close()


def test_the_speaker_sees_the_notes(chromium: Browser, tmp_path: Path) -> None:
    """In a window of its own, which needs no server."""
    seen = "A sentence that everybody sees. Another one, which is long enough as well."
    text = new_markdown_cell(f"## A part\n\n{seen} Only for the speaker.")
    path = tmp_path / "lesson.html"
    html = slides.page(new_notebook(cells=[text]), "a lesson", slides.reveal())
    path.write_text(html, "utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.wait_for_function("Reveal.isReady()")
    expect(page.get_by_text("Only for the speaker.")).to_be_hidden()
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    expect(opened.value.get_by_text("Only for the speaker.")).to_be_visible(timeout=30_000)
    opened.value.close()
    page.close()
