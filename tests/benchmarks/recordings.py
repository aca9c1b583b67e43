"""What a large file of recordings costs, and what a replay of a notebook does."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import nbformat
from bench import OURS, Figure, Server, table
from nbformat.v4 import new_code_cell, new_notebook

from parallm_magics.core.tasks import Model, Record, Task, Usage
from parallm_magics.recordings.store import Recordings

ROUNDS = 5
ENTRIES = 10_000
TEXT = 10_000  # characters of a prompt: a file of about 100 MB
FEW = 200
WORKERS = 20
ABOUT = (
    f"A file of {ENTRIES:,} entries with prompts of {TEXT:,} characters. Loading is the first look at "
    f"it; a look-up serves one of {FEW} entries spread over it, as a record; an append is one of {FEW} "
    "new entries, beside the same into a file that was empty. A replay is `jupyter execute` of a "
    f"notebook with one cell of {WORKERS} workers that a real SDK's client has recorded, run with "
    "PARALLM_RECORDINGS=replay, without keys, and with Python's sockets kept from connecting; beside a "
    "notebook whose cell is `pass`."
)
# The kernel's own messages do not go through Python's sockets.
BLOCKED = """
import socket
def refuse(self, address):
    open("connects", "a").write(f"{address}\\n")
    raise SystemExit("a connection in a replay")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
"""
CELL = (
    "%load_ext parallm_magics\n%parallm recordings answers.jsonl",
    "%%fanout -m claude-haiku-5-5 --each docs -o run\nRead {{item}}.",
)


def task(number: int) -> Task:
    """One of many requests."""
    return Task(number, f"w{number}", Model("openai", "m"), f"{number} {'x' * TEXT}")


def record(number: int) -> Record:
    """Its answer."""
    return Record(
        number, f"w{number}", "ok", "openai:m", "fine", usage=Usage(9, 0, 0, 1), seconds=1
    )


def filled(path: Path, entries: int) -> None:
    """A file of so many entries."""
    store = Recordings(path)
    for number in range(entries):
        store.add(task(number), record(number))


def appended(path: Path, first: int) -> float:
    """Milliseconds that one of a few new entries takes."""
    store = Recordings(path)
    store.catch_up()
    while store.catch_up():
        pass
    began = time.perf_counter()
    for number in range(first, first + FEW):
        store.add(task(number), record(number))
    return (time.perf_counter() - began) * 1000 / FEW


def large(folder: Path) -> list[Figure]:
    """The figures of a large file."""
    path = folder / "large.jsonl"
    filled(path, ENTRIES)
    loads, finds, slow, appends, fresh = [], [], [], [], []
    for turn in range(ROUNDS):
        store = Recordings(path)
        began = time.perf_counter()
        while store.catch_up():
            pass
        loads.append(time.perf_counter() - began)
        each = []
        for number in range(0, ENTRIES, ENTRIES // FEW):
            began = time.perf_counter()
            assert store.find(task(number)) is not None
            each.append((time.perf_counter() - began) * 1000)
        finds.append(sum(each) / len(each))
        slow.append(max(each))
        appends.append(appended(path, ENTRIES + turn * FEW))
        fresh.append(appended(folder / f"fresh{turn}.jsonl", 0))
    size = path.stat().st_size / 1e6
    return [
        Figure("seconds to load", loads, 1, whole=True),
        Figure("ms of a look-up", finds, 5, whole=True),
        Figure("ms of the slowest look-up", slow),
        Figure("ms of an append", appends),
        Figure("ms of an append to an empty file", fresh),
        Figure(
            "append / append to an empty file",
            [a / b for a, b in zip(appends, fresh, strict=True)],
            1.5,
        ),
        Figure("MB of the file", [size], digits=0),
    ]


def executed(folder: Path, name: str, env: dict[str, str]) -> float:
    """Seconds that a notebook takes from the command to its end."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", name],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - began


def write(path: Path, *cells: str) -> None:
    """A notebook of these cells."""
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)


def replayed(folder: Path) -> list[Figure]:
    """The figures of a replay."""
    docs = f"docs = [f'document {{n}}' for n in range({WORKERS})]"
    write(folder / "live.ipynb", docs, *CELL)
    write(folder / "replay.ipynb", docs + BLOCKED, *CELL, "assert len(run) == 20")
    write(folder / "empty.ipynb", "pass")
    with Server(50) as server:
        env = server.environment() | {"PARALLM_LIVE": "0"}
        executed(folder, "live.ipynb", env)
        asked = server.count()
        replay = {name: value for name, value in env.items() if not name.startswith(OURS)}
        replay |= {"PARALLM_LIVE": "0", "PARALLM_RECORDINGS": "replay"}
        pairs = [
            (executed(folder, "replay.ipynb", replay), executed(folder, "empty.ipynb", replay))
            for _ in range(ROUNDS)
        ]
        calls = server.count() - asked
    connects = folder / "connects"
    tried = len(connects.read_text().splitlines()) if connects.exists() else 0
    return [
        Figure(
            "replay: seconds over 1.1 x an empty notebook's", [a - 1.1 * b for a, b in pairs], 1
        ),
        Figure("replay: seconds", [a for a, _ in pairs]),
        Figure("an empty notebook: seconds", [b for _, b in pairs]),
        Figure("replay: connections tried", [tried], 0, whole=True, digits=0),
        Figure("replay: calls that reached a provider", [calls], 0, whole=True, digits=0),
    ]


def main() -> str:
    """Measure and give out the table."""
    with tempfile.TemporaryDirectory() as folder:
        found = [*large(Path(folder)), *replayed(Path(folder))]
    return table("Recordings", ABOUT, found)


if __name__ == "__main__":
    print(main())
