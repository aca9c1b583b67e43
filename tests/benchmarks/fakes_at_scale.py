"""One way to make very many calls of a provider that only sleeps; says as JSON what that needed."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bench import memory

from parallm_magics import fanout
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Event, Model, Record, Task, Usage
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimit
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.providers import bill, registry

SLEEP = 0.002
TICK = 0.005
NAME = "sleeper"
USAGE = Usage(input_tokens=10, output_tokens=5)


class Sleeper:
    """A provider without a network: it sleeps, and repeats the end of the prompt."""

    simulated = False
    local = False
    address = ""
    account = NAME

    def __init__(self) -> None:
        self.first = 0.0

    def check(self, task: Task) -> None:
        """Everything is possible."""

    def caches(self, task: Task) -> bool:
        """Nothing is kept."""
        return False

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def complete(self, task: Task, heard: Callable[[str], None]) -> Reply:
        """Sleep and answer."""
        await asyncio.sleep(SLEEP)
        self.first = self.first or time.perf_counter()
        return Reply(text=f"answer to {task.prompt[-20:]}", usage=USAGE, model="sleeper-1")

    async def close(self) -> None:
        """Nothing is open."""


Way = Callable[[Sleeper, int, int], Awaitable[list[Any]]]


def tasks(count: int) -> Iterator[Task]:
    """The tasks, one at a time."""
    model = Model(NAME, "m")
    for n in range(count):
        yield Task(n, str(n), model, f"Say something about document number {n}.", stream=False)


async def bare(sleeper: Sleeper, count: int, concurrency: int) -> list[Any]:
    """A task a call round a semaphore."""
    gate = asyncio.Semaphore(concurrency)

    async def one(task: Task) -> Reply:
        async with gate:
            return await sleeper.complete(task, lambda piece: None)

    return await asyncio.gather(*[asyncio.create_task(one(task)) for task in tasks(count)])


async def scheduled(sleeper: Sleeper, count: int, concurrency: int) -> list[Record]:
    """The engine alone."""

    def tell(event: Event) -> None:
        if event.kind == "ended" and not sleeper.first:
            sleeper.first = time.perf_counter()

    pool = RateLimit()
    routes = Routes(lambda model: sleeper, lambda provider: pool)
    rules, accounts = Rules(concurrency, known=count), Accounts(bill.price)
    return await Scheduler(tasks(count), routes, rules, accounts, tell, Stop()).run()


async def through_fanout(sleeper: Sleeper, count: int, concurrency: int) -> list[Record]:
    """The function, over a generator of items."""
    registry.register_provider(NAME, provider=lambda entry: sleeper)
    run = await fanout(
        "Say something about {{item}}.",
        model=f"{NAME}:m",
        each=(f"document number {n}" for n in range(count)),
        concurrency=concurrency,
        stream="off",
    )
    return list(run.results)


WAYS: dict[str, Way] = {"bare": bare, "scheduler": scheduled, "fanout": through_fanout}


def held(found: object) -> float:
    """MiB of an object and all that hangs on it, classes and modules apart."""
    seen: set[int] = set()
    queue: list[object] = [found]
    size = 0
    while queue:
        one = queue.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one)
        queue += gc.get_referents(one)
    return size / 2**20


async def longest_stall(told: list[float]) -> None:
    """Keeps in `told` how much too late a timer ran at most."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        told[0] = max(told[0], time.perf_counter() - before - TICK)


async def measured(way: Way, count: int, concurrency: int) -> dict[str, float]:
    """One run, after a small one that imports and builds what the large one shall not pay for."""
    await way(Sleeper(), 2 * concurrency, concurrency)
    gc.collect()
    sleeper, stall = Sleeper(), [0.0]
    watch = asyncio.create_task(longest_stall(stall))
    await asyncio.sleep(0)
    size, cpu, wall = memory(os.getpid()), time.process_time(), time.perf_counter()
    found = await way(sleeper, count, concurrency)
    took, spent = time.perf_counter() - wall, time.process_time() - cpu
    grown = memory(os.getpid(), peak=True) - size
    watch.cancel()
    results = held(found)
    return {
        "cpu": spent,
        "seconds": took,
        "over": grown - results,
        "held": results,
        "stall": stall[0],
        "first": sleeper.first - wall,
        "kept": sum(bool(one.text) for one in found),
    }


def main(way: str, count: str, concurrency: str) -> None:
    """Measure one way and say it."""
    print(json.dumps(asyncio.run(measured(WAYS[way], int(count), int(concurrency)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
