"""What a live view needs to know of a plan before anything has run."""

from __future__ import annotations

from parallm_magics.cell.plan import Plan
from parallm_magics.display import Board
from parallm_magics.patterns.panel import panel_reading
from parallm_magics.patterns.reading import answer_of
from parallm_magics.providers.registry import Clients
from parallm_magics.types import Record


def board_of(plan: Plan, clients: Clients) -> Board:
    """The empty board of a plan: a row a worker, one for a synthesis, and unusual addresses."""
    doors = [clients.provider(name) for name in dict.fromkeys(t.model.provider for t in plan.tasks)]
    addresses = [door.address for door in doors if door.address]
    simulated = any(door.simulated for door in doors)
    rows = [(task.name, str(task.model)) for task in plan.tasks]
    if plan.magic == "vote":
        reading = panel_reading(plan.tasks)

        def label(record: Record) -> str | None:
            answer = answer_of(record, reading)
            return None if answer.value is None else str(answer.value)

        return Board(rows, "vote", label, simulated=simulated, addresses=addresses)
    task = plan.synthesis.task if plan.synthesis else None
    extra = [(task.name, str(task.model))] if task else []
    return Board(rows, "fanout", extra=extra, simulated=simulated, addresses=addresses)
