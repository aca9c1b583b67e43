"""When two values of a field are the same answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_schemas import schema_of

from parallm_magics.core.schemas import FieldKind, SchemaField
from parallm_magics.voting.field_values import as_number, field_keys, value_key

LINES = {
    "type": "array",
    "items": {"$ref": "#/$defs/Line"},
}
LINE = {
    "type": "object",
    "properties": {
        "what": {"type": "string"},
        "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "price": {
            "anyOf": [{"anyOf": [{"type": "number"}, {"type": "integer"}]}, {"type": "null"}]
        },
        "code": {"enum": ["A", "a"]},
    },
}


def same(kind: FieldKind, one: Any, other: Any, node: Any = None, **document: Any) -> bool:
    """Whether two values of a field count as one answer."""
    field = SchemaField("x", kind)
    schema = schema_of(field, nodes=None if node is None else {"x": node}, **document)
    return value_key(one, field, schema) == value_key(other, field, schema)


@pytest.mark.parametrize(
    ("kind", "one", "other", "equal"),
    [
        ("number", 1, 1.0, True),
        ("number", 1, "1.00", True),
        ("number", 0.1, "0.10", True),
        ("number", 0.1 + 0.2, 0.3, False),
        ("number", 1e3, 1000, True),
        ("number", -0.0, 0, True),
        ("number", 10**30, 10**30 + 1, False),
        ("number", "1e999999999", "10e999999998", True),
        ("integer", 7, 7.0, True),
        ("number", 1, True, False),
        ("number", 0, None, False),
        ("boolean", True, False, False),
        ("boolean", False, None, False),
        ("text", "Acme Inc.", " **acme inc** ", True),
        ("text", "Acme", "Acme Ltd", False),
        ("text", "null", None, False),
        ("text", "1", 1, False),
        ("text", "…", "!", False),
        ("text", "", None, False),
        ("choice", "a", "A", False),
        ("choice", 1, "1", False),
        ("choice", "a", "a", True),
        ("date", "2026-12-01", "2026-12-01T00:00:00", True),
        ("date", "2026-12-01", "20261201", True),
        ("date", "2026-12-01T10:00:00+02:00", "2026-12-01T08:00:00Z", True),
        ("date", "2026-12-01T10:00:00", "2026-12-01T10:00:00Z", False),
        ("date", "2026-12-01", "2026-12-02", False),
        ("date", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00", True),
        ("date", "soon", "Soon.", True),
        ("time", "10:00", "10:00:00", True),
        ("time", "10:00:00+02:00", "08:00:00Z", True),
        ("time", "10:00", "10:01", False),
        ("list", ["a", "b"], ["B.", "a", "a"], True),
        ("list", ["a"], ["a", "b"], False),
        ("list", [], None, False),
        ("object", {"a": 1, "b": "x"}, {"b": "X", "a": 1.0}, True),
        ("object", {"a": 1}, {"a": 1, "b": None}, False),
        ("any", 1, 1.0, True),
        ("any", 1, "1", False),
        ("any", True, 1, False),
        ("any", "2026-12-01", "2026-12-01T00:00:00", False),
    ],
)
def test_values_that_mean_the_same_are_equal(
    kind: FieldKind, one: Any, other: Any, equal: bool
) -> None:
    """Numbers, dates and lists are compared by what they are, labels exactly, null with null."""
    assert same(kind, one, other) is same(kind, other, one) is equal


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"what": "Pen", "price": "2.50"}, {"price": 2.5, "what": "pen"}, True),
        ({"due": "2026-12-01"}, {"due": "20261201"}, True),
        ({"due": None}, {"due": "2026-12-01"}, False),
        ({"code": "A"}, {"code": "a"}, False),
        ({"more": "Same"}, {"more": "same."}, True),
    ],
)
def test_parts_of_nested_objects_are_compared_as_the_schema_says(
    one: Any, other: Any, equal: bool
) -> None:
    """Dates and decimals within a list of objects are values too, and references are followed."""
    assert same("list", [one], [other], LINES, **{"$defs": {"Line": LINE}}) is equal


def test_places_with_a_meaning_are_compared_in_order() -> None:
    """A list is a set, but a pair such as a point is not."""
    point = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]}
    assert same("list", [1, 2], [1.0, 2], point)
    assert not same("list", [1, 2], [2, 1], point)
    assert same("list", [1, 2], [2, 1], {"type": "array", "items": {"type": "number"}})
    assert not same("list", [1, 2], [2, 1], {"anyOf": [point, {"type": "null"}]})


def test_whole_numbers_of_a_closed_set_are_one_however_they_are_written() -> None:
    """A JSON Schema takes 1.0 for 1; true and the text are others."""
    assert same("choice", 1, 1.0)
    assert not same("choice", 1, True)
    assert not same("choice", 1, "1")
    assert not same("choice", 1, 1.5)


def test_an_object_has_a_key_for_each_field_that_it_has() -> None:
    """A field that is missing has no key, and null has one."""
    schema = schema_of(SchemaField("a"), SchemaField("b", required=False, nullable=True))
    assert field_keys({"a": "X."}, schema) == {"a": ("text", "x")}
    assert field_keys({"a": "x", "b": None}, schema) == {"a": ("text", "x"), "b": ("null", None)}


@pytest.mark.parametrize("value", [True, None, "x", "nan", "inf", [1], {"a": 1}, "", "1/2"])
def test_what_is_no_number_is_none(value: Any) -> None:
    """Neither truth nor anything that is not finite is a number."""
    assert as_number(value) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.integers(0, 4))
def test_a_number_is_the_same_with_more_zeros(number: Decimal, zeros: int) -> None:
    """However a number is written, it is that number."""
    longer = f"{number:f}{'0' * zeros}"
    assert same("number", f"{number:f}", longer)
    assert same("number", longer, float(number)) or as_number(float(number)) != number
