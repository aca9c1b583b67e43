"""What the records of a run come to, found while they pass, so that none of them need be kept."""

from __future__ import annotations

import bisect
import heapq
from array import array
from collections import Counter
from collections.abc import Sequence

from parallm_magics import display
from parallm_magics.cell.calls import Section
from parallm_magics.core.tasks import Record

MOST_KEPT, MOST_SLOW = 200, 60
"""Records that are kept to be drawn: the first, as many as may all have a row, and the slowest."""


class RunFacts:
    """Sums, counts, and the few records that a run draws.

    Attributes:
        sums: what the workers add up to.
        end: when the last of them ended.
        models: one record for each pair of a model asked and the one that answered.
        addresses: the addresses that were called, if not a provider's usual one.
        adapted: what was sent differently, one line per model.
        simulated: whether any answer is simulated.
        first: the first in the cell's order.
        lost: the first without success.
        errors: how many have a fault.
        batches: what each batch comes to in which they were asked.
        unpaid: the first that a cap on cost left unasked; None where none was.
        unasked: how many were not asked at all.
        labels: how often each value was read, by section of a round; None for no answer.
        flagged, unchecked: places of the sections whose value is that of `--flag`, and of those without one.
    """

    def __init__(self, round_: Sequence[Section]) -> None:
        """Take the sections of one round, a worker each."""
        self._round = tuple(round_)
        self._asked = [bool(each.reading and each.reading.choices) for each in self._round]
        self.sums = display.Sums()
        self.end = 0.0
        self.models: dict[tuple[str, str | None], Record] = {}
        self.addresses: dict[str, None] = {}
        self.adapted: dict[str, None] = {}
        self.simulated = False
        self.first: list[Record] = []
        self.lost: list[Record] = []
        self._slowest: list[tuple[float, int, Record]] = []
        self.batches: display.ByBatch = {}
        self.errors = self.unasked = 0
        self.unpaid: Record | None = None
        self.labels = tuple(Counter[object]() for _ in self._round)
        self.flagged, self.unchecked = array("I"), array("I")

    @property
    def slowest(self) -> list[Record]:
        """Those that took longest, in order."""
        return sorted((record for _, _, record in self._slowest), key=_place)

    def take(self, records: Sequence[Record]) -> None:
        """Take in further ones, each of them once."""
        self.sums.take(records)
        display.by_batch(records, self.batches)
        for record in records:
            self.end = max(self.end, record.end)
            self.simulated = self.simulated or record.simulated
            self.models.setdefault((record.model, record.model_answered), record)
            if record.address:
                self.addresses[record.address] = None
            if record.adapted:
                self.adapted[f"{record.model}: {record.adapted}"] = None
            _keep_first(self.first, record)
            if not record.ok:
                self._take_lost(record)
            slow = (record.seconds, -record.index, record)
            if len(self._slowest) < MOST_SLOW:
                heapq.heappush(self._slowest, slow)
            elif slow[:2] > self._slowest[0][:2]:
                heapq.heapreplace(self._slowest, slow)
            self._read(record)

    def _take_lost(self, record: Record) -> None:
        _keep_first(self.lost, record)
        self.errors += record.error is not None
        self.unasked += not record.attempts
        if record.error is not None and record.error.kind == "budget" and self.unpaid is None:
            self.unpaid = record

    def _read(self, record: Record) -> None:
        at = record.index % len(self._round)
        value = record.value if record.ok else None
        if self._asked[at]:
            self.labels[at][value] += 1
        flag = self._round[at].flag
        if flag is not None and value is None:
            self.unchecked.append(record.index)
        elif flag is not None and value == flag:
            self.flagged.append(record.index)


def _place(record: Record) -> int:
    return record.index


def _keep_first(kept: list[Record], record: Record) -> None:
    if len(kept) < MOST_KEPT or record.index < kept[-1].index:
        bisect.insort(kept, record, key=_place)
        del kept[MOST_KEPT:]
