"""Voting: ballots, winners, and what the counts may be said to mean."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from fakes import Act, Fake, FakeClients, by_name, failing
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import OptionError, ParallmError, TooFewSucceeded, VoteRun
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Reading, Record, Status, Task
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import Clients

SAFE = Reading("choice", choices=("safe", "unsafe"))


def ran(act: Act, line: str, body: str = "x") -> tuple[VoteRun, Fake]:
    """A vote over a fake provider on the virtual clock."""
    fake = Fake(act)
    plan = make_plan(
        parse("vote", line, body), {}, lambda text: Model("fake", text), {"model": ("m",)}
    )
    run, _ = run_virtual(VotePattern.run(plan, RunContext(cast("Clients", FakeClients(fake)))))
    return run, fake


def voting(*texts: str) -> Act:
    """Each voter's answer, later voters quicker."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(10 - task.index)
        return Reply(texts[task.index])

    return act


def counted(
    statuses: list[tuple[Status, str]], reading: Reading = SAFE, rule: Rule | None = None
) -> VoteRun:
    """A run of records that ended so."""
    records = [
        Record(
            i,
            f"v{i + 1}",
            status,
            "p:m",
            text,
            error=None if status == "ok" else Fault("bug", "why"),
        )
        for i, (status, text) in enumerate(statuses)
    ]
    return VoteRun(records, rule or Rule(), reading)


def test_the_most_votes_win() -> None:
    """Counts first; agreement is the leader's share of the valid votes."""
    run, _ = ran(
        voting("safe", "ANSWER: unsafe", "**Safe**", "safe.", "not sure, could be either"),
        "-n 5 --choices safe,unsafe",
    )
    assert (run.winner, run.status, dict(run.tally)) == (
        "safe",
        "decided",
        {"safe": 3, "unsafe": 1},
    )
    assert [ballot.state for ballot in run.ballots].count("valid") == 4
    assert (run.agreement, run.confidence, run.share_requested, run.margin) == (
        0.75,
        0.75,
        0.6,
        0.5,
    )
    assert run.is_majority
    assert run.interval == pytest.approx((0.300642, 0.954413), abs=1e-4)
    assert run.p_mode is not None
    assert run.confidence_range is None
    assert [record.value for record in run.results] == ["safe", "unsafe", "safe", "safe", None]


@pytest.mark.parametrize(
    ("line", "said", "winner", "confidence", "agreement"),
    [
        pytest.param("--pick plurality", "a a b", "a", 2 / 3, 2 / 3, id="plurality"),
        pytest.param("--pick plurality", "a b ?", None, None, 1 / 2, id="tie"),
        pytest.param("--ties first", "b a ?", "b", 1 / 2, 1 / 2, id="tie broken"),
        pytest.param("--pick majority", "a a ?", "a", 1.0, 1.0, id="majority"),
        pytest.param("--pick majority", "a ? ?", None, None, 1.0, id="no quorum"),
        pytest.param("--pick unanimous", "a a b", None, None, 2 / 3, id="not unanimous"),
        pytest.param("--pick any --flag b", "a a b", "b", 1 / 3, 2 / 3, id="flag"),
        pytest.param("--pick any --flag b", "a a ?", None, None, 1.0, id="not cleared"),
        pytest.param("--pick confidence", "a a b!", "b", 1 / 3, 2 / 3, id="stated confidence"),
    ],
)
def test_confidence_is_the_winners_share(
    line: str, said: str, winner: str | None, confidence: float | None, agreement: float
) -> None:
    """By counts, over the valid votes, whoever wins; agreement stays the leader's share."""
    texts = [f"ANSWER: {w[0]}\nConfidence: {99 if '!' in w else 50}" for w in said.split()]
    run, _ = ran(voting(*texts), f"-n 3 --choices a,b --min-success 0 {line}")
    assert run.winner == winner
    assert (run.confidence, run.agreement) == (confidence, agreement)
    assert run.to_dict()["confidence"] == confidence


def test_confidence_counts_votes_and_no_weights() -> None:
    """One heavy voter of three wins with a third of the votes."""
    body = "x\n%voter a --weight 9\n%voter b --weight 1\n%voter c --weight 1"
    run, _ = ran(voting("p", "q", "q"), "--choices p,q", body)
    assert (run.winner, run.confidence, run.agreement) == ("p", 1 / 3, 2 / 3)


@pytest.mark.parametrize("pick", ["median", "mean"])
def test_a_computed_winner_has_no_confidence(pick: str) -> None:
    """Nobody need have voted for it."""
    run, _ = ran(voting("3", "3", "3"), f"-n 3 --score 1..10 --pick {pick}")
    assert (run.winner, run.confidence, run.agreement) == (3, None, 1.0)


@pytest.mark.parametrize("texts", [("?", "?", "?"), ("I cannot help.", "?", "")])
def test_without_a_valid_vote_nothing_is_said_of_votes(texts: tuple[str, ...]) -> None:
    """There are no errors to share."""
    run, _ = ran(voting(*texts), "-n 3 --choices a,b")
    assert "share errors" not in str(run)


def test_unsafe_is_not_safe() -> None:
    """Labels are never found inside other words."""
    run, _ = ran(voting("unsafe", "This is unsafe", "safe"), "--choices safe,unsafe")
    assert (run.winner, dict(run.tally)) == ("unsafe", {"unsafe": 2, "safe": 1})


def test_a_tie_has_no_winner() -> None:
    """Ties are reported as ties, whoever came first."""
    run, _ = ran(voting("safe", "unsafe"), "-n 2 --choices safe,unsafe")
    assert (run.winner, run.status, run.tied) == (None, "tie", ("safe", "unsafe"))
    assert "tie between 'safe' and 'unsafe', 1 of 2 votes each" in repr(run)


@pytest.mark.parametrize(
    ("status", "text", "state"),
    [
        ("ok", "safe", "valid"),
        ("ok", "I don't know", "abstain"),
        ("ok", "purple", "invalid"),
        ("refused", "safe", "abstain"),
        ("truncated", "safe", "invalid"),
        ("invalid", "", "invalid"),
        ("timed_out", "safe", "failed"),
        ("failed", "safe", "failed"),
        ("cancelled", "safe", "cancelled"),
        ("blocked", "safe", "cancelled"),
    ],
)
def test_each_vote_is_in_one_state(status: Status, text: str, state: str) -> None:
    """Only a complete, readable answer is a vote; nothing cut off ever is."""
    [ballot] = counted([(status, text)]).ballots
    assert ballot.state == state
    assert (ballot.label is not None) == (state == "valid")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["ok", "refused", "truncated", "timed_out", "failed", "cancelled", "invalid"]
            ),
            st.sampled_from(["safe", "unsafe", "?", "I don't know", ""]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_votes_add_up_and_their_order_does_not_matter(
    statuses: list[tuple[Status, str]], rng: Any
) -> None:
    """States sum to the requested votes; shuffled voters elect the same winner."""
    run = counted(statuses)
    states = [ballot.state for ballot in run.ballots]
    assert len(states) == len(statuses)
    assert sum(run.tally.values()) == states.count("valid")
    shuffled = list(statuses)
    rng.shuffle(shuffled)
    other = counted(shuffled)
    assert (other.winner, other.status, other.tally) == (run.winner, run.status, run.tally)


@pytest.mark.parametrize(
    ("line", "texts", "status", "winner"),
    [
        pytest.param(
            "--pick majority -n 5", "a a b c ?", "no_majority", None, id="plurality is no majority"
        ),
        pytest.param("--pick majority -n 5", "a a a c ?", "decided", "a", id="majority"),
        pytest.param(
            "--pick majority --base valid -n 5", "a a b ? ?", "decided", "a", id="of the valid"
        ),
        pytest.param("--threshold 2/3 -n 3", "a a b", "decided", "a", id="two thirds"),
        pytest.param(
            "--threshold 0.67 -n 3", "a a b", "no_majority", None, id="just over two thirds"
        ),
        pytest.param("--threshold 3 -n 5", "a a a b b", "decided", "a", id="a count"),
        pytest.param("--threshold 4 -n 5", "a a a b b", "no_majority", None, id="a higher count"),
        pytest.param("--pick unanimous -n 3", "a a a", "decided", "a", id="unanimous"),
        pytest.param("--pick unanimous -n 3", "a a ?", "no_majority", None, id="one unreadable"),
        pytest.param("-n 5", "a a ? ? ?", "no_quorum", None, id="half must be valid"),
        pytest.param("-n 5 --quorum 2", "a a ? ? ?", "decided", "a", id="own quorum"),
        pytest.param("-n 5", "a a b b c", "tie", None, id="tie of the leaders"),
    ],
)
def test_rules_pick_winners(line: str, texts: str, status: str, winner: str | None) -> None:
    """Exactly, in fractions."""
    run, _ = ran(voting(*texts.split()), f"{line} --choices a,b,c")
    assert (run.status, run.winner) == (status, winner)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("--pick threshold", "needs --threshold", id="no threshold"),
        pytest.param("--threshold 0.5 --pick majority", "cannot be combined", id="two rules"),
        pytest.param("--threshold 9", "only 3 votes", id="more than there are"),
        pytest.param("--quorum 9", "only 3 votes", id="quorum out of reach"),
    ],
)
def test_rules_that_cannot_be_are_refused(line: str, says: str) -> None:
    """Before any call."""
    with pytest.raises(OptionError, match=says):
        ran(voting("a", "a", "a"), line)


def test_voters_must_answer_alike() -> None:
    """Scores and labels cannot be counted together."""
    with pytest.raises(ParallmError, match="different kinds of answers"):
        ran(voting("a", "1"), "", "%voter --choices a,b\nx\n%voter --score 1..3\ny")


def test_scores_and_open_answers_are_counted() -> None:
    """8 and 8.0 are one vote; texts that differ in case and dots are one."""
    run, _ = ran(voting("Score: 8", "8.0", "7"), "--score 1..10")
    assert (run.winner, dict(run.tally)) == (8, {"8": 2, "7": 1})
    run, _ = ran(voting("Paris", "paris.", "Rome"), "--open")
    assert (run.winner, run.tally.most_common(1)[0][1]) == ("paris", 2)


def test_a_call_that_came_back_counts_for_the_minimum() -> None:
    """Refusals count as successes of the call; time-outs do not."""
    lost = by_name({"v1": failing("auth", 9), "v2": failing("auth", 9)}, voting("", "", "safe"))
    with pytest.raises(
        TooFewSucceeded, match="1 of 3 calls returned an answer, 2 required"
    ) as error:
        ran(lost, "--choices safe,unsafe")
    assert error.value.run.tally == {"safe": 1}
    run, _ = ran(voting("?", "?", "safe"), "--choices safe,unsafe")
    assert run.status == "no_quorum"


def test_p_mode_needs_repeats_of_one_prompt() -> None:
    """For other prompts or models the number would mean nothing."""
    repeats, _ = ran(voting("a", "a", "a"), "--choices a,b")
    assert repeats.p_mode == pytest.approx(15 / 16)
    mixed, _ = ran(voting("a", "a"), "-m k,l --choices a,b")
    assert mixed.p_mode is None


def test_a_cancelled_vote_gives_a_range() -> None:
    """The final share is known only within bounds."""
    run = counted([("ok", "safe")] * 3 + [("cancelled", "")] * 2)
    assert run.confidence_range == pytest.approx((0.6, 1.0))


def test_a_vote_shows_itself() -> None:
    """Counts first, states in words, plain data for a program."""
    run, _ = ran(voting("a", "a", "b"), "--choices a,b,c")
    text = str(run)
    assert "2 of 3" in text
    assert "valid," not in text, "that all could be counted goes without saying"
    assert "2 of 3" in run._repr_mimebundle_()["text/html"]
    assert "2 of 3" in repr(run.tally_bars())
    found = json.loads(json.dumps(run.to_dict()))
    assert (found["winner"], found["tally"]) == ("a", {"a": 2, "b": 1})


def test_a_large_number_has_a_short_label() -> None:
    """A label is read by people."""
    run = counted([("ok", "ANSWER: 1e300")] * 3, Reading("number"))
    assert dict(run.tally) == {"1e+300": 3}
    assert run.winner == 1e300
    twins = [("ok", f"ANSWER: 1234567890123456789{digit}") for digit in "01"]
    assert len(counted(twins, Reading("number")).tally) == 2, "unlike in their last digit"
