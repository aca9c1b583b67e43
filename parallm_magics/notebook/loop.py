"""How a cell that cannot be awaited waits for its run."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from parallm_magics.core.browser import IN_BROWSER
from parallm_magics.errors import ParallmError

T = TypeVar("T")
Close = Callable[[], Awaitable[None]]


def run_to_end(run: Coroutine[Any, Any, T], close: Close) -> T:
    """Wait for a run where the cell itself cannot be awaited, such as below `%%time`.

    Args:
        close: gives back what the run opened, where it needs a loop of its own for the run.

    Raises:
        ParallmError: it would be needed, and this browser has none.
    """
    if IN_BROWSER:
        return _in_a_browser(run)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is not threading.main_thread():
            return _on_its_own_loop(run, close)
        from IPython.core.async_helpers import get_asyncio_loop

        loop = get_asyncio_loop()
    if not loop.is_running():
        return loop.run_until_complete(run)
    return _nested(loop, run) if _nestable(loop) else _in_a_thread(run, close)


def _in_a_browser(run: Coroutine[Any, Any, T]) -> T:
    """Let the page's loop go on in the middle of the cell, where the browser can do that."""
    from pyodide.ffi import can_run_sync, run_sync

    if not can_run_sync():
        run.close()
        raise ParallmError(
            "this browser cannot wait in the middle of a cell: let %%fanout or %%vote be the cell's first line, or "
            "await parallm_magics.vote(…)"
        )
    value: T = run_sync(run)
    return value


def _nested(loop: Any, run: Coroutine[Any, Any, T]) -> T:
    """Run on a loop that is running.

    asyncio's own step, in which the first such run happens, has counted the callbacks that it will
    take; where the run has taken them, it would find none and end the kernel.
    """
    ready = loop._ready  # noqa: SLF001  no public name tells how many there are
    counted = len(ready)
    try:
        value: T = loop.run_until_complete(run)
        return value
    finally:
        for _ in range(counted - len(ready)):
            loop.call_soon(_nothing)


def _nothing() -> None:
    """Stand in the place of a callback that a nested run has taken."""


def _nestable(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether the running loop can run another run inside a cell."""
    try:
        import nest_asyncio2
    except ImportError:
        return False
    # The archived nest_asyncio loses queued cells on current kernels; its patch is replaced.
    patch = getattr(type(loop), "_run_once", None)
    if getattr(patch, "__module__", "") == "nest_asyncio" and hasattr(type(loop), "_nest_patched"):
        delattr(type(loop), "_nest_patched")
    try:
        with warnings.catch_warnings():  # of the archived one, which is just being replaced
            warnings.simplefilter("ignore")
            nest_asyncio2.apply(loop)
    except ValueError:  # a loop that is not asyncio's own, such as uvloop's
        return False
    return True


def _on_its_own_loop(run: Coroutine[Any, Any, T], close: Close) -> T:
    async def closed() -> T:
        try:
            return await run
        finally:
            await close()

    # Not asyncio.run: a patched one keeps its loop open.
    with asyncio.Runner() as runner:
        return runner.run(closed())


def _in_a_thread(run: Coroutine[Any, Any, T], close: Close) -> T:
    """Run on a loop of its own in a thread, where the notebook's loop cannot be nested."""
    result: list[T] = []
    problem: list[BaseException] = []

    def work() -> None:
        try:
            result.append(_on_its_own_loop(run, close))
        # Whatever ended the run belongs to the cell, not to this thread.
        except BaseException as error:
            problem.append(error)

    # What is shown from the thread belongs to the cell, which the kernel keeps in the context.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), name="parallm")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return result[0]
