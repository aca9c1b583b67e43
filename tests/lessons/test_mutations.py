"""A change of a checked notebook turns the right cells red, and no others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from kernel import environment
from mutations import MUTATIONS, NOTEBOOKS, mutated, red_cells
from nbformat.v4 import new_code_cell, new_notebook
from provider import Act, Loopback

from parallm_magics.recordings.codec import line_of

SECTIONS = """\
%%fanout -m claude-haiku-5-5 -o review
Review this.

%section attacks
Attacks?

%section names
Names?"""
VOTE = """\
%%vote -m gpt-6-luna -n 3 --choices yes,no -o verdict
Is it?"""
CELLS = (
    "%load_ext parallm_magics\n%parallm recordings answers.jsonl",
    SECTIONS,
    "print(review['names'])",
    VOTE,
    "print(verdict.winner)",
)


@pytest.mark.parametrize("name", MUTATIONS)
def test_changes_of_a_lesson_turn_the_right_cells_red(name: str, tmp_path: Path) -> None:
    """All of them at once, so that what a change must leave alone is seen as well."""
    red = red_cells(
        mutated(name, MUTATIONS[name], tmp_path), environment(tmp_path, PARALLM_LIVE="0")
    )
    assert sorted(red) == sorted(frozenset().union(*(each.red for each in MUTATIONS[name])))


def test_every_lesson_has_its_changes() -> None:
    """Of every kind; a new lesson gets some too."""
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == MUTATIONS.keys()
    assert {each.kind for many in MUTATIONS.values() for each in many} == {
        "answer",
        "prompt",
        "option",
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an executed notebook, and its recording beside it, made through both SDKs."""
    home = tmp_path_factory.mktemp("recorded")
    path = home / "checked.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in CELLS]), path)
    with Loopback() as server:
        server.script("gpt-6-luna", *(Act(text=f"ANSWER: {word}") for word in ("yes", "no", "yes")))
        env = environment(
            home,
            PARALLM_LIVE="0",
            ANTHROPIC_API_KEY="sk-a-key",
            OPENAI_API_KEY="sk-a-key",
            ANTHROPIC_BASE_URL=server.url,
            OPENAI_BASE_URL=f"{server.url}/v1",
        )
        command = [sys.executable, "-m", "jupyter", "execute", "--inplace", path.name]
        subprocess.run(command, cwd=home, env=env, check=True, capture_output=True)
    return home


def edited(old: str, new: str) -> Callable[[str], str]:
    """A change of a text that occurs once in a cell."""

    def edit(text: str) -> str:
        assert text.count(old) >= 1
        return text.replace(old, new)

    return edit


def resealed(text: str, *workers: str) -> Callable[[str], str]:
    """A change of what was recorded, as if the model had said it."""

    def edit(file: str) -> str:
        lines = [json.loads(line) for line in file.splitlines()]
        for entry in lines:
            del entry["sum"]
            if entry["worker"] in workers:
                entry["outcome"]["text"] = text
        return "".join(line_of(entry).decode() for entry in lines)

    return edit


RECORDED = {
    "nothing": (lambda text: text, lambda text: text, {}),
    "a recorded section": (lambda text: text, resealed("Others.", "names"), {1: "", 2: ""}),
    "a recorded vote": (
        lambda text: text,
        resealed("ANSWER: no", "v1", "v2", "v3"),
        {3: "", 4: ""},
    ),
    "an edited answer": (
        lambda text: text,
        edited("echo: Review this.\\n\\nNames?", "Fine."),
        {1: r"RecordingMissing: names: not recorded .*; line \d is damaged\.", 2: "NameError"},
    ),
    "a prompt": (
        edited("Names?", "Good names?"),
        lambda text: text,
        {
            1: r"RecordingMissing: names: .* with a different prompt: .*Names\?' is now '.*Good names\?'",
            2: "NameError",
        },
    ),
    "a model": (
        edited("gpt-6-luna", "gpt-6.1-terra"),
        lambda text: text,
        {
            3: r"RecordingMissing: v1: .*, nor are 2 more .* with a different model: ",
            4: "NameError",
        },
    ),
    "a number of votes": (
        edited("-n 3", "-n 5"),
        lambda text: text,
        {
            3: "RecordingMissing: v4: .* 3 answers to this request are recorded, but not number 4",
            4: "NameError",
        },
    ),
    "a rule": (edited("-n 3", "-n 3 --pick unanimous"), lambda text: text, {3: "", 4: ""}),
    "an option of a call": (
        edited("-n 3", "-n 3 --max-tokens 100"),
        lambda text: text,
        {3: "max_tokens[^:]*: 4096 is now 100", 4: "NameError"},
    ),
}


@pytest.mark.parametrize("kind", RECORDED)
def test_a_recorded_notebook_tells_what_changed(recorded: Path, tmp_path: Path, kind: str) -> None:
    """Without a key, without a provider; an error says what differs."""
    cell, file, red = RECORDED[kind]
    notebook = nbformat.read(recorded / "checked.ipynb", as_version=4)
    text = "\0".join(each.source for each in notebook.cells)
    for each, source in zip(notebook.cells, cell(text).split("\0"), strict=True):
        each.source = source
    nbformat.write(notebook, tmp_path / "checked.ipynb")
    (tmp_path / "answers.jsonl").write_text(file((recorded / "answers.jsonl").read_text()))
    found = red_cells(
        tmp_path / "checked.ipynb", environment(tmp_path, PARALLM_RECORDINGS="replay")
    )
    assert found.keys() == red.keys()
    for number, told in red.items():
        assert re.search(told, re.sub(r"(#x1B|\x1b)\[[\d;]*m", "", found[number]))
