"""How many calls a worker of a cluster is given at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from parallm_magics.cluster.chunk_reader import ChunkReader
from parallm_magics.cluster.chunk_sizes import LARGEST_CHUNK, LARGEST_TEXT, chunk_size, suffices
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Task
from parallm_magics.engine.clock import Clock
from parallm_magics.engine.retries import Rules


def test_all_workers_get_some_of_a_small_map() -> None:
    """Four workers have eight places for 40 calls."""
    assert chunk_size(Rules(known=40), 4, 0, 0.0) == 5
    assert chunk_size(Rules(known=1), 4, 0, 0.0) == 1


def test_a_chunk_of_fast_calls_is_large_but_not_the_last_ones() -> None:
    """What is left is shared by all workers."""
    rules = Rules(known=100_000)
    assert chunk_size(rules, 2, 200, 1e6) == LARGEST_CHUNK
    sizes, sent = list[int](), 90_000
    while sent < 100_000:
        sizes.append(min(chunk_size(rules, 2, sent, 1e6), 100_000 - sent))
        sent += sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes[-2:]) <= 200


def test_a_chunk_holds_more_calls_than_are_made_at_once() -> None:
    """Else a worker would wait for its next one."""
    assert chunk_size(Rules(concurrency=2000, known=None), 2, 0, 0.0) >= 1000
    assert chunk_size(Rules(concurrency=2000, known=10_000), 2, 2000, 0.0) == 2000


def test_the_first_chunks_hold_only_what_is_made_at_once() -> None:
    """So they begin soon; what comes after them is not read before that."""
    rules = Rules(concurrency=2000, known=10_000)
    assert chunk_size(rules, 2, 0, 0.0) == 1000
    assert suffices(rules, 2, 2, 2000, begun=False)
    assert not suffices(rules, 2, 1, 1000, begun=False)
    assert not suffices(rules, 2, 2, 2000, begun=True)
    few = Rules(concurrency=8, known=80)
    assert not suffices(few, 2, 1, chunk_size(few, 2, 0, 0.0), begun=False), "no worker stands idle"


def test_workers_with_small_chunks_have_more_of_them() -> None:
    """Else the last calls would wait for the end of those before them; but never without bounds."""
    rules = Rules(concurrency=200, known=10_000)
    assert suffices(rules, 1, 2, 400, begun=True)
    assert not suffices(rules, 1, 2, 399, begun=True)
    assert suffices(rules, 1, 4, 20, begun=True)


def test_a_chunk_of_long_prompts_has_few_calls() -> None:
    """Packing them would hold up the kernel; what is over is in the next chunk."""
    prompt = "x" * (LARGEST_TEXT // 4)

    async def sizes() -> list[int]:
        calls = (Task(n, str(n), Model("sim", "m"), prompt) for n in range(10))
        job = SimpleNamespace(calls=calls, slots=SimpleNamespace(clock=Clock()))
        reader = ChunkReader(cast("Any", job), cast("Any", None), lambda model: None, lambda: None)
        found = list[int]()
        while not reader.ended:
            tasks, _ = reader.read(200)
            found += [len(tasks)] if tasks else []
        return found

    assert asyncio.run(sizes()) == [4, 4, 2]
