"""One job on a cluster, as the kernel drives it: what is sent, what is leased, what has come back."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parallm_magics.cluster.chunk_reader import ChunkReader
from parallm_magics.cluster.chunk_sizes import chunk_size, suffices
from parallm_magics.cluster.dask_link import DaskLink
from parallm_magics.cluster.members import Members
from parallm_magics.cluster.open_calls import OpenCalls
from parallm_magics.cluster.parcels import (
    PROCESS,
    RunTerms,
    pack_chunk,
    packed,
)
from parallm_magics.core.tasks import Fault, Record, Task
from parallm_magics.engine.accounts import Worst
from parallm_magics.engine.jobs import Job
from parallm_magics.engine.retries import Rules

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 1.0
"""How often it is looked who is there."""
STOP_SECONDS = 0.7
"""For so long the records of calls that are stopped are waited for."""


class ClusterRun:
    """A job on its way over a cluster. It lives on the loop of whoever awaits it."""

    def __init__(self, client: Client, worst: Worst, job: Job) -> None:
        """Take what is to be done where."""
        self._job, self._clock, self._rules = job, job.slots.clock, job.rules
        self._name = f"parallm-{uuid.uuid4().hex[:12]}"
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._calls = OpenCalls(job)
        self._budget = job.accounts.budget
        rules, virtual = self._rules, self._clock.virtual
        terms = RunTerms(
            self._name,
            PROCESS,
            _on_workers(rules, virtual=virtual),
            job.accounts.price,
            worst,
            self._budget.capped and not virtual,
            self._clock.scale if virtual else None,
            job.tell is not None,
        )
        self._link = DaskLink(client, self._name, self._published, self._changed.set, packed(terms))
        self._members = Members(job, self._calls, self._link)
        self._reader = ChunkReader(job, self._calls, self._members.shut, self._changed.set)
        self._sent = 0
        self._began = self._loop.time()
        self._workers = -1  # nobody has looked yet
        self._wait_until: float | None = None

    async def run(self) -> Sequence[Record]:
        """One record a call, in the calls' order; see `Engine.run`."""
        off = self._job.stop.on_stop(self._stopped)
        looking = asyncio.ensure_future(self._look_around())
        try:
            await self._link.check_versions()
            await self._work()
        except BaseException as error:
            reason = "cancelled" if isinstance(error, asyncio.CancelledError) else "stopped"
            self._job.stop(reason)
            self._stopped()
            raise
        finally:
            off()
            looking.cancel()
            self._link.cancel()
            await self._reader.close()
            self._members.end()
            await self._link.close()
        return self._job.collector.records()

    async def _work(self) -> None:
        """Send what may be sent, until every call has its record."""
        if self._job.stop.reason:
            self._stopped()
        while True:
            self._changed.clear()
            wait = self._fill()
            now = self._loop.time()
            if self._wait_until is not None and now >= self._wait_until:
                self._calls.stop_all(self._fault())
            if self._reader.ended and not self._calls.under_way:
                return
            if self._wait_until is not None:
                wait = self._wait_until - now if wait is None else min(wait, self._wait_until - now)
            back = self._clock.wait_outside()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
            finally:
                back()

    # --- sending ----------------------------------------------------------------------------------

    def _fill(self) -> float | None:
        """Read and send while few calls are under way; seconds until it is to be done again."""
        while True:
            if (fault := self._over()) is not None:
                return self._reader.drain(fault)
            if self._suffices():
                return None
            tasks, wait = self._reader.read(self._size())
            if not tasks:
                return wait
            self._send(tasks)

    def _suffices(self) -> bool:
        """Whether the workers have enough to do until they are heard of again."""
        chunks, calls = len(self._link.futures), self._calls.under_way
        workers, begun = max(self._workers, 1), self._link.answered
        return suffices(self._rules, workers, chunks, calls, begun=begun)

    def _size(self) -> int:
        """How many calls the next chunk has."""
        workers, calls = max(self._workers, 1), self._calls
        seconds = self._loop.time() - self._began
        pace = calls.came / seconds / workers if seconds else 0.0  # a coarse clock stands still
        return chunk_size(self._rules, workers, calls.sent, pace)

    def _send(self, tasks: Sequence[Task]) -> None:
        """Give calls to the cluster."""
        chunk = pack_chunk(tasks)
        if self._job.slots.began is None:
            self._job.slots.began = self._clock.now()
        self._sent += 1
        self._calls.send(self._sent, tasks)
        try:
            self._link.submit(self._sent, chunk, self._chunk_over)
        except Exception as error:  # such as a client that has just been closed
            if self._link.is_up:
                raise
            self._close_chunk(self._sent, self._gone(type(error).__name__))
            self._closed_all()

    def _over(self) -> Fault | None:
        """Why nothing more is sent; None while something may be."""
        if self._job.stop.reason:
            return self._fault()
        if self._members.closed and self._calls.knows_all_models:
            shut = [self._members.shut(model) for model in self._calls.models]
            if all(shut):
                return shut[0]
        return self._calls.out_of_reach()

    def _fault(self) -> Fault:
        return Fault("cancelled", self._job.stop.reason or "not asked")

    def _published(self, data: bytes) -> None:
        """Take in a report."""
        self._members.hear(data)
        self._changed.set()

    def _stopped(self) -> None:
        """The run is stopped: workers end their calls, and their records are waited for a little."""
        if self._wait_until is None:
            self._wait_until = self._loop.time() + STOP_SECONDS
        self._members.stop()
        self._changed.set()

    # --- what became of chunks and workers --------------------------------------------------------

    def _chunk_over(self, number: int, status: str) -> None:
        """Dask has done with a chunk."""
        if status == "finished" or number not in self._link.futures:
            self._close_chunk(number, None)
        elif status == "error":
            self._closing = asyncio.ensure_future(self._explain(number))
        else:
            self._close_chunk(number, self._gone(status))

    async def _explain(self, number: int) -> None:
        """Say why a chunk has failed, or send the rest of it once more.

        Workers may die for other reasons than what they are asked: a chunk of which something has come goes on.
        """
        from distributed.scheduler import KilledWorker

        problem = await self._link.problem(number)
        wanted = isinstance(problem, KilledWorker) and self._over() is None
        if wanted and (left := self._calls.take_back(number)):
            self._link.forget(number)
            self._send(left)
        else:
            self._close_chunk(number, _chunk_fault(problem))

    def _gone(self, status: str) -> Fault:
        if self._job.stop.reason:
            return self._fault()
        if not self._link.is_up:
            return Fault("connection", f"the Dask scheduler at {self._link.address} is gone")
        return Fault("connection", f"Dask gave the call up ({status})")

    def _close_chunk(self, number: int, fault: Fault | None) -> None:
        """A chunk is over: what of it has no record gets one, or was never begun."""
        self._link.forget(number)
        if fault is None and number not in self._members.ended_chunks:
            fault = Fault("connection", "the worker ended without a word of the call")
        left_out = fault is None and not self._rules.drain
        self._calls.close(number, fault, left_out=left_out)
        self._changed.set()

    async def _look_around(self) -> None:
        """Look who is there, as long as the run goes on."""
        alone = False
        while True:
            there = await self._link.workers()
            self._workers = len(there)
            self._members.bury(there)
            if not self._link.is_up:
                for number in list(self._link.futures):
                    self._close_chunk(number, self._gone("lost"))
                self._closed_all()
            elif alone != (self._workers == 0):
                alone = self._workers == 0
                here = (
                    "no worker is connected: waiting for one" if alone else "a worker is connected"
                )
                self._calls.say(f"Dask at {self._link.address}: {here}")
            self._changed.set()
            await asyncio.sleep(LOOK_SECONDS)

    def _closed_all(self) -> None:
        """Nothing can be sent any more."""
        self._calls.give_up(self._gone("lost"))


def _on_workers(rules: Rules, *, virtual: bool) -> Rules:
    """The rules that a worker keeps by itself: how many must succeed is known to the kernel alone."""
    return Rules(
        concurrency=rules.concurrency,
        drain=rules.drain,
        rpm=None if virtual else rules.rpm,
        tpm=None if virtual else rules.tpm,
    )


def _chunk_fault(problem: BaseException | None) -> Fault:
    """Why a chunk has failed, in one line."""
    from distributed.scheduler import KilledWorker

    if isinstance(problem, KilledWorker):
        died = problem.allowed_failures + 1
        return Fault(
            "connection", f"{died} workers died with this call among theirs; see the workers' logs"
        )
    said = " ".join(str(problem).split())[:200]
    return Fault("bug", f"the worker could not make the call ({type(problem).__name__}: {said})")
