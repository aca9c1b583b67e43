"""The short form of a schema: `vendor, total: number, due?: date, tags: [text], kind: bill|receipt`."""

from __future__ import annotations

import re
from typing import Any

from parallm_magics.errors import nearest

_WORDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
}
_ALSO = {
    "str": "text",
    "string": "text",
    "float": "number",
    "decimal": "number",
    "int": "integer",
    "whole": "integer",
    "bool": "boolean",
    "yes/no": "boolean",
    "date-time": "datetime",
    "timestamp": "datetime",
}
_TOKEN = re.compile(r"\s*([\[\]{},:?]|[^\[\]{},:?\s][^\[\]{},:?\n]*)")
_NAME = re.compile(r"[^\W\d][\w-]*")
MOST_LEVELS = 20


def document_of(text: str) -> dict[str, Any]:
    """Return the JSON Schema that a short form stands for.

    `name` is a text, `name: number` a number, `name?: date` a date or nothing, `[text]` a list,
    `{a, b: number}` an object, `bill|receipt` one of these words.

    Raises:
        ValueError: what is wrong, and where.

    >>> document_of("vendor, tags: [text]")["properties"]["tags"]
    {'type': 'array', 'items': {'type': 'string'}}
    """
    tokens = _tokens(text)
    return _fields(tokens, "")


def _tokens(text: str) -> list[str]:
    found = [match[1].strip() for match in _TOKEN.finditer(text)]
    return [*found, ""]


def _fields(tokens: list[str], closing: str, level: int = 0) -> dict[str, Any]:
    """Take fields off the tokens up to the closing bracket, that included."""
    if level > MOST_LEVELS:
        raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
    properties: dict[str, Any] = {}
    required: list[str] = []
    while True:
        name = tokens.pop(0)
        if not _NAME.fullmatch(name):
            raise ValueError(_unnamed(name))
        if name in properties:
            raise ValueError(f"the field {name!r} is named twice")
        optional = tokens[0] == "?"
        if optional:
            del tokens[0]
        else:
            required.append(name)
        node = dict(_WORDS["text"])
        if tokens[0] == ":":
            del tokens[0]
            node = _type(tokens, name, level)
        properties[name] = {"anyOf": [node, {"type": "null"}]} if optional else node
        end = tokens.pop(0)
        if end == closing:
            break
        if end != ",":
            raise ValueError(
                f"expected a comma after the field {name!r}, got {end or 'the end'!r}"
                if end
                else f"{closing} is missing at the end"
            )
        if tokens[0] == closing:
            del tokens[0]
            break
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _unnamed(found: str) -> str:
    if " " in found and _NAME.fullmatch(found.split()[0]):
        name, _, kind = found.partition(" ")
        return f"write a colon between a field and its type: {name}: {kind.strip()[:40]}"
    return f"expected the name of a field, got {found[:40] or 'the end'!r}"


def _type(tokens: list[str], name: str, level: int) -> dict[str, Any]:
    word = tokens.pop(0)
    if word == "[":
        if level >= MOST_LEVELS:
            raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
        inner = _type(tokens, name, level + 1)
        if tokens.pop(0) != "]":
            raise ValueError(f"{name}: ] is missing after the type of its list")
        return {"type": "array", "items": inner}
    if word == "{":
        return _fields(tokens, "}", level + 1)
    if "|" in word:
        values = [each.strip().strip("\"'") for each in word.split("|")]
        if not all(values) or len({*values}) < len(values):
            raise ValueError(f"{name}: {word[:40]!r} names a value twice, or an empty one")
        return {"type": "string", "enum": values}
    bare = word.casefold()
    known = _WORDS.get(_ALSO.get(bare, bare))
    if known is None:
        hint = nearest(bare, [*_WORDS])
        raise ValueError(
            f"{name}: there is no type {word[:40]!r}{hint}; known: {', '.join(_WORDS)}, [TYPE], "
            f"{{FIELDS}}, a|b|c"
        )
    return dict(known)
