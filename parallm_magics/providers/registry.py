"""Which providers there are, which one a model's text means, and who keeps their clients."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import re
import weakref
from collections.abc import Callable, Iterable
from importlib import import_module
from operator import is_
from typing import Any

from parallm_magics.core.entry_table import EntryTable
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.models import Model
from parallm_magics.core.provider import Provider
from parallm_magics.errors import ModelError, OptionError, nearest, then
from parallm_magics.providers.address import host_of
from parallm_magics.providers.dialects import SYSTEM_ONE
from parallm_magics.providers.entries import BY_NAME, ENTRIES, WELL_KNOWN, simulated
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.entry_checks import VARIABLE, check, wrong_name
from parallm_magics.providers.keys import scrub

DECIDE = "-decide"
"""Behind a provider's name: the decision models at its address."""
WAYS_OUT = (
    "write provider:model, such as anthropic:claude-haiku-5-5, openai:gpt-6-luna or ollama:llama3.2; "
    "sim needs no key; %parallm provider lists all providers, and %parallm provider NAME --base-url URL adds one"
)
PROBLEMS: dict[str, str] = {}
"""Why an installed package's provider is left out, by its name."""


def _note(name: str, why: str) -> None:
    PROBLEMS[name] = one_line(
        scrub(f"skipped the provider {name!r} of an installed package: {why}")
    )


_TABLE = EntryTable("parallm_magics.providers", ENTRIES, check, _note)
_MOVED: dict[str, ProviderEntry] = {}  # ours, at an address of the user's


def names() -> tuple[str, ...]:
    """The names of all providers."""
    return tuple(_TABLE)


def entries() -> tuple[ProviderEntry, ...]:
    """The entries of all providers."""
    return tuple(_MOVED.get(name, entry) for name, entry in _TABLE.items())


def find(name: str) -> ProviderEntry | None:
    """The entry of that name, or None; `NAME-decide` asks decision models at the address of NAME."""
    if found := _MOVED.get(name) or _TABLE.get(name):
        return found
    base = find(name.removesuffix(DECIDE)) if name.endswith(DECIDE) else None
    return None if base is None or not base.may_decide else _deciding(base)


@functools.lru_cache(64)
def _deciding(base: ProviderEntry) -> ProviderEntry:
    """The entry of the decision models that a provider's server has, by System One."""
    return ProviderEntry(
        f"{base.name}{DECIDE}",
        base.base_url,
        base.keys,
        {},
        dialect=SYSTEM_ONE,
        base_env=base.base_env,
        needs=base.needs,
        enforces="nothing",
        fixed=True,
        shows_address=base.shows_address,
        decides=True,
    )


def entry_of(name: str) -> ProviderEntry:
    """The entry of that name.

    Raises:
        ModelError: there is none, or its package cannot be loaded; names the nearest.
    """
    if entry := find(name):
        return entry
    if name in PROBLEMS:
        raise ModelError(PROBLEMS[name])
    raise ModelError(then(f"unknown provider {name!r}{nearest(name, names())}", WAYS_OUT))


def register_provider(
    name: str, base_url: str = "", keys: str | tuple[str, ...] = (), **fields: Any
) -> ProviderEntry:
    """Add a provider, which can then be asked by its name everywhere: `-m NAME:MODEL`.

    Args:
        name: what stands before the colon.
        base_url: the address of a server that speaks OpenAI's chat completions, or `dialect`.
        keys: the environment variables that its key may stand in.
        fields: further fields of `ProviderEntry`, such as `models`, `prices` and `provider`.

    Raises:
        OptionError: the name is taken, or a field cannot be used.
    """
    try:
        entry = ProviderEntry(name, base_url, keys, **fields)  # type: ignore[arg-type]
    except TypeError as error:
        why = str(error).removeprefix("ProviderEntry.__init__() ")
    else:
        _TABLE.add(entry)
        return entry
    raise OptionError(f"provider {str(name)[:40]!r}: {one_line(why)}")


def define(name: str, base_url: str, key_env: str | None = None) -> ProviderEntry:
    """Give a server that speaks OpenAI's chat completions a name; `key_env` names its key's variable.

    Raises:
        OptionError: the name, the address or the variable cannot be used.
    """
    try:
        host_of(base_url)
    except ModelError as error:
        raise OptionError(f"--base-url: {error}") from None
    if key_env is not None and not VARIABLE.fullmatch(key_env):
        raise OptionError(
            f"--key-env takes the name of an environment variable, not {scrub(key_env)!r}"
        )
    keys = () if key_env is None else (key_env,)
    # A known name stands for the same kind of server, wherever that runs.
    known = BY_NAME.get(name)
    holding = {"enforces": known.enforces, "enforces_free": known.enforces_free} if known else {}
    return _added(ProviderEntry(name, base_url, keys, shows_address=True, **holding))  # type: ignore[arg-type]


def define_simulated(name: str, answers: Any = None) -> ProviderEntry:
    """Give a simulated model with these answers a name.

    Raises:
        OptionError: the name cannot be used.
        ModelError: the answers cannot.
    """
    entry = ProviderEntry(
        name,
        provider=simulated,
        simulated=True,
        answers=answers,
        decides=BY_NAME["sim"].decides,
    )
    make(entry)  # bad answers are told now and not in the first cell
    return _added(entry)


def forget(name: str) -> None:
    """Undo `define`: predefined names are as before, others are gone."""
    _MOVED.pop(name, None)
    _TABLE.remove(name)


def adopt(entry: ProviderEntry) -> None:
    """Take in a provider that was named in the process that this one works for.

    Raises:
        OptionError: its name cannot be used here.
    """
    _added(entry)


def _added(entry: ProviderEntry) -> ProviderEntry:
    """Take in what a user has named."""
    for problem in wrong_name(entry.name):
        raise OptionError(problem)
    if entry.name not in BY_NAME:
        _TABLE.add(entry)
    elif BY_NAME[entry.name].fixed:
        raise OptionError(f"{entry.name!r} is built in; choose another name")
    else:
        _MOVED[entry.name] = entry
    return entry


def make(entry: ProviderEntry) -> Provider:
    """What asks the provider; cheap, without its SDK, without its key."""
    made = entry.provider or (entry.dialect.provider if entry.dialect else "")
    if isinstance(made, str):
        module, _, name = made.rpartition(".")
        made = getattr(import_module(f"{__package__}.{module}"), name)
    provider: Provider = made(entry)
    return provider


def parse_model(text: str) -> Model:
    """The model that a text means: `provider:name`, or a name that says whose it is.

    >>> str(parse_model("claude-haiku-5-5"))
    'anthropic:claude-haiku-5-5'
    >>> parse_model("sim:a?accuracy=0.8").query
    (('accuracy', '0.8'),)

    Raises:
        ModelError: it means none; says the nearest known one and the ways out.
    """
    text = text.strip()
    head, asked, tail = text.partition("?")
    provider, colon, name = head.partition(":")
    if not text:
        raise ModelError(f"no model is named; {WAYS_OUT}")
    if not text.isprintable():
        raise ModelError(
            f"the model's name {text!r} contains characters that are not allowed in a name"
        )
    if entry := find(provider):
        if asked and not entry.simulated:
            raise ModelError(
                f"{head!r} takes no ?{tail}: only simulated models have parameters; use --param"
            )
        if not name and not entry.simulated:
            raise ModelError(f"{provider} needs a model's name: {provider}:NAME; {WAYS_OUT}")
        query = _query(tail) if asked else ()
        decides = entry.decides is True or entry.decides in dict(query)
        return Model(provider, name, query, decides, entry.enforcement)
    if not colon and not asked:
        for each in entries():
            if re.match(each.bare, head):
                return Model(each.name, head, enforcement=each.enforcement)
    if colon:
        entry_of(provider)
    near = nearest(head, (*names(), *WELL_KNOWN))
    raise ModelError(f"unknown model {text!r}{near}; {WAYS_OUT}")


def _query(text: str) -> tuple[tuple[str, str], ...]:
    """A simulation's parameters; a value may hold anything but "&"."""
    pairs = [part.partition("=") for part in text.split("&")]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise ModelError(f"{key + equals + value!r} in ?{text} is not key=value")
    found = [key for key, _, _ in pairs]
    if twice := [key for key in found if found.count(key) > 1]:
        raise ModelError(f"{twice[0]!r} appears twice in ?{text}")
    return tuple((key, value) for key, _, value in pairs)


class Clients:
    """The clients in use: one provider for a name and an event loop, as sockets belong to a loop."""

    def __init__(self) -> None:
        self._open: dict[asyncio.AbstractEventLoop, dict[str, tuple[ProviderEntry, Provider]]] = {}
        self._replaced: list[tuple[asyncio.AbstractEventLoop, Provider]] = []
        _LEFT.add(self)

    def provider(self, name: str) -> Provider:
        """The running loop's provider of that name, made where there is none; not yet prepared.

        Raises:
            ModelError: there is no such provider.
        """
        wanted = entry_of(name)
        loop = asyncio.get_running_loop()
        opened = self._open.setdefault(loop, {})
        if name in opened and opened[name][0] is not wanted:
            self._replaced.append((loop, opened.pop(name)[1]))
        if name not in opened:
            opened[name] = (wanted, make(wanted))
        return opened[name][1]

    async def get(self, model: Model) -> Provider:
        """The running loop's provider of the model, prepared.

        Raises:
            ModelError: there is no such provider, or its key is missing.
        """
        await self._drop_dead()
        provider = self.provider(model.provider)
        await provider.prepare()
        return provider

    async def close(self) -> None:
        """Close the providers of the running loop and of loops that are closed."""
        await self._drop_dead()
        await _close(self._taken(functools.partial(is_, asyncio.get_running_loop())))

    async def _drop_dead(self) -> None:
        await _close(self._taken(lambda loop: loop.is_closed()))

    def _taken(self, chosen: Callable[[asyncio.AbstractEventLoop], bool]) -> list[Provider]:
        """Take the providers of the chosen loops out of the tables."""
        taken = [provider for loop, provider in self._replaced if chosen(loop)]
        self._replaced = [(loop, p) for loop, p in self._replaced if not chosen(loop)]
        for loop in [loop for loop in self._open if chosen(loop)]:
            taken += [provider for _, provider in self._open.pop(loop).values()]
        return taken

    def close_at_exit(self) -> None:
        """Close what is left, each loop's own on that loop, where it does not run elsewhere."""
        with contextlib.suppress(Exception):  # a failure here could only be noise
            if dead := self._taken(lambda loop: loop.is_closed()):
                asyncio.run(_close(dead))
            for loop in [loop for loop in self._open if not loop.is_running()]:
                loop.run_until_complete(_close(self._taken(functools.partial(is_, loop))))


_LEFT: weakref.WeakSet[Clients] = weakref.WeakSet()


@atexit.register
def _close_at_exit() -> None:
    """At the interpreter's end the sockets of loops that nobody closed would complain on stderr."""
    for clients in list(_LEFT):
        clients.close_at_exit()


async def _close(providers: Iterable[Provider]) -> None:
    for provider in providers:
        with contextlib.suppress(Exception):  # what is given up must not fail what goes on
            await provider.close()
