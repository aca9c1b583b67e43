"""What a run needs from where it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from parallm_magics.cell.plan import Plan
from parallm_magics.cluster.connection import Connection
from parallm_magics.core.tasks import Listener, Record
from parallm_magics.engine.accounts import NOTHING, Ledger
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.providers.registry import Clients
from parallm_magics.recordings.modes import VARIABLE, offline
from parallm_magics.recordings.store import Recordings, from_environment


@contextlib.asynccontextmanager
async def of_its_own(plan: Plan) -> AsyncIterator[RunContext]:
    """What a run needs where nobody keeps it from run to run."""
    clients = Clients()
    recordings = from_environment()
    try:
        yield RunContext(clients, recordings=recordings)
    finally:
        if recordings is not None:
            recordings.close()
        await clients.close()


@dataclass(slots=True, eq=False)
class RunContext:
    """What a run needs from where it runs.

    Attributes:
        clients: the providers in use, kept by whoever made them.
        rate_limits: what is known of how fast each may be asked.
        tell: hears every event.
        stop: stops the run from outside.
        ledgers: caps on cost besides the cell's own.
        spent: hears every record that something may have been spent on.
        recordings: where answers are kept, or None.
        dask: the Dask cluster that was connected for the run's host; the code's own client goes before it.
        offline: whether nothing may be asked of a real model that is not recorded.
        collects: whether what is in no batch yet is left unasked.
        renew: the context for another run of a plan, for as long as that runs.
    """

    clients: Clients
    rate_limits: RateLimits = field(default_factory=RateLimits)
    tell: Listener | None = None
    stop: Stop = field(default_factory=Stop)
    ledgers: tuple[Ledger, ...] = ()
    spent: Callable[[Record], None] | None = None
    recordings: Recordings | None = None
    dask: Connection | None = None
    offline: bool = field(default_factory=lambda: VARIABLE in os.environ and offline())
    collects: bool = False
    renew: Renew = of_its_own

    def count_paid(self, record: Record) -> None:
        """Count a record that came without a call of the run, in all caps but the run's own."""
        for ledger in self.ledgers:
            ledger.release(NOTHING, record.cost or NOTHING)
        if self.spent is not None:
            self.spent(record)


Renew = Callable[[Plan], AbstractAsyncContextManager[RunContext]]
