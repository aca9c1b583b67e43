"""Whole runs with --batch through the real SDKs: every request ends in one record, and none is sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import fanned
from batches_asked import MODELS, each_dialect
from provider import KEY, Loopback
from provider_acts import HTML, Act
from provider_batches import Accepted, Batches, Fate

from parallm_magics import FanoutRun
from parallm_magics.core.models import Model
from parallm_magics.engine import batch_search
from parallm_magics.engine.batch_queue import Queue
from parallm_magics.engine.run_batch import RunBatch
from parallm_magics.errors import BudgetExceeded
from parallm_magics.providers import bill

SOON = 0.02
ITEMS = [f"item {at}" for at in range(12)]
TOO_MUCH = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}
WRONG = {"code": "invalid_request", "message": "The model does not exist.", "line": 1}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What would be looked at in a while is looked at in a moment."""

    def look_later(self: RunBatch, now: float, note: str = "", least: float = 0.0) -> None:
        self.due, self.note = now + SOON, note

    def wait(self: Queue, now: float, note: str, least: float = 0.0) -> None:
        self.ready, self.note = now + SOON, note

    monkeypatch.setattr(RunBatch, "look_later", look_later)
    monkeypatch.setattr(Queue, "wait", wait)
    monkeypatch.setattr(batch_search, "LOOK_AGAIN_SECONDS", SOON)
    monkeypatch.setenv("PARALLM_RECORDINGS", str(tmp_path / "kept.jsonl"))


async def asked(dialect: str, items: list[str] = ITEMS, **options: Any) -> FanoutRun:
    """A map of the items in a batch."""
    return await fanned(
        "Is {{item}} safe?",
        each="items",
        variables={"items": items},
        model=f"{dialect}:{MODELS[dialect]}",
        batch=True,
        **options,
    )


def fates(found: dict[int, Fate]) -> Callable[[int, str], Fate]:
    """What becomes of the requests in these places; all others are answered."""
    return lambda at, name: found.get(at, "")


def _lost_and_unlisted(batches: Batches) -> None:
    batches.script("create", Accepted(Act(reset="close")), Act())
    batches.script("list", Act(), Act(status=500), Act(body="null"), Act())


def _refused_once(batches: Batches, error: dict[str, object]) -> None:
    batches.refusal = [error]
    batches.refusals = 1


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong once.

    Attributes:
        of: makes it so.
        batches: how many batches are made in all.
        failed: how many requests end without an answer.
        only: the dialects that have such trouble; "" for all.
    """

    of: Callable[[Batches], None]
    batches: int = 1
    failed: int = 0
    only: str = ""


TROUBLES = {
    "none": Trouble(lambda batches: None),
    "creation is lost after it was taken": Trouble(
        lambda batches: batches.script("create", Accepted(Act(reset="close")), Act())
    ),
    "creation breaks after it was taken": Trouble(
        lambda batches: batches.script("create", Accepted(Act(status=503)), Act())
    ),
    "creation is lost before it was taken": Trouble(
        lambda batches: batches.script("create", Act(reset="before"), Act())
    ),
    "creation breaks before it was taken": Trouble(
        lambda batches: batches.script("create", Act(status=500), Act(status=500), Act())
    ),
    "creation is answered by a page": Trouble(
        lambda batches: batches.script("create", Accepted(Act(body=HTML)), Act())
    ),
    "too fast": Trouble(lambda batches: batches.script("create", Act(status=429), Act())),
    "upload breaks": Trouble(
        lambda batches: batches.script("upload", Act(status=500), Act(reset="before"), Act()),
        only="openai",
    ),
    "the list breaks": Trouble(
        lambda batches: batches.script("list", Act(status=500), Act(status=429), Act())
    ),
    "lost, and the list breaks": Trouble(_lost_and_unlisted),
    "its state is not told": Trouble(
        lambda batches: batches.script(
            "retrieve", Act(status=500), Act(body=HTML), Act(reset="close"), Act(status=404), Act()
        )
    ),
    "results break off": Trouble(
        lambda batches: batches.script("results", Act(then="abort"), Act(status=500), Act())
    ),
    "results are compressed": Trouble(lambda batches: batches.script("results", Act(gzip=True))),
    "some have expired": Trouble(
        lambda batches: setattr(batches, "fate", fates({1: "expired", 7: "expired"})), failed=2
    ),
    "some are missing": Trouble(
        lambda batches: setattr(batches, "fate", fates({0: "missing", 11: "missing"})), failed=2
    ),
    "some come twice": Trouble(
        lambda batches: setattr(batches, "fate", fates({3: "duplicate", 4: "duplicate"}))
    ),
    "its clock is ten years wrong": Trouble(
        lambda batches: setattr(batches, "skew", -10 * 365 * 86_400.0)
    ),
    "too much waits": Trouble(
        lambda batches: _refused_once(batches, TOO_MUCH), batches=3, only="openai"
    ),
    "refused": Trouble(lambda batches: _refused_once(batches, WRONG), failed=12, only="openai"),
}


@each_dialect
@pytest.mark.parametrize("name", TROUBLES)
def test_every_request_ends_in_one_record_and_is_sent_once(
    server: Loopback, dialect: str, name: str
) -> None:
    """Whatever goes wrong on the way; the next run of the cell asks again what has no answer, and nothing else."""
    trouble = TROUBLES[name]
    if not dialect.startswith(trouble.only):
        return
    trouble.of(server.batches)
    run = asyncio.run(asked(dialect))
    assert len(run.succeeded) == len(ITEMS) - trouble.failed
    assert len(run.results) == len(ITEMS)
    assert len(server.batches.made) == trouble.batches
    assert KEY not in repr(run)
    for record in run.results:
        assert record.ok or record.cost == 0
        assert record.ok or record.error is not None
    sent = Counter(
        str(body) for batch in server.batches.made.values() for body in batch.requests.values()
    )
    refused = sum(bool(batch.errors) for batch in server.batches.made.values())
    assert max(sent.values()) == 1 + min(refused, trouble.batches - 1)
    server.batches.fate = fates({})
    before = len(server.batches.names())
    again = asyncio.run(asked(dialect))
    assert len(again.succeeded) == len(ITEMS)
    assert len(server.batches.names()) - before == trouble.failed


@each_dialect
def test_a_batch_costs_half(
    server: Loopback, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price of all its calls is half of what they cost by themselves."""
    batched = asyncio.run(asked(dialect))
    monkeypatch.delenv("PARALLM_RECORDINGS")
    plain = asyncio.run(
        fanned(
            "Is {{item}} safe?",
            each="items",
            variables={"items": ITEMS},
            model=f"{dialect}:{MODELS[dialect]}",
            stream="off",
        )
    )
    assert plain.cost
    assert batched.cost == plain.cost / 2


@each_dialect
def test_a_cap_counts_the_price_of_a_batch(server: Loopback, dialect: str) -> None:
    """What is sent in a batch is answered at that price: twice as many calls fit under one cap."""
    model = Model(dialect, MODELS[dialect])
    size = max(len(f"Is {item} safe?") for item in ITEMS)
    usual = bill.worst(model, size, 100)
    assert usual is not None
    run = asyncio.run(asked(dialect, max_tokens=100, max_cost=usual * len(ITEMS) / 2))
    assert len(run.succeeded) == len(ITEMS)
    assert len(server.batches.names()) == len(ITEMS)


@each_dialect
def test_a_cap_that_is_too_low_leaves_calls_unsent(server: Loopback, dialect: str) -> None:
    """Those that the cap has no room for are never in a batch, and no cent above it is spent."""
    usual = bill.worst(Model(dialect, MODELS[dialect]), len("Is item 0 safe?"), 100)
    assert usual is not None
    with pytest.raises(BudgetExceeded) as caught:
        asyncio.run(asked(dialect, max_tokens=100, max_cost=usual * Decimal("0.6")))
    costs = [record.cost for record in caught.value.records if record.ok]
    assert costs
    assert None not in costs
    assert sum(filter(None, costs)) <= usual * Decimal("0.6")
    assert len(server.batches.names()) == len(costs)


@each_dialect
def test_a_server_without_batches_is_told_once(server: Loopback, dialect: str) -> None:
    """At a moved address: every call ends with one clear line, and nothing has been paid."""
    for operation in ("upload", "create", "list"):
        server.batches.script(operation, Act(status=404, body="404 page not found"))  # type: ignore[arg-type]
    run = asyncio.run(asked(dialect))
    [told] = {record.error.message for record in run.results if record.error}
    assert "has no batch API (HTTP 404); run the cell without --batch" in told
    assert not run.cost
