"""The part of a program that makes one call: a client, and a function that asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parallm_magics.core.tasks import Model, Task
from parallm_magics.export.code_text import arguments, quoted
from parallm_magics.providers import keys, registry
from parallm_magics.providers.address import public, shown_query
from parallm_magics.providers.services import BY_NAME, Service, Wire

STAND_IN = Model("anthropic", "claude-haiku-5-5")
"""The model of a program whose cell has asked a simulation."""


@dataclass(frozen=True, slots=True)
class Door:
    """How a program reaches a provider.

    Attributes:
        simulated: whether there is none to be reached.
        base_url: where a server of the user's is; "" for the known ones.
        key_env: the environment variable with its key, or None.
        service: what is known of it by its name, or None.
        query: what its address has behind the question mark and may be shown.
        withheld: whether there is more in the address, which may be a secret.
    """

    simulated: bool = False
    base_url: str = ""
    key_env: str | None = None
    service: Service | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    withheld: bool = False

    @property
    def wire(self) -> Wire:
        """What is spoken there."""
        return self.service.wire if self.service else "chat"

    @property
    def client(self) -> tuple[str, str]:
        """The SDK's module and client."""
        return (
            (self.service.sdk, self.service.client) if self.service else ("openai", "AsyncOpenAI")
        )

    @property
    def limit(self) -> str:
        """The field that bounds the output tokens."""
        return self.service.limit if self.service else "max_tokens"

    @property
    def place(self) -> dict[str, str]:
        """The arguments of the client, as source, by which it knows where to ask and as whom."""
        known = self.service
        if known is not None and known.reads_itself:
            return {}
        url = quoted(self.base_url)
        if known is not None:
            url = f"os.environ.get({quoted(known.base_env)}, {quoted(known.base_url)})"
        key = f"os.environ[{quoted(self.key_env)}]" if self.key_env else '"none"'
        query = {"default_query": repr(dict(self.query))} if self.query else {}
        return {"base_url": url, "api_key": key, **query}

    @property
    def note(self) -> str:
        """What the reader should know of the client, as a comment."""
        if self.withheld:
            return "  # the rest of the address is left out: it may hold a key"
        if self.service is None or not self.service.reads_itself:
            return ""
        read = [*self.service.variables]
        return f"  # reads {', '.join(read)}"


def door_to(name: str) -> Door:
    """How a program reaches a provider; what an address holds besides the host may be a secret.

    Raises:
        ModelError: there is no such provider.
    """
    known = registry.definition(name)
    query, withheld = shown_query(known.base_url)
    url, key_env = public(known.base_url), known.key_env
    if known.service is not None:
        key_env = next(filter(keys.is_set, known.service.keys), key_env)
    return Door(known.simulated, url, key_env, known.service, query, withheld)


STAND_IN_DOOR = Door(service=BY_NAME[STAND_IN.provider])

DoorOf = Callable[[str], Door]
"""From a provider's name to its door."""


class Asking:
    """How the calls of a program are written: what all have in common, and what each has of its own."""

    def __init__(
        self,
        tasks: Sequence[Task],
        doors: DoorOf,
        *,
        at_once: int,
        seconds: float,
        left_out: Sequence[str] = (),
    ) -> None:
        self._left_out = left_out
        self._doors = doors
        self._first = tasks[0]
        self.at_once, self.seconds = at_once, seconds
        self.simulated = any(doors(task.model.provider).simulated for task in tasks)
        self.providers = tuple(dict.fromkeys(self._model(task).provider for task in tasks))

    def _model(self, task: Task) -> Model:
        return STAND_IN if self._doors(task.model.provider).simulated else task.model

    def _ask(self, provider: str) -> str:
        """The name of the function that asks this provider."""
        return "ask" if len(self.providers) == 1 else f"ask_{provider.replace('-', '_')}"

    def _client(self, provider: str) -> str:
        return "client" if len(self.providers) == 1 else f"{provider.replace('-', '_')}_client"

    @property
    def clients(self) -> list[str]:
        """The names of all clients."""
        return [self._client(provider) for provider in self.providers]

    def call(self, task: Task, prompt: str) -> str:
        """The expression that asks; `prompt` is the expression of its prompt."""
        model = self._model(task)
        own: dict[str, Any] = {}
        if model.name != self._default(model.provider):
            own["model"] = quoted(model.name)
        if task.system is not None:
            own["system"] = quoted(task.system)
        if task.max_tokens != self._first.max_tokens:
            own["max_tokens"] = task.max_tokens
        own |= self._more(task, model.provider)
        return f"{self._ask(model.provider)}({prompt}{arguments(own)})"

    def _default(self, provider: str) -> str:
        """The model that a call of this provider has where it names none."""
        model = self._model(self._first)
        return model.name if model.provider == provider else ""

    def _more(self, task: Task, provider: str) -> dict[str, Any]:
        """What few calls have, sent as the provider wants it."""
        own: dict[str, Any] = {}
        body, wire = dict(task.params), self._door(provider).wire
        if task.effort is not None:
            name, form = EFFORT[wire]
            own[name] = form.format(quoted(task.effort))
        if task.temperature is not None and wire == "anthropic":
            # Not every model takes one, so the SDK has no argument of that name.
            body["temperature"] = task.temperature
        elif task.temperature is not None:
            own["temperature"] = task.temperature
        return own | ({"extra_body": repr(body)} if body else {})

    @property
    def imports(self) -> list[str]:
        """The lines that import what asks."""
        clients = {self._door(provider).client for provider in self.providers}
        named = {sdk: sorted(c for s, c in clients if s == sdk) for sdk, _ in sorted(clients)}
        return [f"from {sdk} import {', '.join(names)}" for sdk, names in named.items()]

    def _door(self, provider: str) -> Door:
        return STAND_IN_DOOR if provider == STAND_IN.provider else self._doors(provider)

    @property
    def source(self) -> str:
        """Constants, clients and functions."""
        model = self._model(self._first)
        note = "  # the cell asked a simulation; this is a real model" if self.simulated else ""
        lines = [
            f"MODEL = {quoted(model.name)}{note}",
            f"MAX_TOKENS = {self._first.max_tokens}",
            f"SECONDS = {self.seconds:g}  # a call that takes longer is given up",
            f"AT_ONCE = asyncio.Semaphore({self.at_once})",
        ]
        if self._left_out:
            lines.insert(
                0, f"# Of the cell's options these are not here: {', '.join(self._left_out)}"
            )
        functions = [self._function(provider) for provider in self.providers]
        if self.drops_thinking:
            functions.insert(0, _WITHOUT_THINKING)
        return "\n".join(lines) + "\n\n" + "\n\n\n".join(functions)

    def _function(self, provider: str) -> str:
        retries, ask = self._first.retries, self._ask(provider)
        client = self._client(provider)
        model = "model=MODEL" if self._default(provider) else "model"
        door = self._door(provider)
        given = "".join(f"{name}={source}, " for name, source in door.place.items())
        made = f"{client} = {door.client[1]}({given}max_retries={retries}){door.note}"
        said = 'choice.message.content or ""'
        said = f"without_thinking({said})" if _may_think_aloud(door) else said
        body = _ASK[door.wire].format(client=client, limit=door.limit, text=said)
        return f"{made}\n\n\n{_HEAD.format(ask=ask, model=model)}{body}"

    @property
    def drops_thinking(self) -> bool:
        """Whether a server is asked that may leave a model's thinking in its answers."""
        return any(_may_think_aloud(self._door(provider)) for provider in self.providers)

    @property
    def reads_environment(self) -> bool:
        """Whether a key is read by the program itself."""
        return any("os.environ" in str(self._door(each).place) for each in self.providers)


def _may_think_aloud(door: Door) -> bool:
    """Whether it leads to a server of which nobody knows whether it tells thinking from answers."""
    return door.wire == "chat" and "base_url" in door.place


_WITHOUT_THINKING = '''\
THINKING = re.compile(
    r"\\s*(?:<(?:\\w+:)?think(?:ing)?>.*?(?:</(?:\\w+:)?think(?:ing)?>|\\Z)"
    r"|<\\|channel\\|>.*?(?:<\\|channel\\|>final<\\|message\\|>|\\Z)"
    r"|analysis(?=[A-Z]).*?(?:assistantfinal|\\Z))\\s*",
    re.DOTALL,
)


def without_thinking(text):
    """The answer alone: some servers leave what a model writes to itself before it."""
    thinking = THINKING.match(text)
    return text[thinking.end() :] if thinking else text'''


_HEAD = '''\
async def {ask}(prompt, {model}, system=None, max_tokens=MAX_TOKENS, **more):
    """The text of one complete answer; everything else is an error."""
'''
_ASK: dict[Wire, str] = {
    "anthropic": """\
    if system is not None:
        more["system"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        message = await {client}.messages.create(
            model=model,
            {limit}=max_tokens,
            messages=[{{"role": "user", "content": prompt}}],
            **more,
        )
    text = "".join(block.text for block in message.content if block.type == "text")
    if message.stop_reason not in ("end_turn", "stop_sequence") or not text.strip():
        raise ValueError(f"no complete answer: {{message.stop_reason}}")
    return text""",
    "chat": """\
    rules = [] if system is None else [{{"role": "system", "content": system}}]
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.chat.completions.create(
            model=model,
            {limit}=max_tokens,
            messages=[*rules, {{"role": "user", "content": prompt}}],
            **more,
        )
    choice = answer.choices[0]
    text = {text}
    if choice.finish_reason != "stop" or not text.strip():
        raise ValueError(f"no complete answer: {{choice.finish_reason}}")
    return text""",
    "responses": """\
    if system is not None:
        more["instructions"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.responses.create(
            model=model,
            {limit}=max_tokens,
            input=[{{"role": "user", "content": prompt}}],
            store=False,
            **more,
        )
    if answer.status != "completed" or not answer.output_text.strip():
        raise ValueError(f"no complete answer: {{answer.status}} {{answer.incomplete_details}}")
    return answer.output_text""",
}
EFFORT: dict[Wire, tuple[str, str]] = {
    "anthropic": ("output_config", '{{"effort": {}}}'),
    "chat": ("reasoning_effort", "{}"),
    "responses": ("reasoning", '{{"effort": {}}}'),
}
"""How each wire names the effort, and the form of its value."""
