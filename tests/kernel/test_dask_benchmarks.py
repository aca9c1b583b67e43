"""The benchmark of clusters, run small: what it promises holds for a few hundred calls as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def measured(*words: str) -> str:
    """The table of a part of it, of this size."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "clusters.py", *words],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_workers_lose_no_item() -> None:
    """Two kills in 300 calls: each item has its answer, and no more is repeated than was in flight."""
    told = measured("kills", "300", "2")
    assert told.count("| meets |") == 2, told
    assert "misses" not in told
