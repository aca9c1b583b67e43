"""What a synthesis, and the joined text, are told of sections whose answers are read."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Fake, run_context
from virtual_time import run_virtual

from parallm_magics import FanoutRun
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task
from parallm_magics.patterns.ballots import says_more
from parallm_magics.patterns.fanout import FanoutPattern

WHY = "The names say what they hold, but two are too long."


def merged(body: str, said: dict[str, str], line: str = "") -> tuple[FanoutRun, str]:
    """A run whose workers say this by name ("!" fails), and the prompt of its synthesis."""
    prompts = []

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        if task.role == "synthesis":
            prompts.append(task.prompt)
        if said.get(task.name) == "!":
            raise CallFailed(Fault("bad_request", "no"))
        return Reply(said.get(task.name, "MERGED"))

    cell = parse("fanout", f"--retries 0 --min-success 0 {line}", body)
    variables = {"docs": ["x"]}
    plan = make_plan(cell, variables, lambda text: Model("fake", text), {"model": ("m",)})
    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(act))))
    return run, "".join(prompts)


@pytest.mark.parametrize(
    ("reading", "answer", "label"),
    [
        pytest.param("--score 1..10", f"{WHY}\nANSWER: 4", "4", id="score"),
        pytest.param("--number", f"4\n\n{WHY}", "4", id="number"),
        pytest.param("--choices good,bad", f"{WHY}\n**Answer: bad**", "bad", id="choice"),
        pytest.param(
            "--choices good,bad", f'{{"answer": "bad", "why": "{WHY}"}}', "bad", id="json"
        ),
        pytest.param("--open", WHY, WHY, id="open"),
    ],
)
def test_the_reasons_reach_the_synthesis(reading: str, answer: str, label: str) -> None:
    """The value that was read, and the whole answer; the joined text has both too."""
    body = f"%section names {reading}\nHow clear are they? Say why.\n%section rest\nSay more."
    said = {"names": answer, "rest": "fine"}
    run, prompt = merged(f"{body}\n%synthesis\nSay it with the reasons.", said)
    assert str(run["names"]) == label
    assert f"{label}\n\n{answer}" in prompt or label == answer
    assert answer in prompt
    _, prompt = merged(f"{body}\n%synthesis\nOnly {{{{outputs.names}}}}.", said)
    assert answer in prompt
    joined, _ = merged(body, said)
    assert joined.text is not None
    assert joined.text.startswith(f"## names\n\n{label}")
    assert answer in joined.text


@pytest.mark.parametrize("answer", ["4", "4.", " **4** ", "ANSWER: 4", "\nFinal answer: 4\n"])
def test_a_bare_value_is_not_said_twice(answer: str) -> None:
    """Where the answer is the value there is nothing to add."""
    body = "%section a --score 1..10\nRate it.\n%section b --score 1..10\nAnd that."
    joined, _ = merged(body, {"a": answer, "b": "7"})
    assert joined.text == "## a\n\n4\n\n## b\n\n7"
    assert dict(joined) == {"a": 4, "b": 7}
    assert not says_more(answer, "4")


def test_a_vote_is_told_with_an_answer_of_its_winner() -> None:
    """The first of those that say so; one that says another thing has no voice in it."""
    body = "%section a -n 3 --choices good,bad\nIs it?\n%section b\nMore."
    said = {"a.1": "No.\nANSWER: bad", "a.2": f"{WHY}\nANSWER: good", "a.3": "ANSWER: good"}
    run, _ = merged(body, {**said, "b": "fine"})
    assert run.text == f"## a\n\ngood\n\n{WHY}\nANSWER: good\n\n## b\n\nfine"


@pytest.mark.parametrize(
    ("line", "body", "said", "text"),
    [
        pytest.param("", "%section reply\nSay.", {"reply": "Hello."}, "Hello.", id="a section"),
        pytest.param(
            "",
            "%section reply\nSay.\n%guardrail\nMay it?",
            {"reply": "Hello.", "guardrail": "ALLOW"},
            "Hello.",
            id="beside a guard",
        ),
        pytest.param(
            "",
            "Say.\n%guardrail\nMay it?",
            {"s1": "Hi.", "guardrail": "ALLOW"},
            "Hi.",
            id="unnamed",
        ),
        pytest.param("--each docs", "About {{item}}", {"1": "It."}, "It.", id="one item"),
        pytest.param("", "%section a --choices x,y\nx or y?", {"a": "x"}, "x", id="a label"),
        pytest.param("", "%section a\nSay.", {"a": "!"}, "[failed]", id="a failure"),
    ],
)
def test_a_single_answer_has_no_heading(
    line: str, body: str, said: dict[str, str], text: str
) -> None:
    """There is nothing that a heading could tell it from."""
    run, _ = merged(body, said, line)
    assert run.text == text


def test_one_of_two_keeps_its_heading() -> None:
    """The other one is missing, and says so."""
    run, _ = merged("%section a\nA\n%section b\nB", {"a": "fine", "b": "!"})
    assert run.text == "## a\n\nfine\n\n## b\n\n[failed]"
