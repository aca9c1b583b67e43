"""Runs of the public functions at a scripted server, and how long the machine itself stood still."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Self

import pytest
from paths import DATA
from provider import KEY, Loopback

from parallm_magics import FanoutRun, VoteRun, fanout, vote
from parallm_magics.core.prices import cost
from parallm_magics.core.tasks import Model, Usage
from parallm_magics.providers import bill
from parallm_magics.providers.registry import entry_of

# Names with a known price, so that an unknown cost is the call's and not the table's.
MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
each_dialect = pytest.mark.parametrize("dialect", MODELS)


@contextmanager
def served() -> Iterator[Loopback]:
    """A scripted server, and the environment that leads both dialects there."""
    with Loopback() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BASE_URL", server.url)
        patch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        patch.setenv("ANTHROPIC_API_KEY", KEY)
        patch.setenv("OPENAI_API_KEY", KEY)
        yield server


def price_of(dialect: str, usage: Usage) -> Decimal | None:
    """What a run with the dialect's model must cost for these tokens."""
    tariff = entry_of(dialect).tariff(MODELS[dialect])
    return None if tariff is None else cost(tariff, usage)


def worst_of(prompt: str, most: int = 100) -> Decimal:
    """The most that one call to Anthropic can cost, whose answer has at most so many tokens."""
    amount = bill.worst(Model("anthropic", MODELS["anthropic"]), len(prompt), most)
    assert amount is not None
    return amount


def sections(*models: str) -> str:
    """A section for each model, named by its place."""
    return "\n".join(f"%section s{at} -m {model}\nask {at}" for at, model in enumerate(models))


async def fanned(text: str, **options: Any) -> FanoutRun:
    """A fan-out that counts as a run however many of its workers succeed."""
    run = await fanout(text, **{"min_success": 0, **options})
    assert isinstance(run, FanoutRun)
    return run


async def voted(text: str, **options: Any) -> VoteRun:
    """A vote that counts as a run however many of its workers succeed."""
    run = await vote(text, **{"min_success": 0, **options})
    assert isinstance(run, VoteRun)
    return run


def bad_inputs(category: str) -> dict[str, dict[str, Any]]:
    """The inputs of the list that belong to a category, by their ids."""
    rows = json.loads((DATA / "bad-inputs.json").read_text())["inputs"]
    return {row["id"]: row for row in rows if row["category"] == category}


class Stalls:
    """Measures for how long the machine let nothing run, so that a promise of time can be kept exactly.

    Attributes:
        seconds: in all, so far.
    """

    TICK = 0.01

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(self.TICK):
            now = time.monotonic()
            self.seconds += max(0.0, now - last - 2 * self.TICK)
            last = now
