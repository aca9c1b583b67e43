"""The live board: what events become on the screen, at bounded cost."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from display_samples import HAIKU, Page, failed, record
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.display import Board
from parallm_magics.display.board import MOST, WITHHELD
from parallm_magics.types import Event, Fault, Record


def board_of(count: int = 3, pattern: Any = "fanout", **options: Any) -> Board:
    """A board of workers that have not started."""
    return Board([(f"w{i}", HAIKU) for i in range(count)], pattern, **options)


def end(board: Board, index: int, outcome: Record) -> None:
    """Let a worker start and end."""
    board.tell(Event("started", index, outcome.start))
    board.tell(Event("ended", index, outcome.end, record=outcome))


def text_of(board: Board, now: float = 2.0) -> str:
    """What a person reads on the board."""
    return Page(board.live_html(now)).text


def test_a_worker_goes_through_its_states() -> None:
    """Queued, running, answering, waiting, ended: each is a word."""
    board = board_of(1)
    assert "queued" in text_of(board)
    board.tell(Event("started", 0, 0.0))
    assert "running" in text_of(board)
    board.tell(Event("heard", 0, 0.5, "The answer"))
    assert "answering" in text_of(board)
    assert "The answer" in text_of(board)
    board.tell(Event("waiting", 0, 0.6, "rate limit: asks again in 2.0 s"))
    assert "rate limit: asks again in 2.0 s" in text_of(board)
    board.tell(Event("ended", 0, 1.5, record=record(0)))
    assert "1 of 1 done" in text_of(board)


def test_a_retry_begins_its_answer_anew() -> None:
    """What a broken attempt had said is gone."""
    board = board_of(1)
    for piece in ("first try", "second"):
        board.tell(Event("started", 0, 0.0))
        board.tell(Event("heard", 0, 0.5, piece))
    assert "second" in text_of(board)
    assert "first try" not in text_of(board)
    assert "×2" in text_of(board)


def test_a_sign_of_life_is_no_answer() -> None:
    """An empty piece keeps the worker running, not answering."""
    board = board_of(1)
    board.tell(Event("started", 0, 0.0))
    board.tell(Event("heard", 0, 0.5, ""))
    assert "answering" not in text_of(board)


def test_a_long_stream_shows_its_end() -> None:
    """Only the newest words are kept and drawn."""
    board = board_of(1)
    board.tell(Event("started", 0, 0.0))
    for i in range(10_000):
        board.tell(Event("heard", 0, 0.5, f"word{i} "))
    assert "word9999" in text_of(board)
    assert "word9000 " not in text_of(board)


def test_the_header_adds_up() -> None:
    """Done, time, tokens and cost so far, the unknown said."""
    board = board_of(3)
    end(board, 0, record(0))
    end(board, 1, failed(1))
    text = text_of(board, 2.0)
    for part in ("2 of 3 done", "2.0 s", "1 failed", "120 tokens", "at least $0.0012"):
        assert part in text


def test_votes_come_in_with_a_leader_and_what_is_open() -> None:
    """Counts first; a vote that cannot be read is no vote."""
    board = board_of(5, "vote", read_label=lambda r: r.value if isinstance(r.value, str) else None)
    for index, label in enumerate(("safe", "unsafe", "safe", None)):
        end(board, index, record(index, value=label))
    text = text_of(board)
    assert "'safe' leads with 2 of 5; 1 still open; 1 without a vote" in text
    assert "2 of 5 leads" in text


def test_level_votes_have_no_leader() -> None:
    """Two labels with one vote each are level."""
    board = board_of(3, "vote")
    end(board, 0, record(0, value="a"))
    end(board, 1, record(1, value="b"))
    assert "level at 1 of 3; 1 still open" in text_of(board)


def test_a_reader_that_raises_costs_no_answer() -> None:
    """The row ends all the same."""

    def reads(record: Record) -> str | None:
        raise RuntimeError("odd")

    board = board_of(1, "vote", read_label=reads)
    end(board, 0, record(0))
    assert "1 of 1 done" in text_of(board)


def test_nothing_is_drawn_before_the_guard_has_passed() -> None:
    """Neither streamed nor finished text nor votes; afterwards all of it."""
    board = board_of(3, "vote", withheld=True)
    board.tell(Event("started", 0, 0.0))
    board.tell(Event("heard", 0, 0.5, "secret"))
    end(board, 1, record(1, text="secret too", value="secretlabel"))
    end(board, 2, failed(2, error=Fault("unreadable", "no label in 'secret'")))
    assert "secret" not in board.live_html(1.0)
    assert WITHHELD in text_of(board)
    board.withheld = False
    assert "secret too" in text_of(board)
    assert "secretlabel" in text_of(board)


def test_extra_rows_are_shown_and_not_counted() -> None:
    """A synthesis has a row, costs money, and is no worker."""
    board = board_of(1, extra=[("synthesis", "anthropic:claude-sonnet-5")])
    end(board, 0, record(0))
    end(board, 1, record(1, "synthesis", cost=Decimal("0.01")))
    text = text_of(board)
    assert "1 of 1 done" in text
    assert "synthesis by anthropic:claude-sonnet-5" in text
    assert "$0.0112" in text


def test_simulated_unusual_hosts_and_lines_are_shown() -> None:
    """What the patterns say stands in the header."""
    board = board_of(1, simulated=True, addresses=("http://localhost:1",))
    board.say("decided after 3 of 5")
    text = text_of(board)
    assert "SIMULATED" in text
    assert "asked at http://localhost:1" in text
    assert "decided after 3 of 5" in text


def test_of_thousands_the_failed_and_the_slowest_are_drawn() -> None:
    """At most 200 rows; the failure is among them, the rest is counted."""
    board = board_of(20_000)
    for index in range(19_000):
        end(board, index, record(index, seconds=99.0 if index == 7 else 1.0))
    end(board, 19_000, failed(19_000))
    board.tell(Event("started", 19_001, 5.0))
    html = board.live_html(6.0)
    assert Page(html).count("tr") <= MOST + 1
    for name in ("w7<", "w19000<", "w19001<"):
        assert f">{name}" in html
    assert "more workers not shown" in html


def test_events_and_pictures_are_cheap() -> None:
    """A hundred thousand events take a second, a picture of 200 rows a fraction."""
    board = board_of(5000)
    began = time.perf_counter()
    for index in range(100_000):
        board.tell(Event("heard", index % 5000, 0.0, "some words "))
    assert time.perf_counter() - began < 2
    began = time.perf_counter()
    board.live_html(1.0)
    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(Event("ended", 0, 1.0), id="ended-without-record"),
        pytest.param(Event("heard", 99, 1.0, "x"), id="unknown-worker"),
        pytest.param(Event("heard", -1, 1.0, "x"), id="negative"),
        pytest.param(Event("exploded", 0, 1.0), id="unknown-kind"),  # type: ignore[arg-type]
        pytest.param(Event("heard", 0, float("nan"), "\ud800\x1b"), id="nan-and-surrogate"),
    ],
)
def test_odd_events_are_borne(event: Event) -> None:
    """The display never ends a run."""
    board = board_of(1)
    board.tell(event)
    assert "w0" in text_of(board)


def test_what_follows_an_end_is_ignored() -> None:
    """A worker ends once."""
    board = board_of(1)
    end(board, 0, record(0))
    end(board, 0, failed(0))
    board.tell(Event("heard", 0, 3.0, "late"))
    assert board.done == 1
    assert "late" not in text_of(board)


events = st.builds(
    Event,
    st.sampled_from(["started", "heard", "waiting", "ended"]),
    st.integers(-1, 4),
    st.floats(0, 100),
    st.text(alphabet=st.characters(), max_size=30),
    st.none() | st.builds(record, st.integers(0, 4), seconds=st.floats(0, 100)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(events, max_size=40), st.sampled_from(["fanout", "vote"]), st.floats(0, 200))
def test_no_order_of_events_breaks_it(told: list[Event], pattern: Any, now: float) -> None:
    """One row a worker, whatever is told when."""
    board = board_of(3, pattern, extra=[("judge", HAIKU)])
    for event in told:
        board.tell(event)
    html = board.live_html(now)
    assert html[html.rindex("<table") :].count("<tr") == 1 + 4
    assert 0 <= board.done <= 3
