"""What a row of the worker table knows of a call, finished or not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from parallm_magics.answers.cleaning import label_of
from parallm_magics.core.tasks import Record, Role, Task
from parallm_magics.display import looks, text
from parallm_magics.display.typed_words import object_fields, summary


@dataclass(frozen=True, slots=True)
class About:
    """What a call is about, and how it is asked; "" where there is no item, or nobody said."""

    item: str = ""
    temperature: str = ""
    effort: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One call as the table shows it, finished or not.

    Attributes:
        model: the model asked and, when it is another, the one that answered.
        state: a name in `looks.STATES`.
        titled: the name and, where there are items, what a finished call is about.
        vote: the label or value read, or why there is none; "" where none was asked for.
        voted: whether `vote` is a label that was read.
        answer: the answer's beginning, or what has arrived of it last.
        problem: why there is no success; "" otherwise.
        fields: of a typed answer, as far as they have come, by name; None where it is none.
        record: all that is known of it; None while it runs, and where a guard has not let it pass.
    """

    name: str
    model: str
    state: str
    titled: str = ""
    vote: str = ""
    voted: bool = False
    start: float = 0.0
    queued: float = 0.0
    seconds: float | None = None
    tokens: int | None = None
    cost: Decimal | None = None
    attempts: int = 0
    answer: str = ""
    problem: str = ""
    role: Role = "worker"
    about: About = About()
    fields: Mapping[str, Any] | None = None
    record: Record | None = None


def row_of(record: Record, read: Read | None = None) -> Row:
    """The line of a finished call.

    Args:
        read: what was read of it, where that is no matter of its value alone.
    """
    fields = object_fields(record.value)
    read = read_of(record) if read is None else read
    about = about_of(record)
    item = "" if about.item in ("", record.name) else f" · {about.item}"
    return Row(
        name=record.name,
        titled=f"{record.name}{item}",
        model=asked_and_answered(record),
        state=state_of(record),
        vote=read[0],
        voted=read[1],
        start=record.start,
        queued=record.queued,
        seconds=record.seconds if record.seconds > 0 or record.attempts else None,
        tokens=record.usage.total_tokens if record.usage else None,
        cost=record.cost,
        attempts=len(record.attempts),
        answer=record.text if fields is None else summary(fields),
        problem=_why(record),
        role=record.role,
        about=about,
        fields=fields,
        record=record,
    )


def state_of(record: Record) -> str:
    """How a finished call stands, as a name in `looks.STATES`."""
    return "in_batch" if record.is_in_batch else record.status


def _why(record: Record) -> str:
    """Why it is no success, as its error says it."""
    if record.ok or record.error is None:
        return ""
    http = f"HTTP {record.error.http}"
    known = not record.error.http or http in record.error.message
    return record.error.message if known else f"{record.error.message} ({http})"


Read = tuple[str, bool]
"""What was read of an answer, or why nothing was; and whether it is a label."""


def read_of(record: Record, ballot: str = "") -> Read:
    """What was read of a record, which counts as this where it is a vote."""
    known = ballot or record.value is not None
    if record.probabilities and isinstance(record.value, float) and ballot in ("", "valid"):
        return f"{record.value:.2f}", True  # a mean over levels, of which more digits say nothing
    return read_as(ballot, record.value) if known else ("", False)


def read_as(ballot: str, value: Any) -> Read:
    """What was read, of a vote that counts as this; "" where it is none, and of an object.

    The fields of an object stand in columns of their own.
    """
    read = value is not None and ballot in ("", "valid") and object_fields(value) is None
    label = label_of(value) if read else ""
    if ballot == "valid" and not read:
        return "", False
    return label or looks.BALLOTS.get(ballot, ballot), bool(label)


def about_of(call: Task | Record) -> About:
    """What a call is about and how it is asked, as the table shows it."""
    system = call.system
    if isinstance(call, Task) and call.persona is not None:
        system = call.persona
    temperature = "" if call.temperature is None else f"{call.temperature:g}"
    item = "" if call.key is None else item_of(call)
    return About(item, temperature, call.effort or "", system or "")


def item_of(call: Task | Record) -> str:
    """What a call is about, where there are items: the item, or its key where it says nothing."""
    if call.key is None:
        return ""
    words = "" if call.item is None else str(call.item)
    return words if words.strip() else str(call.key)


def asked_and_answered(record: Record) -> str:
    """The model asked for and, when it is another, the one that answered."""
    model, answered = record.model, record.model_answered
    name = model.partition(":")[2].partition("?")[0] or model
    if not answered or answered in (name, model):
        return model
    # A dated snapshot of the name asked for is the same model.
    if re.fullmatch(re.escape(name) + r"[-@]\d{4}-?\d{2}-?\d{2}", answered):
        return model
    return f"{model} (answered: {answered})"


Timed = TypeVar("Timed", Record, Row)


def slowest(calls: Sequence[Timed], most: int) -> list[Timed]:
    """The calls that get a bar where they are too many, in order."""
    longest = sorted(range(len(calls)), key=lambda at: -(calls[at].seconds or 0.0))[:most]
    return [calls[at] for at in sorted(longest)]


def models_line(rows: Sequence[Row]) -> str:
    """The workers' model or how many they are, then the models of the rows beside them."""
    models = list(dict.fromkeys(row.model for row in rows if row.role == "worker"))
    line = text.one_line(models[0], 80) if len(models) == 1 else text.count(len(models), "model")
    beside: dict[str, list[str]] = {}
    for row in rows:
        if row.role != "worker" and [row.model] != models:
            beside.setdefault(row.model, []).append(row.name)
    for model, names in beside.items():
        shown = text.listed([text.one_line(name, 40) for name in names[:3]], len(names) - 3)
        line += f", {shown} by {text.one_line(model, 80)}"
    return line
