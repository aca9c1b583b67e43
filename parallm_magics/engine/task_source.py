"""The calls of a run as they can be taken without waiting, whether their source is awaited or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Iterable, Iterator

from parallm_magics.core.tasks import Call

AHEAD = 100
GRACE = 0.1


class Source:
    """Gives out calls one at a time.

    Attributes:
        ended: whether nothing more will come.
    """

    def __init__(
        self, calls: Iterable[Call] | AsyncIterable[Call], arrived: Callable[[], None]
    ) -> None:
        self.ended = False
        self._arrived = arrived
        self._calls: Iterator[Call] = iter(())
        self._queue: asyncio.Queue[Call | None] = asyncio.Queue(AHEAD)
        self._reading: asyncio.Task[None] | None = None
        self._problem: BaseException | None = None
        if isinstance(calls, AsyncIterable):
            self._reading = asyncio.get_running_loop().create_task(self._read(calls))
        else:
            self._calls = iter(calls)

    @property
    def waits(self) -> bool:
        """Whether the next call, if there is one, has still to arrive."""
        return self._reading is not None and self._queue.empty()

    def take(self) -> Call | None:
        """The next call; None where there is none, or none yet.

        Raises:
            Exception: what the source raised.
        """
        if self.ended:
            return None
        if self._reading is None:
            call = next(self._calls, None)
        elif self._queue.empty():
            return None
        else:
            call = self._queue.get_nowait()
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
            async for call in reader:
                await self._queue.put(call)
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
        await self._queue.put(None)
        self._arrived()
