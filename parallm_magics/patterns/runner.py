"""Run a plan by its pattern: what all patterns have in common stands here, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypedDict, TypeVar

from parallm_magics.cell.auxiliary_calls import Guard
from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.core.tasks import Record, Status
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.errors import (
    BudgetExceeded,
    GuardrailBlocked,
    OptionError,
    TooFewSucceeded,
    UnfinishedError,
)
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.guard_verdicts import Verdict
from parallm_magics.patterns.guardrail import blocked_records, guarded
from parallm_magics.patterns.run import Again, Run
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.workers import Workers, open_workers

R = TypeVar("R", bound=Run)

WAY_BACK = "the error's .run holds every record (sys.last_value.run), and its retry() goes on"


class Common(TypedDict):
    """What the runs of all patterns are made with."""

    notes: Sequence[str]
    guards: Sequence[Verdict]
    again: Again


class Pattern(ABC, Generic[R]):
    """One run of a plan. A pattern is a subclass that says what it does otherwise than the others.

    Attributes:
        name: as plans call it.
        grammar: the magic whose blocks and options its cells are written with.
        counted: the statuses of a call that is a success.
        achieved: what such calls have done, in words.
        plan: what is run.
        before: a run of the same plan whose successful calls are kept.
        workers: ask the calls; there from the work on.
        blocked: whether a guard withholds the work.
        decided: whether calls were left out because they could not change the outcome.
    """

    name: ClassVar[str]
    grammar: ClassVar[str]
    counted: ClassVar[frozenset[Status]] = frozenset(CAME_BACK)
    achieved: ClassVar[str] = "calls came back"

    workers: Workers

    def __init__(self, plan: Plan, before: R | None) -> None:
        self.plan, self.before = plan, before
        self.blocked = self.decided = False

    @classmethod
    async def run(
        cls, plan: Plan, context: RunContext, before: R | None = None, further: int = 0
    ) -> R:
        """Run a plan.

        Args:
            before: a run of the same plan whose successful calls are kept.
            further: how often the run has been taken up before, this time included.

        Raises:
            TooFewSucceeded: with every record; not where the run was stopped from outside.
            BudgetExceeded: likewise, where a cap on cost left calls unasked.
            GuardrailBlocked: a guardrail that raises has blocked the work.
        """
        return await cls(plan, before).complete(context, further)

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse what this pattern cannot do, before any call.

        Raises:
            OptionError: names the option and the way out.
        """

    async def work(self, stop: Stop) -> Sequence[Record]:
        """Ask the workers.

        Args:
            stop: stops the work alone.
        """
        return await self.workers.run(self.kept, stop)

    async def follow(self, records: Sequence[Record]) -> None:
        """Make the calls that come after enough good work that no guard withholds."""

    def warnings(self, records: Sequence[Record]) -> Sequence[str]:
        """What the reader should know of this pattern's work, one line each."""
        return ()

    @abstractmethod
    def result(self, records: Sequence[Record], common: Common) -> R:
        """What the records come to."""

    @property
    def kept(self) -> Sequence[Record]:
        """The workers' records of the run before."""
        return self.before.results if self.before is not None else ()

    async def complete(self, context: RunContext, further: int) -> R:
        """Open the workers, work beside the guards, follow, and end; see `run`."""
        async with open_workers(self.plan, context, further=further) as self.workers:
            records, guards = await self._guarded(context.stop)
            cut_short = self.blocked or bool(context.stop.reason)
            if not (records or cut_short):
                raise OptionError(
                    f"--each: {self.plan.calls.source} is empty; a generator can be read once"
                )
            self.workers.ended([*records, *(each for guard in guards for each in guard.records)])
            good = sum(record.status in self.counted for record in records)
            total = self.plan.calls.known or len(records)
            least = least_successes(self.plan.options.min_success, total)
            if good >= least and not cut_short:
                await self.follow(records)
        run = self.result(
            records,
            Common(
                notes=[
                    *self.plan.notes,
                    *self.workers.notes,
                    *self.warnings(records),
                    *([] if self.blocked else self.unread(records)),
                ],
                guards=guards,
                again=_again(type(self), self.plan, context, further),
            ),
        )
        if guards:
            raise_if_blocked(self.plan.guards, run)
        if not (cut_short or self.decided):
            self._raise_if_unpaid(records, good, total, run)
            if good < least:
                raise TooFewSucceeded(
                    f"{good} of {total} {self.achieved}, {least} are needed "
                    f"(--min-success {self.plan.options.min_success}): {_first_reasons(records)}",
                    records,
                    run,
                )
        return run

    async def _guarded(self, stop: Stop) -> tuple[Sequence[Record], Sequence[Verdict]]:
        """The work's records, without a word of theirs where a guard has blocked it, and the verdicts."""
        if not self.plan.guards:
            return await self.work(stop), ()
        before = self.before.guards if self.before is not None else ()
        records, guards = await guarded(self.plan, self.workers, stop, self.work, before)
        self.blocked = any(not guard.passed for guard in guards)
        if self.blocked:
            records = blocked_records(self.plan, self.workers, records, guards)
        return records, guards

    def unread(self, records: Sequence[Record]) -> list[str]:
        """Notes where the run ended before all calls were begun, or their source broke off."""
        calls = self.plan.calls
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

    def _raise_if_unpaid(self, records: Sequence[Record], good: int, total: int, run: R) -> None:
        unpaid = [r for r in records if r.error is not None and r.error.kind == "budget"]
        if unpaid:
            left = total - len(records) + sum(not (r.attempts or r.ok) for r in records)
            raise BudgetExceeded(
                f"{good:,} of {total:,} {self.achieved}, {left:,} were not asked: "
                f"{_first_reasons(unpaid, 1)}",
                records,
                run,
            )


def _again(pattern: type[Pattern[R]], plan: Plan, context: RunContext, further: int) -> Again:
    """What runs a plan once more, awaited by the user's own code.

    A run must keep no more than `renew` of its context: a listener may know what was withheld.
    """
    renew = context.renew

    async def again(run: R) -> R:
        problem: UnfinishedError | None = None
        async with renew(plan) as new:
            try:
                found = await pattern.run(plan, new, run, further + 1)
            except UnfinishedError as error:
                problem = error
        if problem is not None:
            raise type(problem)(f"{problem}; {WAY_BACK}", problem.records, problem.run)
        if new.stop.reason:
            done = f"{len(found.succeeded):,} of {len(found.results):,} workers are done"
            raise UnfinishedError(f"{new.stop.reason}; {done}; {WAY_BACK}", found.results, found)
        return found

    return again


def raise_if_blocked(guards: Sequence[Guard], run: Run) -> None:
    """Let a blocked run end in an error where its guardrail says so.

    Raises:
        GuardrailBlocked: with the run.
        BudgetExceeded: likewise, where the work is withheld because a guard could not be paid.
    """
    _raise_if_guard_unpaid(run)
    blocks = run.guard
    if blocks is None or blocks.passed:
        return
    if any(guard.name == blocks.name and guard.raises for guard in guards):
        reason = f": {blocks.reason[:200]}" if blocks.reason else ""
        said = f"said {blocks.verdict}" if blocks.verdict else "gave no verdict"
        raise GuardrailBlocked(f"guardrail '{blocks.name}' {said}{reason}", run.results, run)


def _raise_if_guard_unpaid(run: Run) -> None:
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


def _first_reasons(records: Sequence[Record], most: int = 3) -> str:
    """Who failed and why, the first few."""
    lost = [f"{r.name}: {r.error.message}" for r in records if r.error is not None]
    more = f"; and {len(lost) - most} more" if len(lost) > most else ""
    return "; ".join(lost[:most]) + more
