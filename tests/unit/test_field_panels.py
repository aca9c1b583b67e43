"""A panel that votes on each field of an object: what comes of it, and when it may end early."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import USED, Act, Fake, FakeClients, run_context
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, VoteRun
from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, Model, Reading, Record, Task
from parallm_magics.display import plain
from parallm_magics.display.kinds import FieldVotes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.patterns.early_stopper import EarlyStopper
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.object_ballots import vote_of_objects
from parallm_magics.patterns.open_questions import Question
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.plan_board import board_of
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import Clients
from parallm_magics.recordings.store import Recordings
from parallm_magics.voting.rule_entry import Vote

THING = {
    "title": "Thing",
    "type": "object",
    "properties": {"a": {"enum": ["x", "y", "z"]}, "b": {"type": "number"}},
    "required": ["a"],
}
READING = Reading("object", schema=schema_of(THING))


def text_of(word: str) -> str:
    """The answer that a word stands for: x1 is {"a": "x", "b": 1}, and x lacks b."""
    thing: dict[str, Any] = {"a": word[0]}
    if word[1:]:
        thing["b"] = float(word[1:])
    return json.dumps(thing)


def saying(words: str) -> Act:
    """Voters who end one after the other; "?" is no object, "!" a failure."""
    said = words.split()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(task.index % len(said) + 1)
        word = said[task.index % len(said)]
        if word == "!":
            raise CallFailed(Fault("bad_request", "no"))
        return Reply("hm" if word == "?" else text_of(word), usage=USED)

    return act


def planned(line: str, body: str = "What is it?", magic: str = "vote") -> Plan:
    """A plan over the fake provider, where S is the schema."""
    known = {"model": ("m",), "retries": 0}
    variables = {"S": THING, "docs": ["one", "two"]}
    plan = make_plan(parse(magic, line, body), variables, lambda text: Model("fake", text), known)
    PATTERNS[plan.pattern].check(plan)
    return plan


def ran(
    words: str, line: str = "", before: VoteRun | None = None, act: Act | None = None, **more: Any
) -> tuple[VoteRun, Fake]:
    """A vote of so many words."""
    number = len(words.split())
    fake = Fake(act or saying(words))
    plan = planned(f"-n {number} --schema S --min-success 0 {line}")
    run, _ = run_virtual(VotePattern.run(plan, run_context(fake, **more), before))
    assert isinstance(run, VoteRun)
    return run, fake


def winners(run: VoteRun) -> dict[str, Any]:
    """Each field's winner."""
    return {name: vote.winner for name, vote in run.fields.items()}


# --- what comes of it -----------------------------------------------------------------------------


def test_a_vote_has_a_winner_for_each_field() -> None:
    """By its name, with all that a vote has; the whole object is composed of them."""
    run, _ = ran("x1 y2 x2 ? !")
    assert run["a"] == "x"
    assert run["b"] == 2
    assert run.value == run.winner == {"a": "x", "b": 2.0}
    assert (run.status, run.composed, run.how) == ("decided", False, "")
    due = run.fields["b"]
    assert (due.status, dict(due.tally), due.valid, due.requested) == (
        "decided",
        {"2": 2, "1": 1},
        3,
        5,
    )
    assert due.agreement == due.confidence == pytest.approx(2 / 3)
    assert due.share_requested == 0.4
    assert due.interval is not None
    assert due.p_mode is not None
    assert run.tally == {
        '{"a": "x", "b": 1.0}': 1,
        '{"a": "y", "b": 2.0}': 1,
        '{"a": "x", "b": 2.0}': 1,
    }
    assert run.confidence == run.agreement == pytest.approx(1 / 3)
    assert [ballot.state for ballot in run.ballots] == ["valid"] * 3 + ["invalid", "failed"]
    assert json.loads(run.text or "") == run.value


def test_a_composed_object_is_no_voters() -> None:
    """It is said so, and no vote is counted for it."""
    run, _ = ran("x1 x2 y2 z1 x3 y2")
    assert run.value == {"a": "x", "b": 2.0}
    run, _ = ran("x1 x3 y2 z2 z3 x4 y2")
    assert run.value == {"a": "x", "b": 2.0}
    assert run.composed
    assert (run.confidence, run.how) == (0.0, "composed: no single voter gave this object")
    assert json.loads(run.text or "") == run.value
    assert "2 of 2 fields decided (composed: no single voter gave this object)" in str(run)


def test_without_a_required_winner_there_is_no_object() -> None:
    """The other fields keep theirs."""
    run, _ = ran("x1 y1")
    assert (run.value, run.winner, run.status, run.confidence) == (None, None, "tie", None)
    assert run["b"] == 1
    assert run["a"] is None
    assert run.fields["a"].tied == ("x", "y")
    assert run.how == "no winner for a: tie between 'x' and 'y'"
    assert run.text is None
    assert "1 of 2 fields decided; no winner for a" in str(run)
    assert "Note: no object: no winner for a: tie between 'x' and 'y'" in str(run)
    assert ran("x1 y1", "--ties first")[0].value == {"a": "x", "b": 1.0}


def test_a_field_that_most_leave_out_has_no_winner() -> None:
    """One voter of five is no quorum; the object then has no such field."""
    run, _ = ran("x x x1 x x")
    assert run.value == {"a": "x"}
    assert (run.fields["b"].status, run.fields["b"].without) == ("no_quorum", 4)
    assert ran("x x x1 x x", "--quorum 1")[0].value == {"a": "x", "b": 1.0}


@pytest.mark.parametrize(
    ("line", "a", "b"),
    [
        ("", "x", 1.0),
        ("--pick majority", None, 1.0),
        ("--pick majority --base requested", None, None),
        ("--threshold 2/3", None, 1.0),
        ("--threshold 2", "x", 1.0),
        ("--threshold 3", None, None),
        ("--pick unanimous", None, 1.0),
        ("--quorum 3", "x", None),
        ("--pick median", "x", 1.0),
        ("--pick mean", "x", 1.0),
    ],
)
def test_rules_hold_in_each_field(line: str, a: str | None, b: float | None) -> None:
    """Shares are of the objects that have the field, unless all requested votes are asked for."""
    run, _ = ran("x1 x1 y z", line if "quorum" in line else f"{line} --quorum 2")
    assert winners(run) == {"a": a, "b": b}


def test_weights_count_in_each_field() -> None:
    """By their blocks."""
    body = "What is it?\n%voter --weight 3\nAlone?\n%voter\nOne?\n%voter\nOther?"
    plan = planned("--schema S --pick weighted", body)
    run, _ = run_virtual(VotePattern.run(plan, run_context(Fake(saying("x1 y2 y2")))))
    assert winners(run) == {"a": "x", "b": 1.0}
    assert run.fields["a"].weights == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--pick judge", "--pick judge does not work with --schema"),
        ("--pick best", "--pick best does not work with --schema"),
        ("--pick confidence", "--pick confidence does not work with --schema"),
        ("--ties judge", "--ties judge does not work with --schema"),
        ("--pick any", "--pick any needs --flag"),
        ("--flag x", "--flag"),
        ("--flag x --threshold 2", "--flag"),
        ("--pick median --stop clinch", "--stop clinch cannot be used with --pick median"),
    ],
)
def test_what_fields_cannot_keep_is_refused_before_any_call(line: str, says: str) -> None:
    """In one line."""
    judge = "\n%judge\nWhich?" if "judge" in line or "best" in line else ""
    with pytest.raises(OptionError, match=says):
        planned(f"-n 3 --schema S {line}", f"What is it?{judge}")


def test_voters_of_two_schemas_are_no_panel() -> None:
    """Their objects cannot be counted together."""
    body = 'x\n%voter --schema S\none\n%voter --schema "a, b: number"\ntwo'
    with pytest.raises(OptionError, match="give all of them the same --choices or --schema"):
        planned("", body)


def test_a_run_with_fields_is_data() -> None:
    """It comes back from a pickle, and is plain JSON as a dict."""
    run, _ = ran("x1 y2 x2")
    again = pickle.loads(pickle.dumps(run))  # noqa: S301 - our own
    assert again.to_dict() == run.to_dict()
    assert (again.value, again["b"], str(again)) == (run.value, run["b"], str(run))
    plain = json.loads(json.dumps(run.to_dict()))
    assert plain["winner"] == run.value
    assert plain["fields"]["b"]["tally"] == {"2": 2, "1": 1}
    assert (plain["flagged"], plain["clean"]) == (False, None)
    assert "fields" not in ran_plain().to_dict()


def ran_plain() -> VoteRun:
    """A vote without a schema."""
    known = {"model": ("m",)}
    plan = make_plan(parse("vote", "-n 3", "which?"), {}, lambda text: Model("fake", text), known)
    run, _ = run_virtual(VotePattern.run(plan, run_context(Fake(saying("x1")))))
    assert isinstance(run, VoteRun)
    return run


def test_a_field_that_is_not_there_is_an_error() -> None:
    """With the nearest name; a vote without a schema has no fields at all."""
    run, _ = ran("x1 y2 x2")
    with pytest.raises(KeyError, match="there is no field 'c'; the fields are a, b"):
        run["c"]
    with pytest.raises(KeyError, match="there is no field 'c'; the fields are a, b"):
        run.fields["c"]
    assert run._ipython_key_completions_() == ["a", "b"]
    other = ran_plain()
    with pytest.raises(KeyError, match="the answers are no objects; add --schema"):
        other["a"]
    assert dict(other.fields) == {}
    assert other.value == other.winner
    with pytest.raises(TypeError):
        iter(run)  # type: ignore[call-overload]


def test_fields_on_which_voters_disagree_are_named() -> None:
    """As a note, in place of one on the whole question."""
    run, _ = ran("x1 x2 x3 x4 x5")
    [note] = [note for note in run.notes if "disagree" in note]
    assert note.startswith("the voters disagree on b: say more exactly")
    assert not any("unclear" in note for note in run.notes)
    few, _ = ran("x1 x2 ! ! !")
    assert few.fields["b"].status == "no_quorum"
    assert not any("disagree" in note for note in few.notes), "two votes of five tell nothing"
    agreed, _ = ran("x1 x1 x1 x1 x1")
    assert any("they share errors" in note for note in agreed.notes)
    assert not any("disagree" in note for note in agreed.notes)


def test_the_live_table_shows_how_each_field_stands() -> None:
    """A row a field from the first drawing on, and no label of whole objects."""
    plan, fake = planned("-n 5 --schema S --min-success 0"), Fake(saying("x1 y2 x2 ? !"))
    clients = cast("Clients", FakeClients(fake))
    board = board_of(plan, clients, **VotePattern.board_fields(plan))
    seen: list[list[tuple[str, str, str, str]]] = []

    def look() -> None:
        blocks = board.blocks(9.0)
        [block] = [each for each in blocks if isinstance(each, FieldVotes)]
        seen.append([(row.name, row.winner, row.votes, row.status) for row in block.rows])

    def tell(event: Event) -> None:
        board.tell(event)
        if event.kind == "ended":
            look()

    look()
    run_virtual(VotePattern.run(plan, run_context(fake, tell=tell)))
    assert seen[:4] == [
        [("a", "", "0 of 5", "no votes yet"), ("b", "", "0 of 5", "no votes yet")],
        [("a", "x", "1 of 5", "leads"), ("b", "1", "1 of 5", "leads")],
        [("a", "", "1 of 5", "level"), ("b", "", "1 of 5", "level")],
        [("a", "x", "2 of 5", "leads"), ("b", "2", "2 of 5", "leads")],
    ]
    text = plain(board.blocks(9.0))
    assert "3 valid, 0 abstained, 1 unreadable, 1 failed; all in" in text
    assert '{"a"' not in text


def test_an_object_has_columns_in_a_live_fan_out_too() -> None:
    """And is not written as a label beside them."""
    plan = planned("", "Read.\n%section it -n 3 --schema S\nWhat is it?", "fanout")
    fake = Fake(saying("x1 y2 x2"))
    clients = cast("Clients", FakeClients(fake))
    board = board_of(plan, clients, **FanoutPattern.board_fields(plan))
    run_virtual(FanoutPattern.run(plan, run_context(fake, tell=board.tell)))
    text = plain(board.blocks(3.0))
    assert text.count("Read as") == text.count('{"a"') == 0
    assert "it.2    ok     y  2" in text


# --- early ends -----------------------------------------------------------------------------------


def records_of(words: Sequence[str]) -> list[Record]:
    """Votes that have ended so, in their places."""
    return [
        Record(at, f"v{at}", "failed", "p:m", error=Fault("server", "no"))
        if word == "!"
        else Record(at, f"v{at}", "ok", "p:m", text_of(word))
        for at, word in enumerate(words)
    ]


def decided(words: Sequence[str], rule: Rule, open_: int = 0) -> dict[str, tuple[str | None, str]]:
    """Each field's winner and status once all have ended but those that were stopped."""
    stopped = [
        Record(len(words) + at, "v", "cancelled", "p:m", error=Fault("cancelled", "decided"))
        for at in range(open_)
    ]
    read, ballots = count_ballots([*records_of(words), *stopped], READING)
    vote = vote_of_objects(read, ballots, rule, READING, stopped=open_)
    assert vote is not None
    return {name: (each.label, each.status) for name, each in vote.fields.items()}


RULES = st.builds(
    Rule,
    st.sampled_from(["plurality", "majority", "unanimous"]),
    base=st.sampled_from(["valid", "requested"]),
    quorum=st.integers(1, 3),
    stop=st.just("clinch"),
) | st.builds(
    Rule,
    st.just("threshold"),
    st.sampled_from([Fraction(2, 5), Fraction(2, 3)]),
    st.sampled_from(["valid", "requested"]),
    st.integers(1, 3),
    stop=st.just("clinch"),
)
WORDS = st.sampled_from(["x1", "x1", "x2", "y1", "y2", "x", "y", "!"])


@settings(max_examples=60)
@given(RULES, st.lists(WORDS, min_size=1, max_size=4), st.integers(1, 2))
def test_a_vote_ends_early_exactly_where_no_field_can_change(
    rule: Rule, words: list[str], open_: int
) -> None:
    """Against all ways in which the open votes could end, field by field."""
    stopper = EarlyStopper(rule, READING, [Fraction(1)] * (len(words) + open_))
    for record in records_of(words):
        stopper.hear(record)
    ends = product(["x1", "x2", "y1", "y2", "z3", "x", "y", "!"], repeat=open_)
    all_ends = [decided([*words, *end], rule) for end in ends]
    fixed = all(end == all_ends[0] for end in all_ends)
    assert stopper.check() is fixed
    if fixed:
        assert decided(words, rule, open_) == all_ends[0]


EARLY = ["--stop clinch", "--launch lazy", "--stop beta:0.9"]


@settings(max_examples=40)
@given(st.lists(WORDS, min_size=3, max_size=7), st.sampled_from(["plurality", "majority"]))
def test_the_winners_are_those_of_all_votes(words: list[str], pick: str) -> None:
    """Through the engine, at once and in waves, and never with more calls."""
    said = " ".join(words)
    full, _ = ran(said, f"--pick {pick}")
    for early in EARLY[:2]:
        short, fake = ran(said, f"--pick {pick} {early}")
        assert winners(short) == winners(full)
        assert short.value == full.value
        assert (short.status == "decided") == (full.status == "decided")
        assert len(fake.calls) <= len(words)


def test_a_vote_goes_on_while_a_field_is_open() -> None:
    """It ends with the vote that decides the last one."""
    run, _ = ran("x1 x2 x1 y2 x1 y2 y2", "--stop clinch")
    assert run.decided_after is None
    run, _ = ran("x1 x1 x2 y1 x1 y2 y2", "--stop clinch")
    assert run.decided_after == 5
    assert [ballot.state for ballot in run.ballots].count("cancelled") == 2
    assert winners(run) == {"a": "x", "b": 1.0}
    assert run.fields["b"].confidence_range == pytest.approx((4 / 7, 6 / 7))


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        pytest.param("x1 x2 x1 x1 y2", [3, 1], id="then b alone is open"),
        pytest.param("x1 y1 x1 z2 x1 x1 y2", [4, 2], id="a needs two more, b one"),
    ],
)
def test_a_wave_is_as_large_as_the_most_open_field_needs(words: str, sizes: list[int]) -> None:
    """Fewer could not decide all of them."""
    begun: list[float] = []

    async def act(task: Task, heard: Heard) -> Reply:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        return Reply(text_of(words.split()[task.index]), usage=USED)

    run, fake = ran(words, "--launch lazy", act=act)
    assert [begun.count(at) for at in sorted(set(begun))] == sizes
    assert run.decided_after == len(fake.calls) == sum(sizes)
    assert winners(run) == {"a": "x", "b": 1.0}


def test_beta_waits_for_every_field() -> None:
    """Four alike in both fields are enough of nine, where one of them scatters all are asked."""
    run, fake = ran("x1 x1 x1 x1 x1 x1 x1 x1 x1", "--stop beta:0.8")
    assert run.decided_after is not None
    assert len(fake.calls) == run.decided_after < 5
    assert [each.tally.heuristic for each in run._view().fields] == [True, True]
    certain, _ = ran("x1 x1 x1 x1 x1", "--stop clinch")
    assert [each.tally.heuristic for each in certain._view().fields] == [False, False]
    run, fake = ran("x1 x1 x1 x1 x1 x1 x1 x1 x1", "--stop beta:0.95")
    assert len(fake.calls) == 5, "four would be enough for two labels, but a has three"
    run, fake = ran("x1 x2 x3 x4 x5 x6 x7 x8 x9", "--stop beta:0.8")
    assert (run.decided_after, len(fake.calls)) == (None, 9)


# --- interrupts, retries, recordings --------------------------------------------------------------


def test_an_interrupt_keeps_what_was_done_and_a_retry_asks_the_rest() -> None:
    """A field has the votes of those who came."""
    stop = Stop()
    base = saying("x1 x1 y2")

    async def act(task: Task, heard: Heard) -> Reply:
        if task.index == 2 and not stop.reason:
            await asyncio.sleep(2.5)
            stop("interrupted")
        reply: Reply = await base(task, heard)
        return reply

    fake = Fake(act)
    plan = planned("-n 3 --schema S")

    async def twice() -> tuple[VoteRun, VoteRun]:
        first = await VotePattern.run(plan, run_context(fake, stop))
        return first, await first.retry()

    (first, again), _ = run_virtual(twice())
    assert [record.status for record in first.results] == ["ok", "ok", "cancelled"]
    assert (first.value, first.fields["a"].valid) == ({"a": "x", "b": 1.0}, 2)
    assert again.fields["a"].tally == {"x": 2, "y": 1}
    assert again.results[:2] == first.results[:2]


@pytest.mark.parametrize("early", ["", *EARLY])
def test_a_recording_gives_the_same_fields(early: str, tmp_path: Path) -> None:
    """Nothing is asked a second time."""
    path = tmp_path / "votes.jsonl"
    first, _ = ran("x1 x1 x2 x1 y x1 x1", early, recordings=Recordings(path))
    again, fake = ran("! ! ! ! ! ! !", early, recordings=Recordings(path))
    assert fake.calls == []
    assert winners(again) == winners(first)
    assert again.decided_after == first.decided_after
    assert again.fields["b"].to_dict() == first.fields["b"].to_dict()


# --- sections -------------------------------------------------------------------------------------


def sections(words: str, line: str, body: str) -> FanoutRun:
    """A fan-out whose workers end one after the other."""
    run, _ = run_virtual(
        FanoutPattern.run(planned(line, body, "fanout"), run_context(Fake(saying(words))))
    )
    assert isinstance(run, FanoutRun)
    return run


def test_a_section_votes_on_each_field() -> None:
    """Its value is the object of the winners."""
    run = sections("x1 y2 x2", "", "Read.\n%section it -n 3 --schema S\nWhat is it?")
    vote = run.votes["it"]
    assert run["it"] == {"a": "x", "b": 2.0} == vote.winner
    assert vote.fields["a"].agreement == pytest.approx(2 / 3)
    assert vote.confidence == pytest.approx(1 / 3)
    plain = json.loads(json.dumps(run.to_dict()))
    assert plain["votes"]["it"]["fields"]["b"]["winner"] == 2
    assert plain["votes"]["it"]["winner"] == plain["values"]["it"] == {"a": "x", "b": 2}
    assert "a: x · b: 2" in str(run)
    again = pickle.loads(pickle.dumps(run))  # noqa: S301 - our own
    assert again.votes["it"].fields["a"].to_dict() == vote.fields["a"].to_dict()


def test_a_section_without_a_required_winner_has_no_value() -> None:
    """It is a key all the same, and its text says why."""
    run = sections("x1 y1", "", "Read.\n%section it -n 2 --schema S\nWhat is it?")
    assert run["it"] is None
    assert run.votes["it"].status == "tie"
    assert "[no winner: tie]" in (run.text or "")


def test_answers_that_only_look_alike_are_counted_apart() -> None:
    """The text "null" and null are two labels, also before the panel has ended."""
    question = Question(Rule(), 3)
    for at, key in enumerate([("null", None), ("text", "null"), ("null", None)]):
        question.hear(at, Vote(at, "null", "null"), key)
    first, second, third = (question.votes[at].label for at in range(3))
    assert first == third != second
