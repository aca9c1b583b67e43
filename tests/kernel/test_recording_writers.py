"""Writers that are killed and writers that share a file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paths import PACKAGE
from slack import with_slack

from parallm_magics.core.tasks import Model, Record, Task
from parallm_magics.recordings.store import Recordings

REAL = Model("openai", "gpt-6-luna")


def task(prompt: str) -> Task:
    """A call of a real model."""
    return Task(0, "w1", REAL, prompt)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "answers.jsonl"


def texts(store: Recordings, tasks: list[Task]) -> list[str | None]:
    """What is found for each."""
    return [found.text if (found := store.find(each)) else None for each in tasks]


WRITER = """
import sys
sys.path.insert(0, {root!r})
from parallm_magics.recordings.store import Recordings
from parallm_magics.core.tasks import Model, Record, Task
store, name, count = Recordings(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    task = Task(0, "w1", Model("openai", "gpt-6-luna"), name + str(number))
    store.add(task, Record(0, "w1", "ok", "openai:gpt-6-luna", task.prompt * 50))
    if number == 20:
        print("going on", flush=True)
"""


ROOT = str(PACKAGE.parent)


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that adds so many answers as soon as it is told to begin."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(root=ROOT), str(path), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    hear(process, "ready")
    return process


def hear(process: subprocess.Popen[str], word: str) -> None:
    """Wait until it says so."""
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


def begin(process: subprocess.Popen[str]) -> None:
    """Let it write."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_kernels_may_write_at_once(path: Path) -> None:
    """No answer of either is lost, and who looks on sees them all."""
    onlooker = Recordings(path)
    assert onlooker.find(task("not there")) is None
    processes = [writer(path, name, 200) for name in "ab"]
    for process in processes:
        begin(process)
    for process in processes:
        process.communicate(timeout=with_slack(60))
    asked = [task(f"{name}{number}") for name in "ab" for number in range(200)]
    expected = [each.prompt * 50 for each in asked]
    assert texts(onlooker, asked) == texts(Recordings(path), asked) == expected
    assert onlooker.warnings == ()


def test_a_killed_writer_leaves_a_file_that_serves(path: Path) -> None:
    """Every whole line, and whatever is added later."""
    for place in range(3):
        process = writer(path, f"{place}-", 100_000)
        begin(process)
        hear(process, "going on")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=with_slack(60))
        store, fresh = Recordings(path), task(f"fresh {place}")
        store.add(fresh, Record(0, "w1", "ok", str(REAL), "new"))
        known = [task(f"{place}-{number}") for number in range(10)]
        assert texts(store, [*known, fresh]) == [*(each.prompt * 50 for each in known), "new"]
