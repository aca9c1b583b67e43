"""The part of a program that makes one call: a client, and a function that asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pprint import pformat
from typing import Any

from parallm_magics.answers.label_probabilities import has_levels, labels_of_reading
from parallm_magics.core.models import Model
from parallm_magics.core.prices import TIER
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.errors import OptionError
from parallm_magics.export.class_code import Classes
from parallm_magics.export.code_text import WIDTH, arguments, quoted
from parallm_magics.providers import registry
from parallm_magics.providers.address import public, shown_query
from parallm_magics.providers.dialects import Dialect
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.sdk import SdkProvider

STAND_IN = Model("anthropic", "claude-haiku-5-5")
"""The model of a program whose cell has asked a simulation."""

DECIDING_STAND_IN = Model("decide", "gpt-6-luna", decides=True)
"""The same of a simulated decision model."""


class Client:
    """How a program reaches a provider; what an address holds besides the host may be a secret."""

    def __init__(self, entry: ProviderEntry) -> None:
        """Take its entry.

        Raises:
            OptionError: it does not say how it is asked.
        """
        if entry.dialect is None:
            raise OptionError(
                f"%parallm code: the entry of {entry.name!r} has no dialect, so its calls cannot be written as code"
            )
        self._entry = entry
        self.dialect: Dialect = entry.dialect
        self.limit = entry.limit or entry.dialect.limit

    @property
    def imported(self) -> tuple[str, str]:
        """The SDK's module and client."""
        return self.dialect.sdk, self._entry.client or self.dialect.client

    @property
    def place(self) -> dict[str, str]:
        """The arguments of the client, as source, by which it knows where to ask and as whom."""
        entry = self._entry
        if entry.reads_itself:
            return {}
        url = quoted(public(entry.base_url))
        if entry.base_env:
            url = f"os.environ.get({quoted(entry.base_env)}, {url})"
        key = f"os.environ[{quoted(entry.key_env)}]" if entry.key_env else '"none"'
        query, _ = shown_query(entry.base_url)
        more = {"default_query": repr(query)} if query else {}
        return {"base_url": url, "api_key": key, **more}

    @property
    def note(self) -> str:
        """What the reader should know of the client, as a comment."""
        if self._entry.reads_itself:
            return f"  # reads {', '.join(self._entry.variables)}"
        _, withheld = shown_query(self._entry.base_url)
        return (
            "  # the rest of the address is omitted because it may contain a key"
            if withheld
            else ""
        )

    @property
    def may_think_aloud(self) -> bool:
        """Whether nobody knows if it tells thinking from answers."""
        return not (self.dialect.tells_thinking or self._entry.reads_itself)


class Asking:
    """How the calls of a program are written: what all have in common, and what each has of its own."""

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        at_once: int,
        seconds: float,
        left_out: Sequence[str] = (),
    ) -> None:
        self._left_out = left_out
        self._first, self._tasks = tasks[0], tasks
        self.at_once, self.seconds = at_once, seconds
        self.simulated = any(map(_is_simulated, tasks))
        self.providers = tuple(dict.fromkeys(self._model(task).provider for task in tasks))
        self._reached = {name: Client(registry.entry_of(name)) for name in self.providers}
        self._classes = Classes(schemas_of(tasks))
        self._formats: dict[str, str] = {}
        self._parsed = {self._model(task).provider for task in tasks if self._is_parsed(task)}
        self._worded = {
            self._model(task).provider
            for task in tasks
            if task.reading and task.reading.schema and not self._is_parsed(task)
        }

    def _model(self, task: Task) -> Model:
        if not _is_simulated(task):
            return task.model
        return DECIDING_STAND_IN if task.model.decides else STAND_IN

    def _ask(self, provider: str, word: str = "ask") -> str:
        """The name of the function that asks this provider, in this way."""
        return word if len(self.providers) == 1 else f"{word}_{provider.replace('-', '_')}"

    def _client(self, provider: str) -> str:
        return "client" if len(self.providers) == 1 else f"{provider.replace('-', '_')}_client"

    @property
    def clients(self) -> list[str]:
        """The names of all clients."""
        return [self._client(provider) for provider in self.providers]

    def call(self, task: Task, prompt: str, blocks: tuple[str, float] | None = None) -> str:
        """The expression that asks.

        Args:
            prompt: the expression of its prompt.
            blocks: of a guard by a decision model, the label that blocks and from which probability on.
        """
        model = self._model(task)
        own: dict[str, Any] = {}
        if model.name != self._default(model.provider):
            own["model"] = quoted(model.name)
        if task.system is not None:
            own["system"] = quoted(task.system)
        if task.max_tokens != self._first.max_tokens:
            own["max_tokens"] = task.max_tokens
        own |= self._more(task, model.provider)
        if model.decides:
            own |= _question(task, prompt, blocks)
        schema = task.reading.schema if task.reading is not None else None
        if schema is None:
            return f"{self._ask(model.provider)}({prompt}{arguments(own)})"
        way = self._ask(model.provider, "parsed" if self._is_parsed(task) else "worded")
        return f"validated({way}, {self._classes.name(schema)}, {prompt}{arguments(own)})"

    def _is_parsed(self, task: Task) -> bool:
        """Whether the SDK holds the answer of this call to a class."""
        if not task.enforced or task.reading is None or task.reading.schema is None:
            return False
        provider = self._model(task).provider
        held = _holding(provider, task.reading)
        return bool(self._reached[provider].dialect.parse and held) and not _is_wish(held)

    def _format(self, held: Mapping[str, Any], beside: str) -> str:
        """The expression of what holds an answer to its form, a constant; with what stands beside it."""
        written = pformat(held, width=WIDTH, sort_dicts=False)
        number = len(self._formats) + 1
        name = self._formats.setdefault(written, "FORM" if number == 1 else f"FORM_{number}")
        return f"{beside} | {name}" if beside else name

    @property
    def classes(self) -> Classes:
        """The classes of the objects that are asked for."""
        return self._classes

    def _default(self, provider: str) -> str:
        """The model that a call of this provider has where it names none."""
        model = self._model(self._first)
        return model.name if model.provider == provider else ""

    def _more(self, task: Task, provider: str) -> dict[str, Any]:
        """What few calls have, sent as the provider wants it."""
        own: dict[str, Any] = {}
        body, dialect = dict(task.params), self._reached[provider].dialect
        if task.effort is not None:
            name, form = dialect.effort
            own[name] = form.format(quoted(task.effort))
        if task.tier == "flex" and not _is_simulated(task):
            own[TIER] = quoted(task.tier)
        if task.temperature is not None:
            (own if dialect.temperature else body)["temperature"] = task.temperature
        if task.enforced and task.reading is not None and task.reading.schema is None:
            for name, held in _holding(provider, task.reading).items():
                if name in dialect.formats:
                    own[name] = self._format(held, own.get(name, ""))
                else:
                    body[name] = held
        return own | ({"extra_body": repr(body)} if body else {})

    @property
    def imports(self) -> list[str]:
        """The lines that import what asks."""
        clients = {client.imported for client in self._reached.values()}
        named = {sdk: sorted(c for s, c in clients if s == sdk) for sdk, _ in sorted(clients)}
        return [f"from {sdk} import {', '.join(names)}" for sdk, names in named.items()]

    @property
    def source(self) -> str:
        """Constants, clients and functions."""
        model = self._model(self._first)
        note = "  # the cell used a simulated model; this is a real one" if self.simulated else ""
        lines = [
            f"MODEL = {quoted(model.name)}{note}",
            f"MAX_TOKENS = {self._first.max_tokens}",
            f"SECONDS = {self.seconds:g}  # give up on calls that take longer",
            f"AT_ONCE = asyncio.Semaphore({self.at_once})",
        ]
        lines += [f"{name} = {written}" for written, name in self._formats.items()]
        if self._left_out:
            named = ", ".join(self._left_out)
            lines.insert(0, f"# These options of the cell are not included: {named}")
        return "\n".join(lines) + "\n\n" + "\n\n\n".join(map(self._function, self.providers))

    def _function(self, provider: str) -> str:
        retries, ask = self._first.retries, self._ask(provider)
        client = self._client(provider)
        model = "model=MODEL" if self._default(provider) else "model"
        reached = self._reached[provider]
        placed = "".join(f"{name}={source}, " for name, source in reached.place.items())
        made = f"{client} = {reached.imported[1]}({placed}max_retries={retries}){reached.note}"
        said = reached.dialect.text
        said = f"split_thinking({said})[1]" if reached.may_think_aloud else said
        body = reached.dialect.ask.format(client=client, limit=reached.limit, text=said)
        head = reached.dialect.head or _HEAD
        parts = [made, head.format(ask=ask, model=model) + body]
        if provider in self._parsed:
            body = reached.dialect.parse.format(client=client, limit=reached.limit)
            head = _PARSED.format(parsed=self._ask(provider, "parsed"), model=model)
            parts = [*parts[: len(parts) - (not self._asks_texts(provider))], head + body]
        if provider in self._worded:
            parts.append(_WORDED.format(worded=self._ask(provider, "worded"), ask=ask))
        return "\n\n\n".join(parts)

    def _asks_texts(self, provider: str) -> bool:
        """Whether some call of this provider wants a text, or an object that is asked for in words."""
        return provider in self._worded or any(
            self._model(task).provider == provider and not self._is_parsed(task)
            for task in self._tasks
        )


def _is_simulated(task: Task) -> bool:
    return registry.entry_of(task.model.provider).simulated


def schemas_of(tasks: Sequence[Task]) -> list[Schema]:
    """The schemas that answers of these calls are read by, each once."""
    found = (task.reading.schema for task in tasks if task.reading is not None)
    return list({each.document: each for each in found if each is not None}.values())


def _holding(provider: str, reading: Reading) -> Mapping[str, Any]:
    """The fields of a request that hold its answer to this form; none where the provider has none."""
    made = registry.make(registry.entry_of(provider))
    return made.holding(reading) if isinstance(made, SdkProvider) else {}


def _question(task: Task, prompt: str, blocks: tuple[str, float] | None) -> dict[str, Any]:
    """What a decision model is asked of a prompt."""
    reading = task.reading
    assert reading is not None
    labels = ", ".join(map(quoted, labels_of_reading(reading)))
    own: dict[str, Any] = {"labels": f"[{labels}]"}
    if has_levels(reading):
        own["scored"] = True
    if task.shared:
        own["shared"] = "SHARED" if "{SHARED}" in prompt else quoted(task.shared)
    return own | ({} if blocks is None else {"blocks": f"({quoted(blocks[0])}, {blocks[1]:g})"})


def _is_wish(held: Any) -> bool:
    """Whether a server is only asked for a form, as not all of it can be held."""
    if not isinstance(held, Mapping):
        return False
    return held.get("strict") is False or any(map(_is_wish, held.values()))


_PARSED = '''\
async def {parsed}(kind, prompt, {model}, system=None, max_tokens=MAX_TOKENS, **more):
    """Return an object of this class; raise an error where the answer is none."""
'''
_WORDED = '''\
async def {worded}(kind, prompt, **how):
    """Return the object in an answer to a prompt that asks for one in words."""
    text = await {ask}(prompt, **how)
    return kind.model_validate_json(text[text.find("{{") : text.rfind("}}") + 1])'''
_HEAD = '''\
async def {ask}(prompt, {model}, system=None, max_tokens=MAX_TOKENS, **more):
    """Return the text of one complete answer; raise an error otherwise."""
'''
