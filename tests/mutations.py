"""Changes that somebody might make to a lesson, and the cells that must turn red for each."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


class Mutation(NamedTuple):
    """One change of one code cell.

    Attributes:
        kind: what is changed: an `answer` that is played back, a `prompt` or an `option`.
        cell: the code cell that is changed, counted from 0 as nbval does.
        old: a text that the cell holds once.
        new: what stands there instead.
        red: the cells whose output this changes, counted in the same way.
    """

    kind: str
    cell: int
    old: str
    new: str
    red: frozenset[int]


def mutated(name: str, changes: Sequence[Mutation], folder: Path) -> Path:
    """A copy of a lesson with these changes; its outputs are those of the lesson."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for change in changes:
        source = cells[change.cell].source
        assert source.count(change.old) == 1, (name, change)
        cells[change.cell].source = source.replace(change.old, change.new)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def red_cells(path: Path, env: Mapping[str, str]) -> dict[int, str]:
    """The cells of a notebook that a strict nbval finds red, and its report of each."""
    report = path.with_suffix(".xml")
    alone = ("-q", "-p", "no:cacheprovider", "--rootdir", path.parent, "-c", "/dev/null")
    command = ("pytest", "--nbval", "--nbval-current-env", *alone, "--junitxml", report, path)
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=path.parent,
        env=dict(env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for part in case:
            if part.tag in ("failure", "error"):
                number = re.search(r"\d+$", case.get("name", ""))
                assert number is not None, case.attrib
                found[int(number[0])] = part.text or ""
    return found
