"""The transport under both SDKs; imported late, as it imports httpx2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2

CONNECTIONS = 2_000  # the engine's limits rule; the pool must never be the narrow place
ERROR_BYTES = 65_536  # of an error's body, before decompression

Response = httpx2.Response


def http_client(sdk: Any) -> Any:
    """A client without time limits and redirects; on aiohttp where it is installed, at half the CPU."""
    options = {
        "timeout": None,
        "limits": httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        "follow_redirects": False,
        "event_hooks": {"response": [_bound_error]},
    }
    try:
        return sdk.DefaultAioHttpClient(**options)
    except RuntimeError:  # the SDK's word for "aiohttp is not installed"
        return sdk.DefaultAsyncHttpxClient(**options)


async def _bound_error(response: httpx2.Response) -> None:
    """Keep the SDK, which reads the whole body of an error, from reading too much."""
    if response.status_code >= 300 and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Beginning(response.stream)


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ERROR_BYTES
        async for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    async def aclose(self) -> None:
        """Close the stream behind."""
        await self._stream.aclose()
