"""Cost, time and resources: what a run says it used is what the provider counted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from asking import MODELS, each_dialect, fanned, price_of, voted
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import Act, Call, Loopback
from provider_acts import NAMED
from provider_dialects import DIALECTS

from parallm_magics import TooFewSucceeded, fanout
from parallm_magics.core.tasks import Task, Usage
from parallm_magics.providers.registry import define_simulated, forget

BUSY = Act(status=503)
WAIT = Act(status=429, headers={"retry-after": "0.05"})
HANG = Act(hang=True)
FINE = Act(text="a fine answer")
# What each worker meets, call by call, and how it must end.
WORKERS: dict[str, tuple[list[Act], str]] = {
    "fine": ([FINE], "ok"),
    "busy": ([BUSY, FINE], "ok"),
    "busy-busy": ([BUSY, BUSY, FINE], "ok"),
    "busy-for-good": ([BUSY], "failed"),
    "limited": ([WAIT, WAIT, FINE], "ok"),
    "broken-off": ([Act(text="half an answer", then="error"), FINE], "ok"),
    "short": ([Act(text="a cut answer", stop="max_tokens")], "truncated"),
    "refused": ([NAMED["refusal"]], "refused"),
    "blank": ([NAMED["blank-text"]], "invalid"),
    "hollow": ([NAMED["obj-200"]], "invalid"),
    "cut": ([Act(text="half an answer", then="abort")], "failed"),
    "silent": ([HANG], "timed_out"),
    "half-silent": ([Act(text="half an answer", then="hang")], "timed_out"),
    "uncounted": ([replace(FINE, usage=False)], "ok"),
    "wrong": ([NAMED["bad-param"]], "failed"),
}
TEXT = "\n".join(f"%section {name}\n{name}" for name in WORKERS)
# How many tokens these used nobody has said: the sums are "at least".
UNTOLD = {"hollow", "cut", "silent", "half-silent", "uncounted", "broken-off"}


@dataclass
class Book:
    """What the server did with each call, by the prompt that names the worker."""

    done: list[tuple[str, Act, Call]] = field(default_factory=list)

    def act(self, call: Call) -> Act:
        """The worker's next act, the last one for good."""
        acts = WORKERS[call.prompt][0]
        before = sum(name == call.prompt for name, _, _ in self.done)
        act = acts[min(before, len(acts) - 1)]
        self.done.append((call.prompt, act, call))
        return act

    def calls(self, worker: str) -> int:
        """How often a worker's request arrived."""
        return sum(name == worker for name, _, _ in self.done)

    def usage(self, workers: set[str]) -> Usage:
        """The tokens that the server counted for these workers' answers."""
        total = Usage()
        for name, act, call in self.done:
            if name in workers and act.status == 200:
                words = DIALECTS[call.dialect](call, act, act.text or "")
                total += Usage(input_tokens=sum(words.fed), output_tokens=words.gave)
        return total


@each_dialect
@pytest.mark.parametrize("stream", ["on", "off"])
def test_the_sums_of_a_mixed_run_are_those_of_the_servers_log(
    server: Loopback, dialect: str, stream: str
) -> None:
    """Calls, statuses, tokens by class and cost, exactly; "at least" where a call's are untold."""
    book = Book()
    server.script(MODELS[dialect], book.act)
    # Unstreamed answers have no middle: what breaks off there has no text, and is tried again.
    names = [n for n in WORKERS if stream == "on" or n not in ("cut", "broken-off", "half-silent")]
    text = "\n".join(f"%section {name}\n{name}" for name in names)
    run = asyncio.run(fanned(text, model=MODELS[dialect], deadline=4, timeout=1, stream=stream))
    by_name = {record.name: record for record in run.results}
    assert {name: by_name[name].status for name in names} == {n: WORKERS[n][1] for n in names}
    assert len(server.log) == sum(len(record.attempts) for record in run.results)
    assert {name: len(by_name[name].attempts) for name in names} == {
        name: book.calls(name) for name in names
    }
    known = {name for name in names if name not in UNTOLD}
    records = [by_name[name] for name in known]
    counted = book.usage(known)
    assert sum((record.usage or Usage() for record in records), Usage()) == counted
    assert sum((record.cost or Decimal(0) for record in records), Decimal(0)) == price_of(
        dialect, counted
    )
    assert all(record.usage is not None and record.cost is not None for record in records)
    assert run.usage is not None
    assert run.cost is not None
    assert run.usage.total_tokens >= counted.total_tokens
    assert run.cost >= sum((record.cost for record in records if record.cost), Decimal(0))
    assert not run.cost_complete
    assert "at least" in str(run)


@each_dialect
def test_a_run_of_told_calls_has_exact_sums(server: Loopback, dialect: str) -> None:
    """Retries, rate limits, cut and refused answers: tokens and cost equal the log and are complete."""
    book = Book()
    server.script(MODELS[dialect], book.act)
    names = [name for name in WORKERS if name not in UNTOLD]
    text = "\n".join(f"%section {name}\n{name}" for name in names)
    run = asyncio.run(fanned(text, model=MODELS[dialect], deadline=4))
    counted = book.usage(set(names))
    assert run.usage == counted
    assert (run.cost, run.cost_complete) == (price_of(dialect, counted), True)
    assert Counter(record.status for record in run.results) == Counter(
        WORKERS[name][1] for name in names
    )


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        *(("openai", name) for name in sorted(UNTOLD)),
        *(("anthropic", name) for name in sorted(UNTOLD)),
    ],
)
def test_an_untold_call_makes_the_sum_a_least_amount(
    server: Loopback, dialect: str, name: str
) -> None:
    """What was begun and never counted may have cost something: never a sum that looks complete."""
    server.script(MODELS[dialect], Book().act)
    run = asyncio.run(fanned(f"%section a\n{name}", model=MODELS[dialect], timeout=0.8))
    assert run.results[0].status == WORKERS[name][1]
    assert (run.cost is None or run.cost > 0, run.cost_complete) == (True, False)


@each_dialect
def test_calls_never_made_cost_nothing(server: Loopback, dialect: str) -> None:
    """Workers that are cancelled before their first call add neither calls nor unknown costs."""
    server.script("m", Act(status=400, delay=0.05))
    options: dict[str, Any] = {"n": 30, "concurrency": 4, "min_success": 29}
    with pytest.raises(TooFewSucceeded) as error:
        asyncio.run(fanout("hello", model=f"{dialect}:m", **options))
    run = error.value.run
    asked = [record for record in run.results if record.attempts]
    assert len(asked) == len(server.log) < 30
    assert Counter(r.status for r in run.results) == {
        "failed": len(asked),
        "cancelled": 30 - len(asked),
    }
    assert (run.cost, run.cost_complete) == (Decimal(0), True)


# The order.


@settings(max_examples=25)
@given(st.permutations(range(7)))
def test_results_keep_the_cells_order_whatever_ends_first(order: list[int]) -> None:
    """Records, keys, joined text and ballots."""
    turns: dict[int, asyncio.Event] = {}
    ended: list[int] = []

    async def in_turn(task: Task, index: int) -> str:
        for at in range(7):
            turns.setdefault(at, asyncio.Event())
        place = order.index(task.index)
        if place:
            await turns[place].wait()
        ended.append(task.index)
        if place < 6:
            turns[place + 1].set()
        return "ab"[task.index % 2]

    define_simulated("turns", in_turn)
    try:
        text = "\n".join(f"%section s{at}\nask {at}" for at in range(7))
        run = asyncio.run(fanned(text, model="turns:?scale=0"))
        assert ended == order
        turns.clear()
        counted = asyncio.run(voted("which", n=7, choices="a,b", model="turns:?scale=0"))
    finally:
        forget("turns")
    assert [record.name for record in run.results] == list(run) == [f"s{at}" for at in range(7)]
    assert run.text is not None
    assert [line for line in run.text.split("\n") if line.startswith("## ")] == [
        f"## s{at}" for at in range(7)
    ]
    assert [ballot.label for ballot in counted.ballots] == list("abababa")


# Limits and clocks.


@each_dialect
def test_a_concurrency_is_never_passed(server: Loopback, dialect: str) -> None:
    """Of 500 workers exactly seven are at the server at once."""
    server.script("m", Act(delay=0.01))
    run = asyncio.run(fanned("hello", n=500, concurrency=7, model=f"{dialect}:m", stream="off"))
    assert (len(run.succeeded), len(server.log), server.max_in_flight) == (500, 500, 7)


def test_a_stepped_clock_moves_no_limit(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forth and back in the middle of a run: no negative time, no limit early or late."""
    real, steps = time.time, itertools.cycle([0, 3600, -3600])
    monkeypatch.setattr(time, "time", lambda: real() + next(steps))
    server.script("m", WAIT, Act(delay=0.2))
    names = [f"{dialect}:{model}" for dialect in MODELS for model in ("m", "slow-200ms", "hang")]
    text = "\n".join(f"%section s{at} -m {name}\nx" for at, name in enumerate(names))
    run = asyncio.run(fanned(text, timeout=1))
    assert [record.status for record in run.results] == ["ok", "ok", "timed_out"] * 2
    for record in run.results:
        times = [record.start, record.queued, record.seconds, *(a.seconds for a in record.attempts)]
        assert min(times) >= 0
        assert max(times) < 60
    assert all(record.seconds >= 1 for record in run.timed_out)


# Leaks.
