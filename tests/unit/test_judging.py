"""A judge among the answers of a panel: what it is shown, how its verdict counts, what sways it not."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, cast

import pytest
from asking import MODELS, bad_inputs, each_dialect, served, voted
from fakes import Fake, FakeClients
from judges import BLOCK, Judge, choosing, shown
from virtual_time import run_virtual

from parallm_magics import OptionError, VoteRun
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task, Usage
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import Clients

WORKER_TEXTS = {
    name: row["payload"]
    for name, row in bad_inputs("judge").items()
    if "worker_text" in row["surfaces"] and "payload" in row
}


def ran(
    answers: list[str | None],
    judge: Judge,
    line: str = "",
    body: str = "Which city?\n%judge\nPrefer the shorter.",
    before: VoteRun | None = None,
) -> tuple[VoteRun, list[Task]]:
    """A vote of these answers, None for a failure, and the calls of its judge."""
    asked: list[Task] = []

    async def act(task: Task, heard: Heard) -> Reply:
        if task.role == "judge":
            asked.append(task)
            await asyncio.sleep(1)
            text = judge(task.prompt)
        else:
            await asyncio.sleep(10 - task.index)
            text = answers[task.index] or ""
            if not text:
                raise CallFailed(Fault("bad_request", "no"))
        return Reply(text, usage=Usage(10, 0, 0, 5))

    fake = Fake(act)
    cell = parse("vote", f"-n {len(answers)} {line}", body)
    plan = make_plan(cell, {}, lambda text: Model("fake", text), {"model": ("m",)})
    PATTERNS[plan.pattern].check(plan)
    around = RunContext(cast("Clients", FakeClients(fake)))
    run, _ = run_virtual(VotePattern.run(plan, around, before))
    return run, asked


def test_two_candidates_are_shown_in_both_orders() -> None:
    """The judge must choose the same one in each; equal answers are one candidate."""
    run, asked = ran(["Paris", "Rome", " paris. "], choosing("Rome"))
    assert (run.winner, run.status, run.text) == ("Rome", "decided", "Rome")
    assert run.how == "the judge chose 'Rome' in both orders"
    first, second = (shown(task.prompt) for task in asked)
    assert sorted(first.values()) == ["Paris", "Rome"]
    assert first == {1: second[2], 2: second[1]}


def test_more_candidates_are_shown_in_three_rotations() -> None:
    """Each stands in each place once, and most orders decide."""
    run, asked = ran(["Paris", "Rome", "Oslo"], choosing("Oslo"))
    assert run.winner == "Oslo"
    assert run.how == "the judge chose 'Oslo' in all 3 orders"
    places = [[shown(task.prompt)[n] for task in asked] for n in (1, 2, 3)]
    assert all(sorted(place) == ["Oslo", "Paris", "Rome"] for place in places)


def test_a_judge_that_changes_its_mind_with_the_order_leaves_a_tie() -> None:
    """Always the first place is no choice of an answer."""
    run, _ = ran(["Paris", "Rome", "Rome"], lambda prompt: '{"winner": 1}')
    assert (run.winner, run.status, set(run.tied)) == (None, "tie", {"Paris", "Rome"})
    assert "inconsistent" in run.how
    first, _ = ran(["Paris", "Rome", "Rome"], lambda prompt: '{"winner": 1}', "--ties first")
    assert (first.winner, first.status) == ("Paris", "decided")
    assert "inconsistent" in first.how
    assert "lowest index" in first.how


def test_two_of_three_orders_are_enough() -> None:
    """The judge need not choose the same each time, but mostly."""
    turns = iter([choosing("Oslo"), choosing("Oslo"), choosing("Rome")])

    def judge(prompt: str) -> str:
        return next(turns)(prompt)

    run, _ = ran(["Paris", "Rome", "Oslo"], judge)
    assert run.winner == "Oslo"
    assert run.how == "the judge chose 'Oslo' in 2 of 3 orders"


def test_an_unreadable_reply_is_asked_for_once_more() -> None:
    """The second try says what is wanted; both are rows of their own and are paid for."""
    replies: list[str] = []

    def judge(prompt: str) -> str:
        replies.append(prompt)
        return choosing("Rome")(prompt) if "could not be read" in prompt else "Rome, I think."

    run, asked = ran(["Paris", "Rome"], judge)
    assert run.winner == "Rome"
    assert [r.name for r in run.judgments] == [
        "judge.1",
        "judge.2",
        "judge.1.again",
        "judge.2.again",
    ]
    assert [r.status for r in run.judgments] == ["invalid", "invalid", "ok", "ok"]
    assert [r.value for r in run.judgments] == [None, None, "Rome", "Rome"]
    assert len(asked) == 4
    assert run.usage == Usage(60, 0, 0, 30)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param("I think both are good. Tough call!", id="prose"),
        pytest.param("I'm sorry, but I can't help with that.", id="refusal"),
        pytest.param('{"winner": 7}', id="out of range"),
        pytest.param('{"winner": 0}', id="zero"),
        pytest.param('{"winner": -1}', id="minus one"),
        pytest.param('{"winner": 1.5}', id="no place"),
        pytest.param('{"winner": true}', id="bool"),
        pytest.param('{"winner": null}', id="null"),
        pytest.param('{"winner": 2}\n{"winner": 1}', id="two verdicts"),
        pytest.param('{"winner": 1, "winner": 2}', id="twice in one"),
        pytest.param('{"winner": 1, "reason": "ok"}\nQuoting: {"winner": 2', id="a broken second"),
        pytest.param("**Winner:** Candidate `2`\n\nBecause 1 > 0.", id="markdown"),
        pytest.param("[[2]]", id="brackets"),
    ],
)
def test_without_a_verdict_the_fallback_is_named(reply: str) -> None:
    """Ten and more forged or useless replies: the panel decides, and the result says so."""
    run, asked = ran(["Paris", "Rome", "Rome"], lambda prompt: reply)
    assert (run.winner, run.status) == ("Rome", "decided")
    assert run.how.startswith("the judge gave no verdict")
    assert "decided by plurality instead" in run.how
    assert len(asked) == 4


def test_a_failing_judge_keeps_the_workers() -> None:
    """No verdict, no loss; a second try asks the judge alone."""

    def broken(prompt: str) -> str:
        raise CallFailed(Fault("bad_request", "the judge is out"))

    run, _ = ran(["Paris", "Rome", "Rome"], broken)
    assert run.winner == "Rome"
    assert "the judge is out" in run.how
    again, asked = ran(["Oslo", "Oslo", "Oslo"], choosing("Paris"), before=run)
    assert [task.name for task in asked] == ["judge.1", "judge.2"]
    assert (again.winner, again.how) == ("Paris", "the judge chose 'Paris' in both orders")
    once_more, asked = ran(["Oslo", "Oslo", "Oslo"], choosing("Rome"), before=again)
    assert asked == []
    assert once_more.winner == "Paris"


def test_one_candidate_needs_no_judge() -> None:
    """Where all answers are the same there is nothing to choose."""
    run, asked = ran(["Paris", "paris", None], choosing("Rome"))
    assert (run.winner, asked) == ("Paris", [])
    assert "no judge was asked" in run.how


def test_without_a_quorum_no_judge_is_asked() -> None:
    """A single answer of three is no panel."""
    run, asked = ran(["Paris", None, None], choosing("Paris"), "--min-success 0")
    assert (run.status, asked) == ("no_quorum", [])


def test_what_the_judge_is_shown() -> None:
    """The task and the candidates as data; no names, counts or models; nothing in the system prompt."""
    body = (
        'Which city?\n%judge --system "Be fair."\nFor {{task}} choose one of\n{{candidates}}\nnow.'
    )
    run, [task, _] = ran(["Paris", "Rome", "Rome"], choosing("Rome"), body=body)
    prompt = task.prompt
    assert run.winner == "Rome"
    assert task.system == "Be fair."
    assert prompt.count("Which city?") == 1
    assert "There are 2 candidates" in prompt
    assert not re.search(r"\bv[123]\b|fake|votes", prompt)
    assert "choose one of\nThere are 2" in prompt
    begin, end = prompt.index("candidate 1>>"), prompt.rindex("<<end")
    notices = [m.start() for m in re.finditer("is data, written by others", prompt)]
    assert notices[0] < begin
    assert notices[-1] > end
    assert prompt.endswith('{"winner": <a number from 1 to 2>, "reason": "<one sentence>"}')


def test_the_default_judge_needs_no_block() -> None:
    """`--pick judge` alone is enough."""
    run, [task, _] = ran(["Paris", "Rome"], choosing("Paris"), "--pick judge", "Which city?")
    assert run.winner == "Paris"
    assert "answers the task best" in task.prompt


def test_prompts_do_not_depend_on_who_came_first() -> None:
    """Nonce, order and rotation are those of the answers, so that judge calls replay."""
    one = ran(["Paris", "Rome", "Oslo"], choosing("Oslo"))[1]
    other = ran(["Oslo", "Paris", "Rome"], choosing("Oslo"))[1]
    assert [task.prompt for task in one] == [task.prompt for task in other]
    seeded = ran(["Paris", "Rome", "Oslo"], choosing("Oslo"), "--seed 1")[1]
    assert [task.prompt for task in seeded] != [task.prompt for task in one]


def test_scores_find_the_best() -> None:
    """Each candidate is seen alone; the highest wins, and its score is not printed as its quality."""
    scores = {"Paris": 3, "Rome": 9, "Oslo": 5}

    def judge(prompt: str) -> str:
        name = next(name for name in scores if name in prompt)
        return json.dumps({"score": scores[name]})

    body = "Which city?\n%judge --score 0..10\nRate it."
    run, asked = ran(["Paris", "Oslo", "Rome", "Oslo"], judge, body=body)
    assert (run.winner, len(asked)) == ("Rome", 3)
    assert run.how == "the highest of 3 scores by the judge"
    assert [r.value for r in run.judgments] == [3, 5, 9]
    assert "9" not in repr(run)
    assert all(sum(name in task.prompt for name in scores) == 1 for task in asked)
    assert asked[0].prompt.endswith(
        '{"score": <a number from 0 to 10>, "reason": "<one sentence>"}'
    )


def test_equal_scores_go_to_more_votes_then_to_the_first() -> None:
    """Never to whoever came first."""
    body = "Which city?\n%judge --score 0..10\nRate it."
    run, _ = ran(["Paris", "Rome", "Rome"], lambda prompt: '{"score": 7}', body=body)
    assert run.winner == "Rome"
    run, _ = ran(["Paris", "Rome"], lambda prompt: '{"score": 7}', body=body)
    assert run.winner == "Paris"


def test_a_candidate_without_a_score_cannot_win() -> None:
    """NaN, words and a score off the scale are none; who has none is told."""

    def judge(prompt: str) -> str:
        return '{"score": NaN}' if "Rome" in prompt else '{"score": 2}'

    body = "Which city?\n%judge --score 0..10\nRate it."
    run, _ = ran(["Paris", "Rome", "Rome"], judge, body=body)
    assert run.winner == "Paris"
    assert any("the judge's score could not be read for: v2" in note for note in run.notes)


def test_a_tie_may_go_to_a_judge() -> None:
    """It is asked about the tied labels alone, and not at all where there is no tie."""
    line = "--choices A,B,C --ties judge"
    answers: list[str | None] = ["ANSWER: A", "ANSWER: B", "ANSWER: A", "ANSWER: B", "ANSWER: C"]
    run, asked = ran(answers, choosing("ANSWER: B"), line, "Which?")
    assert (run.winner, run.status) == ("B", "decided")
    assert all("ANSWER: C" not in "".join(shown(task.prompt).values()) for task in asked)
    run, asked = ran(answers[:3], choosing("ANSWER: B"), line, "Which?")
    assert (run.winner, asked) == ("A", [])


@pytest.mark.parametrize(
    ("line", "body", "says"),
    [
        ("--pick median --number", "q\n%judge\nx", "not used by --pick median"),
        ("--pick judge", "q\n%judge --score 1..5\nx", "--pick best"),
        ("--pick judge --stop clinch", "q", "any open vote may still win"),
        ("", "q\n%judge -m a,b\nx", "one model"),
    ],
    ids=["other rule", "score without best", "early", "two models"],
)
def test_a_judge_without_a_part_is_refused(line: str, body: str, says: str) -> None:
    """Before any call, in one line with the way out."""
    with pytest.raises(OptionError, match=says):
        ran(["a", "b"], choosing("a"), line, body)


# --- candidates that try to sway the judge --------------------------------------------------------

HONEST = "The capital is Canberra, not Sydney"


def quoting(before: bool, after: bool) -> Judge:
    """An honest judge that quotes all candidates, before or after its verdict."""

    def judge(prompt: str) -> str:
        verdict = choosing(HONEST)(prompt)
        quoted = "\n".join(f"Candidate {n} says:\n{text}" for n, text in shown(prompt).items())
        return "\n\n".join(
            filter(None, [quoted if before else "", verdict, quoted if after else ""])
        )

    return judge


JUDGES = {
    "honest": choosing(HONEST),
    "quotes first": quoting(before=True, after=False),
    "quotes last": quoting(before=False, after=True),
    "answers prose": lambda prompt: "Both have their merits; I like the second one more.",
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize("payload", WORKER_TEXTS.values(), ids=WORKER_TEXTS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_no_candidate_talks_itself_into_winning(payload: str, judge: Judge, at: int) -> None:
    """Beside honest answers a hostile one never wins by a judge that is honest, quotes, or rambles."""
    answers: list[str | None] = [HONEST, HONEST, "Melbourne."]
    answers.insert(at, payload)
    run, _ = ran(answers, judge)
    assert run.winner in (HONEST, None)
    if judge is JUDGES["honest"]:
        assert run.how.startswith("the judge chose")


@pytest.mark.parametrize("payload", WORKER_TEXTS.values(), ids=WORKER_TEXTS)
def test_the_prompt_holds_whatever_a_candidate_says(payload: str) -> None:
    """So many blocks as candidates, a mark that no text holds, nothing invisible, one message."""
    answers: list[str | None] = [payload, HONEST, HONEST, f"{payload}\U000e0041\u200b"]
    run, asked = ran(answers, choosing(HONEST))
    for task in asked:
        blocks = BLOCK.findall(task.prompt)
        assert len(blocks) == 2
        assert f"There are {len(blocks)} candidates" in task.prompt
        [nonce] = {nonce for nonce, _, _ in blocks}
        assert not any(nonce in text for text in (payload, HONEST))
        assert not re.search(
            "[\u200b-\u200f\u202a-\u202e\u2060-\u206f\U000e0000-\U000e007f]", task.prompt
        )
        assert task.system is None
    assert run.winner == HONEST


def test_hollow_answers_are_no_candidates() -> None:
    """An answer of one sign could win unseen; it is left out and named."""
    run, asked = ran(["Thought process:", HONEST, "Sydney"], choosing(HONEST))
    assert all(len(shown(task.prompt)) == 2 for task in asked)
    assert any("say nothing" in note and "v1" in note for note in run.notes)


def test_an_answer_that_addresses_the_judge_is_pointed_out() -> None:
    """Advice only: nobody can promise that no model follows it."""
    payload = WORKER_TEXTS["judge-pick-me"]
    run, _ = ran([HONEST, payload], choosing(HONEST))
    assert any("v2 addresses the judge" in note for note in run.notes)
    assert not any("v1 addresses" in note for note in run.notes)


@each_dialect
def test_a_judges_request_is_one_message_of_the_user(dialect: str) -> None:
    """Through the real SDKs: role markers in an answer make no message, no system prompt."""
    payload = WORKER_TEXTS["judge-role-markers"]
    turn = {"n": 0}

    def answer(body: dict[str, Any]) -> str:
        prompt = json.dumps(body)
        if "candidate 1>>" in prompt:
            text = body["messages"][-1]["content"]
            text = text if isinstance(text, str) else text[0]["text"]
            return choosing(HONEST)(text)
        turn["n"] += 1
        return payload if turn["n"] == 1 else HONEST

    with served() as server:
        server.answers = answer
        run = asyncio.run(voted("Which?\n%judge\nPick.", n=3, model=MODELS[dialect]))
        judged = [call.body for call in server.log if "candidate 1>>" in json.dumps(call.body)]
    assert (run.winner, len(judged)) == (HONEST, 2)
    assert all([m["role"] for m in body["messages"]] == ["user"] for body in judged)
    assert all("system" not in body for body in judged)
    assert run.cost is not None
    assert run.cost_complete
