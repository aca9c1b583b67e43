"""What the runs of all patterns have in common: records in, numbers and pictures out."""

from __future__ import annotations

import functools
import importlib.util
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self, TypedDict

from parallm_magics import display
from parallm_magics.core.schemas import Schema
from parallm_magics.core.tasks import Record, Usage
from parallm_magics.errors import ParallmError
from parallm_magics.patterns.frame_rows import worker_rows
from parallm_magics.patterns.guard_verdicts import Verdict, blocking
from parallm_magics.patterns.pending import Pending
from parallm_magics.patterns.shown import Picture, Shown

Again = Callable[[Any, bool], Awaitable[Any]]
"""Runs a plan once more, from a run of it; whether what is in no batch yet is left unasked."""


class Common(TypedDict, total=False):
    """What the runs of all patterns are made with; see `Run`."""

    notes: Sequence[str]
    guards: Sequence[Verdict]
    again: Again | None
    columns: Sequence[str]


class Run(Shown):
    """A finished run: what each worker said, what it took, and how it is shown.

    Attributes:
        results: one record a worker, in the cell's order.
        notes: what the reader should know, one line each.
        guards: the verdicts of its guardrails, in the cell's order.
        auxiliary: the records of calls that are no worker's: of guards, a judge, a synthesis.
        columns: further columns of its table.
    """

    columns: tuple[str, ...] = ()  # of runs too that an earlier version pickled

    def __init__(
        self,
        records: Sequence[Record],
        *,
        notes: Sequence[str] = (),
        guards: Sequence[Verdict] = (),
        again: Again | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        self.results: Sequence[Record] = self._held(records)
        self.notes, self.guards = tuple(notes), tuple(guards)
        self.auxiliary = tuple(record for guard in self.guards for record in guard.records)
        self._again, self.columns = again, tuple(columns)

    def _held(self, records: Sequence[Record]) -> Sequence[Record]:
        return tuple(records)

    @property
    def blocked(self) -> bool:
        """Whether a guardrail withheld the work."""
        return any(not guard.passed for guard in self.guards)

    @property
    def guard(self) -> Verdict | None:
        """The verdict that withheld the work, else the first verdict; None without a guardrail."""
        return blocking(self.guards) or next(iter(self.guards), None)

    @property
    def _refusal(self) -> str | None:
        """What stands in place of blocked work; None where nothing is blocked."""
        verdict = blocking(self.guards)
        return None if verdict is None else verdict.refusal

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that were called, if not a provider's usual one."""
        records = (*self.results, *self.auxiliary)
        return tuple(dict.fromkeys(record.address for record in records if record.address))

    @property
    def adapted(self) -> tuple[str, ...]:
        """What was sent differently because an endpoint rejected a field: one line per model."""
        records = (*self.results, *self.auxiliary)
        lines = (f"{record.model}: {record.adapted}" for record in records if record.adapted)
        return tuple(dict.fromkeys(lines))

    @property
    def batches(self) -> dict[str, int]:
        """How many of its calls were asked in each of the provider's batches, by the batch's id."""
        return dict(Counter(record.batch for record in self.results if record.batch))

    @property
    def _totals(self) -> display.Totals:
        return display.totals(self.results, self.auxiliary)

    @property
    def succeeded(self) -> Sequence[Record]:
        """The records of the workers that gave a complete answer."""
        return tuple(record for record in self.results if record.ok)

    @property
    def failed(self) -> Sequence[Record]:
        """The records of all other workers, for whatever reason."""
        return tuple(record for record in self.results if not record.ok)

    @property
    def timed_out(self) -> Sequence[Record]:
        """The records of the workers that fell silent or passed the deadline."""
        return tuple(record for record in self.results if record.status == "timed_out")

    @property
    def usage(self) -> Usage | None:
        """The tokens of all calls, in four classes; None if none are known."""
        return self._totals.usage

    @property
    def cost(self) -> Decimal | None:
        """The known cost in US dollars; None if no cost is known. See `cost_complete`."""
        return self._totals.cost

    @property
    def cost_complete(self) -> bool:
        """Whether `cost` covers every call; if not, it is a lower bound."""
        return self._totals.cost_complete

    @property
    def saved(self) -> Decimal | None:
        """US dollars saved by prompt caches, as far as known; negative if they cost more.

        None if no cache was used.
        """
        return self._totals.saved

    @property
    def seconds(self) -> float:
        """The seconds from the first start to the last end, guards and synthesis included."""
        return self._totals.seconds

    @property
    def sequential_seconds(self) -> float:
        """The sum of the workers' seconds: how long they would take one after another.

        An upper bound if `sequential_at_most` is True.
        """
        return self._totals.sequential_seconds

    @property
    def sequential_at_most(self) -> bool:
        """Whether the seconds of some workers include waiting for a place or a retry."""
        return self._totals.at_most

    @property
    def speedup(self) -> float | None:
        """How many times faster the workers were than one after another.

        None if nothing took time, or if a worker failed, timed out or was stopped.
        """
        return self._totals.speedup

    @property
    def simulated(self) -> bool:
        """Whether any answer is simulated."""
        return any(record.simulated for record in (*self.results, *self.auxiliary))

    def retry(self) -> Pending[Self]:
        """Return a new run, to be awaited: it keeps the successes and calls the rest again.

        The old run does not change.
        """
        return Pending(self._asked_again, "run.retry()")

    def collect(self) -> Pending[Self]:
        """Return a new run, to be awaited: it waits for the calls that are in batches, and sends nothing."""
        return Pending(functools.partial(self._asked_again, collects=True), "run.collect()")

    async def _asked_again(self, collects: bool = False) -> Self:
        if self._again is None:
            raise ParallmError(
                "this run was created by hand or read from a file, so it cannot go on; run the cell again"
            )
        again: Self = await self._again(self, collects)
        return again

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but the way to ask again, which needs the notebook."""
        return {**vars(self), "_again": None, "_ready": None}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "simulated": self.simulated,
            "seconds": self.seconds,
            "sequential_seconds": self.sequential_seconds,
            "sequential_at_most": self.sequential_at_most,
            "speedup": self.speedup,
            "usage": self.usage.to_dict() if self.usage else None,
            "cost": _float(self.cost),
            "cost_complete": self.cost_complete,
            "saved": _float(self.saved),
            "blocked": self.blocked,
            "guards": [guard.to_dict() for guard in self.guards],
            "notes": list(self.notes),
            "results": [record.to_dict() for record in self.results],
        }

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per worker; with `--each`, also its item and key.

        With `--schema`, each field is a column; if a column of that name exists, it is `value.NAME`.
        A model that gives each label a probability adds a column for each label, such as `p_spam`.
        """
        return frame(worker_rows(self.results, self._schema_at))

    def _schema_at(self, place: int) -> Schema | None:
        """The schema of the worker at this place; None where its answer is no object."""
        return None

    def timeline(self) -> Picture:
        """Return the timeline alone: one bar per worker on a common axis."""
        return Picture(display.timeline(self.results, self.auxiliary))

    def _view(self) -> display.View:
        raise NotImplementedError

    def _blocks(self) -> list[display.Block]:
        return display.run_blocks(self._view())


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A DataFrame of these rows; pandas is imported here only.

    Raises:
        ParallmError: there is no pandas.
    """
    if importlib.util.find_spec("pandas") is None:
        raise ParallmError("to_pandas() needs pandas: %pip install pandas; or use to_dict()")
    import pandas as pd

    return pd.DataFrame(rows)
