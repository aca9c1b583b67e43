"""When two values of a field are the same answer: keys that are equal for equal answers.

Texts are compared by what they say, numbers and dates as values, lists as sets, the labels of a
closed set and booleans exactly, and objects by their parts. Null is a value like any other.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from itertools import chain, repeat, zip_longest
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
    return _whole(schema.document).part(field.name).key(value, field.kind)


def field_keys(thing: Any, schema: Schema) -> dict[str, Key]:
    """Return the key of each field that an object has, by the field's name.

    Two objects say the same of a field if both lack it, or if their keys are equal.

    Args:
        thing: a validated object of the schema.
    """
    plain = schema.plain(thing)
    fields = (field for field in schema.fields if field.name in plain)
    return {field.name: value_key(plain[field.name], field, schema) for field in fields}


def object_key(thing: Any, schema: Schema) -> frozenset[tuple[str, Key]]:
    """Return what is equal for objects that say the same in every field."""
    return frozenset(field_keys(thing, schema).items())


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
def _whole(document: str) -> _Part:
    """What a schema says of the object as a whole."""
    node = json.loads(document)
    return _Part(node, [node])


class _Part:
    """A part of an object: what the schema says of it decides how it is compared."""

    def __init__(self, document: Node, said: Iterable[Any]) -> None:
        """Take the schema, and what it says of this part; anything else than a node is left out."""
        self._document = document
        self._nodes = [
            each for node in said if isinstance(node, Mapping) for each in self._alternatives(node)
        ]
        self._parts: dict[str, _Part] = {}

    def part(self, name: str) -> _Part:
        """A part of this part."""
        if not any(name in node.get("properties", {}) for node in self._nodes):
            return self._rest
        if name not in self._parts:
            self._parts[name] = self._inner(
                node.get("properties", {}).get(name, node.get("additionalProperties"))
                for node in self._nodes
            )
        return self._parts[name]

    def key(self, value: Any, kind: FieldKind | None = None) -> Key:
        """The key of a value that stands here."""
        kind = kind or self._kind
        if value is None:
            return "null", None
        if kind == "choice":
            whole = isinstance(value, float) and value.is_integer()
            return "choice", json.dumps(int(value) if whole else value, sort_keys=True)
        if isinstance(value, bool):
            return "boolean", value
        if isinstance(value, Mapping):
            return "object", frozenset((name, self.part(name).key(v)) for name, v in value.items())
        if isinstance(value, list | tuple):
            return self._key_of_items(value)
        if kind in ("number", "integer") or not isinstance(value, str):
            number = as_number(value)
            return ("text", str(value)) if number is None else ("number", number)
        moment = _moment(value) or _time(value) if kind in ("date", "time") else None
        return moment or ("text", same_answer_key(value) or value.strip())

    def _key_of_items(self, items: Sequence[Any]) -> Key:
        """The items as a set; in their order where the schema gives each place a meaning."""
        if not self._places:
            return "list", frozenset(map(self._items.key, items))
        parts = chain(self._places, repeat(self._items))
        return "tuple", tuple(part.key(item) for item, part in zip(items, parts, strict=False))

    @functools.cached_property
    def _kind(self) -> FieldKind:
        return common_kind(self._nodes)

    @functools.cached_property
    def _items(self) -> _Part:
        return self._inner(node.get("items") for node in self._nodes)

    @functools.cached_property
    def _rest(self) -> _Part:
        return self._inner(node.get("additionalProperties") for node in self._nodes)

    @functools.cached_property
    def _places(self) -> list[_Part]:
        said = (node.get("prefixItems", ()) for node in self._nodes)
        return [self._inner(at_place) for at_place in zip_longest(*said)]

    def _inner(self, said: Iterable[Any]) -> _Part:
        return _Part(self._document, said)

    def _alternatives(self, node: Node) -> Iterator[Node]:
        """What a value may be, one by one: references followed, null left out."""
        whole = resolved(node, self._document)
        options, _ = branches(whole, self._document)
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
