"""Changes that somebody might make to a lesson, and the cells that must turn red for each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat
from paths import NOTEBOOKS


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


def _of(kind: str, cell: int, old: str, new: str, *red: int) -> Mutation:
    return Mutation(kind, cell, old, new, frozenset(red))


MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    "01_quickstart": (
        _of("prompt", 1, "The kettle leaked", "My kettle leaked", 1, 4),
        _of("prompt", 2, "Why is the sky blue?", "Why is the sea blue?", 2),
        _of("option", 3, " --stop clinch", "", 3),
        _of("answer", 5, "has borrowed this year", "has borrowed last year", 6),
        _of("prompt", 8, "library in one sentence:", "library in a sentence:", 8),
        _of("option", 10, "%section pro\n", "%section for\n", 10, 11),
    ),
    "02_sectioning": (
        _of("answer", 0, "Brasília", "Brasil", 3),
        _of("prompt", 2, "What is the capital of", "What is the capital city of", 2, 3),
        _of("option", 4, "friendly,angry", "friendly,curt", 4),
        _of("prompt", 6, "Answer with a name.", "Answer with the name.", 6),
        _of("answer", 7, "What was found about", "What was found on", 8),
        _of("option", 9, "await partial.retry()", "partial", 9),
        _of("answer", 10, "max(at - 1, 0)", "at", 11),
    ),
    "03_voting": (
        _of("prompt", 1, "Classify the sentiment", "Tell the sentiment", 1),
        _of("option", 6, "-n 5", "-n 4", 6, 7, 8, 9),
        _of("option", 8, "-n 4", "-n 3", 8),
        _of("option", 10, "0.45, 0.55", "0.4, 0.55", 10),
        _of("answer", 11, "accuracy=0.5", "accuracy=0.9", 12),
        _of("option", 13, " --threshold 4", "", 13, 14),
    ),
    "07_guardrails": (
        _of("option", 2, "does not answer that", "cannot answer that", 2),
        _of("option", 3, "-n 5", "-n 3", 3, 4),
        _of("option", 6, "--refusal", "--on-error pass --refusal", 6),
        _of("option", 7, "--flag Yes", "--flag No", 7),
        _of("prompt", 8, "How polite is it", "How friendly is it", 8),
        _of("option", 10, "--threshold 30%", "--threshold 2", 10, 11),
    ),
    "06_judges": (
        _of("prompt", 4, "Prefer the title", "Choose the title", 4),
        _of("option", 2, 'value == "Second"', 'value == "First"', 2),
        _of("option", 9, "range(1, 11)", "range(1, 10)", 9),
        _of("option", 10, "range(4000)", "range(3000)", 10),
        _of("option", 12, " --score 1..10", "", 12, 13),
    ),
    "08_latency": (
        _of("answer", 0, '"truth": "yes"', '"truth": "no"', 6),
        _of("prompt", 1, "Name the one thing", "Name the main thing", 1),
        _of("prompt", 2, "a title for", "a short title for", 3),
        _of("option", 4, "-c 2", "-c 3", 4),
        _of("option", 5, "--rpm 4", "--rpm 6", 5),
        _of("option", 7, "--deadline 7", "--deadline 9", 7),
        _of("option", 9, "READ, WRITE = 0.1, 1.25", "READ, WRITE = 0.1, 1.5", 9, 11),
    ),
    "04_correlated": (
        _of("prompt", 1, "Classify the sentiment", "Tell the sentiment", 1, 4),
        _of("prompt", 2, "Rate this review", "Rate that review", 2),
        _of("option", 4, "(4)", "(5)", 4),
        _of("answer", 5, "rho=0.3", "rho=0.6", 5, 7),
        _of("option", 6, "-n 5", "-n 3", 7),
        _of("option", 8, "rho=0.375", "rho=0.3", 8, 9),
    ),
    "09_production": (
        _of("prompt", 1, "Is it urgent?", "Is it very urgent?", 1, 2),
        _of("prompt", 3, "What is it about?", "What is this about?", 3),
        _of("answer", 4, 'or "smoke" in', 'or "fire" in', 5, 16),
        _of("option", 5, "--min-success 90%", "--min-success 95%", 5),
        _of("option", 12, "llama3.2", "qwen3", 12),
        _of("option", 14, "-c 200", "-c 100", 16),
        _of("answer", 17, '("BLOCK" if', '("ALLOW" if', 18),
    ),
    "05_measuring": (
        _of("option", 3, "--sure 80%", "--sure 60%", 3),
        _of("option", 5, "-n 5", "-n 3", 5),
        _of("option", 6, "0.05, 0.1,", "0.05, 0.2,", 6),
        _of("prompt", 7, "positive or negative?", "positive or rather negative?", 7),
        _of("option", 8, "rho=0.8", "rho=0.2", 8),
        _of("option", 10, "--pick any", "--threshold 2", 10, 11),
    ),
    "10_checking": (
        _of("option", 1, "-n 3", "-n 2", 1, 11),
        _of("prompt", 3, "two lamps", "four lamps", 3),
        _of("prompt", 4, "three lamps", "five lamps", 4),
        _of("option", 5, "-n 5", "-n 4", 5),
        _of("option", 6, "--pick unanimous", "--pick majority", 6),
        _of("answer", 7, """'"text":"delivery"'""", """'"text":"damage"'""", 8),
        _of("prompt", 9, '"three lamps"', '"two lamps"', 9),
        _of("answer", 10, '"b": "other"', '"b": "same"', 11),
    ),
}
"""Every kind of change, over all lessons."""


def mutated(name: str, changes: Sequence[Mutation], folder: Path) -> Path:
    """A copy of a lesson with these changes, and beside it what lies beside the lesson; its outputs are kept."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for change in changes:
        source = cells[change.cell].source
        assert source.count(change.old) == 1, (name, change)
        cells[change.cell].source = source.replace(change.old, change.new)
    for beside in NOTEBOOKS.iterdir():
        if beside.suffix == ".ipynb" or (folder / beside.name).exists():
            continue
        if beside.name == "recorded":  # where a model is served, a change is asked and recorded
            shutil.copytree(beside, folder / beside.name)
        else:
            (folder / beside.name).symlink_to(beside)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def red_cells(path: Path, env: Mapping[str, str]) -> dict[int, str]:
    """The cells of a notebook that a strict nbval finds red, and its report of each."""
    report = path.with_suffix(".xml")
    # An optional part of what checks a notebook's form, which takes three seconds to be imported.
    (path.parent / "rfc3987_syntax.py").write_text("raise ImportError")
    alone = ("-q", "-p", "no:cacheprovider", "--rootdir", path.parent, "-c", "/dev/null")
    command = ("pytest", "--nbval", "--nbval-current-env", *alone, "--junitxml", report, path)
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=path.parent,
        env={**env, "PYTHONPATH": os.pathsep.join([str(path.parent), env.get("PYTHONPATH", "")])},
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
