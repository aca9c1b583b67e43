"""A JSON Schema in the subset that OpenAI holds answers to strictly.

Every object names all its fields, requires all of them and takes no others. What a schema says
besides is left to the description, where the model may follow it; validation looks at it anyway.
Source: "Supported schemas" of OpenAI's guide to structured outputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parallm_magics.answers.schema_fields import part_at

KEPT = frozenset(
    {
        "type",
        "enum",
        "const",
        "title",
        "description",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
    }
)
"""Keywords that are taken as they are."""
FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)
CLOSED_TYPES = frozenset({"string", "number", "integer", "boolean", "null"})
OUTSIDE = frozenset(
    {
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "prefixItems",
        "contains",
        "unevaluatedProperties",
        "unevaluatedItems",
        "propertyNames",
    }
)
"""Keywords that change what is valid, and that no description makes up for."""
SILENT = frozenset({"default", "discriminator", "$schema", "$id", "$comment", "examples"})
MOST_DEPTH = 40


class NotStrictError(Exception):
    """The schema cannot be said in the subset."""


def strict_schema(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in the strict subset; None where it says what the subset cannot.

    >>> strict_schema({"type": "object", "properties": {"n": {"type": "integer", "default": 1}}})[
    ...     "properties"
    ... ]
    {'n': {'type': 'integer', 'description': '(default: 1)'}}
    """
    try:
        made = _node(document, document, 0)
        if made.get("type") != "object":
            return None
        if defs := document.get("$defs"):
            made["$defs"] = {name: _node(node, document, 1) for name, node in defs.items()}
    except NotStrictError:
        return None
    return made


def is_open(node: Any) -> bool:
    """Whether a schema leaves something open: a map of any keys, any value at all, or a tuple."""
    if not isinstance(node, Mapping):
        return node is True
    if OUTSIDE & node.keys() or isinstance(node.get("additionalProperties"), Mapping):
        return True
    kind = node.get("type")
    said = {"$ref", "anyOf", "oneOf", "enum", "const"} & node.keys()
    if kind is None and not said:
        return True
    if kind == "object" and not node.get("properties"):
        return True
    if kind == "array" and "items" not in node:
        return True
    inner = [*node.get("properties", {}).values(), *node.get("$defs", {}).values()]
    inner += [each for name in ("anyOf", "oneOf") for each in node.get(name, ())]
    inner += [node["items"]] if "items" in node else []
    return any(map(is_open, inner))


def _node(node: Any, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if not isinstance(node, Mapping) or OUTSIDE & node.keys() - {"allOf"} or depth > MOST_DEPTH:
        raise NotStrictError
    node = _resolved(node, root)
    if set(node) == {"$ref"}:
        return dict(node)
    made: dict[str, Any] = {name: node[name] for name in node if name in KEPT}
    hints = [f"(default: {json.dumps(node['default'])})"] if node.get("default") is not None else []
    variants = node.get("anyOf") or node.get("oneOf")
    if variants:
        made["anyOf"] = [_node(each, root, depth + 1) for each in variants]
    elif node.get("type") == "object":
        made |= _object(node, root, depth)
    elif node.get("type") == "array":
        made["items"] = _node(node.get("items"), root, depth + 1)
    elif "enum" not in node and "const" not in node and not _is_closed(node.get("type")):
        raise NotStrictError
    if node.get("format") in FORMATS:
        made["format"] = node["format"]
    done = {*made, *SILENT, "oneOf", "allOf", "$defs", "properties", "pattern", "format"}
    hints += [f"({name}: {json.dumps(node[name])})" for name in node if name not in done]
    if hints:
        made["description"] = " ".join(filter(None, (made.get("description"), *hints)))
    return made


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself where it only names another one, or one in which both are said at once."""
    if "allOf" in node:
        if len(node["allOf"]) != 1:
            raise NotStrictError
        node = {**node["allOf"][0], **{name: node[name] for name in node if name != "allOf"}}
    if "$ref" not in node or (len(node) == 1 and node is not root):
        return node
    try:
        named = part_at(node["$ref"], root)
    except ValueError:
        raise NotStrictError from None
    return {**named, **{name: node[name] for name in node if name != "$ref"}}


def _object(node: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    fields = node.get("properties") or {}
    if not fields or isinstance(node.get("additionalProperties"), Mapping):
        raise NotStrictError
    required = node.get("required", ())
    if not all(name in required or _can_be_left_empty(fields[name]) for name in fields):
        raise NotStrictError
    return {
        "properties": {name: _node(each, root, depth + 1) for name, each in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _can_be_left_empty(node: Any) -> bool:
    """Whether a field that need not be there has a value that says so."""
    if not isinstance(node, Mapping):
        return False
    kinds = node.get("type")
    variants = node.get("anyOf") or node.get("oneOf") or ()
    is_nullable = kinds == "null" or (isinstance(kinds, list) and "null" in kinds)
    return (
        "default" in node
        or kinds == "array"
        or is_nullable
        or any(isinstance(each, Mapping) and each.get("type") == "null" for each in variants)
    )


def _is_closed(kind: Any) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    return bool(kinds) and CLOSED_TYPES.issuperset(kinds)
