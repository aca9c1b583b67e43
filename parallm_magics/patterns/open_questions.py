"""What a panel votes on, and whether its open votes still matter: one question, or one for each field."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.patterns.ballots import count_ballots, votes_of
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting import same_answer_key
from parallm_magics.voting.field_ballots import field_ballots
from parallm_magics.voting.field_values import value_key
from parallm_magics.voting.rule_entry import Vote, counts_of
from parallm_magics.voting.stopping import beta_stops, next_wave


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is voted on, and the votes on it so far.

    Attributes:
        rule: how it is decided.
        requested: how many votes were asked for.
        labels: how many labels there are; None for an open set.
        votes: by the voter's place.
    """

    rule: Rule
    requested: int
    labels: int | None = None
    votes: dict[int, Vote] = field(default_factory=dict)
    _labels: dict[Hashable, str] = field(default_factory=dict)

    def hear(self, at: int, vote: Vote, key: Hashable) -> None:
        """Count a vote; votes with equal keys are for one label."""
        label = self._labels.get(key, vote.label)
        while key not in self._labels and label in self._labels.values():
            label = f"'{label}'"  # looks like another answer, and is none
        self._labels[key] = label
        self.votes[at] = replace(vote, index=at, label=label)

    def over(self, heard: Container[int], open_: Sequence[Fraction]) -> bool:
        """Whether the open votes cannot change it, or are not expected to.

        Args:
            heard: the places of the votes that count.
            open_: the weights of the open votes.
        """
        return self._over([vote for at, vote in self.votes.items() if at in heard], open_)

    def _over(self, votes: Sequence[Vote], open_: Sequence[Fraction]) -> bool:
        rule = self.rule
        if rule.entry.certain(votes, open_, rule.terms(self.requested)) is not None:
            return True
        if rule.stop != "beta" or len(votes) < rule.least:
            return False
        return beta_stops([*counts_of(votes).values()], rule.level, self.labels)

    def wave(self, open_: Sequence[Fraction]) -> int:
        """How many votes could decide it if all of them are for one label."""
        votes, rule = [*self.votes.values()], self.rule
        counts: Mapping[str, int] = counts_of(votes)
        if (leader := rule.entry.needs_fewest(votes, rule.terms(self.requested))) is not None:
            counts = {leader: counts.get(leader, 0)}

        def over(counts: Mapping[str, int], left: int) -> bool:
            asked = len(open_) - left
            return self._over(_with_more(votes, counts, open_[:asked]), open_[asked:])

        return next_wave(counts, len(open_), over)


def questions_of(rule: Rule, reading: Reading, requested: int) -> dict[str, Question]:
    """Return what so many votes are asked for: a question for each field, else one called ""."""
    if reading.schema is None:
        return {"": Question(rule, requested, len(reading.choices) or None)}
    rules = {each.name: rule.of_field(each) for each in reading.schema.fields}
    return {name: Question(own, requested, len(own.choices) or None) for name, own in rules.items()}


def votes_on(
    record: Record, reading: Reading, weight: Fraction
) -> Iterator[tuple[str, Vote, Hashable]]:
    """Yield the votes that an answer casts: on which question, and what is equal for equal answers."""
    read, ballots = count_ballots([record], reading, [weight])
    schema = reading.schema
    for vote in votes_of(read, ballots):
        if schema is None:
            label = same_answer_key(vote.label) if is_free_text(reading) else vote.label
            yield "", replace(vote, label=label), label
        else:
            for cast in field_ballots([read[0].value], schema, [weight]):
                for own in cast.votes:
                    value = cast.values[own.label]
                    yield cast.field.name, own, value_key(value, cast.field, schema)


def _with_more(
    votes: Sequence[Vote], counts: Mapping[str, int], weights: Sequence[Fraction]
) -> list[Vote]:
    """The votes, and so many more for each label that they come to these counts."""
    have = counts_of(votes)
    more = [label for label, count in counts.items() for _ in range(count - have[label])]
    start = 1 + max((vote.index for vote in votes), default=-1)
    pairs = zip(more, weights, strict=False)
    return [*votes, *(Vote(start + at, label, label, w) for at, (label, w) in enumerate(pairs))]
