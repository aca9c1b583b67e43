"""Call code of the user's so that an interrupt ends it at once.

What makes items, labels or answers may take seconds, and holds the loop meanwhile. Whoever handles
the signal may then raise into it: here, and only here, somebody waits for what is raised.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class UserCodeInterrupted(Exception):
    """The user interrupted code of their own; what asked for it goes on without it.

    No KeyboardInterrupt: that one would leave through a loop that runs a task.
    """


class _Raised(KeyboardInterrupt):
    """What is raised into the user's code."""


class _MainThread:
    """What the main thread does; no other one hears signals.

    Attributes:
        inside: whether code of the user's is being called.
        refused: whether no more of it is to be called, as the runs that would call it are ending.
    """

    inside = False
    refused = False


MAIN_THREAD = _MainThread()


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the function gives.

    Raises:
        UserCodeInterrupted: the user interrupted it, or interrupted it a moment ago.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args, **kwargs)
    if MAIN_THREAD.refused:
        raise UserCodeInterrupted
    found: list[T] = []
    before = MAIN_THREAD.inside
    try:
        MAIN_THREAD.inside = True
        found.append(function(*args, **kwargs))
    except _Raised:
        # Where it came just after the end, what the function gave is not lost.
        if not found:
            raise UserCodeInterrupted from None
    finally:
        MAIN_THREAD.inside = before
    return found[0]


class Steps(Generic[T]):
    """Awaits something of the user's; each step that it takes on the loop can be interrupted."""

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._awaitable.__await__()
        try:
            waits_for = call(_step, steps.__next__)
            while not isinstance(waits_for, _Ended):
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    raise
                # A cancellation or a limit on time goes to the code that waits.
                except BaseException as error:
                    waits_for = call(_step, _thrown(steps, error))
                else:
                    waits_for = call(_step, _sent(steps, sent))
            value: T = waits_for.value
            return value
        finally:
            if isinstance(steps, Generator):
                steps.close()


class _Ended:
    """What an awaited code gave."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _step(step: Callable[[], Any]) -> Any:
    """Return what the code waits for, or its end."""
    try:
        return step()
    except StopIteration as end:
        return _Ended(end.value)


def _sent(steps: Any, value: Any) -> Callable[[], Any]:
    return steps.__next__ if value is None else lambda: steps.send(value)


def _thrown(steps: Any, error: BaseException) -> Callable[[], Any]:
    if not hasattr(steps, "throw"):  # an iterator of its own making
        raise error
    return lambda: steps.throw(error)


def interrupt() -> None:
    """End the user's code that is being called; called by whoever handles the signal.

    Raises:
        KeyboardInterrupt: into that code, where there is any.
    """
    if MAIN_THREAD.inside:
        MAIN_THREAD.inside = False
        raise _Raised


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Keep interrupts out of code of ours that code of the user's calls: nothing may be raised into its loop."""
    before = MAIN_THREAD.inside
    MAIN_THREAD.inside = False
    try:
        yield
    finally:
        MAIN_THREAD.inside = before
