"""The saved view of a run whose calls were asked in batches."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from display_samples import record

from parallm_magics.core.tasks import Fault, Record
from parallm_magics.display import View, plain, run_blocks
from parallm_magics.display.batch_rows import MOST_BATCHES
from parallm_magics.patterns.run import Run


def batched(index: int, batch: str = "batch_1") -> Record:
    """A call that was answered in a batch, after 40 minutes."""
    return replace(record(index), batch=batch, start=0.0, seconds=2400.0, cost=Decimal("0.0005"))


def still_open(index: int) -> Record:
    """A call whose batch was left."""
    left = Fault("cancelled", "in batch batch_2; run the cell again or await run.collect()")
    return Record(index, f"w{index}", "cancelled", "m", error=left, batch="batch_2")


def page(*records: Record) -> str:
    """The run as plain text."""
    return plain(run_blocks(View("3 of 3 succeeded", "fanout", records)))


def test_each_batch_has_a_row() -> None:
    """Which batches, of how many calls, for how much, and how long they took."""
    said = page(batched(0), batched(1), still_open(2))
    assert "in 2 batches" in said.splitlines()[1]
    rows = [line.split() for line in said.splitlines() if line.lstrip().startswith("batch_")]
    assert rows[0][:8] == ["batch_1", "2", "2", "0", "$0.0010", "40", "min", "0"]
    assert rows[1][:6] == ["batch_2", "1", "0", "1", "–", "–"]


def test_the_length_of_a_batch_is_compared_with_nothing() -> None:
    """What calls of their own would have taken nobody knows."""
    said = page(batched(0), batched(1))
    assert "40 min 0 s" in said
    assert "one by one" not in said
    assert "times faster" not in said


def test_a_hundred_batches_have_some_rows() -> None:
    """The rest is counted."""
    said = page(*(batched(n, f"batch_{n}") for n in range(100)))
    assert "in 100 batches" in said
    assert f"{100 - MOST_BATCHES} more batches" in said


def test_a_run_without_batches_says_nothing_of_any() -> None:
    """No heading, no table, no part of a line."""
    assert "batch" not in page(record(0), record(1))
    assert Run([record(0)]).batches == {}


def test_a_run_tells_its_batches() -> None:
    """By id, with how many of the run's calls each holds."""
    assert Run([batched(0), batched(1), still_open(2)]).batches == {"batch_1": 2, "batch_2": 1}
    assert batched(0).to_dict()["batch"] == "batch_1"
    assert "batch" not in record(0).to_dict()
