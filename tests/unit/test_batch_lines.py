"""The files of a batch: requests written one to a line, results cut into lines, neither ever held whole."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.providers.batch_lines import (
    HELD_BYTES,
    MOST_BYTES,
    Line,
    encoded,
    lines_of,
    pieces_of,
    written,
)
from parallm_magics.providers.body import Body


class Response:
    """A response whose body comes in these pieces."""

    headers: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The pieces."""
        for piece in self._pieces:
            yield piece


async def cut(pieces: Iterator[bytes]) -> list[Line]:
    """The lines of a body."""
    return [line async for line in lines_of(Body(Response(pieces), most=None))]


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: value is not None)


@settings(max_examples=50)
@given(st.lists(values, max_size=6), st.data())
def test_lines_are_the_same_wherever_the_bytes_are_cut(
    listed: list[Any], data: st.DataObject
) -> None:
    """Every value comes back, in order, also where a character or a line end is cut in two."""
    whole = b"".join(
        encoded(value) + data.draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])) for value in listed
    )
    whole = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + whole
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert [line.value for line in asyncio.run(cut(iter(pieces)))] == listed


def test_a_line_that_is_too_long_is_known_by_its_beginning() -> None:
    """Its request is told where the id stands at its beginning; the lines behind it are read."""
    known = b'{"custom_id": "n-1", "more": "' + b"x" * MOST_BYTES + b'"}\n'
    pieces = [known[at : at + 65_536] for at in range(0, len(known), 65_536)]
    first, second = asyncio.run(cut(iter([*pieces, b'{"a": 1}'])))
    assert (first.value, first.id, first.long) == (None, "n-1", True)
    assert second == Line({"a": 1})


def test_reading_holds_a_line_and_not_the_file() -> None:
    """50 MB of short lines, and one line of 50 MB: a small part of that is held at any moment."""

    def short() -> Iterator[bytes]:
        line = encoded({"custom_id": "n-1", "text": "x" * 1_000}) + b"\n"
        for _ in range(800):
            yield line * 63

    def long() -> Iterator[bytes]:
        for _ in range(800):
            yield b"x" * 65_536

    async def count(pieces: Iterator[bytes]) -> int:
        lines = 0
        async for _ in lines_of(Body(Response(pieces), most=None)):
            lines += 1
        return lines

    tracemalloc.start()
    try:
        assert asyncio.run(count(long())) == 1
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST_BYTES
        tracemalloc.reset_peak()
        assert asyncio.run(count(short())) == 800 * 63
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_what_is_sent_lies_on_disk() -> None:
    """Of 50 MB little is held in memory, and all of it comes out again."""
    tracemalloc.start()
    try:
        file = written(b"x" * 10_000 for _ in range(5_000))
        assert tracemalloc.get_traced_memory()[1] < 3 * HELD_BYTES
    finally:
        tracemalloc.stop()

    async def size() -> int:
        return sum([len(piece) async for piece in pieces_of(file)])

    with file:
        assert asyncio.run(size()) == 50_000_000


@pytest.mark.parametrize("bad", [{"a": "\ud83d"}, {"a": float("nan")}])
def test_what_is_no_json_is_not_sent(bad: dict[str, Any]) -> None:
    """Half a character and a number that is none are errors, not bytes."""
    with pytest.raises(ValueError, match=r"."):
        encoded(bad)
