"""What the benchmarks share: a server, a kernel, the bare loop to compare with, and the table."""

from __future__ import annotations

import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from jupyter_client.manager import start_new_kernel

import parallm_magics

# Models with a price, so that working it out is in the figures.
MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
KEY = "sk-no-key"
# A benchmark's own environment: nothing of the user's settings takes part.
OURS = ("ANTHROPIC_", "OPENAI_", "PARALLM_")
# What the figures depend on besides us.
PACKAGES = ("ipython", "ipykernel", "ipywidgets", "anthropic", "openai", "httpx2", "aiohttp")


def processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def load() -> str:
    """How busy the machine is, in processes that want to run."""
    return f"{os.getloadavg()[0]:.1f}"


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Attributes:
        what: what was measured.
        values: one a round.
        target: at most this; None where the figure is only information.
        whole: whether the target is for every value, not for the median.
        least: whether the target is a lower bound.
        digits: decimals shown.
    """

    what: str
    values: Sequence[float]
    target: float | None = None
    whole: bool = False
    least: bool = False
    digits: int = 3

    @property
    def judged(self) -> float:
        """The value that the target is for."""
        if not self.whole:
            return statistics.median(self.values)
        return min(self.values) if self.least else max(self.values)

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.target is None:
            return ""
        met = self.judged >= self.target if self.least else self.judged <= self.target
        return "meets" if met else "misses"

    def row(self) -> str:
        """As a line of Markdown."""
        numbers = statistics.median(self.values), min(self.values), max(self.values)
        shown = " | ".join(f"{number:.{self.digits}f}" for number in numbers)
        scope = "all " if self.whole else ""
        sign = "≥" if self.least else "≤"
        target = "" if self.target is None else f"{scope}{sign} {self.target:.{self.digits}f}"
        return f"| {self.what} | {len(self.values)} | {shown} | {target} | {self.verdict} |"


def table(title: str, about: str, figures: Sequence[Figure]) -> str:
    """A heading, a paragraph and the figures as Markdown."""
    head = "| | rounds | median | min | max | target | |\n|---|--:|--:|--:|--:|--:|---|"
    return "\n".join([f"## {title}\n", f"{about}\n", head, *(f.row() for f in figures), ""])


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, so that what slows the machine down slows both."""
    return [a / b for a, b in zip(above, below, strict=True)]


class Stalls:
    """How long a thread that only sleeps was kept waiting: the machine's part in what is measured."""

    def __enter__(self) -> Self:
        self.longest = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._end.wait(0.005):
            now = time.monotonic()
            self.longest = max(self.longest, now - before - 0.005)
            before = now


class Server:
    """The scripted provider in another process, each answer so long; a context manager."""

    def __init__(self, milliseconds: float, models: Sequence[str] = (), **more: object) -> None:
        program = str(Path(__file__).with_name("server.py"))
        behaviour = json.dumps({"delay": milliseconds / 1000, **more})
        names = dict.fromkeys((*MODELS.values(), *models))
        self._command = [sys.executable, program, behaviour, *names]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def behave(self, milliseconds: float, **more: object) -> None:
        """Answer from now on like this; forget the calls so far."""
        self._asked("behave " + json.dumps({"delay": milliseconds / 1000, **more}))

    def last_sent(self) -> float:
        """When the last byte of the last answer so far was sent, by `time.time()`."""
        return float(self._asked("last"))

    def calls_since(self, moment: float) -> int:
        """How many calls arrived after a moment of the monotonic clock; forgets them all."""
        return int(self._asked(f"since {moment}"))

    def count(self) -> int:
        """How many calls have arrived since the others were forgotten; forgets none."""
        return int(self._asked("count"))

    def calls(self) -> list[tuple[str, float, bool]]:
        """Of every call the prompt, when it arrived and whether it was answered; forgets them."""
        return [(str(p), float(at), bool(f)) for p, at, f in json.loads(self._asked("calls"))]

    def _asked(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def environment(self) -> dict[str, str]:
        """An environment whose providers are this server and whose settings are the defaults.

        The package is the one that this process has imported.
        """
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        package = str(Path(parallm_magics.__file__).parents[1])
        return clean | {
            "PYTHONPATH": os.pathsep.join(filter(None, [package, clean.get("PYTHONPATH")])),
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{self.url}/v1",
        }


class Cell(NamedTuple):
    """How one cell ran.

    Attributes:
        seconds: from `pre_run_cell` to `post_run_cell`, inside the kernel.
        cpu: the kernel process's CPU between the two.
        outside: from sending the request to the reply and the idle status, on the client's side.
        idle: when that was, on the monotonic clock.
        idle_at: when the kernel said that it is idle, by `time.time()`.
        value: of the expression asked for.
        error: the name of the error that the cell ended with, or "".
        result: whether it gave out a result.
        updates: how many messages it sent to what is shown live.
        grown: by how many MiB the process was larger than before, at its largest.
        comm: how many bytes those messages held.
        lag: seconds that the kernel's loop was late for a timer of 5 ms, at most.
        stalled: the part of the cell's time in which it was late by more than 50 ms.
    """

    seconds: float
    cpu: float
    outside: float
    idle: float
    value: Any
    error: str
    result: bool
    updates: int = 0
    grown: float = 0.0
    comm: int = 0
    idle_at: float = 0.0
    lag: float = 0.0
    stalled: float = 0.0


# The marks are taken by IPython's own events, around all that a cell does, its display included.
MARKS = """
import asyncio as _asyncio, time as _time
_marks = {}
def _mark(name):
    _marks[name] = (_time.perf_counter(), _time.process_time())
class _Lag:
    timer = None
    def begin(self, info=None):
        if self.timer is not None:
            self.timer.cancel()
        self.largest = self.stalled = 0.0
        self.loop = _asyncio.get_event_loop()
        self.due = self.loop.time()
        self.tick()
    def tick(self):
        self.note()
        self.due = self.loop.time() + 0.005
        self.timer = self.loop.call_at(self.due, self.tick)
    def note(self):
        late = self.loop.time() - self.due
        self.largest = max(self.largest, late)
        self.stalled += late if late > 0.05 else 0
    def end(self, result=None):
        self.timer.cancel()
        self.note()
        _marks["lag"] = (self.largest, self.stalled)
_lag = _Lag()
_lag.begin()
get_ipython().events.register("pre_run_cell", _lag.begin)
get_ipython().events.register("pre_run_cell", lambda info: _mark("pre"))
get_ipython().events.register("post_run_cell", lambda result: _mark("post"))
get_ipython().events.register("post_run_cell", _lag.end)
%load_ext parallm_magics
"""
# What reaches the page while a cell runs, its result apart.
LIVE = ("comm_open", "comm_msg", "comm_close", "display_data", "update_display_data")


class Kernel:
    """A kernel of its own, with the extension loaded; a context manager."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def __enter__(self) -> Self:
        # An empty folder: a kernel imports from where it stands before anything else.
        self._folder = tempfile.TemporaryDirectory()
        self._manager, self._client = start_new_kernel(
            env=self._environment, cwd=self._folder.name, extra_arguments=["--log-level=ERROR"]
        )
        self.pid: int = self._manager.provisioner.process.pid
        self.run(MARKS)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        """Whether its process is still there."""
        return bool(self._manager.is_alive())

    def run(
        self,
        code: str,
        value: str = "None",
        *,
        fine: bool = True,
        began: Callable[[], None] = lambda: None,
        timeout: float = 60,
    ) -> Cell:
        """Run a cell and wait until the kernel is idle.

        Args:
            value: an expression of plain data, evaluated after the cell.
            fine: whether an error is a fault of the benchmark.
            began: called when the kernel says that it is busy with the cell.
            timeout: after so many seconds the cell is a fault of the benchmark.
        """
        kinds: list[str] = []
        comm, idle_at = 0, 0.0

        def hear(message: Mapping[str, Any]) -> None:
            nonlocal comm, idle_at
            kinds.append(message["msg_type"])
            if message["msg_type"] in LIVE:
                comm += len(json.dumps(message["content"]))
            if message["content"].get("execution_state") == "busy":
                began()
            if message["content"].get("execution_state") == "idle":
                idle_at = _moment(message["header"]["date"])

        size = memory(self.pid)
        start = time.monotonic()
        reply = self._client.execute_interactive(
            code,
            user_expressions={"value": value, "marks": "_marks"},
            output_hook=hear,
            allow_stdin=False,
            timeout=timeout,
        )["content"]
        idle = time.monotonic()
        if reply["status"] != "ok":
            if fine:
                raise RuntimeError(f"{reply.get('ename')}: {reply.get('evalue')}")
            return Cell(0, 0, idle - start, idle, None, reply.get("ename", "aborted"), False)
        found = reply["user_expressions"]
        marks = _plain(found["marks"]) if "post" in _text(found["marks"]) else {}
        (wall, cpu), (wall_end, cpu_end) = marks.get("pre", (0, 0)), marks.get("post", (0, 0))
        lag, stalled = marks.get("lag", (0, 0))
        return Cell(
            wall_end - wall,
            cpu_end - cpu,
            idle - start,
            idle,
            _plain(found["value"]),
            "",
            "execute_result" in kinds,
            sum(kinds.count(kind) for kind in LIVE),
            memory(self.pid, peak=True) - size,
            comm,
            idle_at,
            lag,
            stalled / (wall_end - wall) if marks else 0.0,
        )


def memory(pid: int, *, peak: bool = False) -> float:
    """MiB that a process holds, or held at most since it was last asked; 0 where nobody tells."""
    try:
        if not peak:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins here
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    name = "VmHWM:" if peak else "VmRSS:"
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def _moment(date: str | datetime) -> float:
    return (datetime.fromisoformat(date) if isinstance(date, str) else date).timestamp()


def _text(expression: Mapping[str, Any]) -> str:
    if expression["status"] != "ok":
        raise RuntimeError(f"{expression['ename']}: {expression['evalue']}")
    return str(expression["data"]["text/plain"])


def _plain(expression: Mapping[str, Any]) -> Any:
    return ast.literal_eval(_text(expression))


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """This process under other environment variables."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
