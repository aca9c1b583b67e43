"""The live table's state: events go in, one html page comes out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from parallm_magics.display import looks, text
from parallm_magics.display.columns import table_html
from parallm_magics.display.notable import Indices, Notable
from parallm_magics.display.progress import Progress
from parallm_magics.display.rows import Row, label_of, models_line, problem, text_of
from parallm_magics.display.tally import bars_html
from parallm_magics.display.totals import called
from parallm_magics.types import Event, Model, Record

MOST = 200
RUNNING = 15  # rows of a large run that show who is under way; what matters must be in sight
"""Most rows drawn while a run goes on: the browser keeps up with these."""

_TAIL = 120
"""Characters of a streaming answer that are drawn."""

WITHHELD = "withheld until the guard has passed"


@dataclass(slots=True)
class _Worker:
    """What the board knows about a worker that runs, or that has ended and keeps a row."""

    name: str
    model: str | Model
    start: float
    aside: bool
    state: str = "running"
    attempts: int = 0
    tail: str = ""
    why: str = ""
    record: Record | None = None
    label: str = ""


class Board:
    """Folds events into rows. Nothing that it is told or asked makes it raise.

    With `rows`, the workers are known before they start. Without, each is learnt from the task or
    the record of its first event, and whatever bears the name of an extra row is that row. Of more
    than MOST workers only those keep their state that have a row.

    Attributes:
        withheld: while true, no answer and no vote is drawn: a guard has not passed yet.
    """

    def __init__(
        self,
        rows: Sequence[tuple[str, str]] | None = None,
        pattern: Literal["fanout", "vote"] = "fanout",
        read_label: Callable[[Record], str | None] | None = None,
        *,
        total: int | None = None,
        extra: Sequence[tuple[str, str]] = (),
        simulated: bool = False,
        addresses: Sequence[str] = (),
        withheld: bool = False,
    ) -> None:
        """Take name and model of each worker, or `total` alone, None where nobody knows it yet.

        `extra` rows stand below the workers and count for nothing.
        """
        self._rows = rows
        self._total = total if rows is None else len(rows)
        self._extra = extra
        self._pattern = pattern
        self._read_label = read_label
        self._simulated = simulated
        self._addresses = tuple(addresses)
        self.withheld = withheld
        self._line = ""
        self._live: dict[int, _Worker] = {}
        self._kept: dict[int, _Worker] = {}
        self._over = Indices()
        self._notable = Notable()
        self._large = self._total is not None and self._total > MOST
        self._begun = 0
        self._places = {name: at for at, (name, _) in enumerate(extra)}
        self._asides: dict[int, _Worker] = {}
        self._states: Counter[str] = Counter()
        self._votes: Counter[str] = Counter()
        self._progress = Progress()
        self._span = 0.0
        self._tokens = 0
        self._cost = Decimal()
        self._priced = 0
        self._unpriced = 0
        self._replayed = 0

    @property
    def done(self) -> int:
        """How many workers have ended."""
        return sum(self._states.values())

    @property
    def total(self) -> int | None:
        """How many workers there are, never fewer than have begun; None where nobody knows yet.

        May be set where no rows were given.
        """
        return None if self._total is None else max(self._total, self._begun)

    @total.setter
    def total(self, total: int | None) -> None:
        if self._rows is None:
            self._total = total
            self._grow()

    def say(self, line: str) -> None:
        """Show one line under the header, such as "decided after 3 of 5"."""
        self._line = line

    def tell(self, event: Event) -> None:
        """Take in one event; an unknown worker or kind is ignored, as is what follows an end."""
        index = event.index
        worker = self._live.get(index) or self._begin(event)
        if worker is None:
            return
        if event.kind == "started":
            worker.state, worker.tail, worker.why = "running", "", ""
            worker.attempts += 1
        elif event.kind == "heard":
            if event.text:
                worker.state = "answering"
                worker.tail = (worker.tail + event.text[-_TAIL:])[-_TAIL:]
        elif event.kind == "waiting":
            worker.state, worker.why = "waiting", event.text
        elif event.kind == "ended" and event.record is not None:
            self._end(index, worker, event.record, event.at)

    def _begin(self, event: Event) -> _Worker | None:
        index = event.index
        if index in self._over:
            return None
        found = self._learnt(event) if self._rows is None else self._known(index)
        if found is None:
            return None
        name, model, place = found
        worker = _Worker(name, model, event.at, place is not None)
        self._live[index] = worker
        if place is not None:
            self._asides[place] = worker
        else:
            self._begun += 1
            if not self._large:
                self._grow()
        return worker

    def _known(self, index: int) -> tuple[str, str, int | None] | None:
        """Name, model and place beside the workers of a row that was given."""
        rows = self._rows or ()
        if 0 <= index < len(rows):
            return (*rows[index], None)
        place = index - len(rows)
        return (*self._extra[place], place) if 0 <= place < len(self._extra) else None

    def _learnt(self, event: Event) -> tuple[str, str | Model, int | None] | None:
        """The same as the event tells it: a call that begins, or ends without having begun."""
        source = event.task if event.kind == "started" else event.record
        if source is None or event.kind not in ("started", "ended"):
            return None
        place = self._places.get(source.name)
        return (source.name, source.model, place) if place is not None or event.index >= 0 else None

    def _grow(self) -> None:
        """Once the workers are more than can be drawn, forget those without a row."""
        if max(self._total or 0, self._begun) > MOST:
            self._large = True
            self._kept = {at: kept for at, kept in self._kept.items() if at in self._notable}

    def _end(self, index: int, worker: _Worker, record: Record, at: float) -> None:
        worker.record, worker.tail = record, ""
        del self._live[index]
        self._over.add(index)
        # A simulated end may lie beyond the clock that the table sees.
        self._span = max(self._span, record.end)
        if not record.replayed:
            self._spend(record)
        if worker.aside:
            return
        self._states[record.status] += 1
        if record.replayed:
            self._replayed += 1
        elif called(record):
            self._progress.ended(worker.start, at)
        worker.label = self._label(record)
        if worker.label and self._pattern == "vote":
            self._votes[worker.label] += 1
        if self._large and not self._notable.takes(record):
            return
        self._kept[index] = worker
        for each in self._notable.add(record, index):
            if self._large:
                self._kept.pop(each, None)

    def _spend(self, record: Record) -> None:
        if record.usage is not None:
            self._tokens += record.usage.total_tokens
        if record.cost is not None:
            self._cost += record.cost
            self._priced += 1
        elif not record.simulated:
            self._unpriced += 1

    def _label(self, record: Record) -> str:
        if self._read_label is None:
            return label_of(record.value) if record.ok and record.value is not None else ""
        try:
            return label_of(self._read_label(record))
        except Exception:  # a reader that fails must cost no answer; the final tally reports it
            return ""

    def live_html(self, now: float) -> str:
        """The whole live view at that many seconds since the run's start."""
        workers = self._chosen()
        beside = [
            self._asides.get(at) or _queued(*row, aside=True) for at, row in enumerate(self._extra)
        ]
        rows = [self._drawn(worker, now) for worker in (*workers, *beside)]
        total = self.total
        left = (self._begun if total is None else total) - len(workers) if self._large else 0
        more = (
            f'<div style="{looks.SMALL};{looks.DIM}">{left:,} more workers not shown; here are '
            "the last without success, those running longest and the slowest</div>"
            if left
            else ""
        )
        return (
            f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}">{self._header(now, rows)}'
            f'{self._tally()}<div style="{looks.BLOCK}">{table_html(rows, live=True)}{more}</div>'
            "</div>"
        )

    def _header(self, now: float, rows: Sequence[Row]) -> str:
        badge = f'<span style="{looks.BADGE}">SIMULATED</span>' if self._simulated else ""
        total, done = self.total, self.done
        of = f"{done:,} done" if total is None else f"{done:,} of {total:,} done"
        parts = [models_line(rows)] if rows else []
        parts.append(text.seconds(now))
        counts = self._counts()
        if self._large or total is None:
            counts += self._pace(now)
            below = f'<div style="{looks.SMALL}">{text.escape(" · ".join(counts))}</div>'
        else:
            parts += counts
            below = ""
        parts.append(f"{self._tokens:,} tokens")
        if self._priced:
            parts.append(text.money(self._cost, not self._unpriced))
        parts += [f"asked at {text.one_line(address, 80)}" for address in self._addresses]
        line = f'<div dir="auto">{text.escape(text.one_line(self._line, 300))}</div>'
        bar = looks.bar(0, 0, done / total if total else 0, looks.BLUE)
        return (
            f'<div style="{looks.TITLE}">{of}{badge}</div>'
            f'<div style="{looks.SMALL};{looks.DIM}">{text.escape(" · ".join(parts))}</div>'
            f'<div style="margin:.4em 0;max-width:24em">{bar if total is not None else ""}</div>'
            f"{below}{line if self._line else ''}"
        )

    def _counts(self) -> list[str]:
        """How many workers are in which state; success goes without saying."""
        counts = [
            f"{self._states[name]:,} {looks.state(name).word}"
            for name in looks.STATES
            if self._states[name] and name != "ok"
        ]
        waiting = sum(w.state == "waiting" for w in self._live.values() if not w.aside)
        running = self._begun - self.done - waiting
        counts += [f"{running:,} running"] if running else []
        counts += [f"{waiting:,} waiting"] if waiting else []
        if self._replayed:
            counts.append(f"{self._replayed:,} kept from before")
        return counts

    def _pace(self, now: float) -> list[str]:
        """How fast calls end, and when the last one may."""
        rate, total = self._progress.rate(now), self.total
        if not rate or total == self.done:
            return []
        left = None if total is None else self._progress.left(now, total - self.done)
        pace = [text.rate(rate)]
        return pace if left is None else [*pace, f"about {text.about(left)} left"]

    def _tally(self) -> str:
        if self._pattern != "vote" or self.withheld:
            return ""
        requested = self._begun if self.total is None else self.total
        pending = requested - self.done
        top = self._votes.most_common(2)
        leader = top[0][0] if top and (len(top) == 1 or top[0][1] > top[1][1]) else None
        counts = list(self._votes.items())
        if leader is not None:
            said = f"'{text.one_line(leader, 60)}' leads with {top[0][1]:,} of {requested:,}"
        elif top:
            said = f"level at {top[0][1]:,} of {requested:,}"
        else:
            said = "no votes yet"
        without = self.done - sum(self._votes.values())
        said += f"; {pending:,} still open" if pending else "; all in"
        said += f"; {without:,} without a vote" if without else ""
        return (
            f'<div style="{looks.BLOCK}">{bars_html(counts, requested, leader, pending)}'
            f'<div style="{looks.SMALL}" dir="auto">{text.escape(said)}</div></div>'
        )

    def _chosen(self) -> list[_Worker]:
        """The workers to draw, in order: all, or trouble, the longest running and the slowest."""
        seen = {at: worker for at, worker in self._live.items() if not worker.aside}
        if self._large:
            running = dict(itertools.islice(seen.items(), RUNNING))
            troubled = {at: self._kept[at] for at in reversed(self._notable.troubled)}
            return list((troubled | running | dict(sorted(self._kept.items()))).values())
        seen |= self._kept
        if self._rows is None:
            return [worker for _, worker in sorted(seen.items())]
        return [seen.get(at) or _queued(*row) for at, row in enumerate(self._rows)]

    def _drawn(self, worker: _Worker, now: float) -> Row:
        record = worker.record
        span = max(now, self._span)
        base = Row(worker.name, str(worker.model), worker.state, span=span, aside=worker.aside)
        if worker.state == "queued":
            return base
        if record is None:
            return replace(
                base,
                start=worker.start,
                seconds=max(now - worker.start, 0.0),
                attempts=worker.attempts,
                answer=WITHHELD if self.withheld and worker.tail else _clipped(worker.tail),
                problem=worker.why,
            )
        return replace(
            base,
            state=record.status,
            answered=record.model_answered,
            vote="" if self.withheld else worker.label,
            voted=bool(worker.label),
            start=record.start,
            queued=record.queued,
            seconds=record.seconds,
            tokens=record.usage.total_tokens if record.usage else None,
            cost=record.cost,
            attempts=len(record.attempts),
            answer=WITHHELD if self.withheld and record.text else text_of(record),
            # An error may quote the answer that it could not read.
            problem="" if record.ok or self.withheld else problem(record),
        )


def _queued(name: str, model: str, *, aside: bool = False) -> _Worker:
    return _Worker(name, model, 0.0, aside, "queued")


def _clipped(tail: str) -> str:
    """The end of a streaming answer, with a sign that it has a beginning."""
    return f"…{tail}" if len(tail) >= _TAIL else tail
