"""The result of a study, as other code takes it: a mapping, a report, frames, plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Unpack

from parallm_magics import display
from parallm_magics.cell.plan import Plan
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Record
from parallm_magics.errors import OptionError
from parallm_magics.patterns.names import no_key
from parallm_magics.patterns.run import Common, Run, frame
from parallm_magics.patterns.run_view import blocked_title, run_view
from parallm_magics.study.field_findings import ObjectFindings, field_columns, system_rows
from parallm_magics.study.headline import title_of
from parallm_magics.study.study_report import report_of
from parallm_magics.study.voter_findings import agreement


class StudyRun(ObjectFindings, Run, Mapping[str, Any]):
    """The result of a vote on each of many items: a mapping of an item's key to the winning label.

    Each item is a key, its number from 1 unless the items are a dict; one that nobody won, or that
    could not be measured, is None. With `--sure`, so is one whose share is below the share chosen.
    With `--schema` it is the validated object of the fields' winners, and `fields` has the study of
    each field.
    """

    def __init__(
        self,
        records: Sequence[Record],
        plan: Plan,
        **common: Unpack[Common],
    ) -> None:
        Run.__init__(self, records, **common)
        ObjectFindings.__init__(self, plan, () if self.blocked else self.results)

    @cached_property
    def _winners(self) -> dict[Any, Any]:
        calls = self._plan.calls
        rounds = -(-(max((r.index for r in self.results), default=-1) + 1) // calls.size)
        winners: dict[Any, Any] = {calls.item_key(at + 1): None for at in range(rounds)}
        for item in self.measured:
            outcome = item.outcomes[self.vote]
            answer = outcome.answer if outcome.value is None else outcome.value
            winners[calls.item_key(item.number)] = answer if self._is_sure(outcome) else None
        return winners

    def __getitem__(self, key: str) -> Any:
        found = key if key in self._winners else str(key)
        if found not in self._winners:
            raise no_key(key, self._winners)
        return self._winners[found]

    def _ipython_key_completions_(self) -> list[Any]:
        """What Tab offers behind `study["`."""
        return [*self]

    def __iter__(self) -> Iterator[str]:
        return iter(self._winners)

    def __len__(self) -> int:
        return len(self._winners)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def _schema_at(self, place: int) -> Schema | None:
        reading = self._plan.calls.reading(place)
        return None if reading is None else reading.schema

    @property
    def text(self) -> str | None:
        """The refusal of a blocked study; otherwise None, because a study has no text."""
        return self._refusal

    @property
    def flagged(self) -> tuple[str, ...]:
        """The items whose winner is the label of `--flag`."""
        flag = self._plan.calls.flag
        return tuple(key for key, winner in self.items() if flag is not None and winner == flag)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The items without a winner, if there is a `--flag`."""
        flag = self._plan.calls.flag
        return tuple(key for key, winner in self.items() if flag is not None and winner is None)

    @property
    def clean(self) -> bool | None:
        """Whether every item has a winner and none is the flag; None without a `--flag`.

        Also False for a blocked study, and for one that could not measure every item.
        """
        if self._plan.calls.flag is None:
            return None
        return not (self.blocked or self.unmeasured or self.flagged or self.unchecked)

    def _view(self) -> display.View:
        """The calls, or the refusal in their place."""
        return run_view(self, "", "study", self.text, "Refusal", self.failures)

    def _blocks(self) -> list[display.Block]:
        return super()._blocks() if self.blocked else report_of(self, self._view())

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        title = blocked_title(self) if self.blocked else title_of(self)
        return f"<{mark}StudyRun: {title}>"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "pattern": "study",
            "recommendation": self.recommendation,
            "reason": self.reason,
            "verdict": self.verdict,
            "unmeasured": self.unmeasured,
            "flagged": list(self.flagged),
            "unchecked": list(self.unchecked),
            "clean": self.clean,
            "systems": self._system_rows(),
            "comparisons": self._comparison_rows(),
            "diagnostics": self.diagnostics if self.labelled else None,
            "fields": {name: found.to_dict() for name, found in self.fields.items()},
            "calibration": [asdict(each) for each in self.calibration.values()],
            "items": self._item_rows(),
            **super().to_dict(),
        }

    def _system_rows(self) -> list[dict[str, Any]]:
        return system_rows(self)

    def _field_rows(self) -> list[dict[str, Any]]:
        return [
            {"field": name, **row}
            for name, found in self.fields.items()
            for row in system_rows(found)
        ]

    def _comparison_rows(self) -> list[dict[str, Any]]:
        return [{**asdict(each), "difference": each.difference} for each in self.comparisons]

    def _calibration_rows(self) -> list[dict[str, Any]]:
        rows = []
        for each in self.calibration.values():
            found = asdict(each)
            del found["bins"]
            low, high = found.pop("brier_interval")
            sure = found.pop("sure") or {}
            sure_low, sure_high = sure.pop("interval", None) or (None, None)
            told = {f"sure_{name}": value for name, value in sure.items()}
            if sure:
                told |= {"sure_low": sure_low, "sure_high": sure_high}
            rows.append({**found, "brier_low": low, "brier_high": high, **told})
        return rows

    def _reliability_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "system": each.system,
                "kind": each.kind,
                "low": bin_.low,
                "high": bin_.high,
                "stated": bin_.stated,
                "items": bin_.items,
                "right": bin_.right,
                "accuracy": bin_.accuracy,
                "accuracy_low": bin_.interval[0],
                "accuracy_high": bin_.interval[1],
            }
            for each in self.calibration.values()
            for bin_ in each.bins
        ]

    def _item_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "item": item.number,
                "key": str(self._plan.calls.item_key(item.number)),
                "text": item.words,
                "truth": item.truth,
                **{name: outcome.answer for name, outcome in item.outcomes.items()},
                "agreement": agreement(item),
                **field_columns(item, self.vote),
            }
            for item in self.measured
        ]

    def to_pandas(self, of: str = "systems") -> Any:
        """Return a DataFrame with one row per system.

        Args:
            of: "systems", or "comparisons", "items" or "calls" for one row per one of these;
                "calibration" for one row per system with shares, "reliability" for one per bin of these;
                "fields" for one row per field and system, with `--schema`.
        """
        if of == "calls":
            return super().to_pandas()
        rows = {
            "systems": self._system_rows,
            "fields": self._field_rows,
            "items": self._item_rows,
            "comparisons": self._comparison_rows,
            "calibration": self._calibration_rows,
            "reliability": self._reliability_rows,
        }
        if of not in rows:
            raise OptionError(f"to_pandas(): {of!r} is not one of {', '.join([*rows, 'calls'])}")
        return frame(rows[of]())
