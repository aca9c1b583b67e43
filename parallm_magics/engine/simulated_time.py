"""When simulated workers would have run: offsets computed from their own seconds alone."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

from parallm_magics.core.tasks import Fault, Record, Usage


def lay_out(records: Sequence[Record], places: int) -> list[Record]:
    """Records in order, each starting when the first of `places` becomes free.

    The measured offsets of a simulation depend on the machine; these do not.
    """
    free = [0.0] * min(places, max(len(records), 1))
    laid = []
    for record in records:
        start = round(heapq.heappop(free), 6)
        heapq.heappush(free, start + record.seconds)
        laid.append(replace(record, start=start, queued=start))
    return laid


def cut_off(records: Sequence[Record], at: float, last: int, why: str) -> list[Record]:
    """What is left of records laid out in time where their calls were cancelled at a moment.

    Args:
        at: the moment, in seconds of the records.
        last: the place of the record that ended at this moment and is still counted.
        why: why they were cancelled.
    """
    return [
        record if (record.end, record.index) <= (at, last) else cancelled(record, at, why)
        for record in records
    ]


def cancelled(record: Record, at: float, why: str) -> Record:
    """The record of a call that was under way at the moment, or had not begun."""
    begun = record.start < at
    return replace(
        record,
        status="cancelled",
        text="",
        thinking=None,
        thinking_tokens=None,
        value=None,
        usage=None if begun else Usage(),
        cost=None,
        start=min(record.start, at),
        queued=min(record.queued, at),
        seconds=round(at - record.start, 6) if begun else 0.0,
        attempts=(),
        model_answered=None,
        finish=None,
        error=Fault("cancelled", why),
    )
