"""What goes wrong with batches: refusals, lost and doubled results, polls that fail, caps, other kernels."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from batch_kernel import Kernel
from fake_batches import FakeBatches, Made, failed, said, unsent
from fakes import tasks
from test_batch_engine import interrupt, statuses
from virtual_time import run_virtual

from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.core.batches import BatchLimits, BatchResult
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Fault, Reading, Task, Usage
from parallm_magics.engine.accounts import Budget, Ledger
from parallm_magics.engine.batch_search import UndecidedError
from parallm_magics.errors import ParallmError
from parallm_magics.recordings.batch_ledger import FileLedger
from parallm_magics.recordings.store import Recordings

CENT = Decimal("0.01")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of recordings that is not there yet."""
    return tmp_path / "r.jsonl"


# --- what the provider refuses ---------------------------------------------------------------------


def test_a_batch_refused_for_now_is_sent_again_smaller(path: Path) -> None:
    """Nothing else of the run is under way that could make room."""
    fake = FakeBatches(refusals=[("the queue is full", True)])
    kernel = Kernel(fake, path)
    records, seconds = run_virtual(kernel.run(tasks(8)))
    assert statuses(records) == ["ok"] * 8
    assert [len(made.tasks) for made in fake.made.values()] == [0, 4, 4]
    assert seconds < 300
    assert set(fake.times_asked().values()) == {1}


def test_a_batch_refused_for_now_waits_for_others_to_end(path: Path) -> None:
    """It keeps its size."""
    fake = FakeBatches(limits=BatchLimits(4, 10**9), seconds=1000)
    fake.refusals = []
    kernel = Kernel(fake, path)
    create = fake.create

    async def second_is_refused(requests: object, nonce: str) -> object:
        if len(fake.made) == 1:
            fake.refusals = [("the queue is full", True)]
        return await create(requests, nonce)  # type: ignore[arg-type]

    fake.create = second_is_refused  # type: ignore[method-assign,assignment]
    records, seconds = run_virtual(kernel.run(tasks(8)))
    assert statuses(records) == ["ok"] * 8
    assert [len(made.tasks) for made in fake.made.values()] == [4, 0, 4]
    assert 2000 <= seconds < 2200


def test_batches_that_are_all_refused_for_now_do_not_wait_for_each_other(path: Path) -> None:
    """The last one finds nothing that could still end."""
    fake = FakeBatches(limits=BatchLimits(4, 10**9))
    fake.refusals = [("the queue is full", True)] * 3
    records, _ = run_virtual(Kernel(fake, path).run(tasks(8)))
    assert statuses(records) == ["ok"] * 8
    assert set(fake.times_asked().values()) == {1}


def test_where_nobody_can_say_for_an_hour_the_cost_is_unknown(path: Path) -> None:
    """The calls may be in a batch: the next run finds out."""
    fake = FakeBatches(faults={"create": ["lost"], "listed": [failed("server")] * 10_000})
    records, _ = run_virtual(Kernel(fake, path).run(tasks(2)))
    assert statuses(records) == ["failed"] * 2
    assert {record.cost for record in records} == {None}
    fake.faults = {}
    records, _ = run_virtual(Kernel(fake, path).run(tasks(2)))
    assert statuses(records) == ["ok"] * 2
    assert set(fake.times_asked().values()) == {1}


def test_a_request_that_is_always_refused_for_now_ends(path: Path) -> None:
    """With the provider's reason."""
    fake = FakeBatches(refusals=[("the queue is full", True)] * 50)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(1)))
    assert statuses(records) == ["failed"]
    assert "the queue is full" in str(records[0].error)


def test_a_batch_refused_for_good_ends_its_calls_alone(path: Path) -> None:
    """Others are sent; a later run may send it again."""
    fake = FakeBatches(limits=BatchLimits(2, 10**9), refusals=[("line 3 is wrong", False)])
    records, _ = run_virtual(Kernel(fake, path).run(tasks(4)))
    assert statuses(records) == ["failed", "failed", "ok", "ok"]
    assert [record.cost for record in records[:2]] == [0, 0]
    records, _ = run_virtual(Kernel(fake, path).run(tasks(4)))
    assert statuses(records) == ["ok"] * 4
    assert set(fake.times_asked().values()) == {1}


@pytest.mark.parametrize("kind", ["auth", "quota", "model"])
def test_after_some_refusals_nothing_more_is_sent(path: Path, kind: str) -> None:
    """No other batch could be taken."""
    fake = FakeBatches(
        limits=BatchLimits(2, 10**9),
        faults={"create": [unsent(kind)] * 9},  # type: ignore[arg-type]
    )
    records, _ = run_virtual(Kernel(fake, path).run(tasks(6)))
    assert statuses(records) == ["failed"] * 6
    assert fake.calls["create"] == 1


def test_a_batch_too_large_for_the_server_is_halved(path: Path) -> None:
    """Until it fits."""
    fake = FakeBatches(faults={"create": [unsent("too_large"), unsent("too_large")]})
    records, _ = run_virtual(Kernel(fake, path).run(tasks(8)))
    assert statuses(records) == ["ok"] * 8
    assert {len(made.tasks) for made in fake.made.values()} == {2}


def test_a_provider_that_takes_nothing_for_an_hour_is_given_up(path: Path) -> None:
    """Nothing was sent, and the ledger says so."""
    fake = FakeBatches(faults={"create": [unsent("server")] * 10_000})
    kernel = Kernel(fake, path)
    records, seconds = run_virtual(kernel.run(tasks(2)))
    assert statuses(records) == ["failed"] * 2
    assert 3600 <= seconds < 3800
    assert [entry.closed.split(":")[0] for entry in kernel.ledger.batches()] == ["dropped"]


# --- polls and results -----------------------------------------------------------------------------


def test_a_poll_that_fails_for_hours_never_ends_the_run(path: Path) -> None:
    """The state says why it cannot be looked at; in the end the answers come."""
    fake = FakeBatches(seconds=10, faults={"state": [failed("server")] * 200})
    kernel = Kernel(fake, path)
    records, seconds = run_virtual(kernel.run(tasks(2)))
    assert statuses(records) == ["ok"] * 2
    assert seconds > 3600
    notes = {each.note for event in kernel.events for each in event.batches}
    assert "cannot be looked at: server happened" in notes


def test_a_key_that_was_taken_back_leaves_the_batch(path: Path) -> None:
    """With another key the same cell goes on."""
    fake = FakeBatches(faults={"state": [failed("auth", http=401)] * 5})
    records, _ = run_virtual(Kernel(fake, path).run(tasks(2)))
    assert statuses(records) == ["failed"] * 2
    assert "run the cell again" in str(records[0].error)
    assert {record.cost for record in records} == {None}
    records, _ = run_virtual(Kernel(fake, path).run(tasks(2)))
    assert statuses(records) == ["ok"] * 2
    assert set(fake.times_asked().values()) == {1}


def test_a_batch_that_the_account_does_not_know_is_not_sent_again(path: Path) -> None:
    """Only a person may drop it."""
    fake = FakeBatches()
    run_virtual(Kernel(fake, path).run(tasks(1), after=interrupt(10)))
    elsewhere = FakeBatches()
    records, _ = run_virtual(Kernel(elsewhere, path).run(tasks(1)))
    assert statuses(records) == ["failed"]
    assert "%parallm batches drop batch_0" in str(records[0].error)
    assert not elsewhere.made


def test_errors_expiries_and_cancellations_have_a_status_and_cost_nothing(path: Path) -> None:
    """As the provider says of each request."""
    ends = {
        "ask 0": CallFailed(Fault("timeout", "expired")),
        "ask 1": CallFailed(Fault("server", "errored")),
        "ask 2": CallFailed(Fault("cancelled", "cancelled")),
        "ask 3": Reply("no", finish="refusal", usage=Usage(1, 0, 0, 1)),
        "ask 4": Reply("half", finish="length", usage=Usage(1, 0, 0, 1)),
        "ask 5": Reply(" ", usage=Usage(1, 0, 0, 1)),
    }
    fake = FakeBatches(end=lambda task: ends.get(task.prompt) or said(task))
    records, _ = run_virtual(Kernel(fake, path).run(tasks(7)))
    expected = ["timed_out", "failed", "cancelled", "refused", "truncated", "invalid", "ok"]
    assert statuses(records) == expected
    assert [record.cost for record in records[:3]] == [0, 0, 0]
    assert all(record.cost for record in records[3:])
    assert all(len(record.attempts) == 1 for record in records)


def test_doubled_and_unknown_results_are_ignored_and_told(path: Path) -> None:
    """The first of two counts."""
    fake = FakeBatches(seconds=10)
    kernel = Kernel(fake, path)
    results = fake.results

    async def odd(batch: object, todo: object) -> object:
        async for result in results(batch, todo):  # type: ignore[arg-type]
            yield result
            yield BatchResult(result.id, Reply("another answer"))
        yield BatchResult("nobody's", Reply("x"))
        yield BatchResult("../../etc", Reply("x"))

    fake.results = odd  # type: ignore[method-assign,assignment]
    records, _ = run_virtual(kernel.run(tasks(3)))
    assert [record.text for record in records] == [f"answer to ask {n}" for n in range(3)]
    assert kernel.said == [
        "batch batch_0: 2 results of no request of it were ignored; 3 results came twice; the first ones count"
    ]


def test_results_of_requests_that_a_batch_never_asked_are_ignored(path: Path) -> None:
    """Whatever a server writes in the batch's name: nothing of it is recorded."""
    fake = FakeBatches(seconds=10)
    kernel = Kernel(fake, path)
    results = fake.results

    async def more(batch: object, todo: object) -> object:
        nonce = fake.made["batch_0"].nonce
        yield BatchResult(f"{nonce}-{'0' * 32}-0", Reply("planted"))
        async for result in results(batch, todo):  # type: ignore[arg-type]
            yield BatchResult(result.id.replace("-0", "-00"), Reply("planted"))
            yield result

    fake.results = more  # type: ignore[method-assign,assignment]
    records, _ = run_virtual(kernel.run(tasks(3)))
    assert [record.text for record in records] == [f"answer to ask {n}" for n in range(3)]
    assert not kernel.strays
    [said] = kernel.said
    assert "results of no request of it were ignored" in said


def test_a_missing_result_is_read_for_again_and_then_failed(path: Path) -> None:
    """The batch is over by then: a further try sends it."""
    fake = FakeBatches(seconds=10)
    kernel = Kernel(fake, path)
    results = fake.results

    async def without_one(batch: object, todo: object) -> object:
        async for result in results(batch, todo):  # type: ignore[arg-type]
            if fake.made["batch_0"].tasks[result.id].index != 1:
                yield result

    fake.results = without_one  # type: ignore[method-assign,assignment]
    records, _ = run_virtual(kernel.run(tasks(3)))
    assert statuses(records) == ["ok", "failed", "ok"]
    assert "without a result" in str(records[1].error)
    assert fake.calls["results"] == 3
    assert kernel.ledger.batches()[0].closed == "collected"


def test_results_that_break_off_are_read_again_and_stay_collectable(path: Path) -> None:
    """What came is kept; the rest comes with a later run, and is not paid again."""
    fake = FakeBatches(seconds=10, broken=[1, 1])
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    fake = FakeBatches(seconds=10, broken=[2] * 50)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(6)[3:]))
    assert statuses(records) == ["ok", "ok", "failed"]
    assert "run.collect()" in str(records[2].error)
    fake.broken = []
    records, _ = run_virtual(Kernel(fake, path).run(tasks(6)[3:]))
    assert statuses(records) == ["ok"] * 3
    assert set(fake.times_asked().values()) == {1}


def test_an_answer_that_does_not_conform_is_invalid_and_not_asked_again(path: Path) -> None:
    """A further request would take hours; the others have their objects."""
    reading = Reading("object", schema=schema_of(SCHEMA))
    texts = ["not an object", '{"n": 2}']
    fake = FakeBatches(end=lambda task: replace(said(task), text=texts[task.index]))
    records, _ = run_virtual(
        Kernel(fake, path).run([replace(t, reading=reading) for t in tasks(2)])
    )
    assert statuses(records) == ["invalid", "ok"]
    assert len(fake.made) == 1


def test_answers_that_no_call_asks_for_are_kept(path: Path) -> None:
    """The cell was changed meanwhile; what was paid for is not lost."""
    fake = FakeBatches()
    run_virtual(Kernel(fake, path).run(tasks(3), after=interrupt(10)))
    fake.seconds = 0
    kernel = Kernel(fake, path)
    records, _ = run_virtual(kernel.run(tasks(1)))
    assert statuses(records) == ["ok"]
    assert len(kernel.strays) == 2


# --- doubt ------------------------------------------------------------------------------------------


def test_a_batch_of_another_s_that_looks_alike_is_followed_until_its_results_tell(
    path: Path,
) -> None:
    """Then ours is looked for again, and sent where it was never taken."""
    fake = FakeBatches(keeps_nonce=False, seconds=100)

    async def main() -> list[str]:
        kernel = Kernel(fake, path)
        create = fake.create

        async def foreign_instead(requests: object, nonce: str) -> object:
            if not fake.made:
                foreign = [r._replace(id=f"foreign-{r.id[:40]}") for r in requests]  # type: ignore[attr-defined]
                await create(foreign, "")
                raise failed("connection")
            return await create(requests, nonce)  # type: ignore[arg-type]

        fake.create = foreign_instead  # type: ignore[method-assign,assignment]
        return statuses(await kernel.run(tasks(3)))

    found, seconds = run_virtual(main())
    assert found == ["ok"] * 3
    assert len(fake.made) == 2
    assert seconds > 200
    [entry] = FileLedger(Recordings(path)).batches()
    assert (entry.id, entry.not_its, entry.closed) == ("batch_1", {"batch_0"}, "collected")


def test_a_server_that_drops_nonces_is_sent_nothing_twice(path: Path) -> None:
    """A newer batch of that size is followed until its results tell, as where nobody keeps nonces."""
    fake = FakeBatches(drops_nonces=True, faults={"create": ["lost"]})
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert len(fake.made) == 1
    [entry] = FileLedger(Recordings(path)).batches()
    assert (entry.id, entry.sure, entry.closed) == ("batch_0", True, "collected")


def test_a_server_that_drops_nonces_and_has_several_makes_the_run_ask(path: Path) -> None:
    """As where nobody keeps nonces; nothing is sent."""
    fake = in_doubt(path)
    fake.keeps_nonce = fake.drops_nonces = True
    with pytest.raises(UndecidedError, match="2 batches of 2 requests may be it"):
        run_virtual(Kernel(fake, path).run(tasks(2)))
    assert len(fake.made) == 2


def test_where_one_batch_of_the_list_has_a_nonce_the_list_decides(path: Path) -> None:
    """Somebody else's batch of that size without one is none of ours."""
    fake = FakeBatches(faults={"create": [failed("connection")]})
    for known, nonce in (("theirs", ""), ("ours", "1" * 16)):
        fake.made[known] = Made(known, nonce, dict.fromkeys("abc", tasks(1)[0]), 0.0)
    fake.newest = nothing_yet  # type: ignore[method-assign]
    records, seconds = run_virtual(Kernel(fake, path).run(tasks(3)))
    assert statuses(records) == ["ok"] * 3
    assert len(fake.made) == 3
    assert seconds < 120


async def nothing_yet() -> None:
    """The newest batch of a provider that lists none."""


def in_doubt(path: Path) -> FakeBatches:
    """A provider without nonces that has two batches, one of which may be that of a dead kernel."""
    fake = FakeBatches(keeps_nonce=False, seconds=0)

    async def main() -> None:
        kernel = Kernel(fake, path)
        create = fake.create

        async def die(requests: object, nonce: str) -> object:
            await create(requests, nonce)  # type: ignore[arg-type]
            await create([r._replace(id=f"x{n}") for n, r in enumerate(requests)], "")  # type: ignore[arg-type,call-overload]
            raise failed("connection")

        fake.create = die  # type: ignore[method-assign,assignment]
        await kernel.run(tasks(2), after=interrupt(2.5))
        fake.create = create  # type: ignore[method-assign]

    run_virtual(main())
    return fake


def test_where_several_batches_may_be_it_the_run_stops_and_asks(path: Path) -> None:
    """In one line with the ways out; nothing is sent, and the person's word decides."""
    fake = in_doubt(path)
    with pytest.raises(
        UndecidedError, match=r"2 batches of 2 requests may be it \(batch_1, batch_0\)"
    ):
        run_virtual(Kernel(fake, path).run(tasks(2)))
    assert len(fake.made) == 2
    ledger = FileLedger(Recordings(path))
    ledger.sent(ledger.batches()[0], "batch_0", sure=False)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(2)))
    assert statuses(records) == ["ok"] * 2
    assert len(fake.made) == 2


def test_a_wrong_word_of_a_person_loses_nothing(path: Path) -> None:
    """The results tell that the adopted batch is another one; then the only other one is ours."""
    fake = in_doubt(path)
    ledger = FileLedger(Recordings(path))
    ledger.sent(ledger.batches()[0], "batch_1", sure=False)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(2)))
    assert statuses(records) == ["ok"] * 2
    assert len(fake.made) == 2


def test_another_key_cannot_say_that_a_batch_was_never_taken(path: Path) -> None:
    """The list is another account's."""
    fake = FakeBatches(faults={"create": [failed("connection")] * 50})
    run_virtual(Kernel(fake, path).run(tasks(1), after=interrupt(2)))
    fake.account = "another one"
    fake.faults = {}
    with pytest.raises(UndecidedError, match="another key"):
        run_virtual(Kernel(fake, path).run(tasks(1)))


# --- caps ------------------------------------------------------------------------------------------


def budget(cents: int) -> tuple[Budget, Ledger]:
    """A cap of so many cents, where a call costs a cent at most."""
    ledger = Ledger("--max-cost", cents * CENT)
    return Budget([ledger], lambda task: CENT), ledger


def test_a_chunk_is_no_larger_than_the_cap_allows(path: Path) -> None:
    """What the first has left over pays for the next ones; it is never above the cap."""
    fake = FakeBatches()
    cap, ledger = budget(3)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(8), budget=cap))
    assert statuses(records) == ["ok"] * 8
    assert [len(made.tasks) for made in fake.made.values()] == [3, 2, 2, 1]
    assert ledger.spent == sum(record.cost or 0 for record in records)
    assert ledger.held == 0


def test_what_the_cap_can_never_pay_for_ends_as_such(path: Path) -> None:
    """Once all that was set aside is spent."""
    fake = FakeBatches(end=lambda task: replace(said(task), usage=Usage(10_000, 0, 0, 0)))
    cap, ledger = budget(3)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(5), budget=cap))
    assert statuses(records) == ["ok", "ok", "ok", "failed", "failed"]
    assert {record.error.kind for record in records[3:] if record.error} == {"budget"}
    assert ledger.spent == 3 * CENT


def test_a_batch_that_was_never_taken_is_sent_within_the_caps_of_the_run_that_finds_it(
    path: Path,
) -> None:
    """The run before had more to spend."""
    fake = FakeBatches(faults={"create": [failed("connection")]})
    run_virtual(Kernel(fake, path).run(tasks(8), after=interrupt(2)))
    assert not fake.made
    cap, ledger = budget(3)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(8), budget=cap))
    assert statuses(records) == ["ok"] * 8
    assert max(len(made.tasks) for made in fake.made.values()) == 3
    assert set(fake.times_asked().values()) == {1}
    assert ledger.held == 0


def test_an_interrupt_gives_back_what_was_set_aside(path: Path) -> None:
    """The next run of the same calls sets it aside again before it sends anything."""
    fake = FakeBatches(seconds=100)
    cap, ledger = budget(5)
    run_virtual(Kernel(fake, path).run(tasks(3), budget=cap, after=interrupt(10)))
    assert ledger.held == 0
    fake.seconds = 50
    run_virtual(Kernel(fake, path).run(tasks(5), budget=cap))
    assert [len(made.tasks) for made in fake.made.values()] == [3, 2]


def test_what_goes_on_in_a_batch_counts_in_a_cap_that_outlives_the_run(path: Path) -> None:
    """Another cell cannot spend it; the cell that takes the batch up again finds room for it."""
    fake = FakeBatches(seconds=100)
    _, ledger = budget(5)
    ledger.lasting = True
    cap = Budget([ledger], lambda task: CENT)
    run_virtual(Kernel(fake, path).run(tasks(3), budget=cap, after=interrupt(10)))
    assert (ledger.held, ledger.spent, ledger.bound) == (0, 0, 3 * CENT)
    assert cap.reserve(3 * CENT) is None
    assert cap.left() == (("--max-cost", 5 * CENT, 2 * CENT),)
    fake.seconds = 50
    records, _ = run_virtual(Kernel(fake, path).run(tasks(5), budget=cap))
    assert statuses(records) == ["ok"] * 5
    assert len(fake.made) == 2
    assert ledger.bound == ledger.spent == sum(record.cost or 0 for record in records)
    assert (ledger.held, ledger.in_batches) == (0, {})


def test_a_run_that_breaks_off_leaves_its_batches_in_the_cap(path: Path) -> None:
    """What another kernel has closed meanwhile counts no more."""
    fake = FakeBatches(seconds=100)
    _, ledger = budget(5)
    ledger.lasting = True
    cap = Budget([ledger], lambda task: CENT)

    async def broken_off() -> None:
        run = asyncio.ensure_future(Kernel(fake, path).run(tasks(3), budget=cap))
        await asyncio.sleep(10)
        run.cancel()
        await asyncio.wait({run})

    run_virtual(broken_off())
    assert (ledger.held, ledger.bound) == (0, 3 * CENT)
    other = FileLedger(Recordings(path))
    other.dropped(other.batches()[0], "by command")
    fake.seconds = 0
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3), budget=cap))
    assert ledger.bound == ledger.spent == sum(record.cost or 0 for record in records)


def test_a_batch_that_is_left_twice_counts_once(path: Path) -> None:
    """Also where the cap has no room for it any more; what ends of it is counted as spent."""
    fake = FakeBatches(seconds=100)
    _, ledger = budget(5)
    ledger.lasting = True
    cap = Budget([ledger], lambda task: CENT)
    for cents in (5, 1):
        ledger.allow(cents * CENT)
        run_virtual(Kernel(fake, path).run(tasks(3), budget=cap, after=interrupt(10)))
        assert (ledger.held, ledger.bound) == (0, 3 * CENT)
    fake.seconds = 0
    records, _ = run_virtual(Kernel(fake, path).run(tasks(3), budget=cap))
    assert statuses(records) == ["ok"] * 3
    assert ledger.bound == ledger.spent == sum(record.cost or 0 for record in records)


def test_once_too_few_can_succeed_nothing_more_is_sent(path: Path) -> None:
    """As for usual calls."""
    fake = FakeBatches(
        limits=BatchLimits(2, 10**9), end=lambda task: CallFailed(Fault("server", "no"))
    )
    cap, _ = budget(2)
    records, _ = run_virtual(Kernel(fake, path).run(tasks(6), budget=cap, least=5))
    assert len(fake.made) == 1
    assert statuses(records) == [
        "failed",
        "failed",
        "cancelled",
        "cancelled",
        "cancelled",
        "cancelled",
    ]


# --- kernels and files ------------------------------------------------------------------------------


def test_two_kernels_at_once_share_their_batches(path: Path) -> None:
    """Each request is sent by one of them, and both have all answers."""
    fake = FakeBatches(limits=BatchLimits(2, 10**9))

    async def main() -> list[list[str]]:
        runs = (Kernel(fake, path).run(tasks(7)) for _ in range(3))
        return [statuses(records) for records in await asyncio.gather(*runs)]

    found, _ = run_virtual(main())
    assert found == [["ok"] * 7] * 3
    assert set(fake.times_asked().values()) == {1}


def test_without_a_file_that_can_be_written_nothing_is_sent(tmp_path: Path) -> None:
    """In one line that names the way out."""
    fake = FakeBatches()
    kernel = Kernel(fake, tmp_path)
    with pytest.raises(ParallmError, match="nothing was sent"):
        run_virtual(kernel.run(tasks(1)))
    assert not fake.made


def test_pruning_keeps_open_batches_and_drops_the_lines_of_others(path: Path) -> None:
    """Whatever cells have used."""
    fake = FakeBatches()
    run_virtual(Kernel(fake, path).run(tasks(2)))
    fake.seconds = 1000
    kernel = Kernel(fake, path)
    run_virtual(kernel.run(tasks(4), after=interrupt(10)))
    assert kernel.store is not None
    kernel.store.prune()
    assert [entry.id for entry in FileLedger(Recordings(path)).batches()] == ["batch_1"]
    fake.seconds = 0
    records, _ = run_virtual(Kernel(fake, path).run(tasks(4)))
    assert statuses(records) == ["ok"] * 4
    assert set(fake.times_asked().values()) == {1}


def test_nothing_is_pruned_while_a_batch_is_being_sent(path: Path) -> None:
    """What is written down of it must not be missed; a lock on the file of before holds nobody off."""
    kernel = Kernel(FakeBatches(), path)
    run_virtual(kernel.run(tasks(2)))
    assert kernel.store is not None
    sending = FileLedger(Recordings(path))
    assert sending.take_lock()
    before = path.read_bytes()
    with pytest.raises(ParallmError, match=r"a batch is being sent, so it was not changed"):
        kernel.store.prune()
    assert path.read_bytes() == before
    sending.give_lock_back()
    assert kernel.store.prune().dropped
    assert sending.take_lock()
    sending.give_lock_back()


def test_a_lock_on_a_file_that_is_replaced_meanwhile_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kernels that lock two files of one name would both send."""
    run_virtual(Kernel(FakeBatches(), path).run(tasks(2)))
    one, two = FileLedger(Recordings(path)), FileLedger(Recordings(path))
    opened = os.open

    def slowly(*args: Any) -> int:
        file = opened(*args)
        monkeypatch.undo()
        path.write_bytes(b"")
        path.with_name("new").write_bytes(b"")
        path.with_name("new").replace(path)
        return file

    monkeypatch.setattr(os, "open", slowly)
    assert one.take_lock()
    assert not two.take_lock()
    one.give_lock_back()


def test_a_deleted_file_does_not_end_the_run_under_way(path: Path) -> None:
    """The kernel still knows its batches."""
    fake = FakeBatches()

    async def main() -> list[str]:
        async def delete(stop: object) -> None:
            await asyncio.sleep(10)
            path.unlink()

        return statuses(await Kernel(fake, path).run(tasks(2), after=delete))

    found, _ = run_virtual(main())
    assert found == ["ok"] * 2
    assert len(fake.made) == 1


def test_a_batch_dropped_while_it_is_followed_ends_without_being_sent(path: Path) -> None:
    """Whoever drops it decides when its requests are asked anew."""
    fake = FakeBatches(seconds=500)

    async def main() -> list[str]:
        async def drop(stop: object) -> None:
            await asyncio.sleep(10)
            other = FileLedger(Recordings(path))
            other.dropped(other.batches()[0], "by command")

        return statuses(await Kernel(fake, path).run(tasks(2), after=drop))

    found, _ = run_virtual(main())
    assert found == ["cancelled"] * 2
    assert len(fake.made) == 1


def test_lines_that_say_nothing_are_passed_over(path: Path) -> None:
    """The file may be anybody's, and of a later version."""
    fake = FakeBatches()
    kernel = Kernel(fake, path)
    for deed in ("unheard_of", "sent", "intent"):
        kernel.ledger._write("0" * 16, deed, {"id": 5})  # type: ignore[arg-type]
    records, _ = run_virtual(kernel.run(tasks(2)))
    assert statuses(records) == ["ok"] * 2


def test_the_same_request_twice_in_a_run_is_asked_one_after_the_other(path: Path) -> None:
    """No batch holds a name twice."""
    same = [replace(task, prompt="the same") for task in tasks(2)]
    fake = FakeBatches()
    records, _ = run_virtual(Kernel(fake, path).run([*same, *_more()]))
    assert statuses(records) == ["ok"] * 3
    assert [len(made.tasks) for made in fake.made.values()] == [2, 1]


def _more() -> list[Task]:
    return tasks(3)[2:]
