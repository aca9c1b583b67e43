"""A run that was left says where its calls are, and how to get their answers."""

from __future__ import annotations

from dataclasses import replace

from display_samples import record

from parallm_magics.core.tasks import Attempt, Fault, Record
from parallm_magics.patterns.notes import of_batches

LEFT = Fault("cancelled", "in batch batch_1; run the cell again or await run.collect()")


def left(index: int, batch: str = "batch_1") -> Record:
    """A call that goes on in its batch."""
    return Record(index, f"w{index}", "cancelled", "m", error=LEFT, batch=batch)


def test_calls_that_go_on_in_their_batches_are_counted() -> None:
    """How many, in how many batches, and the ways to go on."""
    [said] = of_batches([left(0)])
    assert said.startswith("1 call goes on in 1 batch: run the cell again, or await run.collect()")
    [said] = of_batches([left(0), left(1), left(2, "batch_2"), record(3)])
    assert said.startswith("3 calls go on in 2 batches: ")


def test_what_a_cancelled_batch_did_not_get_to_goes_on_nowhere() -> None:
    """Such a call was tried, and the batch is over; nor is a call of its own in a batch."""
    over = replace(left(0), attempts=(Attempt("cancelled", 60.0),))
    assert of_batches([over, replace(left(1), batch=""), replace(record(2), batch="batch_1")]) == []
