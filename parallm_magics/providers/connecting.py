"""Why no connection came about, or broke: the cause itself, and not its neighbour."""

from __future__ import annotations

import os
from collections.abc import Iterator

REFUSED = "connection refused"
# What ended a connection, by class name along the exception's chain of causes; first match wins.
CAUSES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"gaierror", "ClientConnectorDNSError"}), "no such host (DNS)"),
    (
        frozenset({"SSLError", "CertificateError", "ClientSSLError", "ServerFingerprintMismatch"}),
        "TLS failed",
    ),
    (frozenset({"ConnectionRefusedError"}), REFUSED),
    (
        frozenset({"ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError"}),
        "connection reset",
    ),
    (frozenset({"UnsupportedProtocol", "InvalidURL"}), "not a valid http address"),
    (
        frozenset({"ServerDisconnectedError", "RemoteProtocolError", "ReadError", "EndOfStream"}),
        "the connection closed before the answer",
    ),
)
PROXY = frozenset({"ProxyError", "ClientProxyConnectionError", "ClientHttpProxyError"})
# Of OpenSSL's verdicts: those that a further root certificate would change.
UNKNOWN_ROOT = frozenset({18, 19, 20, 21})
ROOTS = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def why(exc: BaseException, timed_out: bool, host: str, proxy: str) -> tuple[str, bool]:
    """What went wrong, in words, and whether it was silence alone.

    Args:
        host: whom the call was for.
        proxy: the proxy between, in words; "" for none.
    """
    chain = list(_causes(exc))
    reason = _reason(chain)
    if proxy and any(PROXY & _names(cause) for cause in chain):
        status = next((s for cause in chain if (s := getattr(cause, "status", None))), None)
        what = f"answers HTTP {status}" if status else f"cannot be reached ({reason or 'silent'})"
        return f"{host} was not called: {proxy} {what}; correct the proxy, or set NO_PROXY", False
    through = f", through {proxy}" if proxy else ""
    if reason:
        return f"{host}: {reason}{through}", False
    if timed_out:
        return f"{host}: the connection timed out{through}", True
    return f"{host}: no connection ({chain[-1]}){through}", False


def refused(exc: BaseException) -> bool:
    """Whether the machine that was called says that nobody listens there."""
    return _reason(list(_causes(exc))) == REFUSED


def _reason(chain: list[BaseException]) -> str:
    """The first cause that the table knows; "" where it knows none."""
    for names, words in CAUSES:
        for cause in chain:
            if names & _names(cause) or _refused(cause, words):
                return f"{words}{_verdict(chain)}" if words == "TLS failed" else words
    return ""


def _verdict(chain: list[BaseException]) -> str:
    """What a failed handshake says, and the way out where a root certificate is one."""
    code = next((c for each in chain if (c := getattr(each, "verify_code", None))), None)
    said = [
        str(text)
        for name in ("verify_message", "reason")
        for each in chain
        if isinstance(text := getattr(each, name, None), str) and text
    ]
    detail = f" ({said[0].strip()})" if said else ""
    if code not in UNKNOWN_ROOT:
        return detail
    named = next((f"{name}={os.environ[name]}" for name in ROOTS if os.environ.get(name)), "")
    if named:
        return f"{detail}: its certificate is not signed by any root in {named}"
    return f"{detail}: its certificate is not signed by a trusted root; for your own CA, set SSL_CERT_FILE"


def _names(cause: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(cause).__mro__}


def _refused(cause: BaseException, words: str) -> bool:
    # Where a name has several addresses, their refusals arrive as one OSError that only says so.
    return words == REFUSED and isinstance(cause, OSError) and "refuse" in str(cause)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and all that led to it, groups opened."""
    seen: set[int] = set()
    open_ends: list[BaseException | None] = [exc]
    while open_ends:
        cause = open_ends.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        open_ends += [cause.__cause__, cause.__context__, getattr(cause, "os_error", None)]
        open_ends += getattr(cause, "exceptions", ())
