"""Imported by every Python that a test starts: a connection to any address but loopback is an error."""

import socket

_connect, _connect_ex, _lookup = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
)


def _check(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(name, str) and not (
        name in ("", "localhost", "::1", "0.0.0.0") or name.startswith("127.")
    ):
        raise AssertionError(f"a test tried to reach {name}")


def _guarded(self: socket.socket, address: object) -> None:
    _check(address[0] if isinstance(address, tuple) else "")
    _connect(self, address)  # type: ignore[arg-type]


def _guarded_ex(self: socket.socket, address: object) -> int:
    _check(address[0] if isinstance(address, tuple) else "")
    return _connect_ex(self, address)  # type: ignore[arg-type]


def _looked_up(host: object, *args: object, **kwargs: object) -> object:
    _check(host)
    return _lookup(host, *args, **kwargs)  # type: ignore[arg-type]


socket.socket.connect = _guarded  # type: ignore[method-assign, assignment]
socket.socket.connect_ex = _guarded_ex  # type: ignore[method-assign, assignment]
socket.getaddrinfo = _looked_up  # type: ignore[assignment]
