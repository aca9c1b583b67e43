"""What the live table tells of the workers of a cluster, however many there are."""

from __future__ import annotations

from parallm_magics.core.cluster_workers import ClusterWorker
from parallm_magics.core.tasks import Event
from parallm_magics.display import text
from parallm_magics.display.kinds import Block, Says, Table

MOST_CLUSTER_WORKERS = 8
"""Most workers that have a row; of more, a line tells the sums, and rows those that are lost or have most to do."""


class LiveCluster:
    """How each worker of the cluster stands, as it was told last."""

    def __init__(self) -> None:
        self._workers: tuple[ClusterWorker, ...] = ()

    def tell(self, event: Event) -> None:
        """Take in how all of them stand."""
        if event.kind == "cluster":
            self._workers = event.cluster

    def blocks(self) -> list[Block]:
        """A line on all of them and a row each; nothing where no cluster makes the calls."""
        if not self._workers:
            return []
        shown = self._workers
        if len(shown) > MOST_CLUSTER_WORKERS:
            first = sorted(shown, key=lambda each: (each.state != "lost", -each.under_way))
            kept = {id(each) for each in first[:MOST_CLUSTER_WORKERS]}
            shown = tuple(each for each in shown if id(each) in kept)
        left = len(self._workers) - len(shown)
        rows = tuple(
            (text.one_line(each.name, 60), f"{each.under_way:,}", f"{each.done:,}", each.state)
            for each in shown
        )
        head = ("Cluster worker", ">Under way", ">Done", "State")
        note = f"{left:,} more cluster workers not shown" if left > 0 else ""
        return [
            Says((self._sums(),), "small"),
            Table("", head, rows, rest=len(head) - 1, note=note, caption="Workers of the cluster"),
        ]

    def _sums(self) -> str:
        """All of them in a line."""
        lost = sum(each.state == "lost" for each in self._workers)
        there = text.count(len(self._workers) - lost, "cluster worker")
        under_way = text.count(sum(each.under_way for each in self._workers), "call")
        gone = f", {lost:,} lost: what they had under way is asked again" if lost else ""
        return f"{there}, {under_way} under way{gone}"
