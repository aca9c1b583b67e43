"""The body of an answer, whole or as server-sent events, and never more than a cap."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

MOST_BYTES = 8 * 2**20  # after decompression: a small compressed body can stand for gigabytes
HEAD = 400
DRAIN_SECONDS = 0.1


class TooMuchError(Exception):
    """The body is larger than any answer."""


class Body:
    """The body of one open response, read once.

    Attributes:
        kind: the content type, without parameters.
        head: the first bytes that were read, to show what came instead of an answer.
    """

    def __init__(self, response: Any, most: int = MOST_BYTES) -> None:
        self.kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.head = b""
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._left = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._left -= len(chunk)
            if self._left < 0:
                raise TooMuchError
            if len(self.head) < HEAD:
                self.head += chunk[: HEAD - len(self.head)]
            yield chunk

    async def whole(self) -> bytes:
        """All of it.

        Raises:
            TooMuchError: it exceeds the cap.
        """
        return b"".join([chunk async for chunk in self])

    async def drain(self) -> None:
        """Read what follows the end of the answer, so that the connection can be used again."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in self:
                    pass


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each server-sent event; "" for a comment, which is a sign of life.

    Event names are left out: both dialects repeat them in the data. An event that no blank line
    ends was cut, and is not given out.
    """
    open_line: list[bytes] = []
    data: list[str] = []
    async for chunk in chunks:
        first, *more = chunk.split(b"\n")
        open_line.append(first)
        if not more:
            continue
        lines = [b"".join(open_line), *more[:-1]]
        open_line = [more[-1]]
        for line in lines:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text.startswith("data:"):
                data.append(text[5:].removeprefix(" "))
            elif text.startswith(":"):
                yield ""
            elif not text and data:
                yield "\n".join(data)
                data = []
