"""The proxy between here and an address, by the environment's usual variables."""

from __future__ import annotations

import os
import urllib.request
from typing import NamedTuple
from urllib.parse import urlsplit

from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of, split_url


class Proxy(NamedTuple):
    """A proxy that calls go through.

    Attributes:
        variable: where it stands.
        url: its address, perhaps with credentials.
    """

    variable: str
    url: str

    def __str__(self) -> str:
        return f"the proxy of {self.variable} ({host_of(self.url)})"


def proxy_of(url: str) -> Proxy | None:
    """The proxy that calls to this address go through; None for a direct way.

    Raises:
        ModelError: there is one that cannot be used; names its variable.
    """
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    known = urllib.request.getproxies()
    for scheme in (parts.scheme, "all"):
        if found := known.get(scheme):
            return _usable(_variable(scheme), found, parts.hostname or "")
    return None


def _usable(variable: str, url: str, host: str) -> Proxy:
    proxy = Proxy(variable, url if "://" in url else f"http://{url}")
    split_url(proxy.url)  # its password is hidden from now on
    scheme = proxy.url.partition("://")[0].lower()
    way_out = f"set {variable} to an http:// proxy, or set NO_PROXY={host} to use none"
    if scheme not in ("http", "https"):
        raise ModelError(
            f"{variable} names a {keys.scrub(scheme)[:20]}:// proxy, which is not supported; {way_out}"
        )
    try:
        host_of(proxy.url)
    except ModelError:
        pass
    else:
        return proxy
    raise ModelError(f"{variable} is not the address of a proxy; {way_out}")


def _variable(scheme: str) -> str:
    """How the variable is spelt that holds the proxy; a lower-case one wins over the other."""
    name = f"{scheme}_proxy"
    return name if os.environ.get(name) else name.upper()
