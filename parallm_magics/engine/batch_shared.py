"""What the parts of one run in batches have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parallm_magics.core.batch_entries import BatchLedger
from parallm_magics.engine.batch_records import BatchRecords
from parallm_magics.engine.batch_waiting import Waiting
from parallm_magics.engine.clock import Clock
from parallm_magics.engine.run_batch import RunBatch


@dataclass(slots=True)
class Shared:
    """What the parts of one run have in common.

    Attributes:
        records: makes the records.
        batches: those batches that hold calls which have not ended.
        ledger: says which request is in which batch.
        waiting: the one that waits.
        clock: the run's.
        show: tells how far all batches are.
        sends: whether what is in no batch is sent.
        drain: whether calls that are not to be made any more get records.
        finished: how many batches have ended.
    """

    records: BatchRecords
    batches: list[RunBatch]
    ledger: BatchLedger
    waiting: Waiting
    clock: Clock
    show: Callable[[], None]
    sends: bool
    drain: bool
    finished: int = 0
