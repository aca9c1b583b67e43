"""Requests sent through aiohttp by a template that the SDK has filled: the same bytes, at half the CPU.

The SDK builds one request of each kind, on a transport that only keeps it. Its address and headers are the
template of all that follow; only their bodies differ.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout
    from httpx2 import Response
    from multidict import CIMultiDict

CHUNK_BYTES = 16_384
ERROR_BYTES = 16_384  # of an error's body, before decompression
LENGTH = "content-length"
"""The last header of a request, and the only one that its body decides."""
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Template:
    """Where a kind of request goes, and the headers that the SDK gives it.

    Attributes:
        url: the address, its query included.
        headers: names and values in the order in which they are sent, but for `LENGTH`.
    """

    url: str
    headers: CIMultiDict[str] = field(repr=False)  # the key is among them


class StatusError(Exception):
    """An answer whose status is an error, as the SDKs raise it.

    Attributes:
        status_code: the HTTP status.
        response: the answer, for its headers.
        body: the error's body: JSON, or text where it is none.
    """

    def __init__(self, response: Response, body: object) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.status_code, self.response, self.body = response.status_code, response, body


class Answer:
    """The answer to a direct request, as `httpx2.Response` would show it.

    Attributes:
        status_code: the HTTP status.
        headers: the answer's headers; names in any case.
    """

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self.status_code, self.headers = response.status, response.headers

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body's bytes, decompressed."""
        if "content-encoding" in self.headers:
            return decoded(self._response).aiter_bytes()
        return self._response.content.iter_any()

    @property
    def at_end(self) -> bool:
        """Whether the body has been read to its end, as far as is known without waiting."""
        return "content-encoding" not in self.headers and self._response.content.at_eof()

    async def gather(self, seconds: float) -> None:
        """Leave what arrives meanwhile with the connection, to be read in one piece."""
        connection = self._response.connection
        transport = None if connection is None else connection.transport
        if transport is None or transport.is_closing():  # the body has ended, or is cut
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(seconds)
        finally:
            if not transport.is_closing():
                transport.resume_reading()

    async def aclose(self) -> None:
        """Give the connection back, or end it where the body was not read to its end."""
        self._response.release()


class DirectRequests:
    """Sends the requests of one SDK client over that client's own connections."""

    def __init__(
        self, session: Callable[[], ClientSession], build: Callable[[Any], Any], path: str
    ) -> None:
        """Take what gives the connections, what builds the SDK's client on an HTTP client, and the path."""
        self._session, self._build, self._path = session, build, path
        self._templates: dict[bool, Template | None] = {}
        self._filling = asyncio.Lock()

    async def post(self, body: Mapping[str, Any], stream: bool) -> Answer | None:
        """The answer to a request; None where the SDK has to send it.

        No redirect is followed, and no time limit is set.

        Raises:
            StatusError: the answer's status is 300 or above, or below 200.
            aiohttp.ClientError: there is no answer.
        """
        if stream not in self._templates:
            async with self._filling:
                if stream not in self._templates:
                    self._templates[stream] = await template_of(self._build, self._path, stream)
        template = self._templates[stream]
        if template is None:
            return None
        data, headers = encoded(body), template.headers.copy()
        headers[LENGTH] = str(len(data))
        response = await self._session().post(
            template.url,
            headers=headers,
            data=data,
            allow_redirects=False,
            auto_decompress=False,
            timeout=_without_limit(),
        )
        if not 200 <= response.status < 300:
            raise await _status_error(response)
        return Answer(response)


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body as the SDKs write it."""
    return _encode(body).encode()


@functools.cache
def _without_limit() -> ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout()


async def _status_error(response: ClientResponse) -> StatusError:
    answer = decoded(response, ERROR_BYTES)
    try:
        await answer.aread()
    finally:
        response.release()
    text = answer.text.strip()
    try:
        return StatusError(answer, json.loads(text))
    except ValueError:
        return StatusError(answer, text)


def decoded(response: ClientResponse, most: int | None = None) -> Response:
    """The answer as one of httpx2's, which knows how bodies are compressed.

    Args:
        most: so many bytes of the body are read, before decompression; None for all.
    """
    import httpx2

    class Stream(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = most
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                yield chunk if left is None else chunk[:left]
                if left is not None and (left := left - len(chunk)) <= 0:
                    return

    return httpx2.Response(response.status, headers=response.raw_headers, stream=Stream())


async def posted_by(client: Any, path: str, body: Mapping[str, Any]) -> Any:
    """The SDK's raw response, unread: typed models hide what foreign or broken servers send."""
    from httpx2 import Response

    return await client.post(path, cast_to=Response, body=body, stream=True, stream_cls=object)


async def template_of(make: Callable[[Any], Any], path: str, stream: bool) -> Template | None:
    """What the SDK sends with a kind of request; None where it sends none or another body.

    Args:
        make: builds the SDK's client on an HTTP client.
        path: where the kind of request is posted.
        stream: whether its answer is to be streamed.
    """
    import httpx2
    from multidict import CIMultiDict, istr

    sent: list[httpx2.Request] = []

    def record(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, json={})

    body = {"model": "a-model"} | ({"stream": True} if stream else {})
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(record)) as recording:
        await posted_by(make(recording), path, body)
    if len(sent) != 1 or sent[0].content != encoded(body):
        return None
    headers = [*sent[0].headers.multi_items()]
    if not headers or headers.pop()[0] != LENGTH:
        return None
    # Names that know how they read in lower case need not be asked with each request.
    return Template(str(sent[0].url), CIMultiDict((istr(name), value) for name, value in headers))
