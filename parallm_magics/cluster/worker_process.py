"""What runs in a process of a cluster's workers: one event loop in a thread of its own, one set of clients."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from parallm_magics.cluster.interrupts import stand_interrupts
from parallm_magics.cluster.parcels import PROCESS, Chunk, Report, RunTerms, packed, unpacked
from parallm_magics.cluster.worker_run import WorkerRun
from parallm_magics.engine.garbage import FEWER_COLLECTIONS
from parallm_magics.providers import registry
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.registry import Clients

if TYPE_CHECKING:
    from distributed import Worker

ANSWERS = "parallm_answer"
"""The name under which a worker hears what it may use."""


class WorkerProcess:
    """The loop of this process, its clients, and the runs that have a place here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: Clients | None = None
        self._runs: dict[tuple[str, str], WorkerRun] = {}
        self._adopted: dict[str, ProviderEntry] = {}

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that makes the calls, which runs until the process ends."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="parallm calls", daemon=True).start()
            return self._loop

    async def work(self, terms: bytes, number: int, chunk: bytes, worker: Worker) -> None:
        """Make the calls of a chunk, on the loop."""
        opened: Chunk = unpacked(chunk)
        agreed: RunTerms = unpacked(terms)
        if agreed.kernel != PROCESS:
            self._adopt(opened.entries)
        run = self._run_of(agreed, worker)
        try:
            with FEWER_COLLECTIONS:
                await run.work(number, opened)
        finally:
            if not run.chunks:
                self._runs.pop((agreed.run, worker.address), None)

    def take_in(self, run: str, address: str, answer: bytes) -> None:
        """Give an answer of the kernel's to whom it is for, from any thread."""

        def heard() -> None:
            found = self._runs.get((run, address))
            if found is not None:
                found.take_in(unpacked(answer))

        self.loop().call_soon_threadsafe(heard)

    def _run_of(self, terms: RunTerms, worker: Worker) -> WorkerRun:
        at = terms.run, worker.address
        if at not in self._runs:
            from distributed import Status

            self._clients = self._clients or Clients()
            name = f"{worker.address}#{uuid.uuid4().hex[:8]}"

            def send(report: Report) -> None:
                if worker.status in (Status.closed, Status.closing, Status.failed):
                    raise ConnectionError(f"the worker {worker.address} is closed")
                worker.log_event(terms.run, packed(report))

            self._runs[at] = WorkerRun(name, worker.address, terms, self._clients, send)
        return self._runs[at]

    def _adopt(self, entries: tuple[ProviderEntry, ...]) -> None:
        """Take in providers that were named in the notebook."""
        for entry in entries:
            if self._adopted.get(entry.name) != entry:
                registry.adopt(entry)
                self._adopted[entry.name] = entry


_HERE = WorkerProcess()


def run_chunk(terms: bytes, number: int, chunk: bytes) -> None:
    """Make the calls of a chunk; what they come to is published as it ends. This is what Dask runs."""
    from distributed import get_worker, secede

    worker = get_worker()
    worker.handlers[ANSWERS] = _take_answer
    worker.loop.add_callback(stand_interrupts)
    # The thread only waits; its place is free for the next chunk, so that no call waits for the last of this one.
    secede()
    under_way: Future[None] = asyncio.run_coroutine_threadsafe(
        _HERE.work(terms, number, chunk, worker), _HERE.loop()
    )
    with contextlib.suppress(CancelledError):
        under_way.result()


async def _take_answer(run: str, address: str, answer: bytes) -> None:
    """Hear what the kernel says; called by Dask for a broadcast."""
    _HERE.take_in(run, address, answer)
