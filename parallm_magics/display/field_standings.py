"""How the votes on the fields of objects stand while they come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from parallm_magics.core.tasks import Record
from parallm_magics.display.kinds import FieldVoteRow, FieldVotes
from parallm_magics.display.typed_words import in_words

ReadFields = Callable[[Record], Mapping[str, tuple[Hashable, Any]]]
"""What a record says of each field: what is equal for equal answers, and the value as JSON holds it."""

_VALUE = 200
"""Most characters of a value."""


class FieldStandings:
    """Counts the votes on each field; every field has a row from the first drawing on."""

    def __init__(self, fields: Sequence[str], read: ReadFields) -> None:
        self._read = read
        self._votes: dict[str, Counter[Hashable]] = {name: Counter() for name in fields}
        self._values: dict[tuple[str, Hashable], Any] = {}

    def add(self, record: Record) -> None:
        """Take in one answer; one that holds no object says nothing."""
        try:
            said = self._read(record)
        except Exception:  # a reader that fails must cost no answer; the final tally reports it
            return
        for name, (key, value) in said.items():
            self._votes[name][key] += 1
            self._values.setdefault((name, key), value)

    def block(self, requested: int) -> FieldVotes:
        """A row a field: what leads, with how many of so many votes."""
        return FieldVotes(tuple(self._row(name, requested) for name in self._votes))

    def _row(self, name: str, requested: int) -> FieldVoteRow:
        votes = self._votes[name]
        first, *others = (*votes.most_common(2), (None, 0))
        most = first[1]
        leads = most > others[0][1] if others else False
        status = "leads" if leads else "level" if most else "no votes yet"
        value = in_words(self._values[name, first[0]], _VALUE) if leads else ""
        share = most / max(requested, 1)
        return FieldVoteRow(name, value, share, f"{most:,} of {requested:,}", status)
