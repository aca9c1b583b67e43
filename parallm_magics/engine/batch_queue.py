"""Calls that are in no batch yet, and how many of them the next batch takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from parallm_magics.core.batch_entries import Asked
from parallm_magics.core.batches import Batches, BatchRequest
from parallm_magics.core.provider import CallFailed, Provider
from parallm_magics.core.tasks import Fault, Task
from parallm_magics.engine.batch_ids import request_id
from parallm_magics.engine.batch_records import BatchRecords
from parallm_magics.engine.batch_waiting import Waiting

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
GROWTH = 1.5


@dataclass(slots=True, eq=False)
class Queue:
    """The calls that may be in one batch with each other.

    Attributes:
        api: where their batches go.
        provider: who answers for them.
        name: the name of that provider.
        calls: what waits, in the cell's order, with how recordings know it.
        most: most requests of the next batch, where the provider has refused more.
        ready: the run's time before which nothing is sent.
        pause: seconds to wait after the next refusal.
        refusals: how often in a row the provider has refused a batch for now.
        since: the run's time of the first of several failures to send; None after a success.
        ended: how many batches of the run must have ended before the next one is sent.
        short: whether the caps on cost leave no room for the next call now.
        note: why nothing is sent now; "" where nothing hinders it.
    """

    api: Batches
    provider: Provider
    name: str
    calls: deque[tuple[Task, Asked]] = field(default_factory=deque)
    most: int | None = None
    ready: float = 0.0
    pause: float = FIRST_PAUSE
    refusals: int = 0
    since: float | None = None
    ended: int = 0
    short: bool = False
    note: str = ""

    def put_back(self, calls: list[tuple[Task, Asked]]) -> None:
        """Let these calls be the next ones."""
        self.calls.extendleft(reversed(calls))

    def wait(self, now: float, note: str, least: float = 0.0) -> None:
        """Send nothing for a while, longer each time."""
        self.ready, self.note = now + max(self.pause, least), note
        self.pause = min(self.pause * GROWTH, LONGEST_PAUSE)
        self.since = now if self.since is None else self.since

    def went(self) -> None:
        """A batch was taken."""
        self.pause, self.since, self.note = FIRST_PAUSE, None, ""

    async def chunk(
        self, nonce: str, records: BatchRecords, open_ones: set[Asked], waiting: Waiting
    ) -> Chunk:
        """Take the calls of the next batch; what each can cost at most is set aside.

        Calls that can never be made end here.

        Args:
            open_ones: requests that another batch of the run holds: the same one waits for its end.
            waiting: lets others run meanwhile.

        Raises:
            Stopped: somebody has stopped the run.
        """
        chunk, later = Chunk(nonce), list[tuple[Task, Asked]]()
        limits, self.short = self.api.limits, False
        most = limits.requests if self.most is None else min(self.most, limits.requests)
        while self.calls and len(chunk.requests) < most:
            await waiting.breathe()
            waiting.go_on()
            task, asked = self.calls[0]
            request = BatchRequest(request_id(chunk.nonce, asked), task)
            if asked in open_ones or request.id in chunk.requests:
                later.append(self.calls.popleft())
                continue
            size = self._size(request)
            if isinstance(size, Fault):
                self.calls.popleft()
                records.not_asked(task, size)
                continue
            if chunk.bytes + size > limits.bytes:
                break
            if (why_not := records.hold(task)) is not None:
                self.short = not why_not
                if self.short:
                    break
                self.calls.popleft()
                records.not_asked(task, Fault("budget", why_not))
                continue
            chunk.requests[request.id] = self.calls.popleft()
            chunk.bytes += size
        self.put_back(later)
        return chunk

    def _size(self, request: BatchRequest) -> int | Fault:
        """Bytes of a request, or why no batch can hold it."""
        try:
            size = self.api.size(request)
        except CallFailed as error:
            return error.fault
        if size <= (most := self.api.limits.bytes):
            return size
        return Fault("too_large", f"the request has {size:,} bytes, and a batch holds {most:,}")


@dataclass(slots=True)
class Chunk:
    """What one batch is to hold.

    Attributes:
        nonce: tells it from all other batches.
        requests: its calls, by the names of their requests.
        bytes: of all of them as they are sent.
    """

    nonce: str
    requests: dict[str, tuple[Task, Asked]] = field(default_factory=dict)
    bytes: int = 0
