"""The live table's state: events go in, blocks come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from parallm_magics.core.tasks import Event, Record, Role
from parallm_magics.display import text
from parallm_magics.display.call_rows import Row, models_line, read_as
from parallm_magics.display.field_columns import without_columns
from parallm_magics.display.field_standings import FieldStandings
from parallm_magics.display.kinds import Block, Disclosure, Heading, Notes, Progress, Says, Workers
from parallm_magics.display.live_batches import LiveBatches
from parallm_magics.display.live_cluster import LiveCluster
from parallm_magics.display.live_rows import MOST_ROWS, LiveRows, Worker
from parallm_magics.display.live_sums import LiveSums
from parallm_magics.display.pace import axis
from parallm_magics.display.run_rows import limit_of, opened_row, rows_of
from parallm_magics.display.to_html import draw_ahead, html
from parallm_magics.display.typed_words import object_fields
from parallm_magics.display.votes import ReadLabel, Votes, ballot

_RUNS = "The work runs beside its guardrails; what it says is withheld until they have passed."
_LEFT = "more workers not shown; here are those that run, the last without success and the last that ended"

_UNDER_WAY = ("running", "answering", "waiting")

MANY = 100
"""From so many workers on the table is drawn less often."""


class Board:
    """Folds events into rows and sums. Nothing that it is told or asked makes it raise.

    Attributes:
        redacted: while true, no answer and no vote is drawn: a guard has not passed yet.
        batched: whether the workers are asked in batches, which go on where the run is stopped.
    """

    def __init__(
        self,
        rows: Sequence[tuple[str, str]] | None = None,
        pattern: Literal["fanout", "vote"] = "fanout",
        read_label: ReadLabel | None = None,
        *,
        total: int | None = None,
        extra: Mapping[int, tuple[str, str, Role]] = MappingProxyType({}),
        simulated: bool = False,
        addresses: Sequence[str] = (),
        redacted: bool = False,
        repeats: bool = False,
        choices: Sequence[str] = (),
        fields: FieldStandings | None = None,
        notes: Sequence[str] = (),
        columns: Sequence[str] = (),
        batched: bool = False,
    ) -> None:
        """Take name and model of each worker, or `total` alone, None where nobody knows it yet.

        `extra` are name, model and role by number of the auxiliary calls that are known before.
        `repeats` says that all votes repeat one prompt; `choices` are the labels of a closed set;
        `fields` counts the votes on the fields of objects. `notes` stand above the table from the
        first drawing on; `columns` are those that are asked for; `batched` says that the workers are
        asked in batches.
        """
        self._calls = LiveRows(rows, total, extra)
        self._pattern = pattern
        self._read_label = read_label
        self._simulated = simulated
        self._addresses = tuple(addresses)
        self.redacted = redacted
        self._notes = tuple(notes)
        self._columns = tuple(columns)
        self._line = ""
        self._said: str | None = None
        self._loading = False
        self._sums = LiveSums()
        self._to_draw: deque[tuple[Record, str]] = deque()
        self._votes = Votes(repeats, choices)
        self._fields = fields
        self.batched, self._batches = batched, LiveBatches()
        self._cluster = LiveCluster()

    @property
    def done(self) -> int:
        """How many workers have ended."""
        return self._sums.done

    @property
    def many(self) -> bool:
        """Whether there are so many workers that events come thick and fast."""
        return (self.total or self._calls.begun) >= MANY

    @property
    def total(self) -> int | None:
        """How many workers there are, never fewer than have begun; None where nobody knows yet.

        May be set where no rows were given.
        """
        return self._calls.total

    @total.setter
    def total(self, total: int | None) -> None:
        self._calls.expect(total)

    def say(self, line: str) -> None:
        """Show one line under the header, such as what a large run is about to do."""
        self._line, self._said = line, None

    def tell(self, event: Event) -> None:
        """Take in one event; an unknown call or kind is ignored, as is what follows an end."""
        if event.index < 0:
            self.redacted = self.redacted and event.kind != "released"
            self._said = event.text if event.kind == "said" else self._said
            if event.kind in ("loading", "loaded"):
                self._loading = event.kind == "loading"
            self._batches.tell(event)
            self._cluster.tell(event)
            return
        worker = self._calls.live.get(event.index) or self._calls.begin(event)
        if worker is None:
            return
        if event.kind != "ended":
            worker.tell(event)
        elif event.record is not None:
            self._end(event.index, worker, event.record, event.at)

    def _end(self, index: int, worker: Worker, record: Record, at: float) -> None:
        self._calls.end(index, worker, record)
        self._sums.spend(record)
        if worker.role != "worker":
            worker.read = read_as("", record.value if record.ok else None)
            return
        self._sums.end(record, worker.start, at)
        # In a fan-out a record is a ballot only where a reader says so.
        state, label = ballot(record, self._read_label)
        if index < rows_of(self.total or self._calls.begun) and record.status != "blocked":
            self._to_draw.append((record, state if self._pattern == "vote" else ""))
        if self._pattern == "vote":
            self._votes.add(state, label)
            if self._fields is not None:
                self._fields.add(record)
        elif self._read_label is None:
            state = ""
        if record.value is not None and object_fields(record.value) is not None:
            label = ""  # its fields have columns of their own
        worker.read = read_as("" if state == "valid" else state, label or None)

    def draw_ahead(self) -> bool:
        """Draw one row for the result to come, which is there sooner then; False where none is left.

        What is drawn is kept, and so may not be what a guard withholds.
        """
        if self._to_draw and not self.redacted:
            rows = rows_of(self.total or self._calls.begun) + self._calls.beside[1]
            draw_ahead(*opened_row(*self._to_draw.popleft(), limit_of(rows)))
        return bool(self._to_draw) and not self.redacted

    def line(self, now: float) -> str:
        """How far the run is, in one line for a terminal."""
        title = self._sums.title(self.total, self._batches.ended)
        parts = [title, *self._sums.counts({}), text.seconds(now)]
        return " · ".join([*parts, *self._sums.rate(now, self.total)] if self.many else parts)

    def announcement(self) -> str:
        """A sentence for who cannot see the table; another one at half, a first failure and the end."""
        return self._sums.announcement(self.total, "vote" if self._pattern == "vote" else "worker")

    def live_parts(self, now: float) -> tuple[str, str, str]:
        """The live view at that many seconds since the run's start, in parts.

        What is above, the fold that never changes, as it would close under the reader's hands if it
        were drawn anew, and what that hides; "" for none.
        """
        *above, last = self.blocks(now)
        if not isinstance(last, Disclosure):
            return html([*above, last]), "", ""
        return html(above), html([replace(last, blocks=())]), html(last.blocks)

    def blocks(self, now: float) -> list[Block]:
        """The whole live view at that many seconds since the run's start."""
        beside = self._calls.auxiliary()
        counted = self.batched and (self.total is None or self.total > MOST_ROWS)
        workers = self._calls.workers(MOST_ROWS - len(beside), ended=counted)
        rows = [each.row(now, self.redacted) for each in (*workers, *beside)]
        rows = _waiting(rows, "in a batch" if self._batches else "", loading=self._loading)
        left = (self.total or self._calls.begun) - len(workers)
        blocks = self._header(now, rows, left > 0)
        if self._notes:
            blocks.append(Notes(self._notes))
        blocks += [*self._batches.blocks(now), *self._cluster.blocks()]
        if self._pattern == "vote" and not self.redacted:
            requested = self._calls.begun if self.total is None else self.total
            blocks += _standings(self._votes, self._fields, requested)
        if self._batches and not rows and self._pattern == "fanout":
            return blocks
        more = f"{left:,} {_LEFT}" if left > 0 else ""
        table = Workers(
            tuple(without_columns(rows)),
            more,
            live=True,
            asked=self._columns,
            span=axis(max(now, self._sums.span)),
        )
        if self._pattern == "fanout":
            return [*blocks, table]
        return [*blocks, _folded(table, self.total)]

    def _header(self, now: float, rows: Sequence[Row], some_left: bool) -> list[Block]:
        models = models_line(rows) if rows else self._batches.models
        parts = [*filter(None, [models]), text.seconds(now)]
        under_way = self._calls.under_way(self.done, loading=self._loading)
        if self.batched:
            under_way = {"in batches": under_way.pop("running"), **under_way}
        counts = self._sums.counts(under_way)
        apart = some_left or self.total is None
        if not apart:
            parts += counts
        parts += self._sums.spent()
        parts += [f"asked at {text.one_line(address, 80)}" for address in self._addresses]
        told = self._batches.ended
        title = f"{self._sums.title(self.total, told)}{_beside(rows, self.done == self.total)}"
        share = self._sums.share(self.total, *self._calls.beside, told)
        blocks: list[Block] = [Heading(title, " · ".join(parts), self._simulated), Progress(share)]
        if apart:
            line = " · ".join([*counts, *self._sums.rate(now, self.total)])
            blocks.append(Says((line,), "small"))
        # While redacted only what was known before the run began is said.
        said = self._line if self.redacted or self._said is None else self._said
        lines = [_RUNS if self.redacted else "", text.isolated(said, 300) if said else ""]
        return [*blocks, Says(tuple(filter(None, lines)))]


def _standings(votes: Votes, fields: FieldStandings | None, requested: int) -> list[Block]:
    """How the votes stand."""
    if fields is None:
        return [votes.bars(requested)]
    return [fields.block(requested), Says((votes.states(requested),), "small")]


def _folded(table: Workers, total: int | None) -> Disclosure:
    """The voters' rows, folded as in the result, which would else be a jump."""
    return Disclosure("Votes" if total is None else text.count(total, "vote"), (table,))


def _beside(rows: Sequence[Row], all_done: bool) -> str:
    """Which calls that are no worker's run, in words to add; "" for none.

    That all workers are done is not the end where their answers are still merged or judged.
    """
    if not all_done:
        return ""
    running = [row for row in rows if row.role != "worker" and row.state in _UNDER_WAY]
    names = [text.one_line(row.name, 40) for row in running]
    return f", {text.listed(names)} running" if names else ""


def _waiting(rows: list[Row], state: str, *, loading: bool) -> list[Row]:
    """The rows; those of workers that have not begun say what is waited for, where that is known."""
    state = "loading" if loading else state
    if not state:
        return rows
    # In a batch a worker runs at nobody knows which moment.
    names = ("queued",) if loading else ("queued", "running")
    waits = {id(row) for row in rows if row.role == "worker" and row.state in names}
    return [replace(row, state=state) if id(row) in waits else row for row in rows]
