"""Python looks for garbage less often while calls are under way, and as before when none is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from parallm_magics import ParallmError, fanout
from parallm_magics.cluster import worker_process
from parallm_magics.cluster.parcels import PROCESS, Chunk, RunTerms
from parallm_magics.cluster.worker_process import WorkerProcess
from parallm_magics.engine.accounts import NOTHING
from parallm_magics.engine.garbage import FEWER_COLLECTIONS, YOUNG
from parallm_magics.engine.retries import Rules

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """The thresholds of a new process, and afterwards those that were there."""
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


def test_the_last_of_several_runs_puts_it_back() -> None:
    """Runs overlap, on several loops and threads."""
    with FEWER_COLLECTIONS:
        with FEWER_COLLECTIONS:
            assert gc.get_threshold() == (YOUNG, *USUAL[1:])
        assert gc.get_threshold() == (YOUNG, *USUAL[1:])
    assert gc.get_threshold() == USUAL


@pytest.mark.parametrize("own", [(0, 10, 10), (YOUNG, 5, 5), (10 * YOUNG, 10, 10)])
def test_who_has_set_it_knows_better(own: tuple[int, int, int]) -> None:
    """No garbage collection at all, or a rarer one, stays what it is."""
    gc.set_threshold(*own)
    with FEWER_COLLECTIONS:
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_what_is_set_meanwhile_stays() -> None:
    """Code of the notebook runs beside a run."""
    with FEWER_COLLECTIONS:
        gc.set_threshold(5_000, 20, 20)
    assert gc.get_threshold() == (5_000, 20, 20)
    with FEWER_COLLECTIONS:
        assert gc.get_threshold() == (YOUNG, 20, 20)
    assert gc.get_threshold() == (5_000, 20, 20)


@pytest.mark.parametrize("broken", [False, True])
def test_only_while_calls_are_under_way(broken: bool) -> None:
    """Also where the run ends in an error."""
    seen: list[int] = []

    async def items() -> AsyncIterator[str]:
        seen.append(gc.get_threshold()[0])
        if broken:
            raise ValueError
        yield "a"

    with contextlib.suppress(ParallmError):
        asyncio.run(fanout("{{item}}", variables={"items": items()}, each="items", model="sim"))
    assert seen == [YOUNG]
    assert gc.get_threshold() == USUAL


def test_a_worker_of_a_cluster_looks_less_often_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process makes the calls, so that it is there that they would be looked through again and again."""
    seen = []

    class Run:
        """Stands for a run's place on the worker."""

        chunks = 1

        async def work(self, number: int, chunk: Chunk) -> None:
            """Makes no call."""
            seen.append(gc.get_threshold()[0])

    process = WorkerProcess()
    monkeypatch.setattr(process, "_run_of", lambda terms, worker: Run())
    terms = RunTerms("run", PROCESS, Rules(), lambda *_: None, lambda task: NOTHING, False, None)
    worker: Any = None  # nobody asks for it
    sent = {b"terms": terms, b"chunk": Chunk((), ())}
    monkeypatch.setattr(worker_process, "unpacked", sent.__getitem__)
    asyncio.run(process.work(b"terms", 1, b"chunk", worker))
    assert seen == [YOUNG]
    assert gc.get_threshold() == USUAL
