"""One batch of a run, on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from parallm_magics.core.batch_entries import BatchEntry
from parallm_magics.core.batches import Batches, BatchProgress, BatchRequest, BatchState
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Task
from parallm_magics.engine.batch_queue import FIRST_PAUSE, GROWTH, LONGEST_PAUSE, Queue

MOST_AGE = 30 * 24 * 3600.0
"""No provider keeps results for longer; an older batch is one of a clock that was set."""


@dataclass(slots=True, eq=False)
class RunBatch:
    """A batch that holds calls of this run.

    Attributes:
        api: where it is.
        provider: who answers for its calls.
        entry: what the ledger says of it.
        queue: where its calls came from, or would have.
        tasks: those of its calls that have not ended, by the names of their requests.
        total: how many calls of this run it holds.
        sent: the run's time at which it was sent, or taken up.
        age: its seconds by then.
        status: how far it is; see `BatchProgress`.
        note: why it waits, or what goes wrong with it.
        due: the run's time at which it is looked at again.
        pause: seconds until then, growing.
        failures: how often in a row it could not be looked at.
        readings: how often in a row its results brought nothing new.
        read: the names of the requests whose results were read.
        good: how many answers its results have brought.
        succeeded, failed: how many of its calls have ended so, as far as is known.
    """

    api: Batches
    provider: Provider
    entry: BatchEntry
    queue: Queue
    tasks: dict[str, Task]
    sent: float
    age: float = 0.0
    total: int = 0
    status: str = "waiting"
    note: str = ""
    due: float = 0.0
    pause: float = FIRST_PAUSE
    failures: int = 0
    readings: int = 0
    read: set[str] = field(default_factory=set)
    good: int = 0
    succeeded: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self.total = len(self.tasks)

    @classmethod
    def taken_up(
        cls, entry: BatchEntry, queue: Queue, tasks: dict[str, Task], now: float
    ) -> RunBatch:
        """A batch that was sent before this run."""
        age = min(entry.age, MOST_AGE)
        return cls(queue.api, queue.provider, entry, queue, tasks, now, age, due=now)

    @property
    def requests(self) -> list[BatchRequest]:
        """Those of its requests that have not ended."""
        return [BatchRequest(name, task) for name, task in self.tasks.items()]

    @property
    def began(self) -> float:
        """The run's time at which it was sent, by its age: before the run, where it was taken up."""
        return self.sent - self.age

    def look_later(self, now: float, note: str = "", least: float = 0.0) -> None:
        """Be looked at after a pause, longer each time."""
        self.due, self.note = now + max(self.pause, least), note
        self.pause = min(self.pause * GROWTH, LONGEST_PAUSE)

    def heard(self, state: BatchState, now: float) -> None:
        """Take in what the provider says of it while it is under way."""
        self.status, self.failures = state.status, 0
        self.succeeded, self.failed = state.succeeded, state.failed
        if state.left is None:
            self.look_later(now)
        else:
            self.due, self.note = now + state.left, ""

    def over(self, status: str) -> None:
        """All its calls have ended: what they came to counts, whatever was said of the batch before."""
        self.status, self.note = status, ""
        self.succeeded, self.failed = self.good, self.total - self.good

    def progress(self, now: float) -> BatchProgress:
        """How far it is."""
        return BatchProgress(
            self.entry.id,
            ", ".join(self.entry.models),
            self.status,
            self.total,
            self.succeeded,
            self.failed,
            round(self.age + now - self.sent, 6),
            self.note,
            self.entry.nonce,
        )
