"""When the live table is drawn: after a moment, a few times a second, until the run ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

from IPython.core.displaypub import CapturingDisplayPublisher

from parallm_magics.core.tasks import Event
from parallm_magics.display import Board
from parallm_magics.notebook.widget import Cancel, Table

APPEARS_AFTER = 0.25
EVERY = 0.2
EVERY_OF_MANY = 0.25
"""Seconds between two drawings, and of a run of many workers, each of which costs the page more."""


class LiveTable:
    """Shows a board while a run lasts, at most five updates a second.

    A failing front end never fails a run: whatever goes wrong here ends the table, not the work.
    """

    def __init__(
        self, board: Board, cancel: Cancel | None = None, after: float = APPEARS_AFTER
    ) -> None:
        """Take what is to be shown, and what a click on Cancel does; None for no button.

        Args:
            after: seconds until the table appears.
        """
        self._after = after
        self._board = board
        self._changed = True
        self._table = Table(cancel)
        self._broken = False

    def tell(self, event: Event) -> None:
        """Take an event in; drawing waits for its turn."""
        if not self._broken:
            with self._surviving():
                self._board.tell(event)
                self._changed = True

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the table as long as this block runs."""
        drawing = asyncio.ensure_future(self._draw())
        try:
            yield
        finally:
            drawing.cancel()
            self._table.take_down()
            await asyncio.wait({drawing})

    async def _draw(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(self._after)
        while not self._broken:
            self._changed = False
            with self._surviving():
                self._table.draw(self._board.live_html(loop.time() - began))
            # Elapsed times move even where nothing happened, only more slowly.
            for _ in range(5):
                await asyncio.sleep(EVERY_OF_MANY if self._board.many else EVERY)
                if self._changed:
                    break

    @contextlib.contextmanager
    def _surviving(self) -> Any:
        try:
            yield
        # The table is a courtesy; answers must not be lost to it, whatever a front end raises.
        except Exception as error:
            self._broken = True
            missing = isinstance(error, ImportError)
            _say_once(str(error) if missing else type(error).__name__)


@functools.cache
def _say_once(why: str) -> None:
    print(f"parallm_magics: no live table ({why}); the run goes on", file=sys.stderr)


def wanted(shell: Any) -> bool:
    """Tell whether there is somebody to show a live table to; what `%%capture` shows later is not live."""
    return (
        os.environ.get("PARALLM_LIVE", "1") != "0"
        and not in_terminal(shell)
        and not isinstance(shell.display_pub, CapturingDisplayPublisher)
    )


def in_terminal(shell: Any) -> bool:
    """Tell whether the shell is IPython's own in a terminal, and no kernel's."""
    return getattr(shell, "kernel", None) is None


def hears_clicks(shell: Any) -> bool:
    """Tell whether the kernel takes in a click while a cell is awaited; ipykernel did not before 7.4."""
    version = re.match(r"(\d+)\.(\d+)", getattr(shell.kernel, "implementation_version", ""))
    return version is not None and (int(version[1]), int(version[2])) >= (7, 4)
