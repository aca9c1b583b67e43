"""How a run of batches waits: for a moment, for a reply, and never longer than somebody wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.clock import Clock, VirtualClock, Waiter

T = TypeVar("T")

ROUNDED = 1e-5
STRETCH_SECONDS = 0.01
"""How long one works before others may run."""


class Stopped(Exception):
    """Somebody has stopped the run."""


class Waiting:
    """The one that waits, on the clock of its run; a stop wakes it."""

    def __init__(self, clock: Clock, stop: Stop) -> None:
        self._clock, self._stop = clock, stop
        self._waiter: Waiter | None = None
        self._woken = False
        self._breathed = 0.0

    def wake(self) -> None:
        """Let it look again, now or as soon as it waits."""
        self._woken = True
        if self._waiter is not None:
            self._waiter.wake()

    def is_past(self, moment: float) -> bool:
        """Whether that moment has come; a virtual clock rounds its moments."""
        return self._clock.now() >= moment - ROUNDED

    async def until(self, moment: float | None) -> None:
        """Wait for a moment, or until somebody wakes it; None for that alone.

        Raises:
            Stopped: somebody has stopped the run.
        """
        if not (self._woken or self._stop.reason):
            await self._wait(moment)
        self._woken = False
        self.go_on()

    async def _wait(self, moment: float | None) -> None:
        waiter = self._waiter = Waiter(self._clock)
        off = None if moment is None else self._clock.call_at(moment, waiter.wake)
        try:
            await self._clock.wait(waiter)
        finally:
            self._waiter = None
            if off is not None and self._woken:
                off()

    async def for_seconds(self, seconds: float) -> None:
        """Wait so long, whoever wakes it before.

        Raises:
            Stopped: somebody has stopped the run.
        """
        moment, woken = self._clock.now() + seconds, False
        while not self.is_past(moment):
            await self.until(moment)
            woken = woken or not self.is_past(moment)
        self._woken = woken  # what it was woken for is still to be looked at

    async def breathe(self) -> None:
        """Let others run where they have not for a while: called between the steps of long work."""
        if self._clock.loop.time() - self._breathed > STRETCH_SECONDS:
            await asyncio.sleep(0)
            self._breathed = self._clock.loop.time()

    def go_on(self) -> None:
        """Go on, unless somebody has stopped the run.

        Raises:
            Stopped: somebody has.
        """
        if self._stop.reason:
            raise Stopped

    async def reply(self, asking: Coroutine[Any, Any, T], most: float | None = None) -> T:
        """What a provider says; a stop ends the asking.

        Args:
            most: seconds after which it is given up.

        Raises:
            CallFailed: whatever went wrong.
            Stopped: somebody has stopped the run.
        """
        if self._stop.reason:
            asking.close()
            raise Stopped
        clock = self._clock
        context = clock.context.copy() if isinstance(clock, VirtualClock) else None
        task = clock.loop.create_task(asking, context=context)
        off = self._stop.on_stop(lambda: _cancel(task))
        try:
            await asyncio.wait({task}, timeout=most)
        finally:
            off()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            self.go_on()
            raise CallFailed(Fault("timeout", f"no answer within {most or 0:g} s"))
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, CallFailed) or not isinstance(error, Exception):
            raise error
        kind = type(error).__name__
        raise CallFailed(Fault("bug", f"unexpected {kind} in the provider")) from None


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
