"""The host that code runs in, where it has settings and recordings of its own: a notebook."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol


class Host(Protocol):
    """What `await vote(…)` takes over from where it runs."""

    def settings(self) -> Mapping[str, Any]:
        """Return the options that hold where the call says nothing."""

    async def run(self, plan: Any, runner: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        """Return the run of a plan with the host's clients, recordings and caps on cost."""


_HOSTS: list[Host] = []


def enter(host: Host) -> None:
    """Let code run in this host from now on."""
    _HOSTS.append(host)


def leave(host: Host) -> None:
    """Take out a host that is gone."""
    if host in _HOSTS:
        _HOSTS.remove(host)


def current() -> Host | None:
    """Return the host that was entered last; None where code runs by itself."""
    return _HOSTS[-1] if _HOSTS else None
