"""Batches that ask no model: they take their time by the run's clock, and answer as single calls do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from parallm_magics.core.batches import (
    AT_BATCH_PRICE,
    BatchLimits,
    BatchRequest,
    BatchResult,
    BatchState,
)
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Fault, Task, Usage
from parallm_magics.engine.clock import Clock, running_clock
from parallm_magics.simulation.draws import stream
from parallm_magics.simulation.sim_settings import read_settings

SHORTEST, LONGEST = 20 * 60.0, 60 * 60.0
NAME = "simbatch_"

Answer = Callable[[Task], Awaitable[Reply | CallFailed]]
"""How a simulated call ends."""


@dataclass(slots=True)
class _Batch:
    """One batch.

    Attributes:
        clock: by which it runs.
        created, ends: by that clock.
        scale: seconds of that clock in a simulated one.
        requests: how many it holds.
        nonce: what it was sent with.
        cancelled: whether it was ended early.
    """

    clock: Clock
    created: float
    ends: float
    scale: float
    requests: int
    nonce: str
    cancelled: bool = False

    def state(self, name: str) -> BatchState:
        """How far it is; its requests end one after the other."""
        now = self.ends if self._is_past() else min(self.clock.now(), self.ends)
        length = self.ends - self.created
        done = int(self.requests * (now - self.created) / length) if length else self.requests
        return BatchState(
            name,
            "ended" if now >= self.ends else "under way",
            self.requests,
            0 if self.cancelled else done,
            done if self.cancelled else 0,
            nonce=self.nonce,
            why="the batch was cancelled" if self.cancelled else "",
            left=self.ends - now,
        )

    def _is_past(self) -> bool:
        """Whether its run, and with it its clock, is over."""
        return self.clock.virtual and self.clock is not running_clock()


class SimulatedBatches:
    """The batch API of a simulated provider: a batch takes 20 to 60 simulated minutes.

    Its answers follow from the requests alone. So a batch of another kernel, of which nothing is known
    here, has ended and can be read.

    Attributes:
        limits: what one batch may hold.
        keeps_nonce: whether a batch can be known by its nonce in the list.
    """

    limits = BatchLimits(100_000, 256_000_000)
    keeps_nonce = True

    def __init__(self, answer: Answer) -> None:
        """Take how a call ends, time aside."""
        self._answer = answer
        self._made: dict[str, _Batch] = {}

    def size(self, request: BatchRequest) -> int:
        """Bytes of one request: its texts."""
        task = request.task
        return len(task.prompt.encode("utf-8", "replace")) + len((task.system or "").encode())

    async def newest(self) -> str | None:
        """The id of the newest batch."""
        return next(reversed(self._made), None)

    async def create(self, requests: Sequence[BatchRequest], nonce: str) -> BatchState:
        """Begin a batch; how long it takes follows from its size and its first request."""
        clock, first = running_clock(), requests[0].task
        drawn = stream("batch", len(requests), first.prompt, first.sample, first.seed)
        seconds = round(SHORTEST + (LONGEST - SHORTEST) * drawn.random())
        scale = 1.0 if clock.virtual else read_settings(first.model).scale
        now = clock.now()
        name = f"{NAME}{nonce}"
        self._made[name] = _Batch(clock, now, now + seconds * scale, scale, len(requests), nonce)
        return self._made[name].state(name)

    async def state(self, batch: str) -> BatchState:
        """How far a batch is."""
        if known := self._made.get(batch):
            return known.state(batch)
        if batch.startswith(NAME):
            return BatchState(batch, "ended", nonce=batch.removeprefix(NAME), left=0.0)
        raise CallFailed(Fault("bad_request", f"there is no batch {one_line(batch, 80)}", http=404))

    async def listed(self, after: str | None) -> AsyncIterator[BatchState]:
        """The batches that were made after this one, the newest first; all where it is None or gone."""
        for name in reversed(tuple(self._made)):
            if name == after:
                return
            yield self._made[name].state(name)

    async def results(
        self, batch: BatchState, tasks: Sequence[BatchRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results of a batch that has ended."""
        known = self._made.get(batch.id)
        for request in tasks:
            if known is not None and known.cancelled:
                fault = Fault("cancelled", "the batch was cancelled before this request was done")
                yield BatchResult(request.id, CallFailed(fault, usage=Usage()))
                continue
            end = await self._answer(replace(request.task, stream=False))
            if isinstance(end, Reply):
                end = replace(end, terms=AT_BATCH_PRICE)
            yield BatchResult(request.id, end)

    async def cancel(self, batch: str) -> BatchState:
        """End a batch at once; nothing of it is done then."""
        known = self._made.get(batch)
        if known is not None and (now := known.clock.now()) < known.ends:
            known.ends, known.cancelled = max(now, known.created), True
        return await self.state(batch)
