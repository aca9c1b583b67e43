"""When simulated workers would have run: offsets computed from their own seconds alone."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

from parallm_magics.types import Record


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
