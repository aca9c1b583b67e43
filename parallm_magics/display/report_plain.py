"""The blocks of a report as aligned text: tables, intervals, matrices and curves."""

from __future__ import annotations

from parallm_magics.display import kinds, text
from parallm_magics.display.plain_tables import aligned, squeeze, titled

_WIDE = 44
"""Most characters of a cell of a report."""


def table(block: kinds.Table, columns: int) -> list[str]:
    """The headings and the rows, made to fit."""
    cells = [
        [text.one_line(name) for name in block.headings],
        *([text.one_line(cell, _WIDE) for cell in row] for row in block.rows),
    ]
    widths = [max(text.width(row[at]) for row in cells) for at in range(len(block.head))]
    right = [*map(block.right, range(len(widths)))]
    # First the column that may be cut, then the widest of words.
    words = [at for at in range(len(widths)) if not right[at]]
    order = (block.rest, *sorted(words, key=lambda at: -widths[at]))
    squeeze(widths, order, columns)
    return titled(block.title, *aligned(cells, widths, right), note=block.note)


def dots(block: kinds.Dots, columns: int) -> list[str]:
    """A line a share, its interval drawn."""
    low, high = (f"{share * 100:.0f} %" for share in block.ends)
    heads = [text.one_line(name.removeprefix(">")) for name in block.head]
    rows = [[*map(text.one_line, row.cells)] for row in block.rows]
    names = [text.fit(text.one_line(row.name), 24) for row in block.rows]
    beside = [[heads[0], *names], *zip(heads[1:], *rows, strict=True)]
    widths = [max(map(text.width, column)) for column in map(list, beside[1:])]
    wide = max(map(text.width, beside[0]))
    room = max(min(columns - wide - sum(widths) - 2 * len(widths) - 4, 40), 16)
    pictures = [
        f"{low}{high:>{room - len(low)}}",
        *(_dotted(block, row, room) for row in block.rows),
    ]
    cells = list(zip(beside[0], pictures, *beside[1:], strict=True))
    lines = aligned(cells, [wide, room, *widths], [False, False, *[True] * len(widths)])
    return [*lines, *([text.one_line(block.note, 500)] if block.note else [])]


def _dotted(block: kinds.Dots, row: kinds.Dot, room: int) -> str:
    """A dot on the line of its interval, in so many columns; what it is held against as |."""
    low, middle, high = (
        round(block.along(each) * (room - 1)) for each in (row.low, row.share, row.high)
    )
    line = " " * low + "─" * (high - low + 1) + " " * (room - 1 - high)
    if row.mark is not None:
        mark = round(block.along(row.mark) * (room - 1))
        line = f"{line[:mark]}|{line[mark + 1 :]}"
    return f"{line[:middle]}●{line[middle + 1 :]}"


def matrix(block: kinds.Matrix) -> list[str]:
    """Names on both sides, a number where two meet."""
    names = [text.fit(text.one_line(name), 10) for name in block.names]
    wide = max(map(text.width, names), default=0)
    cells = [
        [name, *("" if at == other else text.correlation(v) for other, v in enumerate(values))]
        for at, (name, values) in enumerate(zip(names, block.values, strict=True))
    ]
    widths, right = [wide, *(max(5, wide) for _ in names)], [False, *(True for _ in names)]
    lines = aligned([["", *names], *cells], widths, right)
    return titled(block.title, *lines, note=block.note)


def curve(block: kinds.Curve) -> list[str]:
    """A bar for each number of votes."""
    room = 40
    names = [text.one_line(name) for name in block.names]
    lines = [f"{'':>3}  {'':{room}}  {names[0]:>14}  {names[1]:>14}"]
    for votes, (seen, ideal) in enumerate(block.values, 1):
        bar = ("█" * round(seen * room)).ljust(room, "·")
        lines.append(f"{votes:>3}  {bar}  {text.points(seen):>14}  {text.points(ideal):>14}")
    return titled(block.title, *lines, note=block.note)
