"""The transport under both SDKs: no time limits, no redirects, a wide pool."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from parallm_magics.core.provider import GOES_OUT, NotNow
from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import split_url
from parallm_magics.providers.direct_requests import ERROR_BYTES

CONNECTIONS = 2_000  # the engine's limits rule; the pool must never be the narrow place
# Of one line of a response's head. aiohttp takes 8,190, and gateways send longer ones; the call would be
# paid for and its answer lost.
HEADER_BYTES = 100_000


@functools.cache
def _roots(file: str | None, folder: str | None) -> Any:
    """The TLS context of all clients, by where `SSL_CERT_FILE` and `SSL_CERT_DIR` point.

    Reading the roots takes 20 ms, which each `await fanout(…)` would spend on its own client.
    """
    import httpx2

    return httpx2.create_ssl_context()


def _trust() -> Any:
    """The TLS context of now."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and folder and not os.path.isdir(folder):
        raise ModelError(f"SSL_CERT_DIR={folder} is not a folder: correct or unset it")
    try:
        return _roots(file, folder)
    except OSError as error:  # ssl's own errors among them
        why = error.strerror if isinstance(error, FileNotFoundError) else "no certificates in it"
    raise ModelError(
        f"SSL_CERT_FILE={file} cannot be read as root certificates ({why}): correct or unset it"
    )


def load_transport() -> None:
    """Import what is under all clients, and read the root certificates.

    Raises:
        ModelError: the environment's certificates cannot be read.
    """
    with contextlib.suppress(
        ImportError
    ):  # the SDK's own transport serves where it is not installed
        importlib.import_module("aiohttp")
    _trust()


def environment() -> str:
    """Tells changed variables of proxies and certificates from unchanged ones."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    every = ("SSL_CERT_FILE", "SSL_CERT_DIR", *names, *(name.lower() for name in names))
    return keys.fingerprint(None, repr([os.environ.get(name) for name in every]))


def _proxy(url: str) -> Any:
    """A proxy; its credentials as a header, as aiohttp has given up its other form of them."""
    import httpx2

    return httpx2.Proxy(split_url(url)[0], headers=_greeting(url))


def _greeting(proxy: str) -> dict[str, str]:
    """The headers for a proxy."""
    return {f"Proxy-{name}": value for name, value in split_url(proxy)[2].items()}


def http_client(sdk: Any, proxy: str | None = None, plain: bool = False) -> Any:
    """A client of the SDK's; on aiohttp where that is installed, at half the CPU a call.

    Args:
        proxy: the address of the proxy that calls go through; None for a direct way.
        plain: whether calls go by http, so that the proxy reads what the provider is sent.

    Raises:
        ModelError: the environment's certificates cannot be read.
    """
    import httpx2

    class Beginning(httpx2.AsyncByteStream):
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

    async def bound_error(response: httpx2.Response) -> None:
        # The SDK reads the body of an error whole, before our cap on answers can see it.
        if response.status_code >= 300 and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = Beginning(response.stream)

    options = {
        "timeout": None,
        "verify": _trust(),
        # Read from the environment by us, so that what is wrong with it can be told.
        "proxy": None if proxy is None else _proxy(proxy),
        "headers": _greeting(proxy) if proxy and plain else {},
        "trust_env": False,
        "limits": httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        "follow_redirects": False,
        "event_hooks": {"response": [bound_error]},
    }
    try:
        client = sdk.DefaultAioHttpClient(**options)
    except RuntimeError:  # the SDK's word for "aiohttp is not installed"
        return sdk.DefaultAsyncHttpxClient(**options)
    # There is no public way from a client to the sessions that it will open.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if callable(getattr(transport, "get_client", None)):
            transport.client = functools.partial(_session, transport)
    return client


def session_of(client: Any) -> Callable[[], Any] | None:
    """What gives the aiohttp session under an HTTP client, opened on first use; None without one.

    Requests over it and those of the SDK share their connections, and are closed together.
    """
    transport = client._transport  # noqa: SLF001
    if not callable(getattr(transport, "get_client", None)):
        return None

    def session() -> Any:
        import aiohttp

        if not isinstance(transport.client, aiohttp.ClientSession):
            transport.client = transport.get_client()
        return transport.client

    return session


def _session(transport: Any) -> Any:
    """The session that a transport makes for itself, for longer lines in the heads of answers."""
    import aiohttp

    transport.client = None
    usual = transport.get_client()
    connector = usual.connector
    usual.detach()
    return aiohttp.ClientSession(
        connector=connector,
        request_class=_request_class(),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
    )


@functools.cache
def _request_class() -> Any:
    """aiohttp's request, which tells when it goes out: after its connection has come about."""
    import aiohttp

    class Request(aiohttp.ClientRequest):
        """One that may be held back at the last moment."""

        async def send(self, conn: Any) -> Any:
            """Write the request, where it may be written now."""
            if (goes_out := GOES_OUT.get()) is not None:
                try:
                    goes_out()
                except NotNow:
                    conn.release()  # it is as good as new; aiohttp would close it
                    raise
            return await super().send(conn)

    return Request
