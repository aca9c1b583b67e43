"""Run a plan by its pattern: what all patterns have in common stands here, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from parallm_magics.cell.auxiliary_calls import Guard
from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.core.tasks import Record, Status
from parallm_magics.display import Board
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.errors import (
    BudgetExceeded,
    GuardrailBlocked,
    OptionError,
    TooFewSucceeded,
    UnfinishedError,
)
from parallm_magics.patterns.ballots import CAME_BACK, read_record
from parallm_magics.patterns.dry_run import Ahead, Preview, preview
from parallm_magics.patterns.guard_verdicts import Verdict
from parallm_magics.patterns.guardrail import blocked_records, guarded
from parallm_magics.patterns.notes import of_batches
from parallm_magics.patterns.plan_board import board_of
from parallm_magics.patterns.run import Again, Common, Run
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.tallies import (
    count,
    first_reasons,
    first_unpaid,
    last_end,
    never_asked,
)
from parallm_magics.patterns.tier_costs import dearer_than_flex
from parallm_magics.patterns.workers import Workers
from parallm_magics.providers.registry import Clients

R = TypeVar("R", bound=Run)

HOLDS_ALL = "votes, guards and a synthesis need all results at once, so the run holds all results in memory too"
WAY_BACK = "every record is in the error's .run (sys.last_value.run); await its retry() to continue"


class Pattern(ABC, Generic[R]):
    """One run of a plan. A pattern is a subclass that says what it does otherwise than the others.

    Attributes:
        name: as plans call it.
        grammar: the magic whose blocks and options its cells are written with.
        counted: the statuses of a call that is a success.
        achieved: what such calls have done, in words.
        plan: what is run.
        before: a run of the same plan whose successful calls are kept.
        kept: the workers' records of that run.
        workers: ask the calls.
        blocked: whether a guard withholds the work.
        decided: whether calls were left out because they could not change the outcome.
    """

    name: ClassVar[str]
    grammar: ClassVar[str]
    counted: ClassVar[frozenset[Status]] = frozenset(CAME_BACK)
    achieved: ClassVar[str] = "calls returned an answer"

    workers: Workers

    def __init__(self, plan: Plan, before: R | None) -> None:
        self.plan, self.before = plan, before
        self.kept: Sequence[Record] = before.results if before is not None else ()
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
        again = _again(cls, plan, context, further)
        earlier = () if before is None else before.results
        return await cls(plan, before).complete(
            Workers(plan, context, further, earlier), context.stop, again
        )

    async def complete(self, workers: Workers, stop: Stop, again: Again) -> R:
        """Open the workers, work beside the guards, follow, and end; see `run`."""
        self.workers, guards = workers, tuple[Verdict, ...]()
        try:
            await workers.open()
            if self.plan.guards:
                records, guards = await self._guarded(stop)
            else:
                records = await self.work(stop)
            cut_short = self.blocked or bool(stop.reason)
            if not (records or cut_short):
                raise OptionError(
                    f"--each: {self.plan.calls.source} is empty; a generator can be read only once"
                )
            good = count(records, self.counted)
            total = self.plan.calls.known or len(records)
            least = least_successes(self.plan.options.min_success, total)
            if good >= least and not cut_short:
                beside = [record for guard in guards for record in guard.records]
                workers.end = max(last_end(records), last_end(beside))
                await self.follow(records)
        finally:
            workers.notes += workers.sink.close()
        columns, notes = self.plan.options.columns, self.notes(records)
        common = Common(notes=notes, guards=guards, again=again, columns=columns)
        run = self.result(records, common)
        if guards:
            raise_if_blocked(self.plan.guards, run)
        short = good < least or first_unpaid(records) is not None
        if short and not (cut_short or self.decided):
            self._raise_unfinished(run, good, total, least)
        return run

    async def _guarded(self, stop: Stop) -> tuple[Sequence[Record], tuple[Verdict, ...]]:
        """The work's records, without a word of theirs where a guard has blocked it, and the verdicts."""
        before = self.before.guards if self.before is not None else ()
        records, guards = await guarded(self.plan.guards, self.workers, stop, self.work, before)
        self.blocked = any(not guard.passed for guard in guards)
        if self.blocked:
            known = self.plan.calls.rendered or ()
            records = blocked_records(known, self.workers, records, guards)
        return records, guards

    @property
    def on_disk(self) -> bool:
        """Whether its records may lie on a disk, as its result does not need all of them at once."""
        return False

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse what this pattern cannot do, before any call.

        Raises:
            OptionError: names the option and the way out.
        """

    @classmethod
    def preview(cls, plan: Plan) -> Preview:
        """The calls that a plan stands for; nothing is sent."""
        return preview(plan, cls.ahead)

    @classmethod
    def ahead(cls, plan: Plan, answers: int) -> Sequence[Ahead]:
        """The calls that follow the workers, whose answers have so many tokens at most."""
        return ()

    @classmethod
    def board(cls, plan: Plan, clients: Clients) -> Board:
        """The live board of a run that has not begun."""
        return board_of(plan, clients, **cls.board_fields(plan))

    @classmethod
    def board_fields(cls, plan: Plan) -> dict[str, Any]:
        """What its board is told besides the rows; see `display.Board`."""
        return {}

    async def work(self, stop: Stop) -> Sequence[Record]:
        """Ask the workers.

        Args:
            stop: stops the work alone.
        """
        return await self.workers.run(
            self.read, self.counted, self.kept, stop, on_disk=self.on_disk
        )

    def read(self, record: Record) -> Record:
        """The record with its value; without a readable one it is no success."""
        reading = self.plan.calls.reading(record.index)
        return record if reading is None else read_record(record, reading)

    async def follow(self, records: Sequence[Record]) -> None:
        """Make the calls that come after enough good work that no guard withholds."""

    @abstractmethod
    def result(self, records: Sequence[Record], common: Common) -> R:
        """What the records come to."""

    def notes(self, records: Sequence[Record], *more: str) -> list[str]:
        """What the reader should know of the run, one line each; `more` is what a pattern adds."""
        left = [] if self.blocked else self.unread(records)
        held = []
        if self.workers.sink.parts is not None and self.plan.calls.by_item and not self.on_disk:
            held = [f"--out-file {self.plan.options.out_file}: {HOLDS_ALL}"]
        # Records on disk are not priced anew for a note.
        kinds = () if self.on_disk else self.plan.calls.kinds
        paid = [*dearer_than_flex(kinds, records), *of_batches(records)]
        return [*self.plan.notes, *self.workers.notes, *more, *held, *paid, *left]

    def unread(self, records: Sequence[Record]) -> list[str]:
        """Notes where the run ended before all calls were begun, or their source broke off."""
        calls = self.plan.calls
        broken = [f"{calls.problem}; the items before it are kept"] if calls.problem else []
        if calls.known is None:
            open_end = f"{calls.source} was not read to its end; await run.retry() to continue"
            return [*broken, *([] if calls.exhausted else [open_end])]
        left = calls.known - len(records)
        if left <= 0:
            return broken
        return [
            *broken,
            f"{left:,} of {calls.known:,} calls were not started; await run.retry() to continue",
        ]

    def _raise_unfinished(self, run: R, good: int, total: int, least: int) -> None:
        records, unpaid = run.results, first_unpaid(run.results)
        if unpaid is not None:
            left = total - len(records) + never_asked(records)
            why = unpaid.error.message if unpaid.error is not None else ""
            raise BudgetExceeded(
                f"{good:,} of {total:,} {self.achieved}, {left:,} were not asked: {unpaid.name}: {why}",
                records,
                run,
            )
        raise TooFewSucceeded(
            f"{good} of {total} {self.achieved}, {least} required (--min-success {self.plan.options.min_success}): "
            f"{first_reasons(records)}",
            records,
            run,
        )


def _again(pattern: type[Pattern[R]], plan: Plan, context: RunContext, further: int) -> Again:
    """What runs a plan once more, awaited by the user's own code.

    A run must keep no more than `renew` of its context: a listener may know what was withheld.
    """
    renew = context.renew

    async def again(run: R, collects: bool) -> R:
        problem: UnfinishedError | None = None
        async with renew(plan) as new:
            new.collects = collects
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
