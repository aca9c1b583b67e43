"""What an interrupt does to a run: it stops the workers, and what is done is kept."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from parallm_magics.core import user_code
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.notebook.cells import Cells, current_task

T = TypeVar("T")
Handler = Callable[[int, Any], Any]

GRACE = 0.25  # stopping takes milliseconds; whoever interrupts again is not kept longer than this


class _OneLine:
    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


class RunInterrupted(_OneLine, KeyboardInterrupt):
    """The user interrupted a run; what was done is kept. Shown as one line.

    Attributes:
        run: the run as far as it came; None where it had not begun.
    """

    run: Any = None


class TaskInterrupted(_OneLine, asyncio.CancelledError, KeyboardInterrupt):
    """The same in a task: it ends as cancelled, and whoever awaits it gets this.

    A mere KeyboardInterrupt would leave through the loop and end the process.
    """

    run: Any = None


class CallbackInterrupted(_OneLine, asyncio.CancelledError):
    """The same in a callback, which no task stands around."""

    run: Any = None


# Front ends and test tools look for this name.
for _kind in (RunInterrupted, TaskInterrupted, CallbackInterrupted):
    _kind.__name__ = "KeyboardInterrupt"


Interruption = RunInterrupted | TaskInterrupted | CallbackInterrupted


def _interruption(cells: Cells) -> type[Interruption]:
    """Tell how code that runs here is told of an interrupt."""
    with contextlib.suppress(RuntimeError):  # no loop runs
        task = asyncio.current_task()
        # What is raised beside a cell, in a task or a callback, would leave through the loop.
        if task is None:
            return CallbackInterrupted
        if task not in cells.tasks:
            return TaskInterrupted
    return RunInterrupted if _in_main_thread() or cells.tasks else TaskInterrupted


class InterruptibleWait:
    """Waits for one run, as long as the user does.

    Attributes:
        stop: stops the run's workers.
        asked: why the run is to end, from the moment that somebody wants it to; else "".
        loop: where the run is; None before it has begun.
        over: set when nothing of the run is left.
        awaited: whether the cell is awaited, so that the kernel hears other messages meanwhile.
        interruption: how the code that waits is told that the user wanted it to end.
    """

    def __init__(self, awaited: bool = True) -> None:
        self.awaited = awaited
        self.interruption: type[Interruption] = RunInterrupted
        self.stop = Stop()
        self.asked = ""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.over = asyncio.Event()
        self._left: asyncio.Future[None] | None = None

    @property
    def beside(self) -> bool:
        """Whether it runs in a task, a callback or a thread beside the cell's own code."""
        return self.interruption is not RunInterrupted

    def end(self, reason: str = "interrupted") -> None:
        """Stop the run, from any thread or signal handler; asked again, soon stop waiting as well."""
        self.asked = self.asked or reason
        if self.loop is None:  # no worker yet: those to come will find the stop
            self.stop(reason)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the run
            self.loop.call_soon_threadsafe(self._end, reason)

    async def wait_for(self, run: Coroutine[Any, Any, T]) -> T | None:
        """Return the run's result; None where the wait ended before the run did."""
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
    """Hands SIGINT to the runs.

    Raising from the handler would end the kernel's process, or leave workers behind.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._waiting: list[InterruptibleWait] = []
        self._before: Handler | int | None = None
        self._beside: Callable[[], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        if _in_main_thread():
            self._listen()

    @contextlib.contextmanager
    def end(self, wait: InterruptibleWait) -> Iterator[None]:
        """Let interrupts end this run as long as the block runs.

        Only the main thread hears signals; a run of another thread asks it to listen. A subshell's
        cell is not meant by them.
        """
        wait.interruption = _interruption(self._cells)
        is_main = _in_main_thread()
        if not is_main and self._cells.tasks:
            yield
            return
        do = operator.call if is_main else self._do_in_main
        is_called = is_main and user_code.MAIN_THREAD.inside
        self._waiting.append(wait)
        do(self._listen)
        try:
            with user_code.outside() if is_called else contextlib.nullcontext():
                yield
        finally:
            self._waiting.remove(wait)
            do(self._hand_back)

    def _do_in_main(self, do: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(do)

    def _listen(self) -> None:
        """Hear interrupts; the kernel sets a handler of its own for each cell, so each time anew."""
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        now = signal.getsignal(signal.SIGINT)
        if self._waiting and now != self._interrupted and now is not None:
            self._before = now
            signal.signal(signal.SIGINT, self._interrupted)

    def _hand_back(self) -> None:
        """Hear no more where no run is left, unless somebody else has taken over meanwhile."""
        if self._waiting:
            return
        user_code.MAIN_THREAD.refused = False
        if signal.getsignal(signal.SIGINT) == self._interrupted and self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._beside is not None:
            self._interrupt_cell()

    def _interrupted(self, number: int, frame: Any) -> None:
        """Stop every run; where all of them run beside the cell, the cell is interrupted after them."""
        again = self._beside
        for wait in tuple(self._waiting):  # threads take theirs off the list as they end
            wait.end()
        if self._waiting:
            user_code.MAIN_THREAD.refused = True
        if all(wait.beside for wait in self._waiting):
            self._leave_cell(number, frame, at_once=again is not None or not self._waiting)
        user_code.interrupt()

    def _leave_cell(self, number: int, frame: Any, *, at_once: bool) -> None:
        """Interrupt the cell as it would be without us: at once where it is on the stack itself."""
        before = self._before
        task = self._cells.tasks[0] if self._cells.tasks else None
        if self._waiting and not self._cells.tasks:
            return  # no cell is there, such as in a script or a button's callback
        if before is signal.default_int_handler:
            running = current_task()
            if running is None or running is task:
                signal.default_int_handler(number, frame)
            elif task is not None:
                self._beside = task.cancel
        elif callable(before):
            self._beside = lambda: before(number, frame)
        if at_once:
            self._interrupt_cell()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, GRACE, self._interrupt_cell)

    def _interrupt_cell(self) -> None:
        """Interrupt the cell whose runs have ended, so that it does not go on without them."""
        cell, self._beside = self._beside, None
        if cell is not None:
            cell()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take the exception of a task that nobody waits for, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()
