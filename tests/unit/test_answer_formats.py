"""Answers that are held to a form: what each wire is sent, and what happens where a server refuses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from asking import fanned, served, voted
from endpoints import Endpoint, each_endpoint
from provider import KEY, Act, Call, Loopback, PromptCache
from provider_formats import PROSE, asked_format, held, schema_in

from parallm_magics import OptionError, VoteRun, vote
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.models import Model
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.schemas import Schema, SchemaField
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.patterns.opening import most_of_try
from parallm_magics.providers import answer_formats, registry
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
INVOICE = Schema("Invoice", json.dumps(DOCUMENT), FIELDS, dict, dict)
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


QUOTED = {"error": {"message": "not answered: is this JSON schema safe?"}}


@pytest.mark.parametrize("body", [None, QUOTED], ids=["bare", "quotes the prompt"])
def test_a_400_that_is_not_about_the_form_stays_one(server: Loopback, body: Any) -> None:
    """The call is tried once in words, and then it is known that the form is not at fault."""
    server.script("m", Act(status=400, body=body))
    text = "\n".join(f"%section s{at}\n{at}: is this JSON schema safe?" for at in range(4))
    options = {"choices": LABELS, "enforce": "on", "stream": "off"}
    run = asyncio.run(fanned(text, model="openai:m", concurrency=1, **options))
    assert {record.error.kind for record in run.results if record.error} == {"bad_request"}
    assert [len(record.attempts) for record in run.results] == [2, 1, 1, 1]
    assert [bool(asked_format(call.body)[0]) for call in server.log] == [True, False, *[True] * 3]


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


def enforced(
    server: Loopback, provider: str, model: str = "format-held", **options: Any
) -> VoteRun:
    """A vote of five at a local server of that name, its labels enforced."""
    registry.define(provider, f"{server.url}/v1")
    options = {
        "choices": LABELS,
        "enforce": "on",
        "n": 5,
        "model": f"{provider}:{model}",
        **options,
    }
    try:
        return asyncio.run(voted("Is it safe?", **options))
    finally:
        registry.forget(provider)


FORMS = {
    "vllm": {"structured_outputs": {"choice": ["safe", "unsafe"]}},
    "llamacpp": {"grammar": 'root ::= "safe" | "unsafe"'},
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["safe", "unsafe"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("provider", ["ollama", "lmstudio", "vllm", "llamacpp", "mine"])
def test_labels_are_enforced_by_what_the_server_knows(server: Loopback, provider: str) -> None:
    """All votes are read, and nobody is asked for a marker that could not be written."""
    run = enforced(server, provider)
    assert run.tally == {"safe": 3, "unsafe": 2}
    [body, *_] = [call.body for call in server.log]
    if provider in FORMS:
        assert {name: body[name] for name in FORMS[provider]} == FORMS[provider]
        assert "response_format" not in body
    else:
        assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert server.log[0].prompt == "Is it safe?\n\nAnswer with nothing but one of safe, unsafe."


@pytest.mark.parametrize(
    "model", ["claude-haiku-5-5", "gpt-6-luna", "openai-responses:gpt-5.2-pro"]
)
def test_labels_are_enforced_by_a_schema(server: Loopback, model: str) -> None:
    """At the makers' own interfaces."""
    server.script(
        model.rpartition(":")[2], lambda call: Act(text=held(call, asked_format(call.body)[1]))
    )
    run = asyncio.run(voted("Is it safe?", model=model, choices=LABELS, enforce="on", n=4))
    assert run.tally == {"safe": 2, "unsafe": 2}
    assert schema_in(server.log[0].body)["properties"]["answer"]["enum"] == ["safe", "unsafe"]


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"score": "1..5"}, {1, 2, 3, 4, 5}),
        ({"score": "0..1"}, None),
        ({"score": "0.5..2.5"}, None),
        ({"number": True}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("provider", ["ollama", "vllm", "llamacpp"])
def test_numbers_are_enforced(
    server: Loopback, provider: str, options: dict[str, Any], values: set[int] | None
) -> None:
    """A score of whole numbers is one of them; any other stays a number."""
    registry.define(provider, f"{server.url}/v1")
    text = "%section a\nHow many?\n%section b\nHow many?"
    run = asyncio.run(fanned(text, model=f"{provider}:format-held", enforce="on", **options))
    registry.forget(provider)
    assert [record.status for record in run.results] == ["ok", "ok"]
    body = json.dumps(server.log[0].body)
    assert ('"5"' in body.replace('\\"', '"')) == (values is not None)
    if values is not None:
        assert {record.value for record in run.results} <= values


@pytest.mark.parametrize("provider", ["ollama", "vllm", "lmstudio", "mine"])
def test_labels_stay_free_where_that_is_not_asked_for(server: Loopback, provider: str) -> None:
    """A model may reason before its label; the request is what it always was."""
    enforced(server, provider, "m", enforce="auto")
    assert asked_format(server.log[0].body) == ("", None)
    assert server.log[0].prompt.endswith("End with one line: ANSWER: <one of safe, unsafe>")


def test_labels_are_enforced_unasked_where_that_costs_nothing(server: Loopback) -> None:
    """Its entry says so; `off` leaves the model free."""
    assert sum(enforced(server, "llamacpp", enforce="auto").tally.values()) == 5
    enforced(server, "llamacpp", "m", enforce="off")
    assert asked_format(server.log[-1].body) == ("", None)


def test_a_guard_is_enforced_too(server: Loopback) -> None:
    """Its verdict is one of two words and nothing else."""
    server.script("m", lambda call: Act(text=_verdict(call)))
    text = "%section a\nWork.\n%guardrail --enforce on\nIs it fine?"
    run = asyncio.run(fanned(text, model="openai:m", stream="off"))
    [guard] = [call for call in server.log if "Is it fine?" in call.prompt]
    assert schema_in(guard.body)["properties"]["answer"]["enum"] == ["ALLOW", "BLOCK"]
    assert run.blocked is True


def _verdict(call: Call) -> str:
    return '{"answer": "BLOCK"}' if schema_in(call.body) else "the work"


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("Ask.", {"model": "deepseek:deepseek-chat"}, "deepseek cannot enforce an answer"),
        ("Ask.", {"model": "openai:m", "pick": "confidence"}, "--pick confidence"),
        ("Ask.", {"model": "openai:m", "choices": None, "open": True}, "no answer of this cell"),
    ],
)
def test_what_cannot_be_enforced_is_said_before_any_call(
    server: Loopback, text: str, options: dict[str, Any], says: str
) -> None:
    """In one line that names the way out."""
    with pytest.raises(OptionError, match=says) as error:
        asyncio.run(vote(text, **{"choices": LABELS, "enforce": "on", **options}))
    assert "\n" not in str(error.value)
    assert server.log == []


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_votes_of_one_form_share_the_prompt_cache(server: Loopback, dialect: str) -> None:
    """One writes it and the others read it; another form is another beginning."""
    server.cache = PromptCache(512)
    model = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}[dialect]
    server.script(model, lambda call: Act(text='{"answer": "safe"}', delay=0.05))
    long = "Some words that all of them share. " * 300
    run = asyncio.run(voted(long, model=model, choices=LABELS, enforce="on", n=5))
    assert run.tally == {"safe": 5}
    read = [call.fed.read > 0 for call in server.log if call.fed]
    assert read.count(True) == 4
    formats = {json.dumps(asked_format(call.body)[1]) for call in server.log}
    assert len(formats) == 1


def test_sections_of_unlike_forms_do_not_wait_for_each_others_cache(server: Loopback) -> None:
    """What an answer is held to stands before the prompt, so that nothing could be read."""
    text = "Some words that all of them share. " * 300
    text += "\n%section a --choices yes,no\nOne.\n%section b --choices red,green\nTwo."
    plan = make_plan(parse("fanout", "", text), {}, registry.parse_model, {"model": ("openai:m",)})
    free = {task.cache_key for task in plan.tasks}
    settings = {"model": ("openai:m",), "enforce": "on"}
    plan = make_plan(parse("fanout", "", text), {}, registry.parse_model, settings)
    assert (len(free), {task.cache_key for task in plan.tasks}) == (1, {""})


BODIES: list[tuple[int, Any]] = [
    (400, {"error": {"message": "Invalid schema for response_format 'Invoice'", "param": None}}),
    (400, {"error": {"message": "bad", "param": "response_format", "code": "invalid_value"}}),
    (422, {"detail": [{"loc": ["body", "response_format"], "msg": "extra field", "type": "x"}]}),
    (422, {"detail": "json_schema is not supported by this model"}),
    (400, [{"error": {"code": 400, "message": "Unknown field response_format"}}]),
    (500, {"error": {"code": 500, "message": "failed to parse grammar", "type": "server_error"}}),
    (501, {"error": "not implemented"}),
    (200, {"error": {"code": 400, "message": "response_format is not supported"}}),
]


@pytest.mark.parametrize(("status", "body"), BODIES, ids=str)
def test_refusals_are_known_in_the_forms_that_servers_send(
    server: Loopback, status: int, body: Any
) -> None:
    """By the field that they name, or by their words; the next try goes without the form at once."""

    def act(call: Call) -> Act:
        return Act(status=status, body=body) if asked_format(call.body)[0] else Act(text="safe")

    server.script("m", act)
    options = {"choices": LABELS, "enforce": "on", "stream": "off", "n": 1, "retries": 0}
    [record] = asyncio.run(fanned("ask", model="openai:m", **options)).results
    assert (record.value, len(record.attempts)) == ("safe", 2)
    assert record.adapted == "response_format is not taken: asked in words"


def test_the_form_is_part_of_what_a_call_can_cost() -> None:
    """A model reads it like the prompt, so that a cap on the cost holds with it too."""
    free = Endpoint("openai", False).task("gpt-6-luna", reading=OBJECT)
    most = [most_of_try(task) for task in (free, replace(free, enforced=True))]
    assert most[0] is not None
    assert most[1] is not None
    assert most[0] < most[1]


def test_a_kind_of_the_users_own_is_held_to_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a form is made of stands in the kind's entry, and not in its name."""
    monkeypatch.setitem(KINDS, "percentage", KINDS["number"])
    monkeypatch.setitem(KINDS, "colour", KINDS["choice"])
    percentage, colour = Reading("percentage", low=0, high=99.5), Reading("colour", ("red", "blue"))
    held = [answer_formats.answer_schema(each) for each in (percentage, colour, Reading("index"))]
    values = [None if each is None else each["properties"]["answer"] for each in held]
    assert values == [
        {"type": "number", "minimum": 0, "maximum": 99.5},
        {"type": "string", "enum": ["red", "blue"]},
        None,
    ]
    assert answer_formats.grammar(percentage) == answer_formats.NUMBER_GRAMMAR
