"""What a live view needs to know of a plan before anything has run."""

from __future__ import annotations

from collections.abc import Callable

from parallm_magics.cell.plan import Plan
from parallm_magics.display import Board
from parallm_magics.patterns.panel import panel_reading
from parallm_magics.patterns.reading import answer_of
from parallm_magics.providers.registry import Clients
from parallm_magics.types import Record


def board_of(plan: Plan, clients: Clients) -> Board:
    """The empty board of a plan: a row a worker, one for a synthesis, and unusual addresses."""
    calls = plan.calls
    doors = [clients.provider(name) for name in dict.fromkeys(m.provider for m in calls.models)]
    task = plan.synthesis.task if plan.synthesis else None
    rendered = calls.rendered
    return Board(
        None if rendered is None else [(each.name, str(each.model)) for each in rendered],
        "vote" if plan.magic == "vote" else "fanout",
        _label_reader(plan) if plan.magic == "vote" else None,
        total=calls.known,
        extra=[(task.name, str(task.model))] if task else [],
        simulated=any(door.simulated for door in doors),
        addresses=[door.address for door in doors if door.address],
    )


def _label_reader(plan: Plan) -> Callable[[Record], str | None]:
    reading = panel_reading(plan.calls.head)

    def label(record: Record) -> str | None:
        answer = answer_of(record, reading)
        return None if answer.value is None else str(answer.value)

    return label
