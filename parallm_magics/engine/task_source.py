"""The calls of a run as they can be taken without waiting, whether their source is awaited or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

from parallm_magics.core.tasks import Call
from parallm_magics.engine.clock import Clock

AHEAD = 100
GRACE = 0.1
"""Seconds that a source may take to close; one that takes longer for a call holds no virtual time."""


class Source:
    """Gives out calls one at a time.

    Attributes:
        ended: whether nothing more will come.
    """

    def __init__(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        arrived: Callable[[], None],
        clock: Clock,
    ) -> None:
        self.ended = False
        self._clock = clock
        self._arrived = arrived
        self._calls: Iterator[Call] = iter(())
        self._ahead: deque[Call | None] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._problem: BaseException | None = None
        if isinstance(calls, AsyncIterable):
            self._room = clock.signal()
            self._reading = clock.spawn(self._read(calls))
        else:
            self._calls = iter(calls)

    @property
    def waits(self) -> bool:
        """Whether the next call, if there is one, has still to arrive."""
        return self._reading is not None and not self._ahead

    def take(self) -> Call | None:
        """The next call; None where there is none, or none yet.

        Raises:
            Exception: what the source raised.
        """
        if self.ended:
            return None
        if self._reading is None:
            call = next(self._calls, None)
        elif not self._ahead:
            return None
        else:
            call = self._ahead.popleft()
            self._room.set()
        if call is None:
            self.ended = True
            if self._problem is not None:
                raise self._problem
        return call

    async def close(self) -> None:
        """Read no more."""
        self.ended = True
        if self._reading is not None:
            self._reading.cancel()
            # A source of the user's may take its time to close; nobody waits for that.
            await asyncio.wait({self._reading}, timeout=GRACE)

    async def _read(self, calls: AsyncIterable[Call]) -> None:
        reader = aiter(calls)
        try:
            while (call := await self._next(reader)) is not None:
                while len(self._ahead) >= AHEAD:
                    self._room.clear()
                    await self._room.wait()
                self._ahead.append(call)
                self._arrived()
        except (Exception, asyncio.CancelledError) as error:
            if self.ended:
                raise
            self._problem = error  # handed on to whoever takes the next call
        finally:
            # Closed here and not by the garbage collector, which would do it on no loop of ours.
            if hasattr(reader, "aclose"):
                with contextlib.suppress(Exception):
                    await reader.aclose()
        self._ahead.append(None)
        self._arrived()

    async def _next(self, reader: AsyncIterator[Call]) -> Call | None:
        """The next call that is read; None after the last one."""
        if not self._clock.virtual:
            return await anext(reader, None)
        passing = self._clock.loop.call_later(GRACE, self._clock.release)
        try:
            return await anext(reader, None)
        finally:
            if passing.when() <= self._clock.loop.time() and not passing.cancelled():
                self._clock.hold()
            passing.cancel()
