"""How often each request of a cell was made: of a million requests in some twenty bytes each."""

from __future__ import annotations

from array import array

_BUCKETS = 0xFFFF


class SampleCounts:
    """Numbers identical requests from 0 on."""

    def __init__(self) -> None:
        # Most requests of a map are made once: a dict of them all would take six times the room.
        self._once: dict[int, array[int]] = {}
        self._more: dict[int, int] = {}

    def next(self, identity: int) -> int:
        """The ordinal of this request among those identical to it; the next one's is higher by one."""
        bucket = self._once.get(identity & _BUCKETS)
        if bucket is None:
            self._once[identity & _BUCKETS] = array("q", (identity,))
            return 0
        if identity not in bucket:
            bucket.append(identity)
            return 0
        found = self._more[identity] = self._more.get(identity, 0) + 1
        return found
