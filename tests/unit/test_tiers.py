"""A test's place follows from what it starts, and each tier's time is told."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from paths import NOTEBOOKS, TESTS
from tiers import TIERS, Guard, Times, asks_a_server, tier_of, workers

STARTERS = {
    "kernel": {"kernel", "subprocess", "dying_batches"},
    "browser": {"browser", "playwright"},
    "lessons": {"mutations", "subprocess"},
    "real": {"small_model"},
}
"""What a file of a tier imports at least one of, because its tests start that."""


def imported(path: Path) -> set[str]:
    """The modules that a file imports, by their first word."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(TESTS.glob("*/test_*.py")), ids=lambda path: path.name)
def test_a_file_stands_in_the_tier_of_what_it_starts(path: Path) -> None:
    """What starts nothing is a unit test; what the others start shows in their imports."""
    tier = tier_of(path)
    assert tier in TIERS
    if tier == "unit":
        assert not imported(path) & {"subprocess", "multiprocessing", "pty", "playwright"}
    else:
        assert imported(path) & STARTERS[tier]


def test_no_two_files_share_a_name() -> None:
    """They would hide one another."""
    names = [path.name for path in TESTS.glob("*/test_*.py")]
    assert len(names) == len(set(names))
    assert not list(TESTS.glob("test_*.py")), "a test stands in a tier"


@pytest.mark.parametrize("event", ["subprocess.Popen", "os.fork", "os.posix_spawn"])
def test_a_start_in_a_unit_test_is_noticed(event: str) -> None:
    """Only while it is watched for."""
    guard = Guard()
    guard.watch(True)
    guard._heard(event, ("python", ["python"]))
    guard._heard("open", ("file",))
    [started] = guard.watch(False)
    assert started.startswith(event)
    guard._heard(event, ())
    assert guard.watch(False) == []


def test_times_are_told_by_tier() -> None:
    """Work is added up, and the span is from the first start to the last end."""
    times = Times()
    times.add("tests/unit/test_a.py", True, 2.0, 10.0, 12.0)
    times.add("tests/unit/test_b.py", False, 3.0, 10.0, 13.0)
    times.add(str(NOTEBOOKS / "checking.ipynb"), True, 5.0, 11.0, 16.0)
    _, lessons, unit = times.lines()
    assert lessons.split() == ["lessons", "1", "5s", "5s"]
    assert unit.split() == ["unit", "1", "5s", "3s"]


@pytest.mark.parametrize(
    ("named", "count"),
    [
        pytest.param([], 4, id="all"),
        pytest.param(["tests/unit"], 4, id="a tier"),
        pytest.param(["tests/unit/test_a.py"], 0, id="a file"),
        pytest.param(["tests/unit/test_a.py::test_x"], 0, id="a test"),
        pytest.param([f"tests/unit/test_{n}.py" for n in "abc"], 4, id="files"),
    ],
)
def test_workers_follow_the_cores(named: list[str], count: int) -> None:
    """Two a core; none for a file alone."""
    assert workers(named, lambda: 2) == count


def test_what_asks_a_server_is_marked() -> None:
    """By what its file imports, in the unit tests alone."""
    unit = TESTS / "unit"
    assert asks_a_server(unit / "test_provider_faults.py")
    assert not asks_a_server(unit / "test_tiers.py")
    assert not asks_a_server(TESTS / "kernel" / "test_interrupt.py")
