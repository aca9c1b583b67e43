"""How soon an interrupt gives the notebook back, and what it leaves behind."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

from bench import MODELS, Figure, Kernel, Server, Stalls, table

MOMENTS = 100  # for each dialect
WORKERS = 20
CALL = 400  # milliseconds
# How the workers are asked, and how many seconds that lasts at least: all at once, or half of them waiting,
# so that something could still be sent afterwards.
SETTINGS = (("", 0.4), ("-c 10 ", 0.8), ("-c 10 --stream off ", 0.8))
LATER_CELLS = 10
AFTERWARDS = 0.3
ABOUT = (
    f"SIGINT at a random moment of a run of {WORKERS} workers of 400 ms in a real kernel (all at "
    "once, or 10 at a time, streamed or not): seconds until the kernel reports idle; tasks on its "
    "loop that were not there before; requests that reach the server between idle and "
    f"{AFTERWARDS:g} s later; whether the kernel lives and ten later cells and another run are fine. "
    "Moments lie between the kernel's report that it is busy and the last worker's earliest end: in "
    "the milliseconds after a cell, while the kernel itself flushes its output and sends its reply, "
    "an interrupt makes ipykernel 7.4 lose that reply, whatever the cell was."
)
TASKS = "import asyncio; _tasks = [repr(t) for t in asyncio.all_tasks()]"
LATER = f"%%fanout -m sim:?scale=0 -n {WORKERS} -o later\nSay something."


def interrupted(
    kernel: Kernel, server: Server, dialect: str, setting: str, after: float
) -> tuple[float, int, int, bool, str]:
    """Seconds, tasks left, requests afterwards, whether later cells are fine, how the cell ended."""
    before = kernel.run(TASKS, "len(_tasks)").value
    sent: list[float] = []

    def send() -> None:
        sent.append(time.monotonic())
        os.kill(kernel.pid, signal.SIGINT)

    timer = threading.Timer(after, send)
    end = kernel.run(
        f"%%fanout -m {dialect}:{MODELS[dialect]} -n {WORKERS} {setting}-o run\nSay something.",
        fine=False,
        began=timer.start,
    )
    timer.join()
    seconds = end.idle - sent[0]
    time.sleep(AFTERWARDS)
    requests = server.calls_since(end.idle)
    left = kernel.run(TASKS, "len(_tasks)", fine=False)
    later = [kernel.run(f"{n} + 1", "_", fine=False).value for n in range(LATER_CELLS)]
    again = kernel.run(LATER, "len(later.succeeded)", fine=False).value
    fine = kernel.alive and later == list(range(1, LATER_CELLS + 1)) and again == WORKERS
    return seconds, (left.value or 0) - before, requests, fine, end.error


def main() -> str:
    """Measure and give out the table."""
    chance = random.Random(1)
    found = []
    stalls = []
    with Server(CALL) as server:
        for dialect in MODELS:
            with Kernel(server.environment()) as kernel:
                kernel.run(f"%%fanout -m {dialect}:{MODELS[dialect]} -n {WORKERS}\nSay something.")
                for n in range(MOMENTS):
                    setting, lasts = SETTINGS[n % len(SETTINGS)]
                    after = chance.uniform(0, lasts)
                    with Stalls() as stall:
                        found.append(interrupted(kernel, server, dialect, setting, after))
                    stalls.append(stall.longest)
    seconds, left, requests, fine, ends = zip(*found, strict=True)
    return table(
        "Interrupt",
        ABOUT,
        [
            Figure("seconds until idle", seconds, 0.5, whole=True),
            Figure("longest stall of a sleeping thread meanwhile, seconds", stalls),
            Figure("tasks left", left, 0, whole=True, digits=0),
            Figure("requests afterwards", requests, 0, whole=True, digits=0),
            Figure("later cells not fine", [not f for f in fine], 0, whole=True, digits=0),
            Figure(
                "cells that ended in no interrupt",
                [end != "KeyboardInterrupt" for end in ends],
                0,
                whole=True,
                digits=0,
            ),
        ],
    )


if __name__ == "__main__":
    print(main())
