"""What `tests/benchmarks/RESULTS.md` says, for the page on benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).resolve().parents[1] / "tests" / "benchmarks" / "RESULTS.md"
MAKERS = {"anthropic": "Anthropic", "openai": "OpenAI"}
SUMMARY = "Figures"
"""The part of RESULTS.md that has the figures of both SDKs beside each other, if it was measured."""

Shown = tuple[str, str, str]
"""What a row of the page is about, the part of RESULTS.md, and a pattern of the lines there."""

SPEED: tuple[Shown, ...] = (
    (
        "a cell of 3 workers of 200 ms, over its slowest worker",
        "Wall time",
        "3 workers: cell / longest worker",
    ),
    (
        "the same cell, over `asyncio.gather` with the same SDK client",
        "Wall time",
        "3 workers: cell / `gather`",
    ),
    (
        "10,000 calls, 200 at once: calls per second, over a loop with the SDK",
        "Ten thousand calls",
        "throughput / loop, default transport",
    ),
    (
        "the same, over a loop with the SDK on its aiohttp transport",
        "Ten thousand calls",
        "throughput / loop, aiohttp transport",
    ),
    (
        "memory that 10,000 calls take, in MiB, results included",
        "Ten thousand calls",
        "MiB grown, ours",
    ),
    (
        "CPU of a call in a cell, over a loop on the same transport",
        "CPU of a call",
        "plain, cell: CPU / bare loop",
    ),
    ("the same, streamed", "CPU of a call", "streamed, cell: CPU / bare loop"),
    (
        "50,000 calls that only sleep: CPU that a call costs, in µs",
        "Fifty thousand calls",
        "`await fanout.*CPU µs a call, ours",
    ),
    (
        "a guarded answer, over the slower of its two calls",
        "Votes that end early, guards beside answers",
        "guarded cell / slower call",
    ),
    ("CPU of `%load_ext parallm_magics`, in seconds", "Loading", "CPU seconds"),
)
FAULTS: tuple[Shown, ...] = (
    (
        "20 calls with `--deadline 1`; one hangs, one is dead: answers kept",
        "Calls that never answer",
        "a few: kept",
    ),
    ("the same: seconds", "Calls that never answer", "a few: seconds"),
    (
        "an interrupt at a random moment: seconds until the kernel is idle",
        "Interrupt",
        "seconds until idle",
    ),
    ("the same: requests afterwards", "Interrupt", "requests afterwards"),
    ("a process with 200 calls, 10 at once, is killed: answers lost", "Kills", "answers lost"),
    ("the same: recorded answers that are asked again", "Kills", "kept answers asked again"),
    ("the same: calls repeated", "Kills", "calls repeated"),
)
VOTES: tuple[Shown, ...] = (
    (
        "votes of five with `--stop clinch`: time, over that of all votes",
        "Votes that end early, guards beside answers",
        "clinch / all, in a kernel",
    ),
    (
        "the same: winners that differ, of 1,000 votes",
        "Votes that end early, guards beside answers",
        "winners that differ",
    ),
)
STUDIES: tuple[Shown, ...] = (
    (
        "30 items, the vote really gains 5.0 points: “better”, %",
        "What studies say",
        "30 items, votes gain 5.0 points: “better”",
    ),
    (
        "400 items, the vote really gains 10.1 points: “better”, %",
        "What studies say",
        "400 items, votes gain 10.1 points: “better”",
    ),
    (
        "30 items, another model that is exactly as good: “better”, %",
        "What studies say",
        "30 items, no gain: “better”",
    ),
    (
        "400 items, another model that is exactly as good: “better”, %",
        "What studies say",
        "400 items, no gain: “better”",
    ),
    (
        "1,000 items and 5 voters: the whole study, over the bare calls",
        "A study of a thousand items",
        "study / bare calls",
    ),
    ("the same: its report, in seconds", "A study of a thousand items", "report, seconds"),
)
PAGE: tuple[Shown, ...] = (
    ("10,000 items live in JupyterLab: longest frame, in ms", "The page", "longest frame, ms"),
    (
        "the saved outputs of 20 workers, over the text of their answers",
        "The page",
        "saved outputs / text",
    ),
    ("a recording of 10,000 answers: seconds to load it", "Recordings", "seconds to load"),
    ("the same: milliseconds to find an answer", "Recordings", "ms of a look-up"),
    (
        "all lessons with strict nbval, live table on: minutes",
        "The lessons",
        "live on: minutes for all notebooks",
    ),
    (
        "changes to the lessons: cells that failed and should not, or the other way round",
        "The lessons",
        "cells wrongly red or green",
    ),
)

SCALE: tuple[Shown, ...] = (
    ("CPU of a call in a cell, in ms", "Ten thousand calls", "CPU ms a call, ours"),
    ("calls a second of one kernel", "Ten thousand calls", "calls/s, ours"),
    ("memory that 10,000 calls take, in MiB", "Ten thousand calls", "MiB grown, ours"),
    (
        "CPU of the kernel for a call that a cluster makes, in µs",
        "A large map, measured",
        "µs of the kernel's CPU",
    ),
    ("`sim`: items a second of CPU", "A large map, measured", "second of CPU, JSON lines"),
)


class Line(NamedTuple):
    """A line of a table of RESULTS.md: its cells, and the part that it stands in."""

    part: str
    cells: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Whether its target was met: "meets", "misses", or "" without a target."""
        return self.cells[-1]


def lines() -> Iterator[Line]:
    """Yield the lines of all tables of RESULTS.md."""
    part = ""
    for text in RESULTS.read_text("utf-8").splitlines():
        if text.startswith("## "):
            part = text.removeprefix("## ")
        elif text.startswith("| ") and not text.startswith("| |"):
            yield Line(part, tuple(cell.strip() for cell in text[1:-1].split("|")))


def shown(rows: Sequence[Shown]) -> Iterator[tuple[str, str, str]]:
    """Yield what each row is about, its median and its target.

    Raises:
        SystemExit: RESULTS.md has no such line any more; names the row to mend here.
    """
    known = list(lines())
    for what, part, pattern in rows:
        found = [line for line in known if line.part == part and re.search(pattern, line.cells[0])]
        if not found:
            raise SystemExit(
                f"docs/measured.py: RESULTS.md has no {pattern!r} in {part!r} any more"
            )
        yield what, _medians(found), _target(found)


def copied(part: str) -> str:
    """Return a part of RESULTS.md that has one table: what it is about, and the table.

    Raises:
        SystemExit: RESULTS.md has no such part any more.
    """
    _, heading, rest = RESULTS.read_text("utf-8").partition(f"\n## {part}\n")
    if not heading:
        raise SystemExit(f"docs/measured.py: RESULTS.md has no part {part!r} any more")
    about, lines = rest.strip().split("\n\n")[:2]
    return f"{about}\n\n{lines}\n"


def _medians(found: Sequence[Line]) -> str:
    """The median of each SDK, and the range where the target is for every round."""
    said: dict[str, str] = {}
    for line in found:
        _, _, median, least, most, target, _ = line.cells
        ranged = target.startswith("all") and least != most
        maker = next((name for key, name in MAKERS.items() if line.cells[0].startswith(key)), "")
        said.setdefault(maker, f"{median} ({least} to {most})" if ranged else median)
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return ", ".join(f"{maker} {figure}" for maker, figure in said.items())


def _target(found: Sequence[Line]) -> str:
    target = found[0].cells[-2]
    return f"{target}, missed" if any(line.verdict == "misses" for line in found) else target


def summary() -> Iterator[tuple[str, ...]]:
    """Yield the lines of the part with the figures of both SDKs that have a target."""
    for line in lines():
        if line.part == SUMMARY and line.verdict:
            what, anthropic, openai, target, verdict = line.cells
            yield what, anthropic, openai, f"{target}, missed" if verdict == "misses" else target


def parts() -> Iterator[tuple[str, str]]:
    """Yield each part of RESULTS.md as a link, and how many of its targets were met."""
    verdicts: dict[str, list[str]] = {}
    for line in lines():
        verdicts.setdefault(line.part, []).append(line.verdict)
    for part, found in verdicts.items():
        met, judged = found.count("meets"), found.count("meets") + found.count("misses")
        slug = re.sub(r"[^\w\- ]", "", part.lower()).replace(" ", "-")
        yield (
            f"[{part}](../tests/benchmarks/RESULTS.md#{slug})",
            f"{met} of {judged}" if judged else "none",
        )
