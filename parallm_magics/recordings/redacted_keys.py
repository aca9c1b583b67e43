"""Keeping what looks like a key out of an entry."""

from __future__ import annotations

from typing import Any

from parallm_magics.providers.keys import scrub


def holds_key(text: str) -> bool:
    """Whether something in the text looks like a key."""
    return scrub(text) != text


def texts(value: Any) -> list[str]:
    """All texts in a value of JSON's types, names of fields included."""
    found: list[str] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            left += item.keys()
            left += item.values()
        elif isinstance(item, list | tuple):
            left += item
    return found


def scrubbed(value: Any) -> Any:
    """The value with every text in it scrubbed."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrubbed(name): scrubbed(item) for name, item in value.items()}
    return [scrubbed(item) for item in value] if isinstance(value, list | tuple) else value
