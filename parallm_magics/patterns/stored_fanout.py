"""A map whose results lie on a disk: the same mapping, read as far as it is asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Unpack, get_args, overload

from parallm_magics import display
from parallm_magics.cell.calls import Calls, Section
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Record, Status
from parallm_magics.errors import OptionError, ParallmError
from parallm_magics.patterns.fanout_run import FanoutRun, Value, joined
from parallm_magics.patterns.frame_rows import answer_rows
from parallm_magics.patterns.names import no_key
from parallm_magics.patterns.run import Common, Run, frame
from parallm_magics.patterns.run_view import fanout_view, outcome_in_words
from parallm_magics.patterns.shown import Picture
from parallm_magics.patterns.stored_records import OK, StoredRecords

TIMED_OUT: tuple[Status, ...] = ("timed_out",)

MOST_HELD = 100_000
"""Most results that a frame, a dict or a joined text holds at once, at some 3 KB each."""


class StoredFanoutRun(FanoutRun):
    """A fan-out over items whose records are in the parts of a folder.

    Whatever reads all of them reads them once, in order, a thousand at a time.
    """

    results: StoredRecords

    def _held(self, records: Sequence[Record]) -> Sequence[Record]:
        return records

    def __init__(
        self,
        records: StoredRecords,
        calls: Calls,
        *,
        aggregate: str = "join",
        whole: bool = True,
        **common: Unpack[Common],
    ) -> None:
        """Take the records, and the calls that give them their keys.

        Args:
            whole: whether all items are known; else no flag is known to be down.
        """
        Run.__init__(self, records, **common)
        self._calls, self._whole, self.aggregate = calls, whole, aggregate
        self._round = tuple(calls.sections(calls.size))
        reached = records.reached
        self._rounds = -(-(reached if calls.known is None else calls.known) // calls.size)
        self._checked = any(section.flag is not None for section in self._round)
        self.synthesis, self.votes = None, {}
        self.flagged = _Keys(calls, records.facts.flagged)
        self.unchecked = _Keys(calls, records.facts.unchecked)

    # --- the mapping ------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Value:
        section = self._calls.section_of(key, self._rounds)
        if section is None:
            raise no_key(key, self)
        [place] = section.tasks
        if not self.results.has(place, OK):
            return None
        record = self.results.at(place)
        return record.text if section.reading is None else record.value

    def __len__(self) -> int:
        return self._rounds * len(self._round)

    def __iter__(self) -> Iterator[Any]:
        return (section.key for section in self._sections)

    def __reversed__(self) -> Iterator[Any]:
        """The keys from the last on."""
        for at in range(self._rounds, 0, -1):
            for section in reversed([*self._calls.round_of(at)]):
                yield section.key

    @property
    def _sections(self) -> Iterator[Section]:  # type: ignore[override]
        return self._calls.sections(self._rounds * self._calls.size)

    # --- what it comes to -------------------------------------------------------------------------

    @property
    def _totals(self) -> display.Totals:
        return self.results.facts.sums.totals(self.auxiliary)

    @property
    def succeeded(self) -> Sequence[Record]:
        """The records of the workers that gave a complete answer."""
        return self.results.having(OK)

    @property
    def failed(self) -> Sequence[Record]:
        """The records of all other workers, for whatever reason."""
        return self.results.others(OK)

    @property
    def timed_out(self) -> Sequence[Record]:
        """The records of the workers that fell silent or passed the deadline."""
        return self.results.having(TIMED_OUT)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that were called, if not a provider's usual one."""
        return tuple(self.results.facts.addresses)

    @property
    def adapted(self) -> tuple[str, ...]:
        """What was sent differently because an endpoint rejected a field: one line per model."""
        return tuple(self.results.facts.adapted)

    @property
    def batches(self) -> dict[str, int]:
        """How many of its calls were asked in each of the provider's batches, by the batch's id."""
        return {name: batch.calls for name, batch in self.results.facts.batches.items()}

    @property
    def simulated(self) -> bool:
        """Whether any answer is simulated."""
        return self.results.facts.simulated

    @property
    def text(self) -> str | None:
        """The merged text; an error where it would hold too many answers."""
        if self.aggregate == "none":
            return None
        if len(self.results) > MOST_HELD:
            self._refuse("run.text", "take the answers one by one: for key, value in run.items()")
        return joined([*self._sections], self.results)

    def to_pandas(self, of: str | None = None) -> Any:
        """Return a DataFrame as any map does; of too many results an error that says how to read them."""
        if of not in (None, "workers", "answers"):
            raise OptionError(f"to_pandas(): {of!r} is not one of workers, answers")
        if len(self.results) > MOST_HELD:
            self._refuse(
                "to_pandas()",
                f'read only the columns that you need: pandas.read_parquet("{self.results.folder}", '
                'columns=["index", "key", "value"]).drop_duplicates("index", keep="last")',
            )
        if of == "answers":
            return frame(answer_rows([*self._sections], {}, self.results))
        return Run.to_pandas(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types; an error where that is too much."""
        if len(self.results) > MOST_HELD:
            self._refuse(
                "to_dict()",
                "take the records one by one: for record in run.results, record.to_dict()",
            )
        return super().to_dict()

    def _refuse(self, what: str, instead: str) -> NoReturn:
        raise ParallmError(
            f"{what} would hold all {len(self.results):,} results in memory, more than {MOST_HELD:,}; {instead}"
        )

    def _schema_at(self, place: int) -> Schema | None:
        reading = self._calls.reading(place)
        return None if reading is None else reading.schema

    # --- how it is shown --------------------------------------------------------------------------

    def timeline(self) -> Picture:
        """Return the timeline alone: one bar for each of the slowest workers on a common axis."""
        facts, sums = self.results.facts, self._totals
        return Picture(
            display.timeline(facts.slowest, self.auxiliary, sums, workers=len(self.results))
        )

    def _view(self) -> display.View:
        facts, total = self.results.facts, len(self.results)
        drawn = [*facts.lost, *(record for record in facts.first if record.ok)]
        whole = display.Whole(total, facts.sums, tuple(facts.models.values()), facts.batches)
        return fanout_view(
            self,
            self._title(),
            self._counts(),
            records=tuple(drawn[: display.rows_of(total)]),
            whole=whole,
        )

    def _title(self) -> str:
        noun = "item" if self._calls.size == 1 else "section"
        counts = {status: self.results.count((status,)) for status in get_args(Status)}
        checks = self._rounds * sum(section.flag is not None for section in self._round)
        return outcome_in_words(counts, noun, len(self.unchecked), checks)

    def _counts(self) -> display.Counts:
        """How often each label was read, for each section of a round."""
        pairs = zip(self._round, self.results.facts.labels, strict=True)
        asked = [
            (s, s.reading.choices, read) for s, read in pairs if s.reading and s.reading.choices
        ]
        found = []
        for section, choices, read in asked if self._rounds > 1 else ():
            lost = self._rounds - sum(read[label] for label in choices)
            labels = [(label, read[label]) for label in choices]
            told = (*labels, *([("without an answer", lost)] if lost else []))
            found.append((section.name if len(asked) > 1 else "", told))
        return tuple(found)

    def __repr__(self) -> str:
        mark = "SIMULATED " if self.simulated else ""
        return f"<{mark}FanoutRun: {self._title()}; results in {self.results.folder}>"


class _Keys(Sequence[Any]):
    """The keys of some places."""

    def __init__(self, calls: Calls, places: array[int]) -> None:
        self._calls, self._places = calls, array("I", sorted(places))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Any, ...]: ...

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return tuple(map(self._key, self._places[at]))
        return self._key(self._places[at])

    def _key(self, place: int) -> Any:
        sections = self._calls.round_of(place // self._calls.size + 1)
        return next(section.key for section in sections if place in section.tasks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        more = f", and {len(self) - 10:,} more" if len(self) > 10 else ""
        return f"<{', '.join(map(repr, self[:10]))}{more}>"
