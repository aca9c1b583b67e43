"""What a call costs besides its tokens: priced right, or unknown and no cap taken."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from asking import MODELS, each_dialect, fanned
from endpoints import ENDPOINTS, Endpoint, endpoint_name
from hypothesis import given
from hypothesis import strategies as st
from provider import Act, Loopback

from parallm_magics import FanoutRun, OptionError, fanout
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Model, Said, Task, Usage
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.providers import bill
from parallm_magics.providers.registry import parse_model

USED = Usage(1000, 0, 0, 1000)
LUNA = parse_model("gpt-6-luna")
OPUS = parse_model("claude-opus-5-5")


def task(asked: Model = LUNA, /, **params: Any) -> Task:
    """A call with these request fields."""
    return Task(0, "w", asked, "ask", params=params)


def price(asked: Task, *said: tuple[str, str], used: Usage = USED) -> Decimal | None:
    """What it costs where the reply says so."""
    return bill.price(asked, used, Said(said))


# Tiers and speeds.


def test_tiers_have_their_own_prices() -> None:
    """Flex is half, priority is double; the usual names are the base price."""
    base = price(task())
    assert base is not None
    assert price(task(service_tier="flex"), ("service_tier", "flex")) == base / 2
    assert price(task(service_tier="priority")) == base * 2
    for usual in ("default", "auto"):
        assert price(task(service_tier=usual)) == base


def test_a_fast_answer_has_its_own_price() -> None:
    """Anthropic's fast mode is double; where the table has none it is unknown."""
    base = price(task(OPUS))
    assert base is not None
    assert price(task(OPUS, speed="fast")) == base * 2
    assert price(task(OPUS, speed="standard")) == base
    haiku = parse_model("claude-haiku-5-5")
    assert price(task(haiku, speed="fast")) is None


def test_the_reply_has_the_last_word() -> None:
    """What was asked for is not always what was given, and an account may ask by itself."""
    base = price(task())
    assert base is not None
    assert price(task(service_tier="priority"), ("service_tier", "default")) == base
    assert price(task(service_tier="flex"), ("service_tier", "default")) == base
    assert price(task(), ("service_tier", "priority")) == base * 2
    assert price(task(), ("service_tier", "of the future")) is None
    assert price(task(OPUS, speed="fast"), ("service_tier", "standard")) == price(
        task(OPUS, speed="fast")
    )
    assert price(task(OPUS), ("service_tier", "priority")) is None  # paid for by commitment


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=endpoint_name)
@pytest.mark.parametrize(
    ("patch", "terms"),
    [
        ({"service_tier": "Priority"}, {("service_tier", "priority")}),
        ({"speed": "fast"}, {("speed", "fast")}),
        ({"server_tool_use": {"web_search_requests": 2}}, {("said", "web_search_requests")}),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 9}}, {("said", "a one-hour cache")}),
        ({"inference_geo": "us"}, {("said", "a fixed processing region")}),
        ({"server_tool_use": {"web_search_requests": 0}, "inference_geo": "global"}, set()),
    ],
    ids=str,
)
def test_terms_are_read_out_of_replies(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: Endpoint,
    patch: dict[str, Any],
    terms: set[tuple[str, str]],
) -> None:
    """Where each dialect has them: in Anthropic's usage, beside OpenAI's."""
    monkeypatch.setenv("TEST_KEY", "sk-0123456789")
    usage = {"input_tokens": 5, "output_tokens": 5, "prompt_tokens": 5, "completion_tokens": 5}
    within = {"usage": {**usage, **patch}}
    body = _body(endpoint, within, patch)
    server.script("m", Act(body=body, headers=_kind(endpoint)))
    reply = endpoint.ask(server, "m")
    assert isinstance(reply, Reply)
    if endpoint.name == "anthropic" or set(patch) & {"service_tier", "speed"}:
        assert set(reply.terms) == terms


def _kind(endpoint: Endpoint) -> dict[str, str]:
    return {"content-type": "text/event-stream" if endpoint.stream else "application/json"}


def _body(endpoint: Endpoint, within: dict[str, Any], patch: dict[str, Any]) -> str:
    """An answer whose usage says this."""
    if endpoint.name == "openai":
        choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
        piece = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
        chosen = piece if endpoint.stream else choice
        whole = json.dumps({"choices": [chosen], **patch, **within})
        return f"data: {whole}\n\ndata: [DONE]\n\n" if endpoint.stream else whole
    message = {"type": "message", "content": [], "stop_reason": None, **within}
    if not endpoint.stream:
        text = {"type": "text", "text": "x"}
        return json.dumps({**message, "content": [text], "stop_reason": "end_turn"})
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    ]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


# What cannot be known.

SERVER_TOOLS = (
    {"type": "web_search_20250305", "name": "web_search"},
    {"type": "web_search"},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "file_search"},
    {"type": "mcp", "server_url": "https://x.invalid"},
    {"type": "a tool of the future"},
)
CLIENT_TOOLS = (
    {"type": "function", "function": {"name": "f"}},
    {"name": "f", "input_schema": {}},
    {"type": "custom", "name": "f"},
    {"type": "bash_20250124", "name": "bash"},
)
UNKNOWN: tuple[dict[str, Any], ...] = (
    *({"tools": [tool]} for tool in SERVER_TOOLS),
    {"web_search_options": {}},
    {"plugins": [{"id": "web"}]},
    {"search_parameters": {"mode": "auto"}},
    {"mcp_servers": []},
    {"models": ["a", "b"]},
    {"provider": {"sort": "throughput"}},
    {"inference_geo": "us"},
    {"prompt_cache_options": {"ttl": "12h"}},
    {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
    {
        "system": [
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        ]
    },
    {"modalities": ["audio"]},
    {"extra_body": {"google": {}}},
)
KNOWN: tuple[dict[str, Any], ...] = (
    *({"tools": [tool]} for tool in CLIENT_TOOLS),
    {"temperature": 0, "top_p": 1, "seed": 1, "stop": ["x"]},
    {"thinking": {"type": "enabled", "budget_tokens": 1000}},
    {"response_format": {"type": "json_object"}},
    {"reasoning_effort": "low"},
    {"cache_control": {"type": "ephemeral"}},
    {"n": 3},
)
shown = pytest.mark.parametrize("params", UNKNOWN, ids=json.dumps)


@shown
def test_what_may_cost_more_than_tokens_is_unknown(params: dict[str, Any]) -> None:
    """The base price would be a guess."""
    assert price(task(**params)) is None


@shown
@each_dialect
def test_a_cap_on_what_cannot_be_known_is_refused_before_any_call(
    server: Loopback, dialect: str, params: dict[str, Any]
) -> None:
    """The message names the parameter and the way out, and nothing is sent; the dry run says so."""
    given = " ".join(f"--param '{name}={json.dumps(value)}'" for name, value in params.items())
    options: dict[str, Any] = {"model": MODELS[dialect], "max_cost": 1}
    with pytest.raises(
        OptionError, match=f"--max-cost: .*--param {next(iter(params))}.*cannot be kept"
    ):
        asyncio.run(fanout(f"%section a {given}\nask", **options))
    seen = asyncio.run(fanout(f"%section a {given}\nask", **options, dry_run=True))
    assert isinstance(seen, Preview)
    told = " ".join(repr(seen).split())
    assert f"this run would be refused by --max-cost: {seen.no_cap}" in told
    assert server.log == []


@pytest.mark.parametrize("params", KNOWN, ids=json.dumps)
def test_what_changes_the_answer_alone_keeps_its_price(params: dict[str, Any]) -> None:
    """And can be capped."""
    assert price(task(**params)) == price(task())
    assert bill.unbounded(task(**params)) == ""


@given(st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20), st.integers() | st.text())
def test_a_field_that_nobody_knows_is_not_taken_for_free(name: str, value: Any) -> None:
    """Either a table says what it does to the bill, or the cost is unknown and no cap is taken."""
    tables = bill.FREE | bill.COUNTED | {*bill.TERMS, "tools", "cache_control"}
    asked = task(**{name: value})
    if name not in tables:
        assert price(asked) is None
        assert name in bill.unbounded(asked)


@pytest.mark.parametrize("name", sorted(bill.COUNTED))
def test_what_is_counted_afterwards_is_priced_and_not_capped(name: str) -> None:
    """Its tokens are in the usage; how many they are nobody knows before."""
    assert price(task(**{name: "x"})) == price(task())
    assert name in bill.unbounded(task(**{name: "x"}))


def test_a_tier_without_a_price_takes_no_cap() -> None:
    """It is named; a tier with one is held at the dearer of both prices."""
    told = bill.unbounded(task(service_tier="scale"))
    assert "with service_tier=scale" in told
    assert bill.unbounded(task(service_tier="flex")) == ""
    base = bill.worst(LUNA, 1000, 1000)
    assert base is not None
    assert bill.worst(LUNA, 1000, 1000, (("service_tier", "flex"),)) == base
    assert bill.worst(LUNA, 1000, 1000, (("service_tier", "priority"),)) == base * 2


@each_dialect
def test_a_guard_or_a_section_alone_is_enough_to_refuse(server: Loopback, dialect: str) -> None:
    """Whatever call of the cell it is, also over items that must be awaited."""
    model = MODELS[dialect]
    search = "--param plugins=1"

    async def items() -> Any:
        yield "x"

    for text, more in (
        (f"%section a\nask\n%section b {search}\nask", {}),
        (f"%section a\nask\n%guardrail {search}\nMay it?", {}),
        (f"%section a\nask\n%synthesis {search}\nMerge.", {}),
        (f"%section a {search}\nask {{{{item}}}}", {"each": "docs"}),
    ):
        variables = {"docs": items()} if more else {}
        with pytest.raises(OptionError, match="plugins"):
            asyncio.run(
                fanout(text, model=model, max_cost=1, variables=variables, **more)  # type: ignore[arg-type]
            )
    assert server.log == []


@each_dialect
def test_a_recorded_cost_is_what_the_reply_was_paid_for(server: Loopback, dialect: str) -> None:
    """Through a run: an unknown charge makes the cost unknown, and its sum "at least"."""
    model = MODELS[dialect]
    place = "usage.service_tier" if dialect == "anthropic" else "service_tier"
    run = asyncio.run(_priced(server, model, place))
    assert isinstance(run, FanoutRun)
    assert run.results[0].cost is None
    assert run.results[1].cost is not None
    assert not run.cost_complete


async def _priced(server: Loopback, model: str, place: str) -> FanoutRun:
    name = model.rpartition(":")[2]
    first, _, rest = place.partition(".")
    plain = {"input_tokens": 9, "output_tokens": 9, "prompt_tokens": 9, "completion_tokens": 9}
    usage = {**plain, **({"service_tier": "of the future"} if rest else {})}
    endpoint = Endpoint("anthropic" if rest else "openai", False)
    patch = {} if rest else {first: "of the future"}
    server.script(name, Act(body=_body(endpoint, {"usage": usage}, patch)), Act())
    return await fanned(
        "%section a\nask\n%section b\nask", model=model, stream="off", concurrency=1
    )


# Usage that cannot be true.


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=endpoint_name)
@pytest.mark.parametrize(
    ("took", "gave"), [(0, 0), (0, 5), (5, 0)], ids=["nothing", "no prompt", "no answer"]
)
def test_a_usage_of_nothing_is_unknown(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, took: int, gave: int
) -> None:
    """A prompt takes tokens, and so does a text: a gateway that says 0 says nothing."""
    monkeypatch.setenv("TEST_KEY", "sk-0123456789")
    names = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")
    usage = dict.fromkeys(names[0], took) | dict.fromkeys(names[1], gave)
    server.script("m", Act(body=_body(endpoint, {"usage": usage}, {}), headers=_kind(endpoint)))
    reply = endpoint.ask(server, "m", prompt="x" * 2000)
    assert isinstance(reply, Reply)
    assert reply.text == "x"
    assert reply.usage is None


@each_dialect
def test_a_zero_usage_books_what_was_set_aside(server: Loopback, dialect: str) -> None:
    """The cost is unknown, and the cap counts the most that it can have been."""
    name = MODELS[dialect].rpartition(":")[2]
    none = dict.fromkeys(("input_tokens", "prompt_tokens", "output_tokens", "completion_tokens"), 0)
    body = _body(Endpoint(dialect, False), {"usage": none}, {})
    server.script(name, Act(body=body))
    run = asyncio.run(fanned("%section a\nask", model=MODELS[dialect], stream="off", max_cost=1))
    assert (run.results[0].status, run.results[0].cost, run.cost_complete) == ("ok", None, False)
