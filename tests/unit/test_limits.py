"""Real accounts: rate limits with and without a hint, an outage, a minute's allowance."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import Fake, failing, price, tasks
from limits import Limited, anything, at_once, per_minute, per_second
from virtual_time import run_virtual

from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, Record, Task
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimit, RateLimits
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler

CALLS = 1000


def served(
    provider: Limited, count: int = CALLS, cells: int = 1, **task: Any
) -> tuple[list[Record], float]:
    """All records and the virtual seconds, for one cell or several that share a pool."""
    fake = Fake(provider)
    pools = RateLimits()

    async def cell() -> list[Record]:
        began = asyncio.get_running_loop().time()
        routes = Routes(lambda model: fake, pools.of)
        return await Scheduler(
            tasks(count, **task), routes, Rules(), Accounts(price), None, Stop(), began
        ).run()

    async def main() -> list[Record]:
        return [
            record
            for records in await asyncio.gather(*(cell() for _ in range(cells)))
            for record in records
        ]

    records, seconds = run_virtual(main())
    return records, seconds


@pytest.mark.parametrize(
    ("provider", "bound", "most_requests"),
    [
        pytest.param(Limited(per_second(10)), CALLS / 10, 1.1, id="10 a second"),
        pytest.param(
            Limited(per_second(10), hint=False), CALLS / 10, 1.1, id="10 a second without a hint"
        ),
        pytest.param(Limited(at_once(20), hint=False), CALLS * 0.5 / 20, 1.1, id="20 at once"),
    ],
)
def test_a_limit_is_found_and_nothing_is_lost(
    provider: Limited, bound: float, most_requests: float
) -> None:
    """A thousand calls, each answered, with hardly a request too many and hardly a second too long."""
    records, seconds = served(provider, deadline=10_000.0)
    assert all(record.ok for record in records)
    assert provider.requests <= most_requests * CALLS
    assert seconds <= 1.2 * bound


def test_an_outage_costs_no_call() -> None:
    """The provider is down, not the call: one probe at a time until it is back."""
    provider = Limited(anything)
    provider.down = (2.0, 62.0)
    records, seconds = served(provider, deadline=600.0)
    assert all(record.ok for record in records)
    assert seconds <= 62 + 15 + 1.2 * CALLS * 0.5 / 20
    assert provider.requests <= 1.1 * CALLS + 200


def test_a_minutes_allowance_is_waited_for() -> None:
    """300 calls a minute: the fourth minute finishes a thousand."""
    provider = Limited(per_minute(300))
    records, seconds = served(provider, deadline=10_000.0)
    assert all(record.ok for record in records)
    assert seconds <= 1.2 * 190


def test_a_dead_provider_is_not_hammered() -> None:
    """Every call fails by its deadline; there are few requests."""
    provider = Limited(anything)
    provider.down = (0.0, 1e9)
    records, seconds = served(provider, count=100)
    assert not any(record.ok for record in records)
    assert provider.requests <= 1.2 * 100 + 10
    assert seconds <= 121


def test_two_cells_share_what_one_learnt() -> None:
    """Cells of one key that run at the same time do not add up their limits."""
    provider = Limited(at_once(20), hint=False)
    records, seconds = served(provider, count=500, cells=2, deadline=10_000.0)
    assert all(record.ok for record in records)
    assert provider.requests <= 1.15 * CALLS
    assert seconds <= 1.2 * CALLS * 0.5 / 20


def test_the_pool_cuts_once_a_round_trip() -> None:
    """A burst of refusals of calls that began before the cut tells nothing new."""
    pool = RateLimit()
    tickets = [pool.begin(0.0) for _ in range(20)]
    for ticket in tickets:
        pool.limited(ticket, 1.0, None)
        pool.end()
    assert pool.limit == pytest.approx(16.0)
    later = pool.begin(2.0)
    pool.limited(later, 3.0, None)
    assert pool.limit < 16


@pytest.mark.parametrize(("line", "seconds"), [("", 1.5), ("-c 100", 0.5), ("-c 50", 1.0)])
def test_so_many_as_are_asked_for_start_at_once(line: str, seconds: float) -> None:
    """A hundred calls of half a second: by default with care, with -c as the user says."""
    provider = Limited(anything)
    most = int(line.removeprefix("-c ") or 0)
    rules = Rules(most or 200, asked=bool(most))
    fake = Fake(provider)

    async def main() -> list[Record]:
        routes = Routes(lambda model: fake, RateLimits().of)
        return await Scheduler(tasks(100), routes, rules, Accounts(price), None, Stop()).run()

    records, took = run_virtual(main())
    assert len(records) == 100
    assert took == pytest.approx(seconds, abs=0.01)


def test_what_was_refused_once_is_not_asked_for_again() -> None:
    """A wish does not undo what was learnt."""
    pool = RateLimit()
    pool.limited(pool.begin(0.0), 1.0, None)
    learnt = pool.limit
    pool.wanted(200)
    assert pool.limit == learnt


def test_a_pause_leaves_time_for_the_try() -> None:
    """A limit of a second is no reason to give up what a 429 without a hint put off."""
    pool = RateLimit()
    assert max(pool.pause(1, None, 1.0) for _ in range(200)) <= 0.5
    assert max(pool.pause(1, None, 100.0) for _ in range(200)) > 0.5
    assert max(pool.pause(2, None, 1.0) for _ in range(200)) > 1.0, "or the tries would never end"
    assert pool.pause(1, 7.0, 1.0) >= 7.0, "what the provider asks for is never cut short"


def test_a_hint_closes_the_gate_for_all() -> None:
    """Nobody begins before it is over, and the longest one holds."""
    pool = RateLimit()
    ticket = pool.begin(0.0)
    pool.limited(ticket, 1.0, 7.0)
    pool.limited(ticket, 2.0, 3.0)
    pool.end()
    assert pool.wait(3.0) == pytest.approx(5.0)
    assert pool.wait(8.0) == 0.0


def test_the_limit_grows_only_where_it_is_used() -> None:
    """It doubles after a full round, later it grows by one or by 5 %, up to the ceiling."""
    pool = RateLimit(ceiling=50)

    def rounds(at_a_time: int) -> None:
        tickets = [pool.begin(0.0) for _ in range(at_a_time)]
        for ticket in tickets:
            pool.end()
            pool.answered(ticket)

    rounds(20)
    assert pool.limit == 40
    for _ in range(10):
        rounds(5)
    assert pool.limit == 40, "five at a time never tried it"
    rounds(40)
    assert pool.limit == 50


@pytest.mark.parametrize(("kind", "asked"), [("auth", 20), ("quota", 20), ("model", 20)])
def test_a_fault_that_no_call_can_survive_stops_the_run(kind: Any, asked: int) -> None:
    """A wrong key costs the calls in flight, not a thousand; the rest say why they were not asked."""
    fake = Fake(failing(kind, 9999))
    doors_pools = RateLimits()

    async def main() -> list[Record]:
        began = asyncio.get_running_loop().time()
        routes = Routes(lambda model: fake, doors_pools.of)
        return await Scheduler(
            tasks(CALLS), routes, Rules(), Accounts(price), None, Stop(), began
        ).run()

    records, _ = run_virtual(main())
    assert len(fake.calls) <= asked
    assert {record.status for record in records} == {"failed"}
    assert records[-1].error is not None
    assert records[-1].error.message == f"not asked: {kind} says no"
    assert records[-1].attempts == ()


def test_the_source_is_read_no_faster_than_it_is_served() -> None:
    """Of a million tasks only those are made that may soon begin."""
    made = 0

    def source() -> Iterator[Task]:
        nonlocal made
        for task in tasks(2000):
            made += 1
            yield task

    most_ahead = 0
    done = 0

    def tell(event: Event) -> None:
        nonlocal most_ahead, done
        done += event.kind == "ended"
        most_ahead = max(most_ahead, made - done)

    async def main() -> list[Record]:
        fake = Fake(Limited(anything))
        routes = Routes(lambda model: fake, RateLimits().of)
        rules = Rules(concurrency=10)
        return await Scheduler(source(), routes, rules, Accounts(price), tell, Stop(), 0.0).run()

    records, _ = run_virtual(main())
    assert len(records) == 2000
    assert most_ahead <= 30


@pytest.mark.parametrize(
    ("local", "answers", "waits"),
    [
        pytest.param(True, 0, False, id="a local server that was not started"),
        pytest.param(True, 8, True, id="a local server that answered and was stopped"),
        pytest.param(False, 0, True, id="a server elsewhere"),
    ],
)
def test_a_server_that_was_not_started_is_not_waited_for(
    local: bool, answers: int, waits: bool
) -> None:
    """Only what has answered in this run, or is elsewhere, may come back by itself."""
    answered = 0

    async def act(task: Task, heard: Heard) -> Reply:
        nonlocal answered
        await asyncio.sleep(0.1)
        answered += 1
        if answered <= answers:
            return Reply("fine")
        raise CallFailed(Fault("connection", "here:1: connection refused", refused=True))

    fake, pools = Fake(act), RateLimits()
    fake.local = local

    async def main() -> list[Record]:
        routes = Routes(lambda model: fake, pools.of)
        run = Scheduler(tasks(40), routes, Rules(), Accounts(price), None, Stop())
        return await run.run()

    records, took = run_virtual(main())
    lost = [record for record in records if not record.ok]
    assert len(lost) == 40 - answers
    assert all(("start the server" in record.error.message) != waits for record in lost)
    assert (took > 100) == waits
    assert (max(len(record.attempts) for record in lost) > 3) == waits


def test_a_server_that_was_stopped_after_an_earlier_cell_is_not_waited_for() -> None:
    """It was ended since: the next cell says so in seconds, and not at its deadline."""
    up = True

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        if up:
            return Reply("fine")
        raise CallFailed(Fault("connection", "here:1: connection refused", refused=True))

    fake, pools = Fake(act), RateLimits()
    fake.local = True

    async def main() -> list[Record]:
        nonlocal up
        routes = Routes(lambda model: fake, pools.of)
        await Scheduler(tasks(3), routes, Rules(), Accounts(price), None, Stop()).run()
        up = False
        return await Scheduler(tasks(3), routes, Rules(), Accounts(price), None, Stop()).run()

    records, took = run_virtual(main())
    assert all("start the server" in record.error.message for record in records)
    assert took < 10


def test_a_pause_of_an_outage_is_nothing_that_the_provider_asks_for() -> None:
    """It answered for a while, and then no more."""
    asked = 0

    async def act(task: Task, heard: Heard) -> Reply:
        nonlocal asked
        await asyncio.sleep(0.1)
        asked += 1
        if asked <= 3:
            return Reply("fine")
        raise CallFailed(Fault("connection", "here:1: connection refused", refused=True))

    async def main() -> list[Record]:
        fake = Fake(act)
        routes = Routes(lambda model: fake, RateLimits().of)
        return await Scheduler(
            tasks(12), routes, Rules(concurrency=8), Accounts(price), None, Stop()
        ).run()

    records, _ = run_virtual(main())
    told = [record.error.message for record in records if not record.ok]
    assert len(told) == 9
    assert not any("asks for a wait" in each for each in told), told


@pytest.mark.parametrize("fault", ["outage", "a day"])
def test_what_one_cell_gave_up_the_next_one_asks_again(fault: str) -> None:
    """After an outage, or a hint of a day, that outlasted a cell, a later cell asks and is answered."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        now = asyncio.get_running_loop().time()
        if fault == "outage" and now < 200:
            raise CallFailed(Fault("server", "HTTP 503", http=503))
        if fault == "a day" and now < 5:
            raise CallFailed(Fault("rate_limit", "HTTP 429", http=429, retry_after=86_400))
        return Reply("fine")

    fake, pools = Fake(act), RateLimits()

    async def cell() -> list[str]:
        routes = Routes(lambda model: fake, pools.of)
        run = Scheduler(tasks(8), routes, Rules(), Accounts(price), None, Stop())
        return [record.status for record in await run.run()]

    async def main() -> list[list[str]]:
        first = await cell()
        await asyncio.sleep(300)
        return [first, await cell()]

    assert run_virtual(main()).result == [["failed"] * 8, ["ok"] * 8]
