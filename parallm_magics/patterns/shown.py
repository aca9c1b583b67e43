"""What a notebook shows of an object of ours, and what a terminal does."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parallm_magics import display

LEAST_COLUMNS = 20
"""Columns below which a terminal cannot be read any more."""


class Shown:
    """Something that is drawn when it is shown, or, where that is known, just before."""

    _ready: Mapping[str, str] | None = None
    _framed = True

    def _blocks(self) -> Sequence[display.Block]:
        raise NotImplementedError

    async def draw_soon(self) -> None:
        """Draw what is shown next; the loop has its turn between the steps, which may take milliseconds."""
        with contextlib.suppress(Exception):  # told by whoever shows it
            ready: dict[str, str] = {}
            for kind, text in _steps(self._blocks(), framed=self._framed):
                ready[kind] = text
                await asyncio.sleep(0)
            self._ready = ready

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        ready, self._ready = self._ready, None
        return ready or drawn(self._blocks(), framed=self._framed)

    def __str__(self) -> str:
        return printed(self._blocks())


class Picture(Shown):
    """Something to look at in a cell of its own."""

    def __init__(self, blocks: Sequence[display.Block], *, framed: bool = False) -> None:
        self._drawn, self._framed = tuple(blocks), framed

    def _blocks(self) -> Sequence[display.Block]:
        return self._drawn

    def __repr__(self) -> str:
        return str(self)


def printed(blocks: Sequence[display.Block]) -> str:
    """The blocks in full, as wide as the terminal that is written to."""
    columns = shutil.get_terminal_size().columns if _in_terminal() else display.COLUMNS
    return display.plain(blocks, max(columns, LEAST_COLUMNS), most=None)


def _in_terminal() -> bool:
    """Whether standard output is a terminal; that of a kernel, which is kept, is none."""
    return sys.stdout is not None and sys.stdout.isatty()


def drawn(blocks: Sequence[display.Block], *, framed: bool = True) -> dict[str, str]:
    """The blocks as a notebook keeps them, or as a terminal shows them."""
    return dict(_steps(blocks, framed=framed))


def _steps(blocks: Sequence[display.Block], *, framed: bool) -> Iterator[tuple[str, str]]:
    # What is kept never depends on who looks at it.
    yield "text/plain", printed(blocks) if _in_terminal() else display.plain(blocks)
    # A bug in a picture must not turn a run that has been paid for into an error.
    with contextlib.suppress(Exception):
        yield "text/html", display.html(blocks, framed=framed)
