"""A local server that answers one at a time: its queue is told, and soon no longer than it bears."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Fake, price, tasks
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Record, Task, Usage
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.providers.registry import entries, entry_of, make

WAIT = 60.0


class Slots:
    """A local server with so many slots; others queue in the order in which they came.

    Attributes:
        fake: the provider that leads there.
        pools: what was learnt of it.
    """

    def __init__(self, slots: int, seconds: float, first: float = 0.1, local: bool = True) -> None:
        self.fake = Fake(self._answer)
        self.fake.local = local
        self.pools = RateLimits()
        self._slots, self._seconds, self._first = slots, seconds, first
        self._free: asyncio.Semaphore | None = None

    async def _answer(self, task: Task, heard: Heard) -> Reply:
        self._free = self._free or asyncio.Semaphore(self._slots)
        async with self._free:
            await asyncio.sleep(self._first)
            heard("fi")
            for _ in range(10):
                await asyncio.sleep((self._seconds - self._first) / 10)
                heard(".")
            return Reply("fine", usage=Usage(10, 0, 0, 5))

    async def cell(self, count: int, **rules: object) -> list[Record]:
        """One cell of so many calls."""
        routes = Routes(lambda model: self.fake, self.pools.of)
        todo = tasks(count, silence=15.0, first=WAIT, deadline=3_600.0)
        return await Scheduler(todo, routes, Rules(**rules), Accounts(price), None, Stop()).run()  # type: ignore[arg-type]


def late(records: list[Record]) -> list[Record]:
    """Those that timed out."""
    return [record for record in records if record.status == "timed_out"]


def test_a_queue_is_told_with_the_way_out() -> None:
    """Eight calls of 12 s at one slot: those whose turn never came name `-c` and `--timeout`."""
    records = run_virtual(Slots(1, 12.0).cell(8)).result
    assert [record.status for record in records] == ["ok"] * 5 + ["timed_out"] * 3
    for record in late(records):
        assert record.error is not None
        told = record.error.message
        assert told.startswith("no first token within 60 s; 7 other calls were running")
        assert "local server" in told
        assert "-c 1" in told
        assert "--timeout" in told


def test_the_first_time_outs_lower_the_limit() -> None:
    """Of forty calls only the first round loses any; the next cell loses none."""
    slots = Slots(1, 12.0)

    async def cells() -> tuple[list[Record], list[Record]]:
        return await slots.cell(40), await slots.cell(40)

    first, second = run_virtual(cells()).result
    assert len(late(first)) == 15
    assert [record.index for record in late(first)] == list(range(5, 20))
    assert late(second) == []


@given(
    slots=st.integers(1, 30),
    seconds=st.floats(1.0, 140.0),
    first=st.floats(0.0, 0.9),
    count=st.integers(1, 120),
)
def test_no_server_loses_more_than_the_first_round(
    slots: int, seconds: float, first: float, count: int
) -> None:
    """Whatever it bears: once a wait was too long, no later call waits so long."""
    records = run_virtual(Slots(slots, seconds, first).cell(count)).result
    assert len(records) == count
    lost = late(records)
    if lost:
        ends = {record.index: record.end for record in records}
        learnt = min(ends[record.index] for record in lost)
        assert all(record.start < learnt for record in lost)


def test_one_call_alone_is_told_no_queue() -> None:
    """Nobody was before it, so that fewer at once would not help."""
    records = run_virtual(Slots(1, 600.0, first=100.0).cell(1)).result
    [record] = late(records)
    assert record.error is not None
    assert record.error.message == "no first token within 60 s"


def test_a_slow_answer_is_no_queue() -> None:
    """A server that has begun to answer and falls silent does not answer one at a time for that."""
    records = run_virtual(Slots(8, 600.0).cell(8)).result
    assert {record.error.message for record in records if record.error} == {
        "silent for 15 s during the answer"
    }


def test_a_provider_elsewhere_is_not_throttled_for_time_outs() -> None:
    """There they tell nothing of how many it bears."""
    slots = Slots(1, 12.0, local=False)
    records = run_virtual(slots.cell(8)).result
    assert all("-c" not in record.error.message for record in records if record.error)
    assert len(late(records)) == 3


def test_the_users_word_wins_over_what_was_learnt() -> None:
    """`-c 4` after the server got more slots asks four at once, as before it was throttled."""
    slots = Slots(1, 12.0)

    async def cells() -> int:
        await slots.cell(20)
        slots._slots, slots._free, slots.fake.most = 8, None, 0
        await slots.cell(40, concurrency=8, asked=True)
        return slots.fake.most

    assert run_virtual(cells()).result == 8


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio"])
def test_predefined_servers_are_local(name: str) -> None:
    """And the providers of models elsewhere are not."""
    assert make(entry_of(name)).local
    assert not any(make(entry).local for entry in entries() if entry.prices)
