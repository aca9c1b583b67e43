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
_ENDS = ",[]{}:?"
_TOKEN = re.compile(r"\s*([\[\]{},:?]|[^\[\]{},:?\s][^\[\]{},:?\n]*)")
_NAME = re.compile(r"[^\W\d][\w-]*")
_LINE_END = re.compile(r"(?<=[^\s,\[{:|])[ \t]*\n\s*(?=[^\s,\]}|])")
_WIDE = str.maketrans("：，、？［］｛｝｜", ":,,?[]{}|")
_NOTHING = frozenset({"none", "null"})
_OPTIONAL = re.compile(r"(?:optional|nullable)\b[\s\[]*(.*)", re.IGNORECASE)
_LIST = re.compile(r"(?:list|array|set)\b(?:\s+of)?\s*(.*)", re.IGNORECASE)
MOST_LEVELS = 20


def document_of(text: str) -> dict[str, Any]:
    """Return the JSON Schema that a short form stands for.

    `name` is a text, `name: number` a number, `name?: date` a date or nothing, `[text]` a list,
    `{a, b: number}` an object, `bill|receipt` one of these words. A new line does for a comma.

    Raises:
        ValueError: what is wrong, and where.

    >>> document_of("vendor, tags: [text]")["properties"]["tags"]
    {'type': 'array', 'items': {'type': 'string'}}
    """
    tokens = _tokens(text)
    return _fields(tokens, "")


def _tokens(text: str) -> list[str]:
    lines = _LINE_END.sub(", ", text.translate(_WIDE).strip())
    return [*(match[1].strip() for match in _TOKEN.finditer(lines)), ""]


def _fields(tokens: list[str], closing: str, level: int = 0) -> dict[str, Any]:
    """Take fields off the tokens up to the closing bracket, that included."""
    if level > MOST_LEVELS:
        raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
    properties: dict[str, Any] = {}
    required: list[str] = []
    while True:
        name = tokens.pop(0)
        if not _NAME.fullmatch(name):
            raise ValueError(_unnamed(name, tokens[0] if tokens else ""))
        if name in properties:
            raise ValueError(f"the field {name!r} is named twice")
        optional = _taken(tokens, "?")
        node = dict(_WORDS["text"])
        if _taken(tokens, ":"):
            node = _type(tokens, name, level)
            optional = _taken(tokens, "?") or node.pop("nullable", False) or optional
        if not optional:
            required.append(name)
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


def _taken(tokens: list[str], sign: str) -> bool:
    """Tell whether the next token is this sign, and take it."""
    found = tokens[0] == sign
    if found:
        del tokens[0]
    return found


def _unnamed(found: str, after: str) -> str:
    name, _, kind = found.partition(" ")
    if kind and _NAME.fullmatch(name):
        if after == ":":
            return f"the name of a field is one word, such as {found.replace(' ', '_')[:40]}"
        return f"write a colon between a field and its type: {name}: {kind.strip()[:40]}"
    return f"expected the name of a field, got {found[:40]!r}" if found else "a field is missing"


def _type(tokens: list[str], name: str, level: int) -> dict[str, Any]:
    word = tokens.pop(0)
    if word == "[":
        if level >= MOST_LEVELS:
            raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
        inner = _type(tokens, name, level + 1)
        if _taken(tokens, "?") or inner.pop("nullable", False):
            inner = {"anyOf": [inner, {"type": "null"}]}
        if tokens.pop(0) != "]":
            raise ValueError(f"{name}: ] is missing after the type of its list")
        return {"type": "array", "items": inner}
    if word == "{":
        return _fields(tokens, "}", level + 1)
    if word in _ENDS:
        raise ValueError(f"{name}: its type is missing after the colon")
    nullable = False
    if "|" in word:
        values = [each.strip().strip("\"'") for each in word.split("|")]
        kept = [each for each in values if each.casefold() not in _NOTHING]
        nullable = len(kept) < len(values)
        if not all(values) or len({*values}) < len(values) or not kept:
            raise ValueError(f"{name}: {word[:40]!r} names a value twice, or an empty one")
        if len(kept) > 1:
            return {"type": "string", "enum": kept, **({"nullable": True} if nullable else {})}
        [word] = kept
    bare = word.casefold()
    known = _WORDS.get(_ALSO.get(bare, bare))
    if known is None:
        raise ValueError(_unknown(word, name))
    return {**known, **({"nullable": True} if nullable else {})}


def _unknown(word: str, name: str) -> str:
    if found := _OPTIONAL.match(word):
        return f"{name}: for a field that may be missing, write {name}?: {found[1][:40] or 'text'}"
    if found := _LIST.match(word):
        return f"{name}: for a list, write {name}: [{found[1][:40] or 'text'}]"
    if ";" in word:
        return f"{name}: separate fields with commas, not ;"
    hint = nearest(word.casefold(), [*_WORDS])
    return (
        f"{name}: there is no type {word[:40]!r}{hint}; known: {', '.join(_WORDS)}, [TYPE], "
        f"{{FIELDS}}, a|b|c"
    )
