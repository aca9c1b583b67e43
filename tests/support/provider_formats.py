"""What a scripted provider does with the form that a request asks its answer to have.

Models whose names begin with "format-" speak of it: "format-held" holds its answer to the form,
"format-ignored" does not, "format-400" and "format-500" refuse every request that has one and name
the field, "format-bare-400" and "format-bare-500" refuse it without a reason. What is not held is
answered by `PROSE`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from provider_acts import Act
from provider_dialects import Call

PREFIX = "format-"
PROSE = "I would rather think about it in my own words."
FIELDS = ("response_format", "output_config", "text", "structured_outputs", "grammar")
FORMATTED = {
    "date": "2026-11-30",
    "date-time": "2026-11-30T08:00:00Z",
    "time": "08:00:00Z",
    "duration": "PT1H",
    "uuid": "6b3f2f64-0d0c-4b8e-9a57-0c8a3c2f1d10",
    "email": "a@example.org",
}
REFUSED = re.compile(r"format-(?P<bare>bare-)?(?P<status>[45]\d\d)")


def asked_format(body: Mapping[str, Any]) -> tuple[str, Any]:
    """The field by which a request asks for a form, and that form; ("", None) where it has none."""
    for name in FIELDS:
        asked = body.get(name)
        if name in ("output_config", "text"):
            asked = (asked or {}).get("format")
        if asked:
            return name, asked
    return "", None


def schema_in(body: Mapping[str, Any]) -> Any:
    """The JSON Schema that a request asks for, or None."""
    _, asked = asked_format(body)
    if not isinstance(asked, Mapping):
        return None
    return asked.get("schema") or (asked.get("json_schema") or {}).get("schema")


def act_on_format(call: Call) -> Act:
    """What a model of such a name does with a call."""
    name, asked = asked_format(call.body)
    if not name or call.model == "format-ignored":
        return Act(text=PROSE)
    if refused := REFUSED.fullmatch(call.model):
        status = int(refused["status"])
        words = "bad request" if refused["bare"] else f"{name} is not supported by this model"
        return Act(status=status, body={"error": {"message": words, "type": "error", "code": None}})
    return Act(text=held(call, asked))


def held(call: Call, asked: Any) -> str:
    """An answer in the form that is asked for; the number of the call chooses among several."""
    turn = call.number
    if "[0-9]" in str(asked):  # a number, as a regular expression or a grammar says it
        return "1"
    if isinstance(asked, str):
        labels = [json.loads(each) for each in re.findall(r'"(?:[^"\\]|\\.)*"', asked)]
        return str(labels[turn % len(labels)])
    if "choice" in asked:
        return str(asked["choice"][turn % len(asked["choice"])])
    schema = schema_in(call.body)
    return json.dumps(value_of(schema, schema, turn))


def value_of(node: Mapping[str, Any], root: Mapping[str, Any], turn: int) -> Any:
    """A value that a schema allows."""
    if "$ref" in node:
        named: Any = root
        for step in node["$ref"].removeprefix("#/").split("/"):
            named = named[step]
        return value_of(named, root, turn)
    if "enum" in node:
        return node["enum"][turn % len(node["enum"])]
    if "const" in node:
        return node["const"]
    if "anyOf" in node:
        return value_of(node["anyOf"][0], root, turn)
    kind = node.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = node.get("properties", {})
        return {name: value_of(each, root, turn) for name, each in fields.items()}
    if kind == "array":
        return [value_of(node["items"], root, turn)] * max(1, node.get("minItems", 1))
    if kind == "string":
        return FORMATTED.get(node.get("format", ""), "a text")
    usual = {"integer": 2, "number": 0.5, "boolean": True}
    low = node.get("minimum")
    return usual.get(str(kind)) if low is None else low
