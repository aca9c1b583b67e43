"""How soon an interrupt gives the notebook back, wherever it falls, and what it leaves behind."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence

from bench import MODELS, Figure, Kernel, Server, Stalls, table

MOMENTS = 100  # for each dialect
WORKERS = 20
CALL = 400  # milliseconds
# How the workers are asked, and how many seconds that lasts at least: all at once, or half of them waiting,
# so that something could still be sent afterwards.
SETTINGS = (("", 0.4), ("-c 10 ", 0.8), ("-c 10 --stream off ", 0.8))
LATER_CELLS = 10
AFTERWARDS = 0.3  # for a moment after an error the kernel aborts what is sent
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

EACH = 20  # for each kind
LASTS = 0.35  # seconds that the shortest of these cells lasts at least, once its code has begun
SETUP = """
import asyncio, time
from parallm_magics import fanout, vote
alive = "all variables are here"
def slowly(value):
    time.sleep(0.5)
    return value
def answer(task, index):
    return slowly("a")
get_ipython().run_line_magic("parallm", "provider slow --sim answer")
def generated():
    for number in range(60):
        yield slowly(f"text {number}") if number else "text 0"
items = [f"text {number}" for number in range(30)]
labels = ["safe", "unsafe"] * 15
def run(name):
    line = "-m MODEL -n 10 --choices a,b -o " + name
    return get_ipython().run_cell_magic("vote", line, "Say something.")
async def ask(name):
    await asyncio.sleep(0)
    return run(name)
kept = run("kept")
"""
GROUP = """
async with asyncio.TaskGroup() as group:
    for name in ("x", "y"):
        group.create_task(ask(name))
"""
PANEL = "%%fanout -m MODEL -n 20 -c 10 -o run\nSay something."
KINDS = {
    "awaited cell": PANEL,
    "below %%time": f"%%time\n{PANEL}",
    "gathered tasks": "await asyncio.gather(ask('x'), ask('y'))",
    "group of tasks": GROUP,
    "threads": "await asyncio.gather(asyncio.to_thread(run, 'x'), asyncio.to_thread(run, 'y'))",
    "waiting for a next try": "%%fanout -m MODEL --each items -o run\nSay number {{index}}.",
    "awaited code": "await asyncio.gather(*(vote('Say x.', model='MODEL', n=10, choices='a,b') for _ in 'xy'))",
    "slow source": "docs = generated()\nrun_cell = get_ipython().run_cell_magic\n"
    "run_cell('fanout', '-m MODEL --each docs -o run', '{{item}}')",
    "slow answers": "%%fanout -m slow:?scale=0 -n 20 -o run\nSay something.",
    "study of 30 items": "%%vote -m MODEL -n 3 --each items --truth labels --choices safe,unsafe -o run\n"
    "Is it safe? {{item}}",
}
KINDS_ABOUT = (
    f"SIGINT at a random moment, {EACH} times each, of: {', '.join(KINDS)}; calls take {CALL} ms, slow code "
    "0.5 s an item or answer: seconds until the kernel reports idle, whether the process and its variables "
    "are there, whether the cell ended as interrupted and the next one is fine."
)
ENDS = ("KeyboardInterrupt", "CancelledError")


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


def of_workers() -> str:
    """The table of twenty workers."""
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


def stopped(kernel: Kernel, code: str, after: float) -> tuple[float, bool, bool]:
    """Seconds, whether the cell ended as interrupted, whether the kernel and its next cells are fine."""
    sent: list[float] = []

    def send() -> None:
        sent.append(time.monotonic())
        os.kill(kernel.pid, signal.SIGINT)

    timer = threading.Timer(after, send)
    try:
        end = kernel.run(code, fine=False, began=timer.start)
        timer.join()
        time.sleep(AFTERWARDS)
        later = kernel.run("_later = 1", "alive", fine=False).value
        again = kernel.run("%%vote -m sim:?scale=0 -o later\nx", "len(later.results)", fine=False)
    except Exception:  # the kernel is gone, and with it its answer
        return 60.0, False, False
    fine = kernel.alive and later == "all variables are here" and again.value == 3
    return end.idle - sent[0], end.error in ENDS, fine


def of_one_kind(
    server: Server, code: str, moments: Sequence[float]
) -> list[tuple[float, bool, bool]]:
    """The same kind of cell in one kernel; a new one where that has died."""
    found: list[tuple[float, bool, bool]] = []
    left = list(moments)
    while left:
        with Kernel(server.environment()) as kernel:
            kernel.run(SETUP.replace("MODEL", f"anthropic:{MODELS['anthropic']}"))
            while left:
                found.append(stopped(kernel, code, left.pop()))
                if not found[-1][2]:
                    break
    return found


def wherever() -> str:
    """The table of all kinds of cells."""
    chance = random.Random(2)
    found: list[tuple[float, bool, bool]] = []
    rows = []
    with Server(CALL, faulty=1) as server:
        for kind, code in KINDS.items():
            cell = code.replace("MODEL", f"anthropic:{MODELS['anthropic']}")
            ends = of_one_kind(server, cell, [chance.uniform(0, LASTS) for _ in range(EACH)])
            rows.append(Figure(f"{kind}: seconds", [s for s, _, _ in ends], 0.5, whole=True))
            found += ends
    _, ended, fine = zip(*found, strict=True)
    counts = {
        "kernels or next cells not fine": [not each for each in fine],
        "cells that ended in no interrupt": [not each for each in ended],
    }
    rows += [Figure(what, many, 0, whole=True, digits=0) for what, many in counts.items()]
    return table("Interrupt, wherever it falls", KINDS_ABOUT, rows)


def main() -> str:
    """Measure and give out both tables."""
    return f"{of_workers()}\n{wherever()}"


if __name__ == "__main__":
    print(main())
