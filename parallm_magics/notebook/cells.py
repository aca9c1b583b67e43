"""Which cells are being executed, and whether code stands in one of them or in a task beside it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

Task = asyncio.Task[Any]


class Cells(threading.local):
    """The cells that this thread is executing, the innermost last: a cell may run another one.

    Each is told by the task that executes it; None where no loop runs.
    """

    def __init__(self) -> None:
        self._tasks: list[Task | None] = []

    def enter(self) -> None:
        """A cell begins in this thread."""
        self._tasks.append(current_task())

    def leave(self) -> None:
        """A cell ended in this thread; the one that loaded us was never seen to begin."""
        if self._tasks:
            self._tasks.pop()

    @property
    def level(self) -> int:
        """How many cells this thread is executing, one within the other."""
        return len(self._tasks)

    @property
    def task(self) -> Task | None:
        """The task of the outermost cell; None where there is none."""
        return self._tasks[0] if self._tasks else None

    @property
    def beside(self) -> bool:
        """Whether the code that asks runs on a loop, but not as a cell's own: in a task, a callback.

        An interrupt that is raised there would leave through the loop and end the process.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        task = current_task()
        return task is None or task not in self._tasks


def current_task() -> Task | None:
    """The task that is running; None without one."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
