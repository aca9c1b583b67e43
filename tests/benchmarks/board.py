"""What taking events in and drawing cost the live table of a large map, without a page."""

from __future__ import annotations

import random
import time
from decimal import Decimal

from parallm_magics.core.tasks import Attempt, Event, Fault, Model, Record, Task, Usage
from parallm_magics.display import Board, html

AT_ONCE = 200
EVERY = 0.05


def ended(index: int) -> Record:
    """One in a hundred failed; the others took up to ten seconds."""
    failed = index % 100 == 0
    return Record(
        index,
        str(index + 1),
        "failed" if failed else "ok",
        "anthropic:claude-haiku-5-5",
        text=f"Answer {index}.",
        usage=Usage(100, 0, 0, 20),
        cost=Decimal("0.0012"),
        start=index * EVERY,
        seconds=random.random() * 10,
        attempts=(Attempt("ok", 1.0),),
        error=Fault("server", "the provider failed") if failed else None,
    )


def events(count: int) -> list[Event]:
    """Starts and ends, 200 workers at once; the last 200 still run."""
    model = Model("anthropic", "claude-haiku-5-5")
    told = []
    for index in range(count + AT_ONCE):
        at = index * EVERY
        told.append(Event("started", index, at, task=Task(index, str(index + 1), model, "p")))
        if index >= AT_ONCE:
            told.append(Event("ended", index - AT_ONCE, at, record=ended(index - AT_ONCE)))
    return told


def cost(count: int) -> tuple[list[float], list[float]]:
    """Microseconds of an event, a round each, and milliseconds of a picture.

    Args:
        count: how many have ended.
    """
    told = events(count)
    rounds, pictures = [], []
    for _ in range(5):
        board = Board(total=count + AT_ONCE)
        began = time.perf_counter()
        for event in told:
            board.tell(event)
        rounds.append((time.perf_counter() - began) / len(told) * 1e6)
        for _ in range(4):
            began = time.perf_counter()
            html(board.blocks(told[-1].at))
            pictures.append((time.perf_counter() - began) * 1e3)
    return rounds, pictures
