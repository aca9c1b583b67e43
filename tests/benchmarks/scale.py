"""What ten thousand calls through the SDKs cost, and fifty thousand through nothing but the engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import MODELS, Cell, Figure, Kernel, Server, ratios, table
from systems import LOOP_ON_AIOHTTP, NAIVE, OURS, System, Work

ROUNDS = 3
CALLS = 10_000
WARM = 200
CONCURRENCY = 200
CALL = 20
WORK = Work("scale", "", CALLS, CONCURRENCY, CALL, 0)
IN_CELLS = (
    f"{CALLS:,} plain calls of {CALL} ms, {CONCURRENCY} at once, from a cell of a real kernel through "
    "the SDKs, the server in another process; beside cells with one semaphore round the SDK's own "
    "call, on its default transport and on its aiohttp transport, as the SDK makes them. Every round "
    f"is a new kernel for each, warmed by {WARM} calls; throughput and memory are of the same run. "
    "Growth is the process's largest resident size during the cell less that before, the results in "
    "it."
)

FAKES = 50_000
FAKE_ROUNDS = 5
WAYS = {"scheduler": "Scheduler", "fanout": "`await fanout(…)`"}
OVER_FAKES = (
    f"{FAKES:,} calls, {CONCURRENCY} at once, of a provider that only sleeps 2 ms, in a process of "
    "their own each: the engine's Scheduler over a generator of tasks, `await fanout(…, each=generator)`, "
    "and a bare loop (a task a call, a semaphore, the same provider's call, its reply kept). Ours is "
    "the CPU less the bare loop's. Over the results: the largest resident size less that before and "
    "less what the records (or replies) themselves hold. A stall is how much later than asked a timer "
    "of 5 ms ran on the same loop; the first record's time counts from the call of ours."
)


def in_a_cell(server: Server, dialect: str, system: System) -> Cell:
    """One way in a new kernel."""
    with Kernel(server.environment()) as kernel:
        kernel.run(system.setup(dialect, WORK))
        docs = "docs = [f'Say something about document number {{n}}.' for n in range({})]"
        kernel.run(docs.format(WARM))
        kernel.run(system.cell(dialect, WORK))
        kernel.run(docs.format(CALLS))
        cell = kernel.run(system.cell(dialect, WORK), system.kept, timeout=600)
    server.calls_since(0)
    assert cell.value == CALLS, f"{system.name}: {cell.value} of {CALLS} kept"
    return cell


def through_sdks() -> str:
    """The table of ten thousand."""
    figures: list[Figure] = []
    with Server(CALL) as server:
        for dialect in MODELS:
            ways = (OURS, NAIVE, LOOP_ON_AIOHTTP)
            rounds = [[in_a_cell(server, dialect, way) for way in ways] for _ in range(ROUNDS)]
            ours, default, aiohttp = ([*column] for column in zip(*rounds, strict=True))
            figures += compared(dialect, ours, default, aiohttp)
    return table("Ten thousand calls", IN_CELLS, figures)


def compared(
    dialect: str, ours: Sequence[Cell], default: Sequence[Cell], aiohttp: Sequence[Cell]
) -> list[Figure]:
    """The lines of one dialect."""

    def seconds(cells: Sequence[Cell]) -> list[float]:
        return [cell.seconds for cell in cells]

    def rate(name: str, cells: Sequence[Cell]) -> Figure:
        return Figure(f"{dialect}: calls/s, {name}", [CALLS / s for s in seconds(cells)], digits=0)

    def grown(name: str, cells: Sequence[Cell], target: float | None = None) -> Figure:
        return Figure(
            f"{dialect}: MiB grown, {name}", [c.grown for c in cells], target, whole=True, digits=1
        )

    def cpu(name: str, cells: Sequence[Cell]) -> Figure:
        return Figure(
            f"{dialect}: CPU ms a call, {name}", [c.cpu * 1000 / CALLS for c in cells], digits=2
        )

    return [
        Figure(
            f"{dialect}: throughput / loop, default transport",
            ratios(seconds(default), seconds(ours)),
            2.0,
            least=True,
        ),
        Figure(
            f"{dialect}: throughput / loop, aiohttp transport",
            ratios(seconds(aiohttp), seconds(ours)),
            0.9,
            least=True,
        ),
        grown("ours", ours, 15.0),
        grown("loop, default", default),
        grown("loop, aiohttp", aiohttp),
        rate("ours", ours),
        rate("loop, default", default),
        rate("loop, aiohttp", aiohttp),
        cpu("ours", ours),
        cpu("loop, default", default),
        cpu("loop, aiohttp", aiohttp),
    ]


def over_fakes() -> str:
    """The table of fifty thousand."""
    ways = ("bare", *WAYS)
    rounds = [{way: in_a_process(way) for way in ways} for _ in range(FAKE_ROUNDS)]
    bare = [each["bare"] for each in rounds]
    figures: list[Figure] = []
    for way, name in WAYS.items():
        figures += [*of_ours(name, [each[way] for each in rounds], bare)]
    figures += [
        Figure("bare loop: CPU µs a call", [one["cpu"] * 1e6 / FAKES for one in bare], digits=1),
        Figure("bare loop: MiB over the results", [one["over"] for one in bare], digits=1),
        Figure("bare loop: longest stall, ms", [one["stall"] * 1000 for one in bare], digits=1),
        Figure("bare loop: first reply, ms", [one["first"] * 1000 for one in bare], digits=1),
        Figure("bare loop: seconds", [one["seconds"] for one in bare], digits=2),
    ]
    return table("Fifty thousand calls", OVER_FAKES, figures)


def in_a_process(way: str) -> Mapping[str, float]:
    """What one way needs, in a new process."""
    program = str(Path(__file__).with_name("fakes_at_scale.py"))
    told = subprocess.check_output([sys.executable, program, way, str(FAKES), str(CONCURRENCY)])
    found: dict[str, float] = json.loads(told)
    assert found["kept"] == FAKES, f"{way}: {found['kept']} of {FAKES} kept"
    return found


def of_ours(
    name: str, ours: Sequence[Mapping[str, float]], bare: Sequence[Mapping[str, float]]
) -> list[Figure]:
    """The lines of one of our doors."""
    extra = [
        (own["cpu"] - other["cpu"]) * 1e6 / FAKES for own, other in zip(ours, bare, strict=True)
    ]
    return [
        Figure(f"{name}: CPU µs a call, ours", extra, 30.0, digits=1),
        Figure(f"{name}: MiB over the results", [one["over"] for one in ours], 40.0, digits=1),
        Figure(f"{name}: MiB of results", [one["held"] for one in ours], digits=1),
        Figure(
            f"{name}: longest stall, ms", [one["stall"] * 1000 for one in ours], 100.0, digits=1
        ),
        Figure(f"{name}: first record, ms", [one["first"] * 1000 for one in ours], 50.0, digits=1),
        Figure(f"{name}: seconds", [one["seconds"] for one in ours], digits=2),
    ]


def main() -> str:
    """Measure and give out both tables."""
    return f"{over_fakes()}\n{through_sdks()}"


if __name__ == "__main__":
    print(main())
