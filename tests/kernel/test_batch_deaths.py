"""Processes that die in the middle of batches: nothing is lost, and nothing is sent again unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from dying_batches import MODELS, Cell, trials


@pytest.mark.parametrize("dialect", MODELS)
def test_whenever_a_process_dies_its_batches_are_gone_on_with(dialect: str, tmp_path: Path) -> None:
    """Killed eight times, between sending and hearing the id too, a cell has every answer, each asked for once."""
    with trials(7) as trial:
        trial.run(Cell(dialect, tmp_path / "answers.jsonl", 400, 20, dialect), 8)
    told = trial.told
    assert told.deaths.total() > 1
    assert (told.lost, told.twice, told.again, told.wrong) == (0, 0, 0, [])
    assert told.batches == 20
