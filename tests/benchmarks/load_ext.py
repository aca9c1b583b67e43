"""What `%load_ext parallm_magics` costs a notebook's start, what it leaves alone, and the first cell."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench import MODELS, Cell, Figure, Kernel, Server, table

ROUNDS = 21
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


def main() -> str:
    """Measure and give out the table."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        load(f"{folder}/warm")  # compiles and reads the files once
        cpu, wall, modules, tried, output = zip(
            *(load(f"{folder}/{n}") for n in range(ROUNDS)), strict=True
        )
    return table(
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


if __name__ == "__main__":
    print(main())
