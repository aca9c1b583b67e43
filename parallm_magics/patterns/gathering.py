"""Votes that end as soon as those still open can no longer matter."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from parallm_magics.core.tasks import Call, Event, Record, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.simulated_time import cancelled, lay_out
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.early_stopper import EarlyStopper
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.workers import Workers, later, latest


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
    referee: EarlyStopper,
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
    workers.kept(kept)
    done = {record.index for record in kept}
    left = [task for task in tasks if task.index not in done]
    anew = {record.index for record in before if record.status in CAME_BACK}
    if rule.stop == "all":
        records = await workers.ask(left, stop=stop, least=max(least - len(kept), 0), anew=anew)
        return Gathered(_in_order([*kept, *_since(latest(kept), workers, left, records)]))
    for record in sorted(kept, key=_arrival):
        referee.hear(record)
    ask = _in_waves if rule.waves else _until_decided
    records = [] if referee.check() else await ask(left, workers, referee, stop, anew)
    if workers.lasting(left) is not None:  # they are on a time that begins with them
        records = [later(record, latest(kept)) for record in records]
    missing = {task.index for task in left} - {record.index for record in records}
    after = len(referee.heard)
    why = stop.reason or f"not asked: {_why(after, len(tasks))}"
    # What an earlier run had spent on a vote that is no more needed stays in the books.
    old = {record.index: record for record in before}
    unasked = [
        old.get(task.index) or workers.unasked(task, "cancelled", why)
        for task in left
        if task.index in missing
    ]
    late = {record.index for record in records if record.status in CAME_BACK} - referee.heard
    decided = after if referee.stopped and not stop.reason else None
    if decided is None:
        late = set()
    return Gathered(_in_order([*kept, *records, *unasked]), decided, frozenset(late))


async def _until_decided(
    tasks: Sequence[Task], workers: Workers, referee: EarlyStopper, stop: Stop, anew: set[int]
) -> list[Record]:
    """All at once; what is open when the vote is decided is cancelled."""
    inner, votes = stop.within(), len(tasks) + len(referee.heard)
    lasting = workers.lasting(tasks)
    order = _order(workers, tasks, lasting)

    def hear(record: Record) -> None:
        for each in order(record):
            if not referee.stopped and not stop.reason and referee.decides(each):
                why = _why(len(referee.heard), votes)
                workers.tell(Event("said", -1, 0.0, why))
                inner(why)

    if lasting is None or workers.replays:  # what is kept comes as it had come
        for record in await _kept(tasks, workers, lasting, anew):
            if not referee.stopped:
                referee.decides(record)
    if referee.stopped:
        ended = _as_it_ended(tasks, workers, referee, votes)
        records = await workers.ask(ended, stop=stop)
    else:
        records = await workers.ask(tasks, stop=inner, heard=hear, anew=anew)
    if lasting is None:
        return records
    return _cut(workers, records, lasting, referee, stop, votes)


async def _kept(
    tasks: Sequence[Task], workers: Workers, lasting: Sequence[float] | None, anew: set[int]
) -> list[Record]:
    """What is kept of these votes, in the order in which they ended, as far as it reaches.

    On simulated time the order is known of those too that nothing is kept of: what came after the
    first of them is not known to have come.
    """
    found = await workers.recorded(tasks, anew)
    if lasting is None:
        return found
    by_place = {record.index: record for record in found}
    turns = sorted(_timed(workers, tasks, lasting), key=_arrival)
    known = itertools.takewhile(lambda turn: turn.index in by_place, turns)
    return [by_place[turn.index] for turn in known]


def _as_it_ended(
    tasks: Sequence[Task], workers: Workers, referee: EarlyStopper, votes: int
) -> list[Call]:
    """The votes that decided, and of the others how they had ended when they were asked."""
    why = _why(len(referee.heard), votes)
    calls: list[Call] = []
    for task in tasks:
        if task.index in referee.heard:
            calls.append(task)
        elif outcome := workers.outcome(task):
            calls.append(outcome)
        elif workers.lasting([task]) is not None:
            calls.append(workers.unasked(task, "cancelled", why))
    return calls


def _order(
    workers: Workers, tasks: Sequence[Task], lasting: Sequence[float] | None
) -> Callable[[Record], Iterable[Record]]:
    """From a record that has ended to those whose turn it is: simulated ones by simulated ends."""
    if lasting is None:
        return lambda record: (record,)
    turns = deque(sorted(_timed(workers, tasks, lasting), key=_arrival))
    waiting: dict[int, Record] = {}

    def order(record: Record) -> Iterable[Record]:
        waiting[record.index] = record
        while turns and turns[0].index in waiting:
            yield waiting.pop(turns.popleft().index)

    return order


def _timed(workers: Workers, tasks: Sequence[Task], lasting: Sequence[float]) -> list[Record]:
    """Records that know when their calls would run, and nothing else."""
    empty = [
        task.ended("ok", seconds=seconds) for task, seconds in zip(tasks, lasting, strict=True)
    ]
    return lay_out(empty, workers.places)


def _cut(
    workers: Workers,
    records: Sequence[Record],
    lasting: Sequence[float],
    referee: EarlyStopper,
    stop: Stop,
    votes: int,
) -> list[Record]:
    """Simulated records on their own time, cancelled at the moment of the decision."""
    if stop.reason:
        return lay_out(records, workers.places)
    # A record of a call that came to nothing knows less than was known before.
    timed = [
        replace(record, seconds=seconds) if record.index not in referee.heard else record
        for record, seconds in zip(records, lasting, strict=True)
    ]
    laid = lay_out(timed, workers.places)
    if not referee.stopped:
        return laid
    at = latest(record for record in laid if record.index in referee.heard)
    why = _why(len(referee.heard), votes)
    return [
        record if record.index in referee.heard else cancelled(record, at, why) for record in laid
    ]


async def _in_waves(
    tasks: Sequence[Task], workers: Workers, referee: EarlyStopper, stop: Stop, anew: set[int]
) -> list[Record]:
    """In waves by index, each as small as could decide and awaited whole, so that none is wasted."""
    left, records = list(tasks), list[Record]()
    while left and not referee.stopped and not stop.reason:
        size = referee.wave()
        wave, left = left[:size], left[size:]
        ended = await workers.ask(wave, stop=stop, anew=anew)
        ended = _since(latest(records), workers, wave, ended)
        records += ended
        for record in sorted(ended, key=_arrival):
            referee.hear(record)
        if referee.check():
            votes = len(left) + len(referee.heard)
            workers.tell(Event("said", -1, 0.0, _why(len(referee.heard), votes)))
    return records


def _since(
    since: float, workers: Workers, tasks: Sequence[Task], records: list[Record]
) -> list[Record]:
    """Records on the simulation's own time from then on, where all are simulated."""
    if workers.lasting(tasks) is None:
        return records
    return [later(record, since) for record in lay_out(records, workers.places)]


def _why(after: int, votes: int) -> str:
    return f"decided after {after} of {votes} votes"


def _arrival(record: Record) -> tuple[float, int]:
    return record.end, record.index


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.index)
