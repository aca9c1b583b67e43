"""Schemas of plain dicts, for tests of what is done with objects rather than of how they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from parallm_magics.core.schemas import FieldKind, Schema, SchemaField

NODES: Mapping[FieldKind, Any] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "choice": {"enum": ["a", "b"]},
    "list": {"type": "array", "items": {"type": "string"}},
    "object": {"type": "object"},
    "any": {},
}


def schema_of(
    *fields: SchemaField,
    nodes: Mapping[str, Any] | None = None,
    check: Callable[[Any], None] | None = None,
    name: str = "Thing",
    **document: Any,
) -> Schema:
    """A schema whose objects are dicts.

    Args:
        nodes: what the document says of a field, where that is more than its kind.
        check: raises ValueError for an object that is not valid.
        document: further parts of the document.
    """
    properties = {each.name: (nodes or {}).get(each.name, NODES[each.kind]) for each in fields}
    text = json.dumps({"type": "object", "properties": properties, **document}, sort_keys=True)
    return Schema(name, text, fields, partial(_made, fields, check), dict)


def _made(fields: tuple[SchemaField, ...], check: Callable[[Any], None] | None, plain: Any) -> Any:
    missing = [each.name for each in fields if each.required and each.name not in plain]
    if missing:
        raise ValueError(f"{missing[0]}: field required")
    if check is not None:
        check(plain)
    return dict(plain)
