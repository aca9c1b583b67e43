"""How a cell waits for a run: on the notebook's own loop, and stoppable by an interrupt."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any, TypeVar

from parallm_magics.engine.pump import Stop

T = TypeVar("T")


class RunInterrupted(KeyboardInterrupt):
    """The user interrupted a run; what was done is kept. Shown as one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


# Front ends and test tools look for this name.
RunInterrupted.__name__ = "KeyboardInterrupt"


async def interruptible(run: Coroutine[Any, Any, T], stop: Stop) -> T | None:
    """Await a run; the first interrupt stops its workers, a second one stops waiting for them.

    Returns:
        The run's result; None where a second interrupt left it behind.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(run)
    left = loop.create_future()

    def leave() -> None:
        if not left.done():
            left.set_result(None)

    def interrupted() -> None:
        if stop.reason:
            leave()
        stop("interrupted")

    with _sigint(loop, interrupted):
        try:
            await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            if not task.done():
                task.cancel()
                task.add_done_callback(_retrieve)
    return None if not task.done() or task.cancelled() else task.result()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this task any more; its exception must not be reported as lost."""
    if not task.cancelled():
        task.exception()


@contextlib.contextmanager
def _sigint(loop: asyncio.AbstractEventLoop, interrupted: Any) -> Iterator[None]:
    """Hand interrupts to the loop. Raising from the handler would end the kernel's process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(*_: object) -> None:
        loop.call_soon_threadsafe(interrupted)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def wait(run: Awaitable[T]) -> T:
    """Wait for a run where the cell itself cannot be awaited, such as below `%%time`."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from IPython.core.async_helpers import get_asyncio_loop

        loop = get_asyncio_loop()
    if not loop.is_running():
        return loop.run_until_complete(_awaited(run))
    if not _nestable(loop):
        return _in_a_thread(run)
    return loop.run_until_complete(_awaited(run))


async def _awaited(run: Awaitable[T]) -> T:
    return await run


def _nestable(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the running loop can run another run inside a cell."""
    import nest_asyncio2

    # The archived nest_asyncio loses queued cells on current kernels; its patch is replaced.
    patch = getattr(type(loop), "_run_once", None)
    if getattr(patch, "__module__", "") == "nest_asyncio" and hasattr(type(loop), "_nest_patched"):
        delattr(type(loop), "_nest_patched")
    try:
        nest_asyncio2.apply(loop)
    except ValueError:  # a loop that is not asyncio's own, such as uvloop's
        return False
    return True


def _in_a_thread(run: Awaitable[T]) -> T:
    """Run on a loop of its own in a thread, where the notebook's loop cannot be nested."""
    result: list[T] = []
    problem: list[BaseException] = []

    def work() -> None:
        try:
            result.append(asyncio.run(_awaited(run)))
        # Whatever ended the run belongs to the cell, not to this thread.
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=work, name="parallm")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return result[0]
