"""Sectioning: independent parts at once, their answers as one result."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from parallm_magics import display
from parallm_magics.cell.plan import Plan, Section
from parallm_magics.errors import TooFewSucceeded
from parallm_magics.patterns.reading import read_record
from parallm_magics.patterns.run import Again, Run, record_dict
from parallm_magics.patterns.synthesis import answered, join, marked, synthesis_task, visible
from parallm_magics.patterns.workers import (
    Surroundings,
    Workers,
    counts_in_words,
    first_reasons,
    in_order,
    kept_of,
    missing,
    open_workers,
)
from parallm_magics.providers.registry import Clients
from parallm_magics.types import Record
from parallm_magics.voting import decide

Value = str | float | None


class FanoutRun(Run, Mapping[str, Value]):
    """The result of a fan-out: a mapping of section name to text, or to the value read from it.

    Only sections with a complete answer are keys; `failed` holds the others.

    Attributes:
        text: the aggregate; None with `--aggregate none`.
        aggregate: how it was made: "join", "synthesis" or "none".
        synthesis: the record of the merging call, or None.
    """

    def __init__(
        self,
        records: Sequence[Record],
        sections: Sequence[Section],
        *,
        aggregate: str = "join",
        synthesis: Record | None = None,
        notes: Sequence[str] = (),
        addresses: Sequence[str] = (),
        again: Again | None = None,
    ) -> None:
        super().__init__(records, notes=notes, addresses=addresses, again=again)
        by_place = {record.index: record for record in self.results}
        self._sections = {s.key: (s, [by_place[i] for i in s.tasks]) for s in sections}
        self._values = {
            key: _value(section, records)
            for key, (section, records) in self._sections.items()
            if any(record.ok for record in records)
        }
        self.synthesis = synthesis
        self.aggregate = aggregate
        self.text = self._aggregated()

    def _aggregated(self) -> str | None:
        if self.aggregate == "none":
            return None
        if self.synthesis is not None and self.synthesis.ok:
            return self.synthesis.text
        return join(_texts(self._sections))

    def __getitem__(self, key: str) -> Value:
        if key not in self._values and key in self._sections:
            records = self._sections[key][1]
            raise KeyError(
                f"section {key!r} has no answer ({counts_in_words(records)}); see .failed"
            )
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def _extra(self) -> tuple[Record, ...]:
        return (self.synthesis,) if self.synthesis else ()

    @property
    def flagged(self) -> tuple[str, ...]:
        """The sections whose value is the label that `--flag` names."""
        return tuple(
            key
            for key, (section, _) in self._sections.items()
            if section.flag is not None and self._values.get(key) == section.flag
        )

    @property
    def _title(self) -> str:
        total, good = len(self.results), len(self.succeeded)
        noun = "section" if total == len(self._sections) else "worker"
        lost = counts_in_words(self.results)
        outcome = f"{good} of {display.count(total, noun)} succeeded"
        return f"{outcome} ({lost})" if lost else outcome

    def _view(self) -> display.View:
        return display.View(
            title=self._title,
            pattern="fanout",
            records=self.results,
            extra=self._extra,
            text=self.text if self.synthesis is not None and self.synthesis.ok else None,
            text_title="Synthesis",
            notes=self.notes,
            simulated=self.simulated,
            addresses=self.addresses,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "pattern": "fanout",
            "text": self.text,
            "aggregate": self.aggregate,
            "values": dict(self),
            "flagged": list(self.flagged),
            "synthesis": record_dict(self.synthesis) if self.synthesis else None,
            **super().to_dict(),
        }

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        return f"<{mark}FanoutRun: {self._title}>"


async def run_fanout(
    plan: Plan, around: Surroundings, before: FanoutRun | None = None
) -> FanoutRun:
    """Run a fan-out's plan.

    Args:
        before: a run of the same plan whose successes are kept.

    Raises:
        TooFewSucceeded: with every record; not where the run was stopped from outside.
    """
    workers = await open_workers(plan, around)
    kept = kept_of(before.results) if before else {}
    todo = missing(plan.tasks, kept)
    least = max(plan.least - len(kept), 0)
    new = [
        read_record(record, plan.tasks[record.index].reading)
        for record in await workers.run(todo, least)
    ]
    records = in_order(new, kept)
    stopped = bool(around.stop.reason)
    enough = sum(record.ok for record in records) >= plan.least
    merged = before.synthesis if before is not None and not todo else None
    notes = list(plan.notes)
    if plan.synthesis is not None and enough and not stopped and not (merged and merged.ok):
        merged, note = await _merge(plan, workers, records)
        notes += note

    async def again(run: FanoutRun) -> FanoutRun:
        clients = Clients()
        try:
            return await run_fanout(plan, Surroundings(clients), before=run)
        finally:
            await clients.close()

    run = FanoutRun(
        records,
        plan.sections,
        aggregate="join" if plan.synthesis and not (merged and merged.ok) else plan.aggregate,
        synthesis=merged,
        notes=notes,
        addresses=workers.addresses,
        again=again,
    )
    if not enough and not stopped:
        good = len(run.succeeded)
        raise TooFewSucceeded(
            f"{good} of {len(records)} workers succeeded, {plan.least} are needed "
            f"(--min-success {plan.options.min_success}): {first_reasons(records)}",
            records,
            run,
        )
    return run


async def _merge(
    plan: Plan, workers: Workers, records: Sequence[Record]
) -> tuple[Record | None, list[str]]:
    """The merging call's record, and a note where the sections are joined instead."""
    assert plan.synthesis is not None
    if not any(record.ok for record in records):
        return None, ["no section succeeded: nothing to merge, the sections are joined"]
    by_place = {record.index: record for record in records}
    sections = {s.key: (s, [by_place[i] for i in s.tasks]) for s in plan.sections}
    texts = _texts(sections)
    task = synthesis_task(plan.synthesis, plan.shared, texts, plan.options.seed)
    offset = max((record.end for record in records), default=0.0)
    [merged] = await workers.run([task])
    if merged.simulated:
        merged = replace(merged, start=offset, queued=0.0)
    hidden = sum(visible(text) != text for text in texts.values())
    notes = [_left_out(hidden)] if hidden else []
    if merged.ok:
        return merged, notes
    why = merged.error.message if merged.error else merged.status
    return merged, [
        *notes,
        f"the synthesis has no answer ({why}): the sections are joined instead",
    ]


def _left_out(hidden: int) -> str:
    answers = display.count(hidden, "answer")
    return f"{answers} held invisible characters, which the synthesis was not given"


def _texts(sections: Mapping[str, tuple[Section, Sequence[Record]]]) -> dict[str, str]:
    texts = answered({key: records for key, (_, records) in sections.items()})
    for key, (section, records) in sections.items():
        if section.reading is not None and section.reading.kind != "open":
            value = _value(section, records)
            texts[key] = str(value) if value is not None else marked(records[0])
    return texts


def _value(section: Section, records: Sequence[Record]) -> Value:
    """A section's text or value: several labels by plurality, several numbers by their median."""
    good = [record for record in records if record.ok]
    if not good:
        return None
    if section.reading is None or section.reading.kind == "open":
        return good[0].text
    if len(records) == 1:
        return good[0].value
    if section.reading.kind == "choice":
        counts = Counter(str(record.value) for record in good)
        return decide(dict(counts), len(records), "plurality", None, "requested", 1)[1]
    return statistics.median(float(r.value) for r in good if r.value is not None)
