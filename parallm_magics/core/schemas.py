"""What a typed answer must be like: a schema, its fields, and how an answer becomes an object of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

FieldKind = Literal[
    "text", "number", "integer", "boolean", "date", "time", "choice", "list", "object", "any"
]
"""How two values of a field are compared: texts by what they say, numbers and dates as values, lists as sets."""


class MakingInterrupted(ValueError):
    """The user interrupted the validators of a class of their own; nobody knows if the object conforms."""


@dataclass(frozen=True, slots=True)
class SchemaField:
    """One field of an object.

    Attributes:
        name: its key.
        kind: what its values are.
        required: whether an object without it is invalid.
        nullable: whether null is one of its values.
        choices: the values of a closed set, as they are written.
        description: what it means, as the schema says.
    """

    name: str
    kind: FieldKind = "text"
    required: bool = True
    nullable: bool = False
    choices: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """What an answer must be like.

    Attributes:
        name: what it is called, such as the class's name.
        document: the JSON Schema, as JSON text; its keys in the order in which the fields are to be
            written.
        fields: its top-level fields, in their order.
        make: from what JSON holds to the validated object: an instance of the user's class, or a dict.
            Raises ValueError with the reason, one line.
        plain: from such an object back to what JSON holds.
    """

    name: str
    document: str
    fields: tuple[SchemaField, ...]
    make: Callable[[Any], Any] = field(compare=False, repr=False)
    plain: Callable[[Any], Any] = field(compare=False, repr=False)
