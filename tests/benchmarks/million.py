"""A map of a million items whose results lie in Parquet parts: memory of the whole kernel, and time."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import Cell, Figure, Kernel, memory, table

ITEMS = 1_000_000
AT_ONCE = 200
MOST_MEMORY = 300.0
"""MiB of the kernel's process at its largest, imports and live table included."""

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fakes_at_scale import NAME, Sleeper
from parallm_magics.providers import registry
registry.register_provider(NAME, provider=lambda entry: Sleeper())
"""
MAP = """%%fanout -m sleeper:m -c {at_once} --each docs --out-file {folder}/ -o run{more}
Is {{{{item}}}} good?
"""
ABOUT = (
    "`%%fanout --each` over a generator of texts in a real kernel with its live table and the result's "
    f"HTML, {AT_ONCE} calls at once of a provider that sleeps 2 ms; answers are "
    "short texts. `--out-file DIR/`, recordings off unless it says so. Memory is the largest resident "
    "size of the kernel's process since it began, all imports (pyarrow too) in it. The recordings hold "
    "where each answer stands, in memory."
)


def mapped(items: int, *, recorded: bool = False, more: str = "") -> tuple[float, Cell, Cell]:
    """The kernel's largest size in MiB, the map, and reading all of its results once."""
    with tempfile.TemporaryDirectory() as folder, Kernel(os.environ) as kernel:
        if recorded:
            kernel.run(f"%parallm recordings {folder}/kept.jsonl")
        kernel.run(SETUP)
        kernel.run(f"docs = (f'document number {{n}}' for n in range({items}))")
        cell = MAP.format(at_once=AT_ONCE, folder=f"{folder}/out", more=more)
        ran = kernel.run(cell, "(len(run.results), run.results[-1].index)", timeout=7200)
        peak = memory(kernel.pid, peak=True)
        assert ran.value == (items, items - 1), ran.value
        read = kernel.run("same = sum(r.index == at for at, r in enumerate(run.results))", "same")
        assert read.value == items, read.value
        return max(peak, memory(kernel.pid, peak=True)), ran, read


def figures(name: str, items: int, found: tuple[float, Cell, Cell]) -> list[Figure]:
    """The lines of one map."""
    peak, ran, read = found
    return [
        Figure(f"{name}: largest size of the kernel, MiB", [peak], MOST_MEMORY, digits=0),
        Figure(f"{name}: seconds", [ran.seconds], digits=0),
        Figure(f"{name}: CPU µs a call", [ran.cpu * 1e6 / items], digits=0),
        Figure(f"{name}: longest stall of the loop, ms", [ran.lag * 1000], digits=0),
        Figure(f"{name}: seconds to read all results again", [read.seconds], digits=0),
    ]


def main(argv: list[str] | None = None) -> str:
    """Measure and give out the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--recorded", action="store_true", help="with recordings on as well")
    given = parser.parse_args([] if argv is None else argv)
    cases: Mapping[str, bool] = {"map": False, **({"recorded": True} if given.recorded else {})}
    found: list[Figure] = []
    for name, recorded in cases.items():
        found += figures(name, given.items, mapped(given.items, recorded=recorded))
    return table(f"{given.items:,} items in Parquet parts", ABOUT, found)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
