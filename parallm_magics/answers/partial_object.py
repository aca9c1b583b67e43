"""The fields of an object that is still being written: what has come of it so far."""

from __future__ import annotations

from typing import Any

_MOST_BRACES = 100
"""Braces that are tried as the beginning of the object; words before it may hold some."""


def partial_object(text: str) -> dict[str, Any] | None:
    """Return the fields that have come of the first object in a text, the last one perhaps cut off.

    None where no object has begun. A number or word that is cut off is left out or may still grow;
    a text that is cut off is there as far as it came.

    >>> partial_object('Here: {"vendor": "Acme", "tags": ["new", "lat')
    {'vendor': 'Acme', 'tags': ['new', 'lat']}
    """
    import pydantic_core  # here: only a cell with a schema needs it

    start = text.find("{")
    for _ in range(_MOST_BRACES):
        if start < 0:
            return None
        try:
            found = pydantic_core.from_json(text[start:], allow_partial="trailing-strings")
        except ValueError:
            start = text.find("{", start + 1)
        else:
            return found if isinstance(found, dict) else None
    return None
