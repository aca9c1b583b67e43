"""Guards beside the work: nothing of it is shown, kept or sent on before they have passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

from parallm_magics.cell.auxiliary_calls import Guard
from parallm_magics.core.tasks import Event, Record, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.guard_verdicts import (
    Verdict,
    blocking,
    is_whole,
    verdict_of,
    why_blocked,
)
from parallm_magics.patterns.record_sink import UNPASSED, withheld
from parallm_magics.patterns.workers import Workers

Work = Callable[[Stop], Coroutine[Any, Any, Any]]
STOPPED_BY_ANOTHER = "another guardrail has blocked the work"


class _Watch:
    """Collects the guards' records, and sees when one of them blocks."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = guards
        self._records: dict[int, Record] = {}

    def hear(self, record: Record) -> None:
        """Take in one record of a guard."""
        self._records[record.index] = record

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
    def passed(self) -> bool:
        """Whether all guards have let the work pass."""
        verdicts = self.verdicts
        return len(verdicts) == len(self._guards) and all(v.passed for _, v in verdicts)


async def guarded(
    guards: Sequence[Guard],
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
    watch = _Watch(guards)
    earlier = [record for verdict in before for record in verdict.records]
    kept = [record for record in earlier if record.ok and record.value is not None]
    # Recorded as answers, these were none to whoever asks for a further try.
    anew = {
        record.index for record in earlier if record.status in CAME_BACK and record.value is None
    }
    done = {record.index for record in kept}
    left = [task for task in guard_tasks(guards) if task.index not in done]
    for record in kept:
        workers.tell(Event("ended", record.index, 0.0, record=replace(record, replayed=True)))
    recorded = await workers.replay.recorded(left, anew)
    for record in (*kept, *recorded):
        watch.hear(record)
    served = {record.index for record in recorded}
    missing = [task for task in left if task.index not in served]
    if (blocks := watch.blocks) is not None:
        workers.sink.block(why_blocked(blocks))
        others = Stop(STOPPED_BY_ANOTHER)
        records = await workers.ask(
            [task for task in left if task.index in served], stop=others, beside=True
        )
        outcomes = {task.index: workers.replay.outcome(task) for task in missing}
        rest = [
            outcomes[task.index]
            or workers.unasked(task, "cancelled", f"not asked: {STOPPED_BY_ANOTHER}")
            for task in missing
        ]
        return None, _verdicts(guards, [*kept, *records, *rest])
    # Before the work begins: a guard whose key is missing is told while nothing has been spent.
    await workers.models.open(task.model for task in missing)
    records, result = await _both(workers, stop, work, watch, left, anew)
    return result, _verdicts(guards, [*kept, *records])


async def _both(
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
        if not stop.reason and (blocks := watch.blocks) is not None:
            inner(why_blocked(blocks))
            others(STOPPED_BY_ANOTHER)

    def hear(record: Record) -> None:
        watch.hear(record)
        workers.models.clock.finish_moment(look)

    async def guard() -> list[Record]:
        records = await workers.ask(left, stop=others, heard=hear, anew=anew, beside=True)
        _settle(watch, workers, stop)
        return records

    workers.sink.withhold()
    guarding = workers.models.clock.spawn(guard())
    working = workers.models.clock.spawn(work(inner))
    both = (guarding, working)
    try:
        with workers.models.clock.waiting():
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if working in done:
                working.result()  # what is wrong with the work is told at once
            return await guarding, await working
    finally:
        for each in both:
            each.cancel()
        with workers.models.clock.waiting():
            await asyncio.gather(*both, return_exceptions=True)


def _settle(watch: _Watch, workers: Workers, stop: Stop) -> None:
    """Let what was held back go, or see to it that it never does."""
    if watch.passed:
        workers.release()
        return
    blocks = watch.blocks
    workers.sink.block(UNPASSED if blocks is None or stop.reason else why_blocked(blocks))


def _verdicts(guards: Sequence[Guard], records: Iterable[Record]) -> tuple[Verdict, ...]:
    """All verdicts, of the guards' records in any order."""
    by_place = {record.index: record for record in records}
    return tuple(
        verdict_of(guard, [by_place[task.index] for task in guard.tasks]) for guard in guards
    )


def guard_tasks(guards: Iterable[Guard]) -> list[Task]:
    """The calls of all guards."""
    return [task for guard in guards for task in guard.tasks]


def blocked_records(
    tasks: Sequence[Task],
    workers: Workers,
    records: Sequence[Record] | None,
    verdicts: Sequence[Verdict],
) -> list[Record]:
    """The work's records without a word of it.

    Args:
        tasks: its calls, as far as they are known beforehand.
        records: None where it was not begun.
    """
    blocks = blocking(verdicts)
    whole = blocks is not None and is_whole(blocks)
    why = why_blocked(blocks) if blocks is not None and whole else UNPASSED
    if records is None:
        unasked = [workers.unasked(task, "blocked", f"not asked: {why}") for task in tasks]
        outcomes = [workers.replay.outcome(task) for task in tasks]
        if not any(outcomes):
            return unasked
        pairs = zip(outcomes, unasked, strict=True)
        records = [outcome or never for outcome, never in pairs]
    return [withheld(record, why) for record in records]
