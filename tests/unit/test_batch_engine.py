"""Calls in batches, on a clock that jumps: every request ends in one record, and none is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from batch_kernel import Kernel
from fake_batches import FakeBatches, failed, said, unsent
from fakes import tasks
from virtual_time import run_virtual

from parallm_magics.core.batches import BatchLimits
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Record, Task
from parallm_magics.engine.cancel_token import Stop

CENT = Decimal("0.01")


def statuses(records: list[Record]) -> list[str]:
    """How each ended."""
    return [record.status for record in records]


def interrupt(at: float) -> Callable[[Stop], Any]:
    """Stop the run at that second."""

    async def after(stop: Stop) -> None:
        await asyncio.sleep(at)
        stop("interrupted")

    return after


def test_calls_go_out_in_one_batch_and_come_back_in_order(tmp_path: Path) -> None:
    """One record each, with usage, the batch's cost and its id; the ledger's last word is that it is collected."""
    fake = FakeBatches()
    kernel = Kernel(fake, tmp_path / "r.jsonl")
    records, seconds = run_virtual(kernel.run(tasks(5)))
    assert [record.text for record in records] == [f"answer to ask {n}" for n in range(5)]
    assert [record.index for record in records] == [0, 1, 2, 3, 4]
    assert {record.batch for record in records} == {"batch_0"}
    assert {record.cost for record in records} == {Decimal(15) / 1_000_000}
    assert 60 <= seconds < 120
    assert [entry.closed for entry in kernel.ledger.batches()] == ["collected"]
    told = [event.batches for event in kernel.events if event.kind == "batches"]
    assert [each[0].status for each in told][-1] == "done"
    assert {"sending", "under way", "reading"} <= {each[0].status for each in told if each}


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (BatchLimits(2, 10**9), [2, 2, 1]),
        (BatchLimits(100, 10), [2, 2, 1]),  # a prompt has 5 bytes
        (BatchLimits(100, 10**9, 1), [5]),
    ],
)
def test_batches_keep_the_limits_of_count_and_bytes(limits: BatchLimits, sizes: list[int]) -> None:
    """Chunks are as large as they may be, in the cell's order."""
    fake = FakeBatches(limits=limits)
    records, _ = run_virtual(Kernel(fake).run(tasks(5)))
    assert statuses(records) == ["ok"] * 5
    assert [len(batch.tasks) for batch in fake.made.values()] == sizes


def test_models_have_batches_of_their_own_where_one_may_hold_one() -> None:
    """Else they go together."""
    two = [replace(task, model=replace(task.model, name=f"m{task.index % 2}")) for task in tasks(4)]
    for most, count in ((1, 2), (None, 1)):
        fake = FakeBatches(limits=BatchLimits(100, 10**9, most))
        records, _ = run_virtual(Kernel(fake).run(two))
        assert statuses(records) == ["ok"] * 4
        assert len(fake.made) == count


def test_a_request_larger_than_any_batch_ends_alone() -> None:
    """The others are sent."""
    fake = FakeBatches(limits=BatchLimits(10, 20))
    todo = [*tasks(2), Task(2, "large", tasks(1)[0].model, "x" * 21)]
    records, _ = run_virtual(Kernel(fake).run(todo))
    assert statuses(records) == ["ok", "ok", "failed"]
    assert records[2].error is not None
    assert records[2].error.kind == "too_large"


def test_an_interrupt_leaves_the_batch_and_the_next_kernel_goes_on_with_it(tmp_path: Path) -> None:
    """Nothing is sent again; meanwhile the records say where the calls are, and nothing is recorded."""
    fake, path = FakeBatches(seconds=3600), tmp_path / "r.jsonl"
    kernel = Kernel(fake, path)
    records, seconds = run_virtual(kernel.run(tasks(3), after=interrupt(100)))
    assert seconds < 101
    assert statuses(records) == ["cancelled"] * 3
    assert {record.error.message for record in records if record.error} == {
        "in batch batch_0; run the cell again or await run.collect()"
    }
    assert {record.cost for record in records} == {None}
    fake.seconds = 0
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert not any(record.replayed for record in records)
    assert set(fake.times_asked().values()) == {1}
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert all(record.replayed for record in records)


@pytest.mark.parametrize("most", [100, 1])
def test_a_batch_that_is_over_counts_what_its_calls_came_to(tmp_path: Path, most: int) -> None:
    """Also one that had ended before anybody asked how far it is."""

    def end(task: Task) -> Reply | CallFailed:
        return said(task) if task.index == 0 else failed("server")

    fake = FakeBatches(seconds=3600, limits=BatchLimits(most, 10**9), end=end)
    run_virtual(Kernel(fake, tmp_path / "r.jsonl").run(tasks(2), after=interrupt(10)))
    fake.seconds = 0
    kernel = Kernel(fake, tmp_path / "r.jsonl")
    records, _ = run_virtual(kernel.run(tasks(2)))
    assert statuses(records) == ["ok", "failed"]
    told = [event.batches for event in kernel.events if event.batches][-1]
    counts = [(each.status, each.succeeded, each.failed) for each in told]
    assert counts == ([("done", 1, 1)] if most == 100 else [("done", 1, 0), ("done", 0, 1)])


def test_collecting_sends_nothing_new(tmp_path: Path) -> None:
    """What is in a batch comes; the rest says how it can be sent."""
    fake, path = FakeBatches(), tmp_path / "r.jsonl"
    run_virtual(Kernel(fake, path).run(tasks(2), after=interrupt(10)))
    fake.seconds = 0
    records, _ = run_virtual(Kernel(fake, path).run(tasks(4), sends=False))
    assert statuses(records) == ["ok", "ok", "cancelled", "cancelled"]
    assert "await run.retry()" in str(records[3].error)
    assert len(fake.made) == 1


@pytest.mark.parametrize("keeps_nonce", [True, False])
def test_a_batch_whose_answer_was_lost_is_found_in_the_list(
    tmp_path: Path, keeps_nonce: bool
) -> None:
    """By its nonce, or as the only one of its size, which its results then prove."""
    fake = FakeBatches(keeps_nonce=keeps_nonce, faults={"create": ["lost"]})
    records, _ = run_virtual(Kernel(fake, tmp_path / "r.jsonl").run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert set(fake.times_asked().values()) == {1}


@pytest.mark.parametrize("keeps_nonce", [True, False])
@pytest.mark.parametrize("fault", [failed("connection"), unsent("rate_limit", retry_after=30.0)])
def test_a_batch_that_was_never_taken_is_sent_again(
    tmp_path: Path, keeps_nonce: bool, fault: CallFailed
) -> None:
    """The list is asked twice before, where the provider has not said that it took nothing."""
    fake = FakeBatches(keeps_nonce=keeps_nonce, faults={"create": [fault, fault]})
    kernel = Kernel(fake, tmp_path / "r.jsonl")
    records, _ = run_virtual(kernel.run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert len(fake.made) == 1
    assert fake.calls["listed"] == (4 if fault.fault.kind == "connection" else 0)
    assert len(kernel.ledger.batches()) == 1
