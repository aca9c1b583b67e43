"""Guards beside the work: nothing of it is shown, kept or sent on before they have passed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from parallm_magics.cell.auxiliary_calls import Guard
from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Event, Record, Task, Usage
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.simulated_time import cut_off, lay_out
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.guard_verdicts import (
    Verdict,
    blocking,
    is_whole,
    verdict_of,
    why_blocked,
)
from parallm_magics.patterns.record_sink import UNPASSED, withheld
from parallm_magics.patterns.workers import Workers, latest

Work = Callable[[Stop], Awaitable[Any]]
OTHER = "another guardrail has blocked the work"
# After every place there is, so that all that ended at the moment of a block still counts.
LAST = 2**62


class _Watch:
    """Collects the guards' records, and sees when one of them blocks."""

    def __init__(self, plan: Plan, workers: Workers) -> None:
        self._guards = plan.guards
        self._records: dict[int, Record] = {}
        self._ended: set[int] = set()
        tasks = guard_tasks(plan)
        table = None
        if not _early(plan):
            table = _timetable(workers, [*tasks, *(plan.calls.rendered or ())])
        table = table or _timetable(workers, tasks)
        self._ends = None if table is None else {each.index: each.end for each in table}

    def hear(self, record: Record) -> None:
        """Take in one record of a guard."""
        self._records[record.index] = record
        self.ended(record.index)

    def ended(self, index: int) -> None:
        """Note that a call has ended, a guard's or a worker's."""
        self._ended.add(index)

    @property
    def verdicts(self) -> list[tuple[Guard, Verdict]]:
        """The verdicts of the guards whose calls have all ended."""
        found = []
        for guard in self._guards:
            records = [self._records.get(task.index) for task in guard.tasks]
            ended = [record for record in records if record is not None]
            if len(ended) == len(records):
                found.append((guard, verdict_of(guard, ended)))
        return found

    @property
    def blocks(self) -> Verdict | None:
        """The first guard that blocks, in the cell's order, of those that have ended."""
        return next((verdict for _, verdict in self.verdicts if not verdict.passed), None)

    @property
    def trips(self) -> Verdict | None:
        """The guard for which all others are to be stopped now.

        On simulated time all calls that end before it are let end, so that a run does not depend
        on how fast the machine is.
        """
        against = [(guard, verdict) for guard, verdict in self.verdicts if not verdict.passed]
        if not against or self._ends is None:
            return against[0][1] if against else None
        ends = self._ends
        timed = [(max(ends[t.index] for t in guard.tasks), verdict) for guard, verdict in against]
        at, first = min(timed, key=lambda each: each[0])
        due = {index for index, end in ends.items() if end <= at}
        return first if due <= self._ended else None

    @property
    def passed(self) -> bool:
        """Whether all guards have let the work pass."""
        verdicts = self.verdicts
        return len(verdicts) == len(self._guards) and all(v.passed for _, v in verdicts)


async def guarded(
    plan: Plan,
    workers: Workers,
    stop: Stop,
    work: Work,
    before: Sequence[Verdict] = (),
) -> tuple[Any, tuple[Verdict, ...]]:
    """What the work comes to, and the verdicts of the guards that ran beside it.

    The work is None where it was not begun, as what is known of the guards forbids it. Whoever
    asks must not show the work unless all verdicts have passed; nothing of it is written down then.

    Args:
        stop: stops the run from outside.
        work: runs the work; is given what stops the work alone.
        before: the verdicts of an earlier run, of which the calls that gave one are kept.
    """
    if not plan.guards:
        return await work(stop), ()
    watch = _Watch(plan, workers)
    earlier = [record for verdict in before for record in verdict.records]
    kept = [record for record in earlier if record.ok and record.value is not None]
    # Recorded as answers, these were none to whoever asks for a further try.
    anew = {
        record.index for record in earlier if record.status in CAME_BACK and record.value is None
    }
    done = {record.index for record in kept}
    left = [task for task in guard_tasks(plan) if task.index not in done]
    for record in kept:
        workers.tell(Event("ended", record.index, 0.0, record=replace(record, replayed=True)))
    recorded = await workers.recorded(left, anew)
    for record in (*kept, *recorded):
        watch.hear(record)
    served = {record.index for record in recorded}
    missing = [task for task in left if task.index not in served]
    if (blocks := watch.blocks) is not None:
        workers.keeper.block(why_blocked(blocks))
        others = Stop(OTHER)
        records = await workers.ask(
            [task for task in left if task.index in served], stop=others, beside=True
        )
        outcomes = {task.index: workers.outcome(task) for task in missing}
        rest = [
            outcomes[task.index] or workers.unasked(task, "cancelled", f"not asked: {OTHER}")
            for task in missing
        ]
        timed = all(outcomes.values())
        return None, _verdicts(plan, workers, [*kept, *records, *rest], timed=timed)
    # Before the work begins: a guard whose key is missing is told while nothing has been spent.
    await workers.open(task.model for task in missing)
    records, result = await _both(plan, workers, stop, work, watch, left, anew)
    return result, _verdicts(plan, workers, [*kept, *records], timed=not stop.reason)


async def _both(
    plan: Plan,
    workers: Workers,
    stop: Stop,
    work: Work,
    watch: _Watch,
    left: Sequence[Task],
    anew: set[int],
) -> tuple[list[Record], Any]:
    """The guards' records, and what the work comes to beside them."""
    inner, others = stop.within(), stop.within()

    def look() -> None:
        if not stop.reason and (trips := watch.trips) is not None:
            inner(why_blocked(trips))
            others(OTHER)

    def hear(record: Record) -> None:
        watch.hear(record)
        look()

    def ended(index: int) -> None:
        watch.ended(index)
        look()

    workers.keeper.withhold(ended)
    guarding = asyncio.ensure_future(
        workers.ask(left, stop=others, heard=hear, anew=anew, beside=True)
    )
    working = asyncio.ensure_future(work(inner))
    both = (guarding, working)
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()  # what is wrong with the work is told at once
        records = await guarding
        _settle(watch, workers, stop)
        result = await working
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    return records, result


def _settle(watch: _Watch, workers: Workers, stop: Stop) -> None:
    """Let what was held back go, or see to it that it never does."""
    if watch.passed:
        workers.release()
        return
    blocks = watch.blocks
    workers.keeper.block(UNPASSED if blocks is None or stop.reason else why_blocked(blocks))


def _verdicts(
    plan: Plan, workers: Workers, records: Iterable[Record], *, timed: bool = False
) -> tuple[Verdict, ...]:
    """All verdicts, of the guards' records in any order.

    Args:
        timed: whether simulated guards are put on their own time, cut off where the first of them
            blocks.
    """
    by_place = {record.index: record for record in records}
    tasks = guard_tasks(plan)

    def found() -> list[Verdict]:
        return [verdict_of(g, [by_place[t.index] for t in g.tasks]) for g in plan.guards]

    table = _timetable(workers, tasks) if timed else None
    if table is not None:
        by_place = {each.index: _at(by_place[each.index], each) for each in table}
        decisive = [verdict for verdict in found() if not verdict.passed and is_whole(verdict)]
        if decisive:
            at = min(latest(verdict.records) for verdict in decisive)
            cut = cut_off([by_place[task.index] for task in tasks], at, LAST, OTHER)
            by_place = {record.index: record for record in cut}
    return tuple(found())


def guard_tasks(plan: Plan) -> list[Task]:
    """The calls of all guards."""
    return [task for guard in plan.guards for task in guard.tasks]


def _early(plan: Plan) -> bool:
    """Whether the work may end before all of its calls were made."""
    return plan.options.stop != "all" or plan.options.launch == "lazy"


def _timetable(workers: Workers, tasks: Sequence[Task]) -> list[Record] | None:
    """Records that know when these calls would run, and nothing else; None unless simulated."""
    lasting = workers.lasting(tasks)
    if lasting is None:
        return None
    empty = [
        task.ended("ok", seconds=seconds) for task, seconds in zip(tasks, lasting, strict=True)
    ]
    return lay_out(empty, workers.places)


def _at(record: Record, times: Record) -> Record:
    """The record on simulated time."""
    return replace(record, start=times.start, queued=times.queued, seconds=times.seconds)


def blocked_records(
    plan: Plan, workers: Workers, records: Sequence[Record] | None, verdicts: Sequence[Verdict]
) -> list[Record]:
    """The work's records without a word of it; simulated ones end where the guard has blocked."""
    blocks = blocking(verdicts)
    whole = blocks is not None and is_whole(blocks)
    why = why_blocked(blocks) if blocks is not None and whole else UNPASSED
    tasks = plan.calls.rendered
    if records is None:
        unasked = [workers.unasked(task, "blocked", f"not asked: {why}") for task in tasks or ()]
        outcomes = [workers.outcome(task) for task in tasks or ()]
        if not any(outcomes):
            return unasked
        pairs = zip(outcomes, unasked, strict=True)
        records = [outcome or never for outcome, never in pairs]
    if blocks is not None and whole and tasks is not None and len(tasks) == len(records):
        table = _timetable(workers, [*guard_tasks(plan), *tasks])
        if table is not None:
            times = {each.index: each for each in table}
            timed = [_at(record, times[record.index]) for record in records]
            records = cut_off(timed, latest(blocks.records), LAST, why)
            if _early(plan):  # which votes were asked depends on the machine
                records = [_outline(record) for record in records]
    return [withheld(record, why) for record in records]


def _outline(record: Record) -> Record:
    """The record without what only a call that was made tells."""
    usage = None if record.seconds else Usage()
    return replace(record, usage=usage, attempts=(), model_answered=None, request_id=None)
