"""What whoever watches a run is told of the workers of a cluster that make its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WorkerState = Literal["starting", "working", "idle", "lost"]


@dataclass(frozen=True, slots=True)
class ClusterWorker:
    """How one worker of the cluster stands in a run.

    Attributes:
        name: what the cluster calls it.
        under_way: its calls under way, as it said last.
        done: how many of the run's calls have ended on it.
        state: "lost" where its process is gone; what it had under way is asked again.
    """

    name: str
    under_way: int = 0
    done: int = 0
    state: WorkerState = "working"
