"""The body of an answer: its bytes, never more than a cap, and what its first ones say it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, Self

from parallm_magics.providers.event_stream import KIND as EVENT_STREAM

MOST_BYTES = 8 * 2**20  # after decompression: a small compressed body can stand for gigabytes
HEAD = 400
DRAIN_SECONDS = 0.1
BOM = b"\xef\xbb\xbf"
# How the lines of server-sent events begin: data, event, id, retry, and ":" for a comment.
EVENT_STARTS = b"deir:"

Form = Literal["json", "events", "other"]


class TooMuchError(Exception):
    """The body is larger than any answer."""


class Body:
    """The body of one open response, read once.

    Attributes:
        kind: the content type, without parameters.
        head: the first bytes that were read, to show what came instead of an answer.
    """

    def __init__(self, response: Any, most: int | None = MOST_BYTES) -> None:
        """Take a response; `most` is None where whoever reads it holds no more than a part."""
        self.kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.head = b""
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._gather: Callable[[float], Awaitable[None]] = getattr(response, "gather", _read_on)
        self._left = most
        self._begun = b""

    async def form(self) -> Form:
        """What the first bytes say that it is: servers and gateways mislabel their answers.

        A byte order mark and blanks before them, which keep a connection alive, are left out.
        """
        begun = b""
        with contextlib.suppress(StopAsyncIteration):
            while not begun or BOM.startswith(begun):
                begun = (begun + await anext(self)).lstrip()
                if begun.startswith(BOM):
                    begun = begun[len(BOM) :].lstrip()
        self._begun = begun
        if not begun:
            return "events" if self.kind == "text/event-stream" else "other"
        if self.kind == EVENT_STREAM:
            return "events"
        if begun[:1] in b"{[":
            return "json"
        return "events" if begun[:1] in EVENT_STARTS else "other"

    def __aiter__(self) -> Self:
        return self

    # No generator: one that is left in the middle costs the loop a task for its end.
    async def __anext__(self) -> bytes:
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        chunk = await anext(self._chunks)
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise TooMuchError
        if len(self.head) < HEAD:
            self.head += chunk[: HEAD - len(self.head)]
        return chunk

    @property
    def whole(self) -> bytes | None:
        """All of it, where that came with what `form` has read; None where only waiting tells."""
        return self._begun if getattr(self._response, "at_end", False) else None

    async def gather(self, seconds: float) -> None:
        """Let so many seconds pass before more is read, where the response's connection can wait."""
        await self._gather(seconds)

    async def drain(self) -> None:
        """Read what follows the end of the answer, so that the connection can be used again."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in self:
                    pass


async def _read_on(_: float) -> None:
    """Do not wait."""
