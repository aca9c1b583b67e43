"""Code of the user's is called so that whoever hears a signal can end it, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from parallm_magics.cell.items import items_of
from parallm_magics.core import user_code
from parallm_magics.core.user_code import Steps, UserCodeInterrupted, call


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A handler as the notebook has one."""
    before = signal.signal(signal.SIGINT, lambda *_: user_code.interrupt())
    yield
    signal.signal(signal.SIGINT, before)
    user_code.MAIN_THREAD.refused = False


def interrupt() -> None:
    """What Stop does."""
    os.kill(os.getpid(), signal.SIGINT)


def endless() -> None:
    """Code that only a signal ends."""
    while True:
        interrupt()


def test_user_code_is_ended_and_nothing_else() -> None:
    """Outside of it the same signal is heard, and raises nothing."""
    interrupt()
    with pytest.raises(UserCodeInterrupted):
        call(endless)
    interrupt()
    assert call(lambda: 3) == 3


def test_code_that_an_interrupt_would_pass_is_not_ended_by_an_exception_of_its_own() -> None:
    """`except Exception` around the user's code does not swallow it."""

    def stubborn() -> None:
        while True:
            with contextlib.suppress(Exception):
                interrupt()

    with pytest.raises(UserCodeInterrupted):
        call(stubborn)


def test_a_value_that_is_there_is_not_lost() -> None:
    """An interrupt within our own code, which calls it, comes too late."""

    def calls_us() -> int:
        with user_code.outside():
            interrupt()
        return 3

    assert call(calls_us) == 3


def test_what_code_raises_itself_is_its_own() -> None:
    """Its errors pass, also a KeyboardInterrupt that is none of ours."""
    for error in (ValueError, KeyboardInterrupt, StopIteration):

        def raising(error: type[BaseException] = error) -> None:
            raise error

        with pytest.raises(error):
            call(raising)


def test_runs_that_end_call_no_more_of_it() -> None:
    """After the first interrupt, hundreds of slow answers do not still have their turn."""
    user_code.MAIN_THREAD.refused = True
    with pytest.raises(UserCodeInterrupted):
        call(lambda: 3)
    user_code.MAIN_THREAD.refused = False
    assert call(lambda: 3) == 3


def test_threads_hear_no_signals() -> None:
    """There it is a plain call."""
    found: list[int] = []
    user_code.MAIN_THREAD.refused = True
    thread = threading.Thread(target=lambda: found.append(call(lambda: 3)))
    thread.start()
    thread.join()
    assert found == [3]


def test_a_step_of_awaited_code_is_ended_too() -> None:
    """Between its steps the loop is free, and nothing is raised into it."""

    async def slow() -> None:
        await asyncio.sleep(0)
        endless()

    async def fine() -> int:
        await asyncio.sleep(0)
        return 3

    async def main() -> None:
        with pytest.raises(UserCodeInterrupted):
            await Steps(slow())
        assert await Steps(fine()) == 3

    asyncio.run(main())


def test_awaited_code_is_cancelled_and_limited_as_ever() -> None:
    """It may clean up, and even refuse."""
    cleaned: list[str] = []

    async def waiting() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cleaned.append("up")
            raise
        return "never"

    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "stayed"
        return "never"

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Steps(waiting())
        task = asyncio.ensure_future(Steps(stubborn()))
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "stayed"
        with pytest.raises(ValueError, match="no"):
            await Steps(failing())

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    asyncio.run(main())
    assert cleaned == ["up"]


def _slow_second(at: Callable[[], None]) -> Any:
    """A class whose second item is slow once, and then there."""

    class Docs:
        def __init__(self) -> None:
            self.count = 0
            self.slow = True

        def __iter__(self) -> Docs:
            return self

        def __next__(self) -> int:
            if self.count == 1 and self.slow:
                self.slow = False
                at()
            self.count += 1
            return self.count

    return Docs()


def test_an_interrupted_source_goes_on_with_the_same_item() -> None:
    """Where it can: no item is skipped."""
    reader = items_of(_slow_second(endless), "docs").read()
    assert next(reader) == 1
    with pytest.raises(UserCodeInterrupted):
        next(reader)
    assert [next(reader), next(reader)] == [2, 3]


def test_an_interrupted_generator_says_that_it_cannot_go_on() -> None:
    """Python ends it; a retry must not take that for its end."""

    def docs() -> Iterator[int]:
        yield 1
        endless()
        yield 2

    reader = items_of(docs(), "docs").read()
    assert next(reader) == 1
    with pytest.raises(UserCodeInterrupted):
        next(reader)
    with pytest.raises(
        Exception, match="docs is a generator that was interrupted while it produced item 2"
    ):
        next(reader)
