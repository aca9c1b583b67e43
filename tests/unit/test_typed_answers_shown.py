"""How typed answers, probabilities and stated shares look: as fields, never as JSON or Python."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from display_samples import (
    GUARD,
    HAIKU,
    Page,
    blocked,
    failed,
    fanout,
    record,
    static_html,
    static_plain,
    vote,
)
from hypothesis import given
from hypothesis import strategies as st
from live_views import live_html

from parallm_magics.answers.partial_object import partial_object
from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.core.tasks import Event, Model, Reading, Record, Task
from parallm_magics.display import (
    Board,
    FieldTally,
    Guard,
    SectionVote,
    StatedShare,
    Tally,
    View,
    decided,
    html,
    plain,
    reliability,
)
from parallm_magics.display.definitions import definition
from parallm_magics.display.typed_words import in_words, object_fields, summary

INVOICE: dict[str, Any] = {
    "vendor": "Acme",
    "total": 12.5,
    "due": None,
    "paid": True,
    "tags": ["new", "late"],
    "lines": [{"item": "bolt", "price": 2.5}, {"item": "nut", "price": 1}],
    "address": {"street": "Main 1", "city": "Ghent"},
}
SCHEMA = Schema(
    "Invoice",
    "{}",
    (SchemaField("vendor"), SchemaField("total", "number"), SchemaField("due", "date")),
    make=lambda value: value,
    plain=lambda value: value,
)


def typed(index: int = 0, value: dict[str, Any] | None = None, **fields: Any) -> Record:
    """A worker that answered with an object."""
    value = INVOICE if value is None else value
    return record(index, **{"text": json.dumps(value), "value": value} | fields)


def items(*values: dict[str, Any], **fields: Any) -> View:
    """A map whose every answer is an object."""
    return fanout(
        *(typed(at, each, key=at, item=f"Invoice {at}") for at, each in enumerate(values)), **fields
    )


# --- words ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Bill:
    """A class of a user's own."""

    total: Decimal
    due: date | None = None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (True, "true"),
        (12.5, "12.5"),
        (12.0, "12"),
        (0.1 + 0.2, "0.3"),
        (Decimal("12.50"), "12.50"),
        (date(2026, 11, 30), "2026-11-30"),
        ("", "(empty)"),
        ("  two\n lines ", "two lines"),
        ([], "(empty)"),
        (["a", 1, None], "a, 1, –"),
        ({"city": "Ghent"}, "city: Ghent"),
        ([{"a": 1}, {"a": 2}], "(a: 1); (a: 2)"),
        ({"a": {"b": [1, 2]}, "c": 3}, "a: (b: 1, 2); c: 3"),
        (Bill(Decimal("1.20")), "total: 1.20, due: –"),
        ({"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}, "a: (a: (a: (a: (a: (a: …)))))"),
    ],
)
def test_a_value_is_told_without_marks(value: object, words: str) -> None:
    """Neither JSON's nor Python's."""
    assert in_words(value) == words


def test_a_model_of_pydantic_has_its_fields() -> None:
    """By the names that JSON has for them."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("M", total=(Decimal, ...), due=(date, ...))
    fields = object_fields(model(total="1.50", due="2026-01-02"))
    assert fields == {"total": Decimal("1.50"), "due": "2026-01-02"}
    assert object_fields("text") is None
    assert object_fields(model) is None


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5), _plain, max_size=5))
def test_any_object_can_be_drawn(fields: dict[str, Any]) -> None:
    """On the page and in a text, without a control character, in a row and below each other."""
    assert "\n" not in summary(fields)
    drawn = [definition(fields)]
    assert html(drawn)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", plain(drawn)) is None


# --- saved ----------------------------------------------------------------------------------------


def test_an_object_in_a_section_is_a_summary_that_opens_to_a_definition() -> None:
    """No brace and no quote is left of the JSON; nested objects are a table and a definition."""
    view = fanout(typed(), record(1, text="Plain."))
    shown, page = static_plain(view), Page(static_html(view))
    for drawn in (shown, page.text):
        assert "{" not in drawn
        assert "'" not in drawn
        assert "None" not in drawn
    assert "vendor: Acme · total: 12.5 · due: – · paid: true · tags: new, late" in page.text
    lines = [line.strip() for line in shown.split("\n")]
    assert lines[lines.index("vendor  Acme") :][:7] == [
        "vendor  Acme", "total   12.5", "due     –", "paid    true", "tags    new, late", "lines", "item  price",
    ]  # fmt: skip


def test_a_map_of_objects_has_a_column_a_field() -> None:
    """Numbers to the right; a row whose columns say all of it opens to nothing."""
    view = items({"vendor": "Acme", "total": 12.5}, {"vendor": "Bolt", "total": None})
    shown = static_plain(view).split("\n")
    head = next(line for line in shown if line.startswith("Item"))
    row = next(line for line in shown if line.startswith("Invoice 0"))
    assert head.split()[:4] == ["Item", "Worker", "vendor", "total"]
    assert row.index("12.5") + 4 == head.index("total") + 5
    assert "<details" not in static_html(view)
    assert "all fields" not in static_html(view)


def test_too_many_fields_are_in_the_opened_row() -> None:
    """The first ones have a column; the rest is a summary that opens to all of them."""
    wide = {f"field{n}": n for n in range(9)}
    view = items(wide, wide)
    assert "<details open" not in static_html(view)
    page = Page(static_html(view)).text
    assert "field6: 6 · field7: 7 · field8: 8" in page
    assert re.search(r"field8\s*8", static_plain(view))
    assert all(len(line) <= 100 for line in static_plain(view).split("\n"))


def test_a_long_value_is_clipped_in_its_column_and_whole_in_its_row() -> None:
    """What opens says so."""
    view = items({"note": "word " * 50}, {"note": "short"})
    assert static_html(view).count("all fields") == 1
    assert Page(static_html(view)).text.count("word") > 50


def test_different_objects_have_no_columns_in_common() -> None:
    """Two sections that are asked for different things are two summaries."""
    view = fanout(typed(0, {"a": 1, "b": 2}), typed(1, {"c": 3, "d": 4}))
    assert "a: 1 · b: 2" in static_plain(view)
    assert "c: 3 · d: 4" in static_plain(view)


def test_rows_without_an_object_keep_their_place() -> None:
    """Why there is none stands where the answer would."""
    view = items({"vendor": "Acme", "total": 1}, {"vendor": "Bolt", "total": 2})
    view = dataclasses.replace(view, records=(*view.records, failed(2, key=2, item="Invoice 2")))
    assert "the provider failed: overloaded" in static_plain(view)
    assert Page(static_html(view)).text.count("overloaded") == 1


def test_words_around_an_object_are_kept() -> None:
    """A model that was asked in words may say more than the object."""
    text = f"I think it is this:\n{json.dumps(INVOICE)}"
    assert "I think it is this" in Page(static_html(fanout(typed(text=text)))).text
    fenced = f"```json\n{json.dumps(INVOICE)}\n```"
    assert "as it came" not in static_html(fanout(typed(text=fenced)))


HOSTILE = '<img src=x onerror=alert(1)>\u202e{{7*7}}</td></tr><script>"\x1b[31m'


def test_hostile_names_and_values_are_words() -> None:
    """In columns, headings, summaries, definitions and tables within them."""
    bad = {
        HOSTILE: HOSTILE,
        "nested": {HOSTILE: [HOSTILE]},
        "list": [{HOSTILE: HOSTILE}],
        "long": "x" * 100_000,
    }
    for view in (items(bad, bad), fanout(typed(0, bad))):
        page, shown = static_html(view), static_plain(view)
        assert "<img" not in page
        assert "<script" not in page
        assert "\u202e" not in page + shown
        assert "\x1b" not in page + shown
        assert len(page) < 40_000


def test_nothing_of_an_object_is_seen_where_a_guard_blocks() -> None:
    """Neither its fields nor their probabilities."""
    secret = typed(0, {"code": "4711"}, status="blocked", probabilities={"4711": 0.9, "x": 0.1})
    view = blocked(secret, secret)
    assert "4711" not in static_html(view) + static_plain(view)


# --- live -----------------------------------------------------------------------------------------


def ask(index: int = 0) -> Task:
    """A call that is asked for an object."""
    reading = Reading("object", schema=SCHEMA)
    return Task(index, f"s{index}", Model("sim"), "prompt", reading=reading)


def streaming(*pieces: str, workers: int = 1, **fields: Any) -> Board:
    """A board whose workers have said these pieces so far."""
    board = Board([(f"s{at}", HAIKU) for at in range(workers)], **fields)
    for at in range(workers):
        board.tell(Event("started", at, 0.0, task=ask(at)))
        for piece in pieces:
            board.tell(Event("heard", at, 0.1, text=piece))
    return board


def test_fields_are_seen_as_they_come() -> None:
    """A text that is cut off as far as it came, a field that has not come not at all."""
    board = streaming('```json\n{"vendor": "Ac')
    assert "vendor: Ac" in Page(live_html(board, 1.0)).text
    board.tell(Event("heard", 0, 0.2, text='me", "total": 12.5, "du'))
    assert "vendor: Acme · total: 12.5" in Page(live_html(board, 1.0)).text
    assert "due" not in Page(live_html(board, 1.0)).text
    assert "{" not in Page(live_html(board, 1.0)).text


def test_several_workers_have_a_column_a_field_from_the_start() -> None:
    """So that nothing jumps when the fields come."""
    board = streaming(workers=2)
    before = Page(live_html(board, 1.0)).text
    assert all(name in before for name in ("vendor", "total", "due"))
    board.tell(Event("heard", 1, 0.2, text='{"vendor": "Acme"'))
    assert "Acme" in Page(live_html(board, 1.0)).text
    board.tell(Event("ended", 1, 1.0, record=typed(1, {"vendor": "Bolt", "total": 1, "due": None})))
    after = Page(live_html(board, 2.0)).text
    assert "Bolt" in after
    assert "Acme" not in after


def test_no_field_is_seen_before_a_guard_has_passed() -> None:
    """Whether it streams or has come."""
    board = streaming('{"vendor": "Acme"', workers=2, redacted=True)
    assert "Acme" not in live_html(board, 1.0)
    board.tell(Event("ended", 1, 1.0, record=typed(1, {"vendor": "Bolt"})))
    assert "Acme" not in live_html(board, 2.0)
    assert "Bolt" not in live_html(board, 2.0)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", None),
        ("Sure {thing}: ", None),
        ("[1, 2", None),
        ("{", {}),
        ('{"a": 1} and more {', {"a": 1}),
        ('see {x}: {"a": [1, {"b": "c', {"a": [1, {"b": "c"}]}),
        ('{"a": tr', {}),
    ],
)
def test_what_has_come_of_an_object_is_read(text: str, fields: object) -> None:
    """Whatever stands before it."""
    assert partial_object(text) == fields


def test_a_text_full_of_braces_takes_no_time() -> None:
    """Only the first few are tried."""
    assert partial_object("{!" * 1_000_000) is None


# --- probabilities and stated shares --------------------------------------------------------------


def test_a_probability_is_seen_in_the_row_and_all_of_them_when_it_opens() -> None:
    """In words beside the bar."""
    view = fanout(
        record(0, text="spam", value="spam", probabilities={"ham": 0.03, "spam": 0.97}),
        record(1, text="3", value=3, probabilities={"1": 0.1, "2": 0.2, "3": 0.7}),
    )
    for shown in (static_plain(view), Page(static_html(view)).text):
        assert shown.index("Probability") < shown.index("97 %") < shown.index("70 %")
        assert shown.index("97.0 %") < shown.index("3.0 %")  # the most probable first
    assert "Probability" not in static_plain(fanout(record(0, value="spam")))


def test_a_probability_names_its_label_where_no_other_cell_does() -> None:
    """As of a guard that blocks by a threshold."""
    guard = record(GUARD, "safe", role="guard", probabilities={"BLOCK": 0.8, "ALLOW": 0.2})
    view = fanout(record(0), extra=(guard,), guards=(Guard("safe", True, "ALLOW"),))
    assert "BLOCK: 80 %" in static_plain(view)


def test_the_mean_of_a_score_has_no_more_digits_than_it_tells() -> None:
    """Its own level is told apart from the probability beside it."""
    tone = record(0, text="4.004837", value=4.004837, probabilities={"4": 0.4, "5": 0.6})
    assert ">4.00<" in static_html(fanout(tone))
    for shown in (static_plain(fanout(tone)), Page(static_html(fanout(tone))).text):
        assert "5: 60 %" in shown


def test_the_reliability_picture_tells_stated_against_right() -> None:
    """With interval and counts in words, and the stated share on the same axis."""
    rows = [
        StatedShare(0.5, 0.6, 0.55, 9, 18, (0.29, 0.71)),
        StatedShare(0.9, 1.0, 0.97, 15, 20, (0.53, 0.89)),
    ]
    drawn = [reliability(rows)]
    page = Page(html(drawn)).text
    assert "90–100 %" in page
    assert "15 of 20" in page
    assert "53–89 %" in page
    lines = plain(drawn).split("\n")
    assert lines[2].index("●") < lines[2].index("|")
    assert lines[1].index("●") < lines[1].index("|") or "|" not in lines[1]


# --- the votes of fields --------------------------------------------------------------------------


def field(name: str, counts: str, winner: str | None = None, **more: Any) -> FieldTally:
    """A field's votes of five, such as "a3|b2"."""
    votes = [(each[:-1], int(each[-1])) for each in counts.split("|")]
    valid = sum(number for _, number in votes)
    status = more.pop("status", "decided" if winner else "tie")
    fell = Tally(tuple(votes), winner, status, valid, 5, abstained=5 - valid, agreement=0.6)
    return FieldTally(name, fell, more.pop("value", winner), **more)


FIELDS = (
    field("vendor", "Acme4|Akme1", "Acme"),
    field("due", "June2|July2|May1"),
    field("note", "yes2|no1", status="no_majority", required=False),
    field("lines", "(item: bolt)5", "(item: bolt)", value=[{"item": "bolt"}]),
)


def test_each_field_has_a_row_with_winner_votes_and_status() -> None:
    """In words beside the bars; how its votes fell opens below."""
    view = vote(fields=FIELDS, title=decided(FIELDS))
    page, shown = Page(static_html(view)).text, static_plain(view)
    assert shown.startswith("2 of 4 fields decided")
    for drawn in (page, shown):
        for row in (
            ("vendor", "Acme", "4 of 5", "decided"),
            ("due", "none", "2 of 5", "tie: June or July; required"),
            ("note", "none", "2 of 5", "no majority"),
            ("lines", "(item: bolt)", "5 of 5", "decided"),
        ):
            assert re.search(r"\s*".join(map(re.escape, row)), drawn)
    assert re.search(r"Akme\s+█+·+\s+1 of 5", shown)
    assert shown.count("Acme") > 1
    assert "safe: 4 of 5" not in shown  # the fields stand in the place of the whole


def test_a_section_that_votes_on_objects_opens_to_its_fields() -> None:
    """Its row says how many are decided, and what won."""
    voters = tuple(typed(at, {"vendor": "Acme"}) for at in range(3))
    view = fanout(*voters, section_votes=(SectionVote("x", FIELDS[0].tally, voters, FIELDS),))
    page = Page(static_html(view)).text
    assert "2 of 4 fields decided" in page
    assert "vendor: Acme · lines: (item: bolt)" in page
    assert "tie: June or July" in page


def test_no_field_is_seen_of_a_blocked_vote() -> None:
    """What a guard withholds is in no tally."""
    assert "Acme" not in static_html(vote(fields=FIELDS, blocked=True))
