"""What records add up to; runs and displays ask here, so that their numbers cannot differ."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from parallm_magics.core.tasks import Record, Usage


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a run.

    Attributes:
        workers: how many records.
        succeeded: how many of them are ok.
        seconds: first start to last end, of workers and extra calls.
        working_seconds: the same of the workers alone.
        sequential_seconds: the sum of the workers' lengths: what one after another would take.
        at_most: whether that sum is a most, as workers waited for a place or for a further try.
        longest: the longest worker's seconds.
        speedup: sequential over working seconds; None where nothing took time, or where a worker
            did not come back: nobody knows how long it would have taken.
        usage: tokens of workers and extra calls; None where all are unknown.
        usage_complete: whether every call's tokens are known.
        cost: US dollars of workers and extra calls; None where all are unknown.
        cost_complete: whether every call's cost is known; if not, `cost` is a lower bound.
        saved: US dollars that prompt caches saved, as far as known; negative where they cost more,
            None where none took part.
    """

    workers: int
    succeeded: int
    seconds: float
    working_seconds: float
    sequential_seconds: float
    at_most: bool
    longest: float
    speedup: float | None
    usage: Usage | None
    usage_complete: bool
    cost: Decimal | None
    cost_complete: bool
    saved: Decimal | None


_LOST = frozenset({"failed", "timed_out", "cancelled", "blocked"})
_QUEUED = 0.05
"""Seconds of waiting for a place below which a loop was merely busy."""


def totals(records: Sequence[Record], extra: Sequence[Record] = ()) -> Totals:
    """Sums of the workers, and of the extra calls too where seconds, tokens and cost are meant."""
    # One pass in plain numbers: a run of fifty thousand is summed several times for one picture.
    start, end, sequential, longest, succeeded = math.inf, -math.inf, 0.0, 0.0, 0
    lost = at_most = False
    for record in records:
        succeeded += record.ok
        lost = lost or record.status in _LOST
        if called(record):
            start, end = min(start, record.start), max(end, record.end)
            longest = max(longest, record.seconds)
            sequential += record.seconds
            at_most = at_most or record.queued >= _QUEUED or len(record.attempts) > 1
    working = end - start if end >= start else 0.0
    for record in extra:
        if called(record):
            start, end = min(start, record.start), max(end, record.end)
    paid = [record for record in itertools.chain(records, extra) if called(record)]
    usages = [record.usage for record in paid if record.usage is not None]
    costs = [record.cost for record in paid if record.cost is not None]
    savings = [record.saved for record in paid if record.saved is not None]
    return Totals(
        workers=len(records),
        succeeded=succeeded,
        seconds=end - start if end >= start else 0.0,
        working_seconds=working,
        sequential_seconds=sequential,
        at_most=at_most,
        longest=longest,
        speedup=sequential / working if working > 0 and not lost else None,
        usage=_added(usages) if usages else None,
        usage_complete=len(usages) == len(paid),
        cost=sum(costs, Decimal()) if costs else None,
        cost_complete=all(record.cost is not None or record.simulated for record in paid),
        saved=sum(savings, Decimal()) if savings else None,
    )


def _added(usages: Sequence[Usage]) -> Usage:
    return Usage(
        sum([usage.input_tokens for usage in usages]),
        sum([usage.cache_read_tokens for usage in usages]),
        sum([usage.cache_write_tokens for usage in usages]),
        sum([usage.output_tokens for usage in usages]),
    )


def called(record: Record) -> bool:
    """Whether the worker asked a model at all, rather than being stopped while it waited."""
    return bool(record.attempts) or record.seconds > 0 or record.ok


def wall_seconds(records: Sequence[Record]) -> float:
    """Seconds from the first start to the last end."""
    if not records:
        return 0.0
    return max(record.end for record in records) - min(record.start for record in records)
