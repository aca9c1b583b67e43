"""While many calls are sorted, sent and left in batches, whoever else runs on the loop has its turn."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from batch_kernel import Kernel
from fake_batches import FakeBatches
from fakes import tasks
from virtual_time import run_virtual

from parallm_magics.core.batches import BatchRequest
from parallm_magics.engine.cancel_token import Stop

CALLS = 3000
STEP = 2e-4
MOST = 0.1


class Slow(FakeBatches):
    """Each request takes a while to be measured, as a long one does."""

    def size(self, request: BatchRequest) -> int:
        """Its prompt alone."""
        until = time.thread_time() + STEP
        while time.thread_time() < until:
            pass
        return len(request.task.prompt)


async def _longest(work: asyncio.Task[object]) -> float:
    """The most time of this thread between two turns of another one on the loop."""
    longest = 0.0
    while not work.done():
        before = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - before)
    return longest


def test_the_loop_has_its_turn_while_many_calls_are_sent(tmp_path: Path) -> None:
    """All of them take 0.6 seconds."""

    async def work() -> tuple[float, int]:
        kernel = Kernel(Slow(), tmp_path / "r.jsonl")
        run = asyncio.ensure_future(kernel.run(tasks(CALLS)))
        helper = asyncio.ensure_future(_longest(run))  # type: ignore[arg-type]
        while not kernel.fake.made:
            await asyncio.sleep(0.01)
        run.cancel()
        longest = await helper
        return longest, len(next(iter(kernel.fake.made.values())).tasks)

    longest, sent = asyncio.run(work())
    assert sent == CALLS
    assert longest < MOST


@pytest.mark.parametrize("drain", [True, False])
def test_a_stop_ends_the_sending_of_many_calls_at_once(tmp_path: Path, drain: bool) -> None:
    """Nothing is sent, and nothing stays set aside."""
    fake = Slow()
    sized = 0
    size = fake.size

    def counted(request: BatchRequest) -> int:
        nonlocal sized
        sized += 1
        return size(request)

    fake.size = counted  # type: ignore[method-assign]

    async def after(stop: Stop) -> None:
        while not sized:
            await asyncio.sleep(0)
        stop("interrupted")

    kernel = Kernel(fake, tmp_path / "r.jsonl")
    records = asyncio.run(kernel.run(tasks(CALLS), after=after, drain=drain))
    assert sized < CALLS
    assert not fake.made
    assert {record.status for record in records} == ({"cancelled"} if drain else set())


def test_a_stop_while_calls_are_sorted_leaves_those_that_are_in_a_batch(tmp_path: Path) -> None:
    """None of them is told as never asked."""
    fake, path = FakeBatches(seconds=3600), tmp_path / "r.jsonl"

    async def at_once(stop: Stop) -> None:
        while not fake.calls["state"]:
            await asyncio.sleep(1)
        stop("interrupted")

    run_virtual(Kernel(fake, path).run(tasks(CALLS), after=at_once, drain=True))

    kernel = Kernel(fake, path)
    claims = kernel.ledger.claims

    def stopped_by_then() -> Any:
        kernel.stop("interrupted")
        return claims()

    kernel.ledger.claims = stopped_by_then  # type: ignore[method-assign]
    records, _ = run_virtual(kernel.run(tasks(CALLS), drain=True))
    assert {record.status for record in records} == {"cancelled"}
    assert all(record.cost is None and record.batch == "batch_0" for record in records)


def test_a_stop_while_results_are_read_keeps_what_was_read(tmp_path: Path) -> None:
    """The next run reads the rest."""
    fake, path = FakeBatches(), tmp_path / "r.jsonl"
    kernel, seen = Kernel(fake, path), 0

    def point(where: str) -> None:
        nonlocal seen
        seen += where == "result"
        if seen == CALLS // 2:
            kernel.stop("interrupted")

    fake.point = point
    records, _ = run_virtual(kernel.run(tasks(CALLS), drain=True))
    fake.point = lambda where: None
    ended = [record for record in records if record.ok]
    assert CALLS // 2 - 1 <= len(ended) < CALLS
    records, _ = run_virtual(Kernel(fake, path).run(tasks(CALLS)))
    assert {record.status for record in records} == {"ok"}
    assert set(fake.times_asked().values()) == {1}
