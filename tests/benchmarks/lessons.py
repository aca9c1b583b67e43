"""Whether the lessons pass a strict check again and again, how long that takes, and what turns them red."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bench import OURS, Figure, table
from mutations import MUTATIONS, NOTEBOOKS, mutated, red_cells

ABOUT = (
    "All notebooks of `notebooks/`: a strict `pytest --nbval` of all of them, twice with the live table "
    "on and twice with it off, `pytest --nbmake`, and papermill on each. Then every change in "
    "`tests/support/mutations.py` by itself, on a fresh copy of its notebook: cells are right if they are "
    "red and should be, wrong if they are red and should not be or the other way round."
)


def environment(live: str) -> dict[str, str]:
    """Nobody's settings but the live table's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return clean | {"PARALLM_LIVE": live}


def checked(live: str, flag: str = "--nbval") -> tuple[int, float]:
    """How the check of all notebooks ended, and its seconds."""
    command = [sys.executable, "-m", "pytest", flag, "-q", "-p", "no:cacheprovider"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(NOTEBOOKS), str(NOTEBOOKS)],
        cwd=NOTEBOOKS,
        env=environment(live),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-2000:])
    return done.returncode, time.perf_counter() - began


def papermilled(folder: Path) -> int:
    """How many notebooks papermill cannot run."""
    bad = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        command = [sys.executable, "-m", "papermill", str(path), str(folder / path.name)]
        done = subprocess.run(
            command, cwd=NOTEBOOKS, env=environment("0"), capture_output=True, check=False
        )
        bad += done.returncode != 0
    return bad


def changed() -> tuple[int, int, int]:
    """Of all changes: how many there are, cells that are rightly red, and cells that are wrong."""
    right = wrong = count = 0
    for name, changes in MUTATIONS.items():
        for change in changes:
            with tempfile.TemporaryDirectory() as folder:
                red = set(red_cells(mutated(name, [change], Path(folder)), environment("0")))
            count += 1
            right += len(red & change.red)
            wrong += len(red ^ change.red)
            if red != change.red:
                print(name, change, sorted(red), flush=True)
    return count, right, wrong


def main() -> str:
    """Measure and give out the table."""
    runs = {live: [checked(live) for _ in range(2)] for live in ("1", "0")}
    made, _ = checked("0", "--nbmake")
    with tempfile.TemporaryDirectory() as folder:
        bad = papermilled(Path(folder))
    count, right, wrong = changed()
    found = [
        Figure(
            f"live {word}: minutes for all notebooks",
            [seconds / 60 for _, seconds in runs[live]],
            3,
            whole=True,
        )
        for live, word in (("1", "on"), ("0", "off"))
    ]
    return table(
        "The lessons",
        ABOUT,
        [
            *found,
            Figure(
                "checks that failed",
                [sum(bool(c) for r in runs.values() for c, _ in r)],
                0,
                digits=0,
            ),
            Figure("nbmake failed", [int(made != 0)], 0, digits=0),
            Figure("notebooks that papermill cannot run", [bad], 0, digits=0),
            Figure("changes", [count], 30, least=True, digits=0),
            Figure("cells rightly red", [right], digits=0),
            Figure("cells wrongly red or green", [wrong], 0, digits=0),
        ],
    )


if __name__ == "__main__":
    print(main())
