"""Recorded answers in place of calls."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterable,
    Sequence,
)

from parallm_magics.core.tasks import Call, Record, Task
from parallm_magics.recordings.store import Recordings

# Seconds for which recorded answers are looked up before others may run.
AT_A_STRETCH = 0.01

Source = Iterable[Call] | AsyncIterable[Call]
Prepare = Callable[[Sequence[Task]], Awaitable[None]]
"""Prepares the providers that these calls, of many only the first, and those after them need."""


class Replay:
    """What is recorded of the calls of one run."""

    def __init__(self, store: Recordings | None, further: int = 0) -> None:
        """Take where answers are kept, and how often the run has been taken up before."""
        self._store, self._further = store, further

    def served(
        self,
        calls: Source,
        prepare: Prepare,
        *,
        few: bool,
        anew: Container[int] = (),
        found: Callable[[Record], None] = lambda record: None,
    ) -> Source:
        """The calls, with the record in place of one that has been answered before.

        Providers are prepared before the first call that is to be made: a cell whose answers are all
        recorded needs no key and no SDK, and a missing key is told before anything is spent.

        Args:
            few: whether all may be looked up before, so that no provider is prepared in vain.
            anew: the places of the calls that are to be made in any case, if any are made at all.
            found: hears each record before any call of a few is made.

        Raises:
            RecordingMissing: a call would have to be made in a replay.
        """
        if self._store is None:
            return calls
        return self._served(self._store, calls, prepare, few, anew, found)

    async def _served(
        self,
        store: Recordings,
        calls: Source,
        prepare: Prepare,
        few: bool,
        anew: Container[int],
        found: Callable[[Record], None],
    ) -> AsyncIterator[Call]:
        missing: list[Task] = []
        prepared = False
        async for call in self._looked_up(store, calls, anew):
            if isinstance(call, Record):
                found(call)
                yield call
            elif few:
                missing.append(call)
            elif store.replays:
                raise store.missing([call])
            else:
                if not prepared:
                    await prepare([call])
                    prepared = True
                yield call
        if missing and store.replays:
            raise store.missing(missing)
        if missing:
            await prepare(missing)
        for task in missing:
            yield task

    async def recorded(self, tasks: Sequence[Task], anew: Container[int] = ()) -> list[Record]:
        """The records that are kept of these calls, in the order in which they had ended."""
        if self._store is None:
            return []
        calls = self._looked_up(self._store, tasks, anew)
        found = [call async for call in calls if isinstance(call, Record)]
        # Cancelled at the moment at which others had ended, so after them.
        return sorted(found, key=lambda r: (r.status == "cancelled", r.end, r.index))

    def outcome(self, task: Task) -> Record | None:
        """How a call that is not needed now had ended when it was last made, if that is kept."""
        return None if self._store is None else self._store.outcome(task, self._further)

    async def _looked_up(
        self, store: Recordings, calls: Source, anew: Container[int]
    ) -> AsyncIterator[Call]:
        """The calls, or the records that are kept of them; no loop is held up for long."""
        loop = asyncio.get_running_loop()
        more, since = True, loop.time()
        async for call in _awaited(calls):
            while more:
                more = store.catch_up()
                await asyncio.sleep(0)
            if loop.time() - since > AT_A_STRETCH:
                await asyncio.sleep(0)
                since = loop.time()
            if isinstance(call, Record) or (call.index in anew and not store.replays):
                yield call
            else:
                yield store.find(call, self._further) or call


async def _awaited(calls: Source) -> AsyncIterator[Call]:
    """The calls of either kind of source."""
    if isinstance(calls, AsyncIterable):
        async for call in calls:
            yield call
        return
    for call in calls:
        yield call
