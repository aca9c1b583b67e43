"""A vote on each of many items, measured against the truth and against other ways to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parallm_magics.answers.reading_kinds import KINDS, is_free_text
from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import voted
from parallm_magics.patterns.notes import OF_VOTES, Votes, noted
from parallm_magics.patterns.panel import Rule, panel_reading
from parallm_magics.patterns.plan_board import label_reader
from parallm_magics.patterns.run import Common
from parallm_magics.patterns.runner import Pattern
from parallm_magics.study.outcomes import reading_of_all, rules_of
from parallm_magics.study.study_run import StudyRun
from parallm_magics.voting.pick_rules import rule_named

MOST_NAMED = 10
"""Most labels that are proposed as choices."""


class StudyPattern(Pattern[StudyRun]):
    """A vote on each of many items, measured."""

    name, grammar = "study", "vote"

    def __init__(self, plan: Plan, before: StudyRun | None) -> None:
        super().__init__(plan, before)
        self._reading = reading_of_all(plan)

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse votes that no rule can count, or that are read in different ways."""
        rules_of(plan)

    @classmethod
    def board_fields(cls, plan: Plan) -> dict[str, Any]:
        """What each vote says."""
        return {"read_label": label_reader(plan)}

    def read(self, record: Record) -> Record:
        """The record of a vote with what it says; a call that came back has succeeded whatever it says."""
        rule = rule_named(self.plan.calls.options(record.index).pick)
        return voted(record, self._reading, rule.states_confidence)

    def result(self, records: Sequence[Record], common: Common) -> StudyRun:
        """The items with what was measured on them."""
        return StudyRun(records, self.plan, **common)

    def notes(self, records: Sequence[Record], *more: str) -> list[str]:
        """What the reader should know of the run and of the cell's own panel."""
        plan = self.plan
        assert plan.study is not None
        main = plan.study.main
        labels = plan.study.labels
        told = []
        if labels.known and is_free_text(self._reading):
            kinds = sorted({*labels.truth.values()})
            some = f" {','.join(kinds)}" if 2 <= len(kinds) <= MOST_NAMED else ""
            told.append(
                "an answer is right only if its whole text is the label; if there are few labels, name them: "
                f"--choices{some}"
            )
        if labels.known and KINDS[self._reading.kind].is_number:
            told.append("an answer is right only if it equals its label; a close one is wrong")
        read = max(labels.words, default=0)
        if labels.listed is not None and plan.calls.exhausted and labels.listed != read:
            told.append(
                f"--truth has {labels.listed:,} labels, but there were {read:,} items: do they belong together?"
            )
        if len(main.places) > 1 and plan.calls.head:
            tasks = [plan.calls.head[place] for place in main.places]
            reading = panel_reading(tasks)
            votes = Votes(
                tasks,
                rule_named(main.options.pick),
                reading,
                Rule(main.options.pick).counts(reading),
                shuffled=plan.options.shuffle_choices,
                measured=labels.known,
            )
            told += noted(OF_VOTES, votes)
        return super().notes(records, *told, *more)
