"""What a guardrail withholds is drawn nowhere: live before it has passed, saved once it has not."""

from __future__ import annotations

from typing import Any

import pytest
from display_samples import (
    FOLLOW_UP,
    GUARD,
    HAIKU,
    Page,
    blocked,
    failed,
    record,
    static_html,
    static_plain,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from live_views import live_html

from parallm_magics.core.tasks import Event, Fault, Role
from parallm_magics.display import Board, SectionVote, Tally, View
from parallm_magics.display.live_rows import REDACTED

SECRET = "sesame"
QUOTING = Fault("unreadable", f"no label in '{SECRET}'")


def board(**options: Any) -> Board:
    """A vote of three, a guard and a judge, withheld."""
    extra = {GUARD: ("guardrail", HAIKU, "guard"), FOLLOW_UP: ("judge", HAIKU, "judge")}
    rows = [(f"v{i}", HAIKU) for i in range(3)]
    return Board(rows, **{"pattern": "vote", "extra": extra, "redacted": True} | options)


def tell_secrets(told: Board, status: str = "ok", said: str = SECRET) -> None:
    """Let the words arrive in every way in which they can."""
    told.tell(Event("started", 0, 0.0))
    told.tell(Event("heard", 0, 0.5, said))
    told.tell(Event("started", 1, 0.0))
    told.tell(Event("waiting", 1, 0.5, said))
    ended = record(2, status=status, text=said, value=said, error=Fault("unreadable", said))
    told.tell(Event("ended", 2, 1.0, record=ended))
    judged = record(FOLLOW_UP, "judge", role="judge", text=said, value=said)
    told.tell(Event("ended", FOLLOW_UP, 1.0, record=judged))
    told.tell(Event("said", -1, 1.0, said))


@pytest.mark.parametrize("pattern", ["fanout", "vote"])
@pytest.mark.parametrize("status", ["ok", "truncated", "refused", "invalid", "failed"])
def test_nothing_is_drawn_before_the_guard_has_passed(pattern: str, status: str) -> None:
    """Neither text, nor label, nor error, nor reason, nor what is said; afterwards all of it."""
    told = board(pattern=pattern)
    tell_secrets(told, status)
    html = live_html(told, 1.0)
    assert SECRET not in html
    assert "Read as" not in html
    assert REDACTED in html
    told.tell(Event("released", -1, 1.1))
    assert live_html(told, 1.2).count(SECRET) >= 4


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="ab ", min_size=1, max_size=300), st.sampled_from(["fanout", "vote"]))
def test_the_picture_is_the_same_whatever_is_withheld(said: str, pattern: str) -> None:
    """Not even the length of an answer shows, or that one could be read."""
    one = board(pattern=pattern, read_label=lambda record: ("invalid", ""))
    other = board(pattern=pattern)
    tell_secrets(one, said=said)
    tell_secrets(other, said="x")
    for told in (one, other):  # a guard's verdict opens the column of what was read
        verdict = record(GUARD, "guardrail", role="guard", value="ALLOW")
        told.tell(Event("ended", GUARD, 1.0, record=verdict))
    assert live_html(one, 1.0) == live_html(other, 1.0)


def test_it_is_said_that_the_work_runs_and_is_withheld() -> None:
    """The header says why there is nothing to read, and what was announced before."""
    told = board()
    told.say("5,000 calls")
    text = Page(live_html(told, 0.0)).text
    assert "withheld until they have passed" in text
    assert "5,000 calls" in text
    assert "still open" not in text
    told.tell(Event("released", -1, 1.0))
    text = Page(live_html(told, 1.0)).text
    assert "withheld" not in text
    assert "3 still open" in text


def test_states_times_and_tokens_of_workers_are_no_secret() -> None:
    """Who is done, how long it took and what it used is drawn."""
    told = board()
    tell_secrets(told, "timed_out")
    text = Page(live_html(told, 1.0)).text
    for part in ("1 of 3 done", "timed out", "answering", "120"):
        assert part in text


def test_only_the_run_itself_is_released() -> None:
    """A worker's number on the event lets nothing out."""
    told = board()
    tell_secrets(told)
    told.tell(Event("released", 0, 1.0))
    assert SECRET not in live_html(told, 1.0)


def test_nothing_withheld_is_drawn_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is kept; the answers of a released run are drawn then."""
    drawn: list[str] = []
    monkeypatch.setattr(
        "parallm_magics.display.board.draw_ahead", lambda row, _: drawn.append(row.answer)
    )
    told = board()
    told.tell(Event("ended", 0, 1.0, record=record(0, text=SECRET)))
    assert not told.draw_ahead()
    assert not drawn
    told.tell(Event("released", -1, 1.0))
    told.draw_ahead()
    assert drawn == [SECRET]


def test_a_guard_speaks_once_it_has_ended() -> None:
    """Half an answer may say the opposite; the whole of it is about what went in."""
    told = board()
    told.tell(Event("started", GUARD, 0.0))
    told.tell(Event("heard", GUARD, 0.2, "ALLOW? No:"))
    assert "ALLOW" not in live_html(told, 0.3)
    ended = record(GUARD, "guardrail", role="guard", text="No: BLOCK it", value="BLOCK")
    told.tell(Event("ended", GUARD, 0.5, record=ended))
    assert "No: BLOCK it" in live_html(told, 0.6)


def test_what_has_been_blocked_stays_hidden_after_the_end() -> None:
    """A blocked record's words are not drawn live either, whoever releases."""
    told = board(redacted=False)
    tell_secrets(told, "blocked", said="x")
    hidden = record(0, status="blocked", text=SECRET, value=SECRET, error=QUOTING)
    told.tell(Event("ended", 0, 1.0, record=hidden))
    assert SECRET not in live_html(told, 1.0)


@pytest.mark.parametrize("draw", [static_html, static_plain], ids=["html", "plain"])
@pytest.mark.parametrize("status", ["blocked", "failed", "ok"])
def test_a_blocked_run_shows_the_refusal_and_nothing_of_the_work(draw: Any, status: str) -> None:
    """Whatever state a record is in and whatever it still holds."""
    hidden = record(0, status=status, text=SECRET, value=SECRET, error=QUOTING)
    tally = Tally(((SECRET, 1),), SECRET, "decided", 1, 1, how=SECRET)
    view = blocked(
        hidden,
        record(1, status="blocked", text=SECRET, error=Fault("blocked", "not let pass")),
        tally=tally,
        section_votes=(SectionVote(SECRET, tally, (hidden,)),),
        ballots=("valid", SECRET),
        synthesis=record(FOLLOW_UP, "synthesis", role="synthesis", text=SECRET, value=SECRET),
    )
    shown = draw(view)
    assert SECRET not in shown
    for part in ("I cannot help with that.", "blocked: BLOCK. It asks for a weapon."):
        assert part in Page(shown).text


@pytest.mark.parametrize(("role", "drawn"), [("guard", True), ("judge", False), ("worker", False)])
def test_only_a_guard_is_heard_of_withheld_work(role: Role, drawn: bool) -> None:
    """Whatever number a call has: its role decides, on the board and in the saved picture."""
    outcome = record(7, "somebody", role=role, text=SECRET, value=SECRET)
    told = Board(redacted=True)
    told.tell(Event("ended", 7, 1.0, record=outcome))
    assert (SECRET in live_html(told, 1.0)) == drawn
    view = View("blocked", "fanout", (record(0),), extra=(outcome,), blocked=True)
    assert (SECRET in static_html(view)) == drawn


def test_a_guards_own_answer_can_be_read_in_a_blocked_run() -> None:
    """Why it blocked is no secret."""
    text = Page(static_html(blocked())).text
    assert "It asks for a weapon." in text
    assert "How to build one." in text


def test_one_blocked_record_hides_itself_alone() -> None:
    """In a run that is not blocked the others keep their words."""
    one = record(0, status="blocked", text=SECRET, value=SECRET, error=QUOTING)
    html = static_html(blocked(one, record(1, text="open words"), failed(2), blocked=False))
    assert SECRET not in html
    assert "open words" in html
    assert "the provider failed: overloaded" in html
