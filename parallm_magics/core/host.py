"""The host that code runs in, where it has settings and recordings of its own: a notebook."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol


class Host(Protocol):
    """What `await vote(…)` takes over from where it runs."""

    def settings(self) -> Mapping[str, Any]:
        """The options that hold where the call says nothing."""

    async def run(self, plan: Any, runner: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        """The run of a plan with the host's clients, recordings and caps on cost."""


_HOSTS: list[Host] = []


def enter(host: Host) -> None:
    """From now on code runs in this host."""
    _HOSTS.append(host)


def leave(host: Host) -> None:
    """The host is gone."""
    if host in _HOSTS:
        _HOSTS.remove(host)


def current() -> Host | None:
    """The host that was entered last; None where code runs by itself."""
    return _HOSTS[-1] if _HOSTS else None
