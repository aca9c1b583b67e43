"""The same cell on a Dask cluster: its records come back in the cell's order, as from one machine."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import MODELS, each_dialect, fanned, sections, voted
from distributed import Client, LocalCluster
from provider import Loopback

from parallm_magics import FanoutRun, fanout
from parallm_magics.errors import OptionError
from parallm_magics.patterns.stored_records import StoredRecords

SIM = "sim?scale=0"


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that awaits."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@asynccontextmanager
async def cluster(workers: int = 2) -> AsyncIterator[LocalCluster]:
    """A cluster within this process, and a client of it that is in use."""
    async with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tcp",
            processes=False,
            dashboard_address="127.0.0.1:0",
            asynchronous=True,
            silence_logs=logging.CRITICAL,
        ) as started,
        Client(started, asynchronous=True),
    ):
        yield started


async def both(text: str, **options: object) -> tuple[FanoutRun, FanoutRun]:
    """The run of a cell on this machine, and on a cluster."""
    local = await fanned(text, **options)
    async with cluster():
        return local, await fanned(text, engine="dask", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"rpm": 3, "schema": "vendor, total: number"},
        {"tpm": 40, "concurrency": 3},
        {"model": "sim?scale=0&sharpness=3", "choices": "A,B"},
        {"model": "sim?scale=0&fail=0.5", "choices": "A,B", "n": 2},
    ],
)
@on_a_loop
async def test_simulated_limits_kinds_and_failures_are_as_on_one_machine(
    options: dict[str, Any],
) -> None:
    """A simulated minute has room for as many calls, whoever makes them."""
    local, there = await both("Say {{item}}", **{"each": list("abcdefgh"), "model": SIM, **options})
    assert list(local.results) == list(there.results)


@pytest.mark.parametrize("items", [1, 3, 250])
@on_a_loop
async def test_simulated_calls_give_the_same_records_as_on_one_machine(items: int) -> None:
    """Answers, simulated times, order and the mark that they are simulated."""
    local, there = await both("Say {{item}}", each=list(range(items)), model=SIM, concurrency=7)
    assert list(local.results) == list(there.results)
    assert all(record.simulated for record in there.results)


@on_a_loop
async def test_results_from_a_cluster_lie_in_parquet_parts(tmp_path: Path) -> None:
    """In the cell's order, as from one machine."""
    local, there = await both(
        "Say {{item}}", each=list(range(250)), model=SIM, out_file=f"{tmp_path}/out/"
    )
    assert isinstance(there.results, StoredRecords)
    assert [*there.values()] == [*local.values()]
    assert [record.index for record in there.results] == list(range(250))


@each_dialect
@on_a_loop
async def test_answers_come_back_from_real_providers(dialect: str, server: Loopback) -> None:
    """Each call is made once, on some worker, by the provider's SDK."""
    async with cluster():
        run = await fanned(
            "Say {{item}}",
            each=list("abcdefgh"),
            model=f"{dialect}:{MODELS[dialect]}",
            engine="dask",
        )
    assert [record.status for record in run.results] == ["ok"] * 8
    assert [record.index for record in run.results] == list(range(8))
    assert len(server.log) == 8
    assert all(record.cost and record.usage for record in run.results)


@on_a_loop
async def test_sections_with_several_models_and_a_vote(server: Loopback) -> None:
    """Every pattern's workers may be asked on a cluster."""
    async with cluster():
        models = [f"{dialect}:{model}" for dialect, model in MODELS.items()]
        run = await fanned(sections(*models, SIM), engine="dask")
        vote = await voted("Is it? ", choices="YES,NO", n=5, model=SIM, engine="dask")
    assert [record.ok for record in run.results] == [True] * 3
    assert len(vote.results) == 5


@on_a_loop
async def test_what_cannot_be_done_is_refused_in_one_line() -> None:
    """Before any call."""
    with pytest.raises(OptionError, match="no Dask cluster is connected"):
        await fanned("hello", model=SIM, engine="dask")
    with pytest.raises(OptionError, match="--stop clinch cannot be combined with --engine dask"):
        await voted("hello", model=SIM, n=3, stop="clinch", engine="dask", choices="A,B")


def test_a_replay_needs_no_cluster(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded of a cell is served where no cluster is connected, as in CI."""
    path = tmp_path / "answers.jsonl"
    options: dict[str, Any] = {"each": ["a", "b"], "model": "anthropic:claude-haiku-5-5"}
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    asked = asyncio.run(fanout("Say {{item}}.", **options))
    assert len(server.log) == 2
    monkeypatch.setenv("PARALLM_RECORDINGS", f"replay:{path}")
    run = asyncio.run(fanout("Say {{item}}.", engine="dask", **options))
    assert [record.text for record in run.results] == [record.text for record in asked.results]
    assert all(record.replayed for record in run.results)
    assert len(server.log) == 2
