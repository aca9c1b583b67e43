"""Schemas: from what a user gives to the object that an answer holds."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import pickle
import sys
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_serializer,
    field_validator,
    model_serializer,
)
from typing_extensions import TypedDict
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, StudyRun, VariableError, fanout, vote
from parallm_magics.answers.object_forms import object_text
from parallm_magics.answers.object_in_text import NoObjectError, read_object
from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.providers.registry import define_simulated, forget

SHORT = "vendor, total: number, due?: date, tags: [text]"


class Kind(Enum):
    """What a paper is."""

    BILL = "bill"
    RECEIPT = "receipt"


class Line(BaseModel):
    """One line of an invoice."""

    item: str
    price: Decimal


class Invoice(BaseModel):
    """An invoice as a pydantic model."""

    vendor: str
    kind: Kind
    due: datetime.date | None = None
    lines: list[Line]


@dataclass
class Paper:
    """The same as a dataclass."""

    vendor: str
    pages: int = 1


class Bare(TypedDict):
    """The same as a TypedDict."""

    vendor: str
    pages: int


DOCUMENT = {
    "type": "object",
    "properties": {"vendor": {"type": "string"}, "pages": {"type": "integer"}},
    "required": ["vendor", "pages"],
}


def ran(text: str, **options: Any) -> FanoutRun:
    """A fan-out on virtual time."""
    run, _ = run_virtual(fanout(text, **{"model": "sim", **options}))
    assert isinstance(run, FanoutRun)
    return run


@pytest.mark.parametrize("source", [Paper, Bare, DOCUMENT, "vendor, pages: integer"])
def test_every_way_to_say_a_schema_gives_its_fields(source: Any) -> None:
    """A dataclass, a TypedDict, a JSON Schema and the short form mean the same."""
    schema = schema_of(source)
    assert [(field.name, field.kind) for field in schema.fields] == [
        ("vendor", "text"),
        ("pages", "integer"),
    ]
    made = schema.make({"vendor": "ACME", "pages": 2})
    assert schema.plain(made) == {"vendor": "ACME", "pages": 2}
    with pytest.raises(ValueError, match=r"pages"):
        schema.make({"vendor": "ACME", "pages": "two"})


def test_a_pydantic_class_gives_its_instances() -> None:
    """What is read is the user's own object, its parts too; a decimal keeps its digits."""
    schema = schema_of(Invoice)
    text = '{"vendor": "ACME", "kind": "bill", "lines": [{"item": "ink", "price": 9.90}]}'
    made = read_object(text, schema)
    assert made == Invoice(
        vendor="ACME", kind=Kind.BILL, lines=[Line(item="ink", price=Decimal("9.9"))]
    )
    by_name = {field.name: field for field in schema.fields}
    assert by_name["kind"].choices == ("bill", "receipt")
    assert by_name["due"].kind == "date"
    assert by_name["due"].nullable
    assert not by_name["due"].required


def test_the_short_form_makes_dates_and_numbers() -> None:
    """Its objects are dicts of Python's values, a missing optional one None."""
    schema = schema_of(SHORT)
    made = schema.make({"vendor": "ACME", "total": 12.5, "due": "2026-11-30", "tags": ["a"]})
    assert made["due"] == datetime.date(2026, 11, 30)
    assert schema.make({"vendor": "ACME", "total": 12, "tags": []})["due"] is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no object at all", "the answer holds no JSON object"),
        ('{"vendor": "ACME", "pages": 1', "the JSON object breaks off before its end"),
        ('{"vendor": "ACME", "pages": NaN}', "NaN"),
        ('{"vendor": "ACME", "vendor": "B", "pages": 1}', "stands twice"),
        ('[{"vendor": "A", "pages": 1}, {"vendor": "B", "pages": 1}]', "2 different objects"),
        ('{"vendor": "ACME"}', "pages: field required"),
        ('{"vendor": "\\ud83d", "pages": 1}', "half of a character"),
    ],
)
def test_an_answer_without_one_object_says_why(text: str, problem: str) -> None:
    """The reason is one line, fit for the model to read too."""
    with pytest.raises(NoObjectError) as error:
        read_object(text, schema_of(Paper if "breaks" in problem else Bare))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"vendor": "ACME", "pages": 2}',
        'Here it is:\n```json\n{"vendor": "ACME", "pages": 2}\n```\nAnything else?',
        '{"vendor": "A", "pages": 1} was a draft; it is {"vendor": "ACME", "pages": 2}',
        '{"invoice": {"vendor": "ACME", "pages": 2}}',
        '<think>{"vendor": "B", "pages": 9}</think>{"vendor": "ACME", "pages": 2}',
    ],
)
def test_words_around_an_object_do_not_matter(text: str) -> None:
    """Fences, drafts, thinking and a wrapper are passed over."""
    assert read_object(text, schema_of(Paper)) == Paper("ACME", 2)


def test_an_object_of_other_fields_is_not_an_empty_one() -> None:
    """A class that asks for nothing takes no answer to another question; an empty object is one."""
    schema = schema_of("a?, b?: number")
    assert read_object("{}", schema) == {"a": None, "b": None}
    with pytest.raises(NoObjectError, match=r"it has none of the fields a, b"):
        read_object('{"vendor": "ACME", "pages": 2}', schema)


def test_marks_within_an_object_are_its_own() -> None:
    """What looks like thinking in a text of the object is that text."""
    made = read_object('{"vendor": "a <think>b</think> c", "pages": 1}', schema_of(Bare))
    assert made["vendor"] == "a <think>b</think> c"
    fenced = 'So:\n<reflection>{"vendor": "B", "pages": 2}</reflection>{"vendor": "A", "pages": 1}'
    assert read_object(fenced, schema_of(Bare))["vendor"] == "A"


def test_a_run_holds_objects() -> None:
    """`run[name]` is the validated object, `to_dict()` plain JSON, and a section may go without."""
    run = ran("Read.\n%section a\nA\n%section b --open\nB", schema=Invoice)
    assert isinstance(run["a"], Invoice)
    assert run["b"].startswith("[SIMULATED]")
    assert json.loads(json.dumps(run.to_dict()))["values"]["a"]["vendor"] == run["a"].vendor
    assert "vendor: simulated vendor" in str(run.text)
    assert pickle.loads(pickle.dumps(run))["a"] == run["a"]  # noqa: S301 - our own


def test_a_schema_by_the_name_of_a_variable() -> None:
    """On a section's own line too, with braces or without."""
    for name in ("Paper", "{{Paper}}"):
        run = ran(f"%section a --schema {name}\nA", variables={"Paper": Paper})
        assert isinstance(run["a"], Paper)
    run = ran(f'%section a --schema "{SHORT}"\nA')
    assert isinstance(run["a"]["total"], float)


@pytest.mark.parametrize(
    ("schema", "kind", "problem"),
    [
        (
            "Papre",
            VariableError,
            "line 1: --schema: there is no variable 'Papre'; did you mean 'Paper'",
        ),
        ("a: numbr", OptionError, "there is no type 'numbr'; did you mean 'number'"),
        (list[int], OptionError, "a JSON array"),
        (3, OptionError, "got int"),
    ],
)
def test_what_is_no_schema_is_refused_before_any_call(
    schema: Any, kind: type[Exception], problem: str
) -> None:
    """In one line, which names the way out."""
    with pytest.raises(kind) as error:
        ran("Read.", schema=schema, variables={"Paper": Paper})
    assert problem in str(error.value)


def test_an_object_reads_like_a_list_of_its_fields() -> None:
    """No braces and no Python: what a person takes in at once."""
    made = Invoice(vendor="ACME", kind=Kind.BILL, lines=[Line(item="ink", price=Decimal(9))])
    assert object_text(made) == "vendor: ACME\nkind: bill\ndue: –\nlines:\n- item: ink\n  price: 9"


def test_a_map_is_a_frame_with_a_column_a_field() -> None:
    """Dates are dates and exact numbers numbers; a name that is taken stands apart; no object is None."""
    answers = {"1": json.dumps({"vendor": "A", "total": 2, "name": "n", "due": "2026-11-30"})}
    define_simulated("given", {**answers, "2": "I would rather not say."})
    try:
        fields = "vendor, total: number, name, due?: date"
        run = ran("{{item}}", model="given", schema=fields, each=["a", "b"], min_success=0)
    finally:
        forget("given")
    frame = run.to_pandas()
    assert frame["value.name"][0] == "n"
    assert frame["vendor"].isna().tolist() == [False, True]
    assert frame["name"].tolist() == ["1", "2"]
    assert frame["due"].tolist() == [datetime.date(2026, 11, 30), None]
    assert frame["total"][0] == 2
    assert "value" not in frame
    assert frame["status"].tolist() == ["ok", "invalid"]
    money = ran("%section a\nA", schema=Line).to_pandas()
    assert money["price"].dtype == float


def test_votes_on_fields_are_a_frame_with_their_agreement() -> None:
    """One row a key: each field's winner, and beside it its share; the workers' own rows on request."""
    run = ran("{{item}}\n%section q -n 3\nq", schema=SHORT, each=["a", "b"])
    frame = run.to_pandas()
    assert frame["key"].tolist() == ["1.q", "2.q"]
    assert frame["item"].tolist() == ["a", "b"]
    assert frame["status"].tolist() == [run.votes[key].status for key in run]
    assert frame["tags"].tolist() == [run.votes[key].fields["tags"].plain for key in run]
    assert frame["total_agreement"].tolist() == [
        run.votes[k].fields["total"].agreement for k in run
    ]
    assert len(run.to_pandas("workers")) == 6
    mixed = ran("%section a\nA\n%section b --open\nB", schema=Paper).to_pandas("answers")
    assert mixed["value"][1].startswith("[SIMULATED]")
    with pytest.raises(OptionError, match="'answer' is not one of workers, answers"):
        run.to_pandas("answer")


@pytest.mark.parametrize(
    "text",
    [
        '{"vendor":' * 3_000,
        '{"a":' + "[" * 100_000,
        "{" * 200_000,
        '{"vendor": "A", "pages": ' + "9" * 100_000 + "}",
        '{"vendor": "' + "x" * 1_000_000 + '", "pages": "two"}',
        '{"vendor": 1e999, "pages": -Infinity}',
        "\ud800{",
        '{"vendor": "A", "pages": 1} ' * 5_000 + '{"vendor": "B", "pages": 1}',
    ],
)
def test_hostile_json_is_one_line_at_once(text: str) -> None:
    """However deep, long or odd: a short reason, and no error of Python's own."""
    with pytest.raises(NoObjectError) as error:
        read_object(text, schema_of(Bare))
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='{}[]":, \n\\ab1.-`', max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    """A text holds an object that conforms, or there is a reason why it does not."""
    with contextlib.suppress(NoObjectError):
        assert isinstance(read_object(text, schema_of(Bare)), dict)


@pytest.mark.parametrize("as_what", [lambda value: value, json.dumps, lambda value: Bare(**value)])
def test_true_objects_are_held_against_answers(as_what: Any) -> None:
    """Dicts, JSON and objects of the class are the truth; sim is right in a field with its accuracy."""
    truth = [as_what({"vendor": "A", "pages": at}) for at in range(40)]
    options: dict[str, Any] = {"schema": Bare, "each": [*range(40)], "truth": truth}
    for accuracy, low, high in ((1.0, 1.0, 1.0), (0.7, 0.2, 0.75)):
        model = f"sim:?accuracy={accuracy}"
        run, _ = run_virtual(vote("Read {{item}}.", model=model, **options))
        assert isinstance(run, StudyRun)
        assert "vendor" in run.to_pandas("calls")
        rights = [item.outcomes["single"].right for item in run.measured]
        assert low <= sum(map(float, filter(None, rights))) / 40 <= high


class Renamed(BaseModel):
    """Its field may have another name in an answer."""

    model_config = ConfigDict(populate_by_name=True)
    a: Paper = Field(validation_alias=AliasChoices("paper", "document"))


class Within(BaseModel):
    """Its field stands deeper in an answer."""

    a: int = Field(validation_alias=AliasPath("p", "q"))


@pytest.mark.parametrize("name", ["paper", "document", "a"])
def test_an_object_is_taken_by_each_name_that_its_class_takes(name: str) -> None:
    """The schema shows one name only, yet another one is no mistake."""
    found = read_object(f'{{"{name}": {{"vendor": "ACME"}}}}', schema_of(Renamed))
    assert found.a == Paper("ACME")
    assert read_object('{"p": {"q": 1}}', schema_of(Within)).a == 1


def test_an_object_without_any_field_is_none_whatever_kind_of_schema_asks_for_it() -> None:
    """A JSON Schema that requires nothing takes anything; so does a class that keeps what it does not know."""

    class Keeps(BaseModel):
        model_config = ConfigDict(extra="allow")
        vendor: str = ""

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("it cannot be compared")

        __hash__ = None  # type: ignore[assignment]

    free = {"type": "object", "properties": {"vendor": {"type": "string"}}}
    for source in (free, Keeps):
        with pytest.raises(NoObjectError, match="it has none of the fields vendor"):
            read_object('{"other": 1}', schema_of(source))


class _Mute(Exception):
    """An error whose own words fail."""

    def errors(self) -> Any:
        raise ZeroDivisionError

    __str__ = errors


ODD_ERRORS = [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), _Mute(), RecursionError()]


@pytest.mark.parametrize("odd", ODD_ERRORS, ids=lambda odd: type(odd).__name__)
def test_whatever_a_validator_raises_is_a_mistake_of_its_answer_alone(odd: BaseException) -> None:
    """The run neither ends nor hangs, and no provider is blamed."""

    class Odd(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def check(cls, value: int) -> int:
            if value == 1:
                raise odd
            return value

    define_simulated("odd", lambda task, _: f'{{"x": {1 + (task.name == "b")}}}')
    try:
        run = ran(
            "%section a\none\n\n%section b\ntwo",
            model="odd",
            schema="S",
            variables={"S": Odd},
            min_success=0,
        )
    finally:
        forget("odd")
    assert [record.status for record in run.results] == ["invalid", "ok"]
    assert run.results[0].error is not None
    assert type(odd).__name__ in run.results[0].error.message


def test_an_object_that_its_class_cannot_write_again_is_invalid() -> None:
    """It could be neither shown nor counted; no vote fails for it once all calls are paid."""

    class Raises(BaseModel):
        x: int

        @field_serializer("x")
        def write(self, value: int) -> int:
            raise RuntimeError("never")

    class Flat(BaseModel):
        x: int

        @model_serializer
        def write(self) -> str:
            return "x"

    class Holds(BaseModel):
        x: Any = Field(default_factory=object)
        y: int

    define_simulated(
        "odd", lambda task, _: '{"y": 1}' if task.prompt.startswith("Y") else '{"x": 1}'
    )
    try:
        for source, said, prompt in (
            (Raises, "RuntimeError: never", "X?"),
            (Flat, "writes it as str", "X?"),
            (Holds, "Unable to serialize", "Y?"),
        ):
            options = {"schema": "S", "variables": {"S": source}, "min_success": 0}
            run, _ = run_virtual(vote(prompt, model="odd", n=3, **options))
            assert [record.status for record in run.results] == ["invalid"] * 3
            assert said in run.results[0].error.message
            json.dumps(run.to_dict())
    finally:
        forget("odd")


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deeply_for_python_is_no_object(begin: str, end: str) -> None:
    """It would be read, and could then be neither compared, written nor pickled."""
    schema = schema_of({"type": "object", "properties": {"x": {}}, "required": ["x"]})
    for levels in (10, 99, 100, 500, 900, 980):
        text = f'{{"x": {begin * (levels - 1)}1{end * (levels - 1)}}}'
        if levels < 100:
            pickle.dumps(read_object(text, schema))
        else:
            with pytest.raises(NoObjectError, match="nested too deeply"):
                read_object(text, schema)


def held(**node: Any) -> Any:
    """A JSON Schema of objects with one field."""
    return schema_of({"type": "object", "properties": {"x": node}, "required": ["x"]})


@pytest.mark.parametrize(
    ("number", "step", "is_one"),
    [
        ("19.99", 0.01, True),
        ("0.07", 0.01, True),
        ("1e308", 0.01, True),
        ("0.075", 0.01, False),
        ("9" * 3000, 1e-300, True),
        ("7", 2, False),
        ("1e-7", 1e-8, True),
    ],
)
def test_amounts_are_multiples_as_they_are_written(number: str, step: float, is_one: bool) -> None:
    """19.99 is one of 0.01, though no float is; a number too large for a float is no error."""
    schema, text = held(type="number", multipleOf=step), f'{{"x": {number}}}'
    if is_one:
        read_object(text, schema)
    else:
        with pytest.raises(NoObjectError, match="is not a multiple of"):
            read_object(text, schema)


def test_a_reference_that_leads_nowhere_from_its_place_is_told_in_a_line() -> None:
    """With an `$id` of its own, a part resolves references within itself."""
    part = {"$id": "http://x/a", "type": "object", "properties": {"q": {"$ref": "#/$defs/B"}}}
    schema = schema_of(
        {
            "$id": "http://x/",
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/A"}},
            "$defs": {"A": part, "B": {"type": "string"}},
        }
    )
    with pytest.raises(NoObjectError, match="does not exist within"):
        read_object('{"x": {"q": "a"}}', schema)


@pytest.mark.parametrize("room", [1_000, 20_000])
@pytest.mark.parametrize("levels", [150, 300, 900, 3000])
def test_a_schema_that_is_nested_too_deeply_is_told_in_a_line(
    levels: int, room: int, request: pytest.FixtureRequest
) -> None:
    """However much room for recursion others have made, and whichever reader of it gives up first."""
    request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(room)
    node: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        node = {"type": "object", "properties": {"a": node}}
    with pytest.raises(ValueError, match=r"nested too deeply|not plain JSON"):
        schema_of(node)


def test_fields_that_are_not_written_as_they_are_are_refused_before_any_call() -> None:
    """Two secrets would look alike, and a vote on them would be won by asterisks."""

    class Secret(BaseModel):
        x: list[SecretStr]

    class LeftOut(BaseModel):
        x: int = Field(exclude=True)

    for source, words in ((Secret, "secret type hides its value"), (LeftOut, "x has exclude=True")):
        with pytest.raises(ValueError, match=words):
            schema_of(source)


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-Infinity"])
def test_a_word_for_no_number_is_none_in_the_short_form(word: str) -> None:
    """Pydantic would read it as one, and it would win a vote."""
    for form in ("x: number", "x?: number", "x: [number]"):
        value = f'["{word}"]' if "[" in form else f'"{word}"'
        with pytest.raises(NoObjectError, match="finite number"):
            read_object(f'{{"x": {value}}}', schema_of(form))
