"""Decision models on their two wires, through OpenAI's SDK: one request, exact sums, every fault told."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import served
from provider import Act, Call, Loopback, Wire
from provider_acts import NAMED

from parallm_magics import BudgetExceeded, ModelError, OptionError, TooFewSucceeded, fanout, vote
from parallm_magics.api import plan_cell
from parallm_magics.core.tasks import Usage
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers import registry
from parallm_magics.providers.registry import Clients

MODELS = {"decisions": "decide:gpt-6-luna", "systemone": "local-decide:jev"}
each_wire = pytest.mark.parametrize("wire", MODELS)
PRICE = Decimal("0.1") / 1_000_000


@pytest.fixture
def server() -> Iterator[Loopback]:
    """The scripted provider, at OpenAI's address and at that of a local server."""
    with served() as running:
        registry.define("local", f"{running.url}/v1")
        yield running
        registry.forget("local")


def do(pattern: Any, *args: Any, **options: Any) -> Any:
    """Run a pattern to its end, whatever succeeds."""
    return asyncio.run(pattern(*args, **{"variables": {}, "min_success": 0, **options}))


def sections(count: int, options: str = "--choices spam,ham") -> str:
    """A preamble and so many questions about it."""
    asked = "\n\n".join(f"%section s{n} {options}\nQuestion {n}?" for n in range(count))
    return f"Buy now!\n\n{asked}"


def script(server: Loopback, *acts: Any) -> None:
    """Let both models get these acts."""
    for model in MODELS.values():
        server.script(model.partition(":")[2], *acts)


def counted(server: Loopback) -> Usage:
    """The tokens that the server has billed."""
    billed = [call.fed for call in server.log if call.fed is not None]
    return sum((Usage(fed.plain, fed.read, fed.written) for fed in billed), Usage())


# --- one request ----------------------------------------------------------------------------------


@each_wire
@pytest.mark.parametrize("concurrency", [1, None])
def test_400_questions_are_one_request_and_their_cost_is_that_of_the_log(
    server: Loopback, wire: str, concurrency: int | None
) -> None:
    """Whatever -c is: one admission, one try, and sums that are exact."""
    run = do(fanout, sections(400), model=MODELS[wire], concurrency=concurrency)
    assert [call.endpoint for call in server.log] == [f"/v1/{wire}"]
    assert len(server.log[0].body["questions"]) == 400
    assert len(run.succeeded) == len(run) == 400
    assert {len(record.attempts) for record in run.results} == {1}
    assert run.usage == counted(server)
    if wire == "decisions":
        assert run.cost == PRICE * sum(counted(server).to_dict().values())
        assert run.cost_complete
    else:
        assert run.cost is None  # of a local server


@each_wire
def test_more_than_400_questions_are_split_and_told(server: Loopback, wire: str) -> None:
    """Two requests, and a note that says so."""
    run = do(fanout, sections(401), model=MODELS[wire])
    assert [len(call.body["questions"]) for call in server.log] == [400, 1]
    assert any("401 questions about one text are asked in 2 requests" in note for note in run.notes)
    assert run.usage == counted(server)
    assert len(run.succeeded) == 401


def test_openais_wire_says_the_state_once_and_each_question_with_its_labels(
    server: Loopback,
) -> None:
    """The preamble is the input, a section's text its instructions; levels stand for a range."""
    cell = f"{sections(1)}\n\n%section tone --score 1..3\nHow kind?"
    run = do(fanout, cell, model=MODELS["decisions"])
    assert server.log[0].body == {
        "model": "gpt-6-luna",
        "input": "Buy now!",
        "questions": [
            {
                "name": "q1",
                "type": "choice",
                "instructions": "Question 0?",
                "choices": [{"value": "spam"}, {"value": "ham"}],
            },
            {
                "name": "q2",
                "type": "score",
                "instructions": "How kind?",
                "levels": [{"label": "1"}, {"label": "2"}, {"label": "3"}],
            },
        ],
    }
    assert run["s0"] == "spam"
    assert run.results[0].probabilities == {"spam": 0.75, "ham": 0.25}
    assert run["tone"] == pytest.approx(0.75 * 1 + 0.125 * 2 + 0.125 * 3)
    assert run.results[0].model_answered == "gpt-6-luna"


def test_system_one_names_its_questions(server: Loopback) -> None:
    """The same over the other wire, whose levels are counted from 0."""
    cell = f"{sections(1)}\n\n%section tone --score 1..3\nHow kind?"
    run = do(fanout, cell, model=MODELS["systemone"])
    assert server.log[0].body == {
        "model": "jev",
        "state": "Buy now!",
        "questions": {
            "q1": {
                "type": "choice",
                "instructions": "Question 0?",
                "criteria": {"spam": None, "ham": None},
            },
            "q2": {"type": "score", "instructions": "How kind?", "criteria": ["1", "2", "3"]},
        },
    }
    assert run["s0"] == "spam"
    assert run["tone"] == pytest.approx(0.75 * 1 + 0.125 * 2 + 0.125 * 3)
    assert run.results[0].model_answered == "jev-1.13.0"


@each_wire
def test_items_are_separate_requests(server: Loopback, wire: str) -> None:
    """Each with all questions about it."""
    items = ["one", "two", "three"]
    cell = "{{item}}\n\n%section a --choices spam,ham\nA?\n\n%section b --score 1..3\nB?"
    run = do(fanout, cell, model=MODELS[wire], each=items)
    assert sorted(call.prompt for call in server.log) == sorted(items)
    assert {len(call.body["questions"]) for call in server.log} == {2}
    assert len(run.succeeded) == 6
    assert run.usage == counted(server)


@each_wire
def test_voters_may_be_decision_models(server: Loopback, wire: str) -> None:
    """A ballot is the most probable label; a model in words votes beside it."""
    server.answers = lambda body: "ham" if "questions" in body else "ANSWER: spam"
    cell = f"Spam?\n\n%voter a -m {MODELS[wire]}\n\n%voter b -m openai:gpt-6-luna\n\n%voter c -m {MODELS[wire]}"
    run = do(vote, cell, choices="spam,ham")
    assert [ballot.label for ballot in run.ballots] == ["ham", "spam", "ham"]
    assert run.winner == "ham"
    assert len(server.log) == 2


@each_wire
def test_a_study_compares_a_vote_with_a_decision_model(server: Loopback, wire: str) -> None:
    """`--compare` asks it once for an item."""
    server.answers = lambda body: "ham" if "questions" in body else "ANSWER: spam"
    items = [{"text": f"text {n}", "label": "ham"} for n in range(4)]
    run = do(
        vote,
        "Is {{item.text}} spam?",
        model="openai:gpt-6-luna",
        n=3,
        choices="spam,ham",
        each=items,
        truth="{{item.label}}",
        compare=MODELS[wire],
    )
    rows = {row["system"]: row for row in run.to_pandas().to_dict("records")}
    assert rows["vote"]["right"] == 0
    assert rows[MODELS[wire]]["right"] == len(items)
    assert sum(call.endpoint.endswith(wire) for call in server.log) == 4


# --- guards ---------------------------------------------------------------------------------------


@each_wire
@pytest.mark.parametrize(("said", "blocks"), [("BLOCK 0.7", True), ("BLOCK 0.69", False)])
def test_a_guard_blocks_from_a_probability_on(
    server: Loopback, wire: str, said: str, blocks: bool
) -> None:
    """At the threshold it blocks, below it passes; the message shows the probability."""
    server.answers = lambda body: said if "questions" in body else "fine"
    cell = f"Work.\n\n%section a\nDo.\n\n%guardrail g -m {MODELS[wire]} --threshold 0.7\nHarmful?"
    run = do(fanout, cell, model="openai:gpt-6-luna")
    assert run.blocked is blocks
    share = f"{float(said.split()[1]):.0%}".replace("%", " %")
    assert run.guard.reason == f"P(BLOCK) = {share}, blocks from 70 %"
    assert run.guard.probability == pytest.approx(float(said.split()[1]))
    if blocks:
        assert f"P(BLOCK) = {share}" in run.results[0].error.message


@each_wire
@pytest.mark.parametrize("act", [NAMED["refusal"], Act(status=400), Act(body={"answers": 1})])
def test_a_guard_without_a_verdict_blocks(server: Loopback, wire: str, act: Act) -> None:
    """Refused, failed, or no answer at all."""
    server.script(MODELS[wire].partition(":")[2] + "-guard", act)
    cell = f"Work.\n\n%section a\nDo.\n\n%guardrail g -m {MODELS[wire]}-guard --threshold 0.7\nBad?"
    run = do(fanout, cell, model="openai:gpt-6-luna")
    assert run.blocked
    assert run.guard.verdict is None


def test_a_threshold_needs_a_probability_or_votes(server: Loopback) -> None:
    """The way out is named for ordinary models, and nothing is asked."""
    cell = "Work.\n\n%section a\nDo.\n\n%guardrail g --threshold 0.7\nHarmful?"
    with pytest.raises(OptionError, match=r"-m decide:gpt-6-luna"):
        do(fanout, cell, model="openai:gpt-6-luna")
    assert not server.log


# --- faults ---------------------------------------------------------------------------------------


def changed(**fields: Any) -> Any:
    """An act that answers well, but with these fields in place of the first question's answer."""

    def act(call: Call) -> Act:
        from provider_dialects import DIALECTS

        whole = DIALECTS[call.dialect](call, Act(), "").message()
        answers = whole["answers"]
        first = 0 if isinstance(answers, list) else "q1"
        answers[first] = {**answers[first], **fields}
        return Act(body=json.dumps(whole))

    return act


def stated(**shares: Any) -> Any:
    """An act that gives the first question these probabilities."""

    def act(call: Call) -> Act:
        listed = [{"value": label, "probability": share} for label, share in shares.items()]
        form = shares if call.dialect == "systemone" else listed
        made = changed(probabilities=form)(call)
        assert isinstance(made, Act)
        return made

    return act


def without_first(call: Call) -> Act:
    """An act that leaves the first question out."""
    from provider_dialects import DIALECTS

    whole = DIALECTS[call.dialect](call, Act(), "").message()
    if isinstance(whole["answers"], list):
        del whole["answers"][0]
    else:
        del whole["answers"]["q1"]
    return Act(body=json.dumps(whole))


# What stands in the place of the first of two answers, and how its record ends; the other is fine.
OF_ONE: dict[str, tuple[Any, str, str]] = {
    "left out": (without_first, "invalid", "left it out"),
    "no probabilities": (changed(probabilities=None), "invalid", "no probabilities"),
    "of a wrong shape": (changed(probabilities="spam"), "invalid", "no probabilities"),
    "too small a sum": (stated(spam=0.5, ham=0.1), "invalid", "sum up to 0.6"),
    "too large a sum": (stated(spam=0.9, ham=0.9), "invalid", "sum up to 1.8"),
    "an unknown label": (stated(spam=0.5, eggs=0.5), "invalid", "'eggs' is none of its labels"),
    "not a number": (stated(spam=math.nan, ham=1.0), "invalid", "probability of spam is nan"),
    "infinite": (stated(spam=math.inf, ham=0.0), "invalid", "probability of spam is inf"),
    "negative": (stated(spam=-0.2, ham=1.2), "invalid", "probability of spam is -0.2"),
    "a text": (stated(spam="0.9", ham=0.1), "invalid", "probability of spam is 0.9"),
    "true": (stated(spam=True, ham=0.0), "invalid", "probability of spam is True"),
    "of another type": (changed(type="noul", noul=0.9), "invalid", "not a choice"),
    "without a type": (changed(type=None), "invalid", "not a choice"),
}


@each_wire
@pytest.mark.parametrize("name", OF_ONE)
def test_a_bad_answer_to_one_question_is_its_records_status_alone(
    server: Loopback, wire: str, name: str
) -> None:
    """It is no vote, it is not asked again, and the other question has its answer."""
    act, status, words = OF_ONE[name]
    script(server, act)
    run = do(fanout, sections(2), model=MODELS[wire])
    assert [record.status for record in run.results] == [status, "ok"]
    assert words in run.results[0].error.message
    assert run.results[0].value is None
    assert run.results[0].probabilities is None
    assert len(server.log) == 1


def renamed(name: Any) -> Any:
    """An act whose answers have no names, or stand in another order than asked."""

    def act(call: Call) -> Act:
        from provider_dialects import DIALECTS

        whole = DIALECTS[call.dialect](call, Act(), "").message()
        whole["answers"][0]["probabilities"][0]["probability"] = 0.25
        whole["answers"][0]["probabilities"][1]["probability"] = 0.75
        if name is None:
            whole["answers"] = [{**each, "name": None} for each in whole["answers"]]
        else:
            whole["answers"].reverse()
        return Act(body=json.dumps(whole))

    return act


@pytest.mark.parametrize("name", [None, "q1"])
def test_openais_answers_are_told_by_their_names_else_by_their_order(
    server: Loopback, name: str | None
) -> None:
    """A server that keeps no names answers in order."""
    script(server, renamed(name))
    run = do(fanout, sections(2), model=MODELS["decisions"])
    assert dict(run) == {"s0": "ham", "s1": "spam"}


def test_a_refused_question_is_refused_and_abstains(server: Loopback) -> None:
    """Of OpenAI's wire, which says so."""
    script(server, changed(type="refusal"))
    run = do(fanout, sections(2), model=MODELS["decisions"])
    assert [record.status for record in run.results] == ["refused", "ok"]
    voted = do(vote, "Spam?", model=MODELS["decisions"], choices="spam,ham", n=3)
    assert [ballot.state for ballot in voted.ballots] == ["abstain", "valid", "valid"]


HTML = Act(headers={"content-type": "text/html"}, body="<html>proxy login</html>")
CUT = Act(wire=Wire((b'{"answers": {"q1": {"type": "cho',), "break", "application/json"))
ENDED = Act(wire=Wire((b'{"answers": {"q1": {"type": "cho',), "end", "application/json"))
# What stands in the place of the whole answer: how all records end, and after how many requests.
OF_ALL: dict[str, tuple[Act, str, str, int]] = {
    "400": (Act(status=400), "failed", "bad_request", 1),
    "400 in html": (Act(status=400, body="<html>no</html>"), "failed", "bad_request", 1),
    "401": (Act(status=401), "failed", "auth", 1),
    "404": (Act(status=404), "failed", "model", 1),
    "405": (Act(status=405), "failed", "model", 1),
    "413": (Act(status=413), "failed", "too_large", 1),
    "422": (Act(status=422, body={"detail": "at most 26 labels"}), "failed", "bad_request", 1),
    "500": (Act(status=500), "failed", "server", 2),
    "500 as text": (Act(status=500, body="oops"), "failed", "server", 2),
    "501": (Act(status=501, body={"error": {"code": 501, "message": "no"}}), "failed", "model", 1),
    "503": (Act(status=503), "failed", "server", 2),
    "html": (HTML, "invalid", "not_an_answer", 1),
    "nothing": (Act(body=""), "invalid", "not_an_answer", 1),
    "half a body": (ENDED, "invalid", "not_an_answer", 1),
    "a body that breaks": (CUT, "failed", "connection", 2),
    "null": (Act(body="null"), "invalid", "not_an_answer", 1),
    "a list": (Act(body="[]"), "invalid", "not_an_answer", 1),
    "no answers": (Act(body={"model": "x"}), "invalid", "not_an_answer", 1),
    "answers of no kind": (Act(body={"answers": 7}), "invalid", "not_an_answer", 1),
    "chat instead": (Act(body={"choices": [{"message": {}}]}), "invalid", "not_an_answer", 1),
}


@each_wire
@pytest.mark.parametrize("name", OF_ALL)
def test_a_fault_of_the_request_is_that_of_all_its_questions(
    server: Loopback, wire: str, name: str
) -> None:
    """Each record has it, and the request is tried again as any other, never once for each question."""
    act, status, kind, tries = OF_ALL[name]
    script(server, act)
    run = do(fanout, sections(3), model=MODELS[wire], retries=1)
    assert {(record.status, record.error.kind) for record in run.results} == {(status, kind)}
    assert len(server.log) == tries
    assert {len(record.attempts) for record in run.results} == {tries}
    assert "<html" not in str(run.to_dict()) or "text/html" in run.results[0].error.message


@each_wire
def test_a_model_that_is_no_decision_model_is_told(server: Loopback, wire: str) -> None:
    """As llama.cpp says it: 501, which no further try can change."""
    script(server, Act(status=501))
    with pytest.raises(TooFewSucceeded, match="may be no decision model there"):
        do(fanout, sections(2), model=MODELS[wire], min_success="50%")
    assert len(server.log) == 1


@each_wire
def test_a_passing_fault_is_tried_again_for_all_at_once(server: Loopback, wire: str) -> None:
    """Two requests, and one good answer for each question."""
    script(server, Act(status=503), Act())
    run = do(fanout, sections(5), model=MODELS[wire])
    assert len(server.log) == 2
    assert {record.status for record in run.results} == {"ok"}
    assert run.usage == counted(server)
    assert {len(record.attempts) for record in run.results} == {2}


# --- limits ---------------------------------------------------------------------------------------


def test_a_budget_holds_what_the_input_can_cost_at_most(server: Loopback) -> None:
    """One request of 50 questions: no output is set aside, and too small a cap asks nothing."""
    options = {"model": MODELS["decisions"], "min_success": "50%"}
    with pytest.raises(BudgetExceeded):
        do(fanout, sections(50), max_cost="0.00005", **options)
    assert not server.log
    # 50 questions of some 20 bytes and their wrapping are below 20,000 tokens, $0.002.
    run = do(fanout, sections(50), max_cost="0.002", **options)
    assert len(run.succeeded) == 50
    assert run.cost <= Decimal("0.002")


@each_wire
def test_a_request_counts_once_against_a_limit(server: Loopback, wire: str) -> None:
    """Of one request a minute, 50 questions are one."""
    run = do(fanout, sections(50), model=MODELS[wire], rpm=1)
    assert len(run.succeeded) == 50
    assert run.seconds < 30


@each_wire
def test_a_stop_cancels_all_questions_of_a_request(server: Loopback, wire: str) -> None:
    """Each has its one record, and none says what it cost."""
    script(server, Act(hang=True))
    context = RunContext(Clients())

    async def main() -> Any:
        text = sections(3)
        plan = plan_cell("fanout", f"-m {MODELS[wire]}", text, {}, first=2, settings=None)
        asyncio.get_running_loop().call_later(0.3, context.stop, "stopped by a test")
        try:
            return await FanoutPattern.run(plan, context)
        finally:
            await context.clients.close()

    run = asyncio.run(main())
    assert [record.status for record in run.results] == ["cancelled"] * 3
    assert [record.name for record in run.results] == ["s0", "s1", "s2"]


@each_wire
def test_a_deadline_ends_all_questions_of_a_request(server: Loopback, wire: str) -> None:
    """They have timed out, with one request made."""
    script(server, Act(hang=True))
    run = do(fanout, sections(3), model=MODELS[wire], timeout=0.2)
    assert {record.status for record in run.results} == {"timed_out"}
    assert len(server.log) == 1


@each_wire
def test_a_partly_recorded_request_asks_only_the_rest(
    server: Loopback, wire: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question has a key of its own; probabilities come back from the file."""
    monkeypatch.setenv("PARALLM_RECORDINGS", str(tmp_path / "decisions.jsonl"))
    first = do(fanout, sections(3), model=MODELS[wire])
    second = do(fanout, sections(5), model=MODELS[wire])
    assert [len(call.body["questions"]) for call in server.log] == [3, 2]
    assert [record.replayed for record in second.results] == [True] * 3 + [False] * 2
    assert [r.probabilities for r in second.results[:3]] == [r.probabilities for r in first.results]
    monkeypatch.setenv("PARALLM_RECORDINGS", f"replay:{tmp_path / 'decisions.jsonl'}")
    again = do(fanout, sections(5), model=MODELS[wire])
    assert dict(again) == dict(second)
    assert again.usage == second.usage
    assert len(server.log) == 2
    # Other labels are another question.
    monkeypatch.setenv("PARALLM_RECORDINGS", str(tmp_path / "decisions.jsonl"))
    other = do(fanout, sections(1, "--choices ham,spam"), model=MODELS[wire])
    assert not other.results[0].replayed


@each_wire
def test_what_cannot_be_answered_is_refused_before_any_call(server: Loopback, wire: str) -> None:
    """In one line that names the way out."""
    for options in ({}, {"number": True}, {"open": True}, {"schema": "a, b: number"}):
        with pytest.raises(ModelError, match="answers only --choices and --score"):
            do(vote, "Spam?", model=MODELS[wire], **options)
    with pytest.raises(ModelError, match="takes no system prompt"):
        do(vote, "Spam?", model=MODELS[wire], choices="spam,ham", system="Be kind.")
    with pytest.raises(ModelError, match="give %synthesis another model"):
        do(fanout, f"{sections(2)}\n\n%synthesis\nMerge.", model=MODELS[wire])
    assert not server.log


@each_wire
def test_options_of_sampling_are_noted_and_not_sent(server: Loopback, wire: str) -> None:
    """Nothing is sampled."""
    run = do(
        vote,
        "Spam?",
        model=MODELS[wire],
        choices="spam,ham",
        temperature=0.7,
        effort="low",
        max_tokens=9,
        n=1,
    )
    assert any("does not use -t, --effort, --max-tokens" in note for note in run.notes)
    assert not {"temperature", "max_tokens", "effort", "stream"} & server.log[0].body.keys()


# --- names ----------------------------------------------------------------------------------------


def test_every_provider_with_an_address_may_have_decision_models(server: Loopback) -> None:
    """By a rule, and not by a list: also one that the user has named, at its address and with its key."""
    assert registry.entry_of("local-decide").base_url == f"{server.url}/v1"
    for name in ("ollama", "llamacpp", "vllm", "lmstudio", "openrouter"):
        entry = registry.entry_of(f"{name}{registry.DECIDE}")
        assert entry.base_url == registry.entry_of(name).base_url
        assert entry.keys == registry.entry_of(name).keys
        assert registry.parse_model(f"{name}-decide:jev").decides
    for name in ("sim-decide", "decide-decide", "bedrock-decide", "nobody-decide"):
        with pytest.raises(ModelError, match="unknown provider"):
            registry.entry_of(name)
    assert not registry.parse_model("openai:gpt-6-luna").decides


@each_wire
def test_a_study_measures_a_decision_model_beside_the_vote(server: Loopback, wire: str) -> None:
    """Right, cost, time and calibration of one call of it, by the probabilities that came."""
    items = [{"text": f"t{at}", "label": ["spam", "ham"][at % 2]} for at in range(40)]
    run = do(
        vote,
        "Which is it?\n\n{{item.text}}",
        each=items,
        truth="label",
        choices="spam,ham",
        n=3,
        model="sim:?accuracy=0.8&scale=0",
        compare=MODELS[wire],
        sure="60%",
    )
    requests = [call for call in server.log if call.endpoint == f"/v1/{wire}"]
    assert len(requests) == 40
    [name] = [system.name for system in run.systems if system.kind == "model"]
    found, measured = run.calibration[name], run.measures[name]
    assert (found.kind, found.items + found.without) == ("stated", 40)
    rows = [record for record in run.results if record.probabilities]
    stated = [record.probabilities[record.value] for record in rows if record.value is not None]
    assert found.stated == pytest.approx(math.fsum(stated) / len(stated))
    assert found.right == measured.right
    assert measured.median is not None
    if wire == "decisions":
        assert measured.cost * 40 == PRICE * sum(counted(server).to_dict().values())
    assert found.sure is not None
    assert "Stated probability" in str(run)
