"""What a JSON Schema says of an object's fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from parallm_magics.core.schemas import FieldKind, SchemaField

Node = Mapping[str, Any]
"""A JSON Schema, or a part of one."""

_KINDS: dict[str, FieldKind] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "array": "list",
    "object": "object",
}
_FORMATS: dict[str, FieldKind] = {"date": "date", "date-time": "time", "time": "time"}
MOST_LEVELS = 100
"""How deep a schema may be, whatever the depth that Python's own stack has room for."""
_PARTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SINGLE = (
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)


def fields_of(document: Node) -> tuple[SchemaField, ...]:
    """Return the fields of the objects that a schema describes, in its order.

    Raises:
        ValueError: it describes something else than an object with fields.
    """
    top = resolved(document, document)
    properties = top.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        what = top.get("type")
        found = f"a JSON {what}" if isinstance(what, str) and what != "object" else "no fields"
        raise ValueError(
            f"it describes {found}; a schema is an object with fields: put what you want into a "
            f"field of it"
        )
    required = top.get("required", ())
    return tuple(_field(name, node, document, required) for name, node in properties.items())


def resolved(node: Any, document: Node) -> Node:
    """Return a node with what it refers to, and with all that must hold of it at once, in one place."""
    own = node if isinstance(node, Mapping) else {}
    # The schema holds no circle, so that this ends.
    while "$ref" in own:
        rest = {key: value for key, value in own.items() if key != "$ref"}
        own = {**part_at(own["$ref"], document), **rest}
    if not isinstance(own.get("allOf"), list):
        return own
    merged: dict[str, Any] = {}
    rest = {key: value for key, value in own.items() if key != "allOf"}
    for part in (*(resolved(each, document) for each in own["allOf"]), rest):
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged |= part
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def part_at(pointer: Any, document: Node) -> Node:
    """Return the node that a reference names.

    Raises:
        ValueError: it names none within the schema.
    """
    found: Any = document
    if pointer != "#":
        if not isinstance(pointer, str) or not pointer.startswith("#/"):
            raise ValueError(
                f"$ref {str(pointer)[:60]!r} is outside the schema; use $defs and #/$defs/NAME"
            )
        for step in pointer[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise ValueError(f"$ref {pointer[:60]!r} leads nowhere")
    return found


def refuse_recursion(document: Node) -> None:
    """Refuse a schema that contains itself, or is too deep: nobody could read an answer to it.

    Raises:
        ValueError: names the part, or a reference that leads nowhere.
    """
    safe: set[str] = set()

    def follow(node: Any, way: tuple[str, ...], level: int = 0) -> None:
        if not isinstance(node, Mapping):
            return
        if level > MOST_LEVELS:
            raise ValueError(f"the schema is nested too deeply (at most {MOST_LEVELS} levels)")
        pointer = node.get("$ref")
        if "$dynamicRef" in node or "$recursiveRef" in node:
            raise ValueError("$dynamicRef is not supported; use $defs and #/$defs/NAME")
        if pointer is not None:
            target = part_at(pointer, document)
            if pointer in way or pointer == "#":
                name = pointer.rpartition("/")[2].lstrip("#") or "it"
                raise ValueError(
                    f"{name} contains itself; recursive schemas are not supported: write out the "
                    f"levels that you need"
                )
            if pointer not in safe:
                follow(target, (*way, pointer), level + 1)
                safe.add(pointer)
        for part in parts_of(node):
            follow(part, way, level + 1)

    follow(document, ())


def parts_of(node: Node) -> Iterator[Any]:
    """Yield the schemas that a node consists of; definitions, which are parts only if referred to, not."""
    for key in _PARTS:
        if isinstance(node.get(key), list):
            yield from node[key]
    for key in _MAPS:
        if "def" not in key and isinstance(node.get(key), Mapping):
            yield from node[key].values()
    for key in _SINGLE:
        if isinstance(node.get(key), Mapping):
            yield node[key]


def without_titles(node: Any) -> Any:
    """Return a schema of pydantic's without titles, which only repeat the fields' names."""
    if not isinstance(node, Mapping):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in _MAPS and isinstance(value, Mapping):
            made[key] = {name: without_titles(each) for name, each in value.items()}
        elif key in _PARTS and isinstance(value, list):
            made[key] = [without_titles(each) for each in value]
        elif key in _SINGLE:
            made[key] = without_titles(value)
        elif key != "title":
            made[key] = value
    return made


def branches(node: Node, document: Node) -> tuple[list[Node], bool]:
    """Return what a node's values may be one of, null left out, and whether they may be null."""
    kinds = node.get("type")
    found: list[Node] = []
    for key in ("anyOf", "oneOf"):
        if isinstance(node.get(key), list):
            found = [resolved(each, document) for each in node[key]]
    if not found and isinstance(kinds, list):
        found = [{**node, "type": kind} for kind in kinds]
    found = found or [node]
    left = [each for each in found if not _is_null(each)]
    in_enum = isinstance(node.get("enum"), list) and None in node["enum"]
    return left or found, len(left) < len(found) or in_enum


def _is_null(node: Node) -> bool:
    return node.get("type") == "null" or ("const" in node and node["const"] is None)


def closed_set(node: Node) -> tuple[str, ...]:
    """Return the values of an enumeration as they are written; none for any other node."""
    values = node.get("enum", [node["const"]] if "const" in node else [])
    if not isinstance(values, list):
        return ()
    return tuple(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
        if value is not None
    )


def kind_of(node: Node) -> FieldKind:
    """Return how two values of one branch are compared."""
    if closed_set(node):
        return "choice"
    found = _KINDS.get(cast(str, node.get("type")), "any")
    return _FORMATS.get(str(node.get("format")), found) if found == "text" else found


def common_kind(nodes: Iterable[Node]) -> FieldKind:
    """Return how two values are compared that may be of any of these branches."""
    kinds = {kind_of(node) for node in nodes}
    if len(kinds) == 1:
        return kinds.pop()
    return "number" if kinds == {"number", "integer"} else "any"


def _field(name: str, node: Any, document: Node, required: Any) -> SchemaField:
    whole = resolved(node, document)
    options, nullable = branches(whole, document)
    kind = common_kind(options)
    choices = [value for each in options for value in closed_set(each)] if kind == "choice" else []
    return SchemaField(
        name,
        kind,
        required=name in required,
        nullable=nullable,
        choices=tuple(dict.fromkeys(choices)),
        description=str(whole.get("description", "")),
    )
