"""The tiers of the tests: where each stands, what its tests may start, and how long it took."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from paths import PROJECT, TESTS

TIERS = ("browser", "lessons", "kernel", "real", "unit")
"""In the order in which they run beside each other: what takes long begins first."""

_SERVER = re.compile(r"^from (provider|asking|endpoints) import", re.MULTILINE)
_STARTS = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system")


@cache
def tier_of(path: Path | str) -> str:
    """Give the tier of a test's file; a notebook is a lesson."""
    path = PROJECT / path
    if path.is_relative_to(TESTS):
        return path.relative_to(TESTS).parts[0]
    return "lessons"


@cache
def asks_a_server(path: Path) -> bool:
    """Whether the unit tests of a file go through the real SDKs to a scripted server on loopback.

    They wait more than they work, and there are many of them.
    """
    return tier_of(path) == "unit" and _SERVER.search(path.read_text("utf-8")) is not None


class Guard:
    """Fails a test that starts a process where none may be started.

    Audit hooks cannot be taken away, so there is one, and it looks whether a test is watched.
    """

    def __init__(self) -> None:
        self._watched = False
        self._started: list[str] = []
        sys.addaudithook(self._heard)

    def watch(self, watched: bool) -> list[str]:
        """Begin or end watching; give what was started since the last call."""
        started, self._started, self._watched = self._started, [], watched
        return started

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._watched and event in _STARTS:
            self._started.append(f"{event}{arguments[:2]}")


class Span(NamedTuple):
    """Work of one tier: how many tests, their seconds one after another, first start, last end."""

    tests: int = 0
    work: float = 0.0
    begun: float = float("inf")
    ended: float = 0.0

    def plus(self, tests: int, work: float, begun: float, ended: float) -> Span:
        """The same with some more work."""
        return Span(
            self.tests + tests,
            self.work + work,
            min(self.begun, begun),
            max(self.ended, ended),
        )


class Times:
    """The time that each tier took, from the reports of its tests."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}

    def add(self, path: str, counts: bool, work: float, begun: float, ended: float) -> None:
        """Take in one phase of a test; only its call counts as a test."""
        tier = tier_of(path)
        span = self._spans.get(tier, Span())
        self._spans[tier] = span.plus(int(counts), work, begun, ended)

    def lines(self) -> Iterable[str]:
        """The table: a tier a row."""
        yield f"{'tier':8} {'tests':>6} {'work':>8} {'from start to end':>18}"
        for tier in TIERS:
            if span := self._spans.get(tier):
                wall = span.ended - span.begun
                yield f"{tier:8} {span.tests:6} {span.work:7.0f}s {wall:17.0f}s"


def workers(arguments: Iterable[str], cores: Callable[[], int | None] = os.cpu_count) -> int:
    """Give how many workers run the tests that a command line names.

    Much of the time of a test is spent waiting for a kernel, a browser or a clock: two workers a
    core. A single file is not worth the start of several.
    """
    named = list(arguments)
    if named and all(".py" in each or ".ipynb" in each for each in named) and len(named) < 3:
        return 0
    return 2 * (cores() or 1)
