"""The live view of a board as one text."""

from __future__ import annotations

from parallm_magics.display import Board, html


def live_html(board: Board, now: float) -> str:
    """What a page shows of a run at that many seconds since its start, folds opened up."""
    return str(html(board.blocks(now)))
