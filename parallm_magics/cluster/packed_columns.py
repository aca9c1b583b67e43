"""Messages with their many small objects as columns: what all of these have in common is packed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from itertools import chain, islice, repeat
from operator import attrgetter, is_
from os.path import commonprefix
from typing import Any

from parallm_magics.core.tasks import Attempt, Event, Record, Task, Usage


@dataclass(frozen=True, slots=True)
class LimitEvent:
    """What a call has told of its provider.

    Attributes:
        account: whose limit it is.
        kind: "answered", "limited" or "faulted".
        began: when the call began, on the clock of whoever tells it.
        hint: seconds that the provider asks to wait.
    """

    account: str
    kind: str
    began: float
    hint: float | None = None


_CELLS: Mapping[type, Callable[[Any], tuple[Any, ...]]] = {
    kind: attrgetter(*(each.name for each in fields(kind)))
    for kind in (Record, Usage, Attempt, Event, LimitEvent, Task)
}
"""By the kind of an object, what gives the values of its fields."""
_LEFT_OUT = {(Record, "value")}
"""What is not sent: a value may be of a class of the user's; the kernel, which has the class, reads the text."""

Column = tuple[str, Any]
"""How the values of a field are written, and what is written of them."""
Table = tuple[type, int, Sequence[Column]]
"""Objects of one kind: what they are, how many, and a column for each field."""


@dataclass(frozen=True, slots=True)
class Thin:
    """A message without what is in its tables.

    Attributes:
        message: the rest of it.
        tables: by the name of a field, its objects.
    """

    message: Any
    tables: Mapping[str, Table]

    def whole(self) -> Any:
        """The message as it was."""
        made = {name: tuple(_objects(table)) for name, table in self.tables.items()}
        return replace(self.message, **made)


def thin(message: Any, names: Iterable[str]) -> Thin:
    """The message with the objects in these fields as columns, where they are of one kind that is known here."""
    tables = {}
    for name in names:
        found = getattr(message, name)
        if _kind(found) in _CELLS:
            tables[name] = _table(found)
    return Thin(replace(message, **dict.fromkeys(tables, ())), tables)


def _kind(found: Iterable[Any]) -> type | None:
    """What all of these are; None where that is not one and the same."""
    kinds = {*map(type, found)}
    return kinds.pop() if len(kinds) == 1 else None


def _table(objects: Sequence[Any]) -> Table:
    kind = type(objects[0])
    names = (each.name for each in fields(kind))
    columns = zip(names, zip(*map(_CELLS[kind], objects), strict=True), strict=True)
    return (
        kind,
        len(objects),
        [("one", None) if (kind, name) in _LEFT_OUT else _column(cells) for name, cells in columns],
    )


def _column(cells: Sequence[Any]) -> Column:
    """Write the values of a field, as short as they can be read again exactly."""
    first = cells[0]
    if all(map(is_, cells, repeat(first))):
        return "one", first
    kind = _kind(cells)
    if kind is str:
        if cells.count(first) == len(cells):
            return "one", first
        start = commonprefix(cells)  # noqa: RUF071 - character by character is meant
        return "texts", (start, [cell[len(start) :] for cell in cells])
    if kind is Decimal:
        return "decimals", [*map(str, cells)]
    if kind in _CELLS:
        return "objects", _table(cells)
    if kind is tuple and _kind(within := [*chain.from_iterable(cells)]) in _CELLS:
        return "tuples", ([*map(len, cells)], _table(within))
    return "values", cells


def _objects(table: Table) -> Iterator[Any]:
    kind, count, columns = table
    return map(kind, *(_READERS[how](written, count) for how, written in columns))


def _tuples(written: tuple[Sequence[int], Table], count: int) -> Iterator[tuple[Any, ...]]:
    lengths, table = written
    objects = _objects(table)
    return (tuple(islice(objects, length)) for length in lengths)


_READERS: Mapping[str, Callable[[Any, int], Iterable[Any]]] = {
    "one": repeat,
    "values": lambda written, count: written,
    "texts": lambda written, count: [written[0] + each for each in written[1]],
    "decimals": lambda written, count: map(Decimal, written),
    "objects": lambda written, count: _objects(written),
    "tuples": _tuples,
}
"""By how a column is written, what reads its values."""
