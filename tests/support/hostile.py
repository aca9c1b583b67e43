"""Everything that is drawn, with a hostile text in every field of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from display_samples import FOLLOW_UP, GUARD
from live_views import live_html

from parallm_magics.core.batches import BatchProgress
from parallm_magics.core.tasks import Attempt, Event, Fault, Model, Record, Role, Task, Usage
from parallm_magics.display import (
    Block,
    Board,
    Curve,
    Dot,
    Dots,
    Guard,
    Matrix,
    SectionVote,
    Table,
    Tally,
    View,
    report_blocks,
)


def hostile_record(payload: str, index: int = 0) -> Record:
    """A record with the payload wherever a provider, a model or a user can put it."""
    return Record(
        index,
        payload,
        "failed" if index % 2 else "ok",
        f"{payload}{index}",
        payload,
        payload,
        Usage(1, 0, 0, 1),
        Decimal("0.1"),
        seconds=1.0,
        attempts=(Attempt(payload, 1.0),) * 2,
        model_answered=f"{index}{payload}",
        finish=payload,
        request_id=payload,
        error=Fault("server", payload, 500, None, payload) if index % 2 else None,
        key=payload,
        item=payload,
        temperature=0.1 * (index % 9),
        effort=payload + str(index),
        system=payload + str(index),
    )


def hostile_task(payload: str, index: int = 0) -> Task:
    """A call with the payload wherever a user can put it."""
    fields = {"effort": f"{payload}{index}", "system": f"{payload}{index}"}
    return Task(
        index, payload, Model(f"{payload}{index}"), payload, key=payload, item=payload, **fields
    )


def hostile_tallies(payload: str) -> list[Tally]:
    """Votes that ended in every way, with the payload as label and as reason."""
    counts = ((payload, 2), ("b", 1))
    won = Tally(counts, payload, "decided", 3, 3, agreement=2 / 3, interval=(0.3, 1), p_mode=0.8)
    tied = ((payload, 2), (f"{payload}2", 2))
    return [
        replace(won, how=payload, weights=((payload, 2.0),)),
        replace(won, pick="judge", winner="b", how=payload),
        replace(won, pick="median", how=payload),
        replace(won, pick="mean", winner=f"{payload}7"),
        replace(won, cancelled=2, requested=5, decided_after=3, heuristic=True),
        Tally(tied, None, "tie", 4, 4, agreement=0.5),
        Tally(tied, None, "tie", 4, 4, pick="weighted", weights=((payload, 1.0), ("b", 1.0))),
        Tally(counts, None, "no_majority", 3, 5, pick="majority", how=payload),
    ]


def hostile_view(payload: str) -> View:
    """A run with the payload in every field."""
    tally, *others = hostile_tallies(payload)
    return View(
        payload,
        "vote",
        (hostile_record(payload), hostile_record(payload, 1)),
        (hostile_record(payload, 2),),
        payload,
        payload,
        (payload,),
        True,
        (payload,),
        tally,
        ballots=("valid", payload),
        section_votes=tuple(
            SectionVote(payload, each, (hostile_record(payload),)) for each in others
        ),
        guards=(
            Guard(payload, True, payload, payload),
            Guard(payload, False, payload, f"because {payload}"),
            Guard(payload, False, None, payload),
        ),
        counts=((payload, ((payload, 2), ("b", 1))),),
    )


def live(payload: str) -> str:
    """The live view of a hostile run: one worker streams, one waits, one has ended."""
    board = Board([(payload, payload)] * 3, "vote", addresses=(payload,))
    for index in range(3):
        board.tell(Event("started", index, 0.0, task=hostile_task(payload, index)))
        board.tell(Event("heard", index, 0.5, payload))
    board.tell(Event("waiting", 1, 1.0, payload))
    board.tell(Event("ended", 2, 1.0, record=hostile_record(payload)))
    board.tell(Event("said", -1, 1.0, payload))
    batch = BatchProgress(payload, payload, payload, 3, 1, 1, 60.0, payload, payload)
    board.tell(Event("batches", -1, 1.0, batches=(batch, replace(batch, model="b"))))
    roles: dict[int, Role] = {GUARD: "guard", FOLLOW_UP: "synthesis"}
    for index, role in roles.items():
        outcome = replace(hostile_record(payload, index), role=role)
        board.tell(Event("ended", index, 1.0, record=outcome))
    return live_html(board, 2.0)


def hostile_report(payload: str) -> list[Block]:
    """A study with the payload in every field."""
    row = (payload,) * 3
    return report_blocks(
        payload,
        payload,
        payload,
        [
            Table(payload, row, (row, row), rest=1, note=payload),
            Table(payload, (f">{payload}", *row[1:]), (row,)),
            Dots(row, (Dot(payload, 0.5, 0.4, 0.6, row[:2], strong=True),), payload),
            Matrix(payload, row[:2], ((None, 0.5), (-0.5, None)), payload),
            Curve(payload, row[:2], ((0.5, 0.6),), payload),
        ],
        replace(hostile_view(payload), pattern="study"),
    )
