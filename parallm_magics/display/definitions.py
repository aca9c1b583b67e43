"""A typed answer as a small table: its fields below each other, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parallm_magics.display import text
from parallm_magics.display.kinds import Block, Definition, Table
from parallm_magics.display.typed_words import (
    DEPTH,
    EMPTY,
    in_words,
    is_cell,
    is_list,
    is_number,
    object_fields,
)

VALUE_LIMIT, LIST_LIMIT = 2_000, 40
"""Most characters of a value, and most entries of a list or an object, that are drawn."""


def definition(fields: Mapping[str, Any], depth: int = 0) -> Definition:
    """The fields of an object below each other: what is in them is a table or a definition of its own."""
    names = [*fields][:LIST_LIMIT]
    entries = tuple((text.one_line(name, 80), _drawn(fields[name], depth + 1)) for name in names)
    left = len(fields) - len(names)
    return Definition(entries, f"{text.count(left, 'more field')} in the result" if left else "")


def _drawn(value: Any, depth: int) -> str | Block:
    fields = object_fields(value)
    if fields and depth < DEPTH:
        return definition(fields, depth)
    if is_list(value) and value and not is_cell(value) and depth < DEPTH:
        return _of_list([*value], depth)
    if isinstance(value, str):
        return _text_of(value)
    return in_words(value, VALUE_LIMIT)


def _text_of(value: str) -> str:
    """A text with its line ends, clipped."""
    left = len(value) - VALUE_LIMIT
    more = f"… {left:,} more characters in the result" if left > 0 else ""
    return value[:VALUE_LIMIT].strip() + more if value.strip() else EMPTY


def _of_list(entries: Sequence[Any], depth: int) -> Block:
    """Objects of a kind as a table, whatever else below each other by number."""
    rows = [object_fields(each) for each in entries]
    shown = rows[:LIST_LIMIT]
    names = [*dict.fromkeys(name for row in shown for name in row or ())]
    left = len(entries) - len(shown)
    note = f"{left:,} more in the result" if left > 0 else ""
    plain = all(row is not None and all(map(is_cell, row.values())) for row in shown)
    if plain and 0 < len(names) <= LIST_LIMIT:
        right = [all(is_number(v) for v in _present(shown, name)) for name in names]
        head = tuple(f"{'>' if r else ''}{name}" for r, name in zip(right, names, strict=True))
        cells = tuple(
            tuple(in_words(row[name], 200) if name in row else "" for name in names)
            for row in shown
            if row is not None
        )
        return Table("", head, cells, note=note, caption="Entries")
    numbered = {str(at): each for at, each in enumerate(entries[:LIST_LIMIT], 1)}
    entries_ = tuple((name, _drawn(each, depth + 1)) for name, each in numbered.items())
    return Definition(entries_, note)


def _present(rows: Sequence[Mapping[str, Any] | None], name: str) -> Iterator[Any]:
    """The values of that field that are there, and one that is no number where none is."""
    found = [row[name] for row in rows if row and row.get(name) is not None]
    yield from found or [""]
