"""Messages with their many small objects as rows: packed one by one, these would cost three times as much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from parallm_magics.core.tasks import Attempt, Event, Record, Task, Usage

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LimitEvent:
    """What a call has told of its provider.

    Attributes:
        account: whose limit it is.
        kind: "answered", "limited" or "faulted".
        age: seconds since the call began.
        hint: seconds that the provider asks to wait.
    """

    account: str
    kind: str
    age: float
    hint: float | None = None


@dataclass(frozen=True, slots=True)
class Thin:
    """A message without what is in its rows.

    Attributes:
        message: the rest of it.
        rows: by the name of a field, the kind of its objects, and the cells of each.
    """

    message: Any
    rows: Mapping[str, tuple[type, Sequence[Row]]]

    def whole(self) -> Any:
        """The message as it was."""
        made = {
            name: tuple(map(_made_record, rows) if kind is Record else (kind(*row) for row in rows))
            for name, (kind, rows) in self.rows.items()
        }
        return replace(self.message, **made)


def thin(message: Any, names: Iterable[str]) -> Thin:
    """The message with the objects in these fields as rows, where they are of one kind that is known here."""
    rows = {}
    for name in names:
        found = getattr(message, name)
        kinds = {*map(type, found)}
        if len(kinds) == 1 and (kind := kinds.pop()) in _CELLS:
            rows[name] = kind, [*map(_CELLS[kind], found)]
    return Thin(replace(message, **dict.fromkeys(rows, ())), rows)


def _cells_of(kind: type) -> Callable[[Any], Row]:
    return attrgetter(*(each.name for each in fields(kind)))


_RECORD, _USAGE, _ATTEMPT = map(_cells_of, (Record, Usage, Attempt))
_NAMES = [each.name for each in fields(Record)]
_USED, _TRIES = map(_NAMES.index, ("usage", "attempts"))


def _record_cells(record: Record) -> Row:
    cells = [*_RECORD(record)]
    cells[_USED] = record.usage and _USAGE(record.usage)
    cells[_TRIES] = [*map(_ATTEMPT, record.attempts)]
    return (*cells,)


def _made_record(row: Row) -> Record:
    cells = [*row]
    cells[_USED] = row[_USED] and Usage(*row[_USED])
    cells[_TRIES] = tuple(Attempt(*each) for each in row[_TRIES])
    return Record(*cells)


_CELLS: Mapping[type, Callable[[Any], Row]] = {
    Record: _record_cells,
    **{kind: _cells_of(kind) for kind in (Event, LimitEvent, Task)},
}
