"""An event loop whose clock jumps to the next timer instead of waiting for it.

A test of a 60-second limit takes a millisecond, and its times are exact. Sockets and signals work
as ever. What is given to a thread runs at once, in no virtual time: a thread would not hold the clock.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping


class Outcome(NamedTuple):
    """What a coroutine returned, and the virtual seconds that it took."""

    result: Any
    seconds: float


class VirtualSelector(selectors.BaseSelector):
    """A real selector that adds its timeout to a counter where a real one would sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready at once; with nothing ready, the clock moves on by the timeout."""
        ready = self._real.select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("hung: every task waits, and no timer is set that could wake one")
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the real selector does."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As the real selector does."""
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the real selector does."""
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As the real selector does."""
        return self._real.get_map()

    def close(self) -> None:
        """As the real selector does."""
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0 and moves only while nothing can run."""

    def __init__(self) -> None:
        self._clock = VirtualSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._clock.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """The outcome of the function, which is called here and now."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run_virtual(work: Coroutine[Any, Any, Any]) -> Outcome:
    """Run a coroutine to its end: its result and the virtual seconds that it took.

    Raises:
        RuntimeError: the coroutine waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(work)
        return Outcome(result, runner.get_loop().time())
