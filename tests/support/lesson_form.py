"""What can be measured of a lesson: how long it takes, what its cells are, and which numbers its text tells.

python tests/support/lesson_form.py      a table of all lessons
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
OURS = ("%%fanout", "%%vote", "%parallm", "%load_ext parallm_magics", "%config ParallmMagics")
RUNS = ("%%fanout", "%%vote")
WORDS_A_MINUTE = 180
CELL_SECONDS = 10
"""To run a cell and to look at what it shows."""
GUESS_SECONDS = 15
EXERCISE_MINUTES = 3
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\([^)]*\)|https?://\S+|<[^>]+>")
NUMBER = re.compile(
    r"(?<![\w.,-])(?P<digits>\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?P<percent> ?%)?(?![\w-])"
)


class Number(NamedTuple):
    """A number as a text tells it; a percentage is divided by 100."""

    told: str
    value: Decimal
    places: int


def lessons() -> list[str]:
    """The names of all lessons, in order."""
    return [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


def read(name: str) -> Any:
    """A lesson."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def tags(cell: Any) -> Sequence[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", ()))


def code_cells(notebook: Any) -> list[Any]:
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def begins(cell: Any, *words: str) -> bool:
    """Whether a line of a code cell begins with one of these words."""
    return any(line.startswith(words) for line in cell.source.splitlines())


def share_with_magics(notebook: Any) -> float:
    """The share of the code cells that use our magics."""
    cells = code_cells(notebook)
    return sum(begins(cell, *OURS) for cell in cells) / len(cells)


def without_guess(text: str) -> str:
    """A text without its question to guess."""
    return text.rstrip().rpartition("\n\n")[0] if guesses(text) else text


def guesses(text: str) -> bool:
    """Whether the last paragraph of a text is a question to guess."""
    return text.rstrip().split("\n\n")[-1].startswith("**Guess:**")


def minutes(notebook: Any) -> float:
    """How long a lesson takes: to read it, to guess, to run its cells, and to do the exercise."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    words = sum(len(LINK.sub("] ", text).split()) for text in texts)
    seconds = CELL_SECONDS * len(code_cells(notebook)) + GUESS_SECONDS * sum(map(guesses, texts))
    return words / WORDS_A_MINUTE + seconds / 60 + EXERCISE_MINUTES


def told(text: str) -> Iterator[Number]:
    """The numbers of a text that somebody must have computed: from 10 on, with decimals, or in percent."""
    for found in NUMBER.finditer(LINK.sub("]", CODE.sub(" ", text))):
        number = number_of(found)
        if found["percent"] or "." in found["digits"] or number.value >= 10:
            yield number


def number_of(found: re.Match[str]) -> Number:
    """A number that was found."""
    value = Decimal(found["digits"].replace(",", ""))
    places = max(0, -int(value.as_tuple().exponent))
    if found["percent"]:
        return Number(found[0], value / 100, places + 2)
    return Number(found[0], value, places)


def shown(found: re.Match[str]) -> set[Decimal]:
    """The values of a number that a cell shows: "38 %" is 0.38, and may be told as "38 to 40 %"."""
    value = number_of(found).value
    return {value, value * 100} if found["percent"] else {value}


def texts_of(notebook: Any) -> Iterator[str]:
    """What the code cells of a lesson say: their sources, and their outputs as text."""
    for cell in code_cells(notebook):
        yield cell.source
        for output in cell.get("outputs", ()):
            yield output.get("text", "") or output.get("data", {}).get("text/plain", "")
            yield output.get("evalue", "")


def unfounded(notebook: Any) -> list[str]:
    """The numbers of a lesson's text that no cell of it holds or shows, not even with more decimals.

    The first text tells what the lesson needs, and a question to guess may offer numbers: these are no results.
    """
    there = {
        value
        for text in texts_of(notebook)
        for found in NUMBER.finditer(text)
        for value in shown(found)
    }
    return [
        number.told
        for cell in notebook.cells[1:]
        if cell.cell_type == "markdown"
        for number in told(without_guess(cell.source))
        if not any(rounds_to(value, number) for value in there)
    ]


def rounds_to(value: Decimal, number: Number) -> bool:
    """Whether a number of a cell is the one that is told; a whole number must be the same."""
    if not number.places:
        return value == number.value
    return abs(value - number.value) * 2 <= Decimal(1).scaleb(-number.places)


if __name__ == "__main__":
    from mutations import MUTATIONS

    print("| Lesson | Minutes | Code cells | With our magics | Mutations |")
    print("| --- | --- | --- | --- | --- |")
    for lesson in lessons():
        book = read(lesson)
        print(
            f"| {lesson} | {minutes(book):.0f} | {len(code_cells(book))} "
            f"| {share_with_magics(book):.0%} | {len(MUTATIONS[lesson])} |"
        )
        if missing := unfounded(book):
            print(f"{lesson} tells what none of its cells shows: {', '.join(missing)}")
