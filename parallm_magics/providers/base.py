"""What all providers have in common: a key, what must be there before a call, and how a call may end."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from typing import Any

from parallm_magics.core.prices import TIER
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Task
from parallm_magics.errors import ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.address import host_of, is_local
from parallm_magics.providers.entries import WITH_FLEX
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.faults import Asked, fault_of


class BaseProvider:
    """A provider whose class says how one call is made, in `ask`; all else is as its entry says.

    Attributes:
        entry: what is known of it.
        host: whom calls go to, as messages name it.
    """

    simulated = False
    local = False
    address = ""

    def __init__(self, entry: ProviderEntry) -> None:
        """Take its entry."""
        self.entry = entry
        for name in entry.keys:
            keys.register(name)
        self._locate()

    async def ask(self, task: Task, heard: Heard) -> Reply | str:
        """Make one call: give a whole answer, or only its text; `heard` is told what arrives before.

        Any exception is the call's fault; `CallFailed` says one precisely.
        """
        raise NotImplementedError

    def check(self, task: Task) -> None:
        """Refuse, before any call, what this model cannot do."""
        if not task.model.name:
            raise ModelError(
                f"{task.model.provider} needs a model name: write {task.model.provider}:NAME"
            )
        if task.tier == "flex":
            self._check_flex(task)

    def _check_flex(self, task: Task) -> None:
        """Refuse a tier that the provider does not have, or that another field contradicts."""
        if TIER in task.params:
            raise ModelError(
                f"{task.model}: --tier flex and --param {TIER} cannot be combined; keep one of them"
            )
        if "flex" not in self.entry.tiers:
            half = "use --batch for half the price, " if "batch" in self.entry.tiers else ""
            raise ModelError(
                f"{task.model}: {self.entry.name} has no flex tier: {half}write --tier default on its line, "
                f"or ask a model of {', '.join(WITH_FLEX)}"
            )

    @property
    def account(self) -> str:
        """The same for providers that share one key at one address, and so its limits."""
        return f"{self.host} {self._mark()}"

    def caches(self, task: Task) -> bool:
        """Whether the provider keeps the beginning that the task shares with others in its cache."""
        return False

    def load(self) -> Any:
        """Import what calls need, in any thread, without a look at keys or the network."""

    async def prepare(self) -> None:
        """Refuse what could not be asked anyway."""
        self._locate()
        self._require()

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Make one call.

        Raises:
            CallFailed: with the fault, for all that is no whole reply.
        """
        asked = Asked(self.host, task.model.name, self._key_env, prompt=task.prompt)
        try:
            said = await self.ask(task, heard)
            reply = Reply(said) if isinstance(said, str) else said
            return replace(reply, text=keys.without_keys(reply.text))
        except CallFailed:
            raise
        except Exception as exc:  # whatever a foreign class raises may hold the key
            fault = fault_of(exc, asked)
        raise CallFailed(fault)

    async def close(self) -> None:
        """Give back sockets and clients."""

    def _locate(self) -> None:
        """Take in where calls go; the environment may have changed since the last time."""
        url = self.base_url
        if not url:  # of a class that knows by itself
            self.host = self.entry.name
            return
        self.host = host_of(url)
        usual = self.entry.base_url
        moved = self.entry.shows_address or self.host != host_of(usual)
        self.address = self.host if moved else ""
        self.local = is_local(url)

    @property
    def moved_to(self) -> str:
        """Where the user has moved it; "" where it is at its usual address."""
        return os.environ.get(self.entry.base_env, "").strip()

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self.moved_to or self.entry.base_url

    def _mark(self) -> str:
        """Tells a changed key or address from an unchanged one."""
        return keys.fingerprint(self._key_env, self.base_url)

    @property
    def _key_env(self) -> str | None:
        return self.entry.key_env

    def _has_key(self) -> bool:
        return self._key_env is not None and keys.is_set(self._key_env)

    @property
    def _to_check(self) -> str | None:
        """The variable to look at where the provider does not accept who asks."""
        return self._key_env

    def key(self) -> str:
        """The key; never kept by its caller.

        Raises:
            MissingKeyError: none is set, or it cannot be sent; names the variables.
        """
        return keys.read(*self.entry.keys)

    def _key(self) -> str:
        """The key, or the dummy that local servers want."""
        return self.key() if self._has_key() else "none"

    def _require(self) -> None:
        """Refuse what could not be asked anyway, before anything slow is imported."""
        self._require_variables()
        if self.entry.keys:
            self.key()

    def _require_variables(self) -> None:
        for variable, what in self.entry.needs:
            if not keys.is_set(variable):
                raise ModelError(f"{self.entry.name}: {variable} is not set: {what}")

    def _require_package(self, package: str, otherwise: str = "") -> None:
        """Refuse where a package is not installed that only this provider needs.

        Args:
            otherwise: what else would do.
        """
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:  # what holds the package is not there either
            found = None
        if found is None:
            raise ModelError(
                f"{self.entry.name} needs {package}: "
                f"pip install 'parallm_magics[{self.entry.extra}]'{otherwise}"
            )
