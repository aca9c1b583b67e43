"""Run the workers of a plan: the same for every pattern."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parallm_magics import prices
from parallm_magics.cell.plan import Plan
from parallm_magics.engine.pool import MOST, Pools
from parallm_magics.engine.pump import Doors, Pump, Rules
from parallm_magics.engine.simulated_time import lay_out
from parallm_magics.engine.stop import Stop
from parallm_magics.providers.registry import Clients
from parallm_magics.types import Event, Listener, Provider, Record, Status, Task


def _deaf(event: Event) -> None:
    """Nobody listens."""


@dataclass(slots=True, eq=False)
class Surroundings:
    """What a run needs from where it runs.

    Attributes:
        clients: the doors to the models, kept by whoever opened them.
        pools: what is known of how fast each may be asked.
        tell: hears every event.
        stop: stops the run from outside.
    """

    clients: Clients
    pools: Pools = field(default_factory=Pools)
    tell: Listener = _deaf
    stop: Stop = field(default_factory=Stop)


@dataclass(slots=True)
class Workers:
    """The plan's workers with their doors open.

    Attributes:
        providers: by name.
        began: the loop's time at which the run began.
    """

    plan: Plan
    around: Surroundings
    providers: Mapping[str, Provider]
    began: float

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where calls go, if not to a provider's usual address."""
        return tuple(dict.fromkeys(p.address for p in self.providers.values() if p.address))

    async def run(
        self,
        tasks: Sequence[Task],
        least: int = 0,
        counted: Iterable[Status] = ("ok",),
    ) -> list[Record]:
        """One record a task, in order; simulated ones on the simulation's own time."""
        options = self.plan.options
        most = options.concurrency or MOST
        around = self.around
        doors = Doors(lambda model: self.providers[model.provider], around.pools.of)
        rules = Rules(most, least, frozenset(counted))
        pump = Pump(tasks, doors, rules, around.tell, prices.pricing(), around.stop, self.began)
        records = await pump.run()
        if tasks and all(self.providers[task.model.provider].keeps_time for task in tasks):
            return lay_out(records, most)
        return records


async def open_workers(plan: Plan, around: Surroundings) -> Workers:
    """Refuse what a model cannot do, then import and build what the calls need.

    Raises:
        ModelError: before any call.
    """
    tasks = [*plan.tasks, *([plan.synthesis.task] if plan.synthesis else [])]
    providers: dict[str, Provider] = {}
    for task in tasks:
        if task.model.provider not in providers:
            providers[task.model.provider] = around.clients.provider(task.model.provider)
        providers[task.model.provider].check(task)
    for model in {task.model.provider: task.model for task in tasks}.values():
        await _unless_stopped(around.clients.get(model), around.stop)
        if model.provider in prices.PRICED and not around.stop.reason:
            prices.prepare()
    return Workers(plan, around, providers, asyncio.get_running_loop().time())


async def _unless_stopped(opening: Coroutine[Any, Any, object], stop: Stop) -> None:
    """Wait for a door to open, but not once the run is stopped: an SDK's import takes a second."""
    task = asyncio.ensure_future(opening)

    def cancel() -> None:
        task.cancel()

    off = stop.on_stop(cancel)
    try:
        if stop.reason:
            cancel()
        await asyncio.wait({task})
    finally:
        off()
        cancel()
    if not (task.cancelled() and stop.reason):
        task.result()


def missing(tasks: Sequence[Task], kept: Mapping[int, Record]) -> list[Task]:
    """The tasks that have no record to keep."""
    return [task for task in tasks if task.index not in kept]


def in_order(records: Iterable[Record], kept: Mapping[int, Record]) -> list[Record]:
    """New and kept records together, in the cell's order; the new ones began after the kept ones."""
    after = max((record.end for record in kept.values()), default=0.0)
    new = [replace(record, start=round(record.start + after, 6)) for record in records]
    return sorted([*new, *kept.values()], key=lambda record: record.index)


def kept_of(records: Iterable[Record]) -> dict[int, Record]:
    """The records that a further try keeps."""
    return {record.index: record for record in records if record.ok}


def counts_in_words(records: Sequence[Record]) -> str:
    """How the workers that did not succeed ended, such as "1 timed out, 2 failed"."""
    words: dict[str, int] = {}
    for record in records:
        if not record.ok:
            words[record.status] = words.get(record.status, 0) + 1
    return ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in words.items())


def first_reasons(records: Sequence[Record], most: int = 3) -> str:
    """Who failed and why, the first few."""
    lost = [f"{r.name}: {r.error.message}" for r in records if r.error is not None]
    more = f"; and {len(lost) - most} more" if len(lost) > most else ""
    return "; ".join(lost[:most]) + more


def with_value(record: Record, value: str | float | None) -> Record:
    """The record with the value that was read from its text."""
    return replace(record, value=value)
