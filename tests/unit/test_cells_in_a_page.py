"""Cells where the kernel is the page: it does not tell when an awaited cell has ended."""

from __future__ import annotations

import asyncio

import pytest

from parallm_magics.notebook import cells as notebook_cells
from parallm_magics.notebook.cells import Cells


def test_an_awaited_cell_ends_with_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done at its end is done then, and the next cell stands in no other."""
    monkeypatch.setattr(notebook_cells, "IN_BROWSER", True)
    cells, done = Cells(), []

    async def cell(number: int) -> None:
        assert cells.tasks == []
        cells.enter()
        cells.at_end(lambda: done.append(number))
        await asyncio.sleep(0)

    async def kernel() -> None:
        for number in (1, 2):
            await asyncio.create_task(cell(number))
            await asyncio.sleep(0)
            assert done == [*range(1, number + 1)]

    asyncio.run(kernel())
