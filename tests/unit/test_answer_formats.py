"""Answers that are held to a form: what each wire is sent, and what happens where a server refuses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from asking import fanned, served
from endpoints import Endpoint, each_endpoint
from provider import KEY, Act, Loopback
from provider_formats import PROSE, asked_format, schema_in

from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.core.tasks import Model, Reading, Task
from parallm_magics.providers.entries import BY_NAME
from parallm_magics.providers.responses import ResponsesProvider
from parallm_magics.recordings.request_key import key_of, request_of

DOCUMENT = {
    "type": "object",
    "properties": {
        "vendor": {"type": "string"},
        "total": {"type": "number"},
        "currency": {"type": "string", "default": "EUR"},
    },
    "required": ["vendor", "total"],
}
FIELDS = (SchemaField("vendor"), SchemaField("total", "number"), SchemaField("currency"))
INVOICE = Schema("Invoice", json.dumps(DOCUMENT, sort_keys=True), FIELDS, dict, dict)
OBJECT = Reading("object", schema=INVOICE)
LABELS = ("safe", "unsafe")
CHOICE = Reading("choice", choices=LABELS)
OPENAI = Endpoint("openai", False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, and a key in the variable that the endpoints read."""
    monkeypatch.setenv("TEST_KEY", KEY)
    with served() as loopback:
        yield loopback


@each_endpoint
def test_an_object_is_asked_for_in_the_providers_own_form(
    server: Loopback, endpoint: Endpoint
) -> None:
    """As the SDK's documentation says; the answer is what came, streamed or not."""
    reply = endpoint.reply(server, "format-held", reading=OBJECT, enforced=True, effort="low")
    name, asked = asked_format(server.log[0].body)
    schema = schema_in(server.log[0].body)
    if endpoint.name == "anthropic":
        assert (name, asked["type"]) == ("output_config", "json_schema")
        assert server.log[0].body["output_config"]["effort"] == "low"
        assert schema["required"] == ["vendor", "total"]
    else:
        assert (name, asked["type"]) == ("response_format", "json_schema")
        assert (asked["json_schema"]["name"], asked["json_schema"]["strict"]) == ("Invoice", True)
        assert schema["required"] == ["vendor", "total", "currency"]
        assert schema["properties"]["currency"]["description"] == '(default: "EUR")'
    assert list(schema["properties"]) == ["vendor", "total", "currency"]
    assert schema["additionalProperties"] is False
    assert list(json.loads(reply.text)) == ["vendor", "total", "currency"]
    assert reply.adapted == ""


@pytest.mark.parametrize("stream", [True, False])
def test_an_object_on_the_responses_api(server: Loopback, stream: bool) -> None:
    """It stands in `text.format`, beside what the user says of the text."""
    entry = replace(BY_NAME["openai-responses"], base_url=f"{server.url}/v1", base_env="")
    provider = ResponsesProvider(replace(entry, keys=("TEST_KEY",), official=False))
    task = Task(0, "w", Model("r", "format-held"), "ask", reading=OBJECT, enforced=True)
    task = replace(task, stream=stream, params={"text": {"verbosity": "low"}})
    reply = asyncio.run(called(provider, task))[0]
    sent = server.log[0].body["text"]
    assert (sent["verbosity"], sent["format"]["type"]) == ("low", "json_schema")
    assert (sent["format"]["name"], sent["format"]["strict"]) == ("Invoice", True)
    assert json.loads(reply.text)["vendor"] == "a text"


async def called(provider: Any, *tasks: Task) -> list[Any]:
    """The replies to tasks, one after the other, each try a call of its own."""
    from parallm_magics.core.provider import CallFailed

    ends = []
    await provider.prepare()
    for task in tasks:
        try:
            ends.append(await provider.complete(task, lambda piece, thinking="": None))
        except CallFailed as failed:
            ends.append(failed)
    await provider.close()
    return ends


@each_endpoint
@pytest.mark.parametrize("param", ["response_format", "output_config"])
def test_a_form_of_the_users_own_is_left_alone(
    server: Loopback, endpoint: Endpoint, param: str
) -> None:
    """What `--param` asks for wins."""
    mine = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    fields = {"params": {param: mine}, "reading": OBJECT, "enforced": True}
    if (param == "output_config") != (endpoint.name == "anthropic"):
        return
    endpoint.reply(server, "ok", **fields)
    assert server.log[0].body[param] == mine


@each_endpoint
def test_a_task_that_enforces_nothing_sends_nothing(server: Loopback, endpoint: Endpoint) -> None:
    """Its request is what it always was, and so is its key in a recording."""
    endpoint.reply(server, "ok", reading=CHOICE)
    assert asked_format(server.log[0].body) == ("", None)
    task = endpoint.task("ok", reading=CHOICE)
    assert "format" not in request_of(task)


def test_what_is_enforced_has_a_key_of_its_own() -> None:
    """One for each form; the name of a schema is sent and counts nothing."""
    free = OPENAI.task("m", reading=OBJECT)
    held = replace(free, enforced=True)
    other = replace(INVOICE, document=json.dumps({**DOCUMENT, "required": []}))
    again = replace(held, reading=replace(OBJECT, schema=other))
    labels = replace(held, reading=CHOICE)
    keys = {key_of(request_of(task)) for task in (free, held, again, labels)}
    assert len(keys) == 4


REFUSALS = ["format-400", "format-500", "format-bare-400", "format-bare-500"]


@pytest.mark.parametrize("model", REFUSALS)
@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_server_that_refuses_the_form_is_asked_in_words(
    server: Loopback, dialect: str, model: str
) -> None:
    """From then on, and the page says so; what was refused costs nothing."""
    text = "%section a\none\n%section b\ntwo"
    options = {"model": f"{dialect}:{model}", "choices": LABELS, "enforce": "on", "stream": "off"}
    run = asyncio.run(fanned(text, concurrency=1, **options))
    first, second = run.results
    assert [record.text for record in run.results] == [PROSE, PROSE]
    # A bare 500 may pass: only where another call meets it too is the form what breaks the server.
    broken = 2 if model == "format-bare-500" else 1
    tries = len(first.attempts) + len(second.attempts)
    assert tries == broken + 2
    field = "output_config.format" if dialect == "anthropic" else "response_format"
    for record in run.results:
        assert record.adapted == f"{field} is not taken: asked in words"
    held = [bool(asked_format(call.body)[0]) for call in server.log]
    assert held == [*[True] * broken, False, False]
    assert run.usage.output_tokens == sum(call.gave for call in server.log[-2:])
    assert any(first.adapted in line for line in run.adapted)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 413, 429, 503, 529])
def test_other_errors_keep_their_meaning(server: Loopback, status: int) -> None:
    """They say nothing of the form, which the next call asks for again."""
    errors = dict.fromkeys(("message", "type"), f"{status}")
    server.script("m", Act(status=status, body={"error": errors}), Act(text="safe"))
    options = {"choices": LABELS, "enforce": "on", "stream": "off", "retries": 0}
    text = "%section a\none\n%section b\ntwo"
    asyncio.run(fanned(text, model="openai:m", concurrency=1, deadline=5, **options))
    assert all(asked_format(call.body)[0] for call in server.log)


def test_a_400_that_is_not_about_the_form_stays_one(server: Loopback) -> None:
    """The call is tried once in words, and then it is known that the form is not at fault."""
    server.script("m", Act(status=400))
    text = "\n".join(f"%section s{at}\n{at}" for at in range(4))
    options = {"choices": LABELS, "enforce": "on", "stream": "off"}
    run = asyncio.run(fanned(text, model="openai:m", concurrency=1, **options))
    assert {record.error.kind for record in run.results if record.error} == {"bad_request"}
    assert [len(record.attempts) for record in run.results] == [2, 1, 1, 1]


def test_an_error_that_names_another_field_is_not_tried_in_words(server: Loopback) -> None:
    """It says itself that it is not about the form."""
    options = {"choices": LABELS, "enforce": "on", "stream": "off", "n": 1}
    run = asyncio.run(fanned("ask", model="openai:bad-param", **options))
    assert [len(record.attempts) for record in run.results] == [1]


@pytest.mark.parametrize("status", [500, 502])
def test_a_server_that_breaks_once_is_asked_again_as_it_was(server: Loopback, status: int) -> None:
    """A fault that passes is no refusal."""
    server.script("m", Act(status=status), Act(text='{"answer": "safe"}'))
    options = {"choices": LABELS, "enforce": "on", "stream": "off", "n": 1}
    run = asyncio.run(fanned("ask", model="openai:m", **options))
    assert run.results[0].adapted == ""
    assert all(asked_format(call.body)[0] for call in server.log)


def test_a_server_that_ignores_the_form_is_read_as_ever(server: Loopback) -> None:
    """Nobody can know it; what it says is read, or is no vote."""
    options = {"choices": LABELS, "enforce": "on", "stream": "off", "n": 2}
    run = asyncio.run(fanned("ask", model="openai:format-ignored", **options))
    assert [record.status for record in run.results] == ["invalid", "invalid"]
