"""Items whose answers are objects: right as a whole and in each field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import Ballot
from parallm_magics.patterns.object_ballots import vote_of_objects
from parallm_magics.study.measures import Outcome
from parallm_magics.study.outcomes import Counting, Item, until_decided
from parallm_magics.voting.field_ballots import labelled
from parallm_magics.voting.field_values import field_keys, object_key, value_key
from parallm_magics.voting.object_votes import ObjectVote
from parallm_magics.voting.pick_rules import rule_named

Places = tuple[int, ...]
Counted = dict[Places, tuple[list[Record], tuple[Ballot, ...]]]
"""By the places of a system's calls, their records and ballots, in the system's own order."""

_TRUTH = -1
"""The place of the true object among those of an item's calls."""


@dataclass(frozen=True, slots=True)
class _Called:
    """What the answers of an item are called in one field, or as a whole; equal ones alike.

    Attributes:
        keys: by the place of a call, equal for equal answers; `_TRUTH` is the true one's.
        labels: by the same place.
        values: by the same place, as JSON holds them.
    """

    keys: Mapping[int, Any]
    labels: Mapping[int, str]
    values: Mapping[int, Any]

    @property
    def truth(self) -> str | None:
        """What the true answer is called; None where it is not known."""
        return self.labels.get(_TRUTH)

    def label(self, key: Any, other: str | None) -> str | None:
        """What an answer is called that nobody need have given."""
        same = (self.labels[at] for at, own in self.keys.items() if own == key)
        return next(same, other)

    def is_true(self, key: Any) -> bool:
        """Whether an answer is the true one."""
        return _TRUTH in self.keys and self.keys[_TRUTH] == key


def _called(keys: Mapping[int, Any], values: Mapping[int, Any]) -> _Called:
    return _Called(keys, labelled(keys, values)[0], values)


def of_objects(item: Item, countings: Sequence[Counting], counted: Counted) -> Item:
    """The same item, held against the true object as a whole and field by field.

    A field that the true object does not have is not scored by itself.

    Args:
        item: with the true object as JSON, and outcomes that count whole objects.
        countings: how each system is counted.
        counted: the records and ballots of each system's calls.
    """
    schema = countings[0].reading.schema
    assert schema is not None
    things: dict[int, Any] = {
        place: record.value
        for places, (records, _) in counted.items()
        for place, record in zip(places, records, strict=True)
        if record.value is not None
    }
    if item.truth is not None:
        things[_TRUTH] = schema.make(json.loads(item.truth))
    keys = {place: field_keys(thing, schema) for place, thing in things.items()}
    plain = {place: schema.plain(thing) for place, thing in things.items()}
    whole = _called({place: frozenset(own.items()) for place, own in keys.items()}, plain)
    votes = {each.system.name: _vote(each, *counted[each.system.places]) for each in countings}
    own = next(each.system.places for each in countings if each.system.is_main)
    systems = [
        (each, item.outcomes[each.system.name], votes[each.system.name]) for each in countings
    ]
    fields = {}
    for field in schema.fields:
        cast = _called(
            {place: each[field.name] for place, each in keys.items() if field.name in each},
            {place: plain[place][field.name] for place, each in keys.items() if field.name in each},
        )
        outcomes = {
            counting.system.name: _field_outcome(counting, base, vote, field, cast, schema)
            for counting, base, vote in systems
        }
        ballots = _ballots(own, counted[own][1], cast)
        fields[field.name] = replace(item, truth=cast.truth, ballots=ballots, outcomes=outcomes)
    outcomes = {
        counting.system.name: _whole_outcome(counting, base, vote, whole, things, schema)
        for counting, base, vote in systems
    }
    ballots = _ballots(own, counted[own][1], whole)
    return replace(item, truth=whole.truth, ballots=ballots, outcomes=outcomes, fields=fields)


def _ballots(places: Places, ballots: Sequence[Ballot], called: _Called) -> tuple[Ballot, ...]:
    """The votes under the names of this item; an object without the field has abstained."""
    found = []
    for place, ballot in zip(places, ballots, strict=True):
        label = called.labels.get(place)
        lost = "abstain" if ballot.state == "valid" and label is None else ballot.state
        found.append(replace(ballot, label=label, state=lost))
    return tuple(found)


def _vote(
    counting: Counting, records: Sequence[Record], ballots: Sequence[Ballot]
) -> ObjectVote | None:
    """How the votes of a system end, field by field; None where it is no vote."""
    if not counting.system.entry.votes:
        return None
    if not counting.system.entry.early:
        return vote_of_objects(records, ballots, counting.rule, counting.reading)
    heard, ended = until_decided(counting, records)
    voted = [r if r.index in heard else replace(r, value=None) for r in records]
    stopped = len(records) - len(ended)
    return vote_of_objects(voted, ballots, counting.rule, counting.reading, stopped=stopped)


def _whole_outcome(
    counting: Counting,
    base: Outcome,
    vote: ObjectVote | None,
    called: _Called,
    things: Mapping[int, Any],
    schema: Schema,
) -> Outcome:
    """What a system made of the object as a whole: of a vote, the object of the fields' winners."""
    if vote is None:
        found = _drawn(counting, base, called)
        return replace(found, value=things.get(counting.system.places[0]))
    answer: tuple[str | None, bool] = (None, False)
    if vote.value is not None:
        key = object_key(vote.value, schema)
        answer = called.label(key, vote.label), called.is_true(key)
    problem = vote.how if vote.status == "rule_failed" else ""
    found = replace(_answered(base, [answer], called), value=vote.value, problem=problem)
    return _agreed(counting, found, called)


def _field_outcome(
    counting: Counting,
    base: Outcome,
    vote: ObjectVote | None,
    field: SchemaField,
    called: _Called,
    schema: Schema,
) -> Outcome:
    """What a system made of one field."""
    if vote is None:
        found = _drawn(counting, base, called)
        return replace(found, value=called.values.get(counting.system.places[0]))
    own = vote.fields[field.name]
    answer: tuple[str | None, bool] = (None, False)
    if own.decided:
        key = value_key(own.plain, field, schema)
        answer = called.label(key, own.label), called.is_true(key)
    problem = own.how if own.status == "rule_failed" else ""
    found = replace(_answered(base, [answer], called), value=own.plain, problem=problem)
    return _agreed(counting, found, called) if rule_named(own.pick).by_votes else found


def _drawn(counting: Counting, base: Outcome, called: _Called) -> Outcome:
    """What a single call says, each of its draws."""
    places = counting.system.places[: len(base.seconds)]
    answers = [
        (called.labels.get(place), place in called.keys and called.is_true(called.keys[place]))
        for place in places
    ]
    return _answered(base, answers, called)


def _answered(
    base: Outcome, answers: Sequence[tuple[str | None, bool]], called: _Called
) -> Outcome:
    """The same calls with other answers: what each draw says, and whether that is true."""
    rights = tuple(right for _, right in answers) if called.truth is not None else ()
    return replace(
        base,
        answer=answers[0][0],
        right=rights[0] if rights else None,
        draws=rights,
        silent=sum(answer is None for answer, _ in answers) / len(answers),
        shares=None,
        share=None,
    )


def _agreed(counting: Counting, found: Outcome, called: _Called) -> Outcome:
    """The answer of a vote with the share of the votes that it has; not where the vote is one call."""
    places = counting.system.places
    labels = [called.labels[place] for place in places if place in called.labels]
    if len(places) == 1 or counting.system.entry.early or not labels:
        return found
    shares = {label: count / len(labels) for label, count in Counter(labels).items()}
    own = None if found.answer is None else shares.get(found.answer, 0.0)
    return replace(found, shares=shares, share=own)
