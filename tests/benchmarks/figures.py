"""The figures that speed is judged by, in one table: what, measured, at most.

python tests/benchmarks/figures.py            ten minutes on a quiet machine
python tests/benchmarks/figures.py --quick    two minutes: fewer rounds
python tests/benchmarks/figures.py --only "200 calls" votes
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench import MODELS, ratios
from load_ext import READING, first_cell
from rounds import Line, Ran, side
from systems import LEAN_CELL, NAIVE, OURS, RAW_AIOHTTP, System, Work
from votes import CLINCH, clinched

SYSTEMS = (OURS, LEAN_CELL, NAIVE, RAW_AIOHTTP)
ABOUT = (
    "Both SDKs against a server on this machine, a process apart, in cells of kernels of their own with "
    "the live table on. A figure is the median over the rounds [smallest .. largest], a ratio is taken "
    "round by round; in a round each system has its turn, and the order rotates. The lean cell, the "
    "naive one (a semaphore round the SDK's own call) and raw aiohttp are described in "
    "[PEERS.md](PEERS.md). While calls are under way we let Python look for garbage after 20,000 new objects; "
    "the others leave it at 700. All keep their connections from cell to cell; raw aiohttp sends fewer headers. "
    "Calls of a panel take 50 ms, 20 at once; those of 1,000 take 20 ms. The first "
    f"cell has three workers of 50 ms, {READING} s after the extension was loaded in a new kernel. Votes "
    f"that clinch: five equal answers one after the other, the third of them after {CLINCH:g} s."
)


@dataclass(frozen=True)
class Target:
    """What a figure is judged by.

    Attributes:
        bound: at most this.
        least: whether it is at least this.
        digits: decimals shown.
    """

    bound: float | None = None
    least: bool = False
    digits: int = 2

    def row(self, what: str, found: Mapping[str, Sequence[float]]) -> str:
        """The figure of each dialect as a line of Markdown."""
        cells = [what, *(self._shown(found[dialect]) for dialect in MODELS)]
        if self.bound is None:
            return f"| {' | '.join(cells)} |  |  |"
        medians = [statistics.median(values) for values in found.values()]
        met = min(medians) >= self.bound if self.least else max(medians) <= self.bound
        sign, verdict = "≥" if self.least else "≤", "meets" if met else "misses"
        return f"| {' | '.join(cells)} | {sign} {self.bound:g} | {verdict} |"

    def _shown(self, values: Sequence[float]) -> str:
        numbers = statistics.median(values), min(values), max(values)
        middle, low, high = (f"{number:.{self.digits}f}" for number in numbers)
        return f"{middle} [{low} .. {high}]"


def seconds(ran: Ran) -> float:
    """The wall time."""
    return ran.seconds


def cpu(ran: Ran) -> float:
    """The CPU time."""
    return ran.cpu


def lag(ran: Ran) -> float:
    """How late the loop was at most, in ms."""
    return ran.lag * 1000


def tail(ran: Ran) -> float:
    """From the last answer until the kernel is idle, in ms."""
    return ran.tail * 1000


def megabytes(ran: Ran) -> float:
    """What went to the page."""
    return ran.comm / 1e6


Value = Callable[[Ran], float]
Read = Callable[[Mapping[str, Line]], list[float]]


def over(other: System, value: Value) -> Read:
    """Ours over another system's."""
    return lambda lines: ratios(lines[OURS.name].each(value), lines[other.name].each(value))


def under(other: System, value: Value) -> Read:
    """Another system's over ours."""
    return lambda lines: ratios(lines[other.name].each(value), lines[OURS.name].each(value))


def of(system: System, value: Value, unit: float = 1.0) -> Read:
    """One system's alone, in this unit."""
    return lambda lines: [each / unit for each in lines[system.name].each(value)]


@dataclass(frozen=True)
class Part:
    """One kind of work, who does it, and what is read off.

    Attributes:
        rounds: how many, and how many in a hurry.
    """

    work: Work
    systems: Sequence[System]
    rounds: tuple[int, int]
    figures: Sequence[tuple[str, Read, Target]]


def _many(priced: bool) -> Part:
    price = "with a price" if priced else "without a price"
    return Part(
        Work(f"1,000 plain calls {price}", "", 1_000, 100, 20, 0.2, priced=priced),
        (OURS, LEAN_CELL, RAW_AIOHTTP),
        (9, 2),
        (
            ("CPU over raw aiohttp", over(RAW_AIOHTTP, cpu), Target(2.3)),
            ("CPU over the lean cell", over(LEAN_CELL, cpu), Target(0.6)),
            (
                "calls/s over the lean cell",
                under(LEAN_CELL, seconds),
                Target(1.3, least=True),
            ),
        ),
    )


PARTS = (
    _many(priced=True),
    _many(priced=False),
    Part(
        Work("100 calls", "", 100, 20, 50, 0.25),
        (OURS, LEAN_CELL, NAIVE),
        (15, 4),
        (
            ("wall over the lean cell", over(LEAN_CELL, seconds), Target(1.15)),
            ("wall over the naive cell", over(NAIVE, seconds), Target(0.95)),
            ("wall over the ideal", of(OURS, seconds, 0.25), Target()),
        ),
    ),
    Part(
        Work("200 calls", "", 200, 20, 50, 0.5),
        (OURS, LEAN_CELL),
        (15, 4),
        (
            ("CPU over the lean cell", over(LEAN_CELL, cpu), Target(1.1)),
            ("wall over the lean cell", over(LEAN_CELL, seconds), Target(1.25)),
            ("wall over the ideal", of(OURS, seconds, 0.5), Target()),
            ("MB to the page", of(OURS, megabytes), Target(0.8)),
            ("loop lag over the lean cell", over(LEAN_CELL, lag), Target(1.0)),
            ("loop lag, ms", of(OURS, lag), Target(digits=0)),
            ("ms from the last answer to idle", of(OURS, tail), Target(30, digits=0)),
            ("same, the lean cell", of(LEAN_CELL, tail), Target(digits=0)),
        ),
    ),
    Part(
        Work(
            "20 streams of 200 tokens",
            "",
            20,
            20,
            0,
            2.0,
            {"tokens": 200, "gap": 0.010},
            stream=True,
        ),
        (OURS, RAW_AIOHTTP),
        (9, 3),
        (
            ("CPU over raw aiohttp", over(RAW_AIOHTTP, cpu), Target(1.15)),
            ("wall over the ideal", of(OURS, seconds, 2.0), Target(1.10)),
            ("same, raw aiohttp", of(RAW_AIOHTTP, seconds, 2.0), Target()),
        ),
    ),
)
FIRST_CELL, VOTES = "first cell of a session", "5 votes with clinch"
FIRST_CELLS, CLINCHES = (5, 1), (31, 8)
"""Rounds, and rounds in a hurry."""


def in_rounds(parts: Sequence[Part], quick: bool) -> Iterator[str]:
    """The lines of these kinds of work; all share a kernel for each system and dialect."""
    needed = [system for system in SYSTEMS if any(system in part.systems for part in parts)]
    with ExitStack() as stack:
        sides = [stack.enter_context(side(d, needed)) for d in MODELS] if parts else []
        for part in parts:
            found = {
                one.dialect: one.measure(part.work, part.systems, part.rounds[quick])
                for one in sides
            }
            for what, read, target in part.figures:
                values = {dialect: read(lines) for dialect, lines in found.items()}
                yield target.row(f"{part.work.name}: {what}", values)


def of_first_cells(quick: bool) -> Iterator[str]:
    """The lines of the first cell."""
    found = {d: [first_cell(d) for _ in range(FIRST_CELLS[quick])] for d in MODELS}
    walls = {d: [cell.seconds for cell, _ in each] for d, each in found.items()}
    late = {d: [late * 1000 for _, late in each] for d, each in found.items()}
    yield Target(0.8).row(f"{FIRST_CELL}: seconds", walls)
    yield Target(digits=0).row(f"{FIRST_CELL}: loop lag in the seconds before, ms", late)


def of_votes(quick: bool) -> Iterator[str]:
    """The line of votes that end early."""
    walls = {d: [cell.seconds / CLINCH for cell in clinched(d, CLINCHES[quick])] for d in MODELS}
    yield Target(1.10).row(f"{VOTES}: wall over the clinch ideal", walls)


def rows(only: Sequence[str], quick: bool) -> Iterator[str]:
    """All lines, or those whose kind of work begins with one of these words."""

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    yield from in_rounds([part for part in PARTS if wanted(part.work.name)], quick)
    if wanted(FIRST_CELL):
        yield from of_first_cells(quick)
    if wanted(VOTES):
        yield from of_votes(quick)


def lines(only: Sequence[str] = (), *, quick: bool = False) -> Iterator[str]:
    """The table, line by line as it is measured."""
    yield "## Figures\n"
    yield f"{ABOUT}\n"
    yield f"| | {' | '.join(MODELS)} | at most | |\n|---|--:|--:|--:|---|"
    yield from rows(only, quick)


def main() -> str:
    """Measure and give out the table."""
    return "\n".join([*lines(), ""])


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="fewer rounds")
    options.add_argument("--only", nargs="*", default=(), help="words of the kinds of work")
    given = options.parse_args()
    for line in lines(given.only, quick=given.quick):
        print(line, flush=True)
