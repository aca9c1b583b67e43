"""What the saved view tells of the batches in which a run's calls were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parallm_magics.core.tasks import Record
from parallm_magics.display import text
from parallm_magics.display.kinds import Disclosure, Table
from parallm_magics.display.totals import Sums

MOST_BATCHES = 30
"""Most batches that have a row."""


@dataclass(slots=True)
class BatchSums:
    """What the calls of one batch come to.

    Attributes:
        calls, good, open: how many there are, succeeded, and have no answer yet.
        sums: what they add up to.
        models: the models that were asked.
    """

    calls: int = 0
    good: int = 0
    open: int = 0
    sums: Sums = field(default_factory=Sums)
    models: dict[str, None] = field(default_factory=dict)


ByBatch = dict[str, BatchSums]


def by_batch(records: Sequence[Record], found: ByBatch | None = None) -> ByBatch:
    """What each batch comes to, by its id, with what is found already; calls of their own are in none."""
    found = {} if found is None else found
    for record in records:
        if record.batch:
            batch = found.setdefault(record.batch, BatchSums())
            batch.calls += 1
            batch.good += record.ok
            batch.open += record.is_in_batch
            batch.sums.take([record])
            batch.models[record.model] = None
    return found


def batches_in_words(number: int) -> str:
    """So many batches, such as "1 batch"; "" for none."""
    return f"{number:,} batch{'' if number == 1 else 'es'}" if number else ""


def batch_table(batches: ByBatch) -> list[Disclosure]:
    """A row a batch, which a page folds away; nothing where there was none."""
    if not batches:
        return []
    rows = tuple(_row(each, mine) for each, mine in [*batches.items()][:MOST_BATCHES])
    left = len(batches) - MOST_BATCHES
    note = f"{left:,} more batches" if left > 0 else ""
    head = ("Batch", ">Calls", ">Succeeded", ">Open", ">Cost", "Took", "Model")
    table = Table("", head, rows, rest=len(head) - 1, note=note, caption="Batches")
    return [Disclosure(batches_in_words(len(batches)), (table,))]


def _row(name: str, batch: BatchSums) -> tuple[str, ...]:
    sums = batch.sums.totals()
    return (
        name,
        f"{batch.calls:,}",
        f"{batch.good:,}",
        f"{batch.open:,}",
        text.money(sums.cost, sums.cost_complete),
        "–" if batch.open == batch.calls else text.seconds(sums.seconds),
        text.listed([*batch.models]),
    )
