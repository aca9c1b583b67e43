"""Votes that end as soon as those still open can no longer matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parallm_magics.core.tasks import Call, Event, Record, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.early_stopper import EarlyStopper
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.workers import Workers, latest


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
        return Gathered(_in_order([*kept, *records]))
    for record in sorted(kept, key=_arrival):
        referee.hear(record)
    ask = _in_waves if rule.waves else _until_decided
    records = [] if referee.check() else await ask(left, workers, referee, stop, anew)
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

    def hear(record: Record) -> None:
        if not referee.stopped and not stop.reason and referee.decides(record):
            why = _why(len(referee.heard), votes)
            workers.tell(Event("said", -1, 0.0, why))
            inner(why)

    for record in await workers.recorded(tasks, anew):  # what is kept comes as it had come
        if not referee.stopped:
            referee.decides(record)
    if referee.stopped:
        ended = await _as_it_ended(tasks, workers, referee, votes)
        return await workers.ask(ended, stop=stop)
    return await workers.ask(tasks, stop=inner, heard=hear, anew=anew)


async def _as_it_ended(
    tasks: Sequence[Task], workers: Workers, referee: EarlyStopper, votes: int
) -> list[Call]:
    """The votes that decided, and of the others how they had ended when they were asked."""
    why, heard = _why(len(referee.heard), votes), referee.heard
    at = latest(each for each in await workers.recorded(tasks) if each.index in heard)
    calls: list[Call] = []
    for task in tasks:
        if task.index in heard:
            calls.append(task)
        elif outcome := workers.outcome(task):
            calls.append(outcome)
        else:
            calls.append(workers.unasked(task, "cancelled", why, at))
    return calls


async def _in_waves(
    tasks: Sequence[Task], workers: Workers, referee: EarlyStopper, stop: Stop, anew: set[int]
) -> list[Record]:
    """In waves by index, each as small as could decide and awaited whole, so that none is wasted."""
    left, records = list(tasks), list[Record]()
    while left and not referee.stopped and not stop.reason:
        size = referee.wave()
        wave, left = left[:size], left[size:]
        ended = await workers.ask(wave, stop=stop, anew=anew)
        records += ended
        for record in sorted(ended, key=_arrival):
            referee.hear(record)
        if referee.check():
            votes = len(left) + len(referee.heard)
            workers.tell(Event("said", -1, 0.0, _why(len(referee.heard), votes)))
    return records


def _why(after: int, votes: int) -> str:
    return f"decided after {after} of {votes} votes"


def _arrival(record: Record) -> tuple[float, int]:
    return record.end, record.index


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.index)
