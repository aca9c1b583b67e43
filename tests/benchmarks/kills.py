"""What a process that is killed in the middle of a run has to ask again: next to nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench import MODELS, Figure, Server, table

KILLS = 100
CALLS = 60
CONCURRENCY = 10
CALL = 20
# Under load an answer may be on its way for so long after the server sent it.
ON_THE_WAY = 0.1
ABOUT = (
    f"SIGKILL at a random moment of a process that runs `await fanout(…, each=…)` over {CALLS} items, "
    f"{CONCURRENCY} at once, {CALL} ms each, with recordings on, again and again with new items; then "
    "the same process once more, to its end. The server says who was asked in both: repeated are the "
    "prompts that were; lost are those of them whose answer had left the server more than "
    f"{ON_THE_WAY * 1000:g} ms before the kill; not there are items without an answer in the end."
)
PROGRAM = """
import asyncio, sys
from parallm_magics import fanout
which, model, calls, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
async def main():
    print("ready", flush=True)
    run = await fanout(
        "Say something about {{item}}.",
        each=(f"document number {n} of set {which}" for n in range(calls)),
        model=model, concurrency=concurrency, stream="off",
    )
    print(len(run.succeeded), flush=True)
asyncio.run(main())
"""


class Killed(NamedTuple):
    """What one kill cost."""

    answered: int
    repeated: int
    lost: int
    missing: int


def process(server: Server, file: Path, which: str, dialect: str) -> subprocess.Popen[str]:
    """The run, in a process of its own."""
    model = f"{dialect}:{MODELS[dialect]}"
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, which, model, str(CALLS), str(CONCURRENCY)],
        env=server.environment() | {"PARALLM_RECORDINGS": str(file)},
        stdout=subprocess.PIPE,
        text=True,
    )


def killed(server: Server, file: Path, which: str, dialect: str, share: float) -> Killed:
    """One kill and the run after it; `share` is how much of the run was to pass before."""
    first = process(server, file, which, dialect)
    # The SDK's import comes before the first call: the moment is counted in answers, not from the start.
    wanted = max(1, round(share * CALLS))
    while server.count() < wanted and first.poll() is None:
        time.sleep(0.001)
    time.sleep(random.Random(which).uniform(0, CALL / 1000))
    at = time.monotonic()
    first.kill()
    first.communicate()
    before = {prompt: (begun, answered) for prompt, begun, answered in server.calls()}
    second = process(server, file, which, dialect)
    told = second.communicate(timeout=60)[0].split()
    assert second.returncode == 0, "the run after the kill failed"
    repeated = {prompt for prompt, _, _ in server.calls()} & set(before)
    gone = [
        prompt
        for prompt in repeated
        if before[prompt][1] and before[prompt][0] + CALL / 1000 < at - ON_THE_WAY
    ]
    answered = sum(done for _, done in before.values())
    return Killed(answered, len(repeated), len(gone), CALLS - int(told[-1]))


def unreadable(file: Path) -> int:
    """Lines that are no JSON."""
    bad = 0
    for line in file.read_bytes().splitlines():
        try:
            json.loads(line)
        except ValueError:
            bad += 1
    return bad


def main() -> str:
    """Measure and give out the table."""
    chance = random.Random(1)
    found = []
    with tempfile.TemporaryDirectory() as folder, Server(CALL) as server:
        file = Path(folder) / "recordings.jsonl"
        for n in range(KILLS):
            dialect = list(MODELS)[n % len(MODELS)]
            found.append(killed(server, file, str(n), dialect, chance.uniform(0, 0.9)))
        torn = unreadable(file)
        size = os.path.getsize(file) / 2**20
    answered, repeated, lost, missing = zip(*found, strict=True)
    return table(
        "Kills",
        ABOUT,
        [
            Figure("answers sent before the kill", answered, digits=0),
            Figure("calls repeated", repeated, CONCURRENCY, whole=True, digits=0),
            Figure("answers lost", lost, 0, whole=True, digits=0),
            Figure("items without an answer in the end", missing, 0, whole=True, digits=0),
            Figure("lines of the file that are torn, after all kills", [torn], digits=0),
            Figure("MiB of the file, after all kills", [size], digits=2),
        ],
    )


if __name__ == "__main__":
    print(main())
