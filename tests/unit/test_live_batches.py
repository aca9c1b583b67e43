"""The live table of a run whose calls are asked in batches: meaningful for two requests and for millions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from display_samples import HAIKU, record

from parallm_magics.core.batches import BatchProgress
from parallm_magics.core.tasks import Event, Model, Task
from parallm_magics.display import Board, plain
from parallm_magics.display.kinds import Progress
from parallm_magics.display.live_batches import MOST_BATCHES

BATCH = BatchProgress("batch_1", HAIKU, "under way", 6000, 3100, 12, 2400.0)


def told(board: Board, *batches: BatchProgress, at: float = 5.0) -> Board:
    """The board, once it has heard of these batches."""
    board.tell(Event("batches", -1, at, batches=batches))
    return board


def words(board: Board, now: float = 65.0) -> str:
    """What a person reads, blanks as one."""
    return re.sub(r"\s+", " ", plain(board.blocks(now)))


def test_how_far_batches_are_stands_in_the_heading_and_in_a_row_each() -> None:
    """No answer has come yet, but the provider says how many there are."""
    waits = BatchProgress("", HAIKU, "waiting", 4000, note="the queue is full")
    board = told(Board(total=10_000, batched=True), BATCH, waits)
    said = words(board)
    assert said.startswith(f"3,112 of 10,000 done {HAIKU} · 1 min 5 s")
    assert "batch_1 6,000 3,100 12 41 min ago under way" in said
    assert "– 4,000 0 0 not yet waiting: the queue is full" in said
    assert "Worker" not in said
    assert board.line(65.0).startswith("3,112 of 10,000 done · ")


def test_the_age_of_a_batch_goes_on_between_two_looks_at_it() -> None:
    """A batch is looked at every few minutes; its age is right at any time."""
    board = told(Board(total=10_000, batched=True), BATCH)
    assert "40 min ago" in words(board, now=5.0)
    assert "45 min ago" in words(board, now=305.0)


def test_the_bar_is_as_long_as_what_the_provider_has_done() -> None:
    """The bar follows the provider, and is never full while results are still to be read."""
    board = told(Board(total=6000, batched=True), BATCH)
    assert Progress(3112 / 6000) in board.blocks(65.0)
    told(board, replace(BATCH, status="reading", succeeded=6000, failed=0))
    assert "6,000 of 6,000 done" in words(board)
    assert Progress(0.99) in board.blocks(65.0)


def test_calls_under_way_in_batches_have_no_rows_of_their_own() -> None:
    """Of thousands, those that have ended have one; the others are counted."""
    board = told(Board(total=6000, batched=True), BATCH)
    for index in range(50):
        task = Task(index, f"w{index}", Model("anthropic", "m"), "p")
        board.tell(Event("started", index, 1.0, task=task))
    assert "50 in batches" in words(board)
    assert "running" not in words(board)
    assert "w1 " not in words(board)
    board.tell(Event("ended", 1, 70.0, record=replace(record(1), batch="batch_1")))
    assert f"{record(1).name} " in words(board)


def test_a_few_workers_have_a_row_from_the_start() -> None:
    """Each says that it is in a batch, and then what has become of it."""
    board = Board([("w0", HAIKU), ("w1", HAIKU)], batched=True)
    told(board, replace(BATCH, requests=2, succeeded=1, failed=0))
    board.tell(Event("started", 0, 1.0))
    assert words(board).count("in a batch") == 2
    assert "running" not in words(board)
    board.tell(Event("ended", 0, 70.0, record=replace(record(0), batch="batch_1")))
    assert words(board).count("in a batch") == 1


def test_of_many_batches_those_that_are_open_are_shown() -> None:
    """A hundred batches have a dozen rows: those under way first, and a word on the rest."""
    done = [replace(BATCH, id=f"done_{n}", status="done") for n in range(95)]
    under_way = [replace(BATCH, id=f"open_{n}") for n in range(5)]
    said = words(told(Board(total=600_000, batched=True), *done, *under_way))
    assert all(f"open_{n} " in said for n in range(5))
    assert said.count("done_") == MOST_BATCHES - 5
    assert "88 more batches, 95 are done" in said


def test_models_have_a_column_where_they_differ() -> None:
    """One model stands in the heading alone."""
    one = told(Board(total=6000, batched=True), BATCH)
    assert "Model" not in words(one)
    two = told(Board(total=6000, batched=True), BATCH, replace(BATCH, model="openai:gpt-6-luna"))
    assert "Model" in words(two)


def test_nothing_said_of_batches_changes_nothing() -> None:
    """A usual run is drawn as ever."""
    board = Board(total=5)
    before: Any = board.blocks(1.0)
    board.tell(Event("batches", -1, 0.5))
    assert board.blocks(1.0) == before
