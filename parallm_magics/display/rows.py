"""What one line of the worker table knows, whether its worker still runs or has ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from parallm_magics.core.tasks import Record, Task
from parallm_magics.display import text


@dataclass(frozen=True, slots=True)
class About:
    """What a call is about, and how it is asked; "" where there is no item, or nobody said.

    Attributes:
        item: what it is about, of a map.
    """

    item: str = ""
    temperature: str = ""
    effort: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One worker as the table shows it, finished or not.

    Attributes:
        state: a name in `looks.STATES`.
        vote: the label or value read, or why there is none; "" where none was asked for.
        voted: whether `vote` is a label that was read.
        answer: the answer's beginning, or what has arrived of it last.
        problem: why there is no success; "" otherwise.
        span: seconds of the common axis.
        aside: whether it is a guard, a judge or a synthesis beside the workers.
        about: what it is about, and how it was asked.
    """

    name: str
    model: str
    state: str
    answered: str | None = None
    vote: str = ""
    voted: bool = False
    start: float = 0.0
    queued: float = 0.0
    seconds: float | None = None
    span: float = 0.0
    tokens: int | None = None
    cost: Decimal | None = None
    attempts: int = 0
    answer: str = ""
    problem: str = ""
    aside: bool = False
    about: About = About()


def row_of(record: Record, span: float = 0.0, ballot: str = "", aside: bool = False) -> Row:
    """The line of a finished worker."""
    label = label_of(record.value)
    counted = ballot in ("", "valid")
    return Row(
        name=record.name,
        model=record.model,
        state=record.status,
        answered=record.model_answered,
        vote=label if counted and label else ballot_word(ballot),
        voted=bool(label) and counted,
        start=record.start,
        queued=record.queued,
        seconds=record.seconds if record.seconds > 0 or record.attempts else None,
        span=span,
        tokens=record.usage.total_tokens if record.usage else None,
        cost=record.cost,
        attempts=len(record.attempts),
        answer=record.text,
        problem="" if record.ok else problem(record),
        aside=aside,
        about=about_of(record),
    )


def about_of(call: Task | Record) -> About:
    """What a call is about and how it is asked, as the table shows it."""
    system = call.system
    if isinstance(call, Task) and call.persona is not None:
        system = call.persona
    heat = "" if call.temperature is None else f"{call.temperature:g}"
    return About(item_of(call), heat, call.effort or "", system or "")


def item_of(call: Task | Record) -> str:
    """What a call is about, where there are items: the item, or its key where it says nothing."""
    if call.key is None:
        return ""
    words = "" if call.item is None else str(call.item)
    return words if words.strip() else str(call.key)


def titled(record: Record) -> str:
    """A record's name and, where there are items, what it is about."""
    item = item_of(record)
    return f"{record.name} · {item}" if item and item != record.name else record.name


def ballot_word(state: str) -> str:
    """Why nothing was read, in the word of the line that counts it; a failed call says it itself."""
    if state in ("failed", "cancelled"):
        return "–"
    return {"abstain": "abstained", "invalid": "unreadable"}.get(state, state)


def label_of(value: str | float | None) -> str:
    """A value as a label: whole numbers without a decimal point."""
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def problem(record: Record) -> str:
    """Why the record is no success, in a line."""
    return record.error.message if record.error else ""


def asked_and_answered(model: str, answered: str | None) -> str:
    """The model asked for and, when it is another, the one that answered."""
    name = model.partition(":")[2].partition("?")[0] or model
    if not answered or answered in (name, model):
        return model
    # A dated snapshot of the name asked for is the same model.
    if re.fullmatch(re.escape(name) + r"[-@]\d{4}-?\d{2}-?\d{2}", answered):
        return model
    return f"{model} (answered: {answered})"


def models_of(rows: Sequence[Row]) -> list[str]:
    """The different models of the workers, in order of appearance."""
    return list(
        dict.fromkeys(asked_and_answered(row.model, row.answered) for row in rows if not row.aside)
    )


def models_line(rows: Sequence[Row]) -> str:
    """The workers' model or how many they are, then the models of the rows beside them."""
    models = models_of(rows)
    line = text.one_line(models[0], 80) if len(models) == 1 else text.count(len(models), "model")
    beside: dict[str, list[str]] = {}
    for row in filter(lambda row: row.aside, rows):
        beside.setdefault(asked_and_answered(row.model, row.answered), []).append(row.name)
    for model, names in beside.items():
        if [model] != models:
            shown = text.listed([text.one_line(name, 40) for name in names[:3]], len(names) - 3)
            line += f", {shown} by {text.one_line(model, 80)}"
    return line
