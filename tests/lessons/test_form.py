"""Every lesson has the form that CONTRIBUTING describes."""

from __future__ import annotations

import re
from itertools import pairwise

import nbformat
import pytest
import student
from exercises import WRONG
from lesson_form import (
    RUNS,
    begins,
    code_cells,
    guesses,
    lessons,
    minutes,
    read,
    share_with_magics,
    tags,
    unfounded,
)
from mutations import MUTATIONS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

KNOWN_TAGS = {
    "figures",
    "exercise",
    "solution",
    "check",
    "hide-cell",
    "hide-input",
    "raises-exception",
}
BLOCKS = re.compile(r"[\u2580-\u259f]")


@pytest.mark.parametrize("name", lessons())
class TestLesson:
    """A lesson that has the form."""

    def test_it_begins_with_what_and_why(self, name: str) -> None:
        """A title, three sentences, and what the reader needs."""
        first = read(name).cells[0].source
        assert first.startswith("# ")
        assert "You need" in first
        found = re.search(r"\*\*What and why\.\*\*(.*?)(?:\n\n|$)", first, re.DOTALL)
        assert found is not None
        assert len(re.findall(r"[.!?](?=\s|$)", found[1])) == 3

    def test_it_takes_ten_to_fifteen_minutes(self, name: str) -> None:
        """To read, to guess, to run and to do the exercise."""
        assert 9.5 <= minutes(read(name)) < 15.5

    def test_two_thirds_of_its_cells_use_our_magics(self, name: str) -> None:
        """It is a course about them."""
        assert share_with_magics(read(name)) >= 2 / 3

    def test_a_question_stands_before_each_result(self, name: str) -> None:
        """Who has guessed first, remembers."""
        cells = read(name).cells
        silent = [
            cell.source.splitlines()[0]
            for before, cell in pairwise(cells)
            if cell.cell_type == "code" and begins(cell, *RUNS) and not without_guess(cell)
            if not (before.cell_type == "markdown" and guesses(before.source))
        ]
        assert not silent

    def test_every_number_of_its_text_is_computed(self, name: str) -> None:
        """What the text tells stands in a cell or in an output."""
        assert not unfounded(read(name))

    def test_nothing_is_left_to_write(self, name: str) -> None:
        """No mark stands where a text was to come."""
        for cell in read(name).cells:
            assert not re.search(r"@[A-Z]@|\b(TEXT\d|TODO|FIXME)\b", cell.source)

    def test_it_draws_no_charts_of_characters(self, name: str) -> None:
        """Neither does a cell hold such characters, nor does it print them."""
        for cell in code_cells(read(name)):
            assert not BLOCKS.search(cell.source)
            for output in cell.outputs:
                assert not BLOCKS.search(output.get("text", ""))

    def test_it_ends_with_one_exercise(self, name: str) -> None:
        """Task, solution, check and explanation, one after the other."""
        cells = read(name).cells
        parts = [student.part_of(cell) for cell in cells]
        assert [part for part in parts if part] == ["exercise", "check", "explanation"]
        at = parts.index("exercise")
        assert parts[at : at + 3] == ["exercise", "check", "explanation"]
        assert [cell.cell_type for cell in cells[at - 1 : at + 3]] == [
            "markdown",
            "code",
            "code",
            "markdown",
        ]
        assert re.search("^## Exercise", cells[at - 1].source, re.MULTILINE)
        assert cells[at + 2].source.startswith("<details><summary>Explanation</summary>\n\n")
        assert not code_cells(nbformat.from_dict({"cells": cells[at + 3 :]}))

    def test_its_exercise_is_marked(self, name: str) -> None:
        """`python notebooks/student.py --mark` would change nothing."""
        notebook = read(name)
        assert student.marked(notebook, name) == notebook

    def test_its_tags_are_known(self, name: str) -> None:
        """A misspelt tag would do nothing."""
        for cell in read(name).cells:
            unknown = {tag for tag in tags(cell) if not tag.startswith("nbval-")} - KNOWN_TAGS
            assert not unknown

    def test_enough_changes_of_it_are_tried(self, name: str) -> None:
        """Changes that must turn cells red, and wrong answers that its check must refuse."""
        assert len(MUTATIONS[name]) >= 5
        assert len(WRONG.get(name, ())) >= 3


def without_guess(cell: nbformat.NotebookNode) -> bool:
    """Whether a run needs no question before it: it shows no result, or belongs to the exercise."""
    quiet = re.search(r"--(dry-run|quiet)\b", cell.source)
    failed = "raises-exception" in tags(cell)
    return bool(quiet) or failed or student.part_of(cell) == "exercise"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("It was right on 69 % of them.", [], id="rounded"),
        pytest.param("It was right on 68 % of them.", ["68 %"], id="another percentage"),
        pytest.param("The interval: 0.38 to 0.96.", [], id="decimals"),
        pytest.param("Of 240 reviews, 37 failed.", ["37"], id="a whole number"),
        pytest.param("Five of 5, `--top 99`, [a](99.md).", [], id="small, code, a link"),
        pytest.param("1,200 tokens", [], id="thousands"),
        pytest.param("So.\n\n**Guess:** 12 or 13?", [], id="a question"),
    ],
)
def test_a_number_without_a_cell_is_found(text: str, found: list[str]) -> None:
    """The check of numbers sees what no cell shows, and only that."""
    output = new_output("stream", text="240 reviews: 68.9% [38% .. 96%], 1200 tokens")
    cells = [
        new_markdown_cell("# A title, 77 minutes"),
        new_markdown_cell(text),
        new_code_cell("x", outputs=[output]),
    ]
    assert unfounded(new_notebook(cells=cells)) == found
