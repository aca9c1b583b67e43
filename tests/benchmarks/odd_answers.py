"""A thousand calls whose answers are odd in twenty ways: does the run's sum equal the server's log?

    python tests/benchmarks/odd_answers.py [items] [seed]

Prints a line for each dialect, streamed and not: calls, statuses, tokens, cost and what differs, and
how many of the cases that the tests know end as they must is told by tests/unit/test_odd_answers.py.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from asking import served
from odd_answers import CASES, WAYS, Way
from odd_runs import differences, mixed_run, mixture


def measure(way: Way, items: int, seed: int) -> str:
    """One run, in a line."""
    mixed = mixture(way, items, seed)
    with served() as server:
        began = time.perf_counter()
        run = asyncio.run(mixed_run(server, mixed))
        seconds = time.perf_counter() - began
        wrong = differences(run, mixed, len(server.log))
        calls = len(server.log)
    statuses = Counter(record.status for record in run.results)
    tokens = run.usage.total_tokens if run.usage else 0
    name = f"{way.dialect} {'streamed' if way.stream else 'whole'}"
    return (
        f"{name:20} {calls} calls, {dict(statuses)}, {tokens} tokens, ${run.cost}, "
        f"{seconds:.1f} s, differences: {wrong or 'none'}"
    )


def main() -> None:
    """All four ways."""
    given = [*map(int, sys.argv[1:])]
    items, seed = given + [1_000, 16][len(given) :]
    print(f"{len(CASES)} cases: {dict(Counter(f'{w.dialect} {w.stream}' for w, _ in CASES))}")
    for way in WAYS:
        print(measure(way, items, seed), flush=True)


if __name__ == "__main__":
    main()
