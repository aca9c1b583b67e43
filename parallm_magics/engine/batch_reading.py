"""The results of a batch are read, once each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from parallm_magics.core.batch_entries import Asked, BatchEntry
from parallm_magics.core.batches import BatchState
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Event
from parallm_magics.engine.batch_ids import asked_by
from parallm_magics.engine.batch_shared import Shared
from parallm_magics.engine.run_batch import RunBatch

Stray = Callable[[BatchEntry, Asked, Reply], None]
"""Keeps an answer that belongs to no call of the run: what was paid for is not lost."""

TOLD_EVERY = 500


class ResultReader:
    """Takes what has come of a batch."""

    def __init__(self, shared: Shared, stray: Stray) -> None:
        self._run, self._records, self._stray = shared, shared.records, stray

    async def read(self, batch: RunBatch, state: BatchState) -> None:
        """End the calls that its results tell of; those of no call of the run are kept.

        Raises:
            CallFailed: they could not be read to their end.
        """
        unknown = twice = 0
        nonce, known = batch.entry.nonce, frozenset[Asked]()
        async for name, end in batch.api.results(state, batch.requests):
            asked = asked_by(nonce, name)
            if name in batch.read:
                twice += 1
                continue
            if asked is not None and name not in batch.tasks:
                known = known or frozenset(batch.entry.asked)
            if asked is None or not (name in batch.tasks or asked in known):
                unknown += not batch.entry.closed  # of a closed one nobody knows what it asked
            else:
                batch.read.add(name)
                self._answered(batch, name, asked, end)
                if len(batch.read) % TOLD_EVERY == 0:
                    self._run.show()
                    await asyncio.sleep(0)
        if batch.read and not batch.readings and (odd := _odd(unknown, twice)):
            text = f"batch {batch.entry.id}: {odd}"
            self._records.tell(Event("said", -1, self._records.at, text))

    def _answered(self, batch: RunBatch, name: str, asked: Asked, end: Reply | CallFailed) -> None:
        task = batch.tasks.pop(name, None)
        if task is not None:
            batch.good += isinstance(end, Reply)
            self._records.answered(task, end, batch.entry.id, batch.began)
        elif isinstance(end, Reply):
            self._stray(batch.entry, asked, end)


def _odd(unknown: int, twice: int) -> str:
    """What is told of results that nobody asked for, or that came again; "" where there are none."""
    said = [f"{unknown:,} results of no request of it were ignored"] if unknown else []
    said += [f"{twice:,} results came twice; the first ones count"] if twice else []
    return "; ".join(said)
