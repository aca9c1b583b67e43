"""Columns of a text: cells set beside each other, made to fit, below a title."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parallm_magics.display import text

COLUMNS = 100
"""How wide a text is that is kept, and a terminal that does not say."""

_LEAST = 8
"""To fewer columns than these no cell of words is cut."""


def titled(title: str, *lines: str, note: str = "") -> list[str]:
    """The lines below their title, which is underlined; nothing above them without one."""
    title = text.one_line(title, COLUMNS)
    above = [title, "-" * text.width(title)] if title else []
    return [*above, *lines, *([text.one_line(note, 500)] if note else [])]


def aligned(
    cells: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]
) -> list[str]:
    """Cells in columns of these widths, cut where they are longer."""
    return [
        "  ".join(
            text.fit(cell, wide, "right" if flush else "left")
            for cell, wide, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    ]


def squeeze(widths: list[int], order: Iterable[int], columns: int) -> None:
    """Take room from columns of words, in this order, until all of them fit."""
    for at in order:
        over = sum(widths) + 2 * (len(widths) - 1) - columns
        if over > 0:
            widths[at] = max(widths[at] - over, min(widths[at], _LEAST))
