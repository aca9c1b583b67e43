"""A provider that does as a test says, for the engine's tests on a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any, cast

from parallm_magics.api import PATTERNS
from parallm_magics.cell.plan import Plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, FaultKind, Model, Said, Task, Usage
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers.registry import Clients

Act = Callable[[Task, Heard], Any]


class Fake:
    """Answers by an async function of the task; counts calls and how many run at once."""

    simulated = False
    local = False
    address = ""

    def __init__(self, act: Act, caching: bool = False) -> None:
        self._act = act
        self._caching = caching
        self.account = f"fake {id(self)}"
        self.calls: list[str] = []
        self.running = 0
        self.most = 0

    def check(self, task: Task) -> None:
        """Everything can be done here."""

    def caches(self, task: Task) -> bool:
        """What has a key, where the test wants a cache."""
        return self._caching and bool(task.cache_key)

    async def prepare(self) -> None:
        """Nothing to import."""

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Do as the test says."""
        self.calls.append(task.name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            reply: Reply = await self._act(task, heard)
            return reply
        finally:
            self.running -= 1

    async def close(self) -> None:
        """Nothing to give back."""


def tasks(count: int, **fields: Any) -> list[Task]:
    """So many tasks, w0, w1, …"""
    return [Task(i, f"w{i}", Model("fake", "m"), f"ask {i}", **fields) for i in range(count)]


USED = Usage(10, 0, 0, 5)


def answer(seconds: float = 1.0, text: str = "fine", usage: Usage | None = USED) -> Act:
    """Sleep, then answer."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(seconds)
        heard(text)
        return Reply(text, usage=usage)

    return act


def failing(kind: FaultKind, times: int, retry_after: float | None = None, text: str = "") -> Act:
    """Fail so often, then answer; counted for each task."""
    seen: dict[str, int] = {}

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        seen[task.name] = seen.get(task.name, 0) + 1
        if seen[task.name] <= times:
            raise CallFailed(Fault(kind, f"{kind} says no", retry_after=retry_after), text=text)
        return Reply("fine", usage=Usage(10, 0, 0, 5))

    return act


def by_name(acts: dict[str, Act], other: Act) -> Act:
    """A different act for some workers."""

    async def act(task: Task, heard: Heard) -> Reply:
        reply: Reply = await acts.get(task.name, other)(task, heard)
        return reply

    return act


def price(task: Task, usage: Usage, said: Said) -> Decimal | None:
    """A millionth of a dollar a token."""
    return Decimal(usage.total_tokens) / 1_000_000


def kinds(events: Sequence[Event], index: int) -> list[str]:
    """What happened to one worker, in order."""
    return [event.kind for event in events if event.index == index]


class FakeClients:
    """Clients whose every door leads to one fake provider."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    def provider(self, name: str) -> Fake:
        """The fake, whatever the name."""
        return self._fake

    async def get(self, model: Model) -> Fake:
        """The fake, whatever the model."""
        return self._fake


def run_context(fake: Fake, stop: Stop | None = None, **more: Any) -> RunContext:
    """Everything leads to the fake, further tries too."""

    @contextlib.asynccontextmanager
    async def renew(plan: Plan) -> AsyncIterator[RunContext]:
        yield run_context(fake, **more)

    clients = cast("Clients", FakeClients(fake))
    return RunContext(clients, stop=stop or Stop(), renew=renew, **more)


def previewed(plan: Plan) -> Preview:
    """The dry run of a plan."""
    return PATTERNS[plan.pattern].preview(plan)
