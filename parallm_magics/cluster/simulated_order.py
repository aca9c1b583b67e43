"""When simulated calls begin, whichever worker made them: laid out as one machine would do it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace

from parallm_magics.core.tasks import Record, Task
from parallm_magics.engine.admission import expected_tokens
from parallm_magics.engine.rate_limits import MOST_SLOTS, RateWindow, Taken
from parallm_magics.engine.retries import Rules


class SimulatedOrder:
    """Takes records as they come, and gives them on in the order of their calls, each at its moment.

    A simulated call tells how long it took. When it would have begun follows from the calls before it.
    """

    def __init__(self, rules: Rules, end: Callable[[Task, Sequence[Record]], None]) -> None:
        """Take what limits the calls, and who takes the records of a call."""
        self._rules, self._end = rules, end
        most = min(rules.concurrency, MOST_SLOTS)
        self._free = [0.0] * most
        self._last = 0.0
        self._requests, self._tokens = RateWindow(), RateWindow()
        self._corrections: list[tuple[float, int, Taken, float]] = []
        self._line: dict[int, Task] = {}
        self._came: dict[int, list[Record]] = {}

    def expect(self, task: Task) -> None:
        """A call is sent, after those before it."""
        self._line[task.asked[0].index] = task

    def take(self, task: Task, record: Record) -> None:
        """One record of a call has come; those that nothing is awaited before are given on."""
        first = task.asked[0].index
        self._came.setdefault(first, []).append(record)
        while self._line:
            head, call = next(iter(self._line.items()))
            if len(self._came.get(head, ())) < len(call.asked):
                return
            del self._line[head]
            self._end(call, self._placed(call, self._came.pop(head)))

    def drop(self, task: Task) -> None:
        """A call will have no record."""
        self._line.pop(task.asked[0].index, None)

    def _placed(self, task: Task, records: Sequence[Record]) -> list[Record]:
        """The records of a call, begun as soon as a place was free and the minute had room."""
        if not records[0].attempts:  # it was never made
            return list(records)
        # Calls begin in their order: none goes past one that waits for the minute to have room.
        start = max(heapq.heappop(self._free), self._last)
        rules = self._rules
        while True:
            while self._corrections and self._corrections[0][0] <= start:
                _, _, taken, used = heapq.heappop(self._corrections)
                self._tokens.correct(taken, used)
            wait = self._requests.wait(start, 1, rules.rpm) if rules.rpm else 0.0
            most = expected_tokens(task) if rules.tpm else 0.0
            if rules.tpm and not wait:
                wait = self._tokens.wait(start, most, rules.tpm)
            if not wait:
                break
            ends = [self._corrections[0][0]] if self._corrections else []
            start = min(start + wait, *ends) if ends else start + wait
        self._last, end = start, start + records[0].seconds
        if rules.rpm:
            self._requests.take(start, 1)
        if rules.tpm:
            used = sum(r.usage.total_tokens for r in records if r.usage is not None)
            taken = self._tokens.take(start, most)
            heapq.heappush(self._corrections, (end, task.index, taken, float(used)))
        heapq.heappush(self._free, end)
        start = round(start, 6)
        return [replace(record, start=start, queued=start) for record in records]
