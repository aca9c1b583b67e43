"""The short form of a schema: what it stands for, and what is said of a slip."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.answers.object_in_text import NoObjectError, read_object
from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.answers.short_schemas import MOST_LEVELS


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("vendor,", "vendor text"),
        ("a: Number, b: int, c: yes/no", "a number, b integer, c boolean"),
        ("a?: date, b: date?, c: date | None", "a date?, b date?, c date?"),
        ("a: x|y, b: 'in time'|\"too late\"", "a choice, b choice"),
        ("a: [text], b: [{c, d: [number]}]", "a list, b list"),
        ("a: text\nb: number\n\nc", "a text, b number, c text"),
        ("a: {\n  b: text\n  c: number\n}\nd", "a object, d text"),
        ("größe：number，название", "größe number, название text"),
        ("due-date: datetime, at: time", "due-date time, at time"),
    ],
)
def test_it_stands_for_these_fields(text: str, fields: str) -> None:
    """A question mark: it may be missing, before the colon or behind the type."""
    found = schema_of(text).fields
    assert ", ".join(f"{f.name} {f.kind}{'?' if f.nullable else ''}" for f in found) == fields
    assert all(field.required != field.nullable for field in found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:", "a: its type is missing after the colon"),
        ("a: {b", "} is missing at the end"),
        ("a: [text", "a: ] is missing after the type of its list"),
        ("a,,b", "expected the name of a field, got ','"),
        ("vendor text, b", "write a colon between a field and its type: vendor: text"),
        ("first name: text", "the name of a field is one word, such as first_name"),
        ("a: numbr", "a: there is no type 'numbr'; did you mean 'number'?"),
        ("a: list[str]", "a: for a list, write a: [text]"),
        ("a: list of number", "a: for a list, write a: [number]"),
        ("a: optional number", "a: for a field that may be missing, write a?: number"),
        ("a: text; b: text", "a: separate fields with commas, not ;"),
        ("a, a: number", "the field 'a' is named twice"),
        ("a: one|one", "names a value twice"),
        ("a: " + "[" * 30 + "text" + "]" * 30, f"deeper than {MOST_LEVELS} levels"),
        ("a: " + "{a: " * 30 + "text" + "}" * 30, f"deeper than {MOST_LEVELS} levels"),
    ],
)
def test_a_slip_is_told_with_the_way_out(text: str, problem: str) -> None:
    """In one line."""
    with pytest.raises(ValueError, match=r"^(?!.*\n)") as error:
        schema_of(text)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("fields", "said", "value"),
    [
        ("x: low|high", "HIGH ", "high"),
        ("x: low|high", "higher", None),
        ("x: number", "12.50", 12.5),
        ("x: number", True, None),
        ("x: integer", 3.0, 3),
        ("x: integer", False, None),
        ("x: date", 20261130, None),
        ("x: text", 3, None),
        ("x: [text?]", ["a", None], ["a", None]),
        ("x: [text]", ["a", None], None),
    ],
)
def test_a_value_is_what_it_says(fields: str, said: object, value: object) -> None:
    """A label in another spelling is that label; nothing is taken for a value of another type."""
    text, schema = json.dumps({"x": said}), schema_of(fields)
    if value is None:
        with pytest.raises(NoObjectError, match=r"^x"):
            read_object(text, schema)
    else:
        assert read_object(text, schema)["x"] == value


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab :,?|[]{}'\n1texnumr", max_size=40))
def test_any_text_is_a_schema_or_a_line_of_error(text: str) -> None:
    """Nothing else is ever raised."""
    try:
        found = schema_of(text)
    except ValueError as error:
        told = str(error)
    else:
        told = found.name if found.fields else ""
    assert told
