"""A worker of a cluster whose kernel is gone ends its calls; one that was only held up goes on."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest

from parallm_magics.cluster import outbox, worker_run
from parallm_magics.cluster.parcels import Answer, Report, RunTerms
from parallm_magics.cluster.worker_run import WorkerRun
from parallm_magics.engine.retries import Rules
from parallm_magics.providers.registry import Clients

ALONE, PULSE = 0.4, 0.1


def test_a_loop_that_was_held_up_takes_nobody_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process, or an import that holds the lock, reads no answers; silence alone counts."""
    monkeypatch.setattr(worker_run, "ALONE_SECONDS", ALONE)
    monkeypatch.setattr(outbox, "PULSE_SECONDS", PULSE)
    terms = RunTerms("run", "kernel", Rules(), lambda *_: None, lambda _: Decimal(0), False, None)
    reasons: list[str] = []
    reports: list[Report] = []

    async def live() -> None:
        run = WorkerRun("worker", "address", terms, Clients(), reports.append)
        run._stop.on_stop(lambda: reasons.append(run._stop.reason))
        run._report()
        for _ in range(3):
            run.take_in(Answer(len(reports), reports[-1].question.number, 4.0))
            time.sleep(2 * ALONE)
            await asyncio.sleep(PULSE / 2)
            assert not reasons
        await asyncio.sleep(2 * ALONE)
        run._outbox.off()

    asyncio.run(live())
    assert reasons == ["the notebook that began the run does not answer"]
