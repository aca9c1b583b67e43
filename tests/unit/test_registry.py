"""Which provider a model's text means, and who keeps its clients."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest
from provider import Loopback

from parallm_magics.core.tasks import Model, Task
from parallm_magics.errors import MissingKeyError, ModelError, OptionError
from parallm_magics.providers import registry
from parallm_magics.providers.registry import Clients, parse_model


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Iterator[None]:
    """What a test defines is gone after it."""
    before = registry.names()
    yield
    for name in {*registry.names(), *before}:
        registry.forget(name)
    assert registry.names() == before


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("anthropic:claude-haiku-5-5", Model("anthropic", "claude-haiku-5-5")),
        ("claude-haiku-5-5", Model("anthropic", "claude-haiku-5-5")),
        (" gpt-6-luna ", Model("openai", "gpt-6-luna")),
        ("o3-mini", Model("openai", "o3-mini")),
        ("o1", Model("openai", "o1")),
        ("chatgpt-4o-latest", Model("openai", "chatgpt-4o-latest")),
        ("openai:ft:gpt-4.1-mini:org::id", Model("openai", "ft:gpt-4.1-mini:org::id")),
        ("ollama:llama3.2:1b", Model("ollama", "llama3.2:1b")),
        ("ollama:gpt-oss:20b", Model("ollama", "gpt-oss:20b")),
        ("vllm:org/model", Model("vllm", "org/model")),
        ("sim", Model("sim")),
        ("sim:", Model("sim")),
        ("sim?accuracy=0.8", Model("sim", "", (("accuracy", "0.8"),))),
        (
            "sim:a/b:c?accuracy=0.8&latency=lognormal(1,0.5)&truth=a=b",
            Model(
                "sim",
                "a/b:c",
                (("accuracy", "0.8"), ("latency", "lognormal(1,0.5)"), ("truth", "a=b")),
            ),
        ),
    ],
)
def test_a_text_means_a_model(text: str, model: Model) -> None:
    """Names may hold colons and slashes; the provider may be left out where the name decides."""
    assert parse_model(text) == model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no model is named; write provider:model"),
        ("anthropic", "anthropic needs a model's name: anthropic:NAME"),
        ("ollama:", "ollama needs a model's name"),
        ("antropic:claude-haiku-5-5", "unknown provider 'antropic'; did you mean 'anthropic'?"),
        ("gpt-oss:20b", "unknown provider 'gpt-oss'"),
        ("claud-haiku-5-5", "unknown model .*; did you mean 'claude-haiku-5-5'?"),
        ("gpt-oss", "unknown model 'gpt-oss'"),
        ("o2", "unknown model 'o2'"),
        ("llama3", "unknown model 'llama3'.*sim needs no key.*%parallm provider"),
        ("openai:gpt-6-luna?temperature=1", "only simulated models"),
        ("gpt-6-luna?x=1", "unknown model"),
        ("sim?accuracy", "'accuracy' in .* is not key=value"),
        ("sim?", "not key=value"),
        ("sim?a=1&a=2", "'a' appears twice"),
        ("sim?a=1&", "not key=value"),
        ("claude-\x1b[2J", "characters that are not allowed in a name"),
    ],
)
def test_a_text_that_means_none_says_what_is_possible(text: str, message: str) -> None:
    """The error has the nearest known name and the ways out."""
    with pytest.raises(ModelError, match=message):
        parse_model(text)


def test_a_server_of_the_users_gets_a_name() -> None:
    """After `define` its models can be asked for, and its address is shown without credentials."""
    made = registry.define("local", "http://user:p4ss@localhost:9/v1", key_env="LOCAL_KEY")
    assert parse_model("local:llama3.2:1b") == Model("local", "llama3.2:1b")
    assert registry.make(made).address == "localhost:9"
    assert "p4ss" not in repr(made)
    assert "local" in registry.names()


def test_a_simulated_provider_is_asked_for_by_its_bare_name() -> None:
    """`-m teacher` is enough, and a query is allowed."""
    registry.define_simulated("teacher", {"2+2?": "4"})
    assert parse_model("teacher") == Model("teacher")
    assert parse_model("teacher?seed=1").query == (("seed", "1"),)
    assert registry.entry_of("teacher").simulated


def test_bad_definitions_are_refused() -> None:
    """Names, addresses and variables that cannot be used, and names that keep their meaning."""
    for name in ("", "a b", "a:b", "9x", "anthropic", "openai", "sim"):
        with pytest.raises(OptionError):
            registry.define(name, "http://localhost:1/v1")
    with pytest.raises(OptionError, match="does not start with http") as caught:
        registry.define("local", "localhost:1")
    with pytest.raises(OptionError, match="--key-env") as caught:
        registry.define("local", "http://localhost:1/v1", key_env="sk-CANARY-0123456789")
    assert "CANARY" not in str(caught.value)
    with pytest.raises(ModelError):
        registry.define_simulated("teacher", 7)
    assert "local" not in registry.names()


def test_predefined_servers_can_be_moved_and_come_back() -> None:
    """`ollama` at another port, until it is forgotten."""
    usual = registry.entry_of("ollama")
    registry.define("ollama", "http://localhost:5/v1")
    assert registry.make(registry.entry_of("ollama")).address == "localhost:5"
    registry.forget("ollama")
    assert registry.entry_of("ollama") is usual


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio"])
def test_predefined_servers_need_no_key(name: str) -> None:
    """They are on this machine, and an address that everybody expects is not told."""
    provider = registry.make(registry.entry_of(name))
    assert provider.address == ""
    assert provider.host.startswith("localhost:")  # type: ignore[attr-defined]

    async def prepare() -> None:
        await provider.prepare()
        await provider.close()

    asyncio.run(prepare())


# Clients.


def call(model: str) -> Task:
    """A task for the scripted server."""
    return Task(0, "w", Model("local", model), "hello there")


def test_a_loop_has_one_provider_for_a_name() -> None:
    """Concurrent callers share it, and it is prepared."""
    with Loopback() as server:
        registry.define("local", f"{server.url}/v1")

        async def run() -> None:
            clients = Clients()
            got = await asyncio.gather(*(clients.get(Model("local", "ok")) for _ in range(20)))
            assert len({id(provider) for provider in got}) == 1
            assert got[0] is clients.provider("local")
            replies = await asyncio.gather(
                *(provider.complete(call("ok"), lambda piece: None) for provider in got)
            )
            assert {reply.text for reply in replies} == {"echo: hello there"}
            await clients.close()
            assert await clients.get(Model("local", "ok")) is not got[0]
            await clients.close()

        asyncio.run(run())


def test_a_changed_definition_is_followed() -> None:
    """After `define` has moved a name, the next call goes to the new place."""
    with Loopback() as old, Loopback() as new:

        async def run() -> None:
            clients = Clients()
            for server in (old, new):
                registry.define("local", f"{server.url}/v1")
                provider = await clients.get(Model("local", "ok"))
                await provider.complete(call("ok"), lambda piece: None)
            await clients.close()

        asyncio.run(run())
        assert (len(old.log), len(new.log)) == (1, 1)


def test_a_key_that_was_missing_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error leaves nothing behind that would keep the next try from working."""
    with Loopback() as server:
        registry.define("local", f"{server.url}/v1", key_env="LOCAL_KEY")

        async def run() -> None:
            clients = Clients()
            with pytest.raises(MissingKeyError, match="LOCAL_KEY"):
                await clients.get(Model("local", "ok"))
            monkeypatch.setenv("LOCAL_KEY", "now-it-is-set")
            provider = await clients.get(Model("local", "ok"))
            await provider.complete(call("ok"), lambda piece: None)
            await clients.close()

        asyncio.run(run())
        assert server.log[0].headers["authorization"] == "Bearer now-it-is-set"


def test_an_unknown_provider_is_no_client() -> None:
    """The error is the registry's."""

    async def run() -> None:
        with pytest.raises(ModelError, match="unknown provider"):
            await Clients().get(Model("nobody", "x"))

    asyncio.run(run())


def test_clients_leave_nothing_behind_when_they_are_gone() -> None:
    """A script that makes many runs keeps no trace of the doors that it has closed."""
    gc.collect()
    before = len(registry._LEFT)
    made = [Clients() for _ in range(50)]
    assert len(registry._LEFT) == before + 50
    del made
    gc.collect()
    assert len(registry._LEFT) == before
