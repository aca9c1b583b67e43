"""The virtual clock that other tests stand on."""

from __future__ import annotations

import asyncio
import time

import pytest
from virtual_time import run_virtual


def test_sleep_moves_the_clock_and_costs_no_time():
    """An hour of sleep is an hour on the loop's clock and next to nothing of the processor."""
    began = time.process_time()
    result, seconds = run_virtual(asyncio.sleep(3600, "rested"))
    assert result == "rested"
    assert seconds == pytest.approx(3600)
    assert time.process_time() - began < 5


def test_sleepers_overlap():
    """Tasks that sleep at the same time take as long as the longest."""

    async def work():
        return await asyncio.gather(*(asyncio.sleep(n, n) for n in (3, 1, 2)))

    result, seconds = run_virtual(work())
    assert result == [3, 1, 2]
    assert seconds == pytest.approx(3)


def test_timers_fire_in_the_order_of_their_times():
    """The clock stops at every timer on its way."""
    woken = []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        woken.append((seconds, asyncio.get_running_loop().time()))

    async def work():
        await asyncio.gather(*(sleeper(n) for n in (0.3, 0.1, 0.2)))

    run_virtual(work())
    assert woken == [(n, pytest.approx(n)) for n in (0.1, 0.2, 0.3)]


def test_a_timeout_fires_at_its_virtual_time():
    """`asyncio.timeout` ends a wait when the virtual clock says so."""

    async def work():
        async with asyncio.timeout(15):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        run_virtual(work())


def test_computing_takes_no_virtual_time():
    """Only waiting moves the clock, however many turns the loop takes."""

    async def work():
        for _ in range(100):
            await asyncio.sleep(0)

    assert run_virtual(work()).seconds == 0


def test_a_hung_coroutine_is_an_error():
    """A wait that nothing can end fails the test instead of hanging it."""

    async def work():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="hung"):
        run_virtual(work())


def test_a_hung_worker_beside_a_finished_one_is_an_error():
    """One worker that never ends is found although the others have ended."""

    async def work():
        await asyncio.gather(asyncio.sleep(1), asyncio.Event().wait())

    with pytest.raises(RuntimeError, match="hung"):
        run_virtual(work())


def test_an_error_of_the_coroutine_is_passed_on():
    """What the coroutine raises is what the caller gets."""

    async def work():
        await asyncio.sleep(1)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        run_virtual(work())
