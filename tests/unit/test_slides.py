"""Slides ask before they tell, lose nothing of a lesson, and load nothing from a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import slides
from lesson_form import lessons, read
from make import Page
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

RUN = "%%vote -n 3 --choices a,b\nWhich?"
LONG = "This is a sentence that is long enough to stand on a slide for itself."
LESSON = new_notebook(
    cells=[
        new_markdown_cell(f"# A lesson\n\n{LONG} Two. Three.\n\nYou need nothing."),
        new_markdown_cell(f"## A part\n\n{LONG} Second. Third.\n\n**Guess:** Who wins?"),
        new_code_cell(RUN, outputs=[new_output("stream", text="a wins")]),
        new_markdown_cell(f"[A](01_quickstart.ipynb#a) {LONG} See [more](../docs/votes.md)."),
        new_markdown_cell("## Exercise\n\nDo it. Do it well. Do it now.\n\nAnd say why."),
        new_code_cell("### BEGIN SOLUTION\nx = 1", metadata={"tags": ["exercise", "solution"]}),
        new_code_cell("assert True", metadata={"tags": ["check"]}),
        new_markdown_cell(
            "<details><summary>Explanation</summary>\n\nSo.\n\n</details>",
            metadata={"tags": ["solution"]},
        ),
    ]
)


def kinds(notebook: Any) -> list[tuple[str, str]]:
    """The first words of each piece, and its place."""
    return [
        (cell.source.splitlines()[0], cell.metadata.slideshow.slide_type)
        for cell in slides.slides_of(notebook).cells
    ]


def test_a_question_stands_beside_its_cell_and_the_result_on_the_next_slide() -> None:
    """The class guesses before it sees."""
    cells = slides.slides_of(LESSON).cells
    at = next(i for i, cell in enumerate(cells) if cell.source.startswith("**Guess:**"))
    asked, result = cells[at - 1], cells[at + 1]
    assert (asked.source, asked.outputs) == (RUN, [])
    assert cells[at].metadata.slideshow.slide_type == "-"
    assert result.outputs
    assert result.metadata.slideshow.slide_type == "subslide"
    assert result.metadata.tags == ["without-source"]


def test_the_speaker_reads_what_does_not_stand_on_a_slide() -> None:
    """A slide has the first sentences, the notes have the others; a task is shown whole."""
    assert kinds(LESSON) == [
        ("# A lesson", "slide"),
        ("Three.", "notes"),
        ("## A part", "slide"),
        ("Third.", "notes"),
        ("%%vote -n 3 --choices a,b", "-"),
        ("**Guess:** Who wins?", "-"),
        ("%%vote -n 3 --choices a,b", "subslide"),
        (f"[A](01_quickstart.slides.html) {LONG}", "fragment"),
        ("See more.", "notes"),
        ("## Exercise", "slide"),
        ("x = 1", "subslide"),
        ("So.", "fragment"),
    ]


def test_long_python_is_for_the_speaker() -> None:
    """A slide shows what came of it; a prompt is always shown."""
    output = new_output("stream", text="a")
    helper = new_code_cell("x = 1\n" * 20, outputs=[output])
    prompt = new_code_cell("%%fanout\n" + "Read.\n" * 20, outputs=[output])
    result, python, asked = slides.slides_of(new_notebook(cells=[helper, prompt])).cells
    assert result.metadata.tags == ["without-source"]
    assert python.metadata.slideshow.slide_type == "notes"
    assert asked.outputs
    assert not asked.metadata.tags


def test_a_short_sentence_takes_another_with_it() -> None:
    """It would tell nobody why."""
    assert slides.opening("London! Why? Nobody knows.", 1) == ("London! Why?", "Nobody knows.")
    assert slides.opening(f"{LONG} So.", 1) == (LONG, "So.")


@pytest.mark.parametrize("name", lessons())
def test_nothing_of_a_lesson_is_lost(name: str) -> None:
    """Every word of its text stands on a slide or in the notes."""
    pieces = slides.slides_of(read(name)).cells
    told = " ".join(cell.source for cell in pieces if cell.cell_type == "markdown")
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            text = slides.linked(slides.unfolded(cell.source))
            assert not set(re.findall(r"\w+", text)) - set(re.findall(r"\w+", told))


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    """Everything stands in the file; a link leads to the slides of another lesson or nowhere."""
    path = tmp_path / "page.html"
    path.write_text(slides.page(LESSON, "a lesson", dict.fromkeys(slides.PARTS, "")), "utf-8")
    page = Page(path)
    assert not page.loaded
    assert {link for link in page.links if not link.startswith("#")} == {
        "01_quickstart.slides.html"
    }
    assert "a wins" in path.read_text("utf-8")
