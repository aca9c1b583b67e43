"""The records of a cell's workers while they come in, after those that an earlier run has left."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from parallm_magics.cell.calls import Calls
from parallm_magics.core.tasks import Record
from parallm_magics.engine.collectors import InMemory
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.part_folder import PartFolder
from parallm_magics.patterns.run_facts import RunFacts
from parallm_magics.patterns.stored_records import OK, Places, StoredRecords

AT_ONCE = 1_000
"""Records of an earlier run that are read in one go."""


class AtHand(InMemory):
    """All of them in memory.

    Attributes:
        kept: the earlier successes by their place.
        came_back: the places of the earlier calls that came back.
    """

    def __init__(self, before: Sequence[Record]) -> None:
        super().__init__()
        self._kept = {record.index: record for record in before if record.ok}
        self.kept: Collection[int] = self._kept
        self.came_back: Container[int] = {r.index for r in before if r.status in CAME_BACK}

    def earlier(self) -> Iterator[Sequence[Record]]:
        """The earlier successes, some at a time."""
        if self._kept:
            yield [*self._kept.values()]

    def all(self, after: float | None) -> Sequence[Record]:
        """All records in order; see `_moved` for `after`."""
        records = self.records()
        records = records if after is None else _moved(records, after)
        return sorted([*records, *self._kept.values()], key=lambda record: record.index)


class OnDisk:
    """All of them in the parts of a folder.

    Attributes:
        kept: the earlier successes, by their place.
        came_back: the places of the earlier calls that came back.
    """

    def __init__(self, parts: PartFolder, calls: Calls, before: Sequence[Record]) -> None:
        """Take the folder; what is there of a run before must lie there too."""
        facts = RunFacts(tuple(calls.sections(calls.size)))
        self._parts, self._stored = parts, StoredRecords(parts, Values(calls), facts)
        before = before if isinstance(before, StoredRecords) else self._stored
        self.kept: Collection[int] = Places(before, OK)
        self.came_back: Container[int] = Places(before, CAME_BACK)
        self._earlier = before.having(OK)
        if before is not self._stored:
            self._stored.begin_with(before)
        parts.noted, parts.moved = self._stored.note, self._stored.moved

    def earlier(self) -> Iterator[Sequence[Record]]:
        """The earlier successes, some at a time."""
        records = iter(self._earlier)
        while some := [*islice(records, AT_ONCE)]:
            self._stored.fold(some)
            yield some

    def add(self, record: Record) -> None:
        """Take in a record, which has been written by now unless that went wrong."""
        if not self._stored.has(record.index):
            self._parts.write(record)

    def records(self) -> StoredRecords:
        """All that came, in the calls' order."""
        self._stored.settle()
        return self._stored

    def all(self, after: float | None) -> Sequence[Record]:
        """All records in order."""
        return self.records()


class Values:
    """Makes a worker's value of what JSON holds of it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __call__(self, place: int, value: Any) -> Any:
        """The object, where the answer is one; it conformed when it came."""
        reading = self._calls.reading(place)
        return value if reading is None or reading.schema is None else reading.schema.make(value)


def _moved(records: Sequence[Record], after: float) -> Sequence[Record]:
    """The records, new ones begun after kept answers whose end is known only now, as items are read."""
    late = max((record.end for record in records if record.replayed), default=0.0) - after
    if late <= 0:
        return records
    return [record if record.replayed else later(record, late) for record in records]


def later(record: Record, seconds: float) -> Record:
    """The record, begun so much later."""
    return replace(record, start=round(record.start + seconds, 6))
