"""Base URLs: the part that may be shown, and the credentials that may not."""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit

from parallm_magics.errors import ModelError
from parallm_magics.providers import keys


def host_of(url: str) -> str:
    """Host and port, without credentials.

    >>> host_of("http://user:secret@localhost:8000/v1")
    'localhost:8000'

    Raises:
        ModelError: it is no http address.
    """
    if url.startswith(("http://", "https://")):
        try:
            parts = urlsplit(url)
            if parts.hostname and (parts.port is None or parts.port):
                return parts.netloc.rpartition("@")[2]
        except ValueError:
            pass
    raise ModelError(f"the base URL {keys.scrub(url)!r} is no http:// or https:// address")


def public(url: str) -> str:
    """The address without credentials, query and fragment, any of which may hold a secret.

    >>> public("http://user:secret@localhost:8000/v1?key=secret")
    'http://localhost:8000/v1'
    """
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return bare.geturl()


def split_url(url: str) -> tuple[str, dict[str, str]]:
    """The address without credentials, and the header that they stand for.

    aiohttp refuses an address with credentials beside a header with a key.
    """
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    keys.hide(parts.password or "")
    keys.hide(unquote(parts.password or ""))
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    token = keys.hide(base64.b64encode(pair.encode()).decode())
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, {"Authorization": f"Basic {token}"}
