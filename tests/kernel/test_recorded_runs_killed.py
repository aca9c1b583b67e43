"""Recordings survive the death of their process, and a replay needs no SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import served
from kernel import environment
from provider import Act, Loopback

from parallm_magics import (
    fanout,
    vote,
)

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}


MERGED = "about this\n%section a\nA\n%section b\nB\n%section c\nC\n%synthesis\nMerge.\n"
QUESTION = "Which one?"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the recordings, named by the environment; not there yet."""
    path = tmp_path / "answers.jsonl"
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    return path


@pytest.fixture
def door() -> Iterator[Loopback]:
    """The server, as the provider of every official model, with keys."""
    with served() as server:
        yield server


def printed(program: str, env: dict[str, str]) -> str:
    """What a program writes, which must not complain."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


def test_no_sdk_is_imported_for_what_is_recorded(
    path: Path, door: Loopback, tmp_path: Path
) -> None:
    """Nor a price table; nothing that could open a socket."""
    program = (
        "import asyncio, sys\nfrom parallm_magics import fanout, vote\n"
        f"run = asyncio.run(fanout({MERGED!r}, model={MODELS['anthropic']!r}))\n"
        f"asyncio.run(vote({QUESTION!r}, model={MODELS['openai']!r}, n=3, choices='echo,other'))\n"
        "heavy = ('anthropic', 'openai', 'httpx2', 'aiohttp', 'genai_prices')\n"
        "print(len(run), [name for name in heavy if name in sys.modules])"
    )
    asyncio.run(fanout(MERGED, model=MODELS["anthropic"]))
    asyncio.run(vote(QUESTION, model=MODELS["openai"], n=3, choices="echo,other"))
    asked = len(door.log)
    env = environment(tmp_path, PARALLM_RECORDINGS=str(path))
    assert printed(program, env) == "3 []"
    assert len(door.log) == asked


KILLED = """
import asyncio
from parallm_magics import fanout
docs = [f"document {n}" for n in range(200)]
run = asyncio.run(fanout("{{item}}", each=docs, model="gpt-6-luna", concurrency=10))
print(len(run))
"""


def test_a_killed_process_loses_what_was_in_flight_only(
    path: Path, door: Loopback, tmp_path: Path
) -> None:
    """Wherever the kill falls, the next run asks nobody twice but those."""
    door.script(MODELS["openai"], Act(delay=0.02))
    env = environment(
        tmp_path,
        PARALLM_RECORDINGS=str(path),
        OPENAI_API_KEY="sk-a-key",
        OPENAI_BASE_URL=f"{door.url}/v1",
    )
    moments = random.Random(11)
    for _ in range(5):
        path.unlink(missing_ok=True)
        door.clear()
        process = subprocess.Popen([sys.executable, "-c", KILLED], env=env)
        wanted = moments.randrange(1, 180)
        while len(door.log) < wanted:
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.wait()
        while door.in_flight:
            time.sleep(0.01)
        before, whole = [call.prompt for call in door.log], path.exists() and path.read_bytes()
        kept = {entry["request"]["prompt"] for entry in entries_of(whole or b"")}
        door.clear()
        assert printed(KILLED, env) == "200"
        after = [call.prompt for call in door.log]
        repeated = set(before) & set(after)
        assert len(repeated) <= 10
        assert not kept & set(after)
        assert len(after) == len(set(after)) == 200 - len(kept)


def entries_of(content: bytes) -> list[dict[str, Any]]:
    """The whole lines; a kill may have torn the last one."""
    found = []
    for line in content.splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found
