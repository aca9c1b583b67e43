"""The part of a program that votes on each field of objects, as its cell does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction

from parallm_magics.answers.schema_sources import Conforming
from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.export.code_text import quoted
from parallm_magics.export.vote_code import Sources, exact, terms
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting.field_ballots import voted_as
from parallm_magics.voting.object_votes import rule_of_field
from parallm_magics.voting.pick_rules import rule_named
from parallm_magics.voting.ties import DEFAULT_TIES


def schema_function(schema: Schema, class_name: str) -> str:
    """The function that says how the fields of a class are compared."""
    listed = "".join(f"            {_field(each)},\n" for each in schema.fields)
    # A JSON Schema alone fills in nothing that an answer leaves out.
    bare = isinstance(getattr(schema.make, "__self__", None), Conforming)
    more = ", exclude_unset=True" if bare else ""
    return (
        f"def {_called(class_name)}():\n"
        f'    """Return what the votes on the fields of an object need to know of them."""\n'
        f"    return Schema(\n"
        f"        {quoted(schema.name)},\n"
        f"        json.dumps({class_name}.model_json_schema()),\n"
        f"        fields=(\n{listed}        ),\n"
        f"        make={class_name}.model_validate,\n"
        f'        plain=lambda thing: thing.model_dump(mode="json", by_alias=True{more}),\n'
        "    )"
    )


def _called(class_name: str) -> str:
    return f"fields_of_{class_name.lower()}"


def _field(field: SchemaField) -> str:
    """The expression of a field, as far as it is not as usual."""
    usual, told = SchemaField(field.name), [quoted(field.name)]
    for each in fields(SchemaField):
        value = getattr(field, each.name)
        if each.name != "description" and value != getattr(usual, each.name):
            told.append(f"{each.name}={quoted(value) if isinstance(value, str) else repr(value)}")
    return f"SchemaField({', '.join(told)})"


def field_voting(
    rule: Rule,
    schema: Schema,
    class_name: str,
    names: Sequence[str],
    sources: Sources,
    weights: Sequence[Fraction] = (),
) -> list[str]:
    """The lines that find `winner`, the winning value of each field, from the objects of these voters.

    Args:
        sources: where functions are noted that the lines call.
        weights: what each vote counts.
    """
    listed = ", ".join(map(quoted, names))
    weighed = f", [{', '.join(map(exact, weights))}]" if rule.entry.weighs else ""
    more = f", {quoted(rule.ties)}, {rule.seed}"
    broken = f"decision = break_tie(decision, field.votes{more})"
    return [
        f"objects = [answers.get(name) for name in [{listed}]]",
        "winner = {}",
        f"for field in field_ballots(objects, {_called(class_name)}(){weighed}):",
        *(f"    {line}" for line in _deciding(rule, schema, len(names), sources)),
        *([f"    {broken}"] if rule.ties != DEFAULT_TIES else []),
        "    label = decision.winner",
        "    winner[field.field.name] = field.values.get(label, label)",
        "    tally = dict(Counter(vote.label for vote in field.votes).most_common())",
        '    print(f"{field.field.name}: {decision.status}, {tally}")',
    ]


def _deciding(rule: Rule, schema: Schema, requested: int, sources: Sources) -> list[str]:
    """The lines that decide one field: by the rule, or by plurality where it cannot count its values."""
    told = terms(rule, requested)
    entries = {rule_of_field(rule.entry, field).name for field in schema.fields}
    if len(entries) == 1:
        settle = rule_named(entries.pop()).settle
        return [f"decision = {sources.call(settle, 'field.votes', told)}"]
    kinds = {f.kind for f in schema.fields if voted_as(f) in rule.entry.kinds}
    listed = ", ".join(map(quoted, sorted(kinds)))
    others = [entry for entry in entries if entry != rule.entry.name]
    other = rule_named(others[0]).settle
    return [
        f"if field.field.kind in ({listed},):",
        f"    decision = {sources.call(rule.entry.settle, 'field.votes', told)}",
        "else:",
        f"    decision = {sources.call(other, 'field.votes', told)}",
    ]
