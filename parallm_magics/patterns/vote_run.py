"""The result of a vote: who won, by what, and what the counts may be said to mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Unpack

from parallm_magics import display
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.patterns.ballots import (
    count_ballots,
    votes_of,
    winning_value,
)
from parallm_magics.patterns.early_stopper import Gathered
from parallm_magics.patterns.judge import Judgment
from parallm_magics.patterns.object_ballots import FieldResults, vote_of_objects
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.run import Common, Run
from parallm_magics.patterns.run_view import vote_tally, vote_title, vote_view
from parallm_magics.patterns.shown import Picture
from parallm_magics.voting import label_of
from parallm_magics.voting.count_statistics import CountStatistics
from parallm_magics.voting.counting import Outcome
from parallm_magics.voting.rule_entry import Decision, Number, PickRule, counts_of


class VoteRun(CountStatistics, FieldResults, Run):
    """The result of a vote.

    Attributes:
        ballots: one per requested vote, in the cell's order.
        tally: the votes by label, most votes first; labels without a vote are missing.
        winner: the winning label or number, or None if nobody won. With `--schema` it is the object
            of the fields' winners, the same as `value`; the tally and its shares are then those of
            whole objects, and no voter need have given that object.
        status: `decided`, `tie`, `no_majority`, `no_quorum`, `rule_failed`, or `not_cleared` (a
            vote without a label could have been the flag). With `--schema` it is `decided` if every
            required field is; else it is the status of the first such field without a winner, and
            `rule_failed` if the winners together are no valid object.
        how: how the winner was found if the counts alone do not show it; else "".
        decided_after: how many votes had ended when the vote was decided early; else None.
        judgment: what the judge said; None if no judge was used.
    """

    def __init__(
        self,
        records: Sequence[Record],
        rule: Rule,
        reading: Reading,
        *,
        repeats: bool = False,
        weights: Sequence[Fraction] = (),
        gathered: Gathered | None = None,
        judgment: Judgment | None = None,
        **common: Unpack[Common],
    ) -> None:
        uncounted = gathered.uncounted if gathered is not None else frozenset()
        confident = rule.entry.states_confidence
        asks = bool(rule.entry.asks)
        read, ballots = count_ballots(records, reading, weights, uncounted, confident, asks)
        super().__init__(read, **common)
        self.ballots = ballots
        self.decided_after = gathered.decided_after if gathered is not None else None
        self.judgment = judgment
        self.auxiliary += self.judgments
        self._rule, self._reading, self._repeats = rule, reading, repeats
        self._votes = votes_of(read, ballots)
        self.tally: Counter[str] = counts_of(self._votes)
        stopped = self._could_have_been
        self._objects = vote_of_objects(
            read, ballots, rule, reading, stopped=stopped, repeats=repeats
        )
        decision = self._decision(judgment) if self._objects is None else self._objects.decision
        self.status: Outcome = decision.status
        self.how = decision.how
        self.tied = decision.tied
        self.winner: Any = decision.winner
        if self._objects is not None:
            self.winner = self._objects.value
        elif isinstance(self.winner, str):
            self.winner = winning_value(self.winner, read, ballots)

    @property
    def label(self) -> str | None:
        """The label of the winner; None if nobody won."""
        if self._objects is not None:
            return self._objects.label
        return None if self.winner is None else label_of(self.winner)

    def _decision(self, judgment: Judgment | None) -> Decision:
        decision = self._rule.settled(self._votes, len(self.ballots), self._could_have_been)
        if judgment is not None and judgment.decision is not None:
            decision = judgment.decision
        elif decision.status != "no_quorum":
            decision = replace(decision, how=self._without_verdict(decision, judgment))
        return self._rule.broken(decision, self._votes)

    def _without_verdict(self, decision: Decision, judgment: Judgment | None) -> str:
        """How the vote ended without a judge's help, where one was to help."""
        missing = "no judge was asked"
        if judgment is not None:
            missing = f"the judge gave no verdict ({judgment.missing})"
        if self._rule.entry.asks:
            decided = "decided" if decision.status == "decided" else "a tie"
            return f"{missing}: {decided} by plurality instead"
        said = [decision.how, missing if judgment is not None else ""]
        return "; ".join(part for part in said if part)

    @property
    def judgments(self) -> tuple[Record, ...]:
        """The records of the judge's calls."""
        return self.judgment.records if self.judgment is not None else ()

    def said_the_same(self, records: Sequence[Record]) -> bool:
        """Whether the voters' answers are these."""
        return [(r.index, r.text) for r in self.results] == [(r.index, r.text) for r in records]

    @property
    def _could_have_been(self) -> int:
        """The votes that were stopped because nothing could change the outcome any more."""
        return self._cancelled if self.decided_after is not None else 0

    @property
    def requested(self) -> int:
        """The number of requested votes, those without a label included."""
        return len(self.ballots)

    @property
    def _cancelled(self) -> int:
        return sum(ballot.state == "cancelled" for ballot in self.ballots)

    @property
    def _entry(self) -> PickRule:
        return self._rule.entry

    @property
    def _winning(self) -> str | Number | None:
        return self.winner if self._objects is None else self._objects.label

    @property
    def _closed_set(self) -> tuple[str, ...]:
        return self._reading.choices

    @property
    def _repeated(self) -> bool:
        return self._repeats

    @property
    def _counted(self) -> bool:
        return self._rule.counts(self._reading)

    def _schema_at(self, place: int) -> Schema | None:
        return self._reading.schema

    @property
    def text(self) -> str | None:
        """The winning answer in full, the first of equal ones; or the refusal of a blocked run.

        None if nobody won.
        """
        if self.blocked:
            return self._refusal
        for record, ballot in zip(self.results, self.ballots, strict=True):
            if self.label is not None and ballot.label == self.label:
                return record.text
        return None if self.label is None else str(self.label)

    @property
    def flagged(self) -> bool:
        """Whether the label of `--flag` won."""
        return self._rule.flag is not None and self.winner == self._rule.flag

    @property
    def unchecked(self) -> bool:
        """Whether there is a `--flag` but the votes do not show if it applies."""
        return self._rule.flag is not None and self.winner is None

    @property
    def clean(self) -> bool | None:
        """Whether the flag was checked and does not apply; False if that is unknown.

        None without a `--flag`.
        """
        if self._rule.flag is None:
            return None
        return not (self.flagged or self.unchecked)

    def _view(self) -> display.View:
        return vote_view(self, self._rule, self._reading, self._repeats)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "pattern": "vote",
            "winner": self.winner if self._objects is None else self._objects.plain,
            "status": self.status,
            "how": self.how,
            "tied": list(self.tied),
            "text": self.text,
            "tally": dict(self.tally),
            **self._fields_to_dict(),
            **self.statistics(),
            "decided_after": self.decided_after,
            "flagged": self.flagged,
            "unchecked": self.unchecked,
            "clean": self.clean,
            "ballots": [ballot.to_dict() for ballot in self.ballots],
            "judgments": [record.to_dict() for record in self.judgments],
            **super().to_dict(),
        }

    def tally_bars(self) -> Picture:
        """Return the bars alone: one bar per label."""
        tally = vote_tally(self, self._rule, self._reading, self._repeats)
        return Picture([display.vote_bars(tally, self.results)])

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        return f"<{mark}VoteRun: {vote_title(self, self._rule, self._reading)}>"
