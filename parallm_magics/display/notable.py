"""Which ended workers keep a row, so that tens of thousands of others cost no memory."""

from __future__ import annotations

import heapq

from parallm_magics.core.tasks import Record

TROUBLED = 15
"""How many of those without success keep a row: the last ones."""

SLOWEST = 10

_BLOCK = 10


class Indices:
    """A set of whole numbers that takes a bit for each."""

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}

    def add(self, index: int) -> None:
        """Take the number in."""
        block = index >> _BLOCK
        self._blocks[block] = self._blocks.get(block, 0) | 1 << (index & (1 << _BLOCK) - 1)

    def __contains__(self, index: int) -> bool:
        bits = self._blocks.get(index >> _BLOCK)
        return bits is not None and bits >> (index & (1 << _BLOCK) - 1) & 1 == 1


class Notable:
    """The last workers without success, and the slowest.

    Attributes:
        troubled: those without success, the last to end at the end.
        slowest: those that took longest.
    """

    def __init__(self) -> None:
        self.troubled: dict[int, None] = {}
        self.slowest: set[int] = set()
        self._by_seconds: list[tuple[float, int]] = []

    def takes(self, record: Record) -> bool:
        """Whether this end is notable, so far."""
        few = len(self._by_seconds) < SLOWEST
        return few or record.status != "ok" or record.seconds > self._by_seconds[0][0]

    def add(self, record: Record, index: int) -> list[int]:
        """Take in a worker that has ended; those that no longer are notable, it may be among them."""
        out = []
        if not record.ok:
            self.troubled[index] = None
            if len(self.troubled) > TROUBLED:
                oldest = next(iter(self.troubled))
                del self.troubled[oldest]
                out.append(oldest)
        self.slowest.add(index)
        entry = (record.seconds, -index)
        if len(self._by_seconds) < SLOWEST:
            heapq.heappush(self._by_seconds, entry)
        else:
            quickest = -heapq.heappushpop(self._by_seconds, entry)[1]
            self.slowest.discard(quickest)
            out.append(quickest)
        return [each for each in out if each not in self]

    def __contains__(self, index: int) -> bool:
        return index in self.troubled or index in self.slowest
