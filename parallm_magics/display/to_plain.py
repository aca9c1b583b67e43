"""Every kind of block as aligned text, for terminals, logs and readers without html."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parallm_magics.display import kinds, looks, text
from parallm_magics.display.columns import columns_of, slowest

COLUMNS = 100
"""How wide a terminal is taken to be."""

_WIDE, _LEAST = 44, 8
"""Most characters of a cell of a report; to fewer columns than the second no cell of words is cut."""


def plain(blocks: Sequence[kinds.Block], columns: int = COLUMNS) -> str:
    """The blocks as lines of at most that many columns, without any control character."""
    lines: list[str] = []
    for block in sorted(blocks, key=lambda block: _PLACES.get(type(block), 0)):
        if drawn := _DRAWN[type(block)](block, columns):
            exact = isinstance(block, kinds.Prompt)
            wrapped = drawn if exact else [w for line in drawn for w in text.wrap(line, columns)]
            lines += ["", *wrapped]
    return "\n".join(lines[1:])


_PLACES = {kind: at for at, kind in enumerate((kinds.Workers, kinds.Text, kinds.Timeline), 1)}
"""A terminal shows its end: there the text of a run stands below its table."""


def _titled(title: str, *lines: str, note: str = "") -> list[str]:
    title = text.one_line(title, COLUMNS)
    above = [title, "-" * text.width(title)] if title else []
    return [*above, *lines, *([text.one_line(note, 500)] if note else [])]


def _heading(block: kinds.Heading, columns: int) -> list[str]:
    title = text.one_line(block.title, 300) + ("  [SIMULATED]" if block.simulated else "")
    about = [text.one_line(block.about, 1000)] if block.about else []
    lead = ["", text.one_line(block.lead, 900)] if block.lead else []
    return [title, *about, *lead]


def _bars(block: kinds.Bars, columns: int) -> list[str]:
    said = filter(None, (block.verdict, *block.lines, block.figures))
    names = [text.fit(text.one_line(bar.label), 24) for bar in block.bars]
    wide = max(map(text.width, names), default=0)
    weighs = max((len(bar.weighs) for bar in block.bars), default=0)
    room = min(columns - wide - weighs - 32, 40)
    lines = []
    for name, bar in zip(names, block.bars, strict=True):
        filled = min(round(bar.votes / max(block.requested, 1) * room), room)
        cells = [text.fit(name, wide, "left"), ("█" * filled).ljust(room, "·")]
        cells += [bar.weighs.ljust(weighs)] if weighs else []
        cells += [f"{bar.votes:,} of {block.requested:,}", bar.mark]
        lines.append("  ".join(cells).rstrip())
    lines += [text.count(block.more, "more label")] if block.more > 0 else []
    return _titled(block.title, *lines, *map(text.together, said))


def _workers(block: kinds.Workers, columns: int) -> list[str]:
    every = columns_of(block.rows, block.live, block.asked)
    shown = [column for column in every if not column.picture]
    cells = [
        [each.heading for each in shown],
        *([text.fit(text.one_line(c.words(row)), c.wide) for c in shown] for row in block.rows),
    ]
    widths = [max(text.width(line[at]) for line in cells) for at in range(len(shown))]
    widths[-1] = max(columns - sum(widths[:-1]) - 2 * (len(shown) - 1), _LEAST)
    lines = _aligned(cells, widths, [column.right for column in shown])
    return [*lines, *([block.more] if block.more else [])]


def _aligned(
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


def _timeline(block: kinds.Timeline, columns: int) -> list[str]:
    """The picture: · waits, █ runs."""
    longest = slowest(block.rows, 30) if len(block.rows) > 30 else block.rows
    rows = [*longest, *block.auxiliary]
    names = [text.fit(text.one_line(row.titled), 20) for row in rows]
    wide = max(map(text.width, names))
    room = min(columns - wide - 24, 50)
    lines = []
    for name, row in zip(names, rows, strict=True):
        took = row.seconds or 0.0
        shares = (
            at / block.span * room for at in (row.start - row.queued, row.start, row.start + took)
        )
        begin, run, end = (
            min(max(round(share), 0), room) if math.isfinite(share) else 0 for share in shares
        )
        end = max(end, run + (took > 0))
        picture = (" " * begin + "·" * (run - begin) + "█" * (end - run)).ljust(room)[:room]
        word = "" if row.state == "ok" else f" {looks.STATES[row.state].word}"
        lines.append(f"{text.fit(name, wide, 'left')}  {picture}  {text.seconds(took)}{word}")
    left_out = block.left_out(len(longest)) if len(longest) < block.workers else ""
    return [*lines, left_out + block.said]


def _table(table: kinds.Table, columns: int) -> list[str]:
    cells = [
        [text.one_line(name) for name in table.headings],
        *([text.one_line(cell, _WIDE) for cell in row] for row in table.rows),
    ]
    widths = [max(text.width(row[at]) for row in cells) for at in range(len(table.head))]
    right = [*map(table.right, range(len(widths)))]
    # First the column that may be cut, then the widest of words.
    words = [at for at in range(len(widths)) if not right[at]]
    for at in (table.rest, *sorted(words, key=lambda at: -widths[at])):
        over = sum(widths) + 2 * (len(widths) - 1) - columns
        if over > 0:
            widths[at] = max(widths[at] - over, min(widths[at], _LEAST))
    return _titled(table.title, *_aligned(cells, widths, right), note=table.note)


def _matrix(matrix: kinds.Matrix, columns: int) -> list[str]:
    names = [text.fit(text.one_line(name), 10) for name in matrix.names]
    wide = max(map(text.width, names), default=0)
    cells = [
        [name, *("" if at == other else text.correlation(v) for other, v in enumerate(values))]
        for at, (name, values) in enumerate(zip(names, matrix.values, strict=True))
    ]
    widths, right = [wide, *(max(5, wide) for _ in names)], [False, *(True for _ in names)]
    lines = _aligned([["", *names], *cells], widths, right)
    return _titled(matrix.title, *lines, note=matrix.note)


def _curve(curve: kinds.Curve, columns: int) -> list[str]:
    room = 40
    names = [text.one_line(name) for name in curve.names]
    lines = [f"{'':>3}  {'':{room}}  {names[0]:>14}  {names[1]:>14}"]
    for votes, (seen, ideal) in enumerate(curve.values, 1):
        bar = ("█" * round(seen * room)).ljust(room, "·")
        lines.append(f"{votes:>3}  {bar}  {text.points(seen):>14}  {text.points(ideal):>14}")
    return _titled(curve.title, *lines, note=curve.note)


def _facts(block: kinds.Facts, columns: int) -> list[str]:
    names = [text.fit(text.one_line(name), 24) for name, _ in block.facts]
    wide = max(map(text.width, names), default=0)
    lines = []
    for name, (_, value) in zip(names, block.facts, strict=True):
        first, *rest = text.wrap(text.one_line(value, 500), columns - wide - 2) or [""]
        lines.append(f"{text.fit(name, wide, 'left')}  {first}".rstrip())
        lines += [" " * (wide + 2) + line for line in rest]
    return lines


def _disclosure(block: kinds.Disclosure, columns: int) -> list[str]:
    if block.page_only:
        return []
    drawn = [line for each in block.blocks for line in _DRAWN[type(each)](each, columns)]
    return _titled(block.title, *drawn)


_DRAWN: Mapping[type, Callable[[Any, int], list[str]]] = {
    kinds.Heading: _heading,
    kinds.Notes: lambda block, _: [f"Note: {text.one_line(note, 500)}" for note in block.notes],
    kinds.Says: lambda block, _: [text.together(line) for line in block.lines],
    kinds.Lines: lambda block, _: _titled(
        block.title, *(text.one_line(each, 500) for each in block.lines)
    ),
    kinds.Bars: _bars,
    kinds.Text: lambda block, _: _titled(block.title, *text.plain(block.text.strip()).split("\n")),
    kinds.Workers: _workers,
    kinds.Timeline: _timeline,
    kinds.Table: _table,
    kinds.Matrix: _matrix,
    kinds.Curve: _curve,
    kinds.Facts: _facts,
    kinds.Prompt: lambda block, _: [
        f"--- {text.one_line(block.name)} ({text.one_line(block.model)})",
        *text.plain(block.text).split("\n"),
    ],
    # A picture of the page alone.
    kinds.Progress: lambda block, _: [],
    kinds.Disclosure: _disclosure,
}
