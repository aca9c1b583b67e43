"""What a process that is killed in the middle of a run has to ask again: at most what was in flight."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bench import KEY, MODELS, OURS, Figure, table
from provider import Act, Loopback

KILLS = 200
ITEMS = 200
CONCURRENCY = 10
CALL = 20  # milliseconds
# What left the server so long before the kill had arrived, on a busy machine too.
ON_THE_WAY = 0.1
ABOUT = (
    f"SIGKILL at a random moment of a process that runs `await fanout(…, each=…)` over {ITEMS} items, "
    f"{CONCURRENCY} at once, {CALL} ms each, with recordings on: each time over new items, all into "
    "one file, dialects and streaming in turn. Then the same process once more, to its end. Repeated "
    "are the prompts that the server saw in both; kept and asked again, those of them that a line of "
    "the file had answered at the kill; lost, those whose answer had left the server more than "
    f"{ON_THE_WAY * 1000:g} ms before it."
)
PROGRAM = """
import asyncio, sys
from parallm_magics import fanout
which, model, items, concurrency, stream = sys.argv[1:]
run = asyncio.run(fanout(
    "Say something about {{item}}.",
    each=[f"document {n} of set {which}" for n in range(int(items))],
    model=model, concurrency=int(concurrency), stream=stream,
))
print(len(run.succeeded))
"""


class Killed(NamedTuple):
    """What one kill cost."""

    kept: int
    repeated: int
    again: int
    lost: int
    missing: int


def process(server: Loopback, file: Path, which: int) -> subprocess.Popen[str]:
    """The run, in a process of its own."""
    dialect = list(MODELS)[which % 2]
    stream = ("off", "on")[which // 2 % 2]
    model = f"{dialect}:{MODELS[dialect]}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(which), model, str(ITEMS), str(CONCURRENCY), stream],
        env=clean
        | {
            "PARALLM_RECORDINGS": str(file),
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": server.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{server.url}/v1",
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def killed(server: Loopback, file: Path, which: int, chance: random.Random) -> Killed:
    """One kill and the run after it."""
    server.clear()
    size = file.stat().st_size if file.exists() else 0
    first = process(server, file, which)
    # Most of a process is imports: the moment is drawn from what comes after the first call.
    wanted = chance.randint(1, ITEMS - CONCURRENCY)
    while len(server.log) < wanted and first.poll() is None:
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, CALL / 1000))
    at = time.monotonic()
    first.kill()
    first.communicate()
    while server.in_flight:
        time.sleep(0.001)
    before = {call.prompt: call for call in server.log}
    kept = answered(file, size)
    server.clear()
    second = process(server, file, which)
    told = second.communicate(timeout=60)[0].split()
    if second.returncode:
        raise RuntimeError("the run after the kill failed")
    asked = {call.prompt for call in server.log}
    repeated = asked & set(before)
    gone = [p for p in repeated if before[p].at + CALL / 1000 + ON_THE_WAY < at]
    return Killed(len(kept), len(repeated), len(asked & kept), len(gone), ITEMS - int(told[0]))


def answered(file: Path, since: int) -> set[str]:
    """The prompts that the file has an answer to, from this byte on."""
    found = set()
    for line in file.read_bytes()[since:].splitlines() if file.exists() else ():
        with suppress(ValueError):
            entry = json.loads(line)
            if entry["status"] == "ok":
                found.add(entry["request"]["prompt"])
    return found


def torn(file: Path) -> int:
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
    with tempfile.TemporaryDirectory() as folder, Loopback() as server:
        file = Path(folder) / "recordings.jsonl"
        for model in MODELS.values():
            server.script(model, Act(delay=CALL / 1000))
        found = [killed(server, file, which, chance) for which in range(KILLS)]
        broken, size = torn(file), file.stat().st_size / 2**20
    kept, repeated, again, lost, missing = zip(*found, strict=True)
    return table(
        "Kills",
        ABOUT,
        [
            Figure("answers on file at the kill", kept, digits=0),
            Figure("calls repeated", repeated, CONCURRENCY, whole=True, digits=0),
            Figure("kept answers asked again", again, 0, whole=True, digits=0),
            Figure("answers lost", lost, 0, whole=True, digits=0),
            Figure("items without an answer in the end", missing, 0, whole=True, digits=0),
            Figure("torn lines in the file, after all kills", [broken], digits=0),
            Figure("MiB of the file, after all kills", [size], digits=1),
        ],
    )


if __name__ == "__main__":
    print(main())
