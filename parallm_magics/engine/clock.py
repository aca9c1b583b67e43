"""What time it is for a run: the event loop's, or one that passes only where nothing is left to do."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

LAST = 2**62
"""The order of what is to happen after all else of its moment; calls come in the order of their places."""
# Simulated time that is so many seconds behind its pace is not made up for.
LATE = 0.5


class Signal(Protocol):
    """An `asyncio.Event` of a clock: who waits for one has nothing to do meanwhile."""

    def set(self) -> None:
        """Wake who waits for it."""

    def clear(self) -> None:
        """From now on whoever waits for it waits for the next `set`."""

    async def wait(self) -> Any:
        """Wait until it is set."""


class Clock:
    """The running loop's monotonic clock.

    Attributes:
        virtual: whether its time passes only where nobody has anything to do.
    """

    virtual = False

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def now(self) -> float:
        """The time in seconds, counted from some moment in the past."""
        return self.loop.time()

    async def sleep_until(self, moment: float, order: int = 0) -> None:
        """Wait for a moment; of those who wait for the same one the lower order is first."""
        await asyncio.sleep(moment - self.now())

    def call_at(
        self, moment: float, callback: Callable[[], object], order: int = LAST
    ) -> Callable[[], object]:
        """Call this at a moment; gives back what takes it off again."""
        return self.loop.call_at(moment, callback).cancel

    def finish_moment(self, callback: Callable[[], object]) -> None:
        """Call this once all calls that end at this very moment have ended; at once in real time."""
        callback()

    def signal(self) -> Signal:
        """A new signal; those made earlier are the first to hear of the same moment."""
        return asyncio.Event()

    def hold(self) -> None:
        """One more has something to do: until as many `release` it, virtual time does not pass."""

    def release(self) -> None:
        """One has nothing to do any more."""

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that holds the clock from now on, except where it waits for it."""
        task = self.loop.create_task(work)
        self.hold()
        task.add_done_callback(lambda _: self.release())
        return task

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While the caller only waits for tasks that hold the clock themselves."""
        self.release()
        try:
            yield
        finally:
            self.hold()


class VirtualClock(Clock):
    """A clock that moves on to the next moment as soon as nobody has anything to do.

    What happens is then a matter of the moments alone, not of how fast the machine is: at each of
    them the sleepers are woken one by one, each with all that follows from it. Whoever makes the
    clock holds it.
    """

    virtual = True

    def __init__(self, scale: float = 0.0) -> None:
        """Take how many real seconds pass in a virtual one."""
        super().__init__()
        self._scale = scale
        self._now = 0.0
        self._busy = 1
        self._advancing = False
        self._moments: list[tuple[float, int, int]] = []
        self._alarms: dict[tuple[float, int, int], Callable[[], object]] = {}
        self._numbers = itertools.count()
        self._signals = itertools.count(LAST + 1)
        self._zero = self.loop.time()
        self._pause: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The virtual seconds since the clock was made."""
        return self._now

    async def sleep_until(self, moment: float, order: int = 0) -> None:
        """Wait for a moment, while others may go on to it."""
        waiter = Waiter(self)
        off = self.call_at(moment, waiter.wake, order)
        self.release()
        try:
            await waiter
        except asyncio.CancelledError:
            off()
            raise

    def call_at(
        self, moment: float, callback: Callable[[], object], order: int = LAST
    ) -> Callable[[], object]:
        """Call this at a moment, or as soon as possible where that has passed."""
        key = (max(round(moment, 6), self._now), order, next(self._numbers))
        self._alarms[key] = callback
        heapq.heappush(self._moments, key)
        if not (self._busy or self._advancing):  # a call from outside, such as an interrupt
            self.loop.call_soon(self._advance)
        return partial(self._alarms.pop, key, None)

    def finish_moment(self, callback: Callable[[], object]) -> None:
        """Call this once all calls that end at this very moment have ended."""
        self.call_at(self._now, callback)

    def signal(self) -> Signal:
        """A signal that wakes at the end of the moment in which it is set."""
        return VirtualSignal(self, next(self._signals))

    def hold(self) -> None:
        """Nothing happens but by whoever holds the clock."""
        self._busy += 1
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            passed = (self.loop.time() - self._zero) / self._scale
            self._now = max(self._now, min(passed, self._moments[0][0]))

    def release(self) -> None:
        """Go on to the next moment where nobody else holds the clock."""
        self._busy -= 1
        if not self._busy:
            self._advance()

    def _advance(self) -> None:
        """Let moments come while nobody has anything to do."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while not self._busy and self._moments:
                key = self._moments[0]
                if key in self._alarms and self._is_ahead(key[0]):
                    return
                heapq.heappop(self._moments)
                if alarm := self._alarms.pop(key, None):
                    self._now = key[0]
                    alarm()
        finally:
            self._advancing = False

    def _is_ahead(self, moment: float) -> bool:
        """Whether the moment has still to come in real time, to which it is looked again then."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not self._scale or moment <= self._now:
            return False
        ahead = self._zero + moment * self._scale - self.loop.time()
        if ahead > 0:
            self._pause = self.loop.call_later(ahead, self._advance)
            return True
        if ahead < -LATE:
            self._zero -= ahead
        return False


class Waiter(asyncio.Future[None]):
    """One who waits; whoever wakes or cancels it lets it hold the clock from that moment on."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(loop=clock.loop)
        self._clock = clock

    def wake(self) -> None:
        """Let it go on."""
        if not self.done():
            self._clock.hold()
            self.set_result(None)

    def cancel(self, msg: Any = None) -> bool:
        """End the waiting task."""
        if self.done():
            return False
        self._clock.hold()
        return super().cancel(msg)


class VirtualSignal:
    """A signal that is heard once the moment in which it is set is over."""

    def __init__(self, clock: VirtualClock, order: int) -> None:
        self._clock, self._order = clock, order
        self._is_set = False
        self._waiter: Waiter | None = None

    def set(self) -> None:
        """Wake who waits for it, at the end of this moment."""
        if not self._is_set:
            self._is_set = True
            if self._waiter is not None:
                self._clock.call_at(self._clock.now(), self._waiter.wake, self._order)

    def clear(self) -> None:
        """Forget that it was set."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until it is set and the moment is over."""
        if self._is_set:
            await self._clock.sleep_until(self._clock.now(), self._order)
            return
        self._waiter = Waiter(self._clock)
        self._clock.release()
        try:
            await self._waiter
        finally:
            self._waiter = None


_CLOCK: ContextVar[Clock] = ContextVar("clock")


def running_clock() -> Clock:
    """The clock of the run that the caller is a part of; the loop's where there is none."""
    return _CLOCK.get(None) or Clock()


def run_on(clock: Clock) -> None:
    """Let the running task, and all that it begins, live on this clock."""
    _CLOCK.set(clock)
