"""Votes that end as soon as those still open can no longer change the outcome."""

from __future__ import annotations

import bisect
from collections.abc import Container, Sequence
from dataclasses import dataclass
from fractions import Fraction

from parallm_magics.answers.questions import requests_of
from parallm_magics.core.tasks import Call, Event, Reading, Record, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.open_questions import questions_of, votes_on
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.workers import Workers

# Of many open votes it is asked after every hundredth part of them whether they still matter.
CHECKS_A_VOTE = 100


class EarlyStopper:
    """Counts votes as they end, and sees when the open ones cannot change the outcome.

    Attributes:
        heard: the places of the votes that it has counted.
        stopped: whether the vote has been ended early.
    """

    def __init__(self, rule: Rule, reading: Reading, weights: Sequence[Fraction]) -> None:
        self._reading, self._weights = reading, weights
        self._questions = questions_of(rule, reading, len(weights))
        self._since: list[int] = []  # counted since it was last looked whether they decide
        self._requests: dict[int, frozenset[int]] = {}
        self.heard: set[int] = set()
        self.stopped = False

    def ask(self, tasks: Sequence[Task]) -> None:
        """Take note of who is asked; those of one request come together, so that none of them is stopped."""
        self._requests = requests_of(tasks)

    def hear(self, record: Record) -> None:
        """Count one vote that has ended."""
        at = record.index
        self.heard.add(at)
        for name, vote, key in votes_on(record, self._reading, self._weights[at]):
            self._questions[name].hear(at, vote, key)

    def check(self) -> bool:
        """Whether the vote is decided while votes are open."""
        self.stopped = len(self.heard) < len(self._weights) and self._over(self.heard)
        return self.stopped

    def decides(self, record: Record) -> bool:
        """Count one vote; whether the vote is decided by it, or was by one shortly before it.

        What is certain stays certain, so that of many votes the one that decided is found later;
        those counted since then are taken back, but for those of its request.
        """
        self.hear(record)
        self._since.append(record.index)
        if self._requests.get(record.index, frozenset()) - self.heard:
            return False
        if len(self._since) < (len(self._weights) - len(self.heard)) // CHECKS_A_VOTE:
            return False
        since, self._since = self._since, []
        if not self.check():
            return False
        places = range(len(since))
        last = bisect.bisect_left(places, True, key=lambda at: self._over_without(since[at + 1 :]))
        self.heard -= {*since[last + 1 :]} - self._requests.get(since[last], frozenset())
        return True

    def _over_without(self, places: Sequence[int]) -> bool:
        """Whether the vote would be decided while the votes of these places were open too."""
        return self._over(self.heard.difference(places))

    def wave(self) -> int:
        """How many votes are to be asked next: the fewest that could decide all that is open."""
        open_ = self._open(self.heard)
        still = (each for each in self._questions.values() if not each.over(self.heard, open_))
        return max((each.wave(open_) for each in still), default=1)

    def _open(self, heard: Container[int]) -> list[Fraction]:
        return [weight for at, weight in enumerate(self._weights) if at not in heard]

    def _over(self, heard: Container[int]) -> bool:
        open_ = self._open(heard)
        return all(each.over(heard, open_) for each in self._questions.values())


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of asking a panel.

    Attributes:
        records: one a voter, in the panel's order.
        decided_after: how many votes had ended when the vote was decided early; None where not.
        uncounted: the places of those that ended after that.
    """

    records: list[Record]
    decided_after: int | None = None
    uncounted: frozenset[int] = frozenset()


async def gather(
    tasks: Sequence[Task],
    workers: Workers,
    rule: Rule,
    stopper: EarlyStopper,
    *,
    stop: Stop,
    before: Sequence[Record] = (),
    least: int = 0,
) -> Gathered:
    """Ask a panel, and end as soon as its rule allows.

    Args:
        tasks: the panel, in order.
        before: the records of an earlier run, whose successes are kept.
        least: how many votes must come back.
        stop: stops the run from outside.
    """
    kept = [record for record in before if record.ok]
    workers.keep_earlier(kept)
    done = {record.index for record in kept}
    left = [task for task in tasks if task.index not in done]
    anew = {record.index for record in before if record.status in CAME_BACK}
    stopper.ask(left)
    if rule.stop == "all":
        short, engine = max(least - len(kept), 0), workers.work_engine
        records = await workers.ask(left, stop=stop, least=short, anew=anew, engine=engine)
        return Gathered(_in_order([*kept, *records]))
    for record in sorted(kept, key=_arrival):
        stopper.hear(record)
    ask = _in_waves if rule.waves else _until_decided
    records = [] if stopper.check() else await ask(left, workers, stopper, stop, anew)
    missing = {task.index for task in left} - {record.index for record in records}
    after = len(stopper.heard)
    why = stop.reason or f"not asked: {_why(after, len(tasks))}"
    # What an earlier run had spent on a vote that is no more needed stays in the sum.
    old = {record.index: record for record in before}
    unasked = [
        old.get(task.index) or workers.unasked(task, "cancelled", why)
        for task in left
        if task.index in missing
    ]
    late = {record.index for record in records if record.status in CAME_BACK} - stopper.heard
    decided = after if stopper.stopped and not stop.reason else None
    if decided is None:
        late = set()
    return Gathered(_in_order([*kept, *records, *unasked]), decided, frozenset(late))


async def _until_decided(
    tasks: Sequence[Task], workers: Workers, stopper: EarlyStopper, stop: Stop, anew: set[int]
) -> list[Record]:
    """All at once; what is open when the vote is decided is cancelled."""
    inner, votes = stop.within(), len(tasks) + len(stopper.heard)

    def hear(record: Record) -> None:
        if not stopper.stopped and not stop.reason and stopper.decides(record):
            why = _why(len(stopper.heard), votes)
            workers.tell(Event("said", -1, 0.0, why))
            inner(why)

    for record in await workers.replay.recorded(tasks, anew):  # what is kept comes as it had come
        if not stopper.stopped:
            stopper.decides(record)
    if stopper.stopped:
        ended = await _as_it_ended(tasks, workers, stopper, votes)
        return await workers.ask(ended, stop=stop)
    engine = workers.work_engine
    return await workers.ask(tasks, stop=inner, heard=hear, anew=anew, engine=engine)


async def _as_it_ended(
    tasks: Sequence[Task], workers: Workers, stopper: EarlyStopper, votes: int
) -> list[Call]:
    """The votes that decided, and of the others how they had ended when they were asked."""
    why, heard = _why(len(stopper.heard), votes), stopper.heard
    counted = [each.end for each in await workers.replay.recorded(tasks) if each.index in heard]
    at = max(counted, default=0.0)
    calls: list[Call] = []
    for task in tasks:
        if task.index in heard:
            calls.append(task)
        elif outcome := workers.replay.outcome(task):
            calls.append(outcome)
        else:
            calls.append(workers.unasked(task, "cancelled", why, at))
    return calls


async def _in_waves(
    tasks: Sequence[Task], workers: Workers, stopper: EarlyStopper, stop: Stop, anew: set[int]
) -> list[Record]:
    """In waves by index, each as small as could decide and awaited whole, so that none is wasted."""
    left, records = list(tasks), list[Record]()
    while left and not stopper.stopped and not stop.reason:
        size = stopper.wave()
        wave, left = left[:size], left[size:]
        ended = await workers.ask(wave, stop=stop, anew=anew, engine=workers.work_engine)
        records += ended
        for record in sorted(ended, key=_arrival):
            stopper.hear(record)
        if stopper.check():
            votes = len(left) + len(stopper.heard)
            workers.tell(Event("said", -1, 0.0, _why(len(stopper.heard), votes)))
    return records


def _why(after: int, votes: int) -> str:
    return f"decided after {after} of {votes} votes"


def _arrival(record: Record) -> tuple[float, int]:
    return record.end, record.index


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.index)
