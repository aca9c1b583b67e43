"""Rows that were drawn while a run was waited for: what is kept of them, and that nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from display_samples import failed, record

from parallm_magics.core.tasks import Event, Record
from parallm_magics.display import Board, View, html, kept_rows, plain, run_blocks
from parallm_magics.display.kept_rows import MOST, MOST_CHARACTERS, drawn_of, kept_row

TEXTS = [
    "plain",
    "x" * 300,
    "*a*\n\n- b",
    "y" * 3_000,
    "y" * (MOST_CHARACTERS + 1),
    "",
    "z" * 30_000,
]
OTHERS = tuple(record(at) for at in range(100, 280))
VIEWS: dict[str, Callable[[tuple[Record, ...]], View]] = {
    "map": lambda records: View("", "fanout", records),
    "with an aggregate": lambda records: View("", "fanout", records, text=records[2].text),
    "with a column more": lambda records: View("", "fanout", records, columns=("request",)),
    "with a failure": lambda records: View("", "fanout", (*records, failed(9))),
    "with less room for each answer": lambda records: View("", "fanout", (*records, *OTHERS)),
    "few": lambda records: View("", "fanout", records[:2]),
    "ballots": lambda records: View("", "vote", records, ballots=("valid",) * len(records)),
    "blocked": lambda records: View("", "fanout", records, blocked=True, text="no"),
}


def watched(records: tuple[Record, ...]) -> None:
    """Let a run of these be watched, and its result be drawn ahead."""
    board = Board(total=len(records))
    for each in records:
        board.tell(Event("started", each.index, 0.0))
        board.tell(Event("ended", each.index, 1.0, record=each))
        board.live_parts(1.0)
        board.draw_ahead()


def test_nobody_can_tell_whether_a_run_was_watched() -> None:
    """Whatever table its rows come to stand in."""
    records = tuple(
        record(index, text=text, item=f"{text[:100]} {index}", key=index, request_id=f"r{index}")
        for index, text in enumerate(TEXTS)
    )
    watched(records)
    for name, view in VIEWS.items():
        first = run_blocks(view(tuple(replace(each) for each in records)))
        again = run_blocks(view(records))
        assert html(again) == html(first), name
        assert plain(again) == plain(first), name


def test_a_row_is_the_same_one_each_time() -> None:
    """That of a record that only looks alike is another one."""
    one = record(0)
    assert kept_row(one) is kept_row(one)
    assert kept_row(replace(one)) is not kept_row(one)
    assert kept_row(one, ("yes", True)) is not kept_row(one)
    drawn_of(kept_row(one))["it"] = "drawn"
    assert drawn_of(kept_row(one)) == {"it": "drawn"}


def test_few_rows_are_kept() -> None:
    """However many runs there are."""
    first = record(0)
    row = kept_row(first)
    for index in range(MOST):
        kept_row(record(index))
    assert len(kept_rows._rows) == len(kept_rows._drawn) == MOST
    assert kept_row(first) is not row


@pytest.mark.parametrize(
    "given",
    [
        {"text": "x" * (MOST_CHARACTERS + 1)},
        {"thinking": "x" * (MOST_CHARACTERS + 1)},
        {"value": {"total": 1}},
        {"value": ["a"]},
        {"probabilities": {"yes": 0.9}},
    ],
    ids=["long", "long thinking", "object", "list", "probabilities"],
)
def test_nothing_is_kept_of_a_long_answer_and_of_what_may_change(given: dict[str, Any]) -> None:
    """A user who changes a value sees what it is now."""
    one = record(0, **given)
    drawn_of(kept_row(one))["it"] = "drawn"
    assert kept_row(one) is not kept_row(one)
    assert drawn_of(kept_row(one)) == {}
