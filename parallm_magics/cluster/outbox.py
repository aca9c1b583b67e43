"""What a worker has still to tell the kernel, and when it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from parallm_magics.cluster.rows import LimitEvent
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Event, Fault, Record, Task

TOGETHER_SECONDS = 0.02
"""What happens within this time is told in one report; with a worker that dies it is lost."""
PULSE_SECONDS = 0.5
"""How often a worker says that it is there, and asks for what it may use next."""


class Outbox:
    """Gathers for a moment what is to be told.

    Attributes:
        records: those that have ended.
        events: what happened to calls under way.
        learned: what calls have told of their providers; the age of each is still the moment it began.
        closed: accounts, or models of theirs, of which no call can succeed any more, and why.
        ended: chunks that are over.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        """Take what tells all of it."""
        self._report = report
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

    def keep(self, task: Task | None, record: Record) -> Record:
        """Tell a record; an object of the user's is made in the kernel, where its class is."""
        self.records.append(record if record.value is None else replace(record, value=None))
        self.soon()
        return record

    def tell(self, event: Event) -> None:
        """Tell what happened to a call."""
        if event.kind != "ended":
            if event.task is not None or event.record is not None:
                event = replace(event, task=None, record=None)
            self.events.append(event)
            self.soon()

    def learn(self, event: LimitEvent) -> None:
        """Tell what a provider is like; at once where others must wait for it too."""
        self.learned.append(event)
        self.soon(0.0 if event.kind == "limited" else None)

    def soon(self, seconds: float | None = None) -> None:
        """See to it that a report goes out within this time, else within the usual one."""
        at = self._loop.time() + (TOGETHER_SECONDS if seconds is None else seconds)
        if self._timer is None or self._timer.when() > at:
            self.off()
            self._timer = self._loop.call_at(at, self._report)

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
