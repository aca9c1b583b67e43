"""The votes of a panel whose answers are objects: a vote for each field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parallm_magics.core.schemas import SchemaField
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.patterns.ballots import Ballot
from parallm_magics.patterns.names import Fields
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting.field_votes import FieldVote
from parallm_magics.voting.object_votes import ObjectVote, object_vote
from parallm_magics.voting.rule_entry import Decision, PickRule, Vote


def vote_of_objects(
    records: Sequence[Record],
    ballots: Sequence[Ballot],
    rule: Rule,
    reading: Reading,
    *,
    stopped: int = 0,
    repeats: bool = False,
) -> ObjectVote | None:
    """Return how the vote on each field ends; None where the answers are no objects.

    Args:
        records: with their values, in the panel's order.
        ballots: the same as ballots.
        stopped: the votes that were stopped because they could not change the outcome.
        repeats: whether all votes repeat one prompt on one model.
    """
    if reading.schema is None:
        return None

    def ruled(field: SchemaField, votes: Sequence[Vote]) -> tuple[PickRule, Decision]:
        own = rule.of_field(field)
        return own.entry, own.broken(own.settled(votes, len(ballots), stopped), votes)

    return object_vote(
        [record.value for record in records],
        reading.schema,
        ruled,
        [ballot.weight for ballot in ballots],
        cancelled=sum(ballot.state == "cancelled" for ballot in ballots),
        repeats=repeats,
    )


class FieldResults:
    """What a vote says of the fields of its objects.

    `vote["due"]` is the winner of the field "due".
    """

    _objects: ObjectVote | None = None

    @property
    def fields(self) -> Mapping[str, FieldVote]:
        """How the vote on each field ended, by the field's name; empty without `--schema`."""
        return Fields({} if self._objects is None else self._objects.fields)

    @property
    def value(self) -> Any:
        """The validated object of the fields' winners.

        None where a required field has no winner, and where the winners together are no valid
        object; `how` says which. It need not be any voter's object: `composed` says so. Without
        `--schema`, it is the winner.
        """
        return self.winner if self._objects is None else self._objects.value

    @property
    def composed(self) -> bool:
        """Whether no single voter gave the object of the fields' winners."""
        return self._objects is not None and self._objects.composed

    winner: Any

    def __getitem__(self, name: str) -> Any:
        return self.fields[name].winner

    __iter__ = None  # with only the method above, Python would ask for the fields 0, 1, 2, …

    def _ipython_key_completions_(self) -> list[str]:
        """What Tab offers behind `vote["`."""
        return [*self.fields]

    def _fields_to_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        if self._objects is None:
            return {}
        fields = {name: vote.to_dict() for name, vote in self.fields.items()}
        return {"fields": fields, "composed": self.composed}
