"""A vote on each of many items, measured against the truth and against other ways to answer."""

from __future__ import annotations

from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import CAME_BACK, voted
from parallm_magics.patterns.ending import (
    raise_if_blocked,
    raise_if_unfinished,
    refuse_empty,
    run_again,
    unread,
)
from parallm_magics.patterns.guardrail import blocked_records, guarded
from parallm_magics.patterns.panel import warnings
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.workers import open_workers
from parallm_magics.study.outcomes import reading_of_all
from parallm_magics.study.study_run import StudyRun
from parallm_magics.voting.pick_rules import rule_named

MOST_NAMED = 10
"""Most labels that are proposed as choices."""


async def run_study(
    plan: Plan, around: RunContext, before: StudyRun | None = None, further: int = 0
) -> StudyRun:
    """Run a study's plan.

    Args:
        before: a run of the same plan whose successful calls are kept.
        further: how often the run has been taken up before, this time included.

    Raises:
        TooFewSucceeded: with every record; not where the run was stopped from outside.
        BudgetExceeded: likewise, where a cap on cost left calls unasked.
        GuardrailBlocked: a guardrail that raises has blocked the work.
    """
    old = before.results if before is not None else ()
    calls, reading = plan.calls, reading_of_all(plan)

    def read(record: Record) -> Record:
        return voted(
            record, reading, rule_named(calls.options(record.index).pick).states_confidence
        )

    async with open_workers(plan, around, further=further) as workers:
        records, guards = await guarded(
            plan,
            workers,
            around.stop,
            lambda stop: workers.run(old, stop, votes=read),
            before.guards if before is not None else (),
        )
        blocked = any(not guard.passed for guard in guards)
        if blocked:
            records = blocked_records(plan, workers, records, guards)
        stopped = bool(around.stop.reason)
        refuse_empty(plan, records, blocked or stopped)
        workers.ended(record for guard in guards for record in guard.records)

    renew = around.renew

    async def again(run: StudyRun) -> StudyRun:
        return await run_again(plan, renew, lambda new: run_study(plan, new, run, further + 1))

    run = StudyRun(
        records,
        plan,
        notes=[
            *plan.notes,
            *workers.notes,
            *_warnings(plan),
            *([] if blocked else unread(plan, records)),
        ],
        guards=guards,
        again=again,
    )
    raise_if_blocked(plan, run)
    if not (stopped or blocked):
        back = sum(record.status in CAME_BACK for record in records)
        raise_if_unfinished(plan, records, back, "calls came back", run)
    return run


def _warnings(plan: Plan) -> list[str]:
    """What the reader should know of the cell's own panel."""
    assert plan.study is not None
    main = next(system for system in plan.study.systems if system.kind == "vote")
    labels = plan.study.labels
    notes = []
    if labels.given and reading_of_all(plan).kind == "open":
        kinds = sorted({*labels.truth.values()})
        some = f" {','.join(kinds)}" if 2 <= len(kinds) <= MOST_NAMED else ""
        notes.append(
            "an answer is right only where its whole text is the label; where there are few labels name "
            f"them: --choices{some}"
        )
    if labels.given and reading_of_all(plan).kind in ("number", "score"):
        notes.append(
            "an answer is right only where it equals its label; one that is near it is wrong"
        )
    read = max(labels.words, default=0)
    if labels.listed is not None and plan.calls.exhausted and labels.listed != read:
        notes.append(
            f"--truth has {labels.listed:,} labels, and there were {read:,} items: do they belong together?"
        )
    if len(main.places) > 1 and plan.calls.head:
        tasks = [plan.calls.head[place] for place in main.places]
        notes += warnings(
            tasks,
            shuffled=plan.options.shuffle_choices,
            pick=main.options.pick,
            measured=labels.given,
        )
    return notes
