"""Values from a server, taken for what they are and not for what they should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST_TOKENS = 10**9
_decode = json.JSONDecoder().decode


def parsed(body: bytes | str) -> Any:
    """The JSON value, or None where there is none."""
    try:
        return _decode(body) if isinstance(body, str) else json.loads(body)
    except (ValueError, RecursionError):
        return None


# What servers put behind a whole answer: the end of a stream that it is not.
BEHIND = ("data:", "event:", "id:", "retry:", ":")


def parsed_start(body: bytes | bytearray) -> Any:
    """The JSON value that a body begins with, where nothing but a stream's end follows it."""
    if (value := parsed(bytes(body))) is not None:
        return value
    text = body.decode("utf-8-sig", "replace").lstrip()
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    rest = text[end:].lstrip()
    return value if not rest or rest.startswith(BEHIND) else None


def count(value: object) -> int | None:
    """A number of tokens that can be true, or None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MOST_TOKENS else None


def optional_count(value: object) -> int | None:
    """As `count`, but a class of tokens that is not mentioned has none."""
    return 0 if value is None else count(value)


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def first(value: object) -> Mapping[str, Any]:
    """The first object of a list, or an empty one."""
    return mapping(value[0]) if isinstance(value, list) and value else {}


def string(value: object) -> str:
    """The text, or an empty one."""
    return value if isinstance(value, str) else ""


def merged(body: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the user's fields: theirs win, objects are joined one level deep.

    >>> merged({"a": {"x": 1}, "b": 2}, {"a": {"y": 3}, "b": 4})
    {'a': {'x': 1, 'y': 3}, 'b': 4}
    """
    both = {
        name: {**body[name], **value}
        for name, value in params.items()
        if isinstance(value, Mapping) and isinstance(body.get(name), Mapping)
    }
    return {**body, **params, **both}
