"""What a JSON Schema becomes on the wires that hold answers to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from many_schemas import SUPPORTED, Case
from provider_formats import value_of

from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.core.tasks import Reading
from parallm_magics.providers.answer_formats import (
    answer_schema,
    anthropic_format,
    grammar,
    json_schema_format,
    vllm_format,
)
from parallm_magics.providers.strict_schema import is_open, strict_schema

each_case = pytest.mark.parametrize("case", SUPPORTED, ids=lambda case: case.name)
TAKEN = {
    *("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const"),
    *("$ref", "$defs", "title", "description", "format", "multipleOf", "minItems", "maxItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema in a schema."""
    yield node
    inner = [*node.get("properties", {}).values(), *node.get("$defs", {}).values()]
    inner += [*node.get("anyOf", ()), *([node["items"]] if "items" in node else [])]
    for each in inner:
        yield from nodes(each)


def object_reading(case: Case) -> Reading:
    """How an object of the case is read."""
    return Reading("object", schema=schema_of(case.source))


@each_case
def test_a_strict_schema_is_in_the_subset(case: Case) -> None:
    """Every object names and requires all its fields, and no keyword is outside; else it is no strict one."""
    sent = json_schema_format(object_reading(case))
    assert len(sent["name"]) <= 64
    if not sent["strict"]:
        assert sent["schema"] == json.loads(schema_of(case.source).document)
        return
    assert sent["schema"]["type"] == "object"
    for node in nodes(sent["schema"]):
        assert set(node) <= TAKEN
        assert "$ref" not in node or len(node) == 1
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
            assert node["properties"]


@each_case
def test_what_a_wire_allows_is_an_object_of_the_schema(case: Case) -> None:
    """A value of the schema that is sent can be made an object, so that no paid answer is lost."""
    reading = object_reading(case)
    assert reading.schema is not None
    for sent in (json_schema_format(reading), anthropic_format(reading)):
        if sent and sent.get("strict", True):
            made = reading.schema.make(value_of(sent["schema"], sent["schema"], 0))
            assert reading.schema.plain(made) is not None


@each_case
def test_anthropics_wire_takes_what_is_closed(case: Case) -> None:
    """Maps, tuples and anything at all would be closed by mistake: those are asked for in words."""
    document = json.loads(schema_of(case.source).document)
    sent = anthropic_format(object_reading(case))
    assert bool(sent) is not is_open(document)


UNLIKE: list[tuple[str, dict[str, Any]]] = [
    ("a map", {"type": "object", "additionalProperties": {"type": "integer"}}),
    ("anything", {}),
    ("no field", {"type": "object", "properties": {}}),
    ("a tuple", {"type": "array", "prefixItems": [{"type": "string"}]}),
    ("a list of anything", {"type": "array"}),
    ("a negation", {"type": "string", "not": {"const": "x"}}),
    ("two at once", {"allOf": [{"type": "string"}, {"minLength": 1}]}),
    ("a dead reference", {"$ref": "#/$defs/none", "description": "x"}),
]


@pytest.mark.parametrize(("name", "node"), UNLIKE, ids=[name for name, _ in UNLIKE])
def test_what_the_subset_cannot_say_is_not_strict(name: str, node: dict[str, Any]) -> None:
    """At the top, in a field, in a list and in a union."""
    for inner in (node, {"type": "array", "items": node}, {"anyOf": [node, {"type": "null"}]}):
        document = {"type": "object", "properties": {"x": inner}, "required": ["x"]}
        assert strict_schema(document) is None
    assert strict_schema(node) is None


def test_a_field_that_may_be_missing_without_a_value_for_that_is_not_strict() -> None:
    """The model would have to make one up."""
    document = {"type": "object", "properties": {"x": {"type": "string"}}}
    assert strict_schema(document) is None
    assert strict_schema({**document, "required": ["x"]}) is not None


def test_what_is_left_out_is_said_in_words() -> None:
    """A length, a pattern's place and a default are told the model, and looked at afterwards."""
    node = {
        "type": "string",
        "minLength": 2,
        "pattern": "^(?=a)",
        "default": "ab",
        "description": "d",
    }
    document = {"type": "object", "properties": {"x": node}}
    made = strict_schema(document)
    assert made is not None
    assert made["properties"]["x"] == {
        "type": "string",
        "description": 'd (default: "ab") (minLength: 2)',
    }


def test_one_of_several_is_any_of_them() -> None:
    """A discriminator goes, as each variant says by a constant which it is."""
    cat = {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]}
    union = {"oneOf": [cat, {"type": "null"}], "discriminator": {"propertyName": "kind"}}
    made = strict_schema({"type": "object", "properties": {"pet": union}, "required": ["pet"]})
    assert made is not None
    assert [*made["properties"]["pet"]] == ["anyOf"]


def test_labels_with_any_character_are_one_sentence_of_the_grammar() -> None:
    """Quotes, backslashes and line ends are escaped as the grammar's own strings are."""
    labels = ('say "no"', "a\\b", "ja, für", "two\nlines")
    written = grammar(Reading("choice", choices=labels))
    assert written == r'root ::= "say \"no\"" | "a\\b" | "ja, für" | "two\nlines"'


@pytest.mark.parametrize(
    ("reading", "levels"),
    [
        (Reading("score", low=1, high=5), 5),
        (Reading("score", low=0, high=100), 101),
        (Reading("score", low=0, high=1), None),
        (Reading("score", low=0, high=101), None),
        (Reading("score", low=0.5, high=5), None),
        (Reading("number"), None),
    ],
    ids=str,
)
def test_a_score_is_a_list_of_whole_numbers_where_that_is_short(
    reading: Reading, levels: int | None
) -> None:
    """Else a number, in its range where the wire has one."""
    document = answer_schema(reading)
    assert document is not None
    value = document["properties"]["answer"]
    if levels is None:
        assert value["type"] == "number"
        assert "regex" in vllm_format(reading)
    else:
        assert len(value["enum"]) == len(vllm_format(reading)["choice"]) == levels
