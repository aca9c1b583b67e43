"""What the real providers refuse before a call, where they call, and with which key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from endpoints import Endpoint, each_endpoint, official, server_at
from provider import KEY, Loopback

from parallm_magics.core.tasks import Model, Task
from parallm_magics.errors import MissingKeyError, ModelError
from parallm_magics.providers.entries import BY_NAME


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, and a key in the variable that the endpoints read."""
    monkeypatch.setenv("TEST_KEY", f"  {KEY}\n")
    with Loopback() as loopback:
        yield loopback


# What is refused before any call.


def check(provider: str, model: str, **fields: object) -> None:
    """What `check` says to a task."""
    official(provider).check(Task(0, "w", Model(provider, model), "p", **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-7",
        "claude-opus-4-8",
        "claude-sonnet-5",
        "claude-haiku-5-5",
        "claude-opus-5-5",
        "claude-mythos-preview",
        "claude-opus-6",
    ],
)
def test_current_claude_models_take_no_temperature(model: str) -> None:
    """The message names the model and what to drop."""
    with pytest.raises(ModelError, match=f"{model} takes no temperature: remove -t"):
        check("anthropic", model, temperature=0.5)
    with pytest.raises(ModelError, match="no temperature"):
        check("anthropic", model, params={"temperature": 1})
    check("anthropic", model)


@pytest.mark.parametrize(
    "model",
    [
        "claude-3-opus-20240229",
        "claude-3-5-haiku-latest",
        "claude-sonnet-4-20250514",
        "claude-4-opus-20250514",
        "claude-opus-4-0",
        "claude-opus-4-1@20250805",
        "claude-haiku-4-5-20251001",
        "claude-sonnet-4-6",
        "another-model",
    ],
)
def test_older_claude_models_take_a_temperature(model: str) -> None:
    """What can be done is not refused."""
    check("anthropic", model, temperature=0.5)


@pytest.mark.parametrize(
    "model",
    ["gpt-5.2-pro", "gpt-5.2-pro-2025-12-11", "gpt-5.1-codex", "o3-pro", "codex-mini-latest"],
)
def test_models_of_the_other_openai_api_are_refused(model: str) -> None:
    """They are named, with the reason."""
    with pytest.raises(ModelError, match=f"{model} exists only on OpenAI's Responses API"):
        check("openai", model)


def test_gpt_6_takes_a_temperature_only_without_reasoning() -> None:
    """The way out is in the message; with effort none it is sent."""
    with pytest.raises(ModelError, match=r"gpt-6.1-terra .* --effort none"):
        check("openai", "gpt-6.1-terra", temperature=0.5)
    check("openai", "gpt-6.1-terra", temperature=0.5, effort="none")
    check("openai", "gpt-4.1", temperature=0.5)


def test_nothing_is_known_of_a_server_of_the_users() -> None:
    """Names mean nothing there, so nothing is refused."""
    task = Task(0, "w", Model("vllm", "gpt-6-pro"), "p", temperature=1.0)
    server_at("http://localhost:8000/v1").check(task)


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_impossible_tasks_are_refused(provider: str) -> None:
    """An empty model name, and streaming chosen behind the engine's back."""
    with pytest.raises(ModelError, match="needs a model name"):
        check(provider, "")
    with pytest.raises(ModelError, match="--stream"):
        check(provider, "claude-haiku-5-5", params={"stream": False})


# Keys and addresses, as far as they are the provider's matter.


@pytest.mark.parametrize("value", [None, "", "  \n"], ids=["unset", "empty", "blank"])
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_missing_key_names_its_variable_and_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, provider: str, value: str | None
) -> None:
    """No call is made, and the message says what to do."""
    variable = f"{provider.upper()}_API_KEY"
    if value is not None:
        monkeypatch.setenv(variable, value)
    with pytest.raises(MissingKeyError, match=f"{variable} is not set.*-m sim"):
        asyncio.run(official(provider).prepare())


def test_openai_s_key_never_reaches_another_host(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of the user's gets the dummy key, and nothing that the environment has for OpenAI."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-CANARY")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-CANARY")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-CANARY")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "Authorization: Bearer CANARY\nX-Secret: CANARY\nbad line"
    )
    provider = server_at(f"{server.url}/v1")

    async def call() -> None:
        await provider.prepare()
        await provider.complete(Endpoint("openai", False).task("ok"), lambda piece: None)
        await provider.close()

    asyncio.run(call())
    assert server.log[0].headers["authorization"] == "Bearer none"
    assert "CANARY" not in str(server.log[0].headers)


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_moved_address_is_honoured_and_shown(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    """The SDKs' own variables move the official providers, and the host is told."""
    assert official(provider).address == ""
    entry = BY_NAME[provider]
    monkeypatch.setenv(entry.keys[0], KEY)
    path = "/v1" if provider == "openai" else ""
    monkeypatch.setenv(entry.base_env, server.url + path)
    moved = official(provider)
    assert moved.address == server.url.removeprefix("http://")

    async def call() -> str:
        await moved.prepare()
        reply = await moved.complete(Endpoint("openai", True).task("ok"), lambda piece: None)
        await moved.close()
        return reply.text

    assert asyncio.run(call()) == "echo: hello there"


@each_endpoint
def test_credentials_in_an_address_are_used_and_never_shown(
    server: Loopback, endpoint: Endpoint
) -> None:
    """They go as basic authentication, and no text has them."""
    url = server.url.replace("http://", "http://user:p4ss-CANARY@")
    failed = endpoint.failure(url, "echo-key")
    assert server.log[0].headers["authorization"].startswith("Basic ")
    provider = endpoint.open(url)
    told = f"{failed.fault} {failed!r} {provider.address} {provider.host} {provider!r}"
    assert "p4ss-CANARY" not in told
    assert "user" not in provider.address


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/v1", "http://", "http://x:port/v1"])
def test_an_address_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named before any call."""
    monkeypatch.setenv("OPENAI_BASE_URL", url or "nothing")
    with pytest.raises(ModelError, match="does not start with http"):
        official("openai")


def test_a_new_key_is_used_without_a_restart(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a key was corrected in the notebook, the next run sends the new one."""
    endpoint = Endpoint("anthropic", False)
    provider = endpoint.open(server.url)

    async def call() -> None:
        for key in ("wrong-key-1", "right-key-2", "right-key-2"):
            monkeypatch.setenv("TEST_KEY", key)
            await provider.prepare()
            await provider.complete(endpoint.task("ok"), lambda piece: None)
        await provider.close()

    asyncio.run(call())
    sent = [call.headers["authorization"] for call in server.log]
    assert sent == ["Bearer wrong-key-1", "Bearer right-key-2", "Bearer right-key-2"]
