"""When a worker of a cluster reports: soon, yet not for every call; and never later than a moment."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from parallm_magics.cluster import outbox
from parallm_magics.cluster.outbox import LONGER_SECONDS, PULSE_SECONDS, TOGETHER_SECONDS, Outbox
from parallm_magics.cluster.packed_columns import LimitEvent
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Task

RECORD = Task(0, "a", Model("openai", "m"), "Say").ended("ok")


class Loop:
    """As much of an event loop as has timers, in time of its own."""

    def __init__(self) -> None:
        self._now, self._order = 0.0, itertools.count()
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        """What time it is."""
        return self._now

    def call_at(self, at: float, then: Callable[[], None]) -> Timer:
        """Call this then."""
        timer = Timer(at, then)
        heapq.heappush(self._timers, (at, next(self._order), timer))
        return timer

    def until(self, end: float) -> None:
        """Let time pass."""
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.then is not None:
                timer.then()
        self._now = end


class Timer:
    """One call that may be taken off."""

    def __init__(self, at: float, then: Callable[[], None]) -> None:
        self._at, self.then = at, then

    def when(self) -> float:
        """Its moment."""
        return self._at

    def cancel(self) -> None:
        """Take it off."""
        self.then = None  # type: ignore[assignment]


class Worker:
    """Keeps an outbox, and notes when it reports how many records."""

    def __init__(self, in_flight: int) -> None:
        self.loop, self.told = Loop(), list[tuple[float, int]]()
        self.box: Any = None
        self.in_flight = in_flight

    def report(self) -> None:
        """Note it."""
        self.box.pulse()
        self.told.append((round(self.loop.time(), 6), len(self.box.records)))
        self.box.forget()

    def ends(self, *moments: float) -> None:
        """A call ends at each of these moments."""
        for moment in moments:
            self.loop.until(moment)
            self.box.keep(None, RECORD)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Worker]:
    """Makes a worker that has so many calls in flight."""

    def made(in_flight: int) -> Worker:
        worker = Worker(in_flight)
        monkeypatch.setattr(outbox.asyncio, "get_running_loop", lambda: worker.loop)
        worker.box = Outbox(worker.report, lambda: worker.in_flight)
        return worker

    return made


def test_what_is_much_beside_the_calls_in_flight_is_told_soon(
    working: Callable[[int], Worker],
) -> None:
    """It would be lost with the worker, just as these."""
    worker = working(4)
    worker.ends(0.0, 0.01)
    worker.loop.until(0.1)
    assert worker.told == [(TOGETHER_SECONDS, 2)]


def test_what_is_little_waits_for_more_but_not_for_long(working: Callable[[int], Worker]) -> None:
    """However many calls end meanwhile, no report waits for longer than its time."""
    worker = working(200)
    worker.ends(*(place / 1000 for place in range(100)))
    assert worker.told == [(LONGER_SECONDS, LONGER_SECONDS * 1000)]


def test_a_limit_is_told_at_once(working: Callable[[int], Worker]) -> None:
    """All other workers must wait too."""
    worker = working(200)
    worker.ends(0.0, 0.03)
    worker.box.learn(LimitEvent("openai", "limited", 0.0, 2.0))
    worker.loop.until(0.03)
    assert worker.told == [(0.03, 2)]


def test_a_worker_with_nothing_to_tell_still_says_that_it_is_there(
    working: Callable[[int], Worker],
) -> None:
    """By that it keeps its lease."""
    worker = working(1)
    worker.box.pulse()
    worker.loop.until(PULSE_SECONDS)
    assert worker.told == [(PULSE_SECONDS, 0)]
    worker.box.off()
    worker.loop.until(10.0)
    assert len(worker.told) == 1
