"""The calls of a job, read into chunks no faster than these are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from parallm_magics.cluster.chunk_sizes import LARGEST_TEXT
from parallm_magics.cluster.open_calls import OpenCalls
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Fault, Record, Task
from parallm_magics.engine.admission import Source
from parallm_magics.engine.jobs import Job

FLUSH_SECONDS = 0.1
"""For so long a chunk waits for further calls of a slow source."""
READ_SECONDS = 0.01
"""How long calls are taken from their source before others may run."""


class ChunkReader:
    """Takes calls from their source until they make a chunk."""

    def __init__(
        self,
        job: Job,
        calls: OpenCalls,
        shut: Callable[[Model], Fault | None],
        wake: Callable[[], None],
    ) -> None:
        """Take whose calls they are.

        Args:
            calls: takes those that need not be sent.
            shut: why no call to a model can succeed any more.
            wake: told when a source that must be awaited has more.
        """
        self._source = Source(job.calls, wake, job.slots.clock)
        self._loop = asyncio.get_running_loop()
        self._job, self._calls, self._shut = job, calls, shut
        self._buffer: list[Task] = []
        self._length = 0
        self._buffered_at = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be sent."""
        return self._source.ended and not self._buffer

    def read(self, size: int) -> tuple[list[Task], float | None]:
        """The calls of the next chunk; or none, and the seconds until it is to be looked again.

        Raises:
            Exception: what the source raised.
        """
        until = self._loop.time() + READ_SECONDS
        while len(self._buffer) < size and self._length < LARGEST_TEXT:
            if self._loop.time() > until:
                return [], 0.0
            call = self._source.take()
            if call is None:
                left = self._buffered_at + FLUSH_SECONDS - self._loop.time()
                if not self._buffer or not (self._source.ended or left <= 0):
                    return [], left if self._buffer else None
                break
            if isinstance(call, Record):
                self._calls.known(call)
            elif fault := self._shut(call.model):
                self._calls.refuse(call, fault)
            else:
                self._buffered_at = self._buffered_at if self._buffer else self._loop.time()
                self._buffer.append(call)
                self._length += len(call.prompt)
        tasks, self._buffer, self._length = self._buffer, [], 0
        return tasks, 0.0

    def drain(self, fault: Fault) -> float | None:
        """Send no further call: each gets its record, or is not even read; seconds until the next look."""
        until = self._loop.time() + READ_SECONDS
        buffer, self._buffer, self._length = self._buffer, [], 0
        for task in buffer:
            self._calls.refuse(task, fault)
        if not self._job.rules.drain:
            self._source.ended = True
        while not self._source.ended:
            call = self._source.take()
            if isinstance(call, Record):
                self._calls.known(call)
            elif call is not None:
                self._calls.refuse(call, fault)
            if self._loop.time() > until:
                return 0.0
            if call is None and self._source.waits:
                return None
        return None

    async def close(self) -> None:
        """Read no more."""
        if self._source.reading is not None:
            await self._source.close(self._source.reading)
