"""Votes that end early: exactly when nothing can change, with nothing lost and nothing made up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fakes import USED, Act, Fake, answer, by_name, failing, run_context
from provider import Act as Served
from provider import Loopback
from virtual_time import run_virtual

from parallm_magics import TooFewSucceeded, VoteRun, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, FaultKind, Model, Reading, Record, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns import early_stopper
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.patterns.early_stopper import EarlyStopper
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import define_simulated, forget
from parallm_magics.recordings.store import Recordings
from parallm_magics.simulation import simulated as simulated_provider
from parallm_magics.simulation.sim_settings import Settings, read_settings

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
STOPS = ["--stop clinch", "--launch lazy", "--stop beta:0.95"]
LETTERS = "abcdefghijklmnop"
AB = "--choices a,b"
each_dialect = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
each_stop = pytest.mark.parametrize("early", STOPS)


def planned(line: str, body: str = "which?") -> Plan:
    """A vote's plan, for the fake provider; no fault is tried again."""
    settings = {"model": ("m",), "retries": 0}
    return make_plan(parse("vote", line, body), {}, lambda text: Model("fake", text), settings)


class Ran(NamedTuple):
    """A run, who was asked, the virtual seconds that it took, and what was told of it."""

    run: VoteRun
    fake: Fake
    seconds: float
    events: list[Event]


def ran(
    act: Act,
    line: str,
    body: str = "which?",
    before: VoteRun | None = None,
    stop: Stop | None = None,
    **more: Any,
) -> Ran:
    """A vote over a fake provider on the virtual clock."""
    fake, events = Fake(act), list[Event]()
    around = run_context(fake, stop, tell=events.append, **more)
    run, seconds = run_virtual(VotePattern.run(planned(line, body), around, before))
    return Ran(run, fake, seconds, events)


def voting(words: str, *, every: float = 1.0) -> Act:
    """Voters who answer one after the other: a label, "?" for no label, "!" for a failure."""
    said = words.split()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep((task.index + 1) * every)
        word = said[task.index]
        if word == "!":
            raise CallFailed(Fault("bad_request", "no"))
        heard(word)
        return Reply(word, usage=USED)

    return act


def states(run: VoteRun) -> dict[str, int]:
    """How many ballots are in which state."""
    return dict(Counter(ballot.state for ballot in run.ballots))


def outcome(run: VoteRun) -> tuple[Any, ...]:
    """What a vote came to."""
    return run.winner, run.status, dict(run.tally), run.decided_after, states(run)


# --- the moment of the decision -------------------------------------------------------------------


def test_a_vote_ends_as_soon_as_nothing_can_change() -> None:
    """What is open is cancelled and drained at once; the share of all votes is a range."""
    run, fake, seconds, events = ran(voting("a a a b b"), f"-n 5 {AB} --stop clinch")
    assert (seconds, fake.running) == (3.0, 0)
    assert outcome(run) == ("a", "decided", {"a": 3}, 3, {"valid": 3, "cancelled": 2})
    assert [record.status for record in run.results] == ["ok"] * 3 + ["cancelled"] * 2
    assert run.confidence_range == pytest.approx((0.6, 1.0))
    assert {r.error.message for r in run.failed if r.error} == {"decided after 3 of 5 votes"}
    assert [event.text for event in events if event.kind == "said"] == [
        "decided after 3 of 5 votes"
    ]
    for shown in run._repr_mimebundle_().values():
        assert "ecided after 3 of 5" in shown
    assert run.to_dict()["decided_after"] == 3


@pytest.mark.parametrize(
    ("line", "words", "after", "status", "winner"),
    [
        pytest.param("", "a a a b b", 3, "decided", "a", id="plurality"),
        pytest.param("", "a b a b a", None, "decided", "a", id="plurality by the last vote"),
        pytest.param("", "a b c a a", None, "decided", "a", id="plurality, open until the last"),
        pytest.param("", "a ? a ? b", None, "decided", "a", id="plurality, lost votes"),
        pytest.param("", "a a ! ! b", None, "decided", "a", id="plurality, quorum last"),
        pytest.param("", "? ! ? a a", 3, "no_quorum", None, id="quorum out of reach"),
        pytest.param("--quorum 4", "a a a a b", 4, "decided", "a", id="quorum first"),
        pytest.param("--quorum 1", "a a ! ! b", 4, "decided", "a", id="low quorum"),
        pytest.param("", "a b a b c", None, "tie", None, id="tie"),
        pytest.param("--ties first", "b a b a c", None, "decided", "b", id="tie broken"),
        pytest.param("--pick majority", "a a a b b", 3, "decided", "a", id="majority"),
        pytest.param("--pick majority", "a b c b a", None, "no_majority", None, id="no majority"),
        pytest.param(
            "--pick majority --base valid", "a a ? a b", 4, "decided", "a", id="majority of valid"
        ),
        pytest.param(
            "--pick majority --base valid", "a b c d a", 4, "no_majority", None, id="none of valid"
        ),
        pytest.param("--threshold 2/3", "a a a a b", 4, "decided", "a", id="share"),
        pytest.param("--threshold 2/3", "a b b a a", 4, "no_majority", None, id="share too high"),
        pytest.param(
            "--threshold 2/3 --base valid", "a a a b b", None, "no_majority", None, id="of valid"
        ),
        pytest.param(
            "--threshold 2/3 --base valid", "a ? a b a", None, "decided", "a", id="won of valid"
        ),
        pytest.param("--threshold 0.4", "a a a b b", 3, "decided", "a", id="low share, lead"),
        pytest.param("--threshold 0.4", "a a b b c", None, "tie", None, id="low share, tie"),
        pytest.param("--threshold 4", "a a a a b", 4, "decided", "a", id="count"),
        pytest.param("--threshold 4", "a b c a a", 3, "no_majority", None, id="count too high"),
        pytest.param("--pick unanimous", "a b a a a", 3, "no_majority", None, id="two labels"),
        pytest.param("--pick unanimous", "a ? a a a", 4, "no_majority", None, id="a vote lost"),
        pytest.param("--pick unanimous", "a b ? ? ?", None, "no_quorum", None, id="why is open"),
        pytest.param("--pick unanimous", "a a a a a", None, "decided", "a", id="unanimous"),
        pytest.param(
            "--pick unanimous --base valid", "a ? b a a", 4, "no_majority", None, id="of the valid"
        ),
        pytest.param("--pick any --flag b", "b a a a a", 1, "decided", "b", id="any, at once"),
        pytest.param("--pick any --flag b", "a ? b a a", 3, "decided", "b", id="any, later"),
        pytest.param("--pick any --flag b", "a a a a a", None, "decided", "a", id="any, never"),
        pytest.param(
            "--pick any --flag b --threshold 2", "b a b a a", 3, "decided", "b", id="any two"
        ),
        pytest.param(
            "--pick any --flag b --threshold 3", "a a a b b", 3, "decided", "a", id="any, too few"
        ),
        pytest.param("--pick weighted", "a a a b b", 3, "decided", "a", id="equal weights"),
    ],
)
def test_every_rule_ends_at_the_vote_that_decides(
    line: str, words: str, after: int | None, status: str, winner: str | None
) -> None:
    """At the first vote after which all completions agree, and as all votes would have ended."""
    line = f"-n 5 --choices a,b,c,d --min-success 0 {line}"
    run, fake, seconds, _ = ran(voting(words), f"{line} --stop clinch")
    assert (run.decided_after, run.status, run.winner) == (after, status, winner)
    assert seconds == (5 if after is None else after)
    assert sum(states(run).values()) == 5
    assert (states(run).get("cancelled", 0), fake.running) == (5 - seconds, 0)
    full, *_ = ran(voting(words), line)
    assert (full.winner, full.status) == (winner, status)


@pytest.mark.parametrize(
    ("weights", "words", "after", "winner"),
    [
        pytest.param("3 1 1", "a b b", 1, "a", id="one outweighs the rest"),
        pytest.param("1 1 3", "a a b", None, "b", id="the last may turn it"),
        pytest.param("0 0 1", "a a b", None, "b", id="votes without weight"),
        pytest.param("2 2 0", "a a b", 2, "a", id="an open vote without weight"),
        pytest.param("0 0 0", "a a a", None, None, id="no weight at all"),
        pytest.param("0.1 0.2 0.3", "a a b", None, None, id="an exact tie"),
        pytest.param("0.3 0.3 0.1", "a a b", 2, "a", id="fractions"),
    ],
)
def test_weights_decide_early(
    weights: str, words: str, after: int | None, winner: str | None
) -> None:
    """Once the lead is more than all open weights together."""
    body = "\n".join(f"%voter --weight {weight}\nx" for weight in weights.split())
    run, *_ = ran(voting(words), f"{AB} --quorum 1 --stop clinch", body)
    assert (run.decided_after, run.winner) == (after, winner)
    full, *_ = ran(voting(words), f"{AB} --quorum 1", body)
    assert (full.winner, full.status == "decided") == (run.winner, run.status == "decided")


@pytest.mark.parametrize(
    ("line", "words", "winner"),
    [
        pytest.param("--score 1..10", "8 8.0 8 1 2", 8, id="scores"),
        pytest.param("--number", "-3 −3 -3.0 1 2", -3, id="numbers"),
        pytest.param("--open", "Paris paris. PARIS Rome Oslo", "paris", id="open, but for case"),
        pytest.param("--choices {},None,[1]", "{} {} {} None [1]", "{}", id="odd labels"),
    ],
)
def test_answers_of_every_kind_decide_early(line: str, words: str, winner: object) -> None:
    """They are counted before the end as they are at the end."""
    run, *_ = ran(voting(words), f"-n 5 --no-vars {line} --stop clinch")
    assert (run.winner, run.decided_after, run.tally.total()) == (winner, 3, 3)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_last_vote_decides_nothing_early(n: int) -> None:
    """A vote of which none is left open has simply ended."""
    run, *_ = ran(voting("a b a"), f"-n {n} {AB} --stop clinch")
    assert run.decided_after is None
    assert run.confidence_range is None


def test_arrivals_count_and_not_places() -> None:
    """The quick ones decide, wherever they sit."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(5 - task.index)
        return Reply("b" if task.index > 1 else "a")

    run, _, seconds, _ = ran(act, f"-n 5 {AB} --stop clinch")
    assert (run.winner, run.decided_after, seconds) == ("b", 3, 3.0)
    assert [ballot.state for ballot in run.ballots] == ["cancelled"] * 2 + ["valid"] * 3


def test_states_add_up_after_every_event() -> None:
    """Each vote ends once; ended and open ones are those asked for."""
    for seed in range(60):
        rng = random.Random(seed)
        n = rng.randrange(1, 9)
        words = " ".join(rng.choice(["a", "b", "c", "?", "!"]) for _ in range(n))
        every = rng.choice([0.0, 1.0])
        line = f"-n {n} --choices a,b,c --min-success 0 {rng.choice(STOPS)}"
        run, _, _, events = ran(voting(words, every=every), line)
        ended: dict[int, Record] = {}
        for event in events:
            if event.record is not None:
                assert event.index not in ended
                ended[event.index] = event.record
            _, ballots = count_ballots([*ended.values()], Reading("choice", ("a", "b", "c")))
            assert len(ballots) + (n - len(ended)) == n
        assert sum(states(run).values()) == n == len(run.results)
        assert run.tally.total() == states(run).get("valid", 0)
        counted = run.decided_after or n
        assert n - states(run).get("cancelled", 0) == counted


def test_votes_that_come_after_the_decision_are_not_counted_and_not_lost() -> None:
    """A call that cannot be stopped any more keeps its text, its tokens and its success."""

    async def act(task: Task, heard: Heard) -> Reply:
        label = "a" if task.index < 3 else "b"
        heard(label)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1 if task.index < 3 else 9)
        return Reply(label, usage=USED)

    run, _, seconds, _ = ran(act, f"-n 5 {AB} --stop clinch")
    assert seconds == 1.0
    assert outcome(run) == ("a", "decided", {"a": 3}, 3, {"valid": 3, "cancelled": 2})
    assert [(r.status, r.text, r.usage) for r in run.results[3:]] == [("ok", "b", USED)] * 2
    assert [ballot.text for ballot in run.ballots] == list("aaabb")


def test_of_votes_that_end_at_once_only_the_first_are_counted() -> None:
    """The rest were under way: what had arrived of them is kept, what they cost is not known."""
    run, *_ = ran(voting("a a a a a", every=0.0), f"-n 5 {AB} --stop clinch")
    assert outcome(run) == ("a", "decided", {"a": 3}, 3, {"valid": 3, "cancelled": 2})
    assert run.results[4].usage is None


def test_a_decided_vote_needs_no_minimum() -> None:
    """Cancelled votes are no failures; without a decision the minimum holds."""
    line = f"-n 5 {AB} --stop clinch --min-success 100%"
    assert ran(voting("a a a b b"), line).run.winner == "a"
    with pytest.raises(TooFewSucceeded):
        ran(voting("a ! b a b"), line)


def test_a_model_that_fails_altogether_decides_nothing_for_anybody() -> None:
    """It is too few that came back, or no quorum, never a winner."""
    with pytest.raises(TooFewSucceeded, match="0 of 5 calls returned an answer"):
        ran(failing("auth", 9), f"-n 5 {AB} --quorum 1 --stop clinch")
    run, *_ = ran(voting("! ! ! ! !"), f"-n 5 {AB} --stop clinch")
    assert (run.winner, run.status, run.decided_after) == (None, "no_quorum", 3)


# --- interrupts and retries -----------------------------------------------------------------------


@each_stop
def test_an_interrupt_is_no_decision(early: str) -> None:
    """What was done is kept, the rest is cancelled by whoever interrupted."""
    stop = Stop()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1 + task.index)
        if task.index == 1:
            stop("interrupted")
        return Reply("a")

    run, _, seconds, _ = ran(act, f"-n 9 {AB} {early}", stop=stop)
    assert (seconds, run.decided_after, run.status) == (2.0, None, "no_quorum")
    assert len(run.succeeded) in (1, 2)
    assert {r.error.message for r in run.failed if r.error} == {"interrupted"}
    assert len(run.results) == 9


@each_stop
def test_a_retry_of_a_decided_vote_asks_nothing(early: str) -> None:
    """It is the same result; what the cancelled votes may have cost stays unknown."""
    first, *_ = ran(voting("a a a a a a a a a"), f"-n 9 {AB} {early}")
    again, fake, _, _ = ran(voting(""), f"-n 9 {AB} {early}", before=first)
    assert fake.calls == []
    assert outcome(again) == outcome(first)
    assert first.decided_after is not None
    assert again.usage == first.usage
    assert again.cost_complete == first.cost_complete
    assert again.results == first.results


def test_a_retry_asks_only_what_is_still_needed() -> None:
    """Kept votes count; with them fewer new ones decide."""
    line = f"-n 5 {AB} --min-success 0"
    first, *_ = ran(voting("a a ! ! !"), line)
    again, fake, _, _ = ran(voting("a a a b b"), f"{line} --stop clinch", before=first)
    assert (fake.calls, again.decided_after, again.winner) == (["v3", "v4", "v5"], 3, "a")
    assert [r.status for r in again.results] == ["ok"] * 3 + ["cancelled"] * 2
    lazy, fake, _, _ = ran(voting("a a a b b"), f"{line} --launch lazy", before=first)
    assert (fake.calls, lazy.decided_after, lazy.winner) == (["v3"], 3, "a")
    assert [r.status for r in lazy.results] == ["ok"] * 3 + ["failed"] * 2, "as they had ended"
    assert first.winner is None


def test_an_interrupt_of_a_decided_vote_is_an_interrupt() -> None:
    """While what was cancelled is still ending, the user's word is the last one."""
    stop = Stop()

    async def act(task: Task, heard: Heard) -> Reply:
        try:
            await asyncio.sleep(1 if task.index < 3 else 9)
        except asyncio.CancelledError:
            stop("interrupted")
            raise
        return Reply("a")

    run, *_ = ran(act, f"-n 5 {AB} --stop clinch", stop=stop)
    assert (run.decided_after, run.tally, len(run.failed)) == (None, {"a": 3}, 2)


def test_a_public_retry_of_an_interrupted_vote_goes_on_to_the_decision() -> None:
    """Through run.retry(), as users call it."""
    stop = Stop()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1 + task.index)
        return Reply("a")

    async def twice() -> tuple[VoteRun, VoteRun]:
        asyncio.get_running_loop().call_later(1.5, stop, "interrupted")
        plan = planned(f"-n 5 {AB} --stop clinch")
        first = await VotePattern.run(plan, run_context(Fake(act), stop))
        return first, await first.retry()

    (first, again), _ = run_virtual(twice())
    assert (first.decided_after, again.decided_after) == (None, 3)
    assert (again.winner, len(again.succeeded)) == ("a", 3)


# --- waves ----------------------------------------------------------------------------------------


def waves(words: str, line: str, body: str = "which?") -> tuple[list[int], VoteRun, Fake]:
    """How many votes were asked at a time; voters of one wave end one after the other."""
    begun: list[float] = []
    base = voting(words)

    async def act(task: Task, heard: Heard) -> Reply:
        begun.append(asyncio.get_running_loop().time())
        reply: Reply = await base(task, heard)
        return reply

    run, fake, _, _ = ran(act, f"--min-success 0 {line}", body)
    return [*Counter(begun).values()], run, fake


@pytest.mark.parametrize(
    ("line", "words", "sizes", "after"),
    [
        pytest.param("-n 5", "a a a b b", [3], 3, id="unanimous"),
        pytest.param("-n 5", "b a a a b", [3, 1], 4, id="one against"),
        pytest.param("-n 5", "a b a b a", [3, 1, 1], None, id="to the last"),
        pytest.param("-n 5", "b b a a a", [3, 1, 1], None, id="turned round"),
        pytest.param("-n 9", "a a a a b b b b a", [5, 1, 1, 1, 1], None, id="nine"),
        pytest.param("-n 5", "a ? ! a a", [3, 2], None, id="lost votes"),
        pytest.param("-n 1", "a", [1], None, id="one"),
        pytest.param("-n 4", "a a a a", [3], 3, id="even"),
        pytest.param("-n 5 --pick unanimous", "a a b a a", [5], None, id="all are needed"),
        pytest.param("-n 5 --pick majority", "b a b a b", [3, 1, 1], None, id="majority"),
        pytest.param("-n 5 --quorum 4", "a a a a b", [4], 4, id="quorum"),
        pytest.param("-n 5 --threshold 4", "a b b a a", [4], 4, id="out of reach"),
        pytest.param("-n 3 --pick any --flag b", "a b a", [1, 1], 2, id="any"),
        pytest.param("-n 3 --pick any --flag b", "a a a", [1, 1, 1], None, id="any, never"),
    ],
)
def test_lazy_votes_are_asked_as_needed(
    line: str, words: str, sizes: list[int], after: int | None
) -> None:
    """As many by index as the leader still needs; none is cancelled, the rest is never asked."""
    found, run, fake = waves(words, f"{line} {AB} --launch lazy")
    assert (found, run.decided_after) == (sizes, after)
    assert len(fake.calls) == sum(sizes)
    for record in run.results[sum(sizes) :]:
        assert (record.status, record.usage.total_tokens if record.usage else 1) == ("cancelled", 0)
        assert record.error is not None
        assert record.error.message.startswith("not asked: decided after")
    assert all(record.status != "cancelled" for record in run.results[: sum(sizes)])
    full, *_ = ran(voting(words), f"{line} {AB} --min-success 0")
    assert (full.winner, full.status == "decided") == (run.winner, run.status == "decided")


def test_a_wave_is_not_said_to_have_waited_for_the_one_before() -> None:
    """What is queued is the time without a slot: a later vote was not even wanted before."""
    _, run, _ = waves("b a a a b", f"-n 5 {AB} --launch lazy")
    assert [(record.start, record.queued) for record in run.results[:4]] == [(0, 0)] * 3 + [(3, 0)]
    _, run, _ = waves("b a a a b", f"-n 5 {AB} --launch lazy -c 1")
    assert [record.queued for record in run.results[:4]] == [0, 1, 3, 0]


def test_a_decision_waits_for_its_wave() -> None:
    """Whoever is slow in a wave is awaited, so that the quick ones have no more say than others."""
    found, run, _ = waves("b a b a a", f"-n 5 {AB} --launch lazy --threshold 4")
    assert (found, run.decided_after, run.status) == ([4], 4, "no_majority")
    early, *_ = ran(voting("b a b a a"), f"-n 5 {AB} --stop clinch --threshold 4")
    assert early.decided_after == 4
    found, run, _ = waves("b a a a a a a a a", f"-n 9 {AB} --threshold 8 --launch lazy")
    assert (found, run.decided_after) == ([8, 1], None)
    found, run, _ = waves("b a b a a a a a a", f"-n 9 {AB} --threshold 8 --launch lazy")
    assert (found, run.decided_after, run.status) == ([8], 8, "no_majority")


@pytest.mark.parametrize(
    ("weights", "words", "sizes", "winner"),
    [
        pytest.param("3 1 1", "a b b", [1], "a", id="one outweighs the rest"),
        pytest.param("1 1 3", "a a b", [3], "b", id="the last is needed"),
        pytest.param("4 1 1 2 2", "a b b a b", [3, 1], "a", id="who leads by weight"),
        pytest.param("0 0 0", "a a a", [3], None, id="no weight"),
    ],
)
def test_lazy_weights(weights: str, words: str, sizes: list[int], winner: str | None) -> None:
    """The leader is who leads by weight."""
    body = "\n".join(f"%voter --weight {weight}\nx" for weight in weights.split())
    found, run, _ = waves(words, f"{AB} --quorum 1 --launch lazy", body)
    assert (found, run.winner) == (sizes, winner)


@pytest.mark.parametrize(
    ("reading", "first"),
    [
        ("--choices a,b", 4),
        ("--choices a,b,c", 5),
        ("--choices a,b,c,d", 5),
        ("--choices a,b,c,d,e", 6),
        ("--choices a,b,c,d,e,f,g,h", 6),
        ("--choices a,b,c,d,e,f,g,h,i", 4),
        ("--open", 4),
    ],
)
def test_beta_begins_with_the_fewest_that_could_stop_it(reading: str, first: int) -> None:
    """At 0.95; of more than eight labels it looks at the two that lead."""
    found, run, fake = waves("a " * 15, f"-n 15 {reading} --stop beta:0.95")
    assert (found, run.decided_after, run.winner, len(fake.calls)) == ([first], first, "a", first)
    assert "heuristic" in str(run)


@pytest.mark.parametrize("n", [1, 3, 5, 7])
def test_beta_never_stops_small_panels_before_the_clinch(n: int) -> None:
    """Up to seven votes on two labels it is the same as lazy."""
    for seed in range(20):
        words = " ".join(random.Random(seed).choice("ab") for _ in range(n))
        lazy = waves(words, f"-n {n} {AB} --launch lazy")
        beta = waves(words, f"-n {n} {AB} --stop beta:0.95")
        assert beta[0] == lazy[0]
        assert outcome(beta[1]) == outcome(lazy[1])


def test_beta_goes_on_where_votes_disagree() -> None:
    """Each wave is the fewest that could stop; the cap ends it."""
    found, run, _ = waves("a b a b a b a b a b a", f"-n 11 {AB} --stop beta:0.95")
    assert (sum(found), run.decided_after, run.winner) == (11, None, "a")
    found, run, _ = waves("a b a a a a a a a a a", f"-n 11 {AB} --stop beta:0.9")
    assert (found, run.decided_after) == ([3, 3], 6)


def test_beta_waits_for_a_quorum_that_was_asked_for() -> None:
    """The default one, of half of the votes, would let it stop no earlier than the clinch."""
    found, run, _ = waves("a a a a a a a a a", f"-n 9 {AB} --quorum 6 --stop beta:0.9")
    assert (found, run.winner, run.decided_after) == ([6], "a", 6)
    found, run, _ = waves("a a a a a a a a a", f"-n 9 {AB} --stop beta:0.9")
    assert (found, run.winner, run.status) == ([3], "a", "decided")
    found, run, _ = waves("! ! ! ! ! a a a a", f"-n 9 {AB} --stop beta:0.95")
    assert (run.winner, run.status) == (None, "no_quorum")


# --- simulation -----------------------------------------------------------------------------------


async def simulated(model: str, **options: Any) -> VoteRun:
    """A simulated vote, however many fail."""
    run = await vote("which?", model=model, **{"min_success": 0, "choices": "a,b", **options})
    assert isinstance(run, VoteRun)
    return run


def test_the_winner_is_that_of_all_votes() -> None:
    """In 400 runs, with ties, failures, refusals, quorums and every exact rule."""
    kinds: list[dict[str, Any]] = [
        {"n": 5},
        {"n": 4, "ties": "first"},
        {"n": 6, "choices": "a,b,c", "ties": "random"},
        {"n": 5, "choices": "a,b,c", "quorum": 4},
        {"n": 5, "pick": "majority", "base": "valid"},
        {"n": 7, "choices": "a,b,c", "threshold": "0.4"},
        {"n": 3, "pick": "unanimous"},
        {"n": 5, "pick": "any", "flag": "b", "threshold": "2"},
    ]

    async def compared() -> int:
        early = 0
        for seed in range(400):
            kind = kinds[seed % len(kinds)] if seed % 2 else kinds[0]
            model = "sim:?scale=0&accuracy=0.8&latency=lognormal(1,0.5)"
            if seed % 3 == 0:
                model += "&fail=0.15&refuse=0.15"
            runs = [
                await simulated(model, seed=seed, stop=stop, stream="off", **kind)
                for stop in ("all", "clinch")
            ]
            full, short = runs
            assert short.winner == full.winner, (seed, kind)
            assert (short.status == "decided") == (full.status == "decided"), (seed, kind)
            assert short.status in (full.status, "no_majority", "no_quorum")
            assert sum(states(short).values()) == kind["n"]
            early += short.decided_after is not None
        return early

    assert asyncio.run(compared()) > 200


def scaled(scale: float) -> Callable[[Model], Settings]:
    """The settings of a model on a machine of another speed."""
    return lambda model: replace(read_settings(model), scale=scale)


SCALES = (0.0, 0.001, 0.003)
OPTIONS: dict[str, dict[str, Any]] = {
    "clinch": {"n": 5, "stop": "clinch"},
    "one at a time": {"n": 9, "stop": "clinch", "concurrency": 1},
    "two at a time": {"n": 9, "stop": "clinch", "concurrency": 2},
    "three at a time": {"n": 9, "stop": "clinch", "concurrency": 3},
    "lazy": {"n": 7, "launch": "lazy"},
    "beta": {"n": 9, "stop": "beta:0.9"},
}
VOTERS = {
    "unlike": "sim:?accuracy=0.6&latency=lognormal(0.7,0.5)",
    "failing": "sim:?accuracy=0.7&fail=0.2&refuse=0.1&latency=lognormal(0.7,0.5)",
    "alike": "sim:?accuracy=0.6&latency=1",
    "timed out": "sim:?accuracy=0.6&latency=lognormal(15,1)",
    "given": "given:?latency=lognormal(0.7,0.5)",
    "function": "function:?latency=lognormal(0.7,0.5)",
}


@pytest.fixture
def _answers() -> Iterator[None]:
    """Given answers: a dict's, and an async function's that fails now and then."""

    async def function(task: Task, sample: int) -> str:
        await asyncio.sleep(0)
        rng = random.Random(f"{sample} {task.seed}")
        if rng.random() < 0.2:
            raise ValueError("no answer")
        return rng.choice(["a", "b", "?"])

    define_simulated("given", {"which?": ["a", "b", "a", "not sure", "b"]})
    define_simulated("function", function)
    yield
    for name in ("given", "function"):
        forget(name)


def looks(run: VoteRun) -> tuple[Any, ...]:
    """All that a reader can see."""
    shown = run._repr_mimebundle_()
    return str(run), shown["text/html"], shown["text/plain"], json.dumps(run.to_dict())


async def noise() -> None:
    """Hold the loop up for now and then a millisecond."""
    rng = random.Random(1)
    while True:
        sum(range(rng.randrange(30_000)))
        await asyncio.sleep(0)


@pytest.mark.usefixtures("_answers")
@pytest.mark.parametrize("voters", VOTERS)
@pytest.mark.parametrize("how", OPTIONS)
def test_a_simulation_does_not_depend_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, how: str, voters: str
) -> None:
    """The same at every scale, on an idle loop and on a busy one, to the byte."""

    async def run(seed: int, scale: float, busy: bool) -> VoteRun:
        other = asyncio.ensure_future(noise()) if busy else None
        try:
            # Of a scale in the model's name answers and latencies would depend.
            with monkeypatch.context() as patch:
                patch.setattr(simulated_provider, "read_settings", scaled(scale))
                return await simulated(VOTERS[voters], seed=seed, **OPTIONS[how])
        finally:
            if other is not None:
                other.cancel()

    async def compared() -> None:
        for seed in range(2):
            scales = SCALES if voters != "timed out" else [scale / 15 for scale in SCALES]
            seen = [looks(await run(seed, scale, busy=scale == scales[1])) for scale in scales]
            assert len(set(seen)) == 1, seed

    asyncio.run(compared())


def test_simulated_votes_arrive_in_the_order_of_their_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those counted ended, by simulated time and place, before any that was cancelled would have."""

    async def compared() -> None:
        for seed in range(100):
            model = "sim:?accuracy=0.7&latency=lognormal(1,0.5)"
            seen = []
            for scale in (0.0, 0.001):
                with monkeypatch.context() as patch:
                    patch.setattr(simulated_provider, "read_settings", scaled(scale))
                    seen.append(await simulated(model, seed=seed, n=5, stop="clinch"))
            with monkeypatch.context() as patch:
                patch.setattr(simulated_provider, "read_settings", scaled(0))
                full = await simulated(model, seed=seed, n=5)
            assert str(seen[0]) == str(seen[1])
            order = sorted(full.results, key=lambda record: (record.end, record.index))
            counted = {record.index for record in seen[0].results if record.ok}
            assert counted == {record.index for record in order[: len(counted)]}
            for record in seen[0].results:
                if record.ok:
                    assert record == full.results[record.index]
                else:
                    assert record.end == order[len(counted) - 1].end == seen[0].seconds
                    assert (record.text, record.cost) == ("", None)

    asyncio.run(compared())


def test_equal_times_go_by_place() -> None:
    """Of votes that end together the first in the cell's order are counted."""
    run = asyncio.run(simulated("sim:?scale=0&accuracy=1&latency=1", n=5, stop="clinch"))
    assert [record.status for record in run.results] == ["ok"] * 3 + ["cancelled"] * 2
    assert {record.end for record in run.results} == {1.0}


def test_votes_that_had_no_place_yet_took_no_time() -> None:
    """With one place, those behind the decision were never begun."""
    run = asyncio.run(
        simulated("sim:?scale=0&accuracy=1&latency=1", n=9, stop="clinch", concurrency=1)
    )
    assert run.decided_after == 5
    assert [record.start for record in run.results] == [0.0, 1.0, 2.0, 3.0, 4.0] + [5.0] * 4
    assert [record.seconds for record in run.results] == [1.0] * 5 + [0.0] * 4
    assert all(r.usage is not None and not r.usage.total_tokens for r in run.results[5:])


# --- many votes -----------------------------------------------------------------------------------


class Counted(EarlyStopper):
    """A stopper that counts how often it asks whether the vote is over."""

    looked = 0

    def _over(self, heard: Container[int]) -> bool:
        self.looked += 1
        return super()._over(heard)


def said(index: int, text: str, status: Any = "ok") -> Record:
    """A vote that has ended so."""
    error = None if status == "ok" else Fault("server", "no")
    return Record(index, f"v{index}", status, "p:m", text, error=error)


@pytest.mark.parametrize("votes", [1, 7, 250])
@pytest.mark.parametrize("pick", ["plurality", "majority", "weighted"])
def test_of_many_votes_too_it_is_exactly_the_deciding_one(
    monkeypatch: pytest.MonkeyPatch, votes: int, pick: str
) -> None:
    """It is found without looking after each one."""
    monkeypatch.setattr(early_stopper, "CHECKS_A_VOTE", 8)  # so that even these are many
    reading = Reading("choice", choices=("a", "b", "c"))
    rule = Rule(pick, quorum=max(1, votes // 2), stop="clinch")
    for seed in range(3):
        rng = random.Random(seed)
        weights = [Fraction(rng.randrange(4) if pick == "weighted" else 1) for _ in range(votes)]
        odds = [(0.5, 0.5, 0.1), (0.8, 0.2, 0.1), (0.4, 0.35, 0.3)][seed]
        order = rng.sample(range(votes), votes)
        words = rng.choices("abc", odds, k=votes)
        records = [
            said(at, word, "failed" if rng.random() < 0.1 else "ok")
            for at, word in zip(order, words, strict=True)
        ]
        naive, quick = EarlyStopper(rule, reading, weights), Counted(rule, reading, weights)
        for record in records:
            naive.hear(record)
            if naive.check():
                break
        for record in records:
            if quick.decides(record):
                break
        assert (quick.heard, quick.stopped) == (naive.heard, naive.stopped)
        assert quick.looked <= 8 + votes // 4


def test_thousands_of_votes_are_decided_in_one_go() -> None:
    """Exactly where the leader cannot be caught, and nothing is lost."""
    model = "sim:?scale=0&accuracy=0.55"
    run = asyncio.run(simulated(model, n=2_000, stop="clinch"))
    assert run.decided_after is not None
    assert (run.winner, len(run.results), run.valid) == ("a", 2_000, run.decided_after)
    assert max(run.tally.values()) == 1_001


# --- recordings -----------------------------------------------------------------------------------


def recorded(act: Act, path: Path, line: str, before: VoteRun | None = None) -> Ran:
    """A vote with recordings over a fake provider."""
    return ran(act, line, before=before, recordings=Recordings(path))


@each_stop
def test_a_second_run_of_a_decided_vote_asks_nothing(early: str, tmp_path: Path) -> None:
    """It comes to the same after as many votes, and adds nothing to the file."""
    path = tmp_path / "votes.jsonl"
    line = f"-n 9 {AB} {early}"
    first, fake, _, _ = recorded(voting("a a b a a a a a a"), path, line)
    assert first.decided_after is not None
    size = path.stat().st_size
    again, fake, seconds, _ = recorded(voting(""), path, line)
    assert (fake.calls, seconds) == ([], 0.0)
    assert outcome(again) == outcome(first)
    assert path.stat().st_size == size
    assert all(record.replayed for record in again.results if record.ok)
    third, *_ = recorded(voting(""), path, line)
    assert third.to_dict() == again.to_dict()
    assert third._repr_mimebundle_() == again._repr_mimebundle_()


def test_a_recording_of_all_votes_is_decided_in_its_order(tmp_path: Path) -> None:
    """By when the votes had ended, not by their places."""
    path = tmp_path / "votes.jsonl"

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(6 - task.index)
        return Reply("b" if task.index > 1 else "a")

    full, *_ = recorded(act, path, f"-n 5 {AB}")
    short, fake, _, _ = recorded(voting(""), path, f"-n 5 {AB} --stop clinch")
    assert (fake.calls, full.decided_after, short.decided_after) == ([], None, 3)
    assert [ballot.state for ballot in short.ballots] == ["cancelled"] * 2 + ["valid"] * 3
    assert short.winner == full.winner == "b"


@pytest.mark.parametrize(
    ("words", "then", "after", "asked"),
    [
        pytest.param("a a", "- - a b b", 3, 3, id="one more decides"),
        pytest.param("a b", "- - b b a", 4, 3, id="two more"),
        pytest.param("a a a", "- - - b b", 3, 0, id="decided by what there is"),
        pytest.param("a ! a", "- a - b b", 3, 3, id="a failure is asked again"),
    ],
)
def test_a_part_of_the_votes_is_recorded(
    words: str, then: str, after: int, asked: int, tmp_path: Path
) -> None:
    """Recorded votes count first; the others are asked for the rest."""
    path = tmp_path / "votes.jsonl"
    recorded(voting(words), path, f"-n {len(words.split())} {AB}")
    run, fake, _, _ = recorded(voting(then), path, f"-n 5 {AB} --stop clinch")
    assert (run.decided_after, len(fake.calls)) == (after, asked)
    assert states(run) == {"valid": after, "cancelled": 5 - after}
    again, fake, _, _ = recorded(voting(""), path, f"-n 5 {AB} --stop clinch")
    assert (outcome(again), fake.calls) == (outcome(run), [])


@each_stop
def test_simulated_recordings_stay_as_they_are(
    early: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte, whether served or simulated again."""
    path = tmp_path / "votes.jsonl"
    name, _, value = early.removeprefix("--").partition(" ")
    options = {name: value, "n": 9}
    model = "sim:?scale=0&accuracy=0.7&latency=lognormal(1,0.5)"
    plain = [asyncio.run(simulated(model, seed=seed, **options)) for seed in range(10)]
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    for seed in range(10):
        for _ in range(2):
            assert looks(asyncio.run(simulated(model, seed=seed, **options))) == looks(plain[seed])


# --- real clients at a scripted server ------------------------------------------------------------


def in_turn(*acts: Served) -> Callable[[Any], Served]:
    """The first call gets the first act, and so on."""
    left = iter(acts)
    return lambda call: next(left)


@each_dialect
def test_cancelled_calls_leave_the_provider(server: Loopback, model: str) -> None:
    """Their connections are dropped, and what they cost is not known."""
    quick, slow = Served(text="ANSWER: a"), Served(hang=True)
    server.script(model, in_turn(slow, quick, quick, slow, quick))
    run = asyncio.run(simulated(model, n=5, stop="clinch"))
    assert outcome(run) == ("a", "decided", {"a": 3}, 3, {"valid": 3, "cancelled": 2})
    assert server.becomes_idle()
    assert sorted(call.finished for call in server.log) == [False, False, True, True, True]
    assert run.cost is not None
    assert (run.cost_complete, len(server.log)) == (False, 5)
    assert "at least" in str(run)


@each_dialect
@pytest.mark.parametrize("places", [1, 2])
def test_nothing_is_asked_after_the_decision(server: Loopback, model: str, places: int) -> None:
    """With few places most votes never begin."""
    server.answers = lambda body: "ANSWER: a"
    run = asyncio.run(simulated(model, n=21, stop="clinch", concurrency=places))
    assert (run.decided_after, run.winner) == (11, "a")
    assert 11 <= len(server.log) <= 11 + places
    # One more that was under way may have been answered at the same moment, so that its cost is known.
    assert run.cost_complete or len(server.log) > 11
    assert server.becomes_idle()


@each_dialect
@pytest.mark.parametrize("how", [{"launch": "lazy"}, {"stop": "beta:0.9"}], ids=["lazy", "beta"])
def test_votes_that_were_not_asked_cost_nothing(
    server: Loopback, model: str, how: dict[str, Any]
) -> None:
    """The sum is complete."""
    server.answers = lambda body: "ANSWER: a"
    run = asyncio.run(simulated(model, n=9, **how))
    assert len(server.log) == run.decided_after == (5 if "launch" in how else 3)
    assert run.cost_complete
    assert run.cost is not None


@each_dialect
def test_a_decided_vote_is_served_without_a_key(
    server: Loopback, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No door is opened for the votes that were cancelled."""
    monkeypatch.setenv("PARALLM_RECORDINGS", str(tmp_path / "votes.jsonl"))
    quick = Served(text="ANSWER: a")
    server.script(model, in_turn(quick, Served(hang=True), quick, quick, Served(hang=True)))
    first = asyncio.run(simulated(model, n=5, stop="clinch"))
    asked = len(server.log)  # on a busy machine the last may be cancelled on its way there
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.delenv(f"{name}_API_KEY")
    again = asyncio.run(simulated(model, n=5, stop="clinch"))
    assert outcome(again) == outcome(first)
    assert len(server.log) == asked


# --- attacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_task", [False, True], ids=["stop", "task"])
def test_cancelled_at_any_moment_nothing_is_lost(by_task: bool) -> None:
    """Every vote has one record, no task is left, and states add up."""

    async def act(task: Task, heard: Heard) -> Reply:
        rng = random.Random(f"{task.seed} {task.index}")
        for _ in range(3):
            await asyncio.sleep(rng.random())
            heard("x")
        if rng.random() < 0.3:
            kind: FaultKind = rng.choice(["server", "timeout", "refusal"])
            raise CallFailed(Fault(kind, "no"))
        return Reply(rng.choice("ab"), usage=USED)

    async def attacked(seed: int) -> VoteRun | None:
        rng = random.Random(seed)
        early = STOPS[seed % 3]
        stop, events = Stop(), list[Event]()
        line = f"-n {rng.randrange(1, 12)} {AB} --seed {seed} --min-success 0 {early}"
        plan = planned(f"{line} -c {rng.randrange(1, 12)}")
        fake = Fake(act)
        work = asyncio.ensure_future(
            VotePattern.run(plan, run_context(fake, stop, tell=events.append))
        )
        at = rng.random() * 4
        kill = work.cancel if by_task else lambda: stop("interrupted")
        asyncio.get_running_loop().call_later(at, kill)
        run: VoteRun | None = None
        with contextlib.suppress(asyncio.CancelledError):
            run = await work
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert fake.running == 0
        ended = [event.index for event in events if event.kind == "ended"]
        assert len(set(ended)) == len(ended) >= len(fake.calls)
        if run is not None:
            assert [record.index for record in run.results] == [*range(plan.calls.known or 0)]
            assert sum(states(run).values()) == plan.calls.known
            assert not (stop.reason and run.decided_after and run.seconds > at + 1e-6)
        return run

    ends = [run_virtual(attacked(seed)).result for seed in range(100)]
    decided = [run for run in ends if run is not None and run.decided_after]
    assert 5 < len(decided) < 100


@pytest.mark.parametrize("verdict", ["ALLOW", "BLOCK"])
@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@each_stop
def test_a_guard_beside_a_vote_that_ends_early(early: str, verdict: str, late: bool) -> None:
    """Passed, it is as without one; blocked, there is no word of the votes and no decision."""
    guard = answer(50.0 if late else 0.5, f"ANSWER: {verdict}")
    act = by_name({"guardrail": guard}, voting("a a a a a a a a a"))
    line = f"-n 9 {AB} {early}"
    run, fake, seconds, _ = ran(act, line, "which?\n%guardrail\nIs it harmful?")
    if verdict == "ALLOW":
        bare, *_ = ran(voting("a a a a a a a a a"), line)
        assert outcome(run) == outcome(bare)
        assert seconds == (50.0 if late else bare.seconds)
    else:
        assert (run.blocked, run.winner, run.decided_after) == (True, None, None)
        assert states(run) == {"cancelled": 9}
        assert {record.text for record in run.results} == {""}
        assert seconds == (50.0 if late else 0.5)
    assert fake.running == 0
    assert len(run.results) == 9


def test_mixed_models_decide_as_they_arrive() -> None:
    """Models dealt in turn are one panel; a slow one is not waited for."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(100 if task.model.name == "slow" else 1)
        return Reply("a")

    run, fake, seconds, _ = ran(act, f"-m quick,fast,slow -n 5 {AB} --stop clinch")
    assert (seconds, run.decided_after, run.winner) == (1.0, 3, "a")
    assert fake.running == 0


def test_a_clinch_is_no_heuristic_even_in_waves() -> None:
    """Where the votes left out could not change it, `--stop beta` says so too."""
    run, *_ = ran(voting("a a a a a"), f"-n 5 {AB} --stop beta:0.99")
    assert run.decided_after == 3
    assert "could not change it" in str(run)
    assert "heuristic" not in str(run)
