"""What the cells of one notebook have used so far, as sums."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from decimal import Decimal

from parallm_magics.core.tasks import Record, Usage


@dataclass(slots=True)
class Spend:
    """Sums over all records of a session; cells of several threads may add to them.

    Attributes:
        runs: runs begun, further tries included.
        calls: tries of calls.
        usage: tokens, as far as known.
        cost: US dollars, as far as known; None where no call's cost is known.
        complete: whether `cost` counts every call; else it is a least amount.
    """

    runs: int = 0
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    complete: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ran(self) -> None:
        """Count one run."""
        with self._lock:
            self.runs += 1

    def add(self, record: Record) -> None:
        """Count one record."""
        with self._lock:
            self.calls += len(record.attempts)
            if record.usage is not None:
                self.usage += record.usage
            if record.cost is not None:
                self.cost = (self.cost or Decimal(0)) + record.cost
            elif not record.simulated:
                self.complete = False
