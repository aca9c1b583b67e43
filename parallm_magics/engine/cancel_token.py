"""Stop a run from outside: its workers are cancelled, what is done is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Stop:
    """Whether somebody has stopped a run.

    Attributes:
        reason: why, once somebody has; else "".
    """

    reason: str = ""
    _hooks: list[Callable[[], None]] = field(default_factory=list)

    def __call__(self, reason: str) -> None:
        """Stop; a second call changes nothing. Must be called on the run's loop."""
        if not self.reason:
            self.reason = reason
            for hook in list(self._hooks):
                hook()

    def on_stop(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call this when somebody stops the run; gives back what takes the hook off again."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def within(self) -> Stop:
        """A stop of its own for a part of the run, which this one stops too."""
        inner = Stop(self.reason)
        if not self.reason:
            self._hooks.append(lambda: inner(self.reason))
        return inner


async def unless_stopped(work: Coroutine[Any, Any, T], stop: Stop) -> T | None:
    """What comes of the work; None where the stop has ended it, as an import or a reply may take long."""
    task = asyncio.ensure_future(work)

    def cancel() -> None:
        task.cancel()

    off = stop.on_stop(cancel)
    try:
        if stop.reason:
            cancel()
        await asyncio.wait({task})
    finally:
        off()
        cancel()
    return None if task.cancelled() and stop.reason else task.result()
