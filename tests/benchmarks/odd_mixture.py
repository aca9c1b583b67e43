"""A thousand calls whose answers are odd in twenty ways: does the run's sum equal the server's log?"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from asking import served
from bench import Figure, table
from odd_answers import WAYS, Way
from odd_runs import differences, mixed_run, mixture

ITEMS, SEED = 1_000, 16
ABOUT = (
    f"Maps of {ITEMS:,} items, in this process, at a server whose answers are odd: cut, empty, refused, "
    "without usage, in pieces that no provider sends. Differences are what the run's statuses, tokens, "
    "cost and texts say otherwise than the server's log does; `tests/unit/test_odd_answers.py` holds "
    "each kind of answer by itself."
)


def measure(way: Way) -> list[Figure]:
    """One run."""
    mixed = mixture(way, ITEMS, SEED)
    with served() as server:
        run = asyncio.run(mixed_run(server, mixed))
        wrong = differences(run, mixed, len(server.log))
        calls = len(server.log)
    name = f"{way.dialect}, {'streamed' if way.stream else 'plain'}"
    return [
        Figure(f"{name}: differences", [len(wrong)], 0, digits=0),
        Figure(f"{name}: calls", [calls], digits=0),
    ]


def main() -> str:
    """Measure and give out the table."""
    return table("Odd answers", ABOUT, [figure for way in WAYS for figure in measure(way)])


if __name__ == "__main__":
    print(main())
