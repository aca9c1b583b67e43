"""Requests to the batch APIs of a scripted provider, through the real SDKs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from parallm_magics.core.batches import (
    Batches,
    BatchRequest,
    BatchResult,
    BatchState,
    batches_of,
)
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Task
from parallm_magics.providers.registry import Clients, parse_model

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna", "openai-responses": "gpt-6-luna"}
each_dialect = pytest.mark.parametrize("dialect", MODELS)
NONCE = "0123456789abcdef"


def requests(dialect: str, models: Sequence[str], **fields: Any) -> list[BatchRequest]:
    """A request to each model, named by its place."""
    return [
        BatchRequest(
            f"{NONCE}-{at}",
            Task(at, f"s{at}", parse_model(f"{dialect}:{model}"), f"ask {at}", **fields),
        )
        for at, model in enumerate(models)
    ]


@contextlib.asynccontextmanager
async def opened(dialect: str) -> AsyncIterator[Batches]:
    """The batch API of a dialect's provider."""
    clients = Clients()
    try:
        found = batches_of(await clients.get(parse_model(f"{dialect}:m")))
        assert found is not None
        yield found
    finally:
        await clients.close()


async def read(batches: Batches, batch: BatchState, sent: list[BatchRequest]) -> list[BatchResult]:
    """All results of a batch."""
    return [result async for result in batches.results(batch, sent)]


async def through(dialect: str, sent: list[BatchRequest]) -> dict[str, Reply | CallFailed]:
    """What becomes of each request of a batch that ends at once."""
    async with opened(dialect) as batches:
        made = await batches.create(sent, NONCE)
        ended = await batches.state(made.id)
        assert ended.status == "ended"
        results = await read(batches, ended, sent)
    assert len(results) == len(sent)
    return {result.id: result.end for result in results}


async def gathered(
    batches: Batches, batch: BatchState, sent: list[BatchRequest]
) -> tuple[list[BatchResult], CallFailed | None]:
    """The results that can be read, and what was told after them."""
    found: list[BatchResult] = []
    try:
        async for result in batches.results(batch, sent):
            found.append(result)  # noqa: PERF401  what came before a fault counts
    except CallFailed as failed:
        return found, failed
    return found, None
