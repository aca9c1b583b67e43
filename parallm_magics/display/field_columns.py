"""The columns of the worker table that show the fields of typed answers, where its rows have them in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from parallm_magics.display import text
from parallm_magics.display.call_rows import Row
from parallm_magics.display.columns import CELL_LIMIT, Column, columns_of
from parallm_magics.display.typed_words import in_words, is_number, is_short, summary

MOST_FIELDS = 6
"""Most fields that have a column; an opened row has all of them."""

_BESIDE_PICTURE = 3
"""Most fields beside which there is room for the picture of the times."""

_EMS, _WIDE, _SHORT = 15, 24, 24
"""The width of a field's column on a page and in a terminal, and the characters that are seen whole in it."""

_AT_ONCE, _FIRST_EMS, _FIRST_SHARE = 2, 30, 24
"""How many fields are shown on every page, and how wide: at most so much of it."""

_FIRST_ROOM, _MORE_ROOM = 700, 120
"""From which width of the page on each of the others is shown."""


def table_columns(
    rows: Sequence[Row], live: bool, asked: Sequence[str] = (), *, pictured: bool = True
) -> list[Column]:
    """The columns that these rows need, those that are asked for, and one for each field in common.

    Args:
        pictured: whether pictures of times are among them, where there is room.
    """
    shown = columns_of(rows, live, asked, pictured=pictured)
    names = fields_in_common(rows)
    if not names:
        return shown
    if len(names) > _BESIDE_PICTURE:
        shown = [each for each in shown if each.picture is None]
    before = [at for at, each in enumerate(shown) if each.name in _LEAD]
    at = before[-1] + 1 if before else 0
    fields = [_column(rows, name, place) for place, name in enumerate(names)]
    return [*shown[:at], *fields, *shown[at:]]


_LEAD = ("item", "name", "state", "vote", "probability")


def fields_in_common(rows: Sequence[Row]) -> tuple[str, ...]:
    """The first fields of answers that are alike: at least two, each with more than half of all their fields.

    Sections that are asked for different things have none.
    """
    typed = [row.fields for row in rows if row.role == "worker" and row.fields is not None]
    names = dict.fromkeys(name for fields in typed for name in fields)
    alike = all(2 * len(fields) > len(names) for fields in typed)
    return (*[*names][:MOST_FIELDS],) if len(typed) > 1 and alike else ()


def without_columns(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows, whose answers are the fields alone that have no column."""
    names = fields_in_common(rows)
    return [_rest(row, names) for row in rows] if names else rows


def _rest(row: Row, names: Sequence[str]) -> Row:
    if row.fields is None:
        return row
    rest = {name: value for name, value in row.fields.items() if name not in names}
    return replace(row, answer=summary(rest) if rest else "")


def tells_all(row: Row) -> bool:
    """Whether the columns of a row say all of its fields, where they have columns."""
    fields = row.fields or {}
    return not row.answer and all(is_short(value, _SHORT) for value in fields.values())


_FIELD = "field:"


def is_field(column: Column) -> bool:
    """Whether a column shows a field of typed answers."""
    return column.name.startswith(_FIELD)


def _column(rows: Sequence[Row], name: str, place: int) -> Column:
    values = [row.fields[name] for row in rows if row.fields and row.fields.get(name) is not None]
    first = place < _AT_ONCE
    return Column(
        f"{_FIELD}{name}",
        text.one_line(name, 40),
        lambda row: field_in_words(row.fields, name),
        ems=_FIRST_EMS if first else _EMS,
        room=0 if first else _FIRST_ROOM + _MORE_ROOM * (place - _AT_ONCE),
        share=_FIRST_SHARE if first else 0,
        wide=_WIDE,
        right=bool(values) and all(map(is_number, values)),
    )


def field_in_words(fields: Mapping[str, Any] | None, name: str) -> str:
    """What a cell says of a field; "" where the answer has none of it, or has not come to it yet."""
    return in_words(fields[name], CELL_LIMIT) if fields and name in fields else ""
