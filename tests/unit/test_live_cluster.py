"""The live table of a run whose calls are made on a cluster: meaningful for two workers and for thousands."""

from __future__ import annotations

import re

from display_samples import HAIKU, Page
from live_views import live_html

from parallm_magics.core.cluster_workers import ClusterWorker
from parallm_magics.core.tasks import Event
from parallm_magics.display import Board, plain
from parallm_magics.display.live_cluster import MOST_CLUSTER_WORKERS


def text_of(*workers: ClusterWorker) -> str:
    """What a person reads once the board has heard of these workers of a cluster."""
    board = Board([("w0", HAIKU)], "fanout")
    board.tell(Event("cluster", -1, 1.0, cluster=workers))
    return re.sub(r"\s+", " ", plain(board.blocks(2.0)))


def test_each_worker_of_the_cluster_has_a_row_with_its_calls() -> None:
    """Its name, what it has under way and what it has done; above, all of them in a line."""
    said = text_of(ClusterWorker("0", 12, 40), ClusterWorker("1", 8, 44))
    assert "2 cluster workers, 20 calls under way" in said
    assert "0 12 40 working" in said
    assert "1 8 44 working" in said


def test_a_lost_worker_is_named_and_its_calls_are_asked_again() -> None:
    """It is no longer counted among those that are there."""
    said = text_of(ClusterWorker("0", 12, 40), ClusterWorker("1", 0, 44, "lost"))
    assert (
        "1 cluster worker, 12 calls under way, 1 lost: what they had under way is asked again"
        in said
    )


def test_of_thousands_of_workers_few_have_a_row() -> None:
    """Those that are lost first, then the busiest; the line still sums up all."""
    many = [ClusterWorker(f"tls://10.0.0.1:{n}", n, n) for n in range(2000)]
    many[3] = ClusterWorker("tls://gone", 0, 3, "lost")
    said = text_of(*many)
    assert f"{2000 - MOST_CLUSTER_WORKERS:,} more cluster workers not shown" in said
    assert "tls://gone" in said
    assert "tls://10.0.0.1:1999" in said
    assert "1,999 cluster workers" in said


def test_a_hostile_name_is_text() -> None:
    """Whoever named the workers writes nothing into the page."""
    board = Board([("w0", HAIKU)], "fanout")
    board.tell(Event("cluster", -1, 1.0, cluster=(ClusterWorker("<script>x</script>"),)))
    assert "<script" not in live_html(board, 2.0)


def test_without_a_cluster_nothing_is_told_of_one() -> None:
    """A run of this process looks as before."""
    assert "cluster" not in Page(live_html(Board([("w0", HAIKU)], "fanout"), 2.0)).text
