"""The run as plain text: aligned, narrow, without control characters."""

from __future__ import annotations

import math
import unicodedata
from decimal import Decimal
from typing import Any

import pytest
from display_samples import (
    GUARD,
    bad_inputs,
    failed,
    fanout,
    record,
    static_html,
    static_plain,
    vote,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.core.tasks import Attempt, Fault, Record, Usage
from parallm_magics.display import Guard, SectionVote, Tally, View, plain, run_blocks
from parallm_magics.display.text import width

ANY_TEXT = st.text(alphabet=st.characters(), max_size=40)
SHARES = st.floats(0, 1) | st.just(math.nan)
SOME_SECONDS = st.floats(0, 1e6)
STATUSES = ("ok", "truncated", "refused", "invalid", "failed", "timed_out", "cancelled", "blocked")


@st.composite
def records(draw: Any) -> Record:
    """Any record that the types allow, foreign text in every field."""
    return Record(
        draw(st.integers(0, 9)),
        draw(ANY_TEXT),
        draw(st.sampled_from(STATUSES)),
        draw(ANY_TEXT),
        draw(ANY_TEXT),
        draw(st.none() | ANY_TEXT | st.floats()),
        draw(st.none() | st.builds(Usage, *[st.integers(0, 10**9)] * 4)),
        draw(st.none() | st.decimals(0, 1000, allow_nan=False)),
        draw(st.none() | st.decimals(-1000, 1000, allow_nan=False)),
        draw(SOME_SECONDS),
        draw(SOME_SECONDS),
        draw(SOME_SECONDS),
        tuple(draw(st.lists(st.builds(Attempt, ANY_TEXT, SOME_SECONDS), max_size=3))),
        draw(st.none() | ANY_TEXT),
        error=draw(st.none() | st.builds(Fault, st.just("server"), ANY_TEXT)),
        request_id=draw(st.none() | ANY_TEXT),
    )


@st.composite
def views(draw: Any) -> View:
    """Any view over such records."""
    counts = tuple(draw(st.dictionaries(ANY_TEXT, st.integers(0, 5), max_size=4)).items())
    winner = draw(st.sampled_from([None, *(label for label, _ in counts)]))
    tally = Tally(
        counts,
        winner,
        draw(st.sampled_from(["decided", "tie", "no_majority", "no_quorum"])),
        1,
        draw(st.integers(0, 5)),
        1,
        1,
        1,
        draw(st.integers(0, 2)),
        draw(st.none() | SHARES),
        draw(st.none() | st.just((0, 1))),
        pick=draw(st.sampled_from(["plurality", "majority", "median", "judge", "weighted"])),
        how=draw(ANY_TEXT),
        weights=tuple((label, draw(st.floats())) for label, _ in counts[:2]),
        share_requested=draw(SHARES),
        margin=draw(SHARES),
        p_mode=draw(st.none() | SHARES),
        entropy=draw(st.floats()),
        pairwise=draw(st.none() | SHARES),
        decided_after=draw(st.none() | st.integers(0, 5)),
        heuristic=draw(st.booleans()),
    )
    guards = st.builds(Guard, ANY_TEXT, st.booleans(), st.none() | ANY_TEXT, ANY_TEXT)
    return View(
        draw(ANY_TEXT),
        draw(st.sampled_from(["fanout", "vote"])),
        tuple(draw(st.lists(records(), max_size=4))),
        tuple(draw(st.lists(records(), max_size=1))),
        draw(st.none() | ANY_TEXT),
        draw(ANY_TEXT),
        tuple(draw(st.lists(ANY_TEXT, max_size=2))),
        draw(st.booleans()),
        tuple(draw(st.lists(ANY_TEXT, max_size=1))),
        draw(st.none() | st.just(tally)),
        section_votes=tuple(
            draw(st.lists(st.just(SectionVote(winner or "", tally, ())), max_size=2))
        ),
        guards=tuple(draw(st.lists(guards, max_size=2))),
        blocked=draw(st.booleans()),
    )


@settings(max_examples=150, deadline=None)
@given(views())
def test_whatever_the_run_the_text_is_tame(view: View) -> None:
    """No control character, no line over 100 columns, nothing raised."""
    text = static_plain(view)
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
    assert all(width(line) <= 100 for line in text.split("\n"))


@settings(max_examples=50, deadline=None)
@given(views())
def test_whatever_the_run_the_picture_is_the_same_twice(view: View) -> None:
    """Static html is a function of the view."""
    assert static_html(view) == static_html(view)


@pytest.mark.parametrize("payload", bad_inputs("control").values(), ids=bad_inputs("control"))
def test_no_terminal_sequence_passes(payload: str) -> None:
    """Not from answers, names, models, errors, notes or labels."""
    view = fanout(
        record(0, payload, text=payload, value=payload, model=payload),
        failed(1, payload, error=Fault("server", payload)),
        title=payload,
        text=payload,
        notes=(payload,),
        addresses=(payload,),
        tally=Tally(((payload, 1),), payload, "decided", 1, 1, how=payload),
        guards=(Guard(payload, False, payload, payload), Guard(payload, False, None, payload)),
        section_votes=(SectionVote(payload, Tally(((payload, 1),), None, "tie", 1, 1), ()),),
    )
    assert not set("\x1b\x07\x08\x0d\x9b") & set(static_plain(view))


def test_columns_are_aligned() -> None:
    """Cells of a column begin at the same place, wide characters included."""
    lines = static_plain(fanout(record(0, "日本語"), record(1, "security"))).split("\n")
    head = next(line for line in lines if line.startswith("Worker"))
    rows = [line for line in lines if "Answer " in line and not line.startswith("Worker")]
    assert {width(row[: row.index("Answer")]) for row in rows} == {head.index("Answer")}
    assert {width(row[: row.index("█")]) for row in rows} == {head.index("0 s")}


def test_everything_that_matters_is_there() -> None:
    """Title, simulated mark, note, states, timeline, sums."""
    text = static_plain(fanout(record(0), failed(1), simulated=True, notes=("mind this",)))
    assert text.startswith("2 of 3 sections succeeded  [SIMULATED]")
    for part in ("Note: mind this", "failed", "1.5 s", "at least $0.0012"):
        assert part in text


def test_the_aggregate_is_shown() -> None:
    """Under its own heading, wrapped."""
    text = static_plain(fanout(text="word " * 100, text_title="Synthesis"))
    assert "Synthesis\n---------\n  word word" in text


def test_a_vote_shows_its_bars() -> None:
    """Counts stand beside them."""
    assert "4 of 5  winner" in static_plain(vote())


@settings(max_examples=50, deadline=None)
@given(views(), st.integers(20, 150))
def test_a_terminal_may_be_narrow(view: View, columns: int) -> None:
    """No line is wider than it."""
    lines = plain(run_blocks(view), columns, None).split("\n")
    assert all(width(line) <= columns for line in lines)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(alphabet="ab日\n -*`", min_size=1, max_size=300), min_size=1, max_size=5),
    st.integers(30, 120),
)
def test_every_answer_is_there_in_full(texts: list[str], columns: int) -> None:
    """Whatever its length and its marks, on as many lines as it needs."""
    records = [record(at, text=words) for at, words in enumerate(texts)]
    drawn = plain(run_blocks(fanout(*records)), columns, None)
    letters = "".join(drawn.split())
    assert all("".join(words.split()) in letters for words in texts)


LONG = "One line of it.\n" + "and more words " * 20


def test_a_long_answer_stands_under_its_name() -> None:
    """As it is, set in; where all are long the table has no column for them."""
    text = static_plain(fanout(record(0, "security", text=LONG), record(1, "docs", text=LONG)))
    assert "\n\nsecurity\n  One line of it.\n  and more words and" in text
    assert "\n\ndocs\n  One line" in text
    assert "Answer" not in text


def test_a_short_answer_stands_in_the_table() -> None:
    """Beside a long one, which the table points to."""
    text = static_plain(
        fanout(record(0, "security", text=LONG), record(1, "docs", text="All fine."))
    )
    assert [line[-9:] for line in text.split("\n") if line.startswith("docs")] == ["All fine."]
    assert "  below\n" in text
    assert text.count("All fine.") == text.count("One line of it.") == 1


def test_votes_of_one_word_need_no_column() -> None:
    """What was read of them is there already."""
    assert "ANSWER" not in static_plain(vote())


def test_a_label_that_was_read_is_not_said_again() -> None:
    """Of a short answer the table has what is beside it; a long one is whole."""
    short = record(0, text="It is prime.\nANSWER: yes", value="yes")
    both = fanout(short, record(1, text=f"{LONG}\nANSWER: no", value="no"))
    text = static_plain(both)
    [line] = [line for line in text.split("\n") if line.startswith("s1")]
    assert line.endswith("It is prime.")
    assert text.count("ANSWER") == text.count("  ANSWER: no") == 1


def test_the_votes_of_a_section_stand_under_its_name() -> None:
    """The bars, then the voters."""
    voters = tuple(record(at, f"topic.{at}", text="a", value="a") for at in range(2))
    tally = Tally((("a", 2),), "a", "decided", 2, 2)
    view = fanout(*voters, section_votes=(SectionVote("topic", tally, voters),))
    text = static_plain(view)
    assert "\n\ntopic\n  a  ██" in text
    assert "\n\n  Worker" in text


def test_what_stands_above_is_not_said_again() -> None:
    """The aggregate is no answer among others."""
    merged = record(GUARD, "synthesis", role="synthesis", text=LONG)
    view = fanout(record(0), extra=(merged,), text=LONG, text_title="Synthesis")
    text = static_plain(view)
    assert text.count("One line of it.") == 1
    assert text.index("One line of it.") < text.index("Worker") < text.index("shown above")


def test_a_failure_is_told_once() -> None:
    """Its message in the table, its attempts below."""
    text = static_plain(fanout(record(0, text=LONG), failed(1)))
    assert text.count("the provider failed: overloaded") == 1
    assert "\n\ns2 (failed)\n  Attempts: server 0.50 s, server 1.0 s\n  Request: req_1" in text


def test_a_text_that_is_kept_is_cut_and_says_so() -> None:
    """Each answer after 2,000 characters; what is printed has all of them."""
    view = fanout(*(record(at, text="word " * 600) for at in range(20)))
    kept, printed = static_plain(view), plain(run_blocks(view), most=None)
    assert kept.count("… 999 more characters: print() of the run shows all") == 20
    assert printed.count("word") == 20 * 600
    assert len(kept) < 1.2 * 20 * 2_000


def test_of_a_map_thirty_rows_are_kept() -> None:
    """The text says how to see the rest; what is printed has it."""
    rows = [record(at, "kind", key=f"k{at}", item=f"item {at}", value="yes") for at in range(40)]
    kept, printed = static_plain(fanout(*rows)), plain(run_blocks(fanout(*rows)), most=None)
    assert kept.count("item ") == 30
    assert "10 more: print() of the run shows all" in kept
    assert printed.count("item ") == 40


def test_an_answer_cannot_pose_as_another() -> None:
    """A model's lines are set in, ours are not."""
    text = static_plain(fanout(record(0, text="x\n\ndocs\n\nAll fine."), record(1, "docs")))
    assert text.split("\n").count("docs") == 0


def test_sums_are_those_of_the_html() -> None:
    """Both say the same cost."""
    view = fanout(record(0, cost=Decimal("0.5")))
    assert "$0.500" in static_plain(view)
    assert "$0.500" in static_html(view)


def test_a_large_number_is_read_as_it_is_counted() -> None:
    """Whole and in full, never rounded to six figures."""
    assert "1234567" in static_plain(fanout(record(0, value=1234567.0)))
