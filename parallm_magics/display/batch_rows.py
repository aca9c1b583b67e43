"""What the saved view tells of the batches in which a run's calls were asked."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.core.tasks import Record
from parallm_magics.display import text
from parallm_magics.display.kinds import Disclosure, Table
from parallm_magics.display.totals import totals

MOST_BATCHES = 30
"""Most batches that have a row."""


def by_batch(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each batch, by its id; calls of their own are in none."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.batch:
            found.setdefault(record.batch, []).append(record)
    return found


def batches_in_words(number: int) -> str:
    """So many batches, such as "1 batch"; "" for none."""
    return f"{number:,} batch{'' if number == 1 else 'es'}" if number else ""


def batch_table(records: Sequence[Record]) -> list[Disclosure]:
    """A row a batch, which a page folds away; nothing where there was none."""
    batches = by_batch(records)
    if not batches:
        return []
    rows = tuple(_row(each, mine) for each, mine in [*batches.items()][:MOST_BATCHES])
    left = len(batches) - MOST_BATCHES
    note = f"{left:,} more batches" if left > 0 else ""
    head = ("Batch", ">Calls", ">Succeeded", ">Open", ">Cost", "Took", "Model")
    table = Table("", head, rows, rest=len(head) - 1, note=note, caption="Batches")
    return [Disclosure(batches_in_words(len(batches)), (table,))]


def _row(batch: str, records: Sequence[Record]) -> tuple[str, ...]:
    sums = totals(records)
    open_ = sum(record.status == "cancelled" for record in records)
    return (
        batch,
        f"{len(records):,}",
        f"{sum(record.ok for record in records):,}",
        f"{open_:,}",
        text.money(sums.cost, sums.cost_complete),
        "–" if open_ == len(records) else text.seconds(sums.seconds),
        text.listed([*dict.fromkeys(record.model for record in records)]),
    )
