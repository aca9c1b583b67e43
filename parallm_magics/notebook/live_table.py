"""When a run is drawn while it lasts: after a moment, a few times a second, until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from IPython.core.displaypub import CapturingDisplayPublisher

from parallm_magics.core.browser import IN_BROWSER
from parallm_magics.core.tasks import Event
from parallm_magics.display import Board
from parallm_magics.notebook.terminal_line import TerminalLine
from parallm_magics.notebook.widget import Cancel, Table

APPEARS_AFTER = 0.25
EVERY = 0.2
EVERY_OF_MANY = 0.25
EVERY_OF_NOTHING = 1.0
"""Seconds between two drawings; of a run of many workers, and where only the clock has moved on."""
AHEAD_AFTER = 0.02
"""Seconds after an answer until it is drawn ahead: the next calls go out before that."""


class Surface(Protocol):
    """What a board is drawn on."""

    def draw(self, board: Board, now: float) -> None:
        """Show how things stand at that many seconds since the run's start."""

    def finish(self, board: Board) -> None:
        """Take in that nothing runs any more, and say so to who cannot see it."""

    def take_down(self) -> None:
        """Leave nothing behind."""


class LiveTable:
    """Shows a board while a run lasts, at most five times a second.

    A failing front end never fails a run: whatever goes wrong here ends the table, not the work.
    """

    def __init__(
        self,
        board: Board,
        surface: Surface,
        after: float = APPEARS_AFTER,
        later: Callable[[Callable[[], None]], None] = operator.call,
        *,
        followed: bool = False,
    ) -> None:
        """Take what is to be shown, and on what.

        Args:
            after: seconds until it appears.
            later: calls what it is given once the result stands beside the table.
            followed: whether the result follows at once: it would then wait for a picture that nobody sees.
        """
        self._after = after
        self._later = later
        self._followed = followed
        self._board = board
        self._ahead: asyncio.Handle | None = None
        self._changed = True
        self._surface = surface
        self._shown = self._broken = False
        self._began = 0.0
        self._loading: float | None = None

    def tell(self, event: Event) -> None:
        """Take an event in; drawing waits for its turn."""
        if self._broken:
            return
        try:  # no context manager: of a large run this is done many thousand times
            self._keep_time(event)
            self._board.tell(event)
            self._changed = True
            if self._ahead is None and event.kind in ("ended", "released"):
                loop = asyncio.get_running_loop()
                self._ahead = loop.call_later(AHEAD_AFTER, self._draw_ahead)
        except Exception as error:
            self._break(error)

    def _keep_time(self, event: Event) -> None:
        """Let no time pass while what the first calls need is loaded."""
        if event.kind == "loading":
            self._loading = asyncio.get_running_loop().time()
        elif event.kind == "loaded" and self._loading is not None:
            self._began += asyncio.get_running_loop().time() - self._loading
            self._loading = None

    def _now(self) -> float:
        """Seconds since the run's start."""
        now = asyncio.get_running_loop().time() if self._loading is None else self._loading
        return now - self._began

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[Callable[[Event], None]]:
        """Show the table as long as this block runs, and then until the result is there.

        Yields:
            what is to hear the run's events.
        """
        self._began = asyncio.get_running_loop().time()
        drawing = asyncio.ensure_future(self._draw())
        try:
            yield self.tell
        finally:
            drawing.cancel()
            if self._ahead is not None:
                self._ahead.cancel()
            if self._shown:
                self._show_last()
            await asyncio.wait({drawing})

    async def _draw(self) -> None:
        await asyncio.sleep(self._after)
        while not self._broken:
            self._changed, self._shown = False, True
            with self._surviving():
                self._surface.draw(self._board, self._now())
            every = EVERY_OF_MANY if self._board.many else EVERY
            await asyncio.sleep(every)
            # Elapsed times move even where nothing happened, only more slowly.
            for _ in range(round(EVERY_OF_NOTHING / every) - 1):
                if self._changed:
                    break
                await asyncio.sleep(every)

    def _draw_ahead(self) -> None:
        """Draw a piece of the result while others are waited for; these have their turn before the next."""
        self._ahead = None
        with self._surviving():
            if self._board.draw_ahead():
                self._ahead = asyncio.get_running_loop().call_soon(self._draw_ahead)

    def _show_last(self) -> None:
        """Leave the last picture where it is until the result has taken its place."""
        if not self._broken:
            with self._surviving():
                if self._changed and not self._followed:
                    self._surface.draw(self._board, self._now())
                self._surface.finish(self._board)
        self._later(self._surface.take_down)

    @contextlib.contextmanager
    def _surviving(self) -> Any:
        try:
            yield
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        """End the table: it is a courtesy, and answers must not be lost to it, whatever a front end raises."""
        self._broken = True
        missing = isinstance(error, ImportError)
        _say_once(str(error) if missing else type(error).__name__)


@functools.cache
def _say_once(why: str) -> None:
    print(f"parallm_magics: the live table failed ({why}); the run continues", file=sys.stderr)


def surface_for(shell: Any, cancel: Cancel | None) -> Surface | None:
    """Return what somebody sees a run on; None where nobody looks: what `%%capture` shows is not live.

    Args:
        cancel: what a click on Cancel does; None where the cell hears no click.
    """
    if os.environ.get("PARALLM_LIVE", "1") == "0":
        return None
    if in_terminal(shell):
        return TerminalLine(sys.stderr) if sys.stderr.isatty() else None
    if isinstance(shell.display_pub, CapturingDisplayPublisher):
        return None
    return Table(cancel if hears_clicks(shell) else None)


def in_terminal(shell: Any) -> bool:
    """Tell whether the shell is IPython's own in a terminal, and no kernel's."""
    return getattr(shell, "kernel", None) is None


def hears_clicks(shell: Any) -> bool:
    """Tell whether a click is heard while a cell is awaited; ipykernel took in none before 7.4."""
    if IN_BROWSER:
        return True
    version = re.match(r"(\d+)\.(\d+)", getattr(shell.kernel, "implementation_version", ""))
    return version is not None and (int(version[1]), int(version[2])) >= (7, 4)
