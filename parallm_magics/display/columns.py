"""The columns of the worker table: one entry is one column, live, saved and in plain text."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parallm_magics.display import looks, text
from parallm_magics.display.rows import Row, asked_and_answered, models_of

NAME_LIMIT = 40
ANSWER_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the worker table.

    Attributes:
        name: how code refers to it.
        heading: what stands above it.
        html: the inside of its cell, escaped.
        plain: its cell in a terminal, on one line.
        shown: whether these rows need it; the flag says whether the run is still going on.
        right: whether it is aligned to the right, as numbers are.
        rest: whether it takes the room that the others leave.
    """

    name: str
    heading: str
    html: Callable[[Row], str]
    plain: Callable[[Row], str]
    shown: Callable[[Sequence[Row], bool], bool] = lambda rows, live: True
    right: bool = False
    rest: bool = False


def _name(row: Row) -> str:
    return looks.boxed(_cut(row.name, NAME_LIMIT), 14)


def _state(row: Row) -> str:
    state = looks.state(row.state)
    tries = f' <span style="{looks.DIM}">×{row.attempts}</span>' if row.attempts > 1 else ""
    return f"{looks.dot(state.colour)}{text.escape(state.word)}{tries}"


def _plain_state(row: Row) -> str:
    return text.one_line(looks.state(row.state).word) + (
        f" ×{row.attempts}" if row.attempts > 1 else ""
    )


def _vote(row: Row) -> str:
    style = "font-weight:600" if row.voted else looks.DIM
    return f'<div style="{style}">{looks.boxed(_cut(row.vote, NAME_LIMIT), 12)}</div>'


def _model(row: Row) -> str:
    return looks.boxed(_cut(asked_and_answered(row.model, row.answered), 2 * NAME_LIMIT), 17)


def _elapsed(row: Row) -> str:
    picture = looks.bar(0, 0, 0, "transparent")
    if row.seconds is not None and row.span > 0:
        picture = looks.bar(
            (row.start - row.queued) / row.span,
            row.queued / row.span,
            row.seconds / row.span,
            looks.state(row.state).colour,
        )
    return f'<div style="padding-top:.35em">{picture}</div>'


def _said(row: Row) -> str:
    """The answer, or why there is none; both where an answer broke off."""
    answer = text.gist(row.answer, ANSWER_LIMIT)
    if not row.problem:
        return answer
    problem = text.one_line(row.problem, ANSWER_LIMIT)
    return f"{problem} · {answer}" if answer else problem


def _answer(row: Row) -> str:
    said = text.escape(_said(row))
    if row.state == "answering":
        # The end of what has arrived, pushed to the right: the newest words stay in sight.
        return (
            '<div style="display:flex;justify-content:flex-end;max-width:fit-content;'
            f'max-height:1.6em;overflow:hidden"><bdi>{said}</bdi></div>'
        )
    if row.problem:
        return (
            '<div style="max-height:4.2em;overflow:hidden;white-space:normal;'
            f'overflow-wrap:anywhere" dir="auto">{said}</div>'
        )
    return (
        '<div style="max-height:1.6em;overflow:hidden;text-overflow:ellipsis" '
        f'dir="auto">{said}</div>'
    )


def _differ(setting: str) -> Callable[[Sequence[Row], bool], bool]:
    """Whether the workers that have begun are not all asked in this way alike."""
    asked = operator.attrgetter(f"about.{setting}")
    return lambda rows, live: (
        len({asked(row) for row in rows if not row.aside and row.state != "queued"}) > 1
    )


def _cut(value: str, limit: int) -> str:
    return text.escape(text.one_line(value, limit))


COLUMNS: tuple[Column, ...] = (
    Column(
        "item",
        "Item",
        lambda row: looks.boxed(_cut(row.about.item, 2 * NAME_LIMIT), 20),
        lambda row: text.fit(text.one_line(row.about.item), 30),
        lambda rows, live: any(row.about.item for row in rows),
    ),
    Column("name", "Worker", _name, lambda row: text.fit(text.one_line(row.name), 24)),
    Column("state", "State", _state, _plain_state),
    Column(
        "vote",
        "Read as",
        _vote,
        lambda row: text.fit(text.one_line(row.vote), 20),
        lambda rows, live: any(row.vote for row in rows),
    ),
    Column(
        "model",
        "Model",
        _model,
        lambda row: text.fit(text.one_line(asked_and_answered(row.model, row.answered)), 30),
        lambda rows, live: len(models_of(rows)) > 1,
    ),
    Column(
        "temperature",
        "Temp.",
        lambda row: text.escape(row.about.temperature),
        lambda row: row.about.temperature,
        _differ("temperature"),
        right=True,
    ),
    Column(
        "effort",
        "Effort",
        lambda row: _cut(row.about.effort, NAME_LIMIT),
        lambda row: text.fit(text.one_line(row.about.effort), 10),
        _differ("effort"),
    ),
    Column(
        "system",
        "System",
        lambda row: looks.boxed(_cut(row.about.system, 2 * NAME_LIMIT), 14),
        lambda row: text.fit(text.one_line(row.about.system), 20),
        _differ("system"),
    ),
    Column("elapsed", "Elapsed", _elapsed, lambda row: "", lambda rows, live: live),
    Column(
        "seconds",
        "Time",
        lambda row: text.seconds(row.seconds),
        lambda row: text.seconds(row.seconds),
        right=True,
    ),
    Column(
        "tokens",
        "Tokens",
        lambda row: text.tokens(row.tokens),
        lambda row: text.tokens(row.tokens),
        lambda rows, live: live or any(row.tokens is not None for row in rows),
        right=True,
    ),
    Column(
        "cost",
        "Cost",
        lambda row: text.money(row.cost),
        lambda row: text.money(row.cost),
        lambda rows, live: any(row.cost is not None for row in rows),
        right=True,
    ),
    Column(
        "answer",
        "Answer",
        _answer,
        _said,
        rest=True,
    ),
)


def table_html(rows: Sequence[Row], live: bool = False) -> str:
    """The worker table as a real table: one <tr> in its <tbody> for each row, no more, no less."""
    columns = [column for column in COLUMNS if column.shown(rows, live)]
    head = "".join(
        f'<th scope="col" style="{_cell_style(column, looks.HEAD_CELL)}">{column.heading}</th>'
        for column in columns
    )
    body = "".join(_row_html(row, columns) for row in rows)
    return (
        f'<div style="{looks.SCROLL}"><table style="{looks.TABLE}">'
        f'<thead style="border:none"><tr style="{looks.HEAD_ROW}">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row_html(row: Row, columns: Sequence[Column]) -> str:
    cells = []
    for column in columns:
        tag, scope = ("th", ' scope="row"') if column is columns[0] else ("td", "")
        style = _cell_style(column, looks.CELL)
        cells.append(f'<{tag}{scope} style="{style}">{column.html(row)}</{tag}>')
    return f'<tr style="{looks.ROW}">{"".join(cells)}</tr>'


def _cell_style(column: Column, base: str) -> str:
    style = f"{base};{looks.RIGHT if column.right else looks.LEFT}"
    if column.rest:
        return f"{style};width:100%;max-width:0;min-width:8em;padding-right:0"
    if column.name == "elapsed":
        return f"{style};min-width:4em;width:24%"
    return style


def table_plain(rows: Sequence[Row], columns_wide: int) -> list[str]:
    """The worker table as aligned lines of at most that many terminal columns."""
    columns = [c for c in COLUMNS if c.shown(rows, False)]
    cells = [[c.heading for c in columns], *([c.plain(row) for c in columns] for row in rows)]
    widths = [max(text.width(line[at]) for line in cells) for at in range(len(columns))]
    left = columns_wide - sum(widths[:-1]) - 2 * (len(columns) - 1)
    widths[-1] = max(left, 8)
    return [
        "  ".join(
            text.pad(text.fit(cell, wide), wide, column.right)
            for cell, wide, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    ]
