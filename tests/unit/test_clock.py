"""The virtual clock: what happens in simulated time is a matter of its moments, never of the machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from fakes import run_context
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics import fanout, register_provider, vote
from parallm_magics.api import plan_cell
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Model, Record, Usage
from parallm_magics.engine import clock as clock_module
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.clock import VirtualClock, Waiter
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.run_context import of_its_own
from parallm_magics.providers import BaseProvider
from parallm_magics.providers.registry import define_simulated, forget
from parallm_magics.simulation.simulated import SimulatedProvider
from parallm_magics.study.run_study import StudyPattern

Work = Callable[[VirtualClock], Coroutine[Any, Any, None]]
MODEL = "sim:?scale=0&latency=lognormal(1,0.8)"


def lived(*works: Work, scale: float = 0.0) -> tuple[float, float]:
    """Begin these in one moment and let them end: the virtual and the real seconds that it took."""

    async def main() -> tuple[float, float]:
        clock, began = VirtualClock(scale), time.perf_counter()
        ended = Waiter(clock)
        left = len(works)

        async def lives(work: Work) -> None:
            nonlocal left
            await work(clock)
            left -= 1
            if not left:
                ended.wake()

        for work in works:
            clock.start(lives(work), lambda call: None)
        await clock.wait(ended)
        return clock.now(), time.perf_counter() - began

    return asyncio.run(main())


# --- the clock ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 2.0, 7.25]), st.integers(0, 3))))
def test_sleepers_wake_by_moment_then_by_place(sleeps: list[tuple[float, int]]) -> None:
    """Whoever began first comes first only where both are the same; time never goes back."""
    woken: list[tuple[float, int, int]] = []

    def sleeping(number: int, moment: float, place: int) -> Work:
        async def work(clock: VirtualClock) -> None:
            await clock.sleep_until(moment, place)
            woken.append((clock.now(), place, number))

        return work

    if sleeps:
        lived(*(sleeping(number, *each) for number, each in enumerate(sleeps)))
    assert woken == sorted((*each, number) for number, each in enumerate(sleeps))


@given(st.integers(0, 2**32))
def test_time_never_goes_back(seed: int) -> None:
    """Whatever a call that wakes makes happen: sleeps from there, into the past, in chains."""
    rng, seen = random.Random(seed), list[float]()

    async def work(clock: VirtualClock) -> None:
        for _ in range(rng.randrange(1, 6)):
            await clock.sleep_until(clock.now() + rng.choice([-1.0, 0.0, 0.1, 3.0]), 1)
            seen.append(clock.now())

    end, _ = lived(*[work] * rng.randrange(1, 6))
    assert seen == sorted(seen)
    assert end == max(seen)


def test_a_long_time_takes_none() -> None:
    """Without a scale nobody waits in real time."""

    async def work(clock: VirtualClock) -> None:
        for _ in range(1000):
            await clock.sleep_until(clock.now() + 86_400)

    virtual, real = lived(work)
    assert (virtual, real < 5) == (86_400_000, True)


def test_a_scale_lets_others_watch() -> None:
    """So much real time as it says passes with the virtual one, however many moments there are."""

    async def work(clock: VirtualClock) -> None:
        for moment in range(1, 201):
            await clock.sleep_until(moment / 10)

    virtual, real = lived(work, scale=0.01)
    assert (virtual, 0.2 <= real < 2) == (20, True)


def test_what_takes_real_time_holds_the_clock() -> None:
    """Nobody wakes while code of the user's runs outside of virtual time."""
    seen: list[tuple[str, float]] = []

    async def outside(clock: VirtualClock) -> None:
        await asyncio.get_running_loop().create_task(asyncio.sleep(0.05))
        seen.append(("outside", clock.now()))

    async def sleeper(clock: VirtualClock) -> None:
        await clock.sleep_until(1.0)
        seen.append(("sleeper", clock.now()))

    lived(sleeper, outside)
    assert seen == [("outside", 0.0), ("sleeper", 1.0)]


@pytest.mark.parametrize("at", [0.0, 0.5])
def test_a_sleeper_that_is_cancelled_ends_in_that_moment(at: float) -> None:
    """Others go on; what never ran has ended too."""
    over: list[object] = []
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        clock = VirtualClock()
        ended = Waiter(clock)

        async def long() -> None:
            try:
                await clock.sleep_until(9.0)
            except asyncio.CancelledError:
                seen.append(("long", clock.now()))

        async def short() -> None:
            await clock.sleep_until(1.0)
            seen.append(("short", clock.now()))
            ended.wake()

        call = clock.start(long(), over.append)
        other = clock.start(short(), over.append)
        if at:
            clock.call_at(at, call.cancel)
        else:
            call.cancel()
        await clock.wait(ended)
        await asyncio.sleep(0)
        assert over == [call, other]

    asyncio.run(main())
    assert seen == ([("long", at)] if at else []) + [("short", 1.0)]


def test_what_finishes_a_moment_comes_after_all_that_end_in_it() -> None:
    """And before whatever follows from it."""
    seen: list[str] = []

    def ending(name: str, place: int) -> Work:
        async def work(clock: VirtualClock) -> None:
            await clock.sleep_until(1.0, place)
            seen.append(name)
            if name == "first":
                after = clock_module.LAST + 1
                clock.call_at(clock.now(), lambda: seen.append("next look"), after)
                clock.finish_moment(lambda: seen.append("moment over"))

        return work

    async def later(clock: VirtualClock) -> None:
        await clock.sleep_until(1.5)

    lived(ending("second", 2), ending("first", 1), later)
    assert seen == ["first", "second", "moment over", "next look"]


# --- runs on it -----------------------------------------------------------------------------------


@contextlib.contextmanager
def jitter(seed: int) -> Any:
    """A machine that is held up now and then, and a loop that turns whenever it can."""
    rng, look, stretch = random.Random(seed), Scheduler._look, clock_module.STRETCH_SECONDS

    def slow(self: Scheduler) -> None:
        if rng.random() < 0.2:
            time.sleep(rng.random() * 0.02)
        look(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scheduler, "_look", slow)
        patch.setattr(clock_module, "STRETCH_SECONDS", rng.choice([-1, stretch]))
        yield


async def items(count: int) -> AsyncIterator[int]:
    """Items that must be awaited."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


GUARDED = "%section a\nA\n%section b\nB\n%section c\nC\n%guardrail g -n 3\nMay it?"
RUNS: dict[str, Callable[[], Any]] = {
    "items": lambda: fanout("x {{item}}", each=[*range(60)], model=MODEL, concurrency=7),
    "awaited items": lambda: fanout("x {{item}}", each=items(250), model=MODEL, concurrency=7),
    "rpm": lambda: fanout("x {{item}}", each=[*range(30)], model=MODEL, rpm=10),
    "guard": lambda: fanout(GUARDED, model=MODEL, concurrency=2),
    "clinch": lambda: vote("?", n=15, choices="a,b", model=MODEL, stop="clinch", concurrency=4),
    "waves": lambda: vote("?", n=15, choices="a,b", model=MODEL, launch="lazy"),
    "merged": lambda: fanout(f"{GUARDED}\n%synthesis\nMerge.", model=f"{MODEL}&truth=ALLOW"),
}


@pytest.mark.parametrize("kind", RUNS)
def test_records_do_not_depend_on_the_machine(kind: str) -> None:
    """To the last digit, also where calls wait for slots, for a minute to pass or for a guard."""

    def records(seed: int) -> list[Record]:
        with jitter(seed):
            run = asyncio.run(RUNS[kind]())
        return [*run.results, *(record for each in run.guards for record in each.records)]

    first = records(0)
    assert all(records(seed) == first for seed in (1, 2, 3))


def test_a_minute_of_requests_passes_in_simulated_time() -> None:
    """Of 30 calls at 10 a minute the last ten begin after two minutes, and nobody waits for them."""
    began = time.perf_counter()
    run = asyncio.run(
        fanout("x {{item}}", each=[*range(30)], model="sim:?scale=0&latency=1", rpm=10)
    )
    assert time.perf_counter() - began < 10
    assert [record.start for record in run.results] == [0.0] * 10 + [60.0] * 10 + [120.0] * 10


def test_an_interrupt_ends_a_run_at_once() -> None:
    """However long it would have been, and its calls have lasted as long as they were watched."""
    model = Model("sim", query=(("latency", "100"),))
    cell = parse("fanout", "", "%section a\nA")
    plan = make_plan(cell, {}, lambda text: model, {"model": ("sim",)})

    async def main() -> tuple[Any, float]:
        stop = Stop()
        began = time.perf_counter()
        asyncio.get_running_loop().call_later(0.2, stop, "interrupted")
        run = await FanoutPattern.run(plan, run_context(SimulatedProvider(), stop))
        return run, time.perf_counter() - began

    run, real = asyncio.run(main())
    [record] = run.results
    assert record.status == "cancelled"
    assert real < 5
    assert 0.1 < record.seconds <= real


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
def test_a_guarded_run_that_is_cancelled_ends(turns: int) -> None:
    """Whoever sees to the end of guard and work holds no time back that these need to end."""
    cell = "p\n%section a\nA\n%guardrail g\nB"

    async def main() -> None:
        run = asyncio.ensure_future(fanout(cell, model="sim:?latency=100"))
        for _ in range(turns):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait({run}, timeout=5)
        assert run.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("late", [True, False])
def test_a_function_cannot_undo_an_interrupt(late: bool) -> None:
    """Neither by an answer that comes in the very moment, nor by one in spite of it."""
    stop = Stop()

    async def answer(task: Any, sample: int) -> str:
        if late:
            asyncio.get_running_loop().call_soon(stop, "interrupted")
            return "fine"
        try:
            asyncio.get_running_loop().call_later(0.05, stop, "interrupted")
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "fine"
        return "never"

    model = Model("sim", query=(("latency", "10"),))
    cell = parse("fanout", "", "%section a\nA")
    plan = make_plan(cell, {}, lambda text: model, {"model": ("sim",)})
    began = time.perf_counter()
    run = asyncio.run(FanoutPattern.run(plan, run_context(SimulatedProvider(answer), stop)))
    assert time.perf_counter() - began < 5
    assert [record.status for record in run.results] == ["cancelled"]


def test_a_run_within_an_answer_has_its_own_time() -> None:
    """A function of simulated time may ask a real model beside a simulated one."""

    class Real(BaseProvider):
        async def complete(self, task: Any, heard: Any) -> Reply:
            await asyncio.sleep(0.01)
            return Reply("real", usage=Usage(1, output_tokens=1))

    async def answer(task: Any, sample: int) -> str:
        run = await fanout("%section a -m sim:?scale=0.01\nA\n%section b -m realone:x\nB")
        return ",".join(record.status for record in run.results)

    register_provider("realone", provider=Real)
    define_simulated("outer", answer)
    try:
        run = asyncio.run(fanout("x", n=1, model="outer:?scale=0"))
    finally:
        forget("outer")
        forget("realone")
    assert [*run.values()] == ["ok,ok"]


@pytest.mark.parametrize("function", [True, False])
def test_whatever_a_function_raises_ends_in_a_record(function: bool) -> None:
    """Also what is no Exception, such as the error of a test; other answers are kept, and nothing hangs."""

    class Failed(BaseException):
        pass

    def fails(task: Any, sample: int) -> str:
        if task.name == "a":
            raise Failed
        return "fine"

    async def later(task: Any, sample: int) -> str:
        await asyncio.sleep(0.01)
        return fails(task, sample)

    define_simulated("failing", fails if function else later)
    work = fanout("%section a\nA\n%section b\nB", model="failing:?scale=0", min_success=1)
    try:
        run = asyncio.run(asyncio.wait_for(work, 5))
    finally:
        forget("failing")
    assert [record.status for record in run.results] == ["failed", "ok"]
    assert run.results[0].error is not None
    assert run.results[0].error.message == "unexpected Failed"


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_run_of_two_providers_that_is_stopped_ends(concurrency: int) -> None:
    """Whichever of them is the last call's: one that was read while the other's were turned away too."""
    define_simulated("one")
    define_simulated("two")

    async def main(voters: int, items: int) -> int:
        line = f"-m one,two --concurrency {concurrency} -n {voters} --choices a,b --each items --truth labels"
        names = {"items": [*range(items)], "labels": ["a"] * items}
        plan = plan_cell("vote", line, "? {{item}}", names)
        async with of_its_own(plan) as context:
            asyncio.get_running_loop().call_soon(context.stop, "interrupted")
            run = await asyncio.wait_for(StudyPattern.run(plan, context), 5)
        return len(run.results)

    try:
        for voters, items in itertools.product((2, 3, 5), range(1, 8)):
            assert asyncio.run(main(voters, items)) == voters * items
    finally:
        forget("one")
        forget("two")


@pytest.mark.parametrize("scale", ["0", "0.01"])
@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_functions_that_take_real_time_take_it_side_by_side(seconds: float, scale: str) -> None:
    """As many at once as there are slots, and none waits for the simulated end of another."""
    running = most = 0

    async def answer(task: Any, sample: int) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(seconds)
        running -= 1
        return "fine"

    define_simulated("slow", answer)
    began = time.perf_counter()
    try:
        work = fanout("x {{item}}", each=[*range(30)], model=f"slow:?scale={scale}", concurrency=10)
        run = asyncio.run(work)
    finally:
        forget("slow")
    assert [*run.values()] == ["fine"] * 30
    assert most == 10
    assert time.perf_counter() - began < 4


def test_an_answer_that_is_there_is_not_lost_to_one_that_never_comes() -> None:
    """Virtual time goes on beside a function that hangs, so that an interrupt keeps the others."""

    async def answer(task: Any, sample: int) -> str:
        if task.name == "b":
            await asyncio.sleep(60)
        return "fine"

    define_simulated("hanging", answer)
    model = Model("hanging", query=(("latency", "1"), ("scale", "0")))
    cell = parse("fanout", "", "%section a\nA\n%section b\nB")
    plan = make_plan(cell, {}, lambda text: model, {"model": ("hanging",)})

    async def main() -> Any:
        stop = Stop()
        asyncio.get_running_loop().call_later(1.0, stop, "interrupted")
        return await FanoutPattern.run(plan, run_context(SimulatedProvider(answer), stop))

    try:
        run = asyncio.run(main())
    finally:
        forget("hanging")
    assert [record.status for record in run.results] == ["ok", "cancelled"]


def test_a_source_that_takes_its_time_holds_no_answers_back() -> None:
    """What waits for an answer before it gives the next item is not waited for in turn."""
    answered = 0

    def answer(task: Any, sample: int) -> str:
        nonlocal answered
        answered += 1
        return "fine"

    async def chain() -> AsyncIterator[int]:
        for number in range(3):
            while answered < number:
                await asyncio.sleep(0.01)
            yield number

    define_simulated("chained", answer)
    try:
        run = asyncio.run(fanout("x {{item}}", each=chain(), model="chained:?scale=0"))
    finally:
        forget("chained")
    assert [*run.values()] == ["fine"] * 3


def test_an_interrupted_function_that_fails_at_its_end_is_not_told_beside_the_run() -> None:
    """Its call has been cancelled by then, and nothing is left that nobody has looked at."""
    stop, told = Stop(), list[str]()

    async def answer(task: Any, sample: int) -> str:
        try:
            asyncio.get_running_loop().call_later(0.01, stop, "interrupted")
            await asyncio.sleep(60)
        finally:
            raise RuntimeError("broken off")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, seen: told.append(str(seen)))
        context = run_context(SimulatedProvider(answer), stop)
        cell = parse("fanout", "", "%section a\nA\n%section b\nB")
        plan = make_plan(cell, {}, lambda text: Model("sim"), {"model": ("sim",)})
        run = await FanoutPattern.run(plan, context)
        assert {record.status for record in run.results} == {"cancelled"}
        await asyncio.sleep(0.05)
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert not told
