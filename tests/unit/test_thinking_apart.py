"""Thinking is no part of an answer: it is kept beside it, and reaches no prompt, vote or reader."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from asking import MODELS, each_dialect
from display_samples import Page
from provider import Act, Loopback

from parallm_magics import fanout, vote
from parallm_magics.answers.thinking import ONLY_THINKING
from parallm_magics.core.tasks import Model, Task
from parallm_magics.recordings.codec import Front, entry_of, line_of, record_of
from parallm_magics.recordings.request_key import key_of, request_of

SECRET = "secret plan"
ANSWER = "The fix is X."
HARMONY = "<|channel|>analysis<|message|>"
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"
WAYS = {
    "inline": Act(text=f"<think>{SECRET}</think>\n\n{ANSWER}"),
    "of its own": Act(text=ANSWER, thinking=SECRET),
    "Harmony": Act(text=f"{HARMONY}{SECRET}{FINAL}{ANSWER}"),
    "opened by the template": Act(text=f"{SECRET}\n</think>\n\n{ANSWER}"),
}
each_way = pytest.mark.parametrize("way", WAYS)
each_stream = pytest.mark.parametrize("stream", ["on", "off"])
MERGED = "%section a\nfix it\n%section b\nfix it too\n%synthesis\nMerge."


@each_dialect
@each_stream
@each_way
def test_thinking_is_in_no_text_and_no_prompt(
    server: Loopback, dialect: str, stream: str, way: str
) -> None:
    """Neither in a section, the joined text nor the synthesis's prompt; in its record it is kept."""
    model = MODELS[dialect]
    server.script(model, WAYS[way])
    run: Any = asyncio.run(fanout(MERGED, model=model, stream=stream))
    assert (run["a"], run["b"], run.text) == (ANSWER, ANSWER, ANSWER)
    assert [record.thinking for record in (*run.results, run.synthesis)] == [SECRET] * 3
    assert len(server.log) == 3
    assert SECRET not in str([call.body for call in server.log])
    joined: Any = asyncio.run(fanout("%section a\nx\n%section b\ny", model=model, stream=stream))
    assert (joined["a"], SECRET in joined.text) == (ANSWER, False)


@each_dialect
@each_stream
def test_an_answer_that_is_only_thinking_is_none(
    server: Loopback, dialect: str, stream: str
) -> None:
    """It is invalid, and the error says that the model only thought."""
    server.script(MODELS[dialect], Act(text=f"<think>{SECRET}\nANSWER: yes"))
    run: Any = asyncio.run(
        vote("Is it?", choices="yes,no", model=MODELS[dialect], stream=stream, n=1, min_success=0)
    )
    [record] = run.results
    assert (record.status, record.text, record.value, run.winner) == ("invalid", "", None, None)
    assert (record.error.kind, record.error.message) == ("empty", ONLY_THINKING)
    assert record.thinking == f"{SECRET}\nANSWER: yes"


GUARD = "Write.\n%guardrail\nIs this harmful?\n%section a\nabout it"
RAW = [
    f"{HARMONY}It asks.\nANSWER: ALLOW\nNo.{FINAL}ANSWER: BLOCK",
    "analysisIt asks.\nANSWER: ALLOW\nNo.assistantfinalANSWER: BLOCK",
    "<seed:think>It asks.\nANSWER: ALLOW\nNo.</seed:think>ANSWER: BLOCK",
    "<mull>It asks.\nANSWER: ALLOW\nNo.</mull>BLOCK",
    "<|START_MULLING|>\nANSWER: ALLOW\n<|END_MULLING|>ANSWER: BLOCK",
]


@each_dialect
@each_stream
@pytest.mark.parametrize("text", RAW)
def test_a_guard_that_thought_of_letting_it_pass_blocks(
    server: Loopback, dialect: str, stream: str, text: str
) -> None:
    """Its answer counts and not its thinking; of the withheld work not even the thinking is kept."""

    def act(call: Any) -> Act:
        if "harmful" in call.prompt:
            return Act(text=text)
        return Act(text=f"<think>{SECRET}</think>{ANSWER}")

    server.script(MODELS[dialect], act)
    run: Any = asyncio.run(fanout(GUARD, model=MODELS[dialect], stream=stream))
    assert run.blocked
    assert run.guard.verdict == "BLOCK"
    assert [record.thinking for record in run.results] == [None]
    assert SECRET not in json.dumps(run.to_dict())
    assert SECRET not in str(run._repr_mimebundle_())


def test_judges_are_shown_no_thinking(server: Loopback) -> None:
    """They choose among the answers alone."""

    def act(call: Any) -> Act:
        if '"winner"' in call.prompt:
            return Act(text='<think>{"winner": 2}</think>{"winner": 1}')
        return Act(text=f"<think>{SECRET}</think>Rome {call.prompt[-1]}")

    server.script(MODELS["openai"], act)
    text = "City?\n%voter a\n1\n%voter b\n2\n%judge\nThe better one."
    run: Any = asyncio.run(vote(text, pick="judge", model=MODELS["openai"], open=True))
    judged = [call for call in server.log if '"winner"' in call.prompt]
    assert len(judged) == 2
    assert SECRET not in str([call.body for call in judged])
    assert {record.value for record in run.judgments} == {"Rome 1", "Rome 2"}


@each_way
def test_thinking_is_recorded_and_replayed(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    """A replay has it as the first run had; a recording of before it was apart is told apart now."""
    path = tmp_path / "answers.jsonl"
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    server.script(MODELS["openai"], WAYS[way])
    first: Any = asyncio.run(fanout(MERGED, model=MODELS["openai"]))
    asked = len(server.log)
    again: Any = asyncio.run(fanout(MERGED, model=MODELS["openai"]))
    assert len(server.log) == asked
    assert [(r.text, r.thinking) for r in again.results] == [(ANSWER, SECRET)] * 2
    assert again.text == first.text
    assert all(
        json.loads(line)["outcome"]["thinking"] == SECRET for line in path.read_text().splitlines()
    )


OLD = [
    ("<think>a</think>b", "ok", "b", "a"),
    ("b", "ok", "b", None),
    ("<think>a", "invalid", "", "a"),
]


@pytest.mark.parametrize(("text", "status", "said", "thinking"), OLD)
def test_an_old_recording_loads(text: str, status: str, said: str, thinking: str | None) -> None:
    """One without the field, with inline thinking or without any."""
    task = Task(0, "a", Model("openai", "m"), "ask")
    request = request_of(task)
    front = Front(key_of(request) or "", 0, "ok")
    entry = entry_of(task, task.ended("ok", text=text), front, request)
    assert "thinking" not in entry["outcome"]
    record = record_of(line_of(entry), task, front)
    assert record is not None
    assert (record.status, record.text, record.thinking) == (status, said, thinking)


def test_thinking_is_folded_in_the_saved_page(server: Loopback) -> None:
    """In a fold of its own that is closed, counted in words, and not in the plain text."""
    server.script(MODELS["openai"], WAYS["of its own"])
    run: Any = asyncio.run(fanout("%section a\nfix it", model=MODELS["openai"]))
    shown = run._repr_mimebundle_()
    assert "thinking: 2 words" in Page(shown["text/html"]).text
    fold = shown["text/html"].index("thinking: 2 words")
    opening = shown["text/html"].rindex("<details", 0, fold)
    assert " open" not in shown["text/html"][opening:fold].partition(">")[0]
    assert SECRET not in shown["text/plain"]
    assert run.to_dict()["results"][0]["thinking"] == SECRET


def test_how_much_was_thought_is_kept_where_nobody_sends_it(server: Loopback) -> None:
    """As a number of tokens."""
    usage: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    usage["completion_tokens_details"] = {"reasoning_tokens": 3}
    hidden = Act(text=ANSWER, patch={"usage": usage})
    server.script(MODELS["openai"], hidden)
    run: Any = asyncio.run(fanout("%section a\nfix it", model=MODELS["openai"], stream="off"))
    [record] = run.results
    assert (record.thinking, record.thinking_tokens) == (None, 3)
    assert "Thinking: 3 tokens, not sent" in Page(run._repr_mimebundle_()["text/html"]).text
