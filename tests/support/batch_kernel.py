"""A kernel that runs calls in batches, for tests on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_batches import FakeBatches
from fakes import price

from parallm_magics.core.batch_entries import Asked, BatchEntry
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Event, Record, Task
from parallm_magics.engine.accounts import Accounts, Budget
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.batch_engine import BatchEngine
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.jobs import Job
from parallm_magics.engine.rate_limits import RateLimits, Slots
from parallm_magics.engine.retries import Rules
from parallm_magics.recordings.batch_ledger import FileLedger
from parallm_magics.recordings.replay import Replay
from parallm_magics.recordings.store import Recordings


class Kernel:
    """A process that runs cells in batches; another one may go on where this one ends."""

    def __init__(self, fake: FakeBatches, path: Path | None = None) -> None:
        self.fake = fake
        self.store = None if path is None else Recordings(path)
        self.ledger = FileLedger(self.store)
        self.events: list[Event] = []
        self.strays: list[Asked] = []
        self.stop = Stop()

    async def run(
        self,
        todo: list[Task],
        *,
        sends: bool = True,
        after: Callable[[Stop], Any] | None = None,
        budget: Budget | None = None,
        **rules: Any,
    ) -> list[Record]:
        """One record a task; what is recorded is not asked."""

        def finish(task: Task | None, record: Record) -> Record:
            if task is not None and self.store is not None:
                self.store.add(task, record)
            return record

        async def nothing(tasks: Any) -> None:
            pass

        def keep(batch: BatchEntry, asked: Asked, reply: Reply) -> None:
            self.strays.append(asked)

        helper = asyncio.ensure_future(after(self.stop)) if after else None
        job = Job(
            Replay(self.store).served(todo, nothing, few=True),
            Routes(lambda model: self.fake, RateLimits().of),
            Rules(known=len(todo), **rules),
            Accounts(price, finish, budget or Budget()),
            self.events.append,
            self.stop,
            Slots(),
        )
        try:
            records = await BatchEngine(self.ledger, keep, sends=sends).run(job)
        finally:
            if helper:
                helper.cancel()
        return [*records]

    @property
    def said(self) -> list[str]:
        """The lines that were said about the run."""
        return [event.text for event in self.events if event.kind == "said"]
