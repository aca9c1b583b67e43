"""OpenAI's Responses API: what is asked, and how its items, statuses and events are read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import fanned
from known import lead
from provider import Act, Loopback

from parallm_magics import ModelError, fanout
from parallm_magics.core.tasks import Record, Usage

MODEL = "openai-responses:gpt-5.2-pro"
SSE = {"content-type": "text/event-stream"}
USAGE = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
each_way = pytest.mark.parametrize("stream", ["on", "off"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    """A scripted server where OpenAI's address leads."""
    with Loopback() as loopback:
        lead("openai-responses", loopback, monkeypatch, tmp_path)
        yield loopback


def asked(stream: str, **options: Any) -> Record:
    """The record of one call."""
    text = "%section a\nask"
    run = asyncio.run(fanned(text, **{"model": MODEL, "stream": stream, "retries": 0, **options}))
    return run.results[0]


def response(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A response with these items."""
    usual = {"object": "response", "status": "completed", "model": "m", "usage": USAGE}
    return {**usual, "output": list(items), **fields}


def message(text: str, **fields: Any) -> dict[str, Any]:
    """An item that says this."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part], **fields}


def events(whole: dict[str, Any], last: str) -> str:
    """The same as a stream, item by item."""
    sent: list[dict[str, Any]] = [{"type": "response.created", "response": {**whole, "output": []}}]
    for at, item in enumerate(whole["output"]):
        bare = {**item, "content": []}
        sent.append({"type": "response.output_item.added", "output_index": at, "item": bare})
        for part in item.get("content", []):
            kind = "output_text" if part["type"] == "output_text" else part["type"]
            delta = part.get("text") or part.get("refusal")
            event = {"type": f"response.{kind}.delta", "output_index": at, "delta": delta}
            sent.append(event)
    sent.append({"type": f"response.{last}", "response": whole})
    return "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in sent)


def script(server: Loopback, whole: dict[str, Any], stream: str) -> None:
    """Let the model answer so."""
    status = whole["status"]
    last = status if status in ("incomplete", "failed") else "completed"
    body = events(whole, last) if stream == "on" else json.dumps(whole)
    headers = SSE if stream == "on" else {}
    server.script("gpt-5.2-pro", Act(body=body, headers=headers))


@each_way
def test_what_is_asked(server: Loopback, stream: str) -> None:
    """The system prompt as instructions, the effort as it is written there, and nothing is kept."""
    record = asked(stream, system="Be brief.", effort="low", max_tokens=50)
    assert record.ok
    [call] = server.log
    assert call.path == "/v1/responses"
    assert call.body["instructions"] == "Be brief."
    assert call.body["input"] == [{"role": "user", "content": "ask"}]
    assert call.body["reasoning"] == {"effort": "low"}
    assert call.body["max_output_tokens"] == 50
    assert call.body["store"] is False
    assert not {"messages", "max_tokens", "stream_options"} & call.body.keys()


def test_models_that_exist_only_there_name_the_way(server: Loopback) -> None:
    """Asked in the other place, they are refused before any call."""
    for name in ("gpt-5.2-pro", "openai:gpt-5.1-codex"):
        with pytest.raises(ModelError, match=f"-m openai-responses:{name.rpartition(':')[2]}"):
            asyncio.run(fanout("%section a\nask", model=name))
    assert server.log == []


@each_way
def test_the_answer_is_the_message_and_neither_thinking_nor_commentary(
    server: Loopback, stream: str
) -> None:
    """Reasoning items and what is written on the way are no answer."""
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "ANSWER: no"}]}
    whole = response(
        thought,
        message("ANSWER: no, I look it up first.", phase="commentary"),
        {"type": "web_search_call", "status": "completed"},
        message("ANSWER: yes", phase="final_answer"),
    )
    script(server, whole, stream)
    record = asked(stream)
    assert (record.status, record.text) == ("ok", "ANSWER: yes")
    assert record.usage == Usage(10, 0, 0, 3)


@each_way
@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "truncated",
            "",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "refused",
            "",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "a new one"}},
            "invalid",
            "a new one",
        ),
        ({"status": "incomplete"}, "invalid", "incomplete"),
        ({"status": "a new one"}, "invalid", "a new one"),
        ({"status": "cancelled"}, "failed", "cancelled"),
        (
            {"status": "failed", "error": {"code": "server_error", "message": "sorry"}},
            "failed",
            "sorry",
        ),
    ],
    ids=str,
)
def test_only_a_completed_response_is_good(
    server: Loopback, stream: str, fields: dict[str, Any], status: str, says: str
) -> None:
    """A status or a reason that nobody knows is no answer, and said so."""
    script(server, response(message("half of"), **fields), stream)
    record = asked(stream)
    assert record.status == status
    assert record.error is not None
    assert says in record.error.message


@each_way
def test_a_refusal_is_one(server: Loopback, stream: str) -> None:
    """By its part, whatever the status says."""
    part = {"type": "refusal", "refusal": "I cannot."}
    script(server, response({"type": "message", "content": [part]}), stream)
    assert asked(stream).status == "refused"


@each_way
def test_a_response_without_a_message_is_none(server: Loopback, stream: str) -> None:
    """A call of a tool that nobody answers holds no text."""
    script(server, response({"type": "function_call", "name": "f", "arguments": "{}"}), stream)
    assert asked(stream).status == "invalid"


@pytest.mark.parametrize(
    ("code", "status"),
    [("server_error", "failed"), ("invalid_prompt", "refused"), ("bio_policy", "refused")],
)
def test_errors_in_a_stream_have_their_kinds(server: Loopback, code: str, status: str) -> None:
    """A prompt that a policy turns away is refused, and not asked again."""
    error = {"type": "error", "code": code, "message": "no", "param": None}
    body = f"event: error\ndata: {json.dumps(error)}\n\n"
    server.script("gpt-5.2-pro", Act(body=body, headers=SSE))
    assert asked("on").status == status
