"""How the vote on one field ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from parallm_magics.voting.count_statistics import CountStatistics
from parallm_magics.voting.counting import Outcome, weight_sums
from parallm_magics.voting.field_ballots import FieldBallots, labels_of_field
from parallm_magics.voting.pick_rules import rule_named
from parallm_magics.voting.rule_entry import Decision, Number, PickRule, counts_of
from parallm_magics.voting.ties import listed

_NOTHING = object()


class FieldVote(CountStatistics):
    """How the vote on one field ended. It has the statistics of a `VoteRun`, of this field alone.

    Attributes:
        field: the field: its name, kind, choices, and whether it is required.
        votes: one for each object that has the field, in the panel's order. An object without it
            has abstained.
        tally: these votes by label, most votes first. A text is its own label, in its most usual
            spelling; anything else is written as JSON.
        values: by label, the value as JSON holds it.
        winner: the winning value in its original type; None if nobody won, and also if null won.
        label: the label of the winner; None if nobody won.
        plain: the winner as JSON holds it.
        status: as that of a `VoteRun`; "decided" if there is a winner, be it null.
        how: how the winner was found if the counts alone do not show it; else "".
        tied: the labels that share the lead in a tie.
        pick: the name of the rule.
        without: the number of objects that lack the field.
    """

    def __init__(
        self,
        ballots: FieldBallots,
        objects: Sequence[Any],
        rule: PickRule,
        decision: Decision,
        *,
        cancelled: int = 0,
        repeats: bool = False,
    ) -> None:
        """Take the winner out of the votes.

        Args:
            objects: the panel's, in its order; None where there is none.
            cancelled: how many votes were cancelled.
            repeats: whether all votes repeat one prompt on one model.
        """
        self.field, self.votes, self.values = ballots.field, ballots.votes, ballots.values
        self.tally: Counter[str] = counts_of(ballots.votes)
        self.without = sum(thing is not None for thing in objects) - len(ballots.votes)
        self.status: Outcome = decision.status
        self.how, self.tied, self.pick = decision.how, decision.tied, rule.name
        self._asked, self._lost, self._repeats = len(objects), cancelled, repeats
        self._chosen = decision.winner
        self.label: str | None = None
        self.plain: Any = None
        self.winner: Any = None
        if isinstance(self._chosen, str):
            self.label = self._chosen
            self.plain = self.values.get(self.label, self.label)
            place = ballots.spelt_by.get(self.label)
            self.winner = self.plain if place is None else part_of(objects[place], self)
        elif self._chosen is not None:
            self.label, self.plain = f"{self._chosen:.15g}", self._chosen
            self.winner = self._chosen
            if any(isinstance(part_of(objects[v.index], self), Decimal) for v in self.votes):
                self.winner = Decimal(repr(self._chosen))

    @property
    def decided(self) -> bool:
        """Whether the field has a winner, be it null."""
        return self.status == "decided"

    @property
    def weights(self) -> dict[str, Fraction]:
        """The sum of weights by label; empty for a rule that counts all votes alike."""
        if not self._entry.weighs:
            return {}
        return weight_sums((vote.label, vote.weight) for vote in self.votes)

    @property
    def outcome(self) -> str:
        """How it ended in a few words, such as "tie between 'a' and 'b'"; the label of a winner."""
        if self.label is not None:
            return self.label
        if self.status == "tie":
            return f"tie between {listed(self.tied)}"
        if self.status == "no_quorum":
            return f"no quorum: {self.valid} of {self.requested} votes give it"
        lead = max(self.tally.values(), default=0)
        return self.how or f"no winner by {self.pick}: {lead} of {self.requested} votes lead"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "winner": self.plain,
            "label": self.label,
            "status": self.status,
            "how": self.how,
            "tied": list(self.tied),
            "tally": dict(self.tally),
            "values": dict(self.values),
            "valid": self.valid,
            "without": self.without,
            **self.statistics(),
            "pick": self.pick,
        }

    def __repr__(self) -> str:
        return f"<FieldVote {self.field.name}: {self.outcome} ({self.status}), {dict(self.tally)}>"

    @property
    def requested(self) -> int:
        """The number of requested votes, those without a value included."""
        return self._asked

    @property
    def _entry(self) -> PickRule:
        return rule_named(self.pick)

    @property
    def _winning(self) -> str | Number | None:
        return self._chosen

    @property
    def _cancelled(self) -> int:
        return self._lost

    @property
    def _closed_set(self) -> tuple[str, ...]:
        return labels_of_field(self.field)

    @property
    def _repeated(self) -> bool:
        return self._repeats


def part_of(thing: Any, vote: FieldVote) -> Any:
    """Return what an object holds of a field, in its original type."""
    name = vote.field.name
    if isinstance(thing, Mapping):
        return thing[name]
    found = getattr(thing, name, _NOTHING)
    if found is not _NOTHING:
        return found
    # A field may have another name in JSON than in the class.
    fields = getattr(type(thing), "model_fields", {})
    for own, about in fields.items():
        if name in (about.alias, about.serialization_alias, about.validation_alias):
            return getattr(thing, own)
    return None
