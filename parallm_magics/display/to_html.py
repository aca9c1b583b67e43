"""Every kind of block as html: self-contained, without script, the same for the same records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from parallm_magics.display import kinds, looks, text
from parallm_magics.display.columns import Row, columns_of
from parallm_magics.display.markup import (
    Element,
    bar,
    bdi,
    boxed,
    bracket,
    dim,
    div,
    dot,
    joined,
    markdown,
    segments,
    sentence,
)

_page = Element("div", class_=looks.ROOT_CLASS, style=looks.ROOT)
_title = Element("div", style=looks.TITLE)
_badge = Element("span", style=looks.BADGE)("SIMULATED")
_lead = Element("div", style="margin:.5em 0 0", dir="auto")
_note = Element("div", style=f"{looks.NOTE};overflow:hidden", dir="auto")
_report_line = Element("div", style=f"{looks.SMALL};margin:.15em 0", dir="auto")
_small = Element("div", style=looks.SMALL_DIM)
_block = Element("div", style=looks.BLOCK)
_head = Element("div", style=looks.HEAD)
_line = Element("div")
_dim_line = Element("div", dir="auto", style=looks.SMALL_DIM)
_small_text = Element("div", style=looks.SMALL)
_strong_block = Element("div", style=f"{looks.BLOCK};font-weight:600")
_footer = Element("div", style=f"{looks.BLOCK};{looks.SMALL_DIM}")
_strong = Element("div", style="font-weight:600")


def html(blocks: Sequence[kinds.Block], *, framed: bool = True) -> str:
    """The blocks one below the other, as static html; a part of a page needs no frame of its own."""
    drawn = (_DRAWN[type(block)](block) for block in blocks)
    return str(_page(*drawn) if framed else joined(drawn))


def _heading(block: kinds.Heading) -> Markup:
    title: str = text.one_line(block.title, 300)
    title = bdi(title) if block.about else title
    parts = [_title(title, _badge if block.simulated else "")]
    parts += [_small(block.about)] if block.about else []
    parts += [] if block.lead is None else [_lead(text.one_line(block.lead, 900))]
    return joined(parts)


def _marks(block: kinds.Marks) -> Markup:
    style = f"{looks.SMALL};margin:.3em 0 0;overflow:hidden"
    return joined(div(style, dot(colour), sentence(line)) for colour, line in block.lines)


def _says(block: kinds.Says) -> Markup:
    if block.look == "dim":
        return joined(map(_dim_line, block.lines))
    lines = map(sentence, block.lines)
    if block.look == "small":
        return _small_text(*lines)
    drawn = joined(map(_line, lines))
    return _strong_block(drawn) if block.look == "strong" else drawn


# --- tables ---------------------------------------------------------------------------------------

_row = Element("tr", style=looks.ROW)
_plain_row = Element("tr", style=looks.HEAD_ROW)
_header = Element("thead", style="border:none")
_scrolled = Element("div", style=looks.SCROLL)
_body = Element("tbody")
_fold = Element("details")
_summary = Element("summary", style="cursor:pointer")
_full_table = Element("table", style=looks.TABLE)
_narrow_table = Element("table", style=looks.TABLE.replace("width:100%", "width:auto"))
_cell = Element("td", style=looks.CELL)


def _th(style: str, scope: str = "row") -> Element:
    return Element("th", scope=scope, style=style)


def _framed(head: Sequence[Markup], rows: Sequence[Markup], table: Element = _full_table) -> Markup:
    """A table of these rows that scrolls sideways where it is too wide."""
    header = _header(_plain_row(*head)) if head else ""
    return _scrolled.enclose(table.enclose(_body, before=header))(*rows)


def _workers(block: kinds.Workers) -> Markup:
    """A real table: one <tr> in its <tbody> for each row, no more, no less."""
    shown = columns_of(block.rows, block.live, block.asked)
    styles = [f"{looks.RIGHT if each.right else looks.LEFT}{each.style}" for each in shown]
    head = [
        _th(f"{looks.HEAD_CELL};{style}", "col")(column.heading)
        for column, style in zip(shown, styles, strict=True)
    ]
    frames = [Element("td", style=f"{looks.CELL};{style}") for style in styles]
    frames[0] = _th(f"{looks.CELL};{styles[0]}")
    drawn, filled = [column.drawn for column in shown], _row.holding(frames)
    rows = [filled([draw(row) for draw in drawn]) for row in block.rows]
    table = (_framed(head, rows), _small(block.more) if block.more else "")
    return _block(_fold(_summary(block.folded), *table) if block.folded else joined(table))


_clipped = Element(
    "div",
    style="max-height:2.9em;overflow:hidden;white-space:normal;overflow-wrap:anywhere",
    dir="auto",
)


def _table(table: kinds.Table) -> Markup:
    def style(at: int, base: str) -> str:
        side = looks.RIGHT if table.right(at) else looks.LEFT
        rest = ";width:100%;max-width:0;min-width:12em" if at == table.rest and at else ""
        return f"{base};{side}{rest}"

    def cell(at: int, words: str) -> str:
        inside = text.one_line(words, 200)
        if at == table.rest and at:
            return _clipped(inside)
        return inside if table.right(at) else boxed(inside, 22)

    head = [_th(style(at, looks.HEAD_CELL), "col")(name) for at, name in enumerate(table.headings)]
    frames = [Element("td", style=style(at, looks.CELL)) for at in range(len(head))]
    frames[0] = _th(style(0, looks.CELL))
    rows = [
        _row(*(frame(cell(at, row[at])) for at, frame in enumerate(frames))) for row in table.rows
    ]
    return _noted(table, _framed(head, rows))


def _noted(block: kinds.Lines | kinds.Table | kinds.Matrix | kinds.Curve, inside: Markup) -> Markup:
    """What is below the block's title, and its note below that."""
    title = _head(block.title) if block.title else ""
    return _block(title, inside, _small(block.note) if block.note else "")


_LEFT_HEAD, _LEFT_CELL = f"{looks.HEAD_CELL};{looks.LEFT}", f"{looks.CELL};{looks.LEFT}"


def _matrix(matrix: kinds.Matrix) -> Markup:
    names = [text.one_line(name, 60) for name in matrix.names]
    head = [Element("th", style=looks.HEAD_CELL)()]
    head += [_th(_LEFT_HEAD, "col")(boxed(name, 8)) for name in names]
    rows = []
    for at, (name, values) in enumerate(zip(names, matrix.values, strict=True)):
        cells = [_th(_LEFT_CELL)(boxed(name, 14))]
        for other, value in enumerate(values):
            colour = "transparent" if at == other or value is None else _heat(value)
            shown = "" if at == other else text.correlation(value)
            cells.append(
                Element("td", style=f"{_LEFT_CELL};padding-left:.5em;background:{colour}")(shown)
            )
        rows.append(_row(*cells))
    return _noted(matrix, _framed(head, rows, _narrow_table))


def _heat(value: float) -> str:
    """Shared errors in a warm tone, opposite ones in a cool one, the stronger the denser."""
    tone = "217,83,79" if value > 0 else "65,131,215"
    return f"rgba({tone},{min(abs(value), 1.0) * 0.75:.2f})"


def _curve(curve: kinds.Curve) -> Markup:
    right = f"{looks.CELL};{looks.RIGHT}"
    head = [Element("th", style=_LEFT_HEAD)("Votes"), Element("th", style=looks.HEAD_CELL)()]
    for name, colour in zip(curve.names, (looks.GREEN, looks.GREY), strict=True):
        head.append(_th(f"{looks.HEAD_CELL};{looks.RIGHT}", "col")(dot(colour), name))
    rows = []
    for votes, (seen, ideal) in enumerate(curve.values, 1):
        upper = div("margin-bottom:2px", bar(0, 0, seen, looks.GREEN))
        cells = [
            _th(_LEFT_CELL)(str(votes)),
            Element("td", style=f"{looks.CELL};width:100%;min-width:8em")(
                upper, bar(0, 0, ideal, looks.GREY)
            ),
            Element("td", style=right)(text.points(seen)),
            Element("td", style=f"{right};padding-right:0")(text.points(ideal)),
        ]
        rows.append(_row(*cells))
    return _noted(curve, _framed(head, rows))


_TIGHT = f"{_LEFT_CELL};{looks.TIGHT}"


def _facts(block: kinds.Facts) -> Markup:
    heading = _th(f"{_TIGHT};font-weight:600")
    style = f"{_TIGHT};width:100%;white-space:normal;padding-right:0"
    told = Element("td", style=style, dir="auto")
    rows = (
        _row(heading(boxed(text.one_line(name), 20)), told(text.one_line(value, 500)))
        for name, value in block.facts
    )
    return _framed([], [*rows])


# --- votes and times ------------------------------------------------------------------------------


def _bars(block: kinds.Bars) -> Markup:
    weighed = any(each.weighs for each in block.bars)
    rows = [_bar_row(each, max(block.requested, 1), weighed) for each in block.bars]
    parts = [_framed([], rows)] if rows else []
    if rows and block.more > 0:
        parts.append(div(f"{looks.DIM};{looks.SMALL}", text.count(block.more, "more label")))
    said = [_strong(sentence(block.verdict))] if block.verdict else []
    said += [_line(sentence(line)) for line in block.lines if line]
    said += [div(looks.DIM, block.figures)] if block.figures else []
    drawn = _block(*parts, div(f"{looks.SMALL};margin-top:.4em", *said))
    if not block.title:
        return drawn
    title = bdi(text.one_line(block.title, 80))
    return _block(div(f"{looks.HEAD};margin-bottom:-.6em", title), drawn)


def _bar_row(each: kinds.Bar, requested: int, weighed: bool) -> Markup:
    picture = [bar(0, 0, each.votes / requested, looks.GREEN if each.mark else looks.GREY)]
    if each.interval is not None:
        low, high = (min(max(end / requested, 0.0), 1.0) for end in each.interval)
        picture.append(bracket(low, high))
    strength = "font-weight:600" if each.mark else "font-weight:normal"
    mark = (" ", dim(each.mark)) if each.mark else ()
    return _plain_row(
        _th(f"{_TIGHT};{strength}")(boxed(text.one_line(each.label, 60), 16)),
        Element("td", style=f"{_TIGHT};width:100%;min-width:6em")(*picture),
        Element("td", style=_TIGHT)(each.weighs) if weighed else "",
        Element("td", style=f"{_TIGHT};padding-right:0")(f"{each.votes:,} of {requested:,}", *mark),
    )


def _section_votes(block: kinds.SectionVotes) -> Markup:
    return joined([*map(_bars, block.votes), _small(block.more) if block.more else ""])


_WIDE = f"{_LEFT_CELL};width:100%;min-width:8em"
_axis = Element("td", style=f"{_WIDE};{looks.DIM};{looks.SMALL};padding-top:0")
_start = Element("div", style="float:left")("0 s")
_end = Element("div", style="float:right")
_said = Element("div", style=f"{looks.SMALL};margin-top:.3em")
_named = _th(f"{_TIGHT};font-weight:normal")
_track = Element("td", style=f"{_WIDE};{looks.TIGHT}")
_took = Element("td", style=f"{_TIGHT};text-align:right;padding-right:0")


def _timeline(block: kinds.Timeline) -> Markup:
    rows = [_time_row(row, block.span) for row in (*block.rows, *block.auxiliary)]
    rows.append(_plain_row(_cell(), _axis(_start, _end(text.seconds(block.span))), _cell()))
    if block.together is not None:
        whole = sum(block.alone)
        together = bar(0, 0, block.together / whole, looks.BLUE)
        alone = segments([part / whole for part in block.alone], looks.BLUE)
        for name, picture, seconds in (
            ("all at once", together, block.together),
            ("one by one", alone, whole),
        ):
            rows.append(_plain_row(_named(name), _track(picture), _took(text.seconds(seconds))))
    drawn = len(block.rows)
    said = (block.left_out(drawn) if drawn < block.workers else "") + block.said
    return _block(_head("Timeline"), _framed([], rows), _said(said))


def _time_row(row: Row, span: float) -> Markup:
    state, seconds = looks.STATES[row.state], row.seconds or 0.0
    start, queued = (row.start - row.queued) / span, row.queued / span
    word = () if row.state == "ok" else (" ", dim(state.word))
    return _plain_row(
        _named(boxed(text.one_line(row.titled, 40), 14)),
        _track(bar(start, queued, seconds / span, state.colour)),
        _took(text.seconds(seconds), *word),
    )


# --- texts and folds ------------------------------------------------------------------------------


def _text(block: kinds.Text) -> Markup:
    ems = 60 if block.title else 40
    style = (
        f"border-left:3px solid {looks.LINE};padding:0 0 0 .9em;max-height:{ems}em;overflow:auto"
    )
    drawn = Element("div", dir="auto", style=style)(markdown(block.text, block.limit))
    return _block(_head(text.one_line(block.title)), drawn) if block.title else drawn


_closed = Element("details", style="margin:.35em 0")
_opened = Element("details", open="", style="margin:.35em 0")
_opened_prompt = Element("details", style="margin:.35em 0", open="")
_indented = Element("div", style="margin:.4em 0 .6em 1.1em")
_fold_title = Element(
    "bdi",
    style="display:inline-block;max-width:85%;max-height:1.45em;overflow:hidden;"
    "text-overflow:ellipsis;vertical-align:bottom;font-weight:600",
)
_call = Element("bdi", style="font-weight:600")
_prompt_text = Element("pre", dir="auto", style="white-space:pre-wrap;margin:.4em 0 .6em 1.1em")


def _prompt(block: kinds.Prompt) -> Markup:
    summary = _summary(_call(block.name), " ", dim(block.model))
    return (_opened_prompt if block.opened else _closed)(summary, _prompt_text(block.text))


def _disclosure(block: kinds.Disclosure) -> Markup:
    title = [block.title] if block.title else []
    if block.colour:
        title = [dot(block.colour), _fold_title(text.one_line(block.title, 80))]
    if block.word:
        title += [*([" "] if title else []), dim(block.word)]
    inside = joined(_DRAWN[type(each)](each) for each in block.blocks)
    fold = _opened if block.opened else _closed
    return fold(_summary(*title), _indented(inside))


_DRAWN: Mapping[type, Callable[[Any], Markup]] = {
    kinds.Heading: _heading,
    kinds.Notes: lambda block: joined(_note(text.one_line(each, 500)) for each in block.notes),
    kinds.Marks: _marks,
    kinds.Says: _says,
    kinds.Footer: lambda block: _footer(block.line),
    kinds.Lines: lambda block: _noted(
        block, joined(_report_line(text.one_line(line, 500)) for line in block.lines)
    ),
    kinds.Bars: _bars,
    kinds.SectionVotes: _section_votes,
    kinds.Text: _text,
    kinds.Workers: _workers,
    kinds.Timeline: _timeline,
    kinds.Table: _table,
    kinds.Matrix: _matrix,
    kinds.Curve: _curve,
    kinds.Facts: _facts,
    kinds.Prompt: _prompt,
    kinds.Progress: lambda block: div(
        "margin:.4em 0;max-width:24em",
        "" if block.share is None else bar(0, 0, block.share, looks.BLUE),
    ),
    kinds.Disclosure: _disclosure,
    kinds.Folds: lambda block: _block(*map(_disclosure, block.folds)),
}
