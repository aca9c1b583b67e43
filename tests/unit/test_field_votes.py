"""A vote for each field of an object, against counting by hand."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, NotRequired

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_schemas import schema_of
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from parallm_magics.answers import schema_sources
from parallm_magics.core.schemas import SchemaField
from parallm_magics.voting import field_votes, p_mode
from parallm_magics.voting.object_votes import object_vote
from parallm_magics.voting.pick_rules import rule_named
from parallm_magics.voting.rule_entry import Decision, PickRule, Vote

# By field: spellings of each of three different answers.
ANSWERS: Mapping[str, Sequence[Sequence[Any]]] = {
    "vendor": (["Acme", "acme ", "**Acme**"], ["Bolt", "bolt."], ["Coil"]),
    "total": ([1, 1.0, "1.00"], [2, "2.0"], [None]),
    "due": (["2026-12-01", "2026-12-01T00:00:00"], ["2026-12-02"], ["2026-12-01T00:00:00Z"]),
    "tags": ([["a", "b"], ["B", "a", "b"]], [["a"]], [[]]),
    "paid": ([True], [False], [None]),
    "kind": (["a"], ["b"], [None]),
    "lines": ([[{"n": 1, "x": "P"}], [{"x": "p", "n": 1.0}]], [[{"n": 2}]], [{}]),
}
FIELDS = (
    SchemaField("vendor"),
    SchemaField("total", "number", nullable=True),
    SchemaField("due", "date"),
    SchemaField("tags", "list"),
    SchemaField("paid", "boolean", nullable=True),
    SchemaField("kind", "choice", nullable=True, choices=("a", "b"), required=False),
    SchemaField("lines", "any", required=False),
)
SCHEMA = schema_of(*FIELDS)
OPTIONAL = {each.name for each in FIELDS if not each.required}


@st.composite
def panels(draw: st.DrawFn) -> list[dict[str, tuple[int, int]] | None]:
    """Objects as answer and spelling by field; None for a vote without an object."""

    def one() -> dict[str, tuple[int, int]] | None:
        if draw(st.integers(0, 5)) == 0:
            return None
        thing = {}
        for name, answers in ANSWERS.items():
            answer = draw(st.integers(-1 if name in OPTIONAL else 0, len(answers) - 1))
            if answer >= 0:
                thing[name] = answer, draw(st.integers(0, len(answers[answer]) - 1))
        return thing

    return [one() for _ in range(draw(st.integers(1, 7)))]


def written(thing: dict[str, tuple[int, int]] | None) -> dict[str, Any] | None:
    """The object that is meant."""
    if thing is None:
        return None
    return {name: ANSWERS[name][answer][how] for name, (answer, how) in thing.items()}


def by_hand(
    votes: Sequence[int], requested: int, rule: str, base: str, quorum: int
) -> tuple[str, int | None]:
    """Who wins, counted without any of the code under test."""
    if len(votes) < max(1, quorum):
        return "no_quorum", None
    counts = Counter(votes)
    first = max(counts.values())
    lead = [answer for answer, count in counts.items() if count == first]
    of = len(votes) if base == "valid" else requested
    enough = {
        "plurality": True,
        "majority": Fraction(first, of) > Fraction(1, 2),
        "threshold": Fraction(first, of) >= Fraction(2, 5),
        "unanimous": first == of,
    }[rule]
    if not enough:
        return "no_majority", None
    return ("decided", lead[0]) if len(lead) == 1 else ("tie", None)


@given(
    panels(),
    st.sampled_from(["plurality", "majority", "threshold", "unanimous"]),
    st.sampled_from(["valid", "requested"]),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_each_field_is_a_vote_of_its_own(
    panel: list[dict[str, tuple[int, int]] | None], rule: str, base: Any, quorum: int | None
) -> None:
    """Status, winner and tally of every field are those of counting its answers by hand."""
    objects = [written(each) for each in panel]
    q = "2/5" if rule == "threshold" else None
    vote = field_votes(objects, SCHEMA, rule, q=q, base=base, quorum=quorum)
    least = -(-len(panel) // 2) if quorum is None else quorum
    for name, found in vote.fields.items():
        cast = [each[name][0] for each in panel if each is not None and name in each]
        status, winner = by_hand(cast, len(panel), rule, base, least)
        assert found.status == status
        if winner is None:
            assert found.winner is found.label is None
        else:
            assert found.plain in ANSWERS[name][winner]
            assert found.values[found.label or ""] == found.winner == found.plain
        assert sorted(found.tally.values()) == sorted(Counter(cast).values())
        assert found.without == sum(each is not None and name not in each for each in panel)
        assert found.requested == len(panel)
    required = [vote.fields[each.name] for each in FIELDS if each.required]
    if all(each.decided for each in required):
        assert vote.status == "decided"
        won = {name: each.plain for name, each in vote.fields.items() if each.decided}
        assert vote.value == vote.plain == won
    else:
        assert vote.value is None
        assert vote.status == next(each.status for each in required if not each.decided)
        assert "no winner for" in vote.how


@given(panels())
def test_whole_objects_are_equal_where_every_field_is(
    panel: list[dict[str, tuple[int, int]] | None],
) -> None:
    """The tally of whole objects counts those that say the same in every field."""
    vote = field_votes([written(each) for each in panel], SCHEMA)
    meant = Counter(
        tuple(sorted((name, answer) for name, (answer, _) in each.items()))
        for each in panel
        if each is not None
    )
    assert sorted(vote.tally.values()) == sorted(meant.values())
    if vote.label is not None:
        assert vote.composed is (vote.label not in vote.tally)


def test_the_object_of_the_winners_need_be_no_voters() -> None:
    """Each voter errs in one field, and the object of the winners is right in all."""
    right = {"vendor": "Acme", "total": 3, "due": "2026-12-01"}
    schema = schema_of(*FIELDS[:3])
    wrong = [{**right, name: ANSWERS[name][1][0]} for name in right]
    vote = field_votes(wrong, schema)
    assert vote.value == right
    assert vote.composed
    assert vote.how == "composed: no single voter gave this object"
    assert [*vote.tally.values()] == [1, 1, 1]


def test_a_winner_is_the_most_usual_spelling() -> None:
    """Nothing is taken off a text, since a name may end with a full stop."""
    schema = schema_of(SchemaField("vendor"))
    said = ["acme inc", "Acme Inc.", "ACME", "Acme Inc."]
    [found] = field_votes([{"vendor": each} for each in said], schema).fields.values()
    assert found.winner == "Acme Inc."
    assert dict(found.tally) == {"Acme Inc.": 3, "ACME": 1}


def test_null_and_the_text_null_are_two_answers() -> None:
    """What looks alike has labels of its own."""
    schema = schema_of(SchemaField("x", nullable=True))
    objects = [{"x": each} for each in ("null", None, None)]
    [found] = field_votes(objects, schema).fields.values()
    assert found.status == "decided"
    assert found.winner is None
    assert dict(found.tally) == {"null": 2, '"null"': 1}


def test_numbers_have_a_median_and_the_rest_a_plurality() -> None:
    """A rule for numbers decides the number fields; null is no number."""
    schema = schema_of(SchemaField("n", "number", nullable=True), SchemaField("x"))
    objects = [{"n": n, "x": x} for n, x in (("1.5", "a"), (4, "b"), (None, "b"), (2, "b"))]
    vote = field_votes(objects, schema, "median")
    assert vote.value == {"n": 2, "x": "b"}
    assert vote.fields["n"].how == "the median of 3 votes"
    assert vote.fields["n"].confidence is None
    assert vote.fields["x"].pick == "plurality"
    nulls = field_votes([{"n": None, "x": "a"}] * 3, schema, "mean")
    assert nulls.fields["n"].status == nulls.status == "no_quorum"


def test_a_number_too_long_to_compute_with_is_left_out() -> None:
    """An absurd exponent costs no memory."""
    schema = schema_of(SchemaField("n", "number"))
    vote = field_votes([{"n": each} for each in ("1e999999999", 1, 3)], schema, "mean")
    assert vote.value == {"n": 2}
    again = field_votes([{"n": each} for each in ("1e999999999", 1, "10e999999998")], schema)
    assert again.value == {"n": "1e999999999"}


def test_ties_are_broken_in_each_field() -> None:
    """By the lowest place, or by lot."""
    schema = schema_of(SchemaField("x"), SchemaField("n", "number"))
    objects = [{"x": "b", "n": 1}, {"x": "a", "n": 1}]
    told = field_votes(objects, schema)
    assert (told.status, told.value) == ("tie", None)
    assert told.how == "no winner for x: tie between 'b' and 'a'"
    assert field_votes(objects, schema, ties="first").value == {"x": "b", "n": 1}
    lots = {field_votes(objects, schema, ties="random", seed=s).value["x"] for s in range(20)}
    assert lots == {"a", "b"}


def test_weights_count_in_each_field() -> None:
    """One heavy voter wins what it votes on."""
    schema = schema_of(SchemaField("x"), SchemaField("y", required=False))
    objects = [{"x": "a"}, {"x": "b", "y": "c"}, {"x": "b", "y": "d"}]
    weights = [Fraction(3), Fraction(1), Fraction(1)]
    vote = field_votes(objects, schema, "weighted", weights=weights)
    assert vote.value == {"x": "a"}
    assert vote.fields["x"].weights == {"a": 3, "b": 2}
    assert vote.fields["y"].status == "tie"


def test_winners_that_do_not_fit_together_are_no_object() -> None:
    """The schema checks the object of the winners as it checks a voter's."""

    def check(thing: Mapping[str, Any]) -> None:
        if thing["low"] > thing["high"]:
            raise ValueError("low is above high")

    schema = schema_of(SchemaField("low", "number"), SchemaField("high", "number"), check=check)
    objects = [{"low": 1, "high": 2}, {"low": 7, "high": 9}, {"low": 7, "high": 8}]
    vote = field_votes([*objects, {"low": 0, "high": 2}], schema)
    assert (vote.status, vote.value) == ("rule_failed", None)
    assert vote.how == "the winners together are no valid Thing: low is above high"


def test_a_default_never_stands_for_a_winner() -> None:
    """Where an optional field has no winner, the class may not fill it in."""
    fields = SchemaField("x"), SchemaField("currency", required=False)
    schema = schema_of(*fields)
    filling = schema_of(*fields)
    object.__setattr__(filling, "make", lambda plain: {"currency": "USD", **plain})
    objects = [{"x": "a", "currency": "EUR"}, {"x": "a", "currency": "GBP"}]
    assert field_votes(objects, schema).value == {"x": "a"}
    vote = field_votes(objects, filling)
    assert (vote.status, vote.value) == ("tie", None)
    assert "currency: tie between 'EUR' and 'GBP'; its default, USD, did not win" in vote.how
    object.__setattr__(filling, "make", lambda plain: {"currency": "", **plain})
    assert field_votes(objects, filling).value == {"x": "a", "currency": ""}


def test_no_object_is_no_quorum() -> None:
    """Without any valid object there is no winner at all."""
    vote = field_votes([None, None, None], SCHEMA)
    assert (vote.status, vote.value, dict(vote.tally)) == ("no_quorum", None, {})
    only_optional = schema_of(SchemaField("x", required=False))
    assert field_votes([None], only_optional).status == "no_quorum"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("judge", "a judge chooses whole answers, not fields"),
        ("best", "a judge chooses whole answers, not fields"),
        ("confidence", "a confidence is stated for whole answers, not fields"),
        ("any", "it looks for one label"),
        ("mean", "Thing has no such field"),
    ],
)
def test_rules_that_no_field_can_keep_are_refused(rule: str, says: str) -> None:
    """What needs more than the values of a field is an error, in one line."""
    with pytest.raises(ValueError, match=says):
        field_votes([{"x": "a"}], schema_of(SchemaField("x")), rule)
    with pytest.raises(ValueError, match="--ties judge does not work"):
        field_votes([{"x": "a"}], schema_of(SchemaField("x")), ties="judge")


@pytest.mark.parametrize(
    ("field", "labels"),
    [
        (SchemaField("k", "choice", choices=("a", "b", "c")), 3),
        (SchemaField("k", "choice", nullable=True, choices=("a", "b", "c")), 4),
        (SchemaField("k", "boolean"), 2),
        (SchemaField("k", "boolean", nullable=True), 3),
        (SchemaField("k", nullable=True), 2),  # of an open set, one more than was seen
    ],
)
def test_the_statistics_know_how_many_answers_a_field_has(field: SchemaField, labels: int) -> None:
    """The more labels could still come, the less sure it is that the leader is the usual answer."""
    value = True if field.kind == "boolean" else "a"

    def plurality(_: SchemaField, votes: Sequence[Vote]) -> tuple[PickRule, Decision]:
        return rule_named("plurality"), Decision("decided", votes[0].label)

    vote = object_vote([{"k": value}] * 3, schema_of(field), plurality, repeats=True).fields["k"]
    assert vote.p_mode == pytest.approx(float(p_mode([3, *[0] * (labels - 1)])))


# --- what users give as a schema ------------------------------------------------------------------


class Kind(Enum):
    """What a paper is."""

    BILL = "bill"
    CREDIT = "credit"


class Line(BaseModel):
    """A line of an invoice."""

    what: str
    price: Decimal


class Invoice(BaseModel):
    """With values that JSON has no types for, and a field of another name."""

    vendor: str
    total: Decimal
    at: datetime.datetime
    kind: Kind
    lines: list[Line]
    number_: int = Field(alias="number")
    due: datetime.date | None = None
    place: tuple[float, float] | None = None


@dataclasses.dataclass
class Paper:
    """A dataclass."""

    pages: int
    kind: Kind = Kind.BILL


class Bare(TypedDict):
    """A dict that may lack a key."""

    vendor: str
    due: NotRequired[datetime.date]


def made(source: Any, *things: Mapping[str, Any], rule: str = "plurality", **how: Any) -> Any:
    """The vote on objects of a schema as users give it."""
    schema = schema_sources.schema_of(source)
    return field_votes([schema.make(thing) for thing in things], schema, rule, **how)


INVOICE = {
    "vendor": "Acme Inc.",
    "total": "10.00",
    "at": "2026-12-01T10:00:00+02:00",
    "kind": "bill",
    "lines": [{"what": "Pen", "price": "2.5"}, {"what": "Ink", "price": 3}],
    "number": 7,
    "place": [1, 2],
}


def test_winners_have_the_types_of_the_class() -> None:
    """Decimals, dates, members, objects in lists, and a field of another name in JSON."""
    same = {
        **INVOICE,
        "vendor": "ACME INC",
        "total": 10,
        "at": "2026-12-01T08:00:00Z",
        "lines": [{"price": "3.00", "what": "ink"}, {"what": "pen", "price": 2.50}],
    }
    other = {**INVOICE, "vendor": "Bolt", "total": "10.01", "due": "2026-12-31", "place": [2, 1]}
    vote = made(Invoice, INVOICE, same, other)
    most = {name: max(each.tally.values()) for name, each in vote.fields.items()}
    assert {name for name, votes in most.items() if votes == 2} == {
        *("vendor", "total", "due", "place")
    }
    assert {*most.values()} == {2, 3}
    fields = {name: each.winner for name, each in vote.fields.items()}
    assert isinstance(vote.value, Invoice)
    assert (fields["total"], type(fields["total"])) == (Decimal(10), Decimal)
    assert fields["at"] == vote.value.at
    assert fields["kind"] is Kind.BILL
    assert fields["lines"][0] == Line(what="Pen", price=Decimal("2.5"))
    assert (fields["number"], fields["due"], fields["place"]) == (7, None, (1.0, 2.0))
    assert vote.value == Invoice.model_validate(INVOICE)
    assert not vote.composed


def test_a_median_of_decimals_is_a_decimal() -> None:
    """And one that an integer field cannot hold makes no object."""
    totals = [{**INVOICE, "total": total} for total in ("1.10", "1.20", "9")]
    assert made(Invoice, *totals, rule="median").fields["total"].winner == Decimal("1.2")
    vote = made(Paper, {"pages": 1}, {"pages": 2}, rule="median")
    assert (vote.fields["pages"].winner, vote.value, vote.status) == (1.5, None, "rule_failed")
    assert "the winners together are no valid Paper: pages" in vote.how


def test_every_form_of_a_schema_has_votes_for_its_fields() -> None:
    """Dataclasses, dicts with a class, JSON Schema and the short form."""
    vote = made(Paper, {"pages": 1}, {"pages": 1, "kind": "credit"}, {"pages": 1})
    assert vote.value == Paper(1, Kind.BILL)
    vote = made(Bare, {"vendor": "a", "due": "2026-12-01"}, {"vendor": "a"}, quorum=1)
    assert vote.value == {"vendor": "a", "due": datetime.date(2026, 12, 1)}
    assert vote.fields["due"].without == 1
    vote = made("vendor, due: date, n: number", *[{"vendor": "A", "due": "2026-12-01", "n": 1}] * 2)
    assert vote.value == {"vendor": "A", "due": datetime.date(2026, 12, 1), "n": 1}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert made(schema, {"n": 1}, {"n": 1.0}, {"n": 2}).value == {"n": 1}
