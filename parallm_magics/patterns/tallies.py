"""What a runner asks of the records of a run, be they in memory or on a disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from parallm_magics.core.tasks import Record, Status
from parallm_magics.patterns.stored_records import StoredRecords

MOST_REASONS = 3


def count(records: Sequence[Record], statuses: Collection[Status]) -> int:
    """How many have ended so."""
    if isinstance(records, StoredRecords):
        return records.count(statuses)
    return sum(record.status in statuses for record in records)


def last_end(records: Sequence[Record]) -> float:
    """When the last of them ended; 0 without any."""
    if isinstance(records, StoredRecords):
        return records.facts.end
    return max((record.end for record in records), default=0.0)


def first_unpaid(records: Sequence[Record]) -> Record | None:
    """The first that a cap on cost left unasked; None where none was."""
    if isinstance(records, StoredRecords):
        return records.facts.unpaid
    return next((r for r in records if r.error is not None and r.error.kind == "budget"), None)


def never_asked(records: Sequence[Record]) -> int:
    """How many of them no model was asked for."""
    if isinstance(records, StoredRecords):
        return records.facts.unasked
    return sum(not (record.attempts or record.ok) for record in records)


def open_in_batches(records: Sequence[Record]) -> Mapping[str, int]:
    """How many calls go on in each batch, by its id; none of those in which none does."""
    if isinstance(records, StoredRecords):
        batches = records.facts.batches
        return {name: batch.open for name, batch in batches.items() if batch.open}
    return Counter(record.batch for record in records if record.is_in_batch)


def first_reasons(records: Sequence[Record]) -> str:
    """Who failed and why, the first few."""
    if isinstance(records, StoredRecords):
        lost, number = records.facts.lost, records.facts.errors
    else:
        lost = [record for record in records if record.error is not None]
        number = len(lost)
    told = [f"{r.name}: {r.error.message}" for r in lost if r.error is not None][:MOST_REASONS]
    more = f"; and {number - MOST_REASONS} more" if number > MOST_REASONS else ""
    return "; ".join(told) + more
