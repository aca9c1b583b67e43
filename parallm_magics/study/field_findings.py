"""What a study of objects tells of each of their fields: a study of its own, from the same calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from parallm_magics.cell.plan import Plan
from parallm_magics.core.schemas import SchemaField
from parallm_magics.core.tasks import Reading, Record
from parallm_magics.patterns.names import Fields
from parallm_magics.study.findings import Findings
from parallm_magics.study.outcomes import Item
from parallm_magics.study.voter_findings import agreement
from parallm_magics.voting.field_ballots import labels_of_field


class FieldFindings(Findings):
    """What the items tell of one field. It has what a study of labels has, of this field alone.

    Attributes:
        field: the field.
    """

    def __init__(
        self, plan: Plan, records: Sequence[Record], field: SchemaField, items: Iterable[Item]
    ) -> None:
        super().__init__(plan, records)
        self.field = field
        # Labels are the same where values are, so that nothing is left to be read into them.
        self._reading = Reading("choice", labels_of_field(field))
        self._own = tuple(items)

    def _items(self) -> Iterable[Item]:
        return self._own

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "systems": system_rows(self),
            "comparisons": [
                {**asdict(each), "difference": each.difference} for each in self.comparisons
            ],
            "calibration": [asdict(each) for each in self.calibration.values()],
        }

    def __repr__(self) -> str:
        return f"<FieldFindings {self.field.name}: {len(self.labelled)} labelled items>"


class ObjectFindings(Findings):
    """What the items tell, of answers that are objects also field by field."""

    @cached_property
    def fields(self) -> dict[str, FieldFindings]:
        """With `--schema`, what the items tell of each field, by its name; empty without it.

        A field that an item's true object does not have is not scored for that item.
        """
        if self._reading.schema is None:
            return Fields()
        return Fields(
            {
                field.name: FieldFindings(
                    self._plan,
                    self._records,
                    field,
                    (item.fields[field.name] for item in self.measured),
                )
                for field in self._reading.schema.fields
            }
        )


def system_rows(found: Findings) -> list[dict[str, Any]]:
    """A row for each system with what was measured of it, as plain JSON types."""
    rows = []
    for system in found.systems:
        row = asdict(found.measures[system.name])
        cost, usual = row.pop("cost"), row.pop("usual")
        low, high = row.pop("interval") or (None, None)
        rows.append(
            {
                "system": system.name,
                "kind": system.kind,
                **row,
                "accuracy_low": low,
                "accuracy_high": high,
                "cost": None if cost is None else float(cost),
                **({} if usual is None else {"usual_cost": float(usual)}),
            }
        )
    return rows


def field_columns(item: Item, vote: str) -> dict[str, Any]:
    """What an item's row says of each field: the vote's value, how far it is agreed on, and if it is right."""
    columns: dict[str, Any] = {}
    for name, own in item.fields.items():
        outcome = own.outcomes[vote]
        columns[name] = outcome.value
        columns[f"{name}_agreement"] = agreement(own)
        if own.truth is not None:
            columns[f"{name}_right"] = outcome.right
    return columns
