"""What the live table's heading adds up of the calls that have ended: how many, how fast, for how much."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from parallm_magics.core.tasks import Record
from parallm_magics.display import looks, text
from parallm_magics.display.pace import Pace
from parallm_magics.display.totals import called

_MOST_PROGRESS = 0.99
"""The whole bar would say that nothing runs any more."""


class LiveSums:
    """Sums of a run under way, in words.

    Attributes:
        span: the end of the last record, in seconds since the run's start.
    """

    def __init__(self) -> None:
        self.span = 0.0
        self._tokens = 0
        self._states: Counter[str] = Counter()
        self._pace = Pace()
        self._priced = self._unpriced = self._replayed = 0
        self._cost = Decimal()

    @property
    def done(self) -> int:
        """How many workers have ended."""
        return sum(self._states.values())

    @property
    def lost(self) -> int:
        """How many workers have ended without success."""
        return self.done - self._states["ok"]

    def spent(self) -> list[str]:
        """The tokens and, where a price is known, what the calls cost so far."""
        cost = [text.money(self._cost, not self._unpriced)] if self._priced else []
        return [f"{self._tokens:,} tokens", *cost]

    def spend(self, record: Record) -> None:
        """Take in the time, tokens and cost of a call."""
        # A simulated end may lie beyond the clock that the table sees.
        self.span = max(self.span, record.end)
        if record.replayed:
            return
        if record.usage is not None:
            self._tokens += record.usage.total_tokens
        if record.cost is not None:
            self._cost += record.cost
            self._priced += 1
        elif not record.simulated:
            self._unpriced += 1

    def end(self, record: Record, began: float, ended: float) -> None:
        """Count a worker that has ended; the times are seconds since the run's start."""
        self._states[record.status] += 1
        if record.replayed:
            self._replayed += 1
        elif called(record) and not record.batch:
            self._pace.ended(began, ended)

    def title(self, total: int | None, told: int = 0) -> str:
        """How many workers are done, of how many if that is known.

        Args:
            told: how many have ended in batches whose results are still to be read.
        """
        done = max(self.done, told)
        return f"{done:,} done" if total is None else f"{done:,} of {total:,} done"

    def share(self, total: int | None, ended: int, known: int, told: int = 0) -> float | None:
        """How much of the run is done; None where nobody knows the whole.

        Args:
            ended: calls beside the workers that have ended.
            known: all that are known.
            told: as in `title`.
        """
        if total is None:
            return None
        done = max(self.done, told)
        return min((done + ended) / max(total + known, 1), _MOST_PROGRESS)

    def announcement(self, total: int | None, noun: str) -> str:
        """A sentence on how far the run is; another one at half, a first failure and the end."""
        workers = f"The {noun}s" if total is None else text.count(total, noun)
        if total is not None and self.done >= total:
            return f"{workers} done" + (f", {self.lost:,} without success." if self.lost else ".")
        if self.lost:
            return f"A {noun} ended without success; the others go on."
        if total is not None and 2 * self.done >= total:
            return f"Half of {workers} done."
        return f"{workers} started."

    def counts(self, under_way: dict[str, int]) -> list[str]:
        """How many workers are in which state; success goes without saying."""
        ended = {
            looks.STATES[name].word: self._states[name] for name in looks.STATES if name != "ok"
        }
        every = [*ended.items(), *under_way.items(), ("kept from before", self._replayed)]
        return [f"{number:,} {word}" for word, number in every if number]

    def rate(self, now: float, total: int | None) -> list[str]:
        """How fast calls end, and when the last one may."""
        rate = self._pace.rate(now)
        if not rate or total == self.done:
            return []
        left = None if total is None else self._pace.left(now, total - self.done)
        pace = [text.rate(rate)]
        return pace if left is None else [*pace, f"about {text.about(left)} left"]
