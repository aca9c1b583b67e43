"""AWS's binary event stream: whatever its chunks, the events that came whole, and nothing of a broken one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_dialects import frame

from parallm_magics.providers.event_stream import EXCEPTIONS, BrokenFrameError, framed

CHUNK = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}


def event(text: str) -> bytes:
    """A frame that holds this event."""
    return frame(json.dumps({"bytes": base64.b64encode(text.encode()).decode()}).encode(), CHUNK)


def read(chunks: Sequence[bytes]) -> list[str]:
    """The events of a stream that comes in these chunks."""

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def all_of() -> list[str]:
        return [data async for ended in framed(stream()) for data in ended]

    return asyncio.run(all_of())


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes in pieces."""
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@given(st.lists(st.text(min_size=1), max_size=5), st.lists(st.integers(0, 10**6), max_size=12))
def test_chunk_borders_mean_nothing(texts: list[str], places: list[int]) -> None:
    """Every event comes out once, in order, wherever the bytes were cut."""
    assert read(cut(b"".join(map(event, texts)), places)) == texts


@given(st.text(min_size=1), st.integers(1, 10**6))
def test_half_a_frame_is_left_out(text: str, place: int) -> None:
    """What came whole before it is kept."""
    half = event("second")[: place % len(event("second"))]
    assert read([event(text) + half]) == [text]


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_is_never_an_event(place: int, flip: int) -> None:
    """The checksums tell: it is an error, or at most a frame that never ends."""
    data = bytearray(event("the whole answer"))
    data[place % len(data)] ^= flip
    with contextlib.suppress(BrokenFrameError):
        assert read([bytes(data)]) == []


@pytest.mark.parametrize("name", [*EXCEPTIONS, "anExceptionOfTheFuture"])
def test_exceptions_are_errors_in_anthropics_words(name: str) -> None:
    """With their own message, and a kind that says whether to try again."""
    headers = {":message-type": "exception", ":exception-type": name}
    [told] = read([frame(b'{"message": "too much"}', headers)])
    kind = EXCEPTIONS.get(name, "api_error")
    assert json.loads(told) == {"type": "error", "error": {"type": kind, "message": "too much"}}


def test_other_frames_hold_nothing() -> None:
    """A frame without bytes is a sign of life at most."""
    assert read([frame(b"{}", CHUNK), frame(b"", {}), event("x")]) == ["x"]
