"""When two values of a field are the same answer: keys that are equal for equal answers.

Texts are compared by what they say, numbers and dates as values, lists as sets, the labels of a
closed set and booleans exactly, and objects by their parts. Null is a value like any other.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from parallm_magics.answers.cleaning import same_answer_key
from parallm_magics.answers.schema_fields import Node, branches, common_kind, resolved
from parallm_magics.core.schemas import FieldKind, Schema, SchemaField

Key = tuple[str, Hashable]
"""What a value is compared as, and the form in which it is compared."""


def value_key(value: Any, field: SchemaField, schema: Schema) -> Key:
    """Return a key that is equal for values of this field that are the same answer.

    1, 1.0 and "1.00" are equal numbers. Dates are equal if they are the same instant, and lists if
    they hold the same values in whatever order and however often.

    Args:
        value: as JSON holds it.
    """
    document = _document(schema.document)
    return document.key(value, field.kind, document.field(field.name))


def field_keys(thing: Any, schema: Schema) -> dict[str, Key]:
    """Return the key of each field that an object has, by the field's name.

    Two objects say the same of a field if both lack it, or if their keys are equal.

    Args:
        thing: a validated object of the schema.
    """
    plain = schema.plain(thing)
    fields = (field for field in schema.fields if field.name in plain)
    return {field.name: value_key(plain[field.name], field, schema) for field in fields}


def as_number(value: Any) -> Decimal | None:
    """Return the number that a value is, exactly as it is written; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


@functools.lru_cache(64)
def _document(text: str) -> _Document:
    """A schema's document, read once."""
    return _Document(json.loads(text))


@dataclass(frozen=True)
class _Document:
    """A JSON Schema: what it says of each part decides how that part is compared."""

    whole: Node

    def field(self, name: str) -> list[Node]:
        """What is said of a field."""
        return self._part([*self._alternatives(self.whole)], name)

    def key(self, value: Any, kind: FieldKind, nodes: Sequence[Node]) -> Key:
        """The key of a value of which these are the alternatives."""
        if value is None:
            return "null", None
        if kind == "choice":
            return "choice", json.dumps(value, sort_keys=True)
        if isinstance(value, bool):
            return "boolean", value
        if isinstance(value, Mapping):
            parts = (
                (name, self._key(each, self._part(nodes, name))) for name, each in value.items()
            )
            return "object", frozenset(parts)
        if isinstance(value, list | tuple):
            return self._items(value, nodes)
        if kind in ("number", "integer") or not isinstance(value, str):
            number = as_number(value)
            return ("text", str(value)) if number is None else ("number", number)
        moment = _moment(value) or _time(value) if kind in ("date", "time") else None
        return moment or ("text", same_answer_key(value) or value.strip())

    def _key(self, value: Any, nodes: Sequence[Node]) -> Key:
        return self.key(value, common_kind(nodes), nodes)

    def _items(self, value: Sequence[Any], nodes: Sequence[Node]) -> Key:
        """The items as a set; in their order where the schema gives each place a meaning."""
        places = [node["prefixItems"] for node in nodes if "prefixItems" in node]
        if not places:
            inner = self._all(node.get("items") for node in nodes)
            return "list", frozenset(self._key(item, inner) for item in value)
        at_place = [
            self._all(each[at] for each in places if at < len(each)) for at in range(len(value))
        ]
        return "tuple", tuple(map(self._key, value, at_place))

    def _part(self, nodes: Iterable[Node], name: str) -> list[Node]:
        """What is said of one part of an object."""
        return self._all(
            node.get("properties", {}).get(name, node.get("additionalProperties")) for node in nodes
        )

    def _all(self, nodes: Iterable[Any]) -> list[Node]:
        found = (node for node in nodes if isinstance(node, Mapping))
        return [each for node in found for each in self._alternatives(node)]

    def _alternatives(self, node: Node) -> Iterator[Node]:
        """What a value may be, one by one: references followed, null left out."""
        whole = resolved(node, self.whole)
        options, _ = branches(whole, self.whole)
        for each in options:
            if each is whole:
                yield whole
            else:
                yield from self._alternatives(each)


def _moment(text: str) -> Key | None:
    """A day, as its first moment, or a date and time, as the instant that it is wherever it is told."""
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            return "date", moment
        return "instant", moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _time(text: str) -> Key | None:
    try:
        return "time", time.fromisoformat(text.strip())
    except ValueError:
        return None
