"""What an interrupt does to a run: it stops the workers, and what is done is kept."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from parallm_magics.engine.stop import Stop

T = TypeVar("T")

GRACE = 0.25  # stopping takes milliseconds; whoever interrupts again is not kept longer than this


class RunInterrupted(KeyboardInterrupt):
    """The user interrupted a run; what was done is kept. Shown as one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


# Front ends and test tools look for this name.
RunInterrupted.__name__ = "KeyboardInterrupt"


class Patience:
    """Waits for one run, as long as the user does.

    Attributes:
        stop: stops the run's workers.
        asked: why the run is to end, from the moment that somebody wants it to; else "".
        loop: where the run is; None before it has begun.
        over: set when nothing of the run is left.
        awaited: whether the cell is awaited, so that the kernel hears other messages meanwhile.
    """

    def __init__(self, awaited: bool = True) -> None:
        self.awaited = awaited
        self.stop = Stop()
        self.asked = ""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.over = asyncio.Event()
        self._left: asyncio.Future[None] | None = None

    def end(self, reason: str = "interrupted") -> None:
        """Stop the run, from any thread or signal handler; asked again, soon stop waiting as well."""
        self.asked = self.asked or reason
        if self.loop is None:  # no worker yet: those to come will find the stop
            self.stop(reason)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the run
            self.loop.call_soon_threadsafe(self._end, reason)

    async def wait_for(self, run: Coroutine[Any, Any, T]) -> T | None:
        """The run's result; None where the wait ended before the run did."""
        loop = self.loop = asyncio.get_running_loop()
        left = self._left = loop.create_future()
        task = loop.create_task(run)
        while not task.done() and not left.done():
            try:
                await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
            # An interrupt from before the cell listened to it arrives as a cancellation.
            except asyncio.CancelledError:
                self._end("interrupted")
        left.cancel()
        if not task.done():
            task.add_done_callback(_retrieve)
            task.cancel()
            return None
        if task.cancelled():
            self._end("cancelled")
            return None
        return task.result()

    def _end(self, reason: str) -> None:
        self.asked = self.asked or reason
        if self.stop.reason and self.loop is not None:
            self.loop.call_later(GRACE, self._leave)
        self.stop(reason)

    def _leave(self) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)


class Interrupts:
    """Hands SIGINT to the runs of the main thread.

    Raising from the handler would end the kernel's process, or leave workers behind.
    """

    def __init__(self) -> None:
        self._waiting: list[Patience] = []
        self._before: Any = None

    @contextlib.contextmanager
    def end(self, patience: Patience) -> Iterator[None]:
        """Let interrupts end this run as long as the block runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._waiting.append(patience)
        if len(self._waiting) == 1:
            self._before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            self._waiting.remove(patience)
            if not self._waiting:
                signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, *_: object) -> None:
        for patience in self._waiting:
            patience.end()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this task any more; its exception must not be reported as lost."""
    if not task.cancelled():
        task.exception()
