"""An interrupt is meant for the notebook alone: the worker processes beside it go on.

Jupyter and terminals send it to a whole group of processes, and the processes of a LocalCluster are in the
group of the kernel that has started it. They would all end, and nobody would start them again.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading


def stand_interrupts() -> None:
    """Let interrupts pass by a worker process that another process looks after, and so ends too.

    To be called on the loop of a worker, which runs in the main thread of such a process.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def dask_setup(worker: object) -> None:
    """Do it when a worker begins; Dask looks for this name in a module that is preloaded."""
    stand_interrupts()
