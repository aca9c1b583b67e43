"""The rows of a frame: objects as columns, one a field, and beside a vote on it the share that agreed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parallm_magics.core.schemas import FieldKind, Schema

if TYPE_CHECKING:
    from parallm_magics.cell.calls import Section
    from parallm_magics.core.tasks import Record
    from parallm_magics.patterns.section_votes import SectionVote

_READ: dict[FieldKind, Callable[[str], Any]] = {
    "number": float,
    "integer": float,
    "date": datetime.date.fromisoformat,
}


def field_columns(schema: Schema, value: Any, taken: Collection[str]) -> dict[str, Any]:
    """Return the fields of an object as the columns of a row; None in each where there is no object.

    Numbers are numbers, exact ones too, and dates are dates; lists and objects stay as JSON has them.

    Args:
        taken: the names of other columns; a field of such a name becomes "value.NAME".
    """
    plain = {} if value is None else schema.plain(value)
    return {
        column_of(field.name, taken): _cell(field.kind, plain.get(field.name))
        for field in schema.fields
    }


def column_of(name: str, taken: Collection[str]) -> str:
    """Return the name of a field's column."""
    return f"value.{name}" if name in taken else name


def vote_columns(vote: SectionVote, schema: Schema, taken: Collection[str]) -> dict[str, Any]:
    """Return the winners of a vote on each field, each with the share of the votes that it has."""
    columns: dict[str, Any] = {}
    for field in schema.fields:
        name, found = column_of(field.name, taken), vote.fields[field.name]
        columns[name] = _cell(field.kind, found.plain)
        columns[f"{name}_agreement"] = found.agreement
    return columns


def _cell(kind: FieldKind, plain: Any) -> Any:
    if isinstance(plain, str) and kind in _READ:
        try:
            return _READ[kind](plain)
        except ValueError:
            return plain
    return plain


def answer_rows(
    sections: Sequence[Section], votes: Mapping[Any, SectionVote], records: Sequence[Record]
) -> list[dict[str, Any]]:
    """Return a row for each key of a fan-out, a section that is a vote with the winners of its fields."""
    by_place = {record.index: record for record in records}
    rows = []
    for section in sections:
        own = [by_place[place] for place in section.tasks if place in by_place]
        first, vote = next(iter(own), None), votes.get(section.key)
        row: dict[str, Any] = {"key": section.key}
        if first is not None and first.key is not None:
            row |= {"item": first.item}
        row["status"] = vote.status if vote is not None else first.status if first else None
        schema = None if section.reading is None else section.reading.schema
        if schema is None:
            value = first.value if first is not None and vote is None else vote and vote.winner
            row["value"] = value if value is not None or first is None else first.text
        elif vote is not None:
            row |= vote_columns(vote, schema, row)
        else:
            row |= field_columns(schema, None if first is None else first.value, row)
        rows.append(row)
    return rows


def worker_rows(
    records: Sequence[Record], schema_at: Callable[[int], Schema | None]
) -> list[dict[str, Any]]:
    """Return a row for each worker, an object's fields in place of its value.

    Args:
        schema_at: from a worker's place to its schema; None where its answer is no object.
    """
    rows = []
    about_items = any(record.key is not None for record in records)
    for record in records:
        row = record.to_dict()
        usage, error = row.pop("usage") or {}, row.pop("error") or {}
        row["attempts"] = len(row["attempts"])
        shares = row.pop("probabilities", {})
        if not about_items:
            del row["key"], row["item"]
        stated = {f"p_{label}": share for label, share in shares.items()}
        row = {**row, **usage, "error": error.get("message"), **stated}
        if (schema := schema_at(record.index)) is not None:
            del row["value"]
            row |= field_columns(schema, record.value, row)
        rows.append(row)
    return rows
