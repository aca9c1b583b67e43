"""Records that lie on a disk: read again in order where they are asked for, and counted without being read."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, get_args, overload

from parallm_magics.core.tasks import Record, Status
from parallm_magics.errors import ParallmError
from parallm_magics.patterns.parquet_rows import ROWS_A_GROUP, Made, read_group
from parallm_magics.patterns.part_folder import PartFolder, part_at
from parallm_magics.patterns.run_facts import RunFacts

GROUPS_KEPT = 8
"""Groups of rows that are kept once they have been read: calls end nearly in the cell's order."""

OK: tuple[Status, ...] = ("ok",)

FOLDED_AT_ONCE = 1_000

_ABSENT, _WAITING, _FIRST_ROW = 0, 1, 2
_CODES = {status: code for code, status in enumerate(get_args(Status), 1)}
_PART_BITS = 32


class StoredRecords(Sequence[Record]):
    """The records of one run: in the parts of a folder, the last of them in memory.

    Twelve bytes a record are kept in memory: where it lies, and how it ended.

    Attributes:
        folder: where the parts lie.
        run: the id of the run that they belong to.
        parts: the names of the parts.
        facts: what all records come to.
    """

    def __init__(self, parts: PartFolder, made: Made, facts: RunFacts) -> None:
        """Take the parts that are written, or that are there already.

        Args:
            made: makes a value of what JSON holds of it.
            facts: nothing yet.
        """
        self.folder, self.run, self.facts = parts.path, parts.run, facts
        self.parts, self._made = parts.parts, made
        self._where, self._status = array("Q"), bytearray()
        self._held: dict[int, Record] = {}
        self._fresh: list[Record] = []
        self._order: array[int] | None = None
        self._read: OrderedDict[tuple[int, int], list[Record]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: where everything lies, and not what was read of it."""
        return {**vars(self), "_read": OrderedDict()}

    # --- filled -----------------------------------------------------------------------------------

    def note(self, record: Record) -> None:
        """Take in a record that has ended and lies in no part yet."""
        place = record.index
        if (more := place + 1 - len(self._status)) > 0:
            self._where.extend([_ABSENT] * more)
            self._status.extend(bytes(more))
        self._where[place], self._status[place] = _WAITING, _CODES[record.status]
        self._held[place] = record
        self._order = None
        self.fold([record])

    def fold(self, records: Sequence[Record]) -> None:
        """Let the facts know of them, soon."""
        self._fresh += records
        if len(self._fresh) >= FOLDED_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Let the facts know of all that came."""
        self.facts.take(self._fresh)
        self._fresh = []

    def moved(self, part: int, records: Sequence[Record]) -> None:
        """Note that these are now the rows of a part."""
        first = (part << _PART_BITS) + _FIRST_ROW
        for row, record in enumerate(records):
            if self._held.get(record.index) is record:
                del self._held[record.index]
                self._where[record.index] = first + row

    def begin_with(self, earlier: StoredRecords) -> None:
        """Begin with where the successes of an earlier run lie; what they come to is not known by that."""
        self._where, self._status = array("Q", earlier._where), bytearray(earlier._status)
        for place in earlier.others(OK).places:
            self._where[place], self._status[place] = _ABSENT, 0
        self._held = {place: each for place, each in earlier._held.items() if each.ok}
        self._order = None

    # --- read -------------------------------------------------------------------------------------

    def count(self, statuses: Collection[Status]) -> int:
        """How many have ended so."""
        return sum(self._status.count(_CODES[status]) for status in {*statuses})

    def having(self, statuses: Collection[Status]) -> Selected:
        """Those that have ended so, in order."""
        return Selected(self, statuses)

    def others(self, statuses: Collection[Status]) -> Selected:
        """Those that have ended otherwise, in order."""
        return Selected(self, {*_CODES} - {*statuses})

    def places(self, statuses: Collection[Status]) -> array[int]:
        """Where those stand in the cell that have ended so, in order."""
        wanted = bytes(code in {_CODES[status] for status in statuses} for code in range(256))
        return array("I", compress(range(len(self._status)), self._status.translate(wanted)))

    @property
    def reached(self) -> int:
        """How many places there are up to the last record's."""
        return len(self._status)

    def has(self, place: int, statuses: Collection[Status] = ()) -> bool:
        """Whether there is a record of this place, and whether it ended in one of these ways."""
        code = self._status[place] if place < len(self._status) else 0
        return code in map(_CODES.__getitem__, statuses) if statuses else code > 0

    def at(self, place: int) -> Record:
        """The record of the worker at this place in the cell.

        Raises:
            KeyError: there is none.
            ParallmError: the part that it lies in is gone.
        """
        where = self._where[place] if place < len(self._where) else _ABSENT
        if where == _ABSENT:
            raise KeyError(place)
        if where == _WAITING:
            return self._held[place]
        part, row = where >> _PART_BITS, (where & (1 << _PART_BITS) - 1) - _FIRST_ROW
        return self._group(part, row // ROWS_A_GROUP)[row % ROWS_A_GROUP]

    def _group(self, part: int, group: int) -> list[Record]:
        found = self._read.get((part, group))
        if found is None:
            path = part_at(self.folder, self.parts[part], self.run)
            found = self._read[part, group] = _group_of(path, group, self._made)
            if len(self._read) > GROUPS_KEPT:
                self._read.popitem(last=False)
        else:
            self._read.move_to_end((part, group))
        return found

    def _places(self) -> Sequence[int]:
        if len(self) == len(self._where):
            return range(len(self._where))
        if self._order is None:
            self._order = self.places([*_CODES])
        return self._order

    def __len__(self) -> int:
        return len(self._status) - self._status.count(0)

    def __iter__(self) -> Iterator[Record]:
        return map(self.at, self._places())

    @overload
    def __getitem__(self, at: int) -> Record: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Record, ...]: ...

    def __getitem__(self, at: int | slice) -> Record | tuple[Record, ...]:
        places = self._places()
        if isinstance(at, slice):
            return tuple(map(self.at, places[at]))
        return self.at(places[at])

    def __repr__(self) -> str:
        return f"<{len(self):,} records in {self.folder}>"


class Places(Collection[int]):
    """The places of those records of a run that ended in one of these ways."""

    def __init__(self, records: StoredRecords, statuses: Collection[Status]) -> None:
        self._records, self._statuses = records, statuses

    def __contains__(self, place: object) -> bool:
        return isinstance(place, int) and self._records.has(place, self._statuses)

    def __iter__(self) -> Iterator[int]:
        return iter(self._records.places(self._statuses))

    def __len__(self) -> int:
        return self._records.count(self._statuses)


class Selected(Sequence[Record]):
    """Some of the records of a run, by how they ended."""

    def __init__(self, records: StoredRecords, statuses: Collection[Status]) -> None:
        self._records, self._statuses = records, frozenset(statuses)

    @property
    def places(self) -> array[int]:
        """Where they stand in the cell."""
        return self._records.places(self._statuses)

    def __len__(self) -> int:
        return self._records.count(self._statuses)

    def __iter__(self) -> Iterator[Record]:
        return map(self._records.at, self.places)

    @overload
    def __getitem__(self, at: int) -> Record: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Record, ...]: ...

    def __getitem__(self, at: int | slice) -> Record | tuple[Record, ...]:
        places = self.places
        if isinstance(at, slice):
            return tuple(map(self._records.at, places[at]))
        return self._records.at(places[at])

    def __repr__(self) -> str:
        return f"<{len(self):,} of {self._records!r}>"


def _group_of(path: Path, group: int, made: Made) -> list[Record]:
    try:
        return read_group(path, group, made)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    raise ParallmError(f"{path}: cannot be read ({why})")
