"""Votes on objects: a vote for each field, and the object that the winners make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.voting.counting import Base, Outcome, Share
from parallm_magics.voting.field_ballots import (
    field_ballots,
    labelled,
    labels_of_field,
    voted_as,
    written,
)
from parallm_magics.voting.field_values import object_key
from parallm_magics.voting.field_votes import FieldVote
from parallm_magics.voting.pick_rules import DEFAULT, rule_named
from parallm_magics.voting.rule_entry import Decision, PickRule, Terms, Vote
from parallm_magics.voting.ties import DEFAULT_TIES, TIES, break_tie

Ruled = Callable[[SchemaField, Sequence[Vote]], tuple[PickRule, Decision]]
"""From a field and the votes on it to the rule that decides it, and how it does."""


@dataclass(frozen=True, slots=True)
class ObjectVote:
    """How a vote on objects ended.

    Attributes:
        fields: how the vote on each field ended, by the field's name, in the schema's order.
        value: the object of the winners, validated; None where a required field has no winner, where
            the class would fill in something else than null or empty for an optional one without a
            winner, or where the winners together are no valid object.
        plain: the same as JSON holds it.
        status: "decided" where there is a value; else the status of the first field without a winner
            that the object needs, or "rule_failed" where the winners do not fit together.
        how: why there is no value; or that it is composed; else "".
        labels: for each place what the whole object there is called; equal objects have one label.
        label: that of the value; None without one.
    """

    fields: Mapping[str, FieldVote]
    value: Any
    plain: Any
    status: Outcome
    how: str
    labels: Mapping[int, str]
    label: str | None = None

    @property
    def tally(self) -> Counter[str]:
        """The votes for each whole object, most first."""
        return Counter(dict(Counter(self.labels.values()).most_common()))

    @property
    def decision(self) -> Decision:
        """The same as of a vote on labels."""
        return Decision(self.status, self.label, how=self.how)

    @property
    def composed(self) -> bool:
        """Whether no single voter gave the object of the winners."""
        return self.label is not None and self.label not in self.labels.values()


def field_votes(
    objects: Sequence[Any],
    schema: Schema,
    rule: str = DEFAULT,
    *,
    q: Share | None = None,
    base: Base = "valid",
    quorum: int | None = None,
    ties: str = DEFAULT_TIES,
    seed: int = 0,
    weights: Sequence[Fraction] = (),
) -> ObjectVote:
    """Return how a vote on each field of these objects ends, and the object of the winners.

    Values are equal if they mean the same: 1 and "1.00" in a number field, two spellings of one
    instant, lists with the same members, texts that differ only in case, spaces and wrapping. Null
    is a value. An object without an optional field abstains in that field.

    Args:
        objects: one a requested vote, in the panel's order: a validated object of the schema, or
            None where there is none.
        schema: what the objects are like.
        rule: a name of `--pick`. A rule for numbers decides the number fields, and plurality the
            others.
        q: the share that rule "threshold" requires.
        base: what shares are taken of: the objects that have the field ("valid"), or all requested
            votes.
        quorum: the fewest votes that a field needs; by default half of those requested, rounded up.
        ties: "report", "first" (the lowest place) or "random".
        seed: decides ties at random.
        weights: what each vote counts by rule "weighted".

    Raises:
        ValueError: the rule cannot decide fields of this schema.
    """
    entry, requested = rule_named(rule), len(objects)
    if problem := misfit(entry, ties, schema):
        raise ValueError(problem)
    enough = (requested + 1) // 2 if quorum is None else quorum

    def ruled(field: SchemaField, votes: Sequence[Vote]) -> tuple[PickRule, Decision]:
        own = rule_of_field(entry, field)
        terms = Terms(requested, enough, q, base, choices=labels_of_field(field))
        return own, break_tie(own.decide(votes, terms), votes, ties, seed)

    return object_vote(objects, schema, ruled, weights)


def object_vote(
    objects: Sequence[Any],
    schema: Schema,
    ruled: Ruled,
    weights: Sequence[Fraction] = (),
    *,
    cancelled: int = 0,
    repeats: bool = False,
) -> ObjectVote:
    """Return how a vote on objects ends, with each field decided as `ruled` says.

    Args:
        objects: as for `field_votes`.
        weights: what each vote counts by the rule "weighted".
        cancelled: how many votes were cancelled.
        repeats: whether all votes repeat one prompt on one model.
    """
    fields = {}
    for ballots in field_ballots(objects, schema, weights):
        rule, decision = ruled(ballots.field, ballots.votes)
        fields[ballots.field.name] = FieldVote(
            ballots, objects, rule, decision, cancelled=cancelled, repeats=repeats
        )
    status, value, how = _made_of(fields, schema)
    labels = object_labels(objects, schema)
    if value is None:
        return ObjectVote(fields, None, None, status, how, labels)
    plain, key = schema.plain(value), object_key(value, schema)
    same = (labels[at] for at in labels if object_key(objects[at], schema) == key)
    label = next(same, None)
    how = "" if label else "composed: no single voter gave this object"
    return ObjectVote(fields, value, plain, status, how, labels, label or written(plain))


def _made_of(fields: Mapping[str, FieldVote], schema: Schema) -> tuple[Outcome, Any, str]:
    """The status, the object that the winners make, and why there is none."""
    lost = [each for each in fields.values() if not each.decided]
    if missing := [each for each in lost if each.field.required]:
        named = "; ".join(f"{each.field.name}: {each.outcome}" for each in missing)
        return missing[0].status, None, f"no winner for {named}"
    won = {name: each.plain for name, each in fields.items() if each.decided}
    if lost and not won:
        return lost[0].status, None, "no field has a winner"
    try:
        value = schema.make(won)
    except ValueError as error:
        return "rule_failed", None, f"the winners together are no valid {schema.name}: {error}"
    # What nobody has won must not be filled in by the class as if somebody had.
    filled = schema.plain(value)
    for each in lost:
        default = filled.get(each.field.name)
        if default not in (None, "", [], {}):
            how = f"{each.field.name}: {each.outcome}; its default, {written(default)}, did not win"
            return each.status, None, f"no winner for {how}"
    return "decided", value, ""


def object_labels(objects: Sequence[Any], schema: Schema) -> dict[int, str]:
    """Return what each whole object is called, by its place: its JSON, equal ones alike.

    Of equal ones the most usual spelling counts, of equally usual ones the first.
    """
    things = {at: thing for at, thing in enumerate(objects) if thing is not None}
    keys = {at: object_key(thing, schema) for at, thing in things.items()}
    return labelled(keys, {at: schema.plain(thing) for at, thing in things.items()})[0]


def rule_of_field(rule: PickRule, field: SchemaField) -> PickRule:
    """Return the rule that decides a field: the panel's, or plurality where it cannot count these."""
    return rule if voted_as(field) in rule.kinds else rule_named(DEFAULT)


def misfit(rule: PickRule, ties: str, schema: Schema) -> str:
    """Return why a vote on each field cannot be held so, in one line; "" where it can."""
    instead = "use --pick plurality, majority, threshold or unanimous"
    if rule.asks or rule.states_confidence:
        of = "a judge chooses" if rule.asks else "a confidence is stated for"
        return f"--pick {rule.name} does not work with --schema, because {of} whole answers, not fields; {instead}"
    if rule.needs_flag:
        return f"--pick {rule.name} does not work with --schema, because it looks for one label; {instead}"
    if TIES[ties].asks:
        return "--ties judge does not work with --schema; use --ties report, first or random"
    if not any(voted_as(field) in rule.kinds for field in schema.fields):
        return f"--pick {rule.name} {rule.wants}; {schema.name} has no such field"
    return ""
