"""Whoever interrupts twice is not kept waiting by a worker that does not end."""

from __future__ import annotations

import asyncio

from virtual_time import run_virtual

from parallm_magics.notebook.interrupt import GRACE, InterruptibleWait


async def stubborn() -> str:
    """Goes on for a minute however often it is cancelled."""
    for _ in range(60):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            continue
    return "done"


def test_a_second_interrupt_leaves_the_run() -> None:
    """The first one only stops the workers; after the second the wait ends within the grace."""

    async def interrupted() -> tuple[str | None, float]:
        wait = InterruptibleWait()
        loop = asyncio.get_running_loop()
        loop.call_later(1.5, wait.end)
        loop.call_later(2.5, wait.end)
        return await wait.wait_for(stubborn()), loop.time()

    (result, at), _ = run_virtual(interrupted())
    assert result is None
    assert at == 2.5 + GRACE


def test_a_run_that_ends_is_waited_for() -> None:
    """One interrupt leaves the run the time to tell what it has."""

    async def interrupted() -> str | None:
        wait = InterruptibleWait()
        asyncio.get_running_loop().call_later(1.5, wait.end)
        return await wait.wait_for(asyncio.sleep(30, "what was done"))

    result, seconds = run_virtual(interrupted())
    assert (result, seconds) == ("what was done", 30)
