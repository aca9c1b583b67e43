"""What a live view needs to know of a plan before anything has run."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from parallm_magics import display, prices
from parallm_magics.cell.calls import STREAMED
from parallm_magics.cell.plan import Plan
from parallm_magics.display import Board
from parallm_magics.patterns.panel import panel_reading
from parallm_magics.patterns.preview import most_cost
from parallm_magics.patterns.reading import answer_of
from parallm_magics.providers.registry import Clients
from parallm_magics.types import Record


def board_of(plan: Plan, clients: Clients) -> Board:
    """The empty board of a plan: a row a worker, one for a synthesis, and unusual addresses."""
    calls = plan.calls
    doors = [clients.provider(name) for name in dict.fromkeys(m.provider for m in calls.models)]
    task = plan.synthesis.task if plan.synthesis else None
    rendered = calls.rendered
    board = Board(
        None if rendered is None else [(each.name, str(each.model)) for each in rendered],
        "vote" if plan.magic == "vote" else "fanout",
        _label_reader(plan) if plan.magic == "vote" else None,
        total=calls.known,
        extra=[(task.name, str(task.model))] if task else [],
        simulated=any(door.simulated for door in doors),
        addresses=[door.address for door in doors if door.address],
    )
    board.say(announcement(plan))
    return board


def announcement(plan: Plan) -> str:
    """What a large run is about to do, said before it is done; "" for a panel."""
    calls = plan.calls
    if calls.known is not None and calls.known <= STREAMED:
        return ""
    number = "one call an item" if calls.known is None else f"{calls.known:,} calls"
    how = "plain requests (--stream on shows answers as they are written)"
    if plan.options.stream == "on":
        how = "streamed"
    price = prices.pricing()
    costs = [most_cost(task, price) for task in calls.head]
    known = [cost for cost in costs if cost is not None]
    if calls.known is None or not known or len(known) < len(costs):
        return f"{number}, {how}"
    most = sum(known, Decimal(0)) * calls.known / len(costs)
    return f"{number}, {how}; if all are like the first, at most {display.money(most)}"


def _label_reader(plan: Plan) -> Callable[[Record], str | None]:
    reading = panel_reading(plan.calls.head)

    def label(record: Record) -> str | None:
        answer = answer_of(record, reading)
        return None if answer.value is None else str(answer.value)

    return label
