"""The engine on a clock that jumps: limits, retries, isolation, stops."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from fakes import Fake, answer, by_name, failing, kinds, price, tasks
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, Listener, Model, Record, Task, Usage
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimit, RateLimits, Slots
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler


def scheduled(
    fake: Fake, todo: list[Task], **options: Any
) -> tuple[list[Record], float, list[Event]]:
    """Records, virtual seconds and events of a run."""
    events: list[Event] = []
    stop = options.pop("stop", None) or Stop()
    during = options.pop("during", None)
    known = len(todo) if isinstance(todo, list) else None
    rules = Rules(options.pop("concurrency", 20), known=known, **options)

    async def main() -> list[Record]:
        helper = asyncio.ensure_future(during(stop)) if during else None
        records = await schedule(todo, fake, rules, events.append, stop)
        if helper:
            await helper
        return records

    records, elapsed = run_virtual(main())
    return records, elapsed, events


async def schedule(
    todo: Iterable[Task],
    fake: Fake,
    rules: Rules,
    tell: Listener,
    stop: Stop,
    pool: RateLimit | None = None,
) -> list[Record]:
    """A scheduler over one fake provider."""
    pools = RateLimits()
    routes = Routes(lambda model: fake, lambda provider: pool or pools.of(provider))
    shared = Slots(rules.concurrency)
    return await Scheduler(todo, routes, rules, Accounts(price), tell, stop, shared).run()


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_a_model_that_comes_late_in_a_cell_is_asked_like_the_others(concurrency: int) -> None:
    """Its door opens while others run: nothing is lost, and it waits for no place but a free one."""
    todo = [replace(task, model=Model(f"p{task.index // 3}", "m")) for task in tasks(12)]
    fakes = {f"p{at}": Fake(answer(1.0)) for at in range(4)}

    async def main() -> list[Record]:
        routes = Routes(lambda model: fakes[model.provider], RateLimits().of)
        rules = Rules(concurrency, known=12)
        return await Scheduler(todo, routes, rules, Accounts(price), None, Stop()).run()

    records, elapsed = run_virtual(main())
    assert [record.status for record in records] == ["ok"] * 12
    assert elapsed == pytest.approx(12 / concurrency)


def test_a_door_that_opens_beside_a_closed_one_is_used_at_once() -> None:
    """Where the first provider is asked no more, a call of the next one is still made."""
    todo = [replace(task, model=Model(f"p{task.index // 4}", "m")) for task in tasks(8)]
    fakes = {"p0": Fake(failing("auth", 9)), "p1": Fake(answer(1.0))}

    async def main() -> list[Record]:
        routes = Routes(lambda model: fakes[model.provider], RateLimits().of)
        return await Scheduler(todo, routes, Rules(1, known=8), Accounts(price), None, Stop()).run()

    records, _ = run_virtual(main())
    assert [record.status for record in records] == ["failed"] * 4 + ["ok"] * 4


def test_a_closed_door_leaves_the_models_still_to_come() -> None:
    """Of a source that only reading can tell, the calls of another provider are all made."""
    todo = [replace(t, model=Model("good" if t.index % 4 == 3 else "bad", "m")) for t in tasks(40)]
    fakes = {"bad": Fake(failing("auth", 9)), "good": Fake(answer(1.0))}

    async def main() -> list[Record]:
        routes = Routes(lambda model: fakes[model.provider], RateLimits().of)
        rules = Rules(1, drain=False, models=2)
        return await Scheduler(iter(todo), routes, rules, Accounts(price), None, Stop()).run()

    records, _ = run_virtual(main())
    assert [record.status for record in records] == (["failed"] * 3 + ["ok"]) * 10


def test_wall_time_is_the_longest_worker() -> None:
    """Workers run at once: three of 1 s take 1 s."""
    records, elapsed, _ = scheduled(Fake(answer(1.0)), tasks(3))
    assert elapsed == pytest.approx(1.0)
    assert [record.status for record in records] == ["ok"] * 3


def test_concurrency_is_an_exact_ceiling() -> None:
    """Never more at once than allowed, and always as many as allowed."""
    fake = Fake(answer(1.0))
    _, elapsed, _ = scheduled(fake, tasks(500), concurrency=7)
    assert fake.most == 7
    assert elapsed == pytest.approx(72.0)


def test_a_long_probe_is_waited_for_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one call at a time probes a provider, another's deadline is not looked at in a loop."""
    calls = looks = 0
    look = Scheduler._look

    async def act(task: Task, heard: Heard) -> Reply:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if calls <= 10:
            raise CallFailed(Fault("server", "down"))
        await asyncio.sleep(20)
        return Reply("fine")

    todo = [
        *tasks(10, deadline=0.5, retries=0),
        *(replace(task, index=task.index + 10) for task in tasks(2, deadline=3.0)),
    ]

    def counted(self: Scheduler) -> None:
        nonlocal looks
        looks += 1
        assert looks < 100
        look(self)

    monkeypatch.setattr(Scheduler, "_look", counted)
    records, _, _ = scheduled(Fake(act), todo, concurrency=1)
    assert [record.status for record in records[10:]] == ["timed_out", "failed"]


def test_records_keep_the_cells_order() -> None:
    """Whatever finishes first."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(10 - task.index)
        return Reply(task.name)

    records, _, events = scheduled(Fake(act), tasks(10))
    assert [record.name for record in records] == [f"w{i}" for i in range(10)]
    assert [e.index for e in events if e.kind == "ended"] == list(range(9, -1, -1))


def test_a_record_says_what_happened() -> None:
    """Text, tokens, cost, offsets and attempts of a success."""
    [record], _, events = scheduled(Fake(answer(1.5)), tasks(1))
    assert (record.text, record.usage, record.cost) == (
        "fine",
        Usage(10, 0, 0, 5),
        Decimal("0.000015"),
    )
    assert (record.start, record.queued, record.seconds) == (0.0, 0.0, 1.5)
    assert [(a.outcome, a.seconds) for a in record.attempts] == [("ok", 1.5)]
    assert kinds(events, 0) == ["started", "heard", "ended"]


def test_a_queued_worker_says_how_long_it_waited() -> None:
    """Offsets count from the run's start."""
    records, _, _ = scheduled(Fake(answer(2.0)), tasks(2), concurrency=1)
    assert [(r.start, r.queued, r.seconds) for r in records] == [(0.0, 0.0, 2.0), (2.0, 2.0, 2.0)]


@pytest.mark.parametrize("kind", ["rate_limit", "server", "connection"])
def test_passing_faults_are_tried_again(kind: Any) -> None:
    """Up to --retries further tries, with a pause."""
    fake = Fake(failing(kind, times=2))
    [record], _, events = scheduled(fake, tasks(1))
    assert record.status == "ok"
    assert [a.outcome for a in record.attempts] == [kind, kind, "ok"]
    assert kinds(events, 0) == ["started", "waiting"] * 2 + ["started", "ended"]


def test_retries_end() -> None:
    """After them the worker has failed, at no cost where nothing was billed."""
    fake = Fake(failing("server", times=99))
    [record], _, _ = scheduled(fake, tasks(1, retries=1))
    assert (record.status, len(fake.calls)) == ("failed", 2)
    assert (record.usage, record.cost) == (Usage(), Decimal(0))


@pytest.mark.parametrize(
    "kind",
    [
        "quota",
        "auth",
        "model",
        "bad_request",
        "too_large",
        "cut",
        "not_an_answer",
        "bug",
        "timeout",
    ],
)
def test_lasting_faults_are_not_tried_again(kind: Any) -> None:
    """One call, and the record names the fault."""
    fake = Fake(failing(kind, times=99))
    [record], _, _ = scheduled(fake, tasks(1))
    assert len(fake.calls) == 1
    assert record.error is not None
    assert record.error.kind == kind


def test_a_hint_is_the_least_pause() -> None:
    """Retry-After is waited for, and shown."""
    _, elapsed, events = scheduled(Fake(failing("rate_limit", 1, retry_after=7.0)), tasks(1))
    assert 7.2 <= elapsed <= 7.2 + 0.5
    assert next(e.text for e in events if e.kind == "waiting").startswith("waiting 7")


def test_a_hint_beyond_the_deadline_ends_the_worker_now() -> None:
    """It says what was asked instead of waiting for it."""
    [record], elapsed, _ = scheduled(Fake(failing("rate_limit", 9, retry_after=3600.0)), tasks(1))
    assert elapsed < 1
    assert record.error is not None
    assert "wait of 3600 s" in record.error.message


def test_silence_ends_a_worker() -> None:
    """The limit is on silence: a long answer that keeps coming is not cut."""

    async def slow(task: Task, heard: Heard) -> Reply:
        for _ in range(100):
            await asyncio.sleep(10)
            heard("x")
        return Reply("x" * 100)

    async def stuck(task: Task, heard: Heard) -> Reply:
        heard("half")
        await asyncio.sleep(1000)
        return Reply("never")

    acts = by_name({"w1": stuck}, slow)
    records, elapsed, _ = scheduled(Fake(acts), tasks(2, deadline=5000.0))
    assert [record.status for record in records] == ["ok", "timed_out"]
    assert records[1].text == "half"
    assert records[1].seconds == pytest.approx(15.0)
    assert records[1].error is not None
    assert "silent for 15 s" in records[1].error.message
    assert records[1].cost is None
    assert elapsed == pytest.approx(1000.0)


def test_the_first_token_may_take_longer() -> None:
    """Reasoning models think before they speak; 60 s by default."""
    records, elapsed, _ = scheduled(Fake(by_name({"w1": answer(61)}, answer(59))), tasks(2))
    assert [record.status for record in records] == ["ok", "timed_out"]
    assert elapsed == pytest.approx(60.0)
    assert records[1].error is not None
    assert "first token within 60 s" in records[1].error.message


def test_the_deadline_bounds_everything() -> None:
    """Retries, waits and a steady drip included."""

    async def drip(task: Task, heard: Heard) -> Reply:
        while True:
            await asyncio.sleep(1)
            heard("x")

    [record], elapsed, _ = scheduled(Fake(drip), tasks(1, deadline=30.0))
    assert (record.status, elapsed) == ("timed_out", pytest.approx(30.0))
    assert record.error is not None
    assert "deadline of 30 s" in record.error.message
    _, elapsed, _ = scheduled(Fake(failing("server", 99)), tasks(1, deadline=3.0, retries=99))
    assert elapsed <= 3.1


@pytest.mark.parametrize("late", [20e-6, 5.0])
def test_who_waits_for_a_next_try_ends_at_its_deadline(
    late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though every place is taken until after it: neither later, nor by a place that comes too late."""
    looks, look = itertools.count(), Scheduler._look

    def looking(self: Scheduler) -> None:
        assert next(looks) < 1000, "it looks again and again, and ends nobody"
        look(self)

    monkeypatch.setattr(Scheduler, "_look", looking)
    first = failing("server", 1)
    fake = Fake(by_name({"w0": first, "w1": answer(3.0 + late - 0.1)}, answer()))
    records, _, events = scheduled(fake, tasks(2, deadline=3.0, first=60.0), concurrency=1)
    assert [event.at for event in events if (event.kind, event.index) == ("ended", 0)] == [
        pytest.approx(3.0, abs=5e-6)
    ]
    assert records[0].error is not None
    assert "no time for another try before the deadline of 3 s" in records[0].error.message
    assert fake.calls == ["w0", "w1"]


def test_time_outs_are_tried_again_only_when_asked() -> None:
    """They may have been billed."""
    hang = answer(100)
    fake = Fake(hang)
    scheduled(fake, tasks(1, first=1.0))
    assert len(fake.calls) == 1
    fake = Fake(hang)
    [record], _, _ = scheduled(fake, tasks(1, first=1.0, retry_timeouts=True))
    assert (len(fake.calls), record.status, record.cost) == (3, "timed_out", None)


@pytest.mark.parametrize(
    ("reply", "status", "kind"),
    [
        pytest.param(Reply("a", "length"), "truncated", "length", id="cut off"),
        pytest.param(Reply("", "length"), "truncated", "length", id="cut off empty"),
        pytest.param(Reply("no", "refusal"), "refused", "refusal", id="refused"),
        pytest.param(Reply(""), "invalid", "empty", id="empty"),
        pytest.param(Reply(" \n\t"), "invalid", "empty", id="blank"),
    ],
)
def test_what_is_no_success_has_a_status_of_its_own(reply: Reply, status: str, kind: str) -> None:
    """Cut off, refused and empty answers are neither successes nor tried again."""

    async def act(task: Task, heard: Heard) -> Reply:
        return reply

    fake = Fake(act)
    [record], _, _ = scheduled(fake, tasks(1))
    assert (record.status, record.error and record.error.kind, len(fake.calls)) == (status, kind, 1)
    assert record.text == reply.text


def test_one_failure_never_touches_another() -> None:
    """Not even an exception that no table knows."""

    async def bug(task: Task, heard: Heard) -> Reply:
        raise RuntimeError("sk-secret")

    records, elapsed, _ = scheduled(Fake(by_name({"w1": bug}, answer(1.0))), tasks(3))
    assert [record.status for record in records] == ["ok", "failed", "ok"]
    assert elapsed == pytest.approx(1.0)
    assert "sk-secret" not in repr(records)


def test_nothing_more_starts_once_the_minimum_is_out_of_reach() -> None:
    """What is in flight ends; the rest is never asked."""
    fake = Fake(failing("auth", 99))
    records, _, _ = scheduled(fake, tasks(100), concurrency=4, least=90)
    assert len(fake.calls) <= 10 + 4
    assert len(records) == 100
    assert {record.status for record in records} == {"failed", "cancelled"}


def test_who_was_asked_before_the_run_gave_up_is_not_said_to_be_new() -> None:
    """A worker that waits for its next try when too many have failed is told apart from one that never began."""
    script = by_name({"w1": failing("server", 99)}, failing("auth", 99))
    records, _, _ = scheduled(Fake(script), tasks(4), concurrency=3, least=3)
    told = {record.name: (len(record.attempts), record.error) for record in records}
    for tries, error in told.values():
        assert error is not None
        if error.kind == "cancelled":
            assert error.message.startswith("not asked again:" if tries else "not asked:")
    assert any(tries for tries, error in told.values() if error and error.kind == "cancelled")


def test_a_stop_keeps_what_is_done() -> None:
    """In flight is cancelled with its text, waiting is never asked, every worker has a record."""

    async def act(task: Task, heard: Heard) -> Reply:
        heard("par")
        await asyncio.sleep(1 + task.index)
        return Reply("partial no more")

    async def during(stop: Stop) -> None:
        await asyncio.sleep(2.5)
        stop("interrupted")
        stop("again")

    fake = Fake(act)
    records, elapsed, _ = scheduled(fake, tasks(6), concurrency=4, during=during)
    assert elapsed == pytest.approx(2.5)
    assert [r.status for r in records] == ["ok", "ok"] + ["cancelled"] * 4
    assert [r.text for r in records[2:4]] == ["par", "par"]
    assert records[2].cost is None
    assert records[5].error == Fault("cancelled", "interrupted")
    assert fake.running == 0


def test_a_stop_before_the_first_step_asks_nobody() -> None:
    """All workers have a record all the same."""
    stop = Stop("already")
    fake = Fake(answer())
    records, _, _ = scheduled(fake, tasks(3), stop=stop)
    assert [record.status for record in records] == ["cancelled"] * 3
    assert fake.calls == []


def test_a_cancelled_caller_leaves_nothing_running() -> None:
    """The workers have ended by the time the cancellation goes on."""
    fake = Fake(answer(100))

    async def main() -> bool:
        rules = Rules(5)
        run = asyncio.ensure_future(schedule(tasks(9), fake, rules, lambda event: None, Stop()))
        await asyncio.sleep(1)
        run.cancel()
        done, _ = await asyncio.wait({run})
        return run in done and run.cancelled() and fake.running == 0

    assert run_virtual(main()) == (True, pytest.approx(1.0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 8))
def test_every_worker_ends_in_exactly_one_record(seed: int, count: int, places: int) -> None:
    """Under random faults, delays and a stop at a random moment."""
    rng = random.Random(seed)
    outcomes = {
        f"w{i}": rng.choice(["ok", "server", "hang", "auth", "blank", "bug"]) for i in range(count)
    }
    delays = {name: rng.random() * 20 for name in outcomes}

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(delays[task.name])
        outcome = outcomes[task.name]
        if outcome == "hang":
            await asyncio.sleep(10_000)
        if outcome == "bug":
            raise ValueError
        if outcome in ("server", "auth"):
            await failing(outcome, 99)(task, heard)
        return Reply("" if outcome == "blank" else "fine")

    async def during(stop: Stop) -> None:
        await asyncio.sleep(stop_at)
        stop("interrupted")

    stop_at = rng.random() * 60
    fake = Fake(act)
    records, _, events = scheduled(fake, tasks(count), concurrency=places, during=during)
    assert [record.index for record in records] == list(range(count))
    assert sorted(e.index for e in events if e.kind == "ended") == list(range(count))
    assert fake.running == 0
    assert fake.most <= places
    done_before = {
        e.index for e in events if e.kind == "ended" and e.at < stop_at and e.record and e.record.ok
    }
    assert all(records[index].ok for index in done_before)


def test_a_listener_that_raises_loses_no_answer() -> None:
    """What watches a run must not be able to end it."""

    def tell(event: Event) -> None:
        raise RuntimeError(event.kind)

    fake = Fake(answer())
    records = run_virtual(
        schedule(tasks(3), fake, Rules(2), tell, Stop()),
    )[0]
    assert [record.status for record in records] == ["ok"] * 3


def test_whatever_a_provider_does_each_worker_has_a_record() -> None:
    """A cancellation nobody asked for, a reply that is none: one failed worker each."""

    async def cancels(task: Task, heard: Heard) -> Reply:
        raise asyncio.CancelledError

    async def no_reply(task: Task, heard: Heard) -> Any:
        return None

    fake = Fake(by_name({"w0": cancels, "w1": no_reply}, answer()))
    records, _, _ = scheduled(fake, tasks(3))
    assert [record.status for record in records] == ["failed", "failed", "ok"]
    assert [r.error.kind for r in records if r.error] == ["bug", "bug"]


def test_workers_cancelled_by_a_stranger_have_records() -> None:
    """Somebody cancels all tasks of the loop: the run stops, and every worker is accounted for."""

    async def during(stop: Stop) -> None:
        await asyncio.sleep(0.5)
        mine = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not mine and "_call" in str(task.get_coro()):
                task.cancel()

    fake = Fake(answer())
    records, _, _ = scheduled(fake, tasks(5), concurrency=2, during=during)
    assert [record.status for record in records] == ["cancelled"] * 5
    assert len(fake.calls) == 2
