"""The public names have the types that their users rely on, as a strict checker sees them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mypy import api
from paths import PACKAGE

ROOT = PACKAGE.parent
USES = ROOT / "tests" / "typing" / "api.py"


def checked(uses: Path, cache: Path) -> tuple[str, int]:
    """What strict mypy says of a file, and its exit status."""
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache)]
    said, trouble, status = api.run([*settings, str(uses)])
    assert not trouble
    return said, status


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of this run alone; the second check of the module takes no time."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The checker finds the package from where it runs, and leaves the process as it was."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    depth, pace = sys.getrecursionlimit(), gc.get_threshold()
    yield
    sys.setrecursionlimit(depth)
    gc.set_threshold(*pace)


def test_uses_of_the_public_names_are_well_typed(cache: Path) -> None:
    """What a user writes with runs, records, errors and counts passes a strict checker."""
    said, status = checked(USES, cache)
    assert status == 0, said


def test_a_wrong_use_is_seen(cache: Path, tmp_path: Path) -> None:
    """The check is no empty one: a result taken for something else is an error."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from parallm_magics import VoteRun\n\n\n"
        "def cheer(run: VoteRun) -> str:\n    return run.label.upper()\n"
    )
    said, status = checked(wrong, cache)
    assert status == 1
    assert "union-attr" in said


def test_every_public_name_is_used() -> None:
    """No public name is left out of the file of uses."""
    import parallm_magics

    text = USES.read_text()
    missing = [name for name in parallm_magics.__all__ if name not in text]
    assert not missing
