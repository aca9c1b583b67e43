"""How fast a large run goes, and how long the rest of it will take."""

from __future__ import annotations

import math
from collections import deque

SHORTEST, LONGEST = 20, 600
"""Seconds of the window that the rate is taken over."""

_LENGTHS = 3
"""The window spans that many calls' lengths, so that calls which end in waves give a steady rate."""

_WEIGHT = 0.05

_AXES = (5, 10, 20, 60, 120, 300, 600, 1200, 1800, 3600)
_HOUR = 3600


def axis(seconds: float) -> float:
    """The length of an axis on which so many seconds, and a little more, have room.

    It changes seldom, so that bars on it grow and hardly ever shrink.

    >>> axis(3.0), axis(5.0), axis(4000.0)
    (5.0, 10.0, 7200.0)
    """
    if not math.isfinite(seconds):
        return float(_AXES[0])
    hours = math.floor(seconds / _HOUR) + 1
    return float(next((each for each in _AXES if each > seconds), hours * _HOUR))


class Pace:
    """The rate at which calls have ended lately: after a pause it is soon what it was before."""

    def __init__(self) -> None:
        self._began = math.inf
        self._length = 0.0
        # Seconds, each with the number of calls that ended in it.
        self._ends: deque[list[int]] = deque(maxlen=LONGEST)

    def ended(self, started: float, at: float) -> None:
        """Take in one call that was really made."""
        if not (math.isfinite(started) and math.isfinite(at)):
            return
        self._began = min(self._began, started)
        length = max(at - started, 0.0)
        self._length += (length - self._length) * (_WEIGHT if self._ends else 1.0)
        second = int(at)
        if self._ends and second <= self._ends[-1][0]:
            self._ends[-1][1] += 1
        else:
            self._ends.append([second, 1])

    def rate(self, now: float) -> float:
        """Calls ended a second, over the time that counts as recent."""
        if not self._ends or not math.isfinite(now):
            return 0.0
        window = min(max(_LENGTHS * self._length, SHORTEST), LONGEST)
        since = max(int(now - window) + 1, self._began)
        count = 0
        for second, ended in reversed(self._ends):
            if second < int(since):
                break
            count += ended
        return count / max(now - since, 1.0)

    def left(self, now: float, open_calls: int) -> float | None:
        """Seconds until that many more calls have ended; None where nothing tells."""
        rate = self.rate(now)
        return open_calls / rate if open_calls > 0 and rate > 0 else None
