"""A Dask cluster of processes that a test starts and kills one by one; nothing of it is in the kernel.

with DaskProcesses(2, environment) as cluster:
    cluster.address           # for %parallm dask ADDRESS
    cluster.kill_worker()     # SIGKILL; nobody starts it again
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Self

SCHEDULER = """
import asyncio
from distributed import Scheduler
async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(main())
"""
WORKER = """
import asyncio, sys
from distributed import Worker
async def main():
    async with Worker(sys.argv[1], nthreads=1, host="127.0.0.1", dashboard=False) as worker:
        print(worker.address, flush=True)
        await worker.finished()
asyncio.run(main())
"""


class DaskProcesses:
    """A scheduler and workers, each in a process of its own; a context manager.

    Attributes:
        address: of the scheduler.
        workers: the processes of the workers that were not killed.
    """

    def __init__(self, workers: int, environment: Mapping[str, str]) -> None:
        self._count, self._environment = workers, dict(environment)
        self.address, self.workers = "", list[subprocess.Popen[str]]()

    def __enter__(self) -> Self:
        self.scheduler, self.address = self._started(SCHEDULER)
        for _ in range(self._count):
            self.add_worker()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.communicate()

    def add_worker(self) -> None:
        """One more."""
        self.workers.append(self._started(WORKER, self.address)[0])

    def kill_worker(self) -> None:
        """End a worker at once."""
        process = self.workers.pop()
        process.kill()
        process.communicate()

    def kill_scheduler(self) -> None:
        """End the scheduler at once."""
        self.scheduler.kill()

    def _started(self, program: str, *words: str) -> tuple[subprocess.Popen[str], str]:
        """The process, and the address that it says."""
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        return process, process.stdout.readline().strip()
