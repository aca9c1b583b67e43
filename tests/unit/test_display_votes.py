"""The votes as they come in: counts, a leader, and an account that adds up."""

from __future__ import annotations

import re
from typing import Any

import pytest
from display_samples import HAIKU, Page, failed, record
from hypothesis import given
from hypothesis import strategies as st
from live_views import live_html

from parallm_magics.core.tasks import Event, Record
from parallm_magics.display import Board, html
from parallm_magics.display.votes import MOST_BARS, Votes, ballot

STATES = ("valid", "abstain", "invalid", "failed", "cancelled")


def said(votes: Votes, requested: int = 5) -> str:
    """What a person reads of the votes."""
    return Page(html([votes.bars(requested)])).text


def cast(*ballots: str, repeats: bool = False) -> Votes:
    """Votes so far: a state's name, or else a label."""
    votes = Votes(repeats)
    for each in ballots:
        votes.add(each if each in STATES else "valid", "" if each in STATES else each)
    return votes


def test_votes_come_in_with_a_leader_and_what_is_open() -> None:
    """Counts first, one bar a label, the leader marked in a word."""
    votes = cast("safe", "unsafe", "safe")
    text = said(votes)
    assert "'safe' leads with 2 of 5" in text
    assert "2 of 5 leads" in text
    assert "3 valid, 0 abstained, 0 unreadable, 0 failed; 2 still open" in text
    assert Page(html([votes.bars(5)])).count("tr") == 2


def test_known_labels_keep_their_places() -> None:
    """The choices have a bar from the beginning on, and none of them moves when another one leads."""
    votes = Votes(choices=("safe", "unsafe", "unclear"))
    order = []
    for label in ("", "unclear", "unclear", "unsafe"):
        if label:
            votes.add("valid", label)
        order.append(re.findall(r"<bdi[^>]*>(\w+)</bdi>(?:</div>)?</th>", html([votes.bars(5)])))
    assert order == [["safe", "unsafe", "unclear"]] * 4
    assert "unclear2 of 5 leads" in said(votes)


def test_other_labels_stand_as_they_lead() -> None:
    """Open answers, or a label outside the choices, are listed with most votes first."""
    votes = Votes(choices=("a",))
    for label in ("x", "y", "y"):
        votes.add("valid", label)
    assert said(votes).index("y2 of 5") < said(votes).index("x1 of 5")


@pytest.mark.parametrize(
    ("ballots", "line"),
    [
        pytest.param((), "0 valid, 0 abstained, 0 unreadable, 0 failed; 5 still open", id="none"),
        pytest.param(
            ("a", "a", "b", "abstain", "failed"),
            "3 valid, 1 abstained, 0 unreadable, 1 failed; all in",
            id="all",
        ),
        pytest.param(
            ("a", "a", "a", "invalid", "cancelled"),
            "3 valid, 0 abstained, 1 unreadable, 0 failed, 1 cancelled; all in",
            id="early",
        ),
    ],
)
def test_every_vote_is_accounted_for(ballots: tuple[str, ...], line: str) -> None:
    """The states and what is open add up to what was requested."""
    assert line in said(cast(*ballots))


@given(st.lists(st.tuples(st.sampled_from([*STATES, "odd"]), st.sampled_from(["", "a", "b"]))))
def test_the_account_always_adds_up(ballots: list[tuple[str, str]]) -> None:
    """Also for ballots in no known state, which cannot be read."""
    votes = Votes()
    for each in ballots:
        votes.add(*each)
    line = votes.states(0)
    assert sum(int(part.split()[0]) for part in line.partition(";")[0].split(", ")) == len(ballots)


def test_level_votes_have_no_leader() -> None:
    """Two labels with one vote each are level, and nothing agrees yet."""
    text = said(cast("a", "b"), 3)
    assert "level at 1 of 3" in text
    assert "leads" not in text
    assert "Agreement" not in text


def test_a_repeat_is_told_of_only_where_there_is_one() -> None:
    """Wilson's interval stands beside the agreement of repeats of one prompt; elsewhere it cannot."""
    repeat = "(a repeat of this prompt would agree 21–94 % of the time)"
    assert f"Agreement so far: 2 of 3 valid votes, 67 % {repeat}" in said(
        cast("a", "a", "b", repeats=True)
    )
    panel = said(cast("a", "a", "b"))
    assert "Agreement so far: 2 of 3 valid votes, 67 %" in panel
    assert "repeat" not in panel


def test_after_a_cancel_no_share_is_shown() -> None:
    """The first three of five agree more than all five would."""
    assert "Agreement" not in said(cast("a", "a", "a", "cancelled", repeats=True))


def test_all_that_agree_so_far_are_not_called_a_hundred_percent() -> None:
    """Counts stand where the share would be all."""
    text = said(cast("a", "a", "a", repeats=True))
    assert "Agreement so far: 3 of 3 valid votes (a repeat of this prompt would agree" in text
    assert "100 % (" not in text


def test_very_many_labels_are_counted() -> None:
    """Open answers may all differ."""
    votes = cast(*(f"label {i}" for i in range(500)))
    assert Page(html([votes.bars(500)])).count("tr") == MOST_BARS
    assert "480 more labels" in said(votes, 500)


def broken(record: Record) -> tuple[str, str]:
    """A reader that has a bug."""
    raise RuntimeError("odd")


@pytest.mark.parametrize(
    ("given", "reader", "found"),
    [
        pytest.param(record(value="a"), None, ("valid", "a"), id="value"),
        pytest.param(record(value=8.0), None, ("valid", "8"), id="number"),
        pytest.param(record(), None, ("invalid", ""), id="no-value"),
        pytest.param(record(value="a", status="truncated"), None, ("invalid", ""), id="cut-off"),
        pytest.param(failed(), None, ("failed", ""), id="failed"),
        pytest.param(record(status="timed_out"), None, ("failed", ""), id="timed-out"),
        pytest.param(record(status="cancelled"), None, ("cancelled", ""), id="cancelled"),
        pytest.param(record(status="blocked"), None, ("cancelled", ""), id="blocked"),
        pytest.param(record(status="refused"), None, ("abstain", ""), id="refused"),
        pytest.param(record(), lambda r: ("valid", "x"), ("valid", "x"), id="read"),
        pytest.param(record(), lambda r: ("abstain", "x"), ("abstain", ""), id="no-label-without"),
        pytest.param(record(), lambda r: (["valid"], "x"), ("invalid", ""), id="no-state"),
        pytest.param(record(value="a"), broken, ("invalid", ""), id="reader-raises"),
        pytest.param(failed(), broken, ("failed", ""), id="reader-raises-on-a-failure"),
    ],
)
def test_a_record_is_a_ballot(given: Record, reader: Any, found: tuple[str, str]) -> None:
    """In one state, and with a label only where it is valid; a broken reader costs no answer."""
    assert ballot(given, reader) == found


def test_the_board_shows_what_was_read_from_each_voter() -> None:
    """The label, or in a word why there is none; tally and rows at once."""
    reads = {0: ("valid", "safe"), 1: ("abstain", ""), 2: ("invalid", "")}
    board = Board([(f"v{i}", HAIKU) for i in range(4)], "vote", lambda record: reads[record.index])
    for index in range(3):
        board.tell(Event("started", index, 0.0))
        board.tell(Event("ended", index, 1.0, record=record(index)))
    text = Page(live_html(board, 1.0)).text
    assert "Read as" in text
    for part in ("safe", "abstained", "unreadable", "1 valid, 1 abstained, 1 unreadable, 0 failed"):
        assert part in text
    assert "; 1 still open" in text


def test_a_judge_has_no_vote() -> None:
    """A call beside the voters changes no count."""
    board = Board([("v0", HAIKU)], "vote")
    judge = record(10**9 + 1000, "judge", value="B")
    board.tell(Event("ended", judge.index, 1.0, record=judge))
    text = Page(live_html(board, 1.0)).text
    assert "0 valid" in text
    assert "no votes yet" in text
