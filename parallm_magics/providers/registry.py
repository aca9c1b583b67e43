"""Which providers there are, and which one a model's text means."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import re
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from operator import is_
from typing import TYPE_CHECKING, Any

from parallm_magics.core.prices import Tariff
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Model, Terms
from parallm_magics.errors import ModelError, OptionError, nearest
from parallm_magics.providers.address import host_of, is_local, public
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.services import SERVICES, Service
from parallm_magics.providers.well_known import WELL_KNOWN

if TYPE_CHECKING:
    from parallm_magics.providers.sdk import SdkProvider


@dataclass(frozen=True, slots=True)
class Definition:
    """One provider that can be asked for by name.

    Attributes:
        name: what stands before the colon.
        make: builds it; cheap, without the SDK, without the key.
        simulated: whether no model is asked.
        key_env: the environment variable with its key, or None.
        base_url: where a server of the user's is; "" for the known ones.
        answers: what the user gave a simulated model to answer, or None.
        service: what is known of it by its name, or None.
    """

    name: str
    make: Callable[[], Provider]
    simulated: bool = False
    key_env: str | None = None
    base_url: str = field(default="", repr=False)  # may hold credentials
    answers: Any = field(default=None, repr=False, compare=False)
    service: Service | None = None

    @property
    def deployments(self) -> bool:
        """Whether its models' names are the user's own."""
        return self.service is not None and self.service.deployments

    def tariff(self, model: str, terms: Terms = ()) -> Tariff | None:
        """Where the price of a model stands; a server in the own network has none."""
        if self.service is not None:
            return self.service.tariff(model, terms)
        if self.simulated or is_local(self.base_url):
            return None
        return Tariff("", public(self.base_url), model, terms)


def _known(service: Service) -> Definition:
    def make() -> Provider:
        module, _, door = service.door.rpartition(".")
        made: type[SdkProvider] = getattr(import_module(f"{__package__}.{module}"), door)
        return made.for_service(service)

    return Definition(
        service.name,
        make,
        key_env=next(iter(service.keys), None),
        service=service,
    )


def _server(
    name: str, base_url: str, key_env: str | None = None, *, usual: bool = False
) -> Definition:
    def make() -> Provider:
        from parallm_magics.providers.openai import OpenAIProvider

        return OpenAIProvider(base_url, key_env, usual=base_url if usual else "")

    return Definition(name, make, key_env=key_env, base_url=base_url)


def _simulated(name: str, answers: Any = None) -> Definition:
    def make() -> Provider:
        from parallm_magics.simulation.simulated import SimulatedProvider

        return SimulatedProvider(answers)

    return Definition(name, make, simulated=True, answers=answers)


FIXED = ("anthropic", "openai", "openai-responses", "sim")
"""Names that nothing else can be given."""
LOCAL = (
    _server("ollama", "http://localhost:11434/v1", usual=True),
    _server("vllm", "http://localhost:8000/v1", usual=True),
    _server("lmstudio", "http://localhost:1234/v1", usual=True),
)
PREDEFINED = {
    definition.name: definition
    for definition in (*map(_known, SERVICES), _simulated("sim"), *LOCAL)
}
_DEFINED: dict[str, Definition] = dict(PREDEFINED)
# Names that say by themselves whose they are.
BARE = (
    ("anthropic", re.compile(r"claude-")),
    ("openai", re.compile(r"gpt-(?!oss)|chatgpt-|o[134](?:-|$)")),
)
WAYS_OUT = (
    "write provider:model, such as anthropic:claude-haiku-5-5, openai:gpt-6-luna or ollama:llama3.2; "
    "sim needs no key; %parallm provider lists the names, and with NAME --base-url URL adds a server"
)


def names() -> tuple[str, ...]:
    """The names of all providers."""
    return tuple(_DEFINED)


def definitions() -> tuple[Definition, ...]:
    """All providers."""
    return tuple(_DEFINED.values())


def definition(name: str) -> Definition:
    """The provider of that name.

    Raises:
        ModelError: there is none; names the nearest.
    """
    if name not in _DEFINED:
        raise ModelError(f"unknown provider {name!r}{nearest(name, names())}; {WAYS_OUT}")
    return _DEFINED[name]


def define(name: str, base_url: str, key_env: str | None = None) -> Definition:
    """Give a server that speaks OpenAI's chat completions a name; `key_env` names its key's variable.

    Raises:
        OptionError: the name, the address or the variable cannot be used.
    """
    try:
        host_of(base_url)
    except ModelError as error:
        raise OptionError(f"--base-url: {error}") from None
    if key_env is not None and not re.fullmatch(r"[A-Za-z_]\w*", key_env):
        raise OptionError(
            f"--key-env takes the name of an environment variable, not {scrub(key_env)!r}"
        )
    return _add(_server(name, base_url, key_env))


def define_simulated(name: str, answers: Any = None) -> Definition:
    """Give a simulated model with these answers a name.

    Raises:
        OptionError: the name cannot be used.
        ModelError: the answers cannot.
    """
    made = _simulated(name, answers)
    made.make()  # bad answers are told now and not in the first cell
    return _add(made)


def forget(name: str) -> None:
    """Undo `define`: predefined names are as before, others are gone."""
    if name in PREDEFINED:
        _DEFINED[name] = PREDEFINED[name]
    else:
        _DEFINED.pop(name, None)


def _add(made: Definition) -> Definition:
    if not re.fullmatch(r"[A-Za-z_][\w-]*", made.name):
        raise OptionError(
            f"a provider's name is made of letters, digits, _ and -, not {made.name!r}"
        )
    if made.name in FIXED:
        raise OptionError(f"{made.name!r} keeps its meaning: choose another name")
    _DEFINED[made.name] = made
    return made


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
        raise ModelError(f"no model is given; {WAYS_OUT}")
    if not text.isprintable():
        raise ModelError(f"the model's name {text!r} holds characters that no name has")
    if provider in _DEFINED:
        if asked and not _DEFINED[provider].simulated:
            raise ModelError(f"{head!r} takes no ?{tail}: only simulated models do; use --param")
        if not name and not _DEFINED[provider].simulated:
            raise ModelError(f"{provider} needs a model's name: {provider}:NAME; {WAYS_OUT}")
        return Model(provider, name, _query(tail) if asked else ())
    for owner, shape in BARE:
        if not colon and not asked and shape.match(head):
            return Model(owner, head)
    if colon:
        definition(provider)
    near = nearest(head, (*names(), *WELL_KNOWN))
    raise ModelError(f"unknown model {text!r}{near}; {WAYS_OUT}")


def _query(text: str) -> tuple[tuple[str, str], ...]:
    """A simulation's parameters; a value may hold anything but "&".

    Raises:
        ModelError: a part is no `key=value`, or a key comes twice.
    """
    pairs = [part.partition("=") for part in text.split("&")]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise ModelError(f"{key + equals + value!r} in ?{text} is not of the form key=value")
    found = [key for key, _, _ in pairs]
    if twice := [key for key in found if found.count(key) > 1]:
        raise ModelError(f"{twice[0]!r} comes twice in ?{text}")
    return tuple((key, value) for key, _, value in pairs)


class Clients:
    """The open doors: one provider for a name and an event loop, as sockets belong to a loop."""

    def __init__(self) -> None:
        self._open: dict[asyncio.AbstractEventLoop, dict[str, tuple[Definition, Provider]]] = {}
        self._replaced: list[tuple[asyncio.AbstractEventLoop, Provider]] = []
        _LEFT.add(self)

    def provider(self, name: str) -> Provider:
        """The running loop's provider of that name, made where there is none; not yet prepared.

        Raises:
            ModelError: there is no such provider.
        """
        wanted = definition(name)
        loop = asyncio.get_running_loop()
        opened = self._open.setdefault(loop, {})
        if name in opened and opened[name][0] is not wanted:
            self._replaced.append((loop, opened.pop(name)[1]))
        if name not in opened:
            opened[name] = (wanted, wanted.make())
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
        """Close the doors of the running loop and of loops that are closed."""
        await self._drop_dead()
        await _close(self._taken(partial(is_, asyncio.get_running_loop())))

    async def _drop_dead(self) -> None:
        await _close(self._taken(lambda loop: loop.is_closed()))

    def _taken(self, chosen: Callable[[asyncio.AbstractEventLoop], bool]) -> list[Provider]:
        """Take the providers of the chosen loops out of the books."""
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
                loop.run_until_complete(_close(self._taken(partial(is_, loop))))


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
