"""Guards beside the work: nothing of it is shown, kept or sent on before they have passed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics import display
from parallm_magics.cell.asides import Guard
from parallm_magics.cell.plan import Plan
from parallm_magics.engine.simulated_time import cut_off, lay_out
from parallm_magics.engine.stop import Stop
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.patterns.keeper import UNPASSED, withheld
from parallm_magics.patterns.workers import Workers, latest
from parallm_magics.types import Event, Fault, Record, Usage
from parallm_magics.voting import decide

Work = Callable[[Stop], Awaitable[Any]]
# After every place there is, so that all that ended at the moment of a block still counts.
LAST = 2**62
_ANSWER_LINE = re.compile(r"^\W{0,8}answer\W{0,8}:.*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guardrail said of a run.

    Attributes:
        name: the guard's name.
        passed: whether the work may be shown as far as this guard goes.
        verdict: the label that it gave; None where it gave none.
        reason: its own words, or why there is no verdict.
        records: its calls.
        refusal: what stands in place of the work that it blocks.
    """

    name: str
    passed: bool
    verdict: str | None
    reason: str
    records: tuple[Record, ...]
    refusal: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Everything but the records as plain JSON types."""
        return {
            "name": self.name,
            "passed": self.passed,
            "verdict": self.verdict,
            "reason": self.reason,
        }

    @property
    def shown(self) -> display.Guard:
        """The verdict as it is drawn."""
        return display.Guard(self.name, self.passed, self.verdict, self.reason)


def verdict_of(guard: Guard, records: Sequence[Record]) -> Verdict:
    """What a guard's calls come to: its label by plurality, or none."""
    read, ballots = count_ballots(records, guard.reading)
    counts: dict[str, int] = {}
    for ballot in ballots:
        if ballot.label is not None:
            counts[ballot.label] = counts.get(ballot.label, 0) + 1
    status, label = decide(counts, len(guard.tasks))
    if label is None:
        # One that was stopped has not failed: nothing passes because of it.
        stopped = any(record.status == "cancelled" for record in records)
        passed = guard.passes_on_error and not stopped
        reason = _no_verdict(status, records, ballots)
    else:
        passed = label != guard.block
        said = next(b.text for b in ballots if b.label == label)
        reason = " ".join(_ANSWER_LINE.sub("", said).split())
    return Verdict(guard.name, passed, label, reason, tuple(read), guard.refusal)


def _no_verdict(status: str, records: Sequence[Record], ballots: Sequence[Any]) -> str:
    """Why a guard has no verdict."""
    if len(records) > 1 and status == "tie":
        return "no verdict: its votes are tied"
    for record, ballot in zip(records, ballots, strict=True):
        if record.error is not None:
            return f"no verdict: {record.error.message}"
        if ballot.state != "valid":
            what = "it declined to choose" if ballot.state == "abstain" else "it cannot be read"
            return f"no verdict: {what}"
    return "no verdict"


class _Watch:
    """Collects the guards' records, and sees the first guard that blocks."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = guards
        self._records: dict[int, Record] = {}

    def hear(self, record: Record) -> None:
        """Take in one record."""
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


def why_blocked(verdict: Verdict) -> str:
    """Why the work is withheld, in a few words."""
    said = f"said {verdict.verdict}" if verdict.verdict else "gave no verdict"
    return f"withheld: guardrail '{verdict.name}' {said}"


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
    watch = _Watch(plan.guards)
    workers.keeper.withhold()
    kept = [record for verdict in before for record in verdict.records if record.ok]
    for record in [*kept, *await _recorded(plan, workers, kept)]:
        watch.hear(record)
    tasks = [task for guard in plan.guards for task in guard.tasks]
    left = [task for task in tasks if task.index not in {record.index for record in kept}]
    inner, others = stop.within(), stop.within()
    if watch.blocks:
        others("another guardrail has blocked the work")

    def hear(record: Record) -> None:
        watch.hear(record)
        if (blocks := watch.blocks) is not None and not stop.reason:
            inner(why_blocked(blocks))
            others("another guardrail has blocked the work")

    guarding = asyncio.ensure_future(workers.ask(left, stop=others, heard=hear, beside=True))
    working = None if watch.blocks else asyncio.ensure_future(work(inner))
    both = [each for each in (guarding, working) if each is not None]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()  # what is wrong with the work is told at once
        records = await guarding
        _settle(watch, workers, stop)
        result = await working if working is not None else None
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    ended = sorted([*kept, *records], key=lambda record: record.index)
    return result, _verdicts(plan, workers, ended, watch)


async def _recorded(plan: Plan, workers: Workers, kept: Sequence[Record]) -> list[Record]:
    """The guards' records that are kept, so that work which they forbid is not begun in vain."""
    places = {record.index for record in kept}
    tasks = [task for guard in plan.guards for task in guard.tasks if task.index not in places]
    return await workers.recorded(tasks)


def _settle(watch: _Watch, workers: Workers, stop: Stop) -> None:
    """Let what was held back go, or see to it that it never does."""
    if watch.passed:
        workers.keeper.release()
        workers.tell(Event("released", -1, 0.0))
        return
    blocks = watch.blocks
    workers.keeper.block(UNPASSED if blocks is None or stop.reason else why_blocked(blocks))


def _verdicts(
    plan: Plan, workers: Workers, records: list[Record], watch: _Watch
) -> tuple[Verdict, ...]:
    """All verdicts; simulated guards on their own time, cut off where the first of them blocks."""
    tasks = [task for guard in plan.guards for task in guard.tasks]
    lasting = workers.lasting(tasks)
    if lasting is not None:
        timed = [
            replace(record, seconds=seconds) if record.status == "cancelled" else record
            for record, seconds in zip(records, lasting, strict=True)
        ]
        records = lay_out(timed, workers.places)
    by_place = {record.index: record for record in records}

    def found() -> list[Verdict]:
        return [verdict_of(g, [by_place[t.index] for t in g.tasks]) for g in plan.guards]

    decisive = [verdict for verdict in found() if not verdict.passed and _whole(verdict)]
    if lasting is not None and decisive:
        at = min(latest(verdict.records) for verdict in decisive)
        cut = cut_off(records, at, LAST, "another guardrail has blocked the work")
        by_place = {record.index: record for record in cut}
    return tuple(found())


def _whole(verdict: Verdict) -> bool:
    """Whether all of a guard's calls have come to an end of their own."""
    return all(record.status != "cancelled" for record in verdict.records)


def blocked_records(
    plan: Plan, workers: Workers, records: Sequence[Record] | None, verdicts: Sequence[Verdict]
) -> list[Record]:
    """The work's records without a word of it; simulated ones end where the guard has blocked."""
    blocks = blocking(verdicts)
    why = why_blocked(blocks) if blocks is not None and _whole(blocks) else UNPASSED
    tasks = plan.calls.rendered
    if records is None:
        return [
            Record(
                index=task.index,
                name=task.name,
                status="blocked",
                model=str(task.model),
                usage=Usage(),
                error=Fault("blocked", f"not asked: {why}"),
            )
            for task in tasks or ()
        ]
    lasting = workers.lasting(tasks) if tasks is not None else None
    if lasting is not None and blocks is not None and len(lasting) == len(records):
        timed = [replace(r, seconds=s) for r, s in zip(records, lasting, strict=True)]
        at = latest(blocks.records)
        records = cut_off(lay_out(timed, workers.places), at, LAST, why)
    return [withheld(record, why) for record in records]


def blocking(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The verdict for which the work is withheld; None where all have passed."""
    against = [verdict for verdict in verdicts if not verdict.passed]
    return next(iter([*filter(_whole, against), *against]), None)
