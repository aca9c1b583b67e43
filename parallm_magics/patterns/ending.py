"""How a run's end is told: in words, in notes, or as an error that carries the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Record
from parallm_magics.errors import (
    BudgetExceeded,
    GuardrailBlocked,
    OptionError,
    TooFewSucceeded,
    UnfinishedError,
)
from parallm_magics.patterns.run import Run
from parallm_magics.patterns.run_context import Renew, RunContext

R = TypeVar("R", bound=Run)

WAY_BACK = "the error's .run holds every record (sys.last_value.run), and its retry() goes on"


def counts_in_words(records: Sequence[Record]) -> str:
    """How the workers that did not succeed ended, such as "1 timed out, 2 failed"."""
    words: dict[str, int] = {}
    for record in records:
        if not record.ok:
            words[record.status] = words.get(record.status, 0) + 1
    return ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in words.items())


def first_reasons(records: Sequence[Record], most: int = 3) -> str:
    """Who failed and why, the first few."""
    lost = [f"{r.name}: {r.error.message}" for r in records if r.error is not None]
    more = f"; and {len(lost) - most} more" if len(lost) > most else ""
    return "; ".join(lost[:most]) + more


async def run_again(plan: Plan, renew: Renew, run: Callable[[RunContext], Awaitable[R]]) -> R:
    """A further try of a plan, awaited by the user's own code.

    A run must keep no more than `renew` of its surroundings: a listener may know what was withheld.

    Raises:
        UnfinishedError: the try was stopped, or came to too little; it carries the new run.
    """
    problem: UnfinishedError | None = None
    async with renew(plan) as new:
        try:
            found = await run(new)
        except UnfinishedError as error:
            problem = error
    if problem is not None:
        raise type(problem)(f"{problem}; {WAY_BACK}", problem.records, problem.run)
    if new.stop.reason:
        done = f"{len(found.succeeded):,} of {len(found.results):,} workers are done"
        raise UnfinishedError(f"{new.stop.reason}; {done}; {WAY_BACK}", found.results, found)
    return found


def refuse_empty(plan: Plan, records: Sequence[Record], cut_short: bool) -> None:
    """Refuse a source that had nothing to give, where only reading it could tell.

    Raises:
        OptionError: there was no item, and the run was not cut short.
    """
    if not records and not cut_short:
        raise OptionError(f"--each: {plan.calls.source} is empty; a generator can be read once")


def unread(plan: Plan, records: Sequence[Record]) -> list[str]:
    """Notes where a run ended before all of its calls were begun, or its source broke off."""
    calls = plan.calls
    broken = [f"{calls.problem}; what came before it is kept"] if calls.problem else []
    if calls.known is None:
        open_end = f"{calls.source} was not read to its end; await run.retry() goes on"
        return [*broken, *([] if calls.exhausted else [open_end])]
    left = calls.known - len(records)
    if left <= 0:
        return broken
    return [
        *broken,
        f"{left:,} of {calls.known:,} calls were not begun; await run.retry() goes on",
    ]


def raise_if_blocked(plan: Plan, run: Run) -> None:
    """Let a blocked run end in an error where its guardrail says so.

    Raises:
        GuardrailBlocked: with the run.
        BudgetExceeded: likewise, where the work is withheld because a guard could not be paid.
    """
    _raise_if_unpaid(run)
    blocks = run.guard
    if blocks is None or blocks.passed:
        return
    if any(guard.name == blocks.name and guard.raises for guard in plan.guards):
        reason = f": {blocks.reason[:200]}" if blocks.reason else ""
        said = f"said {blocks.verdict}" if blocks.verdict else "gave no verdict"
        raise GuardrailBlocked(f"guardrail '{blocks.name}' {said}{reason}", run.results, run)


def _raise_if_unpaid(run: Run) -> None:
    """A guard that a cap on cost left unasked has said nothing of the work: that is no block."""
    silent = [guard for guard in run.guards if guard.verdict is None]
    if any(not guard.passed and guard not in silent for guard in run.guards):
        return
    for guard in silent:
        for record in guard.records:
            if record.error is not None and record.error.kind == "budget":
                raise BudgetExceeded(
                    f"guardrail {guard.name!r} gave no verdict: {record.error.message}",
                    run.results,
                    run,
                )


def raise_if_unfinished(
    plan: Plan, records: Sequence[Record], good: int, what: str, run: Run
) -> None:
    """Let a run end in an error where it came to less than was asked for.

    Args:
        good: how many of the records count as successes.
        what: what these have done, in words.

    Raises:
        BudgetExceeded: a cap on cost left calls unasked.
        TooFewSucceeded: too few are good.
    """
    total = plan.calls.known or len(records)
    unpaid = [r for r in records if r.error is not None and r.error.kind == "budget"]
    if unpaid:
        left = total - len(records) + sum(not (r.attempts or r.ok) for r in records)
        raise BudgetExceeded(
            f"{good:,} of {total:,} {what}, {left:,} were not asked: {first_reasons(unpaid, 1)}",
            records,
            run,
        )
    least = plan.least(total)
    if good < least:
        raise TooFewSucceeded(
            f"{good} of {total} {what}, {least} are needed "
            f"(--min-success {plan.options.min_success}): {first_reasons(records)}",
            records,
            run,
        )
