"""Base URLs: the part that may be shown, and the credentials that may not."""

from __future__ import annotations

import base64
import ipaddress
import re
from urllib.parse import parse_qsl, unquote, urlsplit

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
    raise ModelError(f"the base URL {keys.scrub(url)!r} does not start with http:// or https://")


def public(url: str) -> str:
    """The address without credentials, query and fragment, any of which may hold a secret.

    >>> public("http://user:secret@localhost:8000/v1?key=secret")
    'http://localhost:8000/v1'
    """
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return bare.geturl()


def is_local(url: str) -> bool:
    """Whether the address is one of this computer or of the own network.

    >>> is_local("http://192.168.1.5:8000/v1"), is_local("https://api.groq.com/openai/v1")
    (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan"))
    return not address.is_global


SECRET = re.compile(r"(?i)key|token|secret|sig|pass|auth|code|cred")
LONG = 16  # characters; what is shorter and has a harmless name is no key


def query_of(url: str) -> dict[str, str]:
    """What stands behind the question mark; values that may be a key are hidden from now on."""
    query = _query(url)
    for name, value in query.items():
        if _may_be_secret(name, value):
            keys.hide(value)
    return query


def shown_query(url: str) -> tuple[dict[str, str], bool]:
    """What stands behind the question mark and is no secret, and whether there is more."""
    query = _query(url)
    shown = {name: value for name, value in query.items() if not _may_be_secret(name, value)}
    return shown, len(shown) < len(query) or "@" in urlsplit(url).netloc


def _query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _may_be_secret(name: str, value: str) -> bool:
    return bool(SECRET.search(name)) or len(value) >= LONG


def split_url(url: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """The bare address, its query, and the header that its credentials stand for.

    The SDKs put the path of a call behind the address as it is, so that a query has to go apart.
    aiohttp refuses an address with credentials beside a header with a key.
    """
    query = query_of(url)
    parts = urlsplit(url)._replace(query="", fragment="")
    if parts.username is None:
        return parts.geturl(), query, {}
    keys.hide(parts.password or "")
    keys.hide(unquote(parts.password or ""))
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    token = keys.hide(base64.b64encode(pair.encode()).decode())
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, query, {"Authorization": f"Basic {token}"}
