"""Batches of simulated models: how long they take, and that they answer as single calls do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from parallm_magics.core.batches import AT_BATCH_PRICE, BatchRequest
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.engine.clock import VirtualClock, Waiter
from parallm_magics.providers.registry import parse_model
from parallm_magics.simulation.simulated import SimulatedProvider
from parallm_magics.simulation.simulated_batches import LONGEST, SHORTEST, SimulatedBatches

READING = Reading("choice", ("safe", "unsafe"))


def asked(count: int, query: str = "", seed: int = 0) -> list[BatchRequest]:
    """So many requests to a simulated model."""
    model = parse_model(f"sim:a{query}")
    return [
        BatchRequest(f"n-{at}", Task(at, f"s{at}", model, f"ask {at}", seed=seed, reading=READING))
        for at in range(count)
    ]


def lived(work: Callable[[VirtualClock], Awaitable[None]]) -> float:
    """Let this end on a virtual clock: how many seconds of it that took."""

    async def main() -> float:
        clock = VirtualClock()
        ended = Waiter(clock)
        failed: list[BaseException] = []

        async def lives() -> None:
            try:
                await work(clock)
            except BaseException as error:  # a call on this clock has nobody to raise it to
                failed.append(error)
            ended.wake()

        clock.start(lives(), lambda call: None)
        await clock.wait(ended)
        for error in failed:
            raise error
        return clock.now()

    return asyncio.run(main())


async def answered(
    batches: SimulatedBatches, name: str, sent: list[BatchRequest]
) -> dict[str, Reply | CallFailed]:
    """The results of a batch."""
    state = await batches.state(name)
    return {result.id: result.end async for result in batches.results(state, sent)}


@pytest.mark.parametrize("seed", range(5))
def test_a_simulated_batch_takes_its_time(seed: int) -> None:
    """It is under way for 20 to 60 minutes, which follow from the seed, and says how long it still takes."""
    sent = asked(10, seed=seed)
    lengths: list[float] = []

    async def work(clock: VirtualClock) -> None:
        batches = SimulatedProvider().batches()
        made = await batches.create(sent, "n")
        assert made.left is not None
        assert (made.status, made.total, made.succeeded) == ("under way", 10, 0)
        lengths.append(made.left)
        await clock.sleep_until(clock.now() + made.left / 2)
        half = await batches.state(made.id)
        assert (half.status, half.succeeded) == ("under way", 5)
        assert half.left is not None
        await clock.sleep_until(clock.now() + half.left)
        ended = await batches.state(made.id)
        assert (ended.status, ended.succeeded, ended.left) == ("ended", 10, 0)
        assert [batch.id async for batch in batches.listed(None)] == [made.id]

    assert SHORTEST <= lived(work) <= LONGEST
    lived(work)
    assert lengths[0] == lengths[1]


def test_lengths_differ_by_seed() -> None:
    """Not every batch takes the same time."""
    lengths = set()

    async def work(clock: VirtualClock) -> None:
        made = await SimulatedProvider().batches().create(asked(3, seed=len(lengths)), "n")
        lengths.add(made.left)

    for _ in range(4):
        lived(work)
    assert len(lengths) == 4


def test_a_batch_answers_as_calls_do() -> None:
    """The same texts, failures and refusals as by single calls; only what a failure costs differs."""
    sent = asked(60, "?fail=0.2&refuse=0.2&scale=0")
    kinds: set[str] = set()

    async def main() -> None:
        provider = SimulatedProvider()
        made = await provider.batches().create(sent, "n")
        ends = await answered(provider.batches(), made.id, sent)
        for request in sent:
            end = ends[request.id]
            try:
                single: Reply | CallFailed = await provider.complete(request.task, lambda *_: None)
            except CallFailed as failed:
                single = failed
            assert type(end) is type(single)
            if isinstance(end, Reply) and isinstance(single, Reply):
                assert (end.text, end.finish, end.usage) == (
                    single.text,
                    single.finish,
                    single.usage,
                )
                assert end.terms == AT_BATCH_PRICE
                kinds.add(end.finish)
            elif isinstance(end, CallFailed) and isinstance(single, CallFailed):
                assert end.fault == single.fault
                kinds.add(end.fault.kind)

    asyncio.run(main())
    assert kinds == {"stop", "refusal", "server"}


def test_a_cancelled_one_has_done_nothing() -> None:
    """All its requests are cancelled; one that nobody knows is told as such."""
    sent = asked(3)

    async def work(clock: VirtualClock) -> None:
        batches = SimulatedProvider().batches()
        made = await batches.create(sent, "n")
        await clock.sleep_until(clock.now() + 60)
        ended = await batches.cancel(made.id)
        assert (ended.status, ended.failed, ended.left) == ("ended", 3, 0)
        ends = (await answered(batches, made.id, sent)).values()
        assert [end.fault.kind for end in ends if isinstance(end, CallFailed)] == ["cancelled"] * 3
        with pytest.raises(CallFailed):
            await batches.state("msgbatch_1")

    lived(work)


def test_a_batch_that_an_earlier_run_has_left_has_ended() -> None:
    """Its run's time is over, and with it the batch: the next run need not wait for it again."""
    batches, names = SimulatedProvider().batches(), []

    async def begin(clock: VirtualClock) -> None:
        names.append((await batches.create(asked(3), "n")).id)

    async def look(clock: VirtualClock) -> None:
        assert (await batches.state(names[0])).status == "ended"
        assert len(await answered(batches, names[0], asked(3))) == 3

    lived(begin)
    lived(look)


def test_a_batch_of_another_kernel_can_be_read() -> None:
    """What follows from the requests alone is there in any process."""
    sent = asked(3, "?scale=0")

    async def main() -> None:
        name = (await SimulatedProvider().batches().create(sent, "n")).id
        other = SimulatedProvider().batches()
        assert (await other.state(name)).status == "ended"
        assert all(isinstance(end, Reply) for end in (await answered(other, name, sent)).values())

    asyncio.run(main())
