"""When a run is drawn: how often, on what, and what becomes of it at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from display_samples import HAIKU, record
from virtual_time import run_virtual

from parallm_magics.core.tasks import Event
from parallm_magics.display import Board
from parallm_magics.notebook.live_table import LiveTable


class Seen:
    """A surface that notes when it is drawn on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.at: list[float] = []
        self.ends: list[str] = []
        self._error = error

    def draw(self, board: Board, now: float) -> None:
        """Note the time."""
        self.at.append(round(now, 3))
        if self._error is not None:
            raise self._error

    def finish(self, board: Board) -> None:
        """Note that nothing runs any more."""
        self.ends.append("finished")

    def take_down(self) -> None:
        """Note that nothing stays."""
        self.ends.append("taken down")


def drawn(
    workers: int,
    seconds: float,
    every: float | None,
    error: Exception | None = None,
    *,
    followed: bool = False,
) -> Seen:
    """What is seen of a run of so many seconds in which a worker is heard now and then, or never."""
    seen, at_end = Seen(error), list[Callable[[], None]]()
    board = Board([(f"w{at}", HAIKU) for at in range(workers)])

    async def run() -> None:
        table = LiveTable(board, seen, later=at_end.append, followed=followed)
        async with table.shown():
            table.tell(Event("started", 0, 0.0))
            while every and asyncio.get_running_loop().time() - began < seconds:
                await asyncio.sleep(every)
                table.tell(Event("heard", 0, 0.0, "word "))
            if not every:
                await asyncio.sleep(seconds)
        seen.ends.append("result")
        for do in at_end:
            do()

    async def timed() -> None:
        nonlocal began
        began = asyncio.get_running_loop().time()
        await run()

    began = 0.0
    run_virtual(timed())
    return seen


@pytest.mark.parametrize(("workers", "a_second"), [(3, 5), (99, 5), (100, 4), (10_000, 4)])
def test_so_many_drawings_a_second(workers: int, a_second: int) -> None:
    """However much happens."""
    seen = drawn(workers, 10.0, 0.01)
    full = [at for at in seen.at if 1.0 <= at < 9.0]
    assert len(full) == pytest.approx(8 * a_second, abs=1)


@pytest.mark.parametrize("workers", [3, 100])
def test_where_only_the_clock_moves_once_a_second(workers: int) -> None:
    """The first after a moment; then the elapsed times move on."""
    assert drawn(workers, 4.5, None).at == [0.25, 1.25, 2.25, 3.25, 4.25]


def test_the_last_picture_stays_until_the_result_is_there() -> None:
    """It is up to date, and taken down after the result."""
    seen = drawn(3, 1.0, 0.3)
    assert seen.at[-1] == pytest.approx(1.2)
    assert seen.ends == ["finished", "result", "taken down"]


def test_no_last_picture_where_the_result_follows_at_once() -> None:
    """Nobody would see it, and the result would wait for it."""
    seen = drawn(3, 1.0, 0.3, followed=True)
    assert seen.at[-1] == pytest.approx(1.05)
    assert seen.ends == ["finished", "result", "taken down"]


def test_a_quick_run_is_not_drawn() -> None:
    """Nothing has to be taken down."""
    seen = drawn(3, 0.2, None)
    assert (seen.at, seen.ends) == ([], ["result"])


def test_a_broken_surface_is_tried_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so, the run goes on, and what may be there is taken down."""
    seen = drawn(3, 3.0, 0.1, RuntimeError("gone"))
    assert len(seen.at) == 1
    assert seen.ends == ["result", "taken down"]
    assert capsys.readouterr().err.count("\n") <= 1


@pytest.mark.parametrize("redacted", [False, True])
def test_answers_are_drawn_ahead_while_nothing_happens(redacted: bool) -> None:
    """From the start, before the first picture; what a guard withholds as soon as it is released."""
    board = Board([("w0", HAIKU)], redacted=redacted)

    async def run() -> None:
        table = LiveTable(board, Seen())
        async with table.shown():
            table.tell(Event("started", 0, 0.0))
            table.tell(Event("ended", 0, 0.1, record=record(0, text="*one*")))
            await asyncio.sleep(0.1)
            assert bool(board._to_draw) == redacted
            table.tell(Event("released", -1, 0.2))
            await asyncio.sleep(0.1)
            assert not board._to_draw

    run_virtual(run())
