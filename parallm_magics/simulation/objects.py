"""Objects that a simulated model answers with: they conform to the schema, and tell nothing.

Each field is right with the model's accuracy, by draws of its own. Without a true object the same
made-up one is right for all voters on an item.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parallm_magics.answers.schema_fields import Node, branches, resolved
from parallm_magics.core.schemas import MakingInterrupted
from parallm_magics.errors import ModelError
from parallm_magics.simulation.draws import chance_of_right, item_stream, sample_stream

if TYPE_CHECKING:
    import random

    from parallm_magics.core.schemas import Schema
    from parallm_magics.core.tasks import Task
    from parallm_magics.simulation.sim_settings import Settings

_FIRST_DAY = datetime.date(2020, 1, 1)
_DAYS = 2_000
_TRIES = 20
"""How often another value is drawn where the first ones are the right one again, or do not conform."""


def check_object(task: Task, settings: Settings) -> None:
    """Refuse a schema, or a true object, that no simulated answer can conform to.

    Raises:
        ModelError: names the schema and the way out.
    """
    schema = _schema(task)
    right = right_object(task, settings)
    try:
        schema.make(right)
    except MakingInterrupted:
        return  # and so is the run
    except ValueError as error:
        has_truth = bool(settings.truth or task.truth)
        what = "the true object does not conform" if has_truth else "no value can be made up"
        out = "correct it" if has_truth else "give answers with %parallm provider NAME --sim"
        raise ModelError(f"{task.model.provider}: {schema.name}: {what} ({error}); {out}") from None


def object_answer(task: Task, settings: Settings) -> str:
    """Return the text that the simulated model answers with: JSON alone."""
    schema = _schema(task)
    document = json.loads(schema.document)
    properties = resolved(document, document).get("properties", {})
    value = dict(right_object(task, settings))
    for name, node in properties.items():
        item = item_stream(task, f"difficulty {name}")
        chance = chance_of_right(settings.accuracy, settings.rho, item)
        if sample_stream(task, f"right {name}").random() < chance:
            continue
        shared = item_stream(task, f"wrong {name}")
        is_shared = shared.random() < settings.rho
        numbers = shared if is_shared else sample_stream(task, f"wrong {name}")
        for _ in range(_TRIES):
            other = {**value, name: made_up(name, node, document, numbers)}
            if other != value and _conforms(other, schema):
                value = other
                break
    return json.dumps(value, ensure_ascii=False)


def right_object(task: Task, settings: Settings) -> dict[str, Any]:
    """Return the object that counts as right for this task, as JSON holds it.

    Raises:
        ModelError: the parameter `truth` is no JSON object.
    """
    truth = settings.truth or task.truth
    if truth:
        try:
            wanted = json.loads(truth)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            raise ModelError(
                f"{task.model.provider}: 'truth' is {truth[:60]!r}, but the answer of {task.name!r} "
                f"is an object; give the truth as a dict or as JSON"
            )
        return wanted
    schema, numbers = _schema(task), item_stream(task, "truth")
    document = json.loads(schema.document)
    found: Any = {}
    for _ in range(_TRIES):  # a class may ask for more than its JSON Schema says
        found = made_up("", document, document, numbers)
        if _conforms(found, schema):
            break
    return found if isinstance(found, dict) else {}


def _conforms(value: Any, schema: Schema) -> bool:
    try:
        schema.make(value)
    except ValueError:
        return False
    return True


def _schema(task: Task) -> Schema:
    assert task.reading is not None
    assert task.reading.schema is not None
    return task.reading.schema


def made_up(name: str, node: Node, document: Node, numbers: random.Random) -> Any:
    """Return a value that conforms to a node of a JSON Schema, by these random numbers."""
    node = resolved(node, document)
    options, nullable = branches(node, document)
    if nullable and numbers.random() < 0.2:
        return None
    node = options[int(numbers.random() * len(options))]
    if "const" in node:
        return node["const"]
    if isinstance(node.get("enum"), list):
        values = [value for value in node["enum"] if value is not None] or [None]
        return values[int(numbers.random() * len(values))]
    kind = node.get("type")
    if kind == "object" or "properties" in node:
        return _object(node, document, numbers)
    if kind == "array":
        return _list(name, node, document, numbers)
    if kind in ("number", "integer"):
        return _number(node, numbers, whole=kind == "integer")
    if kind == "boolean":
        return numbers.random() < 0.5
    return None if kind == "null" else _text(name, node, numbers)


def _object(node: Node, document: Node, numbers: random.Random) -> dict[str, Any]:
    made = {
        name: made_up(name, each, document, numbers)
        for name, each in node.get("properties", {}).items()
    }
    others = node.get("additionalProperties")
    if not made and isinstance(others, Mapping):
        for at in range(max(1, int(node.get("minProperties", 1)))):
            made[f"name {at + 1}"] = made_up("value", others, document, numbers)
    return made


def _list(name: str, node: Node, document: Node, numbers: random.Random) -> list[Any]:
    made = [made_up(name, each, document, numbers) for each in node.get("prefixItems", ())]
    items = node.get("items", {} if not made else False)
    if not isinstance(items, Mapping):
        return made
    least = int(node.get("minItems", 0))
    most = int(node.get("maxItems", max(least, 3)))
    length = max(least, min(most, 1 + int(numbers.random() * 3)))
    for _ in range(_TRIES * max(1, length)):
        if len(made) >= length:
            break
        one = made_up(name, items, document, numbers)
        if not (node.get("uniqueItems") and one in made):
            made.append(one)
    return made


def _number(node: Node, numbers: random.Random, *, whole: bool) -> float:
    """Return a number within the node's limits: a whole one, or one with two decimals."""
    step = float(node.get("multipleOf", 1 if whole else 0.01))
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    first = -math.inf if low is None else math.ceil(low / step - 1e-9)
    last = math.inf if high is None else math.floor(high / step + 1e-9)
    first = first if above is None else max(first, math.floor(above / step + 1e-9) + 1)
    last = last if below is None else min(last, math.ceil(below / step - 1e-9) - 1)
    width = 100 / step
    if math.isinf(first):
        first = step and (1 / step if math.isinf(last) or last > 1 / step else last - width)
    last = first + width if math.isinf(last) else last
    drawn = (math.ceil(first) + int(numbers.random() * (last - first + 1))) * step
    return round(drawn) if whole else round(drawn, 6)


def _text(name: str, node: Node, numbers: random.Random) -> str:
    """Return a text that says that it is simulated, or a date of that form."""
    draw = int(numbers.random() * _DAYS)
    day = _FIRST_DAY + datetime.timedelta(days=draw)
    forms = {
        "date": day.isoformat(),
        "date-time": f"{day.isoformat()}T{draw % 24:02}:{draw % 60:02}:00Z",
        "time": f"{draw % 24:02}:{draw % 60:02}:00Z",
        "duration": f"P{1 + draw % 30}D",
        "email": f"simulated{draw}@example.com",
        "uri": f"https://example.com/simulated/{draw}",
        "uuid": f"00000000-0000-4000-8000-{draw:012d}",
        "ipv4": f"192.0.2.{draw % 256}",
    }
    made = forms.get(str(node.get("format")), f"simulated {name or 'text'} {draw % 100}")
    made = made.ljust(int(node.get("minLength", 0)), ".")
    return made[: int(node.get("maxLength", len(made)))]
