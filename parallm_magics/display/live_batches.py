"""What the live table tells of a run's batches, however many requests they hold."""

from __future__ import annotations

from parallm_magics.core.batches import BatchProgress
from parallm_magics.core.tasks import Event
from parallm_magics.display import text
from parallm_magics.display.kinds import Table

MOST_BATCHES = 12
"""Most batches that have a row; of more, those that are not done come first."""

OVER = ("done", "refused")
"""How far a batch is that no more will become of."""


class LiveBatches:
    """How far each batch of a run is, as it was told last."""

    def __init__(self) -> None:
        self._batches: tuple[BatchProgress, ...] = ()
        self._at = 0.0

    def __bool__(self) -> bool:
        return bool(self._batches)

    def tell(self, event: Event) -> None:
        """Take in how far all of them are."""
        if event.batches:
            self._batches, self._at = event.batches, event.at

    @property
    def ended(self) -> int:
        """How many requests have ended, as far as anybody has said."""
        return sum(each.succeeded + each.failed for each in self._batches)

    def blocks(self, now: float) -> list[Table]:
        """A row a batch, at that many seconds since the run's start; nothing where there is none."""
        if not self._batches:
            return []
        over = [each for each in self._batches if each.status in OVER]
        open_ = [each for each in self._batches if each.status not in OVER]
        left = len(self._batches) - MOST_BATCHES
        shown = self._batches
        if left > 0:
            kept = {id(each) for each in [*open_, *reversed(over)][:MOST_BATCHES]}
            shown = tuple(each for each in self._batches if id(each) in kept)
        several = len({each.model for each in self._batches}) > 1
        head = ("Batch", *(["Model"] if several else []), ">Requests", ">Done", ">Failed", "Sent")
        rows = tuple(
            (
                each.id or "–",
                *([each.model] if several else []),
                f"{each.requests:,}",
                f"{each.succeeded:,}",
                f"{each.failed:,}",
                self._sent(each, now),
                f"{each.status}: {each.note}" if each.note else each.status,
            )
            for each in shown
        )
        note = f"{left:,} more batches, {len(over):,} are done" if left > 0 else ""
        head = (*head, "State")
        return [Table("", head, rows, rest=len(head) - 1, note=note, caption="Batches")]

    def _sent(self, batch: BatchProgress, now: float) -> str:
        """How long ago a batch was sent."""
        if not batch.id:
            return "not yet"
        if batch.status in OVER:
            return "–"
        return f"{text.about(batch.seconds + max(now - self._at, 0.0))} ago"

    @property
    def models(self) -> str:
        """The models that are asked; "" where there is no batch."""
        return ", ".join(dict.fromkeys(each.model for each in self._batches))
