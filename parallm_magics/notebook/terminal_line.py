"""One line of progress in a terminal, written over in place and gone at the end."""

from __future__ import annotations

import shutil
from typing import TextIO

from parallm_magics.display import Board

_TO_THE_END = "\x1b[K"


class TerminalLine:
    """Tells on a terminal how far a run is; what is printed after it finds an empty line."""

    def __init__(self, terminal: TextIO) -> None:
        """Take the terminal."""
        self._terminal = terminal

    def draw(self, board: Board, now: float) -> None:
        """Write how things stand at that many seconds since the run's start."""
        # In the last column a terminal would go on to the next line.
        self._write(board.line(now)[: shutil.get_terminal_size().columns - 1])

    def finish(self, board: Board) -> None:
        """Take the line away, before the result is printed."""
        self._write("")

    def take_down(self) -> None:
        """Do no more: nothing has stayed."""

    def _write(self, line: str) -> None:
        self._terminal.write(f"\r{line}{_TO_THE_END}")
        self._terminal.flush()
