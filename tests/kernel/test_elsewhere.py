"""What the page on other places shows works there: a script, a marimo notebook, Binder's files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from kernel import environment
from paths import PROJECT

PAGE = (PROJECT / "docs" / "elsewhere.md").read_text("utf-8")
SCRIPT, MARIMO = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE)


def ran(home: Path, *command: str | Path, **env: str) -> str:
    """What a command of this Python prints in a folder of its own."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=home,
        env=environment(home, **env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", [SCRIPT, MARIMO], ids=["script", "marimo"])
def test_it_runs_as_a_script(tmp_path: Path, text: str) -> None:
    """`python letters.py`, twice with a recording: nothing is asked the second time."""
    (tmp_path / "letters.py").write_text(text)
    recording = tmp_path / "answers.jsonl"
    for mode in ("auto", "replay"):
        env = {"PARALLM_RECORDINGS": f"{mode}:{recording}"}
        assert ran(tmp_path, "letters.py", **env) == "damage\n"
    assert len(recording.read_text().splitlines()) == 5


def test_marimo_shows_the_run(tmp_path: Path) -> None:
    """Executed without a browser, its page holds the run with its table, and the next cell has the winner."""
    (tmp_path / "letters.py").write_text(MARIMO)
    ran(tmp_path, "-m", "marimo", "export", "session", "letters.py")
    [path] = (tmp_path / "__marimo__").rglob("letters.py.json")
    *_, vote, last = json.loads(path.read_text())["cells"]
    [shown] = vote["outputs"]
    bundle = json.dumps(shown["data"])
    assert "damage: 4 of 5 votes" in bundle
    assert "parallm-run" in bundle
    assert [each["text"] for each in last["console"]] == ["damage\n"]


def test_binder_installs_what_there_is() -> None:
    """Its files name an extra and a Python of the project; what runs after the install can run."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    folder = PROJECT / ".binder"
    [wanted] = re.findall(r"^\.\[(\w+)\]$", (folder / "requirements.txt").read_text(), re.MULTILINE)
    assert wanted in project["optional-dependencies"]
    version = re.fullmatch(r"python-(3\.\d+)\n", (folder / "runtime.txt").read_text())
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]
    assert os.access(folder / "postBuild", os.X_OK)


def test_the_links_lead_to_lessons() -> None:
    """Those to Binder and Colab, wherever the repository lies."""
    found = re.findall(r"[\w/]+\.ipynb", " ".join(re.findall(r"https?://\S+", PAGE)))
    assert found
    for path in found:
        name = path[path.index("notebooks/") :]
        assert (PROJECT / name).exists(), name
