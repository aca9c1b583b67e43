"""What time it is for a run: the event loop's, or one that passes only where nothing is left to do."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

LAST = 2**62
"""The order of what is to happen after all else of its moment; calls come in the order of their places."""
FIRST = -1
"""The order of what is to happen in a moment before any call ends in it."""
# Simulated time that is so many seconds behind its pace is not made up for.
LATE_SECONDS = 0.5
# How long virtual time waits for what takes real time, such as a function of the user's.
GRACE_SECONDS = 0.2
# How long virtual time goes on before others may run.
STRETCH_SECONDS = 0.01


class Cancellable(Protocol):
    """Work that is under way."""

    def cancel(self) -> Any:
        """End it where it waits."""


class Clock:
    """The running loop's monotonic clock.

    Attributes:
        virtual: whether its time passes only where nobody has anything to do.
        scale: the real seconds of one of its own.
    """

    virtual = False
    scale = 1.0

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
        if moment <= self.loop.time():
            return self.loop.call_soon(callback).cancel
        return self.loop.call_at(moment, callback).cancel

    def call_from_any_thread(self, callback: Callable[[], object]) -> None:
        """Call this soon on the loop; no more where that is closed, as the run is over then."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback)

    def finish_moment(self, callback: Callable[[], object]) -> None:
        """Call this once all calls that end in this very moment have ended; at once in real time."""
        callback()

    def call_held(self, callback: Callable[[], object]) -> None:
        """Call this as soon as the loop has turned, while no time passes."""
        self.loop.call_soon(callback)

    async def wait(self, waiter: Waiter) -> None:
        """Wait until somebody wakes the waiter."""
        await waiter

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

    def wait_outside(self) -> Callable[[], None]:
        """Wait for what takes real time in any case; gives back what is to be called after that."""
        return _nothing

    def start(
        self, work: Coroutine[Any, Any, None], ended: Callable[[Cancellable], None]
    ) -> Cancellable:
        """Begin a call; `ended` is told when it has, also one that was cancelled before its first step."""
        task = self.loop.create_task(work)
        task.add_done_callback(ended)
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

    Attributes:
        context: where what is begun in virtual time runs, so that it knows its clock.
    """

    virtual = True

    def __init__(self, scale: float = 0.0) -> None:
        """Take how many real seconds pass in a virtual one."""
        super().__init__()
        self.scale = scale
        self._now = 0.0
        self._busy = 1
        self._advancing = False
        self._patient = True
        self._alarms: list[tuple[float, int, int, Callable[[], object]]] = []
        self._off: set[int] = set()
        self._numbers = itertools.count()
        self._zero = self.loop.time()
        self.context = copy_context()
        self.context.run(_CLOCK.set, self)
        self._pause: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The virtual seconds since the clock was made."""
        return self._now

    @types.coroutine
    def sleep_until(self, moment: float, order: int = 0) -> Generator[Moment, None, None]:
        """Wait for a moment, while others may go on to it; for calls that `start` has begun."""
        yield Moment(moment, order)

    def call_at(
        self, moment: float, callback: Callable[[], object], order: int = LAST
    ) -> Callable[[], object]:
        """Call this at a moment, or as soon as possible where that has passed."""
        number = next(self._numbers)
        if not (self._busy or self._advancing):  # a call from outside, such as an interrupt
            if self._pause is not None:
                self._resume(self._pause)
            self.loop.call_soon(self._advance)
        moment = max(round(moment, 6), self._now)
        heapq.heappush(self._alarms, (moment, order, number, callback))
        return partial(self._off.add, number)

    def finish_moment(self, callback: Callable[[], object]) -> None:
        """Call this once all calls that end at this very moment have ended."""
        self.call_at(self._now, callback)

    def call_held(self, callback: Callable[[], object]) -> None:
        """Call this as soon as the loop has turned, while no time passes."""
        self.hold()

        def held() -> None:
            callback()
            self.release()

        self.loop.call_soon(held)

    async def wait(self, waiter: Waiter) -> None:
        """Wait until somebody wakes the waiter, while time may pass."""
        self.release()
        await waiter

    def hold(self) -> None:
        """Nothing happens but by whoever holds the clock."""
        self._busy += 1
        if self._pause is not None:
            self._resume(self._pause)

    def release(self) -> None:
        """Go on to the next moment where nobody else holds the clock."""
        self._busy -= 1
        if not self._busy:
            self._advance()

    def wait_outside(self) -> Callable[[], None]:
        """Hold the clock no longer than is good for others; gives back what holds it again.

        Where one takes long, real time is what it is about: nobody like it is waited for any more.
        """
        gone = False

        def let_go() -> None:
            nonlocal gone
            gone, self._patient = True, False
            self.release()

        timer = self.loop.call_later(GRACE_SECONDS if self._patient else 0.0, let_go)

        def back() -> None:
            timer.cancel()
            if gone:
                self.hold()

        return back

    def start(
        self, work: Coroutine[Any, Any, None], ended: Callable[[Cancellable], None]
    ) -> Cancellable:
        """Begin a call in this moment, whose steps the clock takes itself."""
        return Process(self, work, ended)

    def _advance(self) -> None:
        """Let moments come while nobody has anything to do, and the loop is not held for long."""
        if self._advancing:
            return
        self._advancing = True
        alarms, off, until = self._alarms, self._off, self.loop.time() + STRETCH_SECONDS
        try:
            while alarms:
                moment, order, number, alarm = alarms[0]
                if self._busy and (order != FIRST or moment > self._now):
                    return
                if number in off:
                    off.remove(number)
                    heapq.heappop(alarms)
                    continue
                if self.scale and self._is_ahead(moment):
                    return
                heapq.heappop(alarms)
                self._now = moment
                alarm()
                if self.loop.time() > until:
                    self.loop.call_soon(self._advance)
                    return
        finally:
            self._advancing = False

    def _resume(self, pause: asyncio.TimerHandle) -> None:
        """Something happens before the moment that is waited for in real time."""
        pause.cancel()
        self._pause = None
        passed = (self.loop.time() - self._zero) / self.scale
        self._now = max(self._now, min(round(passed, 6), self._alarms[0][0]))

    def _is_ahead(self, moment: float) -> bool:
        """Whether the moment has still to come in real time, to which it is looked again then."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if moment <= self._now:
            return False
        ahead = self._zero + moment * self.scale - self.loop.time()
        if ahead > 0:
            self._pause = self.loop.call_later(ahead, self._advance)
            return True
        if ahead < -LATE_SECONDS:
            self._zero -= ahead
        return False


class Moment(NamedTuple):
    """What a call in virtual time waits for."""

    at: float
    order: int


class Process:
    """A call in virtual time. It is no task: a loop's turn for each step would cost more than the step."""

    __slots__ = ("_back", "_cancelled", "_clock", "_ended", "_future", "_off", "_over", "_work")

    def __init__(
        self,
        clock: VirtualClock,
        work: Coroutine[Any, Any, None],
        ended: Callable[[Cancellable], None],
    ) -> None:
        self._clock, self._work, self._ended = clock, work, ended
        self._over = self._cancelled = False
        self._future: asyncio.Future[Any] | None = None
        self._off = clock.call_at(clock.now(), self._step, FIRST)

    def cancel(self) -> None:
        """End it in this moment, or as soon as what it waits for outside of virtual time has ended."""
        self._cancelled = True
        if self._future is not None:
            self._future.cancel()
            return
        self._off()
        self._off = self._clock.call_at(self._clock.now(), self._end, FIRST)

    def _end(self) -> None:
        if self._over:  # by the very step that has cancelled it
            return
        if self._future is not None:  # for which that step waits
            self._future.cancel()
            return
        self._off()
        self._step(asyncio.CancelledError())

    def _step(self, error: BaseException | None = None) -> None:
        """Take one step, and see to it that the next one is taken."""
        run, work = self._clock.context.run, self._work
        try:
            waits = run(work.send, None) if error is None else run(work.throw, error)
        except (StopIteration, asyncio.CancelledError):
            self._over = True
            self._ended(self)
        else:
            if type(waits) is Moment:
                self._off = self._clock.call_at(waits.at, self._step, waits.order)
            else:
                self._wait_outside(waits)

    def _wait_outside(self, future: asyncio.Future[Any]) -> None:
        """Hold the clock while code of the user's takes real time, as long as that is little."""
        self._clock.hold()
        self._back = self._clock.wait_outside()
        self._future = future
        future._asyncio_future_blocking = False  # noqa: SLF001 (as a task does it)
        future.add_done_callback(self._go_on)

    def _go_on(self, _: object) -> None:
        self._future = None
        self._back()
        try:
            # What was awaited may have ended before it could be cancelled, or in spite of that.
            self._step(asyncio.CancelledError() if self._cancelled else None)
        finally:
            self._clock.release()


class Waiter(asyncio.Future[None]):
    """One who waits; whoever wakes, fails or cancels it lets it hold the clock from that moment on."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(loop=clock.loop)
        self._clock = clock

    def wake(self) -> None:
        """Let it go on."""
        if not self.done():
            self._clock.hold()
            self.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Raise this where it waits."""
        if not self.done():
            self._clock.hold()
            self.set_exception(error)

    def cancel(self, msg: Any = None) -> bool:
        """End the waiting task."""
        if self.done():
            return False
        self._clock.hold()
        return super().cancel(msg)


def _nothing() -> None:
    """Do nothing."""


_CLOCK: ContextVar[Clock | None] = ContextVar("clock", default=None)


def running_clock() -> Clock:
    """The clock of the run that the caller is a part of; the loop's where there is none."""
    return _CLOCK.get() or Clock()


def real_time() -> Context:
    """A context for code of the user's: a run that it begins is no part of the one that calls it."""
    context = copy_context()
    context.run(_CLOCK.set, None)
    return context
