"""A column is one entry: shown on request, or where a row has something for it, and changing nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from display_samples import HAIKU, Page, fanout, record, static_html, static_plain, vote
from live_views import live_html
from paths import PROJECT

from parallm_magics import fanout as run_fanout
from parallm_magics import vote as hold_vote
from parallm_magics.core.tasks import Event
from parallm_magics.display import Board, columns
from parallm_magics.display.columns import COLUMNS, Column
from parallm_magics.errors import OptionError

FINISH = Column(
    "finish",
    "Finish",
    lambda row: (row.record.finish if row.record else None) or "–",
    ems=8,
    on_request=True,
)
RETRIED = Column(
    "retried",
    "Retried",
    lambda row: "yes" if row.attempts > 1 else "",
    lambda rows, live: any(row.attempts > 1 for row in rows),
)
CELL = "Look.\n\n%section a\nOne.\n\n%section b\nTwo.\n"


@pytest.fixture
def _further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two columns more: one on request, one that is shown where it says something."""
    *others, answer = COLUMNS
    monkeypatch.setattr(columns, "COLUMNS", (*others, FINISH, RETRIED, answer))


def drawn(**fields: Any) -> str:
    """The live view of a worker that has ended."""
    board = Board([("s1", HAIKU)], **fields)
    board.tell(Event("ended", 0, 1.0, record=record(finish="end_turn", request_id="req_7")))
    return str(live_html(board, 2.0))


@pytest.mark.usefixtures("_further")
def test_a_column_is_shown_to_those_who_ask_for_it() -> None:
    """On the page, in a terminal and live, between its neighbours."""
    view = fanout(record(finish="end_turn"), columns=("finish",))
    for shown in (Page(static_html(view)).text, static_plain(view), drawn(columns=["finish"])):
        assert shown.index("Cost") < shown.index("Finish") < shown.index("Answer")
        assert "end_turn" in shown


@pytest.mark.usefixtures("_further")
def test_a_column_is_shown_where_it_says_something() -> None:
    """Without being asked for, and nowhere else."""
    again = record(attempts=record().attempts * 2)
    assert "Retried" in Page(static_html(fanout(again))).text
    assert "Retried" in static_plain(fanout(again))
    assert "Retried" not in static_plain(fanout(record()))


def test_a_further_column_leaves_all_other_views_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a notebook which was executed before it came is checked as before."""
    views = [fanout(record()), vote(), fanout(record(), columns=("request",))]

    def pictures() -> list[str]:
        return [drawn(), *map(static_html, views), *map(static_plain, views)]

    before = pictures()
    monkeypatch.setattr(columns, "COLUMNS", (FINISH, RETRIED, *COLUMNS[:-1], FINISH, COLUMNS[-1]))
    assert pictures() == before


def test_lessons_show_no_further_column() -> None:
    """No saved table has one, as none was asked for."""
    headings = {column.heading for column in COLUMNS if column.on_request}
    assert headings
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            for output in cell.get("outputs", ()):
                html = "".join(output.get("data", {}).get("text/html", ""))
                assert not [each for each in headings if f">{each}</th>" in html], path


def test_a_cell_asks_for_a_column() -> None:
    """By an option, of a fan-out and of a vote; a simulated call has no id."""

    async def runs() -> list[Any]:
        asked = {"model": "sim:?scale=0", "columns": "request"}
        voted = await hold_vote("Which?", n=2, choices="a,b", **asked)
        return [voted, await run_fanout(CELL, **asked)]

    for run in asyncio.run(runs()):
        assert run.columns == ("request",)
        assert "Request" in Page(run._repr_mimebundle_()["text/html"]).text
        assert "Request" in str(run)


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    """Before any call."""

    async def run() -> None:
        await run_fanout(CELL, model="sim:", columns="ids")

    with pytest.raises(OptionError, match="no extra column 'ids'; known: request"):
        asyncio.run(run())


def test_what_a_guard_holds_back_is_in_no_column() -> None:
    """The record is not handed to any column before the guard has passed."""
    assert "req_7" in drawn(columns=["request"])
    assert "req_7" not in drawn(columns=["request"], redacted=True)
