"""Votes inside a fan-out: a section with several workers has one value, by a rule of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakes import Act, Fake, run_context
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, TooFewSucceeded, VoteRun, fanout
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import define_simulated, forget

TOXICITY = "%section toxicity -n 3 --choices safe,toxic\nIs it toxic?"


def planned(body: str, line: str = "", magic: str = "fanout", **variables: Any) -> Plan:
    """A cell's plan, checked as the public functions check it."""
    cell = parse(magic, line, body)
    settings = {"model": ("m",), "retries": 0}
    plan = make_plan(cell, variables, lambda text: Model("fake", text), settings)
    PATTERNS[plan.pattern].check(plan)
    return plan


def saying(said: Mapping[str, str]) -> Act:
    """What the workers of each section say in turn: "?" is no answer, "!" a failure."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        section, _, number = task.name.rpartition(".")
        alone = section not in said
        word = said[task.name if alone else section].split()[0 if alone else int(number) - 1]
        if word == "!":
            raise CallFailed(Fault("bad_request", "no"))
        return Reply(f"ANSWER: {word}" if word != "?" else "hm")

    return act


def ran(body: str, said: Mapping[str, str], line: str = "", **variables: Any) -> FanoutRun:
    """A fan-out over the fake provider; its retry leads there too."""
    run, _ = run_virtual(
        FanoutPattern.run(planned(body, line, **variables), run_context(Fake(saying(said))))
    )
    assert isinstance(run, FanoutRun)
    return run


def test_a_section_may_be_a_vote() -> None:
    """Its value is the winner; counts, agreement and ballots stand beside it."""
    run = ran(TOXICITY, {"toxicity": "safe toxic safe"})
    assert dict(run) == {"toxicity": "safe"}
    poll = run.votes["toxicity"]
    assert (poll.winner, poll.status, poll.tally) == ("safe", "decided", {"safe": 2, "toxic": 1})
    assert poll.agreement == pytest.approx(2 / 3)
    assert [ballot.label for ballot in poll.ballots] == ["safe", "toxic", "safe"]
    assert [record.name for record in run.results] == [f"toxicity.{n}" for n in (1, 2, 3)]
    for shown in run._repr_mimebundle_().values():
        assert "2 of 3" in shown
    found = json.loads(json.dumps(run.to_dict()))
    assert found["votes"]["toxicity"]["tally"] == {"safe": 2, "toxic": 1}
    assert found["values"] == {"toxicity": "safe"}


# --- the examples of the pattern's literature -----------------------------------------------------

MODERATION = """Review this message.

{{message}}

%section toxicity -n 3 --choices clean,violation
Is it toxic?

%section pii -n 3 --choices clean,violation --pick any
Does it name private data?

%section factuality --choices clean,violation
Is it wrong?

%section summary
Say in a word what it is about.
"""


def test_moderation_asks_several_questions_at_once() -> None:
    """All workers run together; what is flagged is named, whatever the others say."""
    said = {
        "toxicity": "clean violation clean",
        "pii": "clean clean violation",
        "factuality": "violation",
        "summary": "cats",
    }
    plan = planned(MODERATION, "--flag violation", message="a message")
    fake = Fake(saying(said))
    run, seconds = run_virtual(FanoutPattern.run(plan, run_context(fake)))
    assert (seconds, fake.most) == (1.0, 8)
    assert dict(run) == {
        "toxicity": "clean",
        "pii": "violation",
        "factuality": "violation",
        "summary": "ANSWER: cats",
    }
    assert run.flagged == ("pii", "factuality")
    assert set(run.votes) == {"toxicity", "pii"}
    assert all(
        call.prompt.startswith("Review this message.\n\na message\n\n") for call in plan.tasks
    )


REVIEW = "Look at this code.\n" + "".join(
    f"\n%{{word}} {name} --choices ok,vulnerable\nLook for {name}.\n"
    for name in ("injection", "secrets", "overflow")
)


@pytest.mark.parametrize(
    ("words", "flagged"),
    [
        pytest.param("ok ok ok", (), id="nobody finds a problem"),
        pytest.param("ok vulnerable ok", ("secrets",), id="one finds a problem"),
        pytest.param("vulnerable ok vulnerable", ("injection", "overflow"), id="two do"),
        pytest.param("? vulnerable !", ("secrets",), id="others have no answer"),
    ],
)
def test_a_review_flags_what_any_reviewer_finds(words: str, flagged: tuple[str, ...]) -> None:
    """As sections, which say who found it; and as a vote that ends with the first finding."""
    names = ("injection", "secrets", "overflow")
    said = dict(zip(names, words.split(), strict=True))
    run = ran(REVIEW.format(word="section"), said, "--flag vulnerable --min-success 0")
    assert run.flagged == flagged
    line = "--pick any --flag vulnerable --min-success 0"
    for early in ("", "--stop clinch", "--launch lazy"):
        plan = planned(REVIEW.format(word="voter"), f"{line} {early}", "vote")
        vote, _ = run_virtual(VotePattern.run(plan, run_context(Fake(saying(said)))))
        assert isinstance(vote, VoteRun)
        assert vote.flagged is bool(flagged)


CHECKS = "".join(f"%section {name} --choices ok,bad\nIs it {name}?\n" for name in "abc")


@pytest.mark.parametrize(
    ("said", "flagged", "unchecked", "clean"),
    [
        pytest.param("ok ok ok", (), (), True, id="all clean"),
        pytest.param("ok bad ok", ("b",), (), False, id="one flagged"),
        pytest.param("ok ? ok", (), ("b",), False, id="one unreadable"),
        pytest.param("ok ! bad", ("c",), ("b",), False, id="one flagged, one failed"),
        pytest.param("! ? !", (), ("a", "b", "c"), False, id="none has a verdict"),
    ],
)
def test_a_check_without_a_verdict_is_not_clean(
    said: str, flagged: tuple[str, ...], unchecked: tuple[str, ...], clean: bool
) -> None:
    """It is named, the heading and a note count it, and the dict says the same."""
    words = dict(zip("abc", said.split(), strict=True))
    run = ran(CHECKS, words, "--flag bad --min-success 0")
    assert (run.flagged, run.unchecked, run.clean) == (flagged, unchecked, clean)
    found = json.loads(json.dumps(run.to_dict()))
    assert (found["unchecked"], found["clean"]) == (list(unchecked), clean)
    told = f"{len(unchecked)} of 3 checks gave no verdict"
    for shown in (repr(run), *run._repr_mimebundle_().values()):
        assert (told in shown) is bool(unchecked)
    assert (f"without a verdict: {', '.join(unchecked)}" in str(run)) is bool(unchecked)


def test_clean_is_unknown_where_nothing_is_checked() -> None:
    """Without a flag there is nothing to be clean of; sections without one are no checks."""
    assert ran(CHECKS, {}.fromkeys("abc", "ok")).clean is None
    some = CHECKS + "%section free --open\nSay a word.\n"
    run = ran(some, {**{}.fromkeys("abc", "ok"), "free": "!"}, "--flag bad")
    assert (run.clean, run.unchecked) == (True, ())


@pytest.mark.parametrize("source", [list, iter], ids=["list", "generator"])
@pytest.mark.parametrize("count", [3, 2000])
def test_a_map_that_was_stopped_is_not_clean(source: Callable[..., Any], count: int) -> None:
    """Items that nobody has looked at are not taken for clean, whether or not they are known."""
    stop = Stop()
    plan = planned(
        "{{item}}\n", "--each docs --choices ok,bad --flag bad -c 1", docs=source([*range(count)])
    )

    async def run() -> Any:
        asyncio.get_running_loop().call_later(1.5, stop, "interrupted")
        return await FanoutPattern.run(
            plan, run_context(Fake(saying({}.fromkeys(["1"], "ok"))), stop)
        )

    found, _ = run_virtual(run())
    assert (found.clean, found["1"]) == (False, "ok")


@pytest.mark.parametrize(
    "line", ["--pick threshold --threshold 2", "--threshold 2", "--threshold 50%"]
)
@pytest.mark.parametrize(
    ("said", "flagged", "status"),
    [
        pytest.param("bad bad ok ok", True, "decided", id="two of four"),
        pytest.param("bad ok ok ok", False, "decided", id="one of four"),
        pytest.param("bad ok ok ?", False, "not_cleared", id="one, and one unreadable"),
        pytest.param("bad bad ? !", True, "decided", id="two, the others lost"),
    ],
)
def test_a_threshold_of_flags_asks_how_many_flag(
    line: str, said: str, flagged: bool, status: str
) -> None:
    """With a flag a threshold says how many votes for it are enough, whatever the others say."""
    names = [f"v{at}" for at in (1, 2, 3, 4)]
    words = dict(zip(names, said.split(), strict=True))
    whole = f"-n 4 --choices ok,bad --flag bad --min-success 0 {line}"
    plan = planned("Is it bad?\n", whole, "vote")
    vote, _ = run_virtual(VotePattern.run(plan, run_context(Fake(saying(words)))))
    assert isinstance(vote, VoteRun)
    assert (vote.flagged, vote.status) == (flagged, status)
    section = f"%section a -n 4 --choices ok,bad {line}\nIs it bad?"
    run = ran(section, {"a": said}, "--flag bad --min-success 0")
    assert run.flagged == (("a",) if flagged else ())
    assert run.clean is (status == "decided" and not flagged)


def test_criteria_are_scored_side_by_side() -> None:
    """Scores are numbers; of several judges of one criterion the median holds."""
    body = (
        "Judge this.\n%section clarity --score 1..10\nIs it clear?\n"
        "%section style -n 3 --score 1..10\nIs it well written?\n"
        "%section length -n 2 --number\nHow long?"
    )
    run = ran(body, {"clarity": "7", "style": "9 2 8", "length": "10 15"})
    assert dict(run) == {"clarity": 7, "style": 8, "length": 12.5}
    assert all(isinstance(value, int | float) for value in run.values())
    assert run.votes["style"].how == "the median of 3 votes"
    assert sum(float(value or 0) for value in run.values()) == 27.5


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words", "value", "status"),
    [
        pytest.param("--choices a,b,c", "a a b b c", None, "tie", id="tie"),
        pytest.param("--choices a,b,c --ties first", "b a a b c", "b", "decided", id="first"),
        pytest.param("--choices a,b,c --ties random", "b a a b c", "a|b", "decided", id="by lot"),
        pytest.param("--choices a,b,c", "a a ? ? ?", None, "no_quorum", id="no quorum"),
        pytest.param("--choices a,b,c --quorum 2", "a a ? ? ?", "a", "decided", id="own quorum"),
        pytest.param("--choices a,b --pick majority", "a a b ? ?", None, "no_majority", id="half"),
        pytest.param(
            "--choices a,b --pick majority --base valid", "a a b ? ?", "a", "decided", id="valid"
        ),
        pytest.param("--choices a,b --threshold 80%", "a a a a b", "a", "decided", id="share"),
        pytest.param("--choices a,b --threshold 5", "a a a a b", None, "no_majority", id="count"),
        pytest.param("--choices a,b --pick unanimous", "a a a a a", "a", "decided", id="all"),
        pytest.param("--choices a,b --pick any --flag b", "a a a b a", "b", "decided", id="any"),
        pytest.param("--choices a,b --pick any --flag b", "a a a a a", "a", "decided", id="none"),
        pytest.param("--score 1..10", "1 2 9 9 10", 9, "decided", id="median unless named"),
        pytest.param("--score 1..10 --pick mean", "1 2 9 9 10", 6.2, "decided", id="mean"),
        pytest.param("--score 1..10 --pick plurality", "1 2 9 9 10", 9, "decided", id="numbers"),
        pytest.param(
            "--score 1..10 --pick majority", "9 9 9 9.0 1", 9, "decided", id="most numbers"
        ),
        pytest.param("--number --pick median", "-1 0 1 ? ?", 0, "decided", id="zero is a value"),
    ],
)
def test_a_section_has_a_rule_of_its_own(options: str, words: str, value: Any, status: str) -> None:
    """As on a vote of its own; who has no winner has None."""
    run = ran(f"%section q -n 5 {options}\nx", {"q": words}, "--min-success 0")
    assert run.votes["q"].status == status
    if value == "a|b":
        assert run["q"] in ("a", "b")
        assert run["q"] == ran(f"%section q -n 5 {options}\nx", {"q": words})["q"]
    else:
        assert run["q"] == value
    assert str(run["q"]) in str(run.text) or run["q"] is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            "%section t -n 3 --pick judge --choices a,b\nx",
            "a section cannot use a judge",
            id="judge",
        ),
        pytest.param(
            "%section t -n 3 --pick best --choices a,b\nx",
            "a section cannot use a judge",
            id="best",
        ),
        pytest.param(
            "%section t -n 3 --ties judge --choices a,b\nx",
            "a section cannot use a judge",
            id="ties",
        ),
        pytest.param("%section t -n 3 --pick any --choices a,b\nx", "needs --flag", id="any"),
        pytest.param(
            "%section t -n 3 --pick median --choices a,b\nx", "works on numbers", id="median"
        ),
        pytest.param(
            "%section t -n 3 --quorum 4 --choices a,b\nx", "only 3 votes; lower the", id="quorum"
        ),
        pytest.param(
            "%section t --quorum 2 --choices a,b\nx", "only 1 vote; lower the", id="quorum of one"
        ),
        pytest.param("%section t -n 3 --pick majority\nx", "add --choices, --score", id="texts"),
        pytest.param("%section t -n 3 --threshold 2 --open\nx", "add --choices", id="open"),
        pytest.param(
            "%section t -n 3 --threshold 2 --pick mean --score 1..3\nx",
            "cannot be combined",
            id="two rules",
        ),
        pytest.param(
            "%section t -n 3 --stop clinch --choices a,b\nx", "is allowed on %%vote", id="stop"
        ),
        pytest.param("%section t --weight 2 --choices a,b\nx", "is allowed on %voter", id="weight"),
        pytest.param(
            "%section t -n 3 --choices a,b --flag c\nx",
            "has no such choice; its choices",
            id="flag",
        ),
    ],
)
def test_a_section_s_rule_that_cannot_be_kept_is_refused(body: str, says: str) -> None:
    """Before any call, in one line."""
    with pytest.raises(OptionError, match=says) as error:
        planned(body)
    assert "\n" not in str(error.value)


def test_workers_of_one_section_may_be_models() -> None:
    """One vote each; free texts keep a key each, as they have no consensus."""
    run = ran("%section t -m k,l,m --choices a,b\nx", {"t": "a b a"})
    assert run["t"] == "a"
    assert {record.model for record in run.results} == {"fake:k", "fake:l", "fake:m"}
    texts = ran("%section t -n 2\nx", {"t": "a b"})
    assert [*texts] == ["t.1", "t.2"]
    assert texts.votes == {}


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "value", "status"),
    [
        pytest.param("a ! a", "a", "decided", id="one failed"),
        pytest.param("a ! b", None, "tie", id="tie of the rest"),
        pytest.param("! ! a", None, "no_quorum", id="two failed"),
        pytest.param("? ? a", None, "no_quorum", id="two unreadable"),
    ],
)
def test_failures_are_no_votes(words: str, value: str | None, status: str) -> None:
    """They stay in the denominator, and their records say how they ended."""
    run = ran("%section t -n 3 --choices a,b\nx", {"t": words}, "--min-success 0")
    assert (run["t"], run.votes["t"].status) == (value, status)
    assert len(run.votes["t"].ballots) == 3
    assert len(run.failed) == words.count("!") + words.count("?")


def test_a_section_without_any_answer_is_no_key() -> None:
    """Reading it says why; the others are as they are."""
    body = f"{TOXICITY}\n%section other\ny"
    run = ran(body, {"toxicity": "! ! ?", "other": "fine"}, "--min-success 0")
    assert dict(run) == {"other": "ANSWER: fine"}
    with pytest.raises(KeyError, match="2 failed, 1 invalid"):
        run["toxicity"]
    with pytest.raises(TooFewSucceeded):
        ran(TOXICITY, {"toxicity": "! ! safe"})


def test_a_retry_asks_the_lost_votes_of_a_section() -> None:
    """The new run has the vote that came of all of them; the old one stays."""
    first = ran(TOXICITY, {"toxicity": "safe ! toxic"}, "--min-success 0")
    fake = Fake(saying({"toxicity": "toxic toxic toxic"}))
    plan = planned(TOXICITY)
    again, _ = run_virtual(FanoutPattern.run(plan, run_context(fake), first))
    assert (fake.calls, again["toxicity"], again.votes["toxicity"].tally) == (
        ["toxicity.2"],
        "toxic",
        {"toxic": 2, "safe": 1},
    )
    assert first["toxicity"] is None


# --- maps -----------------------------------------------------------------------------------------


def of_items(docs: Any) -> Callable[[Task, Heard], Any]:
    """Voters who say what the item says in turn."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        number, _, rest = task.name.partition(".")
        words = docs[int(number) - 1].split()
        return Reply(f"ANSWER: {words[int(rest.rpartition('.')[2]) - 1]}")

    return act


def test_a_map_of_votes() -> None:
    """Each item has its own; flags and ties are per item."""
    docs = ["safe safe toxic", "toxic toxic safe", "safe toxic ?"]
    body = "%section t -n 3 --choices safe,toxic --flag toxic\nIs {{item}} toxic?"
    plan = planned(body, "--each docs", docs=docs)
    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(of_items(docs)))))
    assert dict(run) == {"1.t": "safe", "2.t": "toxic", "3.t": None}
    assert run.flagged == ("2.t",)
    assert [poll.status for poll in run.votes.values()] == ["decided", "decided", "tie"]
    assert len(run.results) == 9


def test_of_many_votes_all_have_a_row_and_all_are_kept() -> None:
    """A map of a hundred has a hundred votes in the result, and a row for each."""
    docs = ["safe safe toxic"] * 100
    body = "%section t -n 3 --choices safe,toxic\nIs {{item}} toxic?"
    plan = planned(body, "--each docs", docs=docs)
    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(of_items(docs)))))
    assert len(run.votes) == 100
    assert {*run.values()} == {"safe"}
    shown = run._repr_mimebundle_()
    assert len(shown["text/html"]) < 2_000_000
    assert shown["text/html"].count("safe 2 of 3 · toxic 1 of 3") == 100


def test_a_synthesis_reads_the_winners() -> None:
    """Not the single votes; who has no winner is quoted."""
    plan = planned(f"{TOXICITY}\n%section note\nSay.\n%synthesis\nMerge.")
    prompts: list[str] = []
    said = saying({"toxicity": "safe toxic safe", "note": "fine"})

    async def act(task: Task, heard: Heard) -> Reply:
        if task.name == "synthesis":
            prompts.append(task.prompt)
            return Reply("merged")
        reply: Reply = await said(task, heard)
        return reply

    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(act))))
    assert run.text == "merged"
    assert "safe" in prompts[0]
    assert "ANSWER: toxic" not in prompts[0]


def test_a_tied_section_has_no_voice_in_the_text() -> None:
    """Neither in the joined text nor before a synthesis does one of its votes stand for it."""
    define_simulated("tied", {"p": ["ANSWER: bad", "ANSWER: fine"]})
    try:
        cell = "%section p -n 2 --choices fine,bad --flag bad\nIs it?"
        run = asyncio.run(fanout(cell, model="tied"))
    finally:
        forget("tied")
    assert run["p"] is None
    assert run.text == "[no winner: tie]"
    assert repr(run.votes["p"]) == "<SectionVote p: None (tie), {'bad': 1, 'fine': 1}>"


def test_what_is_flagged_is_shown() -> None:
    """The saved notebook tells it, and not only the run object."""
    run = asyncio.run(
        fanout("%section p -n 3 --choices bad,fine --flag bad\nIs it?", model="sim:?accuracy=1")
    )
    assert run.flagged == ("p",)
    assert "Note: flagged: p" in str(run)
