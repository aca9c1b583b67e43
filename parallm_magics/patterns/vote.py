"""Voting: the same task several times, an answer chosen by consensus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.ballots import CAME_BACK, Ballot, count_ballots, votes_of
from parallm_magics.patterns.early_stopper import EarlyStopper
from parallm_magics.patterns.ending import raise_if_blocked, raise_if_unfinished, run_again
from parallm_magics.patterns.gathering import Gathered, gather
from parallm_magics.patterns.guardrail import blocked_records, guarded
from parallm_magics.patterns.judge import Judgment, candidates_of, choose, score
from parallm_magics.patterns.judge import warnings as judge_warnings
from parallm_magics.patterns.panel import Rule, panel_reading, repeats, rule_of, warnings
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.vote_run import VoteRun, settled
from parallm_magics.patterns.workers import Workers, open_workers
from parallm_magics.voting.pick_rules import TIES


async def run_vote(
    plan: Plan, around: RunContext, before: VoteRun | None = None, further: int = 0
) -> VoteRun:
    """Run a vote's plan.

    Args:
        before: a run of the same plan whose successful calls are kept.
        further: how often the run has been taken up before, this time included.

    Raises:
        TooFewSucceeded: with every record; not where the run was stopped from outside.
        BudgetExceeded: likewise, where a cap on cost left calls unasked.
        GuardrailBlocked: a guardrail that raises has blocked the work.
    """
    tasks = plan.tasks
    reading = panel_reading(tasks)
    rule = rule_of(plan.options, len(tasks), reading, plan.calls.flag)
    weights = plan.calls.weights
    old = before.results if before is not None else ()
    async with open_workers(plan, around, further=further) as workers:

        async def work(stop: Stop) -> Gathered:
            referee, least = EarlyStopper(rule, reading, weights), plan.least(len(tasks))
            return await gather(tasks, workers, rule, referee, stop=stop, before=old, least=least)

        gathered, guards = await guarded(
            plan, workers, around.stop, work, before.guards if before is not None else ()
        )
        blocked = any(not guard.passed for guard in guards)
        records = gathered.records if gathered is not None else None
        if blocked:
            records = blocked_records(plan, workers, records, guards)
            gathered = None
        records = records or []
        workers.ended([*records, *(record for guard in guards for record in guard.records)])
        judgment = None
        if not (blocked or around.stop.reason):
            judgment = await _judged(plan, workers, rule, reading, gathered, before)

    renew = around.renew

    async def again(run: VoteRun) -> VoteRun:
        return await run_again(plan, renew, lambda new: run_vote(plan, new, run, further + 1))

    uncounted = gathered.uncounted if gathered is not None else frozenset[int]()
    confident, asks = rule.entry.states_confidence, bool(rule.entry.asks)
    read, ballots = count_ballots(records, reading, weights, uncounted, confident, asks)
    run = VoteRun(
        read,
        rule,
        reading,
        repeats=repeats(tasks),
        weights=weights,
        gathered=gathered,
        judgment=judgment,
        notes=_notes(plan, tasks, workers, rule, ballots, judgment),
        guards=guards,
        again=again,
    )
    raise_if_blocked(plan, run)
    if not (around.stop.reason or blocked) and run.decided_after is None:
        back = sum(record.status in CAME_BACK for record in records)
        raise_if_unfinished(plan, records, back, "calls came back", run)
    return run


def _notes(
    plan: Plan,
    tasks: Sequence[Task],
    workers: Workers,
    rule: Rule,
    ballots: Sequence[Ballot],
    judgment: Judgment | None,
) -> list[str]:
    """What the user should know of the vote, one line each."""
    valid = sum(ballot.state == "valid" for ballot in ballots)
    shuffled = plan.options.shuffle_choices
    told = warnings(tasks, shuffled=shuffled, pick=rule.pick, valid=valid)
    return [*plan.notes, *workers.notes, *told, *(judgment.notes if judgment is not None else ())]


async def _judged(
    plan: Plan,
    workers: Workers,
    rule: Rule,
    reading: Reading,
    gathered: Gathered,
    before: VoteRun | None,
) -> Judgment | None:
    """What the judge says; None where it has no say, or nothing to say it of."""
    records = gathered.records
    back = sum(record.status in CAME_BACK for record in records)
    if plan.judge is None or back < plan.least(len(records)):
        return None
    read, ballots = count_ballots(
        records,
        reading,
        plan.calls.weights,
        gathered.uncounted,
        rule.entry.states_confidence,
        bool(rule.entry.asks),
    )
    votes = votes_of(read, ballots)
    decision = settled(rule, votes, len(records))
    asked_of_ties = TIES[rule.ties].asks and decision.status == "tie"
    if decision.status == "no_quorum" or not (rule.entry.asks or asked_of_ties):
        return None
    earlier = before.judgment if before is not None and before.said_the_same(records) else None
    if earlier is not None and earlier.decision is not None:
        return earlier
    among = () if rule.entry.asks else decision.tied
    candidates = candidates_of(votes, records, reading.kind, among)
    ask = score if rule.entry.asks == "score" else choose
    judgment = await ask(
        plan.judge, plan.shared, candidates, workers, rule.seed, again=earlier is not None
    )
    notes = judge_warnings(candidates, records, reading.kind)
    return replace(judgment, notes=(*judgment.notes, *notes))
