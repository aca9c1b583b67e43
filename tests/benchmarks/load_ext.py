"""What `%load_ext parallm_magics` costs a notebook's start, what it leaves alone, and the first cell."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from bench import MODELS, Cell, Figure, Kernel, Server, table

ROUNDS, FIRST_CELLS = 21, 5
ABOUT = (
    "CPU of `%load_ext parallm_magics` in a fresh process, IPython and ipywidgets imported before. "
    "Sockets are refused and counted; modules are SDKs and their transports in `sys.modules` "
    "afterwards; output is what reached stdout and stderr."
)
PROGRAM = """
import json, socket, sys, time
import IPython, ipywidgets
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
tried = []
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        tried.append(event)
        raise OSError("no network in this benchmark")
sys.addaudithook(refuse)
wall, cpu = time.perf_counter(), time.process_time()
shell.run_line_magic("load_ext", "parallm_magics")
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
heavy = ("anthropic", "openai", "httpx2", "httpx", "aiohttp", "genai_prices")
with open(sys.argv[1], "w") as file:
    json.dump([cpu, wall, [name for name in heavy if name in sys.modules], tried], file)
"""


def load(path: str) -> tuple[float, float, int, int, int]:
    """CPU, wall time, modules, sockets and characters of output of one fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True
    )
    with open(path) as file:
        cpu, wall, modules, tried = json.load(file)
    return cpu, wall, len(modules), len(tried), len(done.stdout) + len(done.stderr)


READING = 5
WORKERS, CALL = 3, 50


def first_cell(dialect: str) -> tuple[Cell, float]:
    """The first cell of a session, and how late the loop was at most in the seconds before it.

    A new kernel in which this dialect is the chosen model's; the extension is loaded, so many seconds
    pass, and so many workers are asked.
    """
    model = f"{dialect}:{MODELS[dialect]}"
    with Server(CALL) as server, Kernel(server.environment() | {"PARALLM_MODEL": model}) as kernel:
        kernel.run("_meanwhile = _Lag()\n_meanwhile.begin()")
        time.sleep(READING)
        late = kernel.run("_meanwhile.end()", "_meanwhile.largest").value
        cell = kernel.run(f"%%fanout -n {WORKERS} -o run\nSay something.", "len(run.succeeded)")
    assert cell.value == WORKERS, "a worker failed"
    return cell, late


BEATS = """
import asyncio, threading
_late = []
async def _beat():
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        _late.append(loop.time() - due)
_beating = asyncio.ensure_future(_beat())
%config ParallmMagics.preload = PRELOAD
"""
ENDED = "not any(each.name == 'parallm_magics preload' for each in threading.enumerate())"


def meanwhile(dialect: str, preload: bool) -> tuple[float, float, float, float]:
    """How late the loop is while the import goes on, and how long the first cell takes right at its beginning.

    Returns:
        Median and largest lateness of a timer of 5 ms, in the two seconds after the model is chosen; the first
        cell 5 s after that; and in another kernel the first cell at once. All in seconds.
    """
    choose = f"%config ParallmMagics.model = '{dialect}:{MODELS[dialect]}'"
    ask = f"%%fanout -n {WORKERS}\nSay something."
    with Server(CALL) as server:
        with Kernel(server.environment()) as kernel:
            kernel.run(BEATS.replace("PRELOAD", str(preload)))
            kernel.run(f"{choose}\n_late.clear()")
            time.sleep(2)
            late = kernel.run("_beating.cancel()", "_late").value
            while not kernel.run("", ENDED).value:
                time.sleep(0.1)
            time.sleep(READING - 2)
            after = kernel.run(ask).outside
        with Kernel(server.environment()) as kernel:
            kernel.run(BEATS.replace("PRELOAD", str(preload)))
            kernel.run("_beating.cancel()")
            kernel.run(choose)
            at_once = kernel.run(ask).outside
    return statistics.median(late), max(late), after, at_once


MEANWHILE = (
    f"The first cell of a session: {WORKERS} workers, {CALL} ms each, in a fresh kernel; on the client's side. "
    "Lateness is that of a timer of 5 ms on the kernel's loop in the two seconds after the model is chosen."
)


def first_cells() -> str:
    """The first cell with what it needs imported beforehand, and without, in turn."""
    figures = []
    for dialect in MODELS:
        found: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
        for _ in range(FIRST_CELLS):
            for preload, each in found.items():
                each.append(meanwhile(dialect, preload))
        for preload, each in found.items():
            median, largest, after, at_once = zip(*each, strict=True)
            how = f"{dialect}, {'imported beforehand' if preload else 'preload off'}"
            target = 0.8 if preload else None
            figures += [
                Figure(f"{how}: first cell {READING} s later, s", after, target),
                Figure(f"{how}: first cell at once, s", at_once),
                Figure(f"{how}: median lateness of the loop, s", median, digits=4),
                Figure(f"{how}: largest lateness of the loop, s", largest),
            ]
    return table("First cell", MEANWHILE, figures)


def main() -> str:
    """Measure and give out the tables."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        load(f"{folder}/warm")  # compiles and reads the files once
        cpu, wall, modules, tried, output = zip(
            *(load(f"{folder}/{n}") for n in range(ROUNDS)), strict=True
        )
    loading = table(
        "Loading",
        ABOUT,
        [
            Figure("CPU seconds", cpu, 0.10),
            Figure("wall seconds", wall),
            Figure("SDK modules imported", modules, 0, whole=True, digits=0),
            Figure("sockets tried", tried, 0, whole=True, digits=0),
            Figure("characters of output", output, 0, whole=True, digits=0),
        ],
    )
    return f"{loading}\n{first_cells()}"


if __name__ == "__main__":
    print(main())
