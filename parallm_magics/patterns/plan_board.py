"""What a live view needs to know of a plan before anything has run."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any

from parallm_magics import display
from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.plan import Plan
from parallm_magics.cell.rendering import MOST_STREAMED
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.display import Board, FieldStandings
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.patterns.tier_costs import most_cost
from parallm_magics.providers.registry import Clients
from parallm_magics.voting import field_keys, same_answer_key
from parallm_magics.voting.pick_rules import rule_named


def board_of(plan: Plan, clients: Clients, **fields: Any) -> Board:
    """The empty board of a plan: a row a worker, one for a synthesis, and unusual addresses.

    Args:
        fields: what the board of its pattern is told besides.
    """
    calls = plan.calls
    names = dict.fromkeys(model.provider for model in calls.models)
    providers = [clients.provider(name) for name in names]
    rendered = calls.rendered
    # A judge's calls are known once there is something to judge.
    beside = [task for task in plan.auxiliary if task.role != "judge"]
    board = Board(
        None if rendered is None else [(each.name, str(each.model)) for each in rendered],
        total=calls.known,
        extra={task.index: (task.name, str(task.model), task.role) for task in beside},
        simulated=any(provider.simulated for provider in providers),
        addresses=[provider.address for provider in providers if provider.address],
        redacted=bool(plan.guards),
        notes=plan.notes,
        columns=plan.options.columns,
        batched=plan.options.batch,
        **fields,
    )
    board.say(announcement(plan))
    return board


def announcement(plan: Plan) -> str:
    """What a large run is about to do, said before it is done; "" for a panel."""
    calls, in_batches = plan.calls, plan.options.batch
    if calls.known is not None and calls.known <= MOST_STREAMED and not in_batches:
        return ""
    number = "one call per item" if calls.known is None else display.count(calls.known, "call")
    how = "plain requests (--stream on shows answers as they are written)"
    if in_batches:
        how = "in batches, answered within 24 hours; an interrupt leaves them"
    elif plan.options.stream == "on":
        how = "streamed"
    costs = [most_cost(task) for task in calls.head]
    known = [cost for cost in costs if cost is not None]
    if calls.known is None or not known or len(known) < len(costs):
        return f"{number}, {how}"
    most = sum(known, Decimal(0)) * calls.known / len(costs)
    return f"{number}, {how}; if all items are like the first, at most {display.money(most)}"


def label_reader(plan: Plan) -> Callable[[Record], tuple[str, str]]:
    """From a record to the state of its ballot and the label that it is drawn under."""
    reading = plan.calls.reading(0) or Reading("open")
    confident = rule_named(plan.options.pick).states_confidence
    spelt: dict[str, str] = {}  # answers that are the same are counted as one, as they came first

    def label(record: Record) -> tuple[str, str]:
        _, [ballot] = count_ballots([record], reading, confident=confident)
        label = ballot.label or ""
        if is_free_text(reading):
            label = spelt.setdefault(same_answer_key(label), label)
        return ballot.state, label

    return label


def field_standings(plan: Plan) -> FieldStandings | None:
    """What counts the votes on the fields of objects while they come in; None for other answers."""
    reading = plan.calls.reading(0)
    schema = None if reading is None else reading.schema
    if reading is None or schema is None:
        return None

    def said(record: Record) -> dict[str, tuple[Hashable, Any]]:
        [read], _ = count_ballots([record], reading)
        plain = {} if read.value is None else schema.plain(read.value)
        keys = {} if read.value is None else field_keys(read.value, schema)
        return {name: (key, plain[name]) for name, key in keys.items()}

    return FieldStandings([field.name for field in schema.fields], said)
