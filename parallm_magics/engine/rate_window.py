"""No more than so much in any minute: requests or tokens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SPAN = 60.0


class RateWindow:
    """A window of a minute that slides with the clock: exact, where a bucket lets two minutes meet."""

    def __init__(self) -> None:
        self._taken: deque[Taken] = deque()
        self._sum = 0.0

    def wait(self, now: float, amount: float, most: int) -> float:
        """Seconds until the amount fits; one that never does fits where nothing else was taken."""
        while self._taken and self._taken[0].at + SPAN <= now:
            self._sum -= self._taken.popleft().amount
        over = self._sum + amount - most
        if over <= 0 or not self._taken:
            return 0.0
        for taken in self._taken:
            over -= taken.amount
            if over <= 0:
                return taken.at + SPAN - now
        return self._taken[-1].at + SPAN - now

    def take(self, now: float, amount: float) -> Taken:
        """Take the amount."""
        taken = Taken(now, amount, self)
        self._taken.append(taken)
        self._sum += amount
        return taken

    def correct(self, taken: Taken, amount: float) -> None:
        """Put what was really used in place of what was expected."""
        if self._taken and taken.at >= self._taken[0].at:
            self._sum += amount - taken.amount
        taken.amount = amount


@dataclass(slots=True)
class Taken:
    """What one call has taken of a pace, and when."""

    at: float
    amount: float
    pace: RateWindow
