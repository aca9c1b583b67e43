"""What a live view needs to know of a plan before anything has run."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from parallm_magics import display
from parallm_magics.cell.plan import Plan
from parallm_magics.cell.rendering import STREAMED
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.display import Board
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.patterns.dry_run import most_cost
from parallm_magics.patterns.panel import Rule, panel_reading, repeats
from parallm_magics.providers.registry import Clients
from parallm_magics.voting import same_answer_key
from parallm_magics.voting.pick_rules import rule_named


def board_of(plan: Plan, clients: Clients) -> Board:
    """The empty board of a plan: a row a worker, one for a synthesis, and unusual addresses."""
    calls, votes = plan.calls, plan.pattern == "vote"
    # Texts that a judge will choose from have no leader while they come in.
    counted = not votes or Rule(plan.options.pick).counts(panel_reading(calls.head))
    doors = [clients.provider(name) for name in dict.fromkeys(m.provider for m in calls.models)]
    rendered = calls.rendered
    # A judge's calls are known once there is something to judge.
    beside = [task for task in plan.auxiliary if plan.judge is None or task is not plan.judge.task]
    board = Board(
        None if rendered is None else [(each.name, str(each.model)) for each in rendered],
        "vote" if votes and counted else "fanout",
        _label_reader(plan) if plan.magic == "vote" else None,
        total=calls.known,
        extra={task.index: (task.name, str(task.model), task.role) for task in beside},
        simulated=any(door.simulated for door in doors),
        addresses=[door.address for door in doors if door.address],
        redacted=bool(plan.guards),
        repeats=votes and repeats(plan.tasks),
        choices=panel_reading(calls.head).choices if votes else (),
        notes=plan.notes,
        columns=plan.options.columns,
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
    costs = [most_cost(task) for task in calls.head]
    known = [cost for cost in costs if cost is not None]
    if calls.known is None or not known or len(known) < len(costs):
        return f"{number}, {how}"
    most = sum(known, Decimal(0)) * calls.known / len(costs)
    return f"{number}, {how}; if all are like the first, at most {display.money(most)}"


def _label_reader(plan: Plan) -> Callable[[Record], tuple[str, str]]:
    reading = plan.calls.reading(0) or Reading("open")
    confident = rule_named(plan.options.pick).states_confidence
    spelt: dict[str, str] = {}  # answers that are the same are counted as one, as they came first

    def label(record: Record) -> tuple[str, str]:
        _, [ballot] = count_ballots([record], reading, confident=confident)
        label = ballot.label or ""
        if reading.kind == "open":
            label = spelt.setdefault(same_answer_key(label), label)
        return ballot.state, label

    return label
