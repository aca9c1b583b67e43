"""Voting: the same task several times, an answer chosen by consensus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.core.tasks import Record
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.errors import OptionError
from parallm_magics.patterns.ballots import Ballot, count_ballots, votes_of
from parallm_magics.patterns.dry_run import Ahead
from parallm_magics.patterns.early_stopper import EarlyStopper, Gathered, gather
from parallm_magics.patterns.judge import (
    ROTATIONS,
    Judgment,
    candidates_of,
    choose,
    open_call,
    score,
)
from parallm_magics.patterns.notes import OF_JUDGES, OF_VOTES, Judged, Votes, noted
from parallm_magics.patterns.object_ballots import vote_of_objects
from parallm_magics.patterns.panel import Rule, panel_reading, repeats, rule_of
from parallm_magics.patterns.plan_board import field_standings, label_reader
from parallm_magics.patterns.run import Common
from parallm_magics.patterns.runner import Pattern
from parallm_magics.patterns.vote_run import VoteRun
from parallm_magics.voting.pick_rules import rule_named
from parallm_magics.voting.ties import TIES


class VotePattern(Pattern[VoteRun]):
    """A panel that votes, and ends as soon as its rule allows."""

    name = grammar = "vote"
    _gathered: Gathered | None = None
    _judgment: Judgment | None = None

    def __init__(self, plan: Plan, before: VoteRun | None) -> None:
        super().__init__(plan, before)
        self._tasks = plan.tasks
        self._reading = panel_reading(self._tasks)
        self._rule = rule_of(plan.options, len(self._tasks), self._reading, plan.calls.flag)
        self._weights = plan.calls.weights

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse a rule that cannot be kept."""
        reading = panel_reading(plan.tasks)
        rule_of(plan.options, len(plan.tasks), reading, plan.calls.flag)
        if plan.options.shuffle_choices and (plan.options.no_ask or not reading.choices):
            raise OptionError(
                "--shuffle-choices reorders the closing line of --choices, so it needs --choices and cannot be used "
                "with --no-ask"
            )

    @classmethod
    def board_fields(cls, plan: Plan) -> dict[str, Any]:
        """Votes by label; texts that a judge will choose from have no leader while they come in."""
        reading = panel_reading(plan.calls.head)
        return {
            "pattern": "vote" if Rule(plan.options.pick).counts(reading) else "fanout",
            "read_label": label_reader(plan),
            "repeats": repeats(plan.tasks),
            "choices": reading.choices,
            "fields": field_standings(plan),
        }

    @classmethod
    def ahead(cls, plan: Plan, answers: int) -> Sequence[Ahead]:
        """The judge: of equal answers it is shown one."""
        reading, rule = panel_reading(plan.calls.head), rule_named(plan.options.pick)
        different = min(len(plan.tasks), len(reading.choices) or len(plan.tasks))
        if plan.judge is None or different < 2 or not (rule.asks or rule.may_tie):
            return []
        if rule.asks == "score":  # each score is of one answer
            judging = open_call(plan.judge, plan.shared, scores=True)
            return [Ahead(judging, different, answers // different)]
        # Each order shows all answers.
        judging = open_call(plan.judge, plan.shared, scores=False)
        return [Ahead(judging, min(different, ROTATIONS), answers)]

    async def work(self, stop: Stop) -> Sequence[Record]:
        """Ask the panel."""
        stopper = EarlyStopper(self._rule, self._reading, self._weights)
        least = least_successes(self.plan.options.min_success, len(self._tasks))
        self._gathered = await gather(
            self._tasks, self.workers, self._rule, stopper, stop=stop, before=self.kept, least=least
        )
        self.decided = self._gathered.decided_after is not None
        read, _ = self._count(self._gathered.records)
        return read

    async def follow(self, records: Sequence[Record]) -> None:
        """Ask the judge, where it has a say and there is something to say it of."""
        judge, rule = self.plan.judge, self._rule
        if judge is None:
            return
        votes = votes_of(*self._count(records))
        decision = rule.settled(votes, len(records))
        asked_of_ties = TIES[rule.ties].asks and decision.status == "tie"
        if decision.status == "no_quorum" or not (rule.entry.asks or asked_of_ties):
            return
        same = self.before is not None and self.before.said_the_same(records)
        earlier = self.before.judgment if self.before is not None and same else None
        if earlier is not None and earlier.decision is not None:
            self._judgment = earlier
            return
        among = () if rule.entry.asks else decision.tied
        candidates = candidates_of(votes, records, self._reading.kind, among)
        ask = score if rule.entry.asks == "score" else choose
        judgment = await ask(
            judge, self.plan.shared, candidates, self.workers, rule.seed, again=earlier is not None
        )
        judged = Judged(candidates, records, is_free_text(self._reading))
        told = noted(OF_JUDGES, judged)
        self._judgment = replace(judgment, notes=(*judgment.notes, *told))

    def notes(self, records: Sequence[Record], *more: str) -> list[str]:
        """What the reader should know of the run, of the panel and of its judge."""
        if self.blocked:
            return super().notes(records, *more)
        read, ballots = self._count(records)
        objects = vote_of_objects(read, ballots, self._rule, self._reading)
        votes = Votes(
            self._tasks,
            self._rule.entry,
            self._reading,
            self._rule.counts(self._reading),
            shuffled=self.plan.options.shuffle_choices,
            records=read,
            ballots=ballots,
            fields={} if objects is None else objects.fields,
        )
        judged = self._judgment.notes if self._judgment is not None else ()
        return super().notes(records, *noted(OF_VOTES, votes), *judged, *more)

    def result(self, records: Sequence[Record], common: Common) -> VoteRun:
        """The ballots, and who has won by them."""
        return VoteRun(
            records,
            self._rule,
            self._reading,
            repeats=repeats(self._tasks),
            weights=self._weights,
            gathered=None if self.blocked else self._gathered,
            judgment=self._judgment,
            **common,
        )

    def _count(self, records: Sequence[Record]) -> tuple[list[Record], tuple[Ballot, ...]]:
        """The records with their values, and as ballots; a value that is there is not read again."""
        late = None if self.blocked or self._gathered is None else self._gathered.uncounted
        entry = self._rule.entry
        return count_ballots(
            records,
            self._reading,
            self._weights,
            late or (),
            confident=entry.states_confidence,
            as_cast=bool(entry.asks),
        )
