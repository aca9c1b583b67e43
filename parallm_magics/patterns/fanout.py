"""Sectioning: independent parts at once, their answers as one result."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.calls import Section
from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Record
from parallm_magics.errors import OptionError
from parallm_magics.patterns.dry_run import Ahead
from parallm_magics.patterns.fanout_run import FanoutRun, answers_of, texts_of
from parallm_magics.patterns.notes import OF_SYNTHESES, Merged, noted
from parallm_magics.patterns.run import Common
from parallm_magics.patterns.runner import Pattern
from parallm_magics.patterns.section_votes import section_vote_rule
from parallm_magics.patterns.stored_fanout import StoredFanoutRun
from parallm_magics.patterns.stored_records import StoredRecords
from parallm_magics.patterns.synthesis import open_call, synthesis_task
from parallm_magics.voting.pick_rules import DEFAULT, asks_judge


class FanoutPattern(Pattern[FanoutRun]):
    """Sections at once, and their answers as one text."""

    name = grammar = "fanout"
    counted = frozenset({"ok"})
    achieved = "workers succeeded"
    _synthesis: Record | None = None

    @property
    def on_disk(self) -> bool:
        """Whether its records may lie on a disk: a map whose items are looked at one by one."""
        calls = self.plan.calls
        single = all(len(section.tasks) == 1 for section in calls.sections(calls.size))
        return calls.by_item and single and self.plan.synthesis is None and not self.plan.guards

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse sections whose votes no rule can count."""
        for section in plan.calls.sections(plan.calls.size):
            if asks_judge(section.options.pick, section.options.ties):
                raise OptionError(
                    f"section {section.key!r}: a section cannot use a judge; choose another rule, or use %%vote"
                )
            if not is_free_text(section.reading):
                section_vote_rule(section)
            elif section.options.pick != DEFAULT or section.options.threshold is not None:
                raise OptionError(
                    f"section {section.key!r}: --pick needs values to count; add --choices, --score or --number"
                )

    @classmethod
    def ahead(cls, plan: Plan, answers: int) -> Sequence[Ahead]:
        """The synthesis, which reads all answers."""
        return [] if plan.synthesis is None else [Ahead(open_call(plan.synthesis), 1, answers)]

    async def follow(self, records: Sequence[Record]) -> None:
        """Merge the sections, where one more call is to do that."""
        synthesis = self.plan.synthesis
        if synthesis is None:
            return
        earlier = self._merged_before(records)
        if earlier is not None and earlier.ok:
            return
        if not any(record.ok for record in records):
            self.workers.notes += noted(OF_SYNTHESES, Merged((), None))
            return
        texts = texts_of(answers_of(self._sections(records), records))
        task = synthesis_task(synthesis, self.plan.shared, texts, self.plan.options.seed)
        [merged] = await self.workers.follow([task])
        self.workers.notes += noted(OF_SYNTHESES, Merged([*texts.values()], merged))
        self._synthesis = merged

    def result(self, records: Sequence[Record], common: Common) -> FanoutRun:
        """The sections' answers, and what was made of them."""
        plan, calls = self.plan, self.plan.calls
        if isinstance(records, StoredRecords):
            whole = not self.unread(records)
            return StoredFanoutRun(records, calls, aggregate=plan.aggregate, whole=whole, **common)
        merged = self._synthesis
        if merged is None and self.before is not None and not self.blocked:
            merged = self._merged_before(records)
        unmerged = plan.synthesis is not None and not (merged is not None and merged.ok)
        return FanoutRun(
            records,
            self._sections(records),
            aggregate="join" if unmerged else plan.aggregate,
            synthesis=merged,
            counted=calls.counted,
            checks=any(section.flag is not None for section in calls.sections(calls.size)),
            whole=not self.unread(records),
            **common,
        )

    def _merged_before(self, records: Sequence[Record]) -> Record | None:
        """The synthesis of the run before, where every answer is still its own."""
        same = [*map(id, records)] == [*map(id, self.kept)]
        return self.before.synthesis if self.before is not None and same else None

    def _sections(self, records: Sequence[Record]) -> list[Section]:
        """All sections, begun or not; where only reading the items tells, those that were reached."""
        known = self.plan.calls.known
        reached = max((record.index for record in records), default=-1) + 1
        return list(self.plan.calls.sections(reached if known is None else known))
