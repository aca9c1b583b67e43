"""Requests by a template of the SDK's: the same bytes on the wire, and the same ends, at half the CPU."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from asking import fanned, served, voted
from multidict import CIMultiDict
from odd_answers import CASES, MODEL, good
from provider import KEY, Act

from parallm_magics import ParallmError, VoteRun
from parallm_magics.core.tasks import Record
from parallm_magics.providers.direct_requests import Template

MODELS = ("anthropic:claude-haiku-5-5", "openai:gpt-6-luna", "openai-responses:gpt-6-luna")
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"


def by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the SDKs send every request themselves."""
    monkeypatch.setattr("parallm_magics.providers.sdk.session_of", lambda http: None)


async def heard(ask: Any, monkeypatch: pytest.MonkeyPatch, query: str = "") -> list[bytes]:
    """The bytes of all requests that come in while somebody asks."""
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0])
                came.append(head + await reader.readexactly(length))
                writer.write(REFUSED)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{url}{query}")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1{query}")
        with contextlib.suppress(ParallmError):
            await ask()
    return [each.replace(url.encode().removeprefix(b"http://"), b"HOST") for each in came]


@pytest.mark.parametrize("query", ["", "?api-version=1"])
@pytest.mark.parametrize("stream", ["on", "off"])
@pytest.mark.parametrize("model", MODELS)
def test_the_wire_gets_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, model: str, stream: str, query: str
) -> None:
    """Whoever sends a request: every header in its order, and the body with its odd characters."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: blue")

    def ask() -> Any:
        return fanned('Say "é", 日本 and \U0001f600 \\ </s>.', model=model, stream=stream, n=2)

    direct = asyncio.run(heard(ask, monkeypatch, query))
    by_the_sdk(monkeypatch)
    assert direct == asyncio.run(heard(ask, monkeypatch, query))
    assert direct
    assert all(KEY.encode() in each for each in direct)


def ends(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """How one vote for each odd answer ends; what follows a first try is good."""
    with served() as server:
        for at, (way, odd) in enumerate(CASES):
            act = odd.act(way)
            assert act is not None
            server.script(f"{MODEL}-{at}", act, good(way))

        async def all_of_them() -> list[VoteRun]:
            asked = (
                voted(
                    "is it safe or unsafe?",
                    n=1,
                    choices=["safe", "unsafe"],
                    model=f"{way.dialect}:{MODEL}-{at}",
                    stream="on" if way.stream else "off",
                )
                for at, (way, _) in enumerate(CASES)
            )
            return await asyncio.gather(*asked)

        return [run.results[0] for run in asyncio.run(all_of_them())]


def told(record: Record) -> tuple[Any, ...]:
    """What a record says but for its times and the server's port."""
    error = record.error
    return (
        record.status,
        record.text,
        record.value,
        record.usage,
        record.thinking,
        record.model_answered,
        error and (error.kind, error.http, error.retry_after, error.final),
        [each.outcome for each in record.attempts],
    )


def test_every_odd_answer_ends_as_by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults, cut and compressed bodies, refusals: neither way knows more or less than the other."""
    direct = ends(monkeypatch)
    by_the_sdk(monkeypatch)
    names = [f"{odd.name} {way}" for way, odd in CASES]
    differing = {
        name: (told(one), told(other), one.error, other.error)
        for name, one, other in zip(names, direct, ends(monkeypatch), strict=True)
        if told(one) != told(other)
    }
    assert not differing


@pytest.mark.parametrize("model", ["anthropic:m", "openai:m"])
@pytest.mark.parametrize(
    "act",
    [
        Act(status=429, headers={"retry-after": "7"}),
        Act(status=400, text="x" * 100_000),
        Act(status=503),
        Act(status=302, headers={"location": "http://127.0.0.2/elsewhere"}),
        Act(reset="before"),
        Act(reset="middle"),
        Act(gzip=True),
    ],
    ids=lambda act: str(act.status) if act.status != 200 else str(act.reset or "gzip"),
)
def test_a_fault_is_told_in_the_same_words(
    monkeypatch: pytest.MonkeyPatch, model: str, act: Act
) -> None:
    """What a user reads does not tell who has sent the request."""

    def message() -> str:
        with served() as server:
            server.script("m", act)
            run = asyncio.run(
                voted(
                    "yes or no?",
                    n=1,
                    choices="yes,no",
                    model=model,
                    retries=0,
                    min_success="0",
                    deadline=3,
                )
            )
            [record] = run.results
            words = record.error.message if record.error else record.text
            return str(words).replace(server.url.removeprefix("http://"), "HOST")

    direct = message()
    by_the_sdk(monkeypatch)
    assert direct == message()


def test_a_template_shows_no_key() -> None:
    """Its headers hold the key, so that no picture of it shows them."""
    headers = CIMultiDict({"authorization": f"Bearer {KEY}"})
    assert KEY not in repr(Template("http://127.0.0.1", headers))
