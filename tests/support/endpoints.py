"""The real providers at a scripted server: one call, from a synchronous test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from provider import Loopback

from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Model, Task
from parallm_magics.providers.anthropic import AnthropicProvider
from parallm_magics.providers.entries import BY_NAME
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.openai import OpenAIProvider

CLASSES = {"anthropic": AnthropicProvider, "openai": OpenAIProvider}


def official(name: str) -> AnthropicProvider | OpenAIProvider:
    """The official provider, wherever the environment has moved it."""
    return CLASSES[name](BY_NAME[name])


def server_at(url: str, *keys: str) -> OpenAIProvider:
    """A server of the user's that speaks OpenAI's chat completions."""
    return OpenAIProvider(ProviderEntry("local", url, keys, shows_address=True))


@dataclass(frozen=True)
class Endpoint:
    """A dialect, streamed or not."""

    name: str
    stream: bool

    def task(self, model: str, **fields: Any) -> Task:
        """A task for this endpoint."""
        fields = {"prompt": "hello there", "stream": self.stream, **fields}
        return Task(0, "w", Model(self.name, model), **fields)

    def open(
        self, url: str, key_env: str | None = "TEST_KEY"
    ) -> AnthropicProvider | OpenAIProvider:
        """The provider at this server; the key's variable must be set."""
        address = url + ("/v1" if self.name == "openai" else "")
        keys = (key_env,) if key_env else ()
        moved = {"base_url": address, "base_env": "", "keys": keys, "shows_address": True}
        entry = replace(BY_NAME[self.name], **moved, official=False, limit="")
        return CLASSES[self.name](entry)

    def ask(
        self,
        server: Loopback | str,
        model: str,
        heard: Callable[[str], None] = lambda piece: None,
        **fields: Any,
    ) -> Reply | CallFailed:
        """How one call ends."""
        provider = self.open(server if isinstance(server, str) else server.url)

        async def call() -> Reply | CallFailed:
            await provider.prepare()
            try:
                return await provider.complete(
                    self.task(model, **fields), lambda piece, thinking="": heard(piece)
                )
            except CallFailed as failed:
                return failed
            finally:
                await provider.close()

        return asyncio.run(call())

    def reply(self, server: Loopback, model: str, **fields: Any) -> Reply:
        """The reply of a call that must succeed."""
        end = self.ask(server, model, **fields)
        assert isinstance(end, Reply), end
        return end

    def failure(self, server: Loopback | str, model: str, **fields: Any) -> CallFailed:
        """The failure of a call that must fail."""
        end = self.ask(server, model, **fields)
        assert isinstance(end, CallFailed), end
        return end


ENDPOINTS = [Endpoint(name, stream) for name in CLASSES for stream in (False, True)]
STREAMS = [endpoint for endpoint in ENDPOINTS if endpoint.stream]


def endpoint_name(endpoint: Endpoint) -> str:
    """How a test's name tells the endpoints apart."""
    return f"{endpoint.name}-{'stream' if endpoint.stream else 'plain'}"


each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=endpoint_name)
each_stream = pytest.mark.parametrize("endpoint", STREAMS, ids=endpoint_name)
