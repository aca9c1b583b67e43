"""The part of a program that makes one call: a client, and a function that asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from parallm_magics.patterns.program_text import arguments, quoted
from parallm_magics.types import Model, Task

STAND_IN = Model("anthropic", "claude-haiku-5-5")
"""The model of a program whose cell has asked a simulation."""


@dataclass(frozen=True, slots=True)
class Door:
    """How a program reaches a provider.

    Attributes:
        simulated: whether there is none to be reached.
        base_url: where a server of the user's is; "" for the official ones.
        key_env: the environment variable with its key, or None.
    """

    simulated: bool = False
    base_url: str = ""
    key_env: str | None = None


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
        body = dict(task.params)
        if task.effort is not None and provider == "anthropic":
            own["output_config"] = f'{{"effort": {quoted(task.effort)}}}'
        elif task.effort is not None:
            own["reasoning_effort"] = quoted(task.effort)
        if task.temperature is not None and provider == "anthropic":
            # Not every model takes one, so the SDK has no argument of that name.
            body["temperature"] = task.temperature
        elif task.temperature is not None:
            own["temperature"] = task.temperature
        return own | ({"extra_body": repr(body)} if body else {})

    @property
    def imports(self) -> list[str]:
        """The lines that import what asks."""
        anthropic = (
            ["from anthropic import AsyncAnthropic"] if "anthropic" in self.providers else []
        )
        others = any(provider != "anthropic" for provider in self.providers)
        return [*anthropic, *(["from openai import AsyncOpenAI"] if others else [])]

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
        return "\n".join(lines) + "\n\n" + "\n\n\n".join(functions)

    def _function(self, provider: str) -> str:
        retries, ask = self._first.retries, self._ask(provider)
        client = self._client(provider)
        model = "model=MODEL" if self._default(provider) else "model"
        if provider == "anthropic":
            return _ANTHROPIC.format(client=client, ask=ask, model=model, retries=retries)
        door = self._doors(provider)
        official = not door.base_url
        where = "" if official else f"base_url={quoted(door.base_url)}, "
        key = f"os.environ[{quoted(door.key_env)}]" if door.key_env else '"none"'
        where += "" if official else f"api_key={key}, "
        limit = "max_completion_tokens" if official else "max_tokens"
        return _OPENAI.format(
            client=client, ask=ask, model=model, retries=retries, where=where, limit=limit
        )

    @property
    def reads_environment(self) -> bool:
        """Whether a key is read by the program itself."""
        doors = map(self._doors, self.providers)
        return any(door.base_url and door.key_env for door in doors)


_ANTHROPIC = '''\
{client} = AsyncAnthropic(max_retries={retries})  # reads ANTHROPIC_API_KEY


async def {ask}(prompt, {model}, system=None, max_tokens=MAX_TOKENS, **more):
    """The text of one complete answer; everything else is an error."""
    if system is not None:
        more["system"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        message = await {client}.messages.create(
            model=model,
            max_tokens=max_tokens,
            messages=[{{"role": "user", "content": prompt}}],
            **more,
        )
    text = "".join(block.text for block in message.content if block.type == "text")
    if message.stop_reason not in ("end_turn", "stop_sequence") or not text.strip():
        raise ValueError(f"no complete answer: {{message.stop_reason}}")
    return text'''

_OPENAI = '''\
{client} = AsyncOpenAI({where}max_retries={retries})


async def {ask}(prompt, {model}, system=None, max_tokens=MAX_TOKENS, **more):
    """The text of one complete answer; everything else is an error."""
    rules = [] if system is None else [{{"role": "system", "content": system}}]
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.chat.completions.create(
            model=model,
            {limit}=max_tokens,
            messages=[*rules, {{"role": "user", "content": prompt}}],
            **more,
        )
    choice = answer.choices[0]
    text = choice.message.content or ""
    if choice.finish_reason != "stop" or not text.strip():
        raise ValueError(f"no complete answer: {{choice.finish_reason}}")
    return text'''
