"""Calls on a Dask cluster: what killed workers cost, whether limits hold over all of it, and what a call costs more.

python clusters.py [kills [CALLS KILLS] | leases [SCHEDULES AT_ONCE] | costs [CALLS CALLS ROUNDS]]
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from bench import KEY, OURS, Figure, environment, ratios, table
from lean_server import TOKENS, Asked, LeanServer

MODEL = "gpt-6-luna"
PROCESSES = 2
CALLS = 20_000
KILLS = 20
CONCURRENCY = 100
CALL = 20  # milliseconds
GIVEN_UP = 8.0  # seconds without a worker: Dask does not start it again
# What left the server so long before a kill had arrived in the kernel, on a busy machine too.
ON_THE_WAY = 0.5
ABOUT_KILLS = (
    f"`await fanout(…, each=…, engine='dask')` over {{:,}} items, {CONCURRENCY} at once, {CALL} ms each, "
    f"on a LocalCluster of {PROCESSES} processes; {{}} times in the run SIGKILL at a random moment to a random "
    "worker process, which Dask starts again, or the benchmark where Dask gives it up. "
    "Repeated are calls that the server saw more than once: at most "
    f"{CONCURRENCY} a kill, which is all that may be in flight. Perhaps in flight are "
    "those at the kills that had no answer yet, or one whose answer had left the server less than "
    f"{ON_THE_WAY * 1000:g} ms before: nobody can tell whether it had reached the kernel."
)

SCHEDULES = 100
AT_ONCE = 20
MINUTE = 60.0
ABOUT_LEASES = (
    f"{{}} runs with limits drawn at random, {{}} at a time on a LocalCluster of {PROCESSES} processes: "
    "`--rpm` of 10 to 60 with up to twice as many calls, or `--max-cost` that suffices for a part of 50 to 200 calls; "
    "in every group of runs a worker process is killed at a random moment. As the server saw it: the most requests "
    "of a run in any 60 s over its `--rpm`, and what all that was asked costs over its `--max-cost`; 1 is the limit."
)

ROUNDS = 7
SMALL, LARGE = 2_000, 10_000
ABOUT_COST = (
    f"Maps of {{:,}} and of {{:,}} plain calls of {CALL} ms, 200 at once, by turns on one machine: by the engine of "
    "this process, on a cluster with one worker process, on one with two, as `%parallm dask --local` starts them. The "
    "server is a process of its own on the same machine that needs 0.05 ms of CPU a call. CPU is that of all processes "
    "of ours together: the kernel with Dask's scheduler, and the workers. What a call costs more is the wall time of "
    "one worker process over that of the local engine: both have one process that makes the calls. CPU over CPU says "
    "what the cluster costs the machine. Start-up apart: what the calls take by which the larger map is larger."
)
MOST_TOKENS = 20
"""Of an answer; the server gives half as many, so that less is spent than is set aside."""


class Killed(NamedTuple):
    """What the kills of one run have cost."""

    kills: int
    missing: int
    repeated: int
    in_flight: int
    lost: int
    seconds: float


@contextmanager
def cluster(server: LeanServer, processes: int) -> Iterator[Any]:
    """A client of a cluster, as `%parallm dask --local` starts it, whose provider is the server."""
    from parallm_magics.cluster.connection import Connection

    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    connection = Connection()
    try:
        with environment({**clean, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}):
            connection.start(processes)
            logging.getLogger("distributed").setLevel(logging.CRITICAL)  # workers are killed
            yield connection.client
    finally:
        connection.close()


async def run_on(client: Any, items: Sequence[int], **options: Any) -> Any:
    """A map over numbers on the client's cluster; on the engine of this process where it is None."""
    from parallm_magics import fanout

    options = {"model": f"openai:{MODEL}", "min_success": 0, **options}
    if client is None:
        return await fanout("Say number {{item}}.", each=items, **options)
    with client.as_current():
        return await fanout("Say number {{item}}.", each=items, engine="dask", **options)


def pids(client: Any) -> list[int]:
    """The worker processes that are up: Dask gives up a worker that dies while it starts."""
    processes = [nanny.process for nanny in client.cluster.workers.values()]
    return [each.pid for each in processes if each is not None and each.status.name == "running"]


def kill_one(client: Any, chance: random.Random) -> float | None:
    """Kill a worker process; the moment, None where none is up just now."""
    if there := pids(client):
        with suppress(ProcessLookupError):  # it was killed before, which its nanny has not seen yet
            os.kill(chance.choice(there), signal.SIGKILL)
            return time.monotonic()
    return None


@asynccontextmanager
async def kept_up(client: Any) -> AsyncIterator[None]:
    """Meanwhile workers are added for those that Dask has given up, as one that dies around its start."""

    async def add() -> None:
        cluster, low = client.cluster, 0.0
        while True:
            await asyncio.sleep(0.2)
            missing = PROCESSES - len(cluster.scheduler.workers)
            now = time.monotonic()
            low = 0.0 if missing <= 0 else low or now
            if low and now - low > GIVEN_UP:
                cluster.scale(len(cluster.worker_spec) + missing)
                low = 0.0

    adding = asyncio.ensure_future(add())
    try:
        yield
    finally:
        adding.cancel()


def kills(calls: int, wanted: int, chance: random.Random) -> Killed:
    """One run with so many kills."""
    with LeanServer(CALL) as server, cluster(server, PROCESSES) as client:
        # The first kill comes after the first calls, the last before the last ones.
        marks = sorted(chance.randrange(calls // 40, calls - calls // 40) for _ in range(wanted))

        async def all_of_it() -> tuple[Any, list[float]]:
            moments: list[float] = []
            run = asyncio.ensure_future(run_on(client, range(calls), concurrency=CONCURRENCY))
            async with kept_up(client):
                for mark in marks:
                    while not run.done() and server.count() < mark:
                        await asyncio.sleep(0.005)
                    at = None
                    while not run.done() and (at := kill_one(client, chance)) is None:
                        await asyncio.sleep(0.01)
                    if at is not None:
                        moments.append(at)
                return await run, moments

        begun = time.monotonic()
        run, moments = asyncio.run(all_of_it())
        seconds = time.monotonic() - begun
        log = server.calls()
    return judged(run, moments, log, seconds)


def judged(run: Any, moments: Sequence[float], log: Sequence[Asked], seconds: float) -> Killed:
    """What the server saw, held against when workers were killed."""
    seen: dict[int, list[Asked]] = {}
    for call in log:
        seen.setdefault(call.number, []).append(call)
    repeated = lost = 0
    for asked in seen.values():
        asked.sort(key=lambda call: call.at)
        for before, after in pairwise(asked):
            repeated += 1
            kill = max((at for at in moments if at < after.at), default=0.0)
            lost += 0 < before.sent < kill - ON_THE_WAY
    in_flight = sum(
        call.at <= moment and (not call.sent or call.sent > moment - ON_THE_WAY)
        for moment in moments
        for call in log
    )
    return Killed(
        len(moments), len(run.results) - len(run.succeeded), repeated, in_flight, lost, seconds
    )


class Schedule(NamedTuple):
    """One run with limits drawn at random."""

    number: int
    calls: int
    rpm: int | None
    cap: Decimal | None


def price_of_one() -> Decimal:
    """US dollars of one answer of the server."""
    from parallm_magics.core.prices import cost
    from parallm_magics.core.tasks import Usage
    from parallm_magics.providers.registry import entry_of

    tariff = entry_of("openai").tariff(MODEL)
    assert tariff is not None
    found = cost(tariff, Usage(TOKENS[0], output_tokens=TOKENS[1]))
    assert found is not None
    return found


def schedules(count: int, chance: random.Random) -> list[Schedule]:
    """So many of them."""
    found = []
    for number in range(count):
        if number % 2:
            calls = chance.randint(50, 200)
            found.append(Schedule(number, calls, None, price_of_one() * chance.randint(5, calls)))
        else:
            rpm = chance.randint(10, 60)
            found.append(Schedule(number, chance.randint(rpm, 2 * rpm), rpm, None))
    return found


def most_in_a_minute(log: Sequence[Asked]) -> int:
    """The most requests in any 60 s."""
    moments, most, first = sorted(call.at for call in log), 0, 0
    for place, at in enumerate(moments):
        while at - moments[first] >= MINUTE:
            first += 1
        most = max(most, place - first + 1)
    return most


async def together(
    client: Any, url: str, group: Sequence[Schedule], chance: random.Random
) -> list[Any]:
    """The runs of some schedules at the same time; meanwhile a worker process is killed."""
    from parallm_magics.errors import BudgetExceeded
    from parallm_magics.providers import registry

    async def one(schedule: Schedule) -> Any:
        # An account of its own, as rates hold for all runs of one; only OpenAI's has a price.
        name = f"account{schedule.number}" if schedule.rpm else "openai"
        if schedule.rpm:
            registry.define(name, url, None)
        try:
            return await run_on(
                client,
                range(schedule.number * 1000, schedule.number * 1000 + schedule.calls),
                rpm=schedule.rpm,
                max_cost=schedule.cap,
                model=f"{name}:{MODEL}",
                concurrency=50,
                deadline=200,
                max_tokens=MOST_TOKENS,
            )
        except BudgetExceeded as error:
            return error.run
        finally:
            if schedule.rpm:
                registry.forget(name)

    async with kept_up(client):
        runs = [asyncio.ensure_future(one(each)) for each in group]
        await asyncio.sleep(chance.uniform(0.2, 3))
        kill_one(client, chance)
        return list(await asyncio.gather(*runs))


def leased(count: int, at_once: int, chance: random.Random) -> list[Figure]:
    """The limits of all schedules, as the server saw them."""
    over_rpm, over_cost, missing, used = [], [], [], []
    waiting, price = schedules(count, chance), price_of_one()
    with LeanServer(CALL) as server, cluster(server, PROCESSES) as client:
        while waiting:
            group, waiting = waiting[:at_once], waiting[at_once:]
            runs = asyncio.run(together(client, server.url, group, chance))
            log = server.calls()
            for schedule, run in zip(group, runs, strict=True):
                own = [each for each in log if each.number // 1000 == schedule.number]
                if schedule.rpm:
                    over_rpm.append(most_in_a_minute(own) / schedule.rpm)
                    missing.append(len(run.results) - len(run.succeeded))
                if schedule.cap:
                    over_cost.append(float(len(own) * price / schedule.cap))
                    used.append(float(len(run.succeeded) * price / schedule.cap))
    return [
        Figure("most requests in any minute / --rpm", over_rpm, 1.0, whole=True),
        Figure("calls without an answer, --rpm", missing, 0, whole=True, digits=0),
        Figure("cost of all that was asked / --max-cost", over_cost, 1.0, whole=True),
        Figure("cost of all answers / --max-cost", used),
    ]


def seconds_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What one run took a call."""

    wall: float
    cpu: float
    kernel: float


def cost_of(client: Any, calls: int) -> Cost:
    """One run; on the engine of this process where there is no client."""
    processes = [os.getpid(), *([] if client is None else pids(client))]
    before, begun = [seconds_of(pid) for pid in processes], time.monotonic()
    run = asyncio.run(run_on(client, range(calls), concurrency=200))
    wall = time.monotonic() - begun
    used = [seconds_of(pid) - had for pid, had in zip(processes, before, strict=True)]
    assert len(run.succeeded) == calls, run
    return Cost(wall * 1e6 / calls, sum(used) * 1e6 / calls, used[0] * 1e6 / calls)


Taken = Mapping[tuple[str, int], Sequence[Cost]]
"""By the way that calls are made, and how many: one cost a round."""
LOCAL, ONE, TWO = "local engine", "one worker process", "two worker processes"


def taken(small: int, large: int, rounds: int) -> Taken:
    """All ways and sizes by turns."""
    with LeanServer(CALL) as server, cluster(server, 1) as one, cluster(server, 2) as two:
        ways = {LOCAL: None, ONE: one, TWO: two}
        for client in ways.values():  # imports and connections are no call's
            cost_of(client, min(small, 500))
        found: dict[tuple[str, int], list[Cost]] = {}
        names = [*ways]
        for turn in range(rounds):
            for size in (1, small, large):
                for name in names[turn % 3 :] + names[: turn % 3]:
                    found.setdefault((name, size), []).append(cost_of(ways[name], size))
    return found


def further(found: Taken, name: str, small: int, large: int, kind: str) -> list[float]:
    """What each call costs that the larger map has more than the smaller one."""
    return [
        (getattr(b, kind) * large - getattr(a, kind) * small) / (large - small)
        for a, b in zip(found[name, small], found[name, large], strict=True)
    ]


def costs(small: int, large: int, rounds: int) -> list[Figure]:
    """What a call costs each way, and what a cluster costs more."""
    found = taken(small, large, rounds)

    def of(name: str, kind: str, size: int = large) -> list[float]:
        return [getattr(each, kind) for each in found[name, size]]

    figures = []
    for kind, what, target in (("wall", "wall", 1.15), ("cpu", "CPU of all", None)):
        about = f"one worker process over the local engine: {what}"
        for size in (small, large):
            over = ratios(of(ONE, kind, size), of(LOCAL, kind, size))
            figures.append(Figure(f"{about}, {size:,} calls", over, target))
        apart = [further(found, name, small, large, kind) for name in (ONE, LOCAL)]
        figures.append(Figure(f"{about}, start-up apart", ratios(*apart), target))
    faster = f"two worker processes over {{}}, {large:,} calls: calls a second"
    return [
        *figures,
        Figure(faster.format("one"), ratios(of(ONE, "wall"), of(TWO, "wall")), digits=2),
        Figure(
            faster.format("the local engine"), ratios(of(LOCAL, "wall"), of(TWO, "wall")), digits=2
        ),
        *(
            Figure(
                f"{name}: ms for a map of one call",
                [e / 1e3 for e in of(name, "wall", 1)],
                digits=0,
            )
            for name in (LOCAL, ONE, TWO)
        ),
        *(
            Figure(f"{name}: calls a second", [1e6 / each for each in of(name, "wall")], digits=0)
            for name in (LOCAL, ONE, TWO)
        ),
        *(
            Figure(f"{name}: µs of CPU a call, of {whose}", of(name, kind), digits=0)
            for kind, whose in (("cpu", "all"), ("kernel", "the kernel"))
            for name in (LOCAL, ONE, TWO)
        ),
    ]


def of_kills(found: Killed) -> list[Figure]:
    """The lines of the table."""
    late = f"repeated calls whose answer had left the server {ON_THE_WAY * 1000:g} ms before a kill"
    return [
        Figure("worker processes killed", [found.kills], digits=0),
        Figure("items without an answer", [found.missing], 0, whole=True, digits=0),
        Figure("calls repeated", [found.repeated], found.kills * CONCURRENCY, whole=True, digits=0),
        Figure("calls perhaps in flight at the kills", [found.in_flight], digits=0),
        Figure(late, [found.lost], digits=0),
        Figure("seconds", [found.seconds], digits=1),
    ]


def main(part: str = "", *sizes: str) -> str:
    """Measure and give out the tables, or the one that is named, of a smaller size where that is given."""
    chance, numbers, told = random.Random(21), [int(each) for each in sizes], []
    if part in ("", "kills"):
        calls, wanted = numbers or (CALLS, KILLS)
        figures = of_kills(kills(calls, wanted, chance))
        about = ABOUT_KILLS.format(calls, wanted)
        told.append(table("Workers of a cluster killed", about, figures))
    if part in ("", "leases"):
        count, at_once = numbers or (SCHEDULES, AT_ONCE)
        figures = leased(count, at_once, chance)
        about = ABOUT_LEASES.format(count, at_once)
        told.append(table("Limits over a cluster", about, figures))
    if part in ("", "costs"):
        small, large, rounds = numbers or (SMALL, LARGE, ROUNDS)
        figures = costs(small, large, rounds)
        told.append(table("What a cluster costs", ABOUT_COST.format(small, large), figures))
    return "\n".join(told)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
