"""Batches through the real SDKs: sent, listed, followed, cancelled, and their results read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from batches_asked import MODELS, NONCE, each_dialect, opened, read, requests, through
from provider import KEY, Loopback
from provider_acts import Act
from provider_batches import Accepted

from parallm_magics import OptionError, register_provider
from parallm_magics.core.batches import BatchUnsentError, batches_of
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.providers import BaseProvider
from parallm_magics.providers.registry import entry_of, forget, make


@each_dialect
def test_a_batch_is_sent_followed_and_read(server: Loopback, dialect: str) -> None:
    """Every request comes back under its id, at the price of a batch; the state tells how far it is."""
    server.batches.seconds = None
    sent = requests(dialect, [MODELS[dialect]] * 3)

    async def main() -> None:
        async with opened(dialect) as batches:
            assert await batches.newest() is None
            made = await batches.create(sent, NONCE)
            now = await batches.state(made.id)
            assert (now.status, now.total, now.succeeded) == ("under way", 3, 0)
            assert now.created is not None
            assert now.expires == now.created + 24 * 3600
            assert await batches.newest() == made.id
            server.batches.finish()
            now = await batches.state(made.id)
            assert (now.status, now.succeeded, now.failed, now.why) == ("ended", 3, 0, "")
            assert now.ended is not None
            assert now.nonce == ("" if dialect == "anthropic" else NONCE)
            results = {result.id: result.end for result in await read(batches, now, sent)}
        for request in sent:
            end = results[request.id]
            assert isinstance(end, Reply)
            assert (end.text, end.finish) == (f"echo: {request.task.prompt}", "stop")
            assert end.usage is not None
            assert end.usage.output_tokens
            assert end.model == MODELS[dialect]
            assert dict(end.terms)["service_tier"] == "batch"

    asyncio.run(main())
    [batch] = server.batches.made.values()
    assert list(batch.requests) == [request.id for request in sent]
    assert all(
        "stream" not in body and "stream_options" not in body for body in batch.requests.values()
    )


@each_dialect
def test_the_list_ends_at_the_batch_that_is_known(server: Loopback, dialect: str) -> None:
    """The newest come first, over several pages; all of them where the known one is gone."""
    server.batches.page = 2

    async def main() -> None:
        async with opened(dialect) as batches:
            sent = requests(dialect, [MODELS[dialect]])
            made = [(await batches.create(sent, NONCE)).id for _ in range(7)]
            for known, expected in (
                (made[2], made[3:]),
                (made[6], []),
                (None, made),
                ("gone", made),
            ):
                found = [batch.id async for batch in batches.listed(known)]
                assert found == expected[::-1]

    asyncio.run(main())


@each_dialect
def test_a_cancelled_batch_keeps_what_was_done(server: Loopback, dialect: str) -> None:
    """What was not done is cancelled and costs nothing; cancelling what has ended tells its state."""
    server.batches.seconds = None
    sent = requests(dialect, [MODELS[dialect]] * 3)

    async def main() -> None:
        async with opened(dialect) as batches:
            made = await batches.create(sent, NONCE)
            assert (await batches.cancel(made.id)).status == "cancelling"
            ended = await batches.cancel(made.id)
            assert (ended.status, ended.why) == ("ended", "the batch was cancelled")
            results = await read(batches, ended, sent)
        ends = [result.end for result in results]
        faults = [end.fault.kind for end in ends if isinstance(end, CallFailed)]
        assert faults == ["cancelled"] * 3

    asyncio.run(main())


REFUSED = Act(status=429, headers={"retry-after": "7"})
LOST = {
    "before": (Act(reset="before"), 0),
    "after": (Accepted(Act(reset="close")), 1),
    "broken": (Act(status=500), 0),
    "broken after": (Accepted(Act(status=503)), 1),
}


@each_dialect
def test_what_was_turned_away_may_be_sent_again(server: Loopback, dialect: str) -> None:
    """A rate limit at creation is told as one, and nothing has been taken."""
    server.batches.script("create", REFUSED, Act())

    async def main() -> None:
        async with opened(dialect) as batches:
            sent = requests(dialect, [MODELS[dialect]])
            with pytest.raises(BatchUnsentError) as failed:
                await batches.create(sent, NONCE)
            assert (failed.value.fault.kind, failed.value.fault.retry_after) == ("rate_limit", 7.0)
            assert not server.batches.files, "what was uploaded for it is deleted"
            await batches.create(sent, NONCE)

    asyncio.run(main())
    assert len(server.batches.made) == 1


@each_dialect
@pytest.mark.parametrize("how", LOST)
def test_a_creation_that_is_lost_may_have_been_taken(
    server: Loopback, dialect: str, how: str
) -> None:
    """Where the connection or the server breaks, the list alone tells whether there is a batch."""
    act, made = LOST[how]
    server.batches.script("create", act)

    async def main() -> int:
        async with opened(dialect) as batches:
            with pytest.raises(CallFailed) as failed:
                await batches.create(requests(dialect, [MODELS[dialect]]), NONCE)
            assert not isinstance(failed.value, BatchUnsentError)
            assert KEY not in repr(failed.value)
            assert failed.value.__context__ is None
            return len([batch async for batch in batches.listed(None)])

    assert asyncio.run(main()) == made


@pytest.fixture
def halves(server: Loopback) -> Iterator[str]:
    """A provider of the user's own that speaks OpenAI's dialect, its batches too."""
    register_provider("halves", f"{server.url}/v1", tiers={"batch": 0.5})
    yield "halves"
    forget("halves")


def test_a_registered_server_may_take_batches(server: Loopback, halves: str) -> None:
    """Where its entry has the tier, requests go to the batch API at its own address, without a key of others."""
    ends = asyncio.run(through(halves, requests(halves, ["m"] * 2)))
    assert all(isinstance(end, Reply) for end in ends.values())
    assert all(KEY not in str(call.headers) for call in server.log)


@pytest.mark.parametrize("name", ["ollama", "azure", "bedrock", "groq", "decide"])
def test_others_have_no_batches(name: str) -> None:
    """Nothing is tried where nobody knows of a batch API."""
    entry = entry_of(name)
    assert not entry.batches
    assert batches_of(make(entry)) is None


class Silent(BaseProvider):
    """Has a batch tier, and no way to it."""


def test_a_tier_without_a_way_to_it_is_refused() -> None:
    """A class of one's own that lacks `batches` is told at once."""
    with pytest.raises(OptionError, match=r"Silent has no batches"):
        register_provider("silent", tiers={"batch": 0.5}, provider=Silent)
