"""From the objects of a panel to one list of votes for each field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from parallm_magics.core.schemas import FieldKind, Schema, SchemaField
from parallm_magics.core.tasks import Kind
from parallm_magics.voting.field_values import as_number, field_keys
from parallm_magics.voting.rule_entry import Vote

_READ_AS: Mapping[FieldKind, Kind] = {
    "number": "number",
    "integer": "number",
    "choice": "choice",
    "boolean": "choice",
}

_MOST_DIGITS = 400
"""Digits before or after the point from which on a number is compared, but not computed with."""


@dataclass(frozen=True, slots=True)
class FieldBallots:
    """The votes on one field.

    Attributes:
        field: the field.
        votes: one for each object that has the field, in the panel's order. Equal values have one
            label. In a number field, `value` is the number as a `Decimal`; else it is the label.
        spelt_by: by label, the place of the voter that spelt it the most usual way.
        values: by label, the value in that spelling, as JSON holds it.
    """

    field: SchemaField
    votes: tuple[Vote, ...]
    spelt_by: Mapping[str, int]
    values: Mapping[str, Any]


def field_ballots(
    objects: Sequence[Any], schema: Schema, weights: Sequence[Fraction] = ()
) -> tuple[FieldBallots, ...]:
    """Return the votes on each field, in the schema's order.

    An object without an optional field casts no vote on it: it abstains. Null is a vote.

    Args:
        objects: one a requested vote, in the panel's order: a validated object of the schema, or
            None where there is none.
        weights: what each vote counts by the rule "weighted"; without any, 1.
    """
    keys = [{} if thing is None else field_keys(thing, schema) for thing in objects]
    plain = [{} if thing is None else schema.plain(thing) for thing in objects]
    found = []
    for field in schema.fields:
        name = field.name
        cast = {at: own[name] for at, own in enumerate(keys) if name in own}
        values = {at: plain[at][name] for at in cast}
        labels, spelt_by = labelled(cast, values)
        votes = tuple(
            Vote(
                at,
                labels[at],
                _counted(values[at], field, labels[at]),
                weights[at] if weights else Fraction(1),
            )
            for at in cast
        )
        said = {label: values[at] for label, at in spelt_by.items()}
        found.append(FieldBallots(field, votes, spelt_by, said))
    return tuple(found)


def labelled(
    keys: Mapping[int, Any], values: Mapping[int, Any]
) -> tuple[dict[int, str], dict[str, int]]:
    """Return one label for all values with one key, and who gave it in that spelling.

    The label is the most usual spelling, of equally usual ones the first. Texts are labels as they
    are. Everything else is written as JSON; so is a text that looks like another value, such as the
    text "null" where null is a value too.

    Args:
        keys: by place, equal for values that are the same answer.
        values: by place, as JSON holds them.
    """
    alike: dict[Any, list[int]] = {}
    for at, key in keys.items():
        alike.setdefault(key, []).append(at)
    usual = [(_usual(places, values), places) for places in alike.values()]
    labels, spelt_by = dict[int, str](), dict[str, int]()
    for first, places in sorted(usual, key=lambda each: isinstance(values[each[0]], str)):
        label = written(values[first])
        while label in spelt_by:
            label = json.dumps(label, ensure_ascii=False)
        spelt_by[label] = first
        labels.update(dict.fromkeys(places, label))
    return labels, spelt_by


def _usual(places: Sequence[int], values: Mapping[int, Any]) -> int:
    """The first place with the most frequent spelling."""
    spelt = {at: json.dumps(values[at], sort_keys=True) for at in places}
    [(most, _)] = Counter(spelt.values()).most_common(1)
    return next(at for at in places if spelt[at] == most)


def written(value: Any) -> str:
    """Return a value as a label: a text as it is, anything else as JSON, 1.0 as 1."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _counted(value: Any, field: SchemaField, label: str) -> Decimal | str:
    """The number that a rule can compute with, else the label."""
    number = as_number(value) if voted_as(field) == "number" else None
    if number is None or (number and abs(number.adjusted()) > _MOST_DIGITS):
        return label
    return number


def voted_as(field: SchemaField) -> Kind:
    """Return the kind of answers as which the values of a field are voted on."""
    return _READ_AS.get(field.kind, "open")


def labels_of_field(field: SchemaField) -> tuple[str, ...]:
    """Return the labels of a field that has a closed set of them; empty for every other field."""
    labels = ("true", "false") if field.kind == "boolean" else field.choices
    return (*labels, "null") if labels and field.nullable else labels
