"""The fields of a typed answer while it streams: those that have come, and those that are still to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parallm_magics.answers.partial_object import partial_object
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Task
from parallm_magics.display.typed_words import TO_COME

_MOST = 20_000
"""Characters of an answer that are read anew with a drawing; what comes later is seen when it has ended."""


class StreamedFields:
    """Collects the pieces of an answer, and reads them when somebody looks."""

    __slots__ = ("_fields", "_names", "_pieces", "_read", "_size")

    def __init__(self, schema: Schema) -> None:
        self._names = tuple(field.name for field in schema.fields)
        self._pieces: list[str] = []
        self._size = self._read = 0
        self._fields: Mapping[str, Any] = dict.fromkeys(self._names, TO_COME)

    def hear(self, piece: str) -> None:
        """Take in a piece of the answer."""
        if self._size < _MOST:
            self._pieces.append(piece)
            self._size += len(piece)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The value of each field by its name, as far as it has come."""
        if self._read < self._size:
            self._read = self._size
            whole = "".join(self._pieces)
            self._pieces = [whole]
            come = partial_object(whole) or {}
            self._fields = {name: come.get(name, TO_COME) for name in self._names}
        return self._fields


def streamed_fields(task: Task | None) -> StreamedFields | None:
    """What collects the fields of this call's answer; None where it is asked for no object."""
    schema = task.reading.schema if task is not None and task.reading is not None else None
    return None if schema is None else StreamedFields(schema)
