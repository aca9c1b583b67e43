"""What an engine is: the calls of a run go in, and one record for each comes out."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from parallm_magics.core.tasks import Call, Listener, Record
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.collectors import Collector, InMemory
from parallm_magics.engine.rate_limits import Slots
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Job:
    """Calls to be made, and all that making them needs.

    Attributes:
        calls: a record stands in the place of a call that is not to be made.
        routes: where the calls go.
        rules: how many at once, how many a minute, how often again.
        accounts: makes each call's record, and knows the caps on cost.
        tell: hears every event.
        stop: stops the calls from outside.
        slots: shared with the other jobs of the run.
        collector: is given each record once `accounts` has finished it, and gives all of them back.
    """

    calls: Iterable[Call] | AsyncIterable[Call]
    routes: Routes
    rules: Rules
    accounts: Accounts
    tell: Listener | None
    stop: Stop
    slots: Slots
    collector: Collector = field(default_factory=InMemory)


class Engine(Protocol):
    """Makes the calls of a job, wherever and however."""

    async def run(self, job: Job) -> Sequence[Record]:
        """One record a call, in the calls' order; what was never begun may be left out, as by `Rules.drain`.

        Raises:
            asyncio.CancelledError: the caller was cancelled; nothing of the job runs on by then, but
                for what is meant to outlive it.
        """


class LocalEngine:
    """Makes each call from this process, on the running loop, as soon as it may begin."""

    async def run(self, job: Job) -> Sequence[Record]:
        """One record a call, in the calls' order."""
        scheduler = Scheduler(
            job.calls,
            job.routes,
            job.rules,
            job.accounts,
            job.tell,
            job.stop,
            job.slots,
            job.collector,
        )
        return await scheduler.run()
