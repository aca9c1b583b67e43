"""Benchmarks that nobody has run for a while: they import what there is, and each has its place in the list."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def measures(module: Path) -> bool:
    """Whether it gives out a table by itself: it has a `main` that returns text."""
    return any(
        isinstance(node, ast.FunctionDef)
        and node.name == "main"
        and isinstance(node.returns, ast.Name)
        and node.returns.id == "str"
        for node in ast.parse(module.read_text("utf-8")).body
    )


def test_every_benchmark_imports_and_stands_in_the_list() -> None:
    """One that a renamed function has broken, or that nobody runs, is seen here."""
    program = "import house, peers, run_all; print(run_all.listed())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == {path.stem for path in FOLDER.glob("*.py") if measures(path)}
    assert all(len(line.split()) > 4 for line in done.stdout.splitlines())
