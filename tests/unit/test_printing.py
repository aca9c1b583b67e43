"""What `print` of a run writes, and what a terminal and a notebook show of it."""

from __future__ import annotations

import io
import sys

import pytest
from display_samples import record

from parallm_magics.display import View
from parallm_magics.patterns.run import Run

LONG = "word " * 1_000


class OneWorker(Run):
    """A run of one long answer."""

    def _view(self) -> View:
        return View("1 of 1 succeeded", "fanout", self.results)


@pytest.fixture
def run() -> Run:
    """A run of one long answer."""
    return OneWorker([record(text=LONG)])


class Screen(io.StringIO):
    """A terminal to write to."""

    def isatty(self) -> bool:
        """Whether it is one: yes."""
        return True


def widest(text: str) -> int:
    """The length of its longest line."""
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("columns", [40, 150])
def test_a_terminal_has_every_answer_in_its_own_width(
    run: Run, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Printed and displayed alike."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", Screen())
    shown = run._repr_mimebundle_()["text/plain"]
    assert shown == str(run)
    assert shown.count("word") == 1_000
    assert columns - 5 < widest(shown) <= columns


def test_what_is_kept_does_not_depend_on_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's text has one width and bounded answers; `print` in it has all of them."""
    kept = []
    for columns in ("40", "150"):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        kept.append((run._repr_mimebundle_()["text/plain"], str(run)))
    assert kept[0] == kept[1]
    bundle, printed = kept[0]
    assert bundle.count("word") == 400
    assert printed.count("word") == 1_000
    assert widest(bundle) <= 100
    assert widest(printed) <= 100


def test_without_any_output_a_run_has_a_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw, which has no standard output."""
    monkeypatch.setattr(sys, "stdout", None)
    assert "1 of 1 succeeded" in str(run)
