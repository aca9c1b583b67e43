"""Prompt caching at the providers: what is marked, what comes back, and what it saves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from display_samples import fanout, record, static_html, static_plain
from endpoints import Endpoint, each_endpoint, official, server_at
from fakes import Fake, answer
from hypothesis import given
from hypothesis import strategies as st
from provider import KEY, Act, Loopback, PromptCache

from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Model, Record, Task, Usage
from parallm_magics.engine.accounts import Accounts, Price
from parallm_magics.engine.clock import Clock
from parallm_magics.engine.worker import Worker
from parallm_magics.patterns.run import Run
from parallm_magics.providers import bill
from parallm_magics.providers.anthropic import AnthropicProvider
from parallm_magics.providers.openai import OpenAIProvider
from parallm_magics.providers.prompt_cache import marked

SHARED = "The contract, é 😀:\r\n" + "clause. " * 600
PROMPTS = [f"{SHARED}\n\nSection {number}: what is missing?" for number in range(4)]
MARK = {"cache_control": {"type": "ephemeral"}}
HAIKU = "claude-haiku-5-5"
CACHED = {"prompt": PROMPTS[0], "shared": SHARED, "cache_key": "k1"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, and the official providers' variables pointing there."""
    with Loopback() as loopback:
        for name in ("TEST_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
            monkeypatch.setenv(name, KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", loopback.url)
        monkeypatch.setenv("OPENAI_BASE_URL", loopback.url + "/v1")
        yield loopback


def send(endpoint: Endpoint, *asked: Task) -> list[Reply]:
    """The replies of the official provider to these tasks, one after the other."""
    provider = official(endpoint.name)

    async def calls() -> list[Reply]:
        await provider.prepare()
        replies = [await provider.complete(task, lambda piece: None) for task in asked]
        await provider.close()
        return replies

    return asyncio.run(calls())


# What is sent.


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_shared_text_is_a_marked_block(server: Loopback, stream: bool) -> None:
    """Two blocks, the mark on the first; together they are the prompt, byte for byte."""
    endpoint = Endpoint("anthropic", stream)
    send(endpoint, endpoint.task(HAIKU, system="be brief", **CACHED))
    body = server.log[0].body
    first, second = body["messages"][0]["content"]
    assert first == {"type": "text", "text": SHARED, **MARK}
    assert second == {"type": "text", "text": PROMPTS[0].removeprefix(SHARED)}
    assert server.log[0].prompt == PROMPTS[0]
    assert body["system"] == "be brief"


@pytest.mark.parametrize("rest", ["", " \n\n"], ids=["nothing", "blanks"])
def test_no_block_is_blank(server: Loopback, rest: str) -> None:
    """The API refuses one: a prompt that is all shared is a single marked block."""
    endpoint = Endpoint("anthropic", False)
    send(endpoint, endpoint.task(HAIKU, prompt=SHARED + rest, shared=SHARED, cache_key="k1"))
    content = server.log[0].body["messages"][0]["content"]
    assert content == [{"type": "text", "text": SHARED + rest, **MARK}]


@pytest.mark.parametrize("shared", ["", " \n", "something else"], ids=["none", "blank", "foreign"])
def test_a_shared_system_prompt_is_marked(server: Loopback, shared: str) -> None:
    """Where the prompts have no beginning in common, the system prompt is what is shared."""
    endpoint = Endpoint("anthropic", True)
    fields: dict[str, Any] = {"prompt": " \n own", "shared": shared, "cache_key": "k1"}
    rules = "long rules " * 200
    send(endpoint, endpoint.task(HAIKU, system=rules, **fields))
    body = server.log[0].body
    assert body["system"] == [{"type": "text", "text": rules, **MARK}]
    assert body["messages"][0]["content"] == " \n own"


@pytest.mark.parametrize("system", [None, "", " \n"], ids=["none", "empty", "blank"])
def test_nothing_to_share_is_nothing_to_mark(server: Loopback, system: str | None) -> None:
    """Then the request is what it would be without caching."""
    endpoint = Endpoint("anthropic", False)
    send(
        endpoint,
        endpoint.task(HAIKU, system=system, cache_key="k1"),
        endpoint.task(HAIKU, system=system),
    )
    assert server.log[0].body == server.log[1].body


TEXTS = st.text(st.sampled_from("a \n\u3000é😀"), max_size=4)


@given(shared=TEXTS, rest=TEXTS, system=st.none() | TEXTS, foreign=st.booleans())
def test_marks_change_no_text(shared: str, rest: str, system: str | None, foreign: bool) -> None:
    """Whatever the texts, the model reads what the task says, and no block is blank."""
    prompt = rest if foreign else shared + rest
    task = Task(0, "w", Model("anthropic", HAIKU), prompt, shared, system, cache_key="k1")
    for sent, text in zip(marked(task, MARK), (system, prompt), strict=True):
        if isinstance(sent, list):
            assert "".join(block["text"] for block in sent) == text
            assert all(block["text"].strip() for block in sent)
            assert [("cache_control" in block) for block in sent] == [True, False][: len(sent)]
        else:
            assert sent == text


def test_openai_gets_the_key_of_the_cache(server: Loopback) -> None:
    """The prompt stays one text; a key that is too long is cut to what is allowed."""
    for key in ("k1", "x" * 80):
        for stream in (False, True):
            endpoint = Endpoint("openai", stream)
            send(endpoint, endpoint.task("gpt-5", **CACHED | {"cache_key": key}))
            body = server.log[-1].body
            assert body["prompt_cache_key"] == key[:64]
            assert body["messages"] == [{"role": "user", "content": PROMPTS[0]}]


@each_endpoint
def test_without_a_key_nothing_is_marked(server: Loopback, endpoint: Endpoint) -> None:
    """A shared text alone changes no byte of the request."""
    send(endpoint, endpoint.task("m", prompt=PROMPTS[0], shared=SHARED, system="be brief"))
    user = {"role": "user", "content": PROMPTS[0]}
    expected: dict[str, Any] = {"model": "m", "max_tokens": 4096}
    if endpoint.name == "anthropic":
        expected |= {"messages": [user], "system": "be brief"}
    else:
        system = {"role": "system", "content": "be brief"}
        expected = {"model": "m", "messages": [system, user], "max_tokens": 4096}
        expected |= {"stream_options": {"include_usage": True}} if endpoint.stream else {}
    expected |= {"stream": True} if endpoint.stream else {}
    assert json.dumps(server.log[0].body) == json.dumps(expected)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_server_of_the_users_gets_no_key_of_a_cache(server: Loopback, stream: bool) -> None:
    """It might refuse a field that it does not know."""
    endpoint = Endpoint("openai", stream)
    endpoint.reply(server, "ok", **CACHED)
    assert "prompt_cache_key" not in server.log[0].body
    assert server.log[0].body["messages"][0]["content"] == PROMPTS[0]


def test_the_users_parameters_win(server: Loopback) -> None:
    """A key and a system prompt given by --param are sent as given."""
    openai, claude = Endpoint("openai", False), Endpoint("anthropic", False)
    send(openai, openai.task("gpt-5", params={"prompt_cache_key": "mine"}, **CACHED))
    send(claude, claude.task(HAIKU, system="s", cache_key="k", params={"system": "mine"}))
    assert server.log[0].body["prompt_cache_key"] == "mine"
    assert server.log[1].body["system"] == "mine"


# From which length on.


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("claude-haiku-5-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-opus-5-5@20261001", 512),
        ("claude-fable-5-2", 512),
        ("claude-opus-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-5-20260601", 1024),
        ("claude-opus-4-8", 1024),
        ("claude-sonnet-4-5-20250929", 1024),
        ("claude-opus-4-1", 1024),
        ("claude-sonnet-4-20250514", 1024),
        ("claude-4-opus-20250514", 1024),
        ("claude-3-7-sonnet-latest", 1024),
        ("claude-sonnet-4-6", 2048),
        ("claude-3-5-haiku-20241022", 2048),
        ("claude-3-haiku-20240307", 2048),
        ("claude-haiku-4-5", 4096),
        ("claude-opus-4-5-20251101", 4096),
        ("claude-opus-4-7", 4096),
        ("claude-mythos-preview", 4096),
        ("another-model", 4096),
    ],
)
def test_claude_models_have_a_least_prefix(model: str, least: int) -> None:
    """Each family its own; an unknown one the greatest."""
    assert official("anthropic").least_prefix(Model("anthropic", model)) == least


def test_only_official_providers_cache() -> None:
    """OpenAI from 1,024 tokens on; nothing is known of other servers."""
    endpoints: list[tuple[AnthropicProvider | OpenAIProvider, int | None]] = [
        (official("openai"), 1024),
        (server_at("http://localhost:8000/v1"), None),
    ]
    for provider, least in endpoints:
        assert provider.least_prefix(Model("any", "gpt-6-luna")) == least


# What comes back.


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_claude_s_cache_is_written_once_and_read(server: Loopback, stream: bool) -> None:
    """The first call writes the shared text, the others read it, and all classes add up."""
    server.cache = PromptCache(512)
    endpoint = Endpoint("anthropic", stream)
    asked = [endpoint.task(HAIKU, prompt=p, shared=SHARED, cache_key="k1") for p in PROMPTS]
    usages = [reply.usage for reply in send(endpoint, *asked)]
    size = len(SHARED) // 4
    assert [(u.cache_read_tokens, u.cache_write_tokens) for u in usages if u] == [
        (0, size),
        *[(size, 0)] * 3,
    ]
    for usage, call, prompt in zip(usages, server.log, PROMPTS, strict=True):
        assert call.fed is not None
        assert usage == Usage(*call.fed, call.gave)
        assert sum(call.fed) == len(prompt) // 4


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_openai_s_cache_is_read_by_calls_with_one_key(server: Loopback, stream: bool) -> None:
    """The same beginning and the same key: 1,024 tokens are read, from the second call on."""
    server.cache = PromptCache()
    endpoint = Endpoint("openai", stream)
    asked = [endpoint.task("gpt-5", prompt=p, shared=SHARED, cache_key="k1") for p in PROMPTS[:2]]
    other = endpoint.task("gpt-5", prompt=PROMPTS[2], shared=SHARED, cache_key="k2")
    usages = [reply.usage for reply in send(endpoint, *asked, other)]
    assert [u.cache_read_tokens for u in usages if u] == [0, 1024, 0]
    assert usages == [Usage(*call.fed, call.gave) for call in server.log if call.fed]


def test_what_is_too_short_is_not_cached(server: Loopback) -> None:
    """The scripted server keeps nothing below the least length, nor without a mark."""
    server.cache = PromptCache(len(SHARED) // 4 + 1)
    endpoint = Endpoint("anthropic", False)
    short = endpoint.task(HAIKU, **CACHED)
    unmarked = endpoint.task(HAIKU, prompt=PROMPTS[0], shared=SHARED)
    usages = [reply.usage for reply in send(endpoint, short, short, unmarked, unmarked)]
    assert usages == [Usage(len(PROMPTS[0]) // 4, 0, 0, usages[0].output_tokens)] * 4  # type: ignore[union-attr]


def test_a_cache_cannot_be_read_before_an_answer_has_begun(server: Loopback) -> None:
    """Beside a call that still waits for its answer the next one writes too; a later one reads."""
    server.cache = PromptCache(512)
    server.script(HAIKU, Act(hang=True), Act())
    task = Endpoint("anthropic", True).task(HAIKU, **CACHED)
    provider = official("anthropic")

    async def calls() -> list[Usage | None]:
        await provider.prepare()
        first = asyncio.create_task(provider.complete(task, lambda piece: None))
        while not server.log:
            await asyncio.sleep(0.01)
        replies = [await provider.complete(task, lambda piece: None) for _ in range(2)]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await provider.close()
        return [reply.usage for reply in replies]

    second, third = asyncio.run(calls())
    size = len(SHARED) // 4
    assert second == Usage(len(PROMPTS[0]) // 4 - size, 0, size, server.log[1].gave)
    assert third == Usage(len(PROMPTS[0]) // 4 - size, size, 0, server.log[2].gave)
    assert server.log[0].fed is None


# What it saves.


def recorded(usage: Usage | None, price: Price, model: Model, simulated: bool = False) -> Record:
    """The record of a worker whose one call took these tokens."""
    fake = Fake(answer(0, usage=usage))
    fake.simulated = simulated
    task = Task(0, "w", model, "p")

    async def work() -> Record:
        worker = Worker(task, fake, Clock(), 0.0, 0.0)
        last = await worker.once(None)
        accounts = Accounts(price)
        accounts.charge(worker, last)
        return accounts.record(worker, worker.start or 0.0, last.fault)

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("usage", "saved"),
    [
        # Haiku 5.5, dollars a million: in 0.1, read 0.01, written 0.125.
        pytest.param(Usage(100, 9000, 0, 50), Decimal("0.00081"), id="read"),
        pytest.param(Usage(100, 0, 9000, 50), Decimal("-0.000225"), id="written"),
        pytest.param(Usage(100, 4000, 4000, 50), Decimal("0.00026"), id="both"),
        pytest.param(Usage(9100, 0, 0, 50), None, id="no cache took part"),
        pytest.param(None, None, id="unknown tokens"),
    ],
)
def test_saved_is_the_plain_price_less_the_cost(usage: Usage | None, saved: Decimal | None) -> None:
    """Reading saves, writing costs more, and without a cache there is nothing to say."""
    model = Model("anthropic", HAIKU)
    told = recorded(usage, bill.price, model)
    assert told.saved == saved
    if usage is not None and saved is not None:
        plain = Usage(usage.total_tokens - usage.output_tokens, output_tokens=usage.output_tokens)
        assert told.cost is not None
        assert bill.cost(model, plain) == told.cost + saved


def test_without_a_price_no_saving_is_known() -> None:
    """Neither on a server of the user's nor where no model was asked."""
    usage = Usage(100, 9000, 0, 50)
    assert recorded(usage, bill.price, Model("ollama", "m")).saved is None
    sim = recorded(usage, bill.price, Model("anthropic", HAIKU), simulated=True)
    assert sim.saved is None


def test_workers_of_one_prompt_save_what_the_server_counted(server: Loopback) -> None:
    """From the wire to the record: one write and three reads, priced by class."""
    server.cache = PromptCache(512)
    provider = official("anthropic")
    fields: dict[str, Any] = {"shared": SHARED, "cache_key": "k1"}
    asked = [Endpoint("anthropic", True).task(HAIKU, prompt=p, **fields) for p in PROMPTS]

    async def work() -> list[Record]:
        await provider.prepare()
        ended = []
        for task in asked:
            worker = Worker(task, provider, Clock(), 0.0, 0.0)
            last = await worker.once(None)
            accounts = Accounts(bill.price)
            accounts.charge(worker, last)
            ended.append(accounts.record(worker, worker.start or 0.0, last.fault))
        await provider.close()
        return ended

    records = asyncio.run(work())
    size, mtok = len(SHARED) // 4, 1_000_000
    written, read = -size * Decimal("0.025") / mtok, size * Decimal("0.09") / mtok
    assert [each.saved for each in records] == [written, read, read, read]
    assert Run(records).saved == written + 3 * read


# What is shown.


@pytest.mark.parametrize(
    ("usage", "saved", "said"),
    [
        pytest.param(
            Usage(400, 9000, 3000, 1200),
            Decimal("0.0045"),
            "12,400 tokens in (9,000 from cache, 3,000 written to it), 1,200 out"
            " · $0.0123 · prompt caching saved $0.0045",
            id="saved",
        ),
        pytest.param(
            Usage(400, 0, 3000, 1200),
            Decimal("-0.0010"),
            "3,400 tokens in (3,000 written to cache), 1,200 out"
            " · $0.0123 · prompt caching cost $0.0010 more",
            id="cost more",
        ),
        pytest.param(
            Usage(400, 3000, 0, 1200),
            None,
            "3,400 tokens in (3,000 from cache), 1,200 out · $0.0123",
            id="no price",
        ),
        pytest.param(
            Usage(400, 3000, 0, 1200),
            Decimal(0),
            "3,400 tokens in (3,000 from cache), 1,200 out · $0.0123",
            id="no difference",
        ),
        pytest.param(
            Usage(400, 0, 0, 1200),
            None,
            "400 tokens in, 1,200 out · $0.0123",
            id="no cache",
        ),
    ],
)
def test_the_page_tells_of_the_cache(usage: Usage, saved: Decimal | None, said: str) -> None:
    """Tokens from and to the cache, and what that did to the cost, in both pictures."""
    view = fanout(record(0, usage=usage, cost=Decimal("0.0123"), saved=saved))
    about = static_plain(view).split("\n\n")[0].replace("\n", " ")
    assert about.endswith(said)
    assert said in static_html(view)
    assert ("prompt caching" in said) == ("prompt caching" in static_html(view))


def test_a_run_knows_what_caching_saved() -> None:
    """As a number of its own, in the run and in each record's plain types."""
    run = Run([record(0, saved=Decimal("0.002")), record(1, saved=Decimal("-0.0005"))])
    assert run.saved == Decimal("0.0015")
    assert run.to_dict()["saved"] == 0.0015
    assert [each["saved"] for each in run.to_dict()["results"]] == [0.002, -0.0005]
    assert Run([record(0)]).saved is None
    assert Run([record(0)]).to_dict()["saved"] is None
