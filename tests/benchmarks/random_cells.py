"""What becomes of random cells of valid and nearly valid lines: a plan, or one error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from bench import OURS, Figure, table

ROOT = Path(__file__).parent.parent.parent
TESTS = "tests/unit/test_random_cells.py"
CELLS = 5_000
ABOUT = (
    f"`{TESTS}` with RANDOM_CELLS={CELLS}: cells of up to 14 lines, directives, ordinary text, escapes, "
    "markers and near misses below blanks of every kind. Each must end in a plan in which every line "
    "that the grammar does not drop stands in one place, byte for byte and in its own calls only, or in "
    "one error that names a line to blame. Then as many random texts that must be the prompt that is sent."
)


def main() -> str:
    """The table of the section."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "--hypothesis-show-statistics", TESTS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "RANDOM_CELLS": str(CELLS)},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = re.findall(r"- (\d+) passing, (\d+) failing", done.stdout)
    shares = dict(re.findall(r"\* ([\d.]+)%, (error|plan)", done.stdout))
    return table(
        "Random cells",
        ABOUT,
        [
            Figure("cells and texts that held", [sum(int(held) for held, _ in counts)], digits=0),
            Figure("a third outcome", [sum(int(failed) for _, failed in counts)], 0, digits=0),
            Figure("runs that failed", [done.returncode], 0, digits=0),
            *(
                Figure(f"per cent of the cells that end in {word}", [float(share)], digits=1)
                for share, word in shares.items()
            ),
        ],
    )


if __name__ == "__main__":
    print(main())
