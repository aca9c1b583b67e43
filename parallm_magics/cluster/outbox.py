"""What a worker has still to tell the kernel, and when it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from parallm_magics.cluster.packed_columns import LimitEvent
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Event, Fault, Record, Task

TOGETHER_SECONDS = 0.02
"""What happens within this time is told in one report; with a worker that dies it is lost."""
LONGER_SECONDS = 0.05
"""And within this time, as long as that is little beside what is in flight, and would be lost too."""
PULSE_SECONDS = 0.5
"""How often a worker says that it is there, and asks for what it may use next."""


class Outbox:
    """Gathers for a moment what is to be told.

    Attributes:
        records: those that have ended.
        events: what happened to calls under way.
        learned: what calls have told of their providers.
        closed: accounts, or models of theirs, of which no call can succeed any more, and why.
        ended: chunks that are over.
    """

    def __init__(self, report: Callable[[], None], in_flight: Callable[[], int]) -> None:
        """Take what tells all of it, and what counts the calls under way."""
        self._report, self._in_flight = report, in_flight
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.forget()

    def forget(self) -> None:
        """All of it was told."""
        self.records: list[Record] = []
        self.events: list[Event] = []
        self.learned: list[LimitEvent] = []
        self.closed: list[tuple[str, Model | None, Fault]] = []
        self.ended: list[int] = []
        self._held = False

    def keep(self, task: Task | None, record: Record) -> Record:
        """Tell a record."""
        self.records.append(record)
        self.soon()
        return record

    def tell(self, event: Event) -> None:
        """Tell what happened to a call."""
        if event.kind != "ended":  # the kernel has the task, and makes that event of the record
            self.events.append(Event(event.kind, event.index, event.at, event.text))
            self.soon()

    def learn(self, event: LimitEvent) -> None:
        """Tell what a provider is like; at once where others must wait for it too."""
        self.learned.append(event)
        if event.kind == "limited":
            self.now()
        else:
            self.soon()

    def soon(self) -> None:
        """See to it that a report goes out within the usual time."""
        if not self._held:
            self._within(TOGETHER_SECONDS, self._look)

    def now(self) -> None:
        """See to it that a report goes out at once."""
        self._within(0.0, self._report)

    def _look(self) -> None:
        """Report what is worth it by now; else a little later."""
        if 2 * len(self.records) < self._in_flight():
            self._timer, self._held = None, True
            self._within(LONGER_SECONDS - TOGETHER_SECONDS, self._report)
        else:
            self._report()

    def _within(self, seconds: float, then: Callable[[], None]) -> None:
        at = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > at:
            self.off()
            self._timer = self._loop.call_at(at, then)

    def pulse(self) -> float:
        """The next report goes out after a while, whatever happens. By how many seconds this one is late."""
        now = self._loop.time()
        late = 0.0 if self._timer is None else max(0.0, now - self._timer.when())
        self.off()
        self._timer = self._loop.call_at(now + PULSE_SECONDS, self._report)
        return late

    def off(self) -> None:
        """No report goes out by itself any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
