"""What goes wrong on a cluster costs no answer that came: stops, dead workers, a dead scheduler, limits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import dask
import pytest
from asking import MODELS
from distributed import default_client
from distributed.scheduler import KilledWorker
from provider import Loopback
from provider_acts import Act
from pydantic import BaseModel, field_validator
from test_dask_engine import cluster, on_a_loop

from parallm_magics import FanoutRun, fanout
from parallm_magics.api import PATTERNS, plan_cell
from parallm_magics.cluster import dask_link, parcels
from parallm_magics.cluster.cluster_run import _chunk_fault
from parallm_magics.cluster.dask_link import _other
from parallm_magics.cluster.packed_columns import LimitEvent
from parallm_magics.cluster.worker_process import WorkerProcess, run_chunk
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Attempt, Event, Fault, Record, Task, Usage
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.errors import BudgetExceeded, OptionError, TooFewSucceeded
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers import registry
from parallm_magics.providers.registry import Clients

NAME = MODELS["openai"]
MODEL = f"openai:{NAME}"


async def mapped(
    items: Sequence[Any], options: str = "", stop: Stop | None = None, told: list[str] | None = None
) -> FanoutRun:
    """A map over items on the cluster in use."""
    clients = Clients()

    def tell(event: Event) -> None:
        if told is not None and event.kind == "said":
            told.append(event.text)

    context = RunContext(clients, stop=stop or Stop(), tell=tell)
    least = "" if "--min-success" in options else "--min-success 0"
    line = f"-m {MODEL} --each items --engine dask {least} {options}"
    plan = plan_cell("fanout", line, "Say {{item}}", {"items": items})
    try:
        run = await PATTERNS["fanout"].run(plan, context)
    finally:
        await clients.close()
    assert isinstance(run, FanoutRun)
    return run


async def until_asked(server: Loopback, calls: int) -> None:
    """Wait until the server has seen so many calls."""
    while len(server.log) < calls:
        await asyncio.sleep(0.01)


@on_a_loop
async def test_whoever_listens_hears_every_call_begin(server: Loopback) -> None:
    """With what is asked, as on one machine."""
    heard: list[tuple[int, str]] = []

    def tell(event: Event) -> None:
        if event.kind == "started" and event.task is not None:
            heard.append((event.index, event.task.prompt))

    clients = Clients()
    plan = plan_cell(
        "fanout", f"-m {MODEL} --each items --engine dask", "Say {{item}}", {"items": [5, 6]}
    )
    async with cluster(1):
        await PATTERNS["fanout"].run(plan, RunContext(clients, tell=tell))
    await clients.close()
    assert sorted(heard) == [(0, "Say 5"), (1, "Say 6")]


@on_a_loop
async def test_a_stop_ends_all_calls_and_keeps_what_came(server: Loopback) -> None:
    """Calls under way end as cancelled; those of a small cell that never began do too."""
    server.script(NAME, lambda call: Act(text="x", hang=len(server.log) > 4))
    stop = Stop()
    async with cluster():
        running = asyncio.ensure_future(mapped(range(40), "-c 6", stop))
        await until_asked(server, 8)
        stop("interrupted")
        run = await running
    statuses = [record.status for record in run.results]
    assert len(statuses) == 40
    assert set(statuses) <= {"ok", "cancelled"}
    assert all(r.error.message == "interrupted" for r in run.results if r.error is not None)
    assert [record.index for record in run.results] == list(range(40))


@on_a_loop
async def test_who_awaits_the_run_may_cancel_it(server: Loopback) -> None:
    """Nothing runs on."""
    server.script(NAME, lambda call: Act(hang=True))
    async with cluster():
        running = asyncio.ensure_future(mapped(range(8), "-c 4"))
        await until_asked(server, 4)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while server.in_flight:
            await asyncio.sleep(0.01)


@on_a_loop
async def test_the_work_of_a_worker_that_closes_goes_on_elsewhere(server: Loopback) -> None:
    """Each item has its answer; asked again is at most what it had under way."""
    server.script(NAME, lambda call: Act(text="x", delay=0.05))
    async with cluster(2) as started:
        running = asyncio.ensure_future(mapped(range(300), "-c 10"))
        await until_asked(server, 60)
        first = next(iter(started.workers.values()))
        await first.close()
        run = await running
    assert [record.status for record in run.results] == ["ok"] * 300
    assert len(server.log) <= 300 + 40


@on_a_loop
async def test_what_came_is_kept_when_the_scheduler_dies(server: Loopback) -> None:
    """The other calls fail, and say why."""
    server.script(NAME, lambda call: Act(text="x", hang=len(server.log) > 8))
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        await scheduler_dies(server)


async def scheduler_dies(server: Loopback) -> None:
    """Its client looks for it in vain."""
    async with cluster(1) as started:
        running = asyncio.ensure_future(mapped(range(20), "-c 4"))
        await until_asked(server, 12)
        await asyncio.sleep(0.5)  # what was answered has arrived
        closing = asyncio.ensure_future(started.scheduler.close())
        run = await running
        closing.cancel()
    assert len(run.results) == 20
    assert 1 <= len(run.succeeded) <= 12
    said = {record.error.message for record in run.results if record.error is not None}
    assert all(text.startswith("the Dask scheduler at tcp://") for text in said)


@on_a_loop
async def test_what_came_is_kept_when_the_client_is_closed(server: Loopback) -> None:
    """Much of it was not even sent by then."""
    async with cluster(1):
        running = asyncio.ensure_future(mapped(range(1200), "-c 50"))
        await until_asked(server, 250)
        await default_client().close()
        async with asyncio.timeout(20):
            run = await running
    assert len(run) == 1200
    assert 50 <= len(run.succeeded) < 1200
    assert {record.error.kind for record in run.results if record.error is not None} == {
        "connection"
    }


def test_a_chunk_that_kills_workers_is_told_as_that() -> None:
    """In one line."""
    worker = cast("Any", SimpleNamespace(address="tcp://somewhere"))
    fault = _chunk_fault(KilledWorker("parallm-1", worker, 3))
    assert fault.message.startswith("4 workers died with this call among theirs")


@pytest.mark.parametrize(("answered", "asked"), [(8, 20), (0, 0)], ids=["some", "none"])
def test_calls_whose_workers_died_are_sent_again_where_some_of_their_chunk_were_answered(
    answered: int, asked: int, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then something else may have killed the workers; where nothing came, the calls may have."""

    def dying(terms: bytes, number: int, chunk: bytes) -> None:
        if number == 1 or not answered:
            if answered:
                some = parcels.pack_chunk(parcels.unpacked(chunk).tasks[:answered])
                run_chunk(terms, number, some)
            raise KilledWorker("chunk", cast("Any", SimpleNamespace(address="somewhere")), 3)
        run_chunk(terms, number, chunk)

    monkeypatch.setattr(dask_link, "run_chunk", dying)

    async def run_it() -> FanoutRun:
        async with cluster(1):
            return await mapped(range(20))

    run = asyncio.run(run_it())
    assert len(run.succeeded) == len(server.log) == asked
    assert len(run.results) == 20


@on_a_loop
async def test_one_refusal_holds_the_calls_of_all_workers(server: Loopback) -> None:
    """What one worker hears of the provider's pause, the others go by."""
    acts = iter([Act()] * 11 + [Act(status=429, headers={"retry-after": "2"})])
    server.script(NAME, lambda call: next(acts, Act(delay=0.02)))
    async with cluster(2):
        run = await mapped(range(200), "-c 8")
    assert [record.status for record in run.results] == ["ok"] * 200
    starts = sorted(record.start for record in run.results)
    assert max(after - before for before, after in pairwise(starts)) > 1.0


@on_a_loop
async def test_the_cap_on_cost_holds_over_all_workers(server: Loopback) -> None:
    """What is asked costs no more than it; the rest is not asked, and says why."""
    async with cluster(2):
        with pytest.raises(BudgetExceeded) as caught:
            await mapped(range(200), "--max-cost 0.0002 --max-tokens 50")
    records = caught.value.records
    assert sum(record.cost or 0 for record in records) <= 0.0002
    assert 20 < sum(record.ok for record in records) == len(server.log)
    assert {record.error.kind for record in records if record.error is not None} == {"budget"}


@on_a_loop
async def test_a_wrong_key_ends_the_run_after_few_calls(server: Loopback) -> None:
    """Of a large map the rest is not even read."""
    server.script(NAME, lambda call: Act(status=401))
    async with cluster(2):
        run = await mapped(range(5_000))
    assert len(server.log) <= 40
    assert len(run.results) < 2_000


@on_a_loop
async def test_without_a_worker_it_waits_and_says_so(server: Loopback) -> None:
    """It goes on as soon as there is one."""
    told: list[str] = []
    async with cluster(1) as started:
        started.scale(0)
        await started
        while started.scheduler.workers:
            await asyncio.sleep(0.01)
        running = asyncio.ensure_future(mapped(range(5), told=told))
        while not told:
            await asyncio.sleep(0.01)
        started.scale(1)
        run = await running
    assert len(run.succeeded) == 5
    assert told[0].endswith("no worker is connected: waiting for one")


@on_a_loop
async def test_whatever_a_worker_raises_ends_its_calls_in_one_line(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that cannot unpack what it was sent."""

    async def broken(*_: object) -> None:
        raise RuntimeError("no such thing\nhere")

    monkeypatch.setattr(WorkerProcess, "work", broken)
    async with cluster(1):
        run = await mapped(range(3))
    said = "the worker could not make the call (RuntimeError: no such thing here)"
    assert [record.error and record.error.message for record in run.results] == [said] * 3


@on_a_loop
async def test_too_few_successes_end_the_calls_of_all_workers(server: Loopback) -> None:
    """What was sent to them and not begun is not asked any more."""
    server.script(NAME, lambda call: Act(status=400, delay=0.05))
    async with cluster(2):
        with pytest.raises(TooFewSucceeded):
            await mapped(range(200), "-c 4 --min-success 198")
    assert len(server.log) <= 60


@on_a_loop
async def test_a_worker_without_a_key_says_which_one_and_where(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys come from the workers' own environment, the kernel needs none; the run ends early."""

    monkeypatch.delenv("OPENAI_API_KEY")
    async with cluster(1):
        run = await mapped(range(3_000))
    said = {record.error.message for record in run.results if record.error is not None}
    assert any(
        text.startswith("worker tcp://127.0.0.1") and "OPENAI_API_KEY" in text for text in said
    )
    assert len(run.results) < 1_000
    assert not server.log


class Bill(BaseModel):
    """A class that no worker can import."""

    vendor: str
    total: float

    @field_validator("vendor")
    @classmethod
    def known(cls, vendor: str) -> str:
        """A rule that only the class knows."""
        if vendor == "nobody":
            raise ValueError("unknown vendor")
        return vendor


@on_a_loop
async def test_objects_of_the_users_classes_are_made_here(server: Loopback) -> None:
    """Workers go by the JSON Schema; what only the class knows is checked where the class is."""
    texts = iter(['{"vendor": "a", "total": 1}', '{"vendor": "nobody", "total": 2}'])
    server.script(NAME, lambda call: Act(text=next(texts)))
    async with cluster(1):
        run = await fanout(
            "Read {{item}}",
            each=[1, 2],
            model=MODEL,
            schema=Bill,
            engine="dask",
            min_success=0,
            concurrency=1,
        )
    good, bad = run.results
    assert good.value == Bill(vendor="a", total=1)
    assert (bad.status, bad.error and bad.error.message) == ("invalid", "vendor: unknown vendor")


def test_nothing_of_a_key_is_sent() -> None:
    """An address that holds credentials is refused, and other addresses go along."""
    registry.define("own", "http://127.0.0.1:1/v1", "MY_KEY")
    registry.define("secret", "http://user:pw@127.0.0.1:1/v1")
    try:
        entry, *_ = parcels._entries(["own", "openai"])
        assert (entry.name, entry.keys) == ("own", ("MY_KEY",))
        with pytest.raises(OptionError, match="'secret' holds credentials, which are not sent"):
            list(parcels._entries(["secret"]))
    finally:
        registry.forget("own")
        registry.forget("secret")


class Ours:
    """What only a notebook has."""


def test_what_is_sent_arrives_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The many small objects are packed by their fields, not by a dataclass's own slow way."""
    task = Task(3, "a", Model("openai", NAME), "Say \ud800 __main__", key=None, item=1.5)
    asked = replace(task, questions=(task, replace(task, index=4)), params={"a": [1, {"b": None}]})
    record = task.ended("ok", text="\0", usage=Usage(1, 2, 3, 4), attempts=(Attempt("ok", 0.5),))
    events, limits = (Event("started", 3, 0.1),), (LimitEvent("openai", "limited", 0.1, 2.0),)
    records = (
        record,
        replace(record, text="x", usage=None, attempts=(), error=Fault("auth", "no")),
    )
    for sent in (
        parcels.Chunk((asked, task), ()),
        parcels.Report("m", "a", records, events, limits),
        parcels.Report("m", "a", records, ended=(3,), over=True),
    ):
        assert parcels.unpacked(parcels.packed(sent)) == sent
    monkeypatch.setattr(Record, "__getstate__", None)
    assert parcels.unpacked(parcels.packed(parcels.Report("m", "a", records))).records == records


def test_a_class_of_the_notebook_is_taken_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker could import it."""
    monkeypatch.setattr(Ours, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Ours", Ours, raising=False)
    data = parcels.packed({"value": Ours()})
    monkeypatch.delattr(sys.modules["__main__"], "Ours")
    assert type(parcels.unpacked(data)["value"]).__name__ == "Ours"


@pytest.mark.parametrize(
    ("python", "version", "said"),
    [
        ("3.11.7", "1.0", ""),
        ("3.12.1", "1.0", "has Python 3.12, this notebook has 3.11; use the same there"),
        (
            "3.11.2",
            "0.9",
            "has parallm_magics 0.9, this notebook has 1.0; install the same version there",
        ),
        (
            "3.11.7",
            None,
            "does not have parallm_magics; install it there: pip install parallm_magics==1.0",
        ),
    ],
)
def test_other_versions_on_workers_are_told_in_one_line(
    python: str, version: str | None, said: str
) -> None:
    """Before anything is sent."""
    here = {"host": {"python": "3.11.7.final.0"}, "packages": {"parallm_magics": "1.0"}}
    there = {"host": {"python": f"{python}.final.0"}, "packages": {"parallm_magics": version}}
    assert _other(here, there) == said
