"""A provider of batches that does as a test says, and knows the truth of what it was sent."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parallm_magics.core.batches import (
    Batches,
    BatchLimits,
    BatchRequest,
    BatchResult,
    BatchState,
    BatchUnsentError,
)
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, FaultKind, Task, Usage

USED = Usage(10, 0, 0, 5)


def said(task: Task) -> Reply:
    """What is answered to a task."""
    terms = (("service_tier", "batch"),)
    return Reply(f"answer to {task.prompt}", usage=USED, model="m", terms=terms)


@dataclass(eq=False)
class Made:
    """A batch as its provider has it."""

    id: str
    nonce: str
    tasks: dict[str, Task]
    at: float
    status: str = "under way"
    why: str = ""
    passing: bool = False
    results: list[BatchResult] = field(default_factory=list)


@dataclass(eq=False)
class FakeBatches:
    """Takes batches and ends them after `seconds`.

    Attributes:
        limits: what one batch may hold.
        keeps_nonce: whether it tells nonces.
        drops_nonces: whether it tells none all the same.
        seconds: how long a batch takes.
        end: what becomes of a task.
        faults: by method, what its next calls raise; of `create`, "lost" makes the batch and loses the answer.
        made: all batches, in order.
        broken: how many results come before the reading breaks off; by reading.
        point: called wherever a crash may happen.
        refusals: what `create` makes of the next batches: why they are refused, and whether for now.
        before: seconds of the loops before this one.
    """

    limits: BatchLimits = field(default_factory=lambda: BatchLimits(100_000, 10**9))
    keeps_nonce: bool = True
    drops_nonces: bool = False
    seconds: float = 60.0
    end: Callable[[Task], Reply | CallFailed] = said
    faults: dict[str, list[Any]] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    broken: list[int] = field(default_factory=list)
    point: Callable[[str], None] = lambda where: None
    refusals: list[tuple[str, bool]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    numbers: Any = field(default_factory=itertools.count)
    before: float = 0.0

    simulated = False
    local = False
    address = ""
    account = "a fake account"

    def batches(self) -> Batches:
        """Itself."""
        return self

    def check(self, task: Task) -> None:
        """Everything can be done here."""

    def caches(self, task: Task) -> bool:
        """Nothing is cached."""
        return False

    async def prepare(self) -> None:
        """Nothing to import."""

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Whatever goes in a batch is asked in no other way."""
        raise AssertionError(task.name)

    async def close(self) -> None:
        """Nothing to give back."""

    def times_asked(self) -> Counter[str]:
        """How often each request was taken, whatever the batch: its id without the nonce."""
        return Counter(name[17:] for batch in self.made.values() for name in batch.tasks)

    def size(self, request: BatchRequest) -> int:
        """Its prompt alone."""
        return len(request.task.prompt)

    async def newest(self) -> str | None:
        """The last one."""
        await self._call("newest")
        return next(reversed(self.made), None)

    async def create(self, requests: Sequence[BatchRequest], nonce: str) -> BatchState:
        """Take a batch."""
        lost = await self._call("create")
        made = Made(
            f"batch_{next(self.numbers)}", nonce, {r.id: r.task for r in requests}, self.now()
        )
        assert len(made.tasks) == len(requests)
        assert len(requests) <= self.limits.requests
        if self.refusals:
            made.why, made.passing = self.refusals.pop(0)
            made.status = "refused"
            made.tasks.clear()
        made.results = [BatchResult(name, self.end(task)) for name, task in made.tasks.items()]
        self.made[made.id] = made
        self.point("created")
        await asyncio.sleep(1)
        self.point("create answered")
        if lost:
            raise CallFailed(Fault("connection", "the connection broke"))
        return self._state(made)

    async def state(self, batch: str) -> BatchState:
        """How far it is."""
        await self._call("state")
        return self._state(self._known(batch))

    async def listed(self, after: str | None) -> AsyncIterator[BatchState]:
        """The newer ones."""
        await self._call("listed")
        for made in reversed([*self.made.values()]):
            if made.id == after:
                return
            yield self._state(made)

    async def results(
        self, batch: BatchState, tasks: Sequence[BatchRequest]
    ) -> AsyncIterator[BatchResult]:
        """What has become of its requests."""
        await self._call("results")
        most = self.broken.pop(0) if self.broken else None
        for count, (name, end) in enumerate(self._known(batch.id).results):
            if count == most:
                raise CallFailed(Fault("cut", "the file breaks off"))
            self.point("result")
            yield BatchResult(name, replace(end) if isinstance(end, Reply) else end)
            await asyncio.sleep(0)

    async def cancel(self, batch: str) -> BatchState:
        """End it: what is not done by now never will be."""
        await self._call("cancel")
        made = self._known(batch)
        self._cancel(made)
        return self._state(made)

    def now(self) -> float:
        """The time, whichever loop it passes on."""
        return self.before + asyncio.get_running_loop().time()

    def _cancel(self, made: Made) -> None:
        over = CallFailed(Fault("cancelled", "the batch was cancelled"))
        made.status, made.results = "ended", [BatchResult(name, over) for name in made.tasks]

    def _known(self, batch: str) -> Made:
        if batch not in self.made:
            raise CallFailed(Fault("bad_request", "no such batch", http=404))
        return self.made[batch]

    def _state(self, made: Made) -> BatchState:
        if made.status == "under way" and self.now() >= made.at + self.seconds:
            made.status = "ended"
        return BatchState(
            made.id,
            made.status,  # type: ignore[arg-type]
            len(made.tasks),
            nonce=made.nonce if self.keeps_nonce and not self.drops_nonces else "",
            why=made.why,
            passing=made.passing,
        )

    async def _call(self, method: str) -> bool:
        """Arrive, or fail before; whether the answer is to be lost."""
        self.calls[method] += 1
        self.point(method)
        await asyncio.sleep(0.1)
        self.point(f"{method} arrives")
        if faults := self.faults.get(method):
            fault = faults.pop(0)
            if isinstance(fault, CallFailed):
                raise fault
            return fault == "lost"
        return False


def failed(kind: FaultKind, **more: Any) -> CallFailed:
    """A failure that leaves open what has happened."""
    return CallFailed(Fault(kind, f"{kind} happened", **more))


def unsent(kind: FaultKind, **more: Any) -> CallFailed:
    """A failure after which nothing was taken."""
    return BatchUnsentError(Fault(kind, f"{kind} happened", **more))
