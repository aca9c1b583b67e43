"""Where the records of a job go as they end."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Protocol

from parallm_magics.core.tasks import Record


class Collector(Protocol):
    """Takes each record of a job once, in any order."""

    def add(self, record: Record) -> None:
        """Take in a record that has ended; never raises."""

    def records(self) -> Sequence[Record]:
        """All that came, in the calls' order."""


class InMemory:
    """Holds every record."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self.add = self._records.append  # as fast as a list: this is done for every call

    def records(self) -> Sequence[Record]:
        """All that came, in the calls' order."""
        return sorted(self._records, key=operator.attrgetter("index"))
