"""A stream in pieces: however the network cuts it, it comes to the same answer, told as it came."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from endpoints import Endpoint
from hypothesis import given
from hypothesis import strategies as st
from odd_answers import CASES, END, LAST, Odd, Way, delta, ending, events, opening, sse

from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.providers import keys, receiving
from parallm_magics.providers.body import Body
from parallm_magics.providers.direct_requests import Answer
from parallm_magics.providers.sdk import SdkProvider

DIALECTS = ("anthropic", "openai")
KEY = "sk-TEST-0123456789abcdef"


class Sent(httpx2.AsyncByteStream):
    """Bytes that come in these pieces; the connection may break behind them."""

    def __init__(self, pieces: Sequence[bytes], broken: bool) -> None:
        self._pieces, self._broken = pieces, broken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._broken:
            raise ConnectionResetError("broken")


def by_the_sdk(sent: Sent, kind: str) -> httpx2.Response:
    """The response as an SDK gives it."""
    return httpx2.Response(200, headers={"content-type": kind}, stream=sent)


def directly(sent: Sent, kind: str) -> Answer:
    """The response as a direct request gives it."""
    response: Any = SimpleNamespace(
        status=200,
        headers={"content-type": kind},
        content=SimpleNamespace(iter_any=lambda: aiter(sent)),
        connection=None,
        release=lambda: None,
    )
    return Answer(response)


DOORS = (by_the_sdk, directly)
Told = tuple[str, ...]


def end_of(
    dialect: str, answer: httpx2.Response | Answer, stream: bool = True
) -> tuple[Reply | tuple[Any, ...], Told]:
    """How a call with this response ends, and the pieces that were told."""
    endpoint = Endpoint(dialect, stream)
    provider: SdkProvider = endpoint.open("http://127.0.0.1:9", key_env=None)
    told: list[str] = []

    async def answered(*_: object) -> httpx2.Response | Answer:
        return answer

    async def call() -> Reply | tuple[Any, ...]:
        provider._answer = answered  # type: ignore[method-assign]
        try:
            return await provider.complete(
                endpoint.task("m"), lambda piece, thinking="": told.append(piece)
            )
        except CallFailed as failed:
            return failed.fault, failed.text, failed.usage, failed.model, failed.thinking

    return asyncio.run(call()), tuple(told)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes cut at these places."""
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks) if a < b]


def wires() -> list[tuple[Way, Odd]]:
    """The odd answers whose bytes come to an end by themselves."""
    found = []
    for way, odd in CASES:
        act = odd.act(way)
        wire = act and act.wire
        if wire and wire.end in ("end", "break", "eof") and act and act.status == 200:
            found += [(way, odd)] if all(isinstance(each, bytes) for each in wire.pieces) else []
    return found


@given(
    st.sampled_from(wires()),
    st.lists(st.integers(0, 10**5), max_size=12),
    st.sampled_from(DOORS),
)
def test_an_odd_answer_ends_the_same_however_it_is_cut(
    case: tuple[Way, Odd], places: list[int], door: Any
) -> None:
    """Between events, lines and the bytes of a character: the same reply or fault, with the same text told."""
    way, odd = case
    act = odd.act(way)
    assert act is not None
    assert act.wire is not None
    wire = act.wire
    data = b"".join(piece for piece in wire.pieces if isinstance(piece, bytes))
    ends = [
        end_of(
            way.dialect, door(Sent(pieces, wire.end == "break"), wire.kind or ""), stream=way.stream
        )
        for pieces in ([data], cut(data, places))
    ]
    (whole, told), (pieced, told_in_pieces) = ends
    assert pieced == whole
    assert "".join(told_in_pieces) == "".join(told)


@pytest.mark.parametrize("gap", ["\n\n", "\r\n\r\n", "\r\r"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_byte_is_a_bad_place_to_cut(dialect: str, gap: str) -> None:
    """Each place by itself, and all of them at once."""
    data = b"".join(sse(events(dialect, "né ", "日本", "\U0001f600"), gap)) + LAST[dialect]
    cuts = [[data[:place], data[place:]] for place in range(1, len(data))]
    for pieces in (*cuts, [data[place : place + 1] for place in range(len(data))]):
        reply, told = end_of(dialect, directly(Sent(pieces, broken=False), "text/event-stream"))
        assert isinstance(reply, Reply)
        assert reply.text == "".join(told) == "né 日本\U0001f600"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_comes_at_once_is_told_at_once(dialect: str, door: Any) -> None:
    """A telling for each piece from the network that ends an event, whatever it holds."""
    one, two, three, *rest = sse(events(dialect, "a ", "b ", "c"))
    pieces = [one + two + three[:9], three[9:] + b"".join(rest), LAST[dialect]]
    reply, told = end_of(dialect, door(Sent(pieces, broken=False), "text/event-stream"))
    assert isinstance(reply, Reply)
    assert reply.text == "a b c"
    assert len(told) == len(pieces)
    assert "".join(told) == "a b c"


@pytest.mark.parametrize(("seconds", "fast"), [(0.0, False), (3600.0, True)])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_fast_stream_is_left_to_gather(
    dialect: str, seconds: float, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection waits between two pieces, but for the first ones, those of a slow stream, and the end."""
    waits: list[float] = []

    async def gather(_: Answer, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(receiving, "GATHER_SECONDS", seconds)
    monkeypatch.setattr(Answer, "gather", gather)
    said = [*sse(opening(dialect)), *sse([delta(dialect, "a")] * 40)]
    rest = [*sse(ending(dialect, END[dialect])), LAST[dialect]]
    answer = directly(Sent([*said, *rest], broken=False), "text/event-stream")
    reply, told = end_of(dialect, answer)
    assert isinstance(reply, Reply)
    assert reply.text == "".join(told) == "a" * 40
    ending_of = {"openai": 0, "anthropic": 1}[dialect]  # events before the one that says "stop"
    usual = len(said) + ending_of - receiving.FIRST_EVENTS
    assert waits == [seconds] * (usual if fast else 0)


def test_a_call_that_is_given_up_leaves_its_connection_reading() -> None:
    """Also where it waits for what gathers there."""
    did: list[str] = []
    transport = SimpleNamespace(
        is_closing=lambda: False,
        pause_reading=lambda: did.append("pause"),
        resume_reading=lambda: did.append("resume"),
    )
    response: Any = SimpleNamespace(
        status=200, headers={}, connection=SimpleNamespace(transport=transport)
    )

    async def main() -> None:
        gathering = asyncio.ensure_future(Answer(response).gather(3600))
        await asyncio.sleep(0)
        assert did == ["pause"]
        gathering.cancel()
        await asyncio.wait({gathering})

    asyncio.run(main())
    assert did == ["pause", "resume"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_came_before_an_error_is_told(dialect: str) -> None:
    """Also where both come in one piece."""
    wrong = b'event: error\ndata: {"error": {"message": "overloaded"}}\n\n'
    data = b"".join(sse(events(dialect, "half")[:-2])) + wrong
    (fault, text, *_), told = end_of(dialect, by_the_sdk(Sent([data], False), "text/event-stream"))  # type: ignore[misc]
    assert (fault.kind, text, "".join(told)) == ("server", "half", "half")


words = st.text("ab é", max_size=8)


@given(st.lists(st.integers(0, 10**4), max_size=40), words, words)
def test_a_key_is_not_told_in_pieces(places: list[int], before: str, behind: str) -> None:
    """Whatever the pieces, no more of it than three characters; all else is told as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KEY", KEY)
        keys.register("TEST_KEY")
        sieve = keys.KeyFilter()
        text = f"{before}{KEY}{behind}"
        marks = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
        told = "".join(sieve.passed(text[a:b]) for a, b in itertools.pairwise(marks))
    assert KEY[:4] not in told
    assert told in {f"{before}{KEY[:size]}[key]{behind}" for size in range(4)}


@given(st.lists(st.text("sk-TES", max_size=6), max_size=8))
def test_what_is_no_key_is_told(pieces: list[str]) -> None:
    """At once, but for what may still become one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KEY", KEY)
        keys.register("TEST_KEY")
        sieve = keys.KeyFilter()
        told = "".join(map(sieve.passed, pieces))
        text = "".join(pieces)
    assert text.startswith(told)
    assert told == text or KEY.startswith(text[len(told) :]) or KEY[:3] in told[-3:]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_echoed_key_is_not_told(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where each character of it comes as a piece of its own."""
    monkeypatch.setenv("TEST_KEY", KEY)
    keys.register("TEST_KEY")
    said = sse(events(dialect, *f"my key: {KEY}, keep it"))
    reply, told = end_of(
        dialect, directly(Sent([*said, LAST[dialect]], False), "text/event-stream")
    )
    assert isinstance(reply, Reply)
    assert reply.text == "my key: [key], keep it"
    assert "".join(told) == "my key: sk-[key], keep it"
    assert KEY[:4] not in json.dumps(told)


@pytest.mark.parametrize(
    ("ended", "more", "whole"),
    [(True, {}, b"{}"), (False, {}, None), (True, {"content-encoding": "gzip"}, None)],
    ids=["ended", "open", "compressed"],
)
def test_a_body_is_whole_where_nothing_can_follow(
    ended: bool, more: dict[str, str], whole: bytes | None
) -> None:
    """Only then nobody waits for its end; what is still in a decompressor is not there yet."""
    response: Any = SimpleNamespace(
        status=200,
        headers={"content-type": "application/json"},
        content=SimpleNamespace(
            iter_any=lambda: aiter(Sent([b" {}"], False)), at_eof=lambda: ended
        ),
    )
    body = Body(answer := Answer(response))
    answer.headers = {**response.headers, **more}
    assert asyncio.run(body.form()) == "json"
    assert body.whole == whole
