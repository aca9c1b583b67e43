"""A typed answer in words: its fields in a row, and a value in a cell."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, TypeGuard

from parallm_magics.core.plain_values import plain_value
from parallm_magics.display import text

NOTHING, EMPTY = "–", "(empty)"
"""What stands for null and for a text, a list or an object in which there is nothing."""


class _ToCome:
    """What a field says that has not come yet."""

    def __repr__(self) -> str:
        return "TO_COME"


TO_COME = _ToCome()
"""Stands in the place of a value that is still being written."""

DEPTH = 6
"""Most levels of what is within each other that are drawn."""

_PARTS = 40
"""Most parts of a value that are looked at for a cell."""


_SINGLE = (str, int, float, type(None), Decimal, date, time)
"""What is one thing without a further look: to ask for an interface, as of a mapping, takes far longer."""


def object_fields(value: object) -> Mapping[str, Any] | None:
    """The fields of a typed answer by name, as plain values; None where it is no object.

    A dict has its keys, a pydantic model and a dataclass their fields.
    """
    if isinstance(value, _SINGLE):
        return None
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if isinstance(value, type) or not (
        hasattr(value, "model_dump") or dataclasses.is_dataclass(value)
    ):
        return None
    plain = plain_value(value)
    if not isinstance(plain, dict):
        return None
    # JSON has no decimals: as texts they would not be set like numbers.
    own = {name: getattr(value, name, None) for name in plain}
    return {n: own[n] if isinstance(own[n], Decimal) else each for n, each in plain.items()}


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def in_words(value: object, limit: int = text.LIMIT, depth: int = 0) -> str:
    """A value on one line, as a person would write it: never Python's or JSON's marks.

    >>> in_words({"name": "Acme", "tags": ["new", None], "paid": True, "at": []})
    'name: Acme, tags: new, –; paid: true, at: (empty)'
    """
    if type(value) is str:
        return text.one_line(value, limit) or EMPTY
    if value is None:
        return NOTHING
    if value is TO_COME:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return in_words(value.value, limit, depth)
    if is_number(value):
        return _number(value)
    if isinstance(value, date | time):
        return value.isoformat()
    fields = object_fields(value)
    if fields is not None:
        return _fields_in_words(fields, limit, depth)
    if is_list(value):
        return _list_in_words([*value], limit, depth)
    said = text.one_line(str(value), limit)
    return said or EMPTY


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}" if math.isfinite(value) else str(value)
    return str(value)


def _fields_in_words(fields: Mapping[str, Any], limit: int, depth: int) -> str:
    if depth >= DEPTH:
        return "…"
    parts = [
        (f"{text.one_line(name, 60)}: {in_words(each, limit, depth + 1)}", is_whole(each))
        for name, each in [*fields.items()][:_PARTS]
    ]
    said = ""
    for at, (part, whole) in enumerate(parts):
        # What has commas of its own is set off by more than a comma.
        said += part + ("" if at == len(parts) - 1 else ", " if whole else "; ")
    said = said or EMPTY
    return text.one_line(f"({said})" if depth else said, limit)


def _list_in_words(entries: Sequence[Any], limit: int, depth: int) -> str:
    if depth >= DEPTH:
        return "…"
    apart = ", " if all(map(is_whole, entries)) else "; "
    said = apart.join(in_words(each, limit, depth + 1) for each in entries[:_PARTS])
    left = len(entries) - _PARTS
    return text.one_line(f"{said}{apart}{left:,} more" if left > 0 else said or EMPTY, limit)


def is_whole(value: object) -> bool:
    """Whether a value is one thing, which no comma divides."""
    return object_fields(value) is None and not is_list(value)


def summary(fields: Mapping[str, Any], limit: int = 400) -> str:
    """The fields of an object in a row, clipped; those that have come of one that is being written.

    >>> summary({"vendor": "Acme", "total": 12.5, "due": None})
    'vendor: Acme · total: 12.5 · due: –'
    """
    parts, room = [], limit
    come = {name: value for name, value in fields.items() if value is not TO_COME}
    for name, value in come.items():
        if room <= 0:
            break
        parts.append(f"{text.one_line(name, 60)}: {in_words(value, limit)}")
        room -= len(parts[-1])
    return text.one_line(" · ".join(parts), limit) or ("" if fields else EMPTY)


def is_short(value: object, most: int) -> bool:
    """Whether a cell of that many characters says all of a value."""
    if isinstance(value, str) and ("\n" in value.strip() or "  " in value):
        return False
    return len(in_words(value, most * 2)) <= most and is_cell(value)


def is_cell(value: object) -> bool:
    """Whether it is one thing or a list of such."""
    return is_whole(value) or (is_list(value) and all(map(is_whole, value)))


def is_list(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether a value is a list or a set."""
    if isinstance(value, _SINGLE):
        return False
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes)
