"""What is typed key by key in JupyterLab and Notebook 7 means what is pasted."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from browser import Lab, Notebook
from paths import PROJECT
from playwright.sync_api import Browser

from parallm_magics.cell.blocks import Cell, Text, parse
from parallm_magics.cell.directives import head

LESSONS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
_NUMBERS = itertools.count()
SETTING = "notebook-extension/tracker"

ORDINARY = """
Report what is wrong.
Answer in one word!
Is it safe?
Look for these:
First, second,
What is this for
Say what to do if
Begin with (a
Begin with [a
Begin with {a
(an aside)
[a link](https://example.org)
{"a": 1}
{"a": [1, 2],
"a quotation"
"an open quotation
it's an apostrophe
'single'
`code`
```python
def f(x):
    return x
for x in y:
if x:
else:
try:
class A:
lambda x: x,
x = [
- an item
- an item:
* an item.
1. an item
1) an item
> a quotation.
# A heading
## Another one:
---
| a | b |
a trailing backslash \\
""".strip("\n").split("\n")


class Plan(NamedTuple):
    """What a cell comes to, however its lines are indented."""

    magic: str
    options: tuple[str, ...]
    preamble: str
    system: str
    blocks: tuple[tuple[str, str | None, tuple[str, ...], str, str], ...]


def planned(source: str) -> Plan:
    """The plan of a cell's source."""
    found = head(source)
    assert found is not None, source
    cell: Cell = parse(found.magic, found.line, found.body, found.first)
    assert cell.notes == ()
    blocks = (
        (
            block.word,
            block.name,
            tuple(token.text for token in block.arguments),
            told(block.text),
            told(block.system),
        )
        for block in cell.blocks
    )
    options = tuple(token.text for token in cell.arguments)
    return Plan(cell.magic, options, told(cell.preamble), told(cell.system), tuple(blocks))


def told(text: Text | None) -> str:
    """A text without the blanks that the editor put before its lines: where it indents, it is seen."""
    lines = text.value.split("\n") if text is not None else []
    return "\n".join(line.strip() for line in lines)


def ours(sources: Sequence[str]) -> list[str]:
    """Those of these cells that begin with a magic of ours, each once."""
    return list(dict.fromkeys(source for source in sources if head(source) is not None))


def of_pages() -> list[str]:
    """The cells of the README and of the pages for users."""
    paths = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    paths.remove(PROJECT / "docs" / "extending.md")  # its rules are not registered here
    pieces = [
        piece for path in paths for piece in re.split(r"(?m)^```.*\n", path.read_text())[1::2]
    ]
    # The grammar on one screen begins like a cell and is none.
    return ours([piece.strip("\n") for piece in pieces if "[OPTIONS]" not in piece])


def of_lesson(path: Path) -> list[str]:
    """A lesson's cells."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ours(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server whose editor takes our cells for Python."""
    with Lab(tmp_path_factory.mktemp("typing"), extension=False) as lab:
        yield lab


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server whose editor takes our cells for text."""
    with Lab(tmp_path_factory.mktemp("edited")) as edited:
        yield edited


def typed(chromium: Browser, lab: Lab, sources: Sequence[str], app: str = "doc/tree") -> list[str]:
    """What a notebook's file holds once these cells were typed into it."""
    # A name of its own, so that no page of before knows the file.
    name = f"typed-{next(_NUMBERS)}.ipynb"
    lab.write(name, ["" for _ in sources])
    notebook = Notebook.open(chromium, lab, name, app=app)
    try:
        for index, source in enumerate(sources):
            notebook.type(index, source)
        notebook.save()
    finally:
        notebook.close()
        lab.shut_down_kernels()
    return ["".join(cell["source"]) for cell in lab.saved(name)["cells"]]


@pytest.mark.parametrize("app", ["doc/tree", "notebooks"], ids=["lab", "notebook"])
def test_the_cells_of_the_pages_can_be_typed(chromium: Browser, lab: Lab, app: str) -> None:
    """In both front ends each comes to the plan that pasting gives."""
    cells = of_pages()
    assert len(cells) > 5
    found = typed(chromium, lab, cells, app)
    assert [planned(source) for source in found] == [planned(source) for source in cells]


def test_the_lessons_cells_can_be_typed(chromium: Browser, lab: Lab) -> None:
    """Every one that begins with our magics."""
    cells = ours([cell for path in LESSONS for cell in of_lesson(path)])
    assert len(cells) > 30
    found = typed(chromium, lab, cells)
    assert [planned(source) for source in found] == [planned(source) for source in cells]


def test_forty_ordinary_lines_before_a_directive_change_no_plan(
    chromium: Browser, lab: Lab
) -> None:
    """Whatever the editor makes of a line's end, the directives below it are directives."""
    assert len(ORDINARY) == 40
    cells = [f"%%vote\n{line}\n%voter a\nYes?" for line in ORDINARY]
    found = typed(chromium, lab, cells)
    assert [planned(source) for source in found] == [planned(source) for source in cells]
    assert any(source != cell for source, cell in zip(found, cells, strict=True)), "it indents"


@pytest.mark.parametrize("app", ["doc/tree", "notebooks"], ids=["lab", "notebook"])
def test_with_the_extension_the_file_holds_what_was_typed(
    chromium: Browser, edited: Lab, app: str
) -> None:
    """The cells of the pages and the ordinary lines, to the last blank, in both front ends."""
    cells = [*of_pages(), "\n".join(["%%fanout", *ORDINARY])]
    assert typed(chromium, edited, cells, app) == cells


def test_brackets_that_close_themselves_change_no_plan(chromium: Browser, lab: Lab) -> None:
    """Where the editor is set to put closing brackets and quotes, they are typed over."""
    lab.set(SETTING, {"windowingMode": "none", "codeCellConfig": {"autoClosingBrackets": True}})
    try:
        cells = of_pages()
        found = typed(chromium, lab, cells)
    finally:
        lab.set(SETTING, {"windowingMode": "none"})
    assert [planned(source) for source in found] == [planned(source) for source in cells]


def results(notebook: Notebook, index: int) -> str:
    """What a cell that has run shows."""
    notebook.run(index)
    return notebook.output(index).inner_text()


def test_typed_cells_run_as_pasted_ones(chromium: Browser, lab: Lab) -> None:
    """The README's fan-out has both sections and its synthesis; the lesson's guard withholds."""
    fanout = next(cell for cell in of_pages() if cell.startswith("%%fanout -o review"))
    guarded = next(
        cell
        for cell in of_lesson(PROJECT / "notebooks/01_quickstart.ipynb")
        if "%guardrail" in cell
    )
    setup = (
        "%load_ext parallm_magics\n%config ParallmMagics.model = 'sim:?scale=0&accuracy=1&truth=BLOCK'\n"
        "code = 'x = 1'; message = 'Where does Ann live?'"
    )
    ask = (
        "print(list(review), type(review.text).__name__, len(review.results), "
        f"{guarded.split()[2]}.blocked)"
    )
    lab.write("run.ipynb", [setup, "", "", ask])
    notebook = Notebook.open(chromium, lab, "run.ipynb")
    try:
        notebook.run(0)
        notebook.type(1, fanout)
        notebook.type(2, guarded)
        shown = [results(notebook, index) for index in (1, 2, 3)]
    finally:
        notebook.close()
        lab.shut_down_kernels()
    assert "2 of 2 sections succeeded" in shown[0]
    assert "synthesis" in shown[0]
    assert shown[2].strip() == "['security', 'style'] str 2 True"
