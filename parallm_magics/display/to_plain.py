"""Every kind of block as aligned text, for terminals, logs and readers without html."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics.display import kinds, looks, report_plain, text, typed_plain
from parallm_magics.display.call_rows import Row, slowest
from parallm_magics.display.columns import Column
from parallm_magics.display.definitions import definition
from parallm_magics.display.field_columns import is_field, table_columns
from parallm_magics.display.plain_tables import COLUMNS, aligned, squeeze, titled

MOST = 2_000
"""Most characters of an answer in a text that is kept; what is printed has all of them."""

_STRIP, _LINE = 20, 500
"""Columns of a bar in the table, and the characters of an answer that are looked at for a line in it."""

_PIXELS = 9
"""A terminal's column in pixels: what gives way on a narrow page gives way in a narrow terminal."""

_LEAST_ANSWER = 8
"""Columns that the fields of typed answers leave beside them for what else was said."""

_BELOW, _INDENT = "below", "  "

_SHOWS_ALL = ": print() of the run shows all"


@dataclass(frozen=True, slots=True)
class _Page:
    """What is written on.

    Attributes:
        columns: how wide it is.
        most: most characters of a model's text; None for all of them.
        told: texts that stand under a title of their own.
    """

    columns: int
    most: int | None
    told: frozenset[str] = frozenset()


def plain(blocks: Sequence[kinds.Block], columns: int = COLUMNS, most: int | None = MOST) -> str:
    """The blocks as lines of at most that many columns, without any control character.

    Args:
        most: most characters of a model's text, the cut said; None for all of them.
    """
    texts = (block for block in blocks if isinstance(block, kinds.Text))
    page = _Page(columns, most, frozenset(block.text.strip() for block in texts if block.title))
    lines: list[str] = []
    for block in blocks:
        if drawn := _DRAWN[type(block)](block, page):
            exact = isinstance(block, kinds.Prompt)
            wrapped = drawn if exact else [w for line in drawn for w in text.wrap(line, columns)]
            lines += ["", *wrapped]
    return "\n".join(lines[1:])


def _heading(block: kinds.Heading, page: _Page) -> list[str]:
    title = text.one_line(block.title, 300) + ("  [SIMULATED]" if block.simulated else "")
    about = [text.one_line(block.about, 1000)] if block.about else []
    lead = ["", text.one_line(block.lead, 900)] if block.lead else []
    return [title, *about, *lead]


def _bars(block: kinds.Bars, page: _Page) -> list[str]:
    said = filter(None, (block.verdict, *block.lines, *block.statistics))
    names = [text.fit(text.one_line(bar.label), 24) for bar in block.bars]
    wide = max(map(text.width, names), default=0)
    weighs = max((len(bar.weighs) for bar in block.bars), default=0)
    room = min(page.columns - wide - weighs - 32, 40)
    lines = []
    for name, bar in zip(names, block.bars, strict=True):
        filled = min(round(bar.votes / max(block.requested, 1) * room), room)
        cells = [text.fit(name, wide, "left"), ("█" * filled).ljust(room, "·")]
        cells += [bar.weighs.ljust(weighs)] if weighs else []
        cells += [f"{bar.votes:,} of {block.requested:,}", bar.mark]
        lines.append("  ".join(cells).rstrip())
    lines += [text.count(block.more, "more label")] if block.more > 0 else []
    return [*lines, *map(text.together, said)]


def _workers(block: kinds.Workers, page: _Page) -> list[str]:
    """The table, with the answers that are short; the others stand in full below it."""
    has_times = block.live or block.span > 0
    *every, last = table_columns(block.rows, block.live, block.asked, pictured=has_times)
    written = {
        column: _written(column, block) for column in every if column.room <= page.columns * _PIXELS
    }
    shown = _fitting(written, page)
    left_out = len(shown) < len(written)
    answers = [*map(_answer_of, block.rows)]
    lines, cells = _beside(_unpictured(shown), answers, block, page)
    pictured, fewer = _beside(shown, answers, block, page)
    # The picture gives way where words would.
    if cells == fewer and _widest(pictured) <= page.columns:
        lines = pictured
    if {*cells} - {"", _BELOW}:
        beside, wide = (last.heading, *cells), _widest(lines)
        both = zip(lines, beside, strict=True)
        lines = [f"{text.fit(line, wide, 'left')}  {cell}".rstrip() for line, cell in both]
    lines += [block.more] if block.more else []
    details = block.details or ((),) * len(block.rows)
    for row, cell, detail in zip(block.rows, cells, details, strict=True):
        told = [*detail]
        if left_out and row.fields and not any(isinstance(d, kinds.Definition) for d in detail):
            told.insert(0, definition(row.fields))
        lines += [] if block.live else _in_full(row, cell, told, page)
    return lines


_Written = Mapping[Column, Sequence[str]]
"""The heading and the cells of each column."""


def _fitting(columns: _Written, page: _Page) -> _Written:
    """The columns without the last fields that are too many for the page."""
    shown = {**columns}
    fields = [each for each in columns if is_field(each)]
    bare = replace(page, columns=page.columns - _LEAST_ANSWER) if fields else page
    while fields and _widest(_lines_of(_unpictured(shown), bare)) > bare.columns:
        del shown[fields.pop()]
    return shown


def _unpictured(columns: _Written) -> _Written:
    return {column: cells for column, cells in columns.items() if column.picture is None}


def _widest(lines: Iterable[str]) -> int:
    return max(map(text.width, lines))


def _answer_of(row: Row) -> str:
    """Why there is no success, and what was said but for the label that the table shows as read."""
    *before, last = row.answer.strip().split("\n")
    label = last.strip().casefold().removeprefix("answer:").strip(" .*`")
    said = before if row.voted and label == row.vote.casefold() else [*before, last]
    return text.plain(
        " · ".join(filter(None, (row.problem.strip(), "\n".join(said).strip()))), _LINE
    )


def _beside(
    columns: _Written, answers: Sequence[str], block: kinds.Workers, page: _Page
) -> tuple[list[str], list[str]]:
    """The lines of a table of these columns, and what fits in beside them of the answers."""
    lines = _lines_of(columns, page)
    room = page.columns - _widest(lines) - 2
    if block.live:
        return lines, [text.fit(text.one_line(answer), room) for answer in answers]
    fits = (not answer or ("\n" not in answer and text.width(answer) <= room) for answer in answers)
    return lines, [a if fit else _BELOW for a, fit in zip(answers, fits, strict=True)]


def _lines_of(columns: _Written, page: _Page) -> list[str]:
    """The headings and the rows, each as wide as the others."""
    widths = [_widest(cells) for cells in columns.values()]
    words = [at for at, each in enumerate(columns) if not each.right]
    if not any(each.picture for each in columns):
        squeeze(widths, sorted(words, key=lambda at: -widths[at]), page.columns)
    return aligned([*zip(*columns.values(), strict=True)], widths, [c.right for c in columns])


def _written(column: Column, block: kinds.Workers) -> list[str]:
    """The column's heading and cells."""
    if column.picture is not None:
        strips = (_strip(row, block.span, _STRIP) for row in block.rows)
        return [f"0 s{text.seconds(block.span):>{_STRIP - 3}}", *strips]
    cells = (text.fit(text.one_line(column.words(row)), column.wide) for row in block.rows)
    return [column.heading, *cells]


def _strip(row: Row, span: float, room: int) -> str:
    """When a call waited (·) and ran (█), on an axis of that many seconds and columns."""
    took = row.seconds or 0.0
    if not span > 0:
        return " " * room
    shares = (at / span * room for at in (row.start - row.queued, row.start, row.start + took))
    begin, run, end = (
        min(max(round(share), 0), room) if math.isfinite(share) else 0 for share in shares
    )
    end = max(end, run + (took > 0))
    return (" " * begin + "·" * (run - begin) + "█" * (end - run)).ljust(room)[:room]


def _in_full(row: Row, cell: str, detail: Sequence[kinds.Block], page: _Page) -> list[str]:
    """What the table does not say of a call, under its name; nothing where it says all."""
    inner = replace(page, columns=page.columns - len(_INDENT))
    told = {cell, row.about.item, *page.told, *([] if cell == _BELOW else [row.answer.strip()])}
    parts = [part for each in detail if (part := _untold(each, told)) is not None]
    if cell == _BELOW:
        parts = [*_missing(row, detail), *parts]
    lines = _below_each_other(parts, inner)
    if not lines:
        return []
    state = "" if row.state == "ok" else f" ({looks.STATES[row.state].word})"
    wrapped = (w for line in lines for w in text.wrap(line, inner.columns))
    return [
        "",
        f"{text.one_line(row.titled or row.name, 300)}{state}",
        *(_INDENT + line for line in wrapped),
    ]


def _untold(block: kinds.Block, told: Collection[str]) -> kinds.Block | None:
    """The block without what is told elsewhere; None where nothing is left."""
    if isinstance(block, kinds.Text):
        return None if block.text.strip() in told else block
    if isinstance(block, kinds.Says):
        return replace(
            block, lines=tuple(each for each in block.lines if text.together(each) not in told)
        )
    return block


def _missing(row: Row, detail: Sequence[kinds.Block]) -> Iterator[kinds.Block]:
    """What a row says that its details do not."""
    texts = {block.text.strip() for block in detail if isinstance(block, kinds.Text)}
    says = [line for block in detail if isinstance(block, kinds.Says) for line in block.lines]
    if row.problem and not any(row.problem in line for line in says):
        yield kinds.Says((text.isolated(row.problem, 1000),))
    if row.fields is None and row.answer.strip() not in (*texts, ""):
        yield kinds.Text("", row.answer, 0)


def _timeline(block: kinds.Timeline, page: _Page) -> list[str]:
    """The picture: · waits, █ runs."""
    longest = slowest(block.rows, 30) if len(block.rows) > 30 else block.rows
    rows = [*longest, *block.auxiliary]
    names = [text.fit(text.one_line(row.titled), 20) for row in rows]
    wide = max(map(text.width, names))
    room = min(page.columns - wide - 24, 50)
    lines = []
    for name, row in zip(names, rows, strict=True):
        picture = _strip(row, block.span, room)
        word = "" if row.state == "ok" else f" {looks.STATES[row.state].word}"
        lines.append(
            f"{text.fit(name, wide, 'left')}  {picture}  {text.seconds(row.seconds or 0.0)}{word}"
        )
    left_out = block.left_out(len(longest)) if len(longest) < block.workers else ""
    return [*lines, left_out + block.said]


def _facts(block: kinds.Facts, page: _Page) -> list[str]:
    names = [text.fit(text.one_line(name), 24) for name, _ in block.facts]
    wide = max(map(text.width, names), default=0)
    lines = []
    for name, (_, value) in zip(names, block.facts, strict=True):
        first, *rest = text.wrap(text.one_line(value, 500), page.columns - wide - 2) or [""]
        lines.append(f"{text.fit(name, wide, 'left')}  {first}".rstrip())
        lines += [" " * (wide + 2) + line for line in rest]
    return lines


def _disclosure(block: kinds.Disclosure, page: _Page) -> list[str]:
    if block.page_only:
        return []
    if block.rest and page.most is not None:
        return [f"{block.title}{_SHOWS_ALL}"]
    return titled(block.title, *_below_each_other(block.blocks, page))


def _below_each_other(blocks: Iterable[kinds.Block], page: _Page) -> list[str]:
    """The blocks with a blank line between them, but for one below a sentence."""
    lines: list[str] = []
    closes = False
    for block in blocks:
        if drawn := _DRAWN[type(block)](block, page):
            lines += ["", *drawn] if closes else drawn
            closes = not isinstance(block, kinds.Says)
    return lines


def _text(block: kinds.Text, page: _Page) -> list[str]:
    """A model's words as they are, set in under their title: none of them can pose as ours."""
    whole = block.text.strip()
    most = len(whole) if page.most is None else page.most
    indent = _INDENT if block.title else ""
    words = text.wrap(text.plain(whole[:most], most), page.columns - len(indent))
    if len(whole) > most:
        words.append(f"… {len(whole) - most:,} more characters{_SHOWS_ALL}")
    return titled(block.title, *(indent + line for line in words))


def _within(page: _Page) -> tuple[int, typed_plain.Draw]:
    """How wide the page is, and what draws a block on a narrower one."""
    return page.columns, lambda block, columns: _DRAWN[type(block)](
        block, replace(page, columns=columns)
    )


_DRAWN: Mapping[type, Callable[[Any, _Page], list[str]]] = {
    kinds.Heading: _heading,
    kinds.Notes: lambda block, _: [f"Note: {text.one_line(note, 500)}" for note in block.notes],
    kinds.Says: lambda block, _: [text.together(line) for line in block.lines],
    kinds.Bars: _bars,
    kinds.Text: _text,
    kinds.Workers: _workers,
    kinds.Timeline: _timeline,
    kinds.Table: lambda block, page: report_plain.table(block, page.columns),
    kinds.Dots: lambda block, page: report_plain.dots(block, page.columns),
    kinds.Matrix: lambda block, _: report_plain.matrix(block),
    kinds.Curve: lambda block, _: report_plain.curve(block),
    kinds.Facts: _facts,
    kinds.Definition: lambda block, page: typed_plain.definition(block, *_within(page)),
    kinds.Shares: lambda block, page: typed_plain.shares(block, *_within(page)),
    kinds.FieldVotes: lambda block, page: typed_plain.field_votes(block, *_within(page)),
    kinds.Prompt: lambda block, _: [
        f"--- {text.one_line(block.name)} ({text.one_line(block.model)})",
        *text.plain(block.text).split("\n"),
    ],
    # A picture of the page alone.
    kinds.Progress: lambda block, _: [],
    kinds.Disclosure: _disclosure,
}
