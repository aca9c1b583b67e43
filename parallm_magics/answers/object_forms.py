"""An object in words: the form that a prompt asks for, and how a finished one reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parallm_magics.answers.schema_fields import Node, branches, closed_set, resolved
from parallm_magics.core.plain_values import plain_value
from parallm_magics.core.schemas import Schema

_FORMS = {
    "date": "date as YYYY-MM-DD",
    "date-time": "date and time as YYYY-MM-DDTHH:MM:SS",
    "time": "time as HH:MM:SS",
}
_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
_MOST_LEVELS = 12
"""A form nested deeper than this says "object" from there on."""


def asking_for_object(schema: Schema) -> str:
    """Return the lines that ask for one JSON object and show its form."""
    document = json.loads(schema.document)
    form = _form(document, document, "", 0)
    return f"Answer with one JSON object of this form and nothing else:\n{form}"


def _form(node: Node, document: Node, indent: str, level: int) -> str:
    """Return the form of one value, an object on lines of its own."""
    node = resolved(node, document)
    options, nullable = branches(node, document)
    forms = list(dict.fromkeys(_branch(each, document, indent, level) for each in options))
    if nullable:
        forms.append("null")
    if len(forms) == 1:
        return forms[0]
    if any("{" in each or "[" in each for each in forms):
        return " or ".join(forms)
    bare = [each[1:-1] if each.startswith("<") else each for each in forms]
    return f"<{' or '.join(bare)}>"


def _branch(node: Node, document: Node, indent: str, level: int) -> str:
    values = closed_set(node)
    about = f": {node['description']}" if node.get("description") and level else ""
    if values:
        said = values[0] if len(values) == 1 else f"one of {', '.join(values)}"
        return f"<{said}{about}>"
    kind = node.get("type")
    properties = node.get("properties")
    if isinstance(properties, Mapping) and properties and level < _MOST_LEVELS:
        inner = f"{indent}  "
        lines = []
        for name, each in properties.items():
            form = _form(each, document, inner, level + 1)
            if name not in node.get("required", ()) and form.endswith(">") and "null" not in form:
                form = f"{form[:-1]}, may be left out>"
            lines.append(f"{inner}{json.dumps(name, ensure_ascii=False)}: {form}")
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if kind == "object" or isinstance(properties, Mapping):
        values_of = node.get("additionalProperties")
        if isinstance(values_of, Mapping) and values_of and level < _MOST_LEVELS:
            return f"{{<name>: {_form(values_of, document, indent, level + 1)}, …}}"
        return f"<object{about}>"
    if kind == "array":
        return _list(node, document, indent, level)
    word = _FORMS.get(str(node.get("format"))) if kind == "string" else None
    word = word or _WORDS.get(str(kind), str(kind) if isinstance(kind, str) else "any value")
    return f"<{word}{_bounds(node)}{about}>"


def _list(node: Node, document: Node, indent: str, level: int) -> str:
    fixed = node.get("prefixItems")
    if isinstance(fixed, list):
        return f"[{', '.join(_form(each, document, indent, level + 1) for each in fixed)}]"
    items = node.get("items")
    inner = _form(items, document, indent, level + 1) if isinstance(items, Mapping) else "<value>"
    return f"[{inner}, …]"


def _bounds(node: Node) -> str:
    """Return the limits of a number in words."""
    limits = [
        f"{word} {node[key]:g}"
        for key, word in _LIMITS.items()
        if isinstance(node.get(key), int | float)
    ]
    if "minimum" in node and "maximum" in node:
        return f" from {node['minimum']:g} to {node['maximum']:g}"
    return f" {' and '.join(limits)}" if limits else ""


def object_text(value: Any) -> str:
    """Return an object as a reader takes it in: a line a field, lists with dashes.

    >>> print(object_text({"vendor": "ACME", "tags": ["a", "b"], "due": None}))
    vendor: ACME
    tags: a, b
    due: –
    """
    return "\n".join(_lines(plain_value(value), ""))


def _lines(value: Any, indent: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{indent}{_scalar(value)}"]
    lines = []
    for name, each in value.items():
        flat = _flat(each)
        if flat is not None:
            lines.append(f"{indent}{name}: {flat}")
        elif isinstance(each, Mapping):
            lines += [f"{indent}{name}:", *_lines(each, f"{indent}  ")]
        else:
            lines.append(f"{indent}{name}:")
            for item in each:
                first, *rest = _lines(item, f"{indent}  ") or [f"{indent}  –"]
                lines += [f"{indent}- {first[len(indent) + 2 :]}", *rest]
    return lines


def _flat(value: Any) -> str | None:
    """Return a value that fits into one line; None for one that does not."""
    if isinstance(value, Mapping):
        return None if value else "–"
    if isinstance(value, list):
        if any(isinstance(each, Mapping | list) for each in value):
            return None
        return ", ".join(map(_scalar, value)) or "–"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_scalar, value))
    return str(value)
