"""Every kind of block as html: self-contained, without script, the same for the same records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from parallm_magics.display import kinds, looks, text, typed_html
from parallm_magics.display.call_rows import Row
from parallm_magics.display.columns import COLUMNS, Column, axis, columns_of, elapsed
from parallm_magics.display.field_columns import table_columns
from parallm_magics.display.kept_rows import drawn_of
from parallm_magics.display.markdown import markdown
from parallm_magics.display.markup import (
    Element,
    Markup,
    Pieces,
    bar,
    bdi,
    box,
    clip,
    dim,
    div,
    dot,
    grid,
    interval,
    joined,
    pieces,
    sentence,
    strong,
)

_page = Element("div", class_=looks.ROOT_CLASS, style=looks.ROOT)
_title = Element("div", style=looks.TITLE)
_badge = Element("span", style=looks.BADGE)("SIMULATED")
_lead = Element("div", style="margin:.5em 0 0", dir="auto")
_note = Element("div", style=f"{looks.NOTE};overflow:hidden", dir="auto")
_small = Element("div", style=looks.SMALL_DIM)
_block = Element("div", style=looks.BLOCK)
_head = Element("div", style=looks.HEAD)
_line = Element("div")
_SAYS = {
    "plain": _line,
    "strong": Element("div", style=f"{looks.BLOCK};font-weight:600"),
    "small": Element("div", style=looks.SMALL),
    "dim": _small,
}


def html(blocks: Sequence[kinds.Block], *, framed: bool = True) -> str:
    """The blocks one below the other, as static html; a part of a page needs no frame of its own."""
    drawn = _all_of(blocks)
    return "".join(_page.around(drawn) if framed else pieces(drawn))


def _all_of(blocks: Iterable[kinds.Block]) -> Iterator[Markup | Pieces]:
    return (_DRAWN[type(block)](block) for block in blocks)


def _heading(block: kinds.Heading) -> Markup:
    title = text.one_line(block.title, 300)
    parts = [_title(bdi(title) if block.about else title, _badge if block.simulated else "")]
    parts += [_small(block.about)] if block.about else []
    parts += [] if block.lead is None else [_lead(text.one_line(block.lead, 900))]
    return joined(parts)


def _says(block: kinds.Says) -> Markup:
    line = Element("div", dir="auto") if block.look == "dim" else _line
    return _SAYS[block.look](*(line(sentence(words)) for words in block.lines))


# --- tables ---------------------------------------------------------------------------------------

_Frame = Callable[[str], str]
_closed, _opened = Element("details"), Element("details", open="")
_summary = Element("summary", style="cursor:pointer")
_gist = Element("summary", style="cursor:pointer;overflow:hidden;text-overflow:ellipsis")


_NUMBER_EMS = 12
_detail = Element("div", style="white-space:normal;margin:.3em 0 .5em 1.1em")


def _workers(block: kinds.Workers) -> Pieces:
    """A real table: one <tr> in its <tbody> for each row, no more, no less."""
    pictured = block.live or block.span > 0
    shown = table_columns(block.rows, block.live, block.asked, pictured=pictured)
    styles = [f"{looks.RIGHT if each.right else looks.LEFT}{each.style}" for each in shown]
    draws = {each: _DRAWS.get(each) or _cell(each, block.span) for each in shown}
    head = [_fitting(each)(_heading_of(each, block)) for each in shown]
    details = block.details or ((),) * len(block.rows)
    rows = (
        _cells(row, draws, detail, opened=at in block.opened)
        for at, (row, detail) in enumerate(zip(block.rows, details, strict=True))
    )
    named = next((at for at, each in enumerate(shown) if each.names), 0)
    table = grid(
        styles,
        rows,
        head,
        ruled=True,
        named=named,
        caption=block.caption,
        gives_way=True,
        # What is drawn anew while one is at it would lose it.
        is_stop=not (block.live or any(details)),
    )
    return _block.around((table, _small(block.more) if block.more else ""))


def _heading_of(column: Column, block: kinds.Workers) -> str:
    if column.picture is not None:
        return axis(block.span)
    return column.heads(block.rows, block.live) if column.heads else column.heading


def _fitting(column: Column) -> _Frame:
    """What gives a column's cells and its heading their width, where it has one."""
    if column.ems or column.room:
        return box(column.ems or _NUMBER_EMS, column.room, column.share)
    return lambda words: words


def _cell(column: Column, span: float = 0.0) -> Callable[[Row], str]:
    if (picture := column.picture) is not None:
        return lambda row: picture(row, span)
    if column.html is not None:
        return column.html
    frame, words, limit = _fitting(column), column.words, column.limit
    # Numbers are ours: nobody need look at their letters.
    return (
        (lambda row: frame(words(row)))
        if column.right
        else (lambda row: frame(text.one_line(words(row), limit)))
    )


_DRAWS = {column: _cell(column) for column in COLUMNS if column.picture is None}
"""What draws each column whose cell is the same in every table."""


def _cells(
    row: Row,
    draws: Mapping[Column, Callable[[Row], str]],
    detail: tuple[kinds.Block, ...] = (),
    *,
    opened: bool = False,
) -> list[str]:
    """The cells of a row; the answer opens where there is more to see."""
    kept = drawn_of(row)
    cells = []
    for column, draw in draws.items():
        cell: str | None = kept.get(column)
        if cell is None:
            cell = draw(row)
            if column in _DRAWS:
                kept[column] = cell
        cells.append(cell)
    if detail:
        found, drawn = kept.get(("opens", opened), ((), ""))
        if found is not detail:
            drawn = (_opened if opened else _closed)(_gist(cells[-1]), _detail(*_all_of(detail)))
            kept["opens", opened] = detail, drawn
        cells[-1] = drawn
    return cells


def draw_ahead(row: Row, detail: tuple[kinds.Block, ...]) -> None:
    """Draw the row of a table to come, so that it is there sooner then."""
    _cells(row, {each: _DRAWS[each] for each in columns_of([row], False, pictured=False)}, detail)


_clipped = clip(2.9)


def _table(table: kinds.Table) -> Markup:
    styles = [looks.RIGHT if table.right(at) else looks.LEFT for at in range(len(table.head))]
    frames: list[_Frame] = [str if table.right(at) else box(22) for at in range(len(table.head))]
    if table.rest:
        styles[table.rest] += ";width:100%;max-width:0;min-width:12em"
        frames[table.rest] = _clipped
    rows = (
        [frame(text.one_line(cell, 200)) for frame, cell in zip(frames, row, strict=True)]
        for row in table.rows
    )
    drawn = grid(
        styles,
        rows,
        table.headings,
        ruled=True,
        caption=table.caption,
        title=text.one_line(table.title),
        is_stop=True,
    )
    return _noted(table, drawn)


def _noted(block: kinds.Table | kinds.Dots | kinds.Matrix | kinds.Curve, inside: Pieces) -> Markup:
    """The block's table, and its note below that."""
    return _block(inside, _small(block.note) if block.note else "")


def _dots(block: kinds.Dots) -> Markup:
    begin, end = (f"{share * 100:.0f} %" for share in block.ends)
    name, *cells = block.head
    axis = _line(_floated("left", begin), _floated("right", end))
    head = [strong(name), axis, *(cell.removeprefix(">") for cell in cells)]
    rows = []
    for row in block.rows:
        named = box(18)(text.one_line(row.name, 60))
        low, middle, high = map(block.along, (row.low, row.share, row.high))
        mark = None if row.mark is None else block.along(row.mark)
        picture = interval(low, middle, high, row.strong, mark)
        rows.append(
            [strong(named) if row.strong else named, picture, *map(text.one_line, row.cells)]
        )
    styles = (_NAMED, _MIDDLE, *[f"{looks.RIGHT};{looks.TIGHT}"] * len(cells))
    caption = "Shares and their intervals"
    return _noted(block, grid(styles, rows, head, ruled=True, caption=caption, is_stop=True))


def _matrix(matrix: kinds.Matrix) -> Markup:
    names = [text.one_line(name, 60) for name in matrix.names]
    rows = (
        [
            box(14)(name),
            *("" if at == other else _heat(value) for other, value in enumerate(values)),
        ]
        for at, (name, values) in enumerate(zip(names, matrix.values, strict=True))
    )
    styles = [looks.LEFT, *[f"{looks.LEFT};padding:0"] * len(names)]
    head, title = ["", *map(box(8), names)], text.one_line(matrix.title)
    drawn = grid(styles, rows, head, ruled=True, narrow=True, title=title, is_stop=True)
    return _noted(matrix, drawn)


def _heat(value: float | None) -> Markup:
    """Shared errors on a warm ground, opposite ones on a cool one, the stronger the denser."""
    tone, strength = ("217,83,79" if (value or 0) > 0 else "65,131,215"), min(abs(value or 0), 1.0)
    ground = f"padding:.34em .9em .34em .5em;background:rgba({tone},{strength * 0.75:.2f})"
    return div(ground, text.correlation(value))


_GROWS = f"{looks.LEFT};width:100%;min-width:8em"


def _curve(curve: kinds.Curve) -> Markup:
    colours = (looks.GREEN, looks.GREY)
    named = (joined((dot(each), name)) for each, name in zip(colours, curve.names, strict=True))
    rows = []
    for votes, shares in enumerate(curve.values, 1):
        upper, lower = map(bar, zip(shares, colours, strict=True))
        rows.append(
            [
                str(votes),
                joined((div("margin-bottom:2px", upper), lower)),
                *map(text.points, shares),
            ]
        )
    styles = (looks.LEFT, _GROWS, looks.RIGHT, f"{looks.RIGHT};padding-right:0")
    title = text.one_line(curve.title)
    drawn = grid(styles, rows, ["Votes", "", *named], ruled=True, title=title, is_stop=True)
    return _noted(curve, drawn)


_TIGHT = f"{looks.LEFT};{looks.TIGHT}"


# --- votes and times ------------------------------------------------------------------------------

_NAMED, _LAST = f"{_TIGHT};font-weight:normal", f"{_TIGHT};padding-right:0"
_MIDDLE = f"{looks.LEFT};width:100%;min-width:2em;{looks.TIGHT}"


def _bars(block: kinds.Bars) -> Markup:
    weighed = any(each.weighs for each in block.bars)
    styles = [_NAMED, _MIDDLE, *([_TIGHT] if weighed else []), _LAST]
    rows = [_bar_row(each, max(block.requested, 1), weighed) for each in block.bars]
    parts: list[Markup | Pieces] = []
    parts += [grid(styles, rows, caption="Votes by label")] if rows else []
    if rows and block.more > 0:
        parts.append(_small(text.count(block.more, "more label")))
    said = [strong(sentence(block.verdict))] if block.verdict else []
    said += [_line(sentence(line)) for line in block.lines if line]
    if said:
        parts.append(div(f"{looks.SMALL};margin-top:.4em", *said))
    if block.statistics:
        parts.append(_folded("Statistics", (_line(sentence(each)) for each in block.statistics)))
    return _block(*parts)


def _bar_row(each: kinds.Bar, requested: int, weighed: bool) -> Sequence[str]:
    picture = bar((each.votes / requested, looks.GREEN if each.mark else looks.GREY))
    name, votes = box(16)(text.one_line(each.label, 60)), f"{each.votes:,} of {requested:,}"
    if each.mark:
        name, votes = strong(name), joined((votes, " ", dim(each.mark)))
    return name, picture, *([each.weighs] if weighed else []), votes


_axis = Element("div", style=f"{looks.DIM};{looks.SMALL}")
_said = Element("div", style=f"{looks.SMALL};margin-top:.3em")


def _floated(side: str, words: str) -> Markup:
    return div(f"float:{side}", words)


_GAP = (0.002, "")
_MOST_PARTS = 60
"""Most workers that are set off from each other in the bar of all."""


def _timeline(block: kinds.Timeline) -> Markup:
    rows: list[Sequence[str]] = []
    for row in (*block.rows, *block.auxiliary):
        took = text.seconds(row.seconds or 0.0)
        late = "" if row.state == "ok" else joined((" ", dim(looks.STATES[row.state].word)))
        name = box(14)(text.one_line(row.titled, 40))
        rows.append((name, elapsed(row, block.span), joined((took, late))))
    ends = _floated("left", "0 s"), _floated("right", text.seconds(block.span))
    rows.append(("", _axis(*ends), ""))
    if block.together is not None:
        whole = sum(block.alone)
        parts = block.alone if len(block.alone) <= _MOST_PARTS else (whole,)
        alone = [each for part in parts for each in ((part / whole - _GAP[0], looks.BLUE), _GAP)]
        together = bar((block.together / whole, looks.BLUE))
        rows.append(("all at once", together, text.seconds(block.together)))
        rows.append(("one by one", bar(*alone), text.seconds(whole)))
    drawn = len(block.rows)
    said = _said(block.left_out(drawn) if drawn < block.workers else "", block.said)
    table = grid((_NAMED, _MIDDLE, f"{_LAST};text-align:right"), rows, title="Timeline")
    return _block(table, said)


# --- texts and folds ------------------------------------------------------------------------------


_QUOTED = f"border-left:3px solid {looks.LINE};padding:0 0 0 .9em;overflow:auto;text-align:start"
# What scrolls is a stop of the Tab key.
_aggregate = Element("div", dir="auto", tabindex="0", style=f"{_QUOTED};max-height:60em")
_answer = Element("div", dir="auto", tabindex="0", style=f"{_QUOTED};max-height:40em")


def _text(block: kinds.Text) -> Markup:
    drawn = markdown(block.text, block.limit)
    if not block.title:
        return _answer(drawn)
    return _block(_head(text.one_line(block.title)), _aggregate(drawn))


_apart = Element("div", style="margin:.35em 0")
_indented = Element("div", style="margin:.2em 0 .4em 1.1em")
_dimmed = Element("span", style=looks.SMALL_DIM)
_call = Element("bdi", style="font-weight:600")
_prompt_text = Element("pre", dir="auto", style="white-space:pre-wrap;margin:.4em 0 .6em 1.1em")


def _prompt(block: kinds.Prompt) -> Markup:
    summary = _summary(_call(block.name), " ", dim(block.model))
    return _apart((_opened if block.opened else _closed)(summary, _prompt_text(block.text)))


def _disclosure(block: kinds.Disclosure) -> Pieces:
    return _folded(block.title, _all_of(block.blocks))


def _folded(title: str, inside: Iterable[str | Pieces]) -> Pieces:
    summary = _summary(_dimmed(title))
    return _apart.around([_closed.around([summary, _indented.around(inside)])])


def _draw(block: kinds.Block) -> Markup:
    return joined(_all_of((block,)))


_DRAWN: Mapping[type, Callable[[Any], Markup | Pieces]] = {
    kinds.Heading: _heading,
    kinds.Notes: lambda block: joined(_note(text.one_line(each, 500)) for each in block.notes),
    kinds.Says: _says,
    kinds.Bars: _bars,
    kinds.Text: _text,
    kinds.Workers: _workers,
    kinds.Timeline: _timeline,
    kinds.Table: _table,
    kinds.Dots: _dots,
    kinds.Matrix: _matrix,
    kinds.Curve: _curve,
    kinds.Facts: typed_html.facts,
    kinds.Definition: lambda block: typed_html.definition(block, _draw),
    kinds.Shares: lambda block: typed_html.shares(block, _draw),
    kinds.FieldVotes: lambda block: typed_html.field_votes(block, _draw),
    kinds.Prompt: _prompt,
    kinds.Progress: lambda block: div(
        "margin:.4em 0;max-width:24em",
        "" if block.share is None else bar((block.share, looks.BLUE)),
    ),
    kinds.Disclosure: _disclosure,
}
