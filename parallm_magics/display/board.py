"""The live table's state: events go in, one html page comes out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from parallm_magics.core.tasks import ROLES, Event, Record, Role
from parallm_magics.display import looks, text
from parallm_magics.display.columns import table_html
from parallm_magics.display.live_votes import ReadLabel, Votes, ballot
from parallm_magics.display.live_worker import Worker
from parallm_magics.display.notable import Indices, Notable
from parallm_magics.display.progress import Progress
from parallm_magics.display.rows import Row, ballot_word, label_of, models_line
from parallm_magics.display.to_html import note_html
from parallm_magics.display.totals import called

MOST = 200
RUNNING = 15  # rows of a large run that show who is under way; what matters must be in sight
"""Most rows drawn while a run goes on: the browser keeps up with these."""

BESIDE = 30
"""Most rows of auxiliary calls: the guards first, then the last of the others."""

_RUNS = "The work runs beside its guardrails; what it says is withheld until they have passed."


class Board:
    """Folds events into rows. Nothing that it is told or asked makes it raise.

    With `rows`, the workers are known before they start. Without, each is learnt from the task or
    the record of its first event, as are all auxiliary calls. Of more than MOST workers
    only those keep their state that have a row.

    Attributes:
        withheld: while true, no answer and no vote is drawn: a guard has not passed yet.
        large: whether there are more workers than rows.
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
        withheld: bool = False,
        repeats: bool = False,
        choices: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Take name and model of each worker, or `total` alone, None where nobody knows it yet.

        `extra` are name, model and role by number of the auxiliary calls that are known before.
        `repeats` says that all votes repeat one prompt; `choices` are the labels of a closed set. `notes`
        stand above the table from the first drawing on.
        """
        self._rows = rows
        self._total = total if rows is None else len(rows)
        self._pattern = pattern
        self._read_label = read_label
        self._simulated = simulated
        self._addresses = tuple(addresses)
        self.withheld = withheld
        self._notes = "".join(note_html(note) for note in notes)
        self._line = ""
        self._said: str | None = None
        self._live: dict[int, Worker] = {}
        self._kept: dict[int, Worker] = {}
        self._auxiliary = {at: Worker(*row) for at, row in extra.items()}
        self._over = Indices()
        self._notable = Notable()
        self.large = self._total is not None and self._total > MOST
        self._begun = 0
        self._states: Counter[str] = Counter()
        self._votes = Votes(repeats, choices)
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
        """Show one line under the header, such as what a large run is about to do."""
        self._line, self._said = line, None

    def tell(self, event: Event) -> None:
        """Take in one event; an unknown call or kind is ignored, as is what follows an end."""
        if event.index < 0:
            self._told_of_all(event)
            return
        worker = self._live.get(event.index) or self._begin(event)
        if worker is None:
            return
        if event.kind != "ended":
            worker.tell(event)
        elif event.record is not None:
            self._end(event.index, worker, event.record, event.at)

    def _told_of_all(self, event: Event) -> None:
        if event.kind == "released":
            self.withheld = False
        elif event.kind == "said":
            self._said = event.text

    def _begin(self, event: Event) -> Worker | None:
        index = event.index
        if index in self._over:
            return None
        worker = self._auxiliary.get(index) or self._named(event)
        if worker is None:
            return None
        worker.state, worker.start = "running", event.at
        self._live[index] = worker
        if worker.role != "worker":
            self._auxiliary[index] = worker
        else:
            self._begun += 1
            if not self.large:
                self._grow()
        return worker

    def _named(self, event: Event) -> Worker | None:
        """The call by its row, or as the event tells of it: one that begins or was never begun."""
        index, rows = event.index, self._rows
        if rows is not None and index < len(rows):
            return Worker(*rows[index])
        if event.kind not in ("started", "ended"):
            return None
        source = event.task if event.kind == "started" else event.record
        if source is None or (rows is not None and source.role == "worker"):
            return None
        return Worker(source.name, source.model, source.role)

    def _grow(self) -> None:
        """Once the workers are more than can be drawn, forget those without a row."""
        if max(self._total or 0, self._begun) > MOST:
            self.large = True
            self._kept = {at: kept for at, kept in self._kept.items() if at in self._notable}

    def _end(self, index: int, worker: Worker, record: Record, at: float) -> None:
        worker.record, worker.tail = record, ""
        del self._live[index]
        self._over.add(index)
        # A simulated end may lie beyond the clock that the table sees.
        self._span = max(self._span, record.end)
        if not record.replayed:
            self._spend(record)
        if worker.role != "worker":
            worker.vote = label_of(record.value) if record.ok else ""
            worker.voted = bool(worker.vote)
            return
        self._states[record.status] += 1
        if record.replayed:
            self._replayed += 1
        elif called(record):
            self._progress.ended(worker.start, at)
        self._read(worker, record)
        if self.large and not self._notable.takes(record):
            return
        self._kept[index] = worker
        for each in self._notable.add(record, index):
            if self.large:
                self._kept.pop(each, None)

    def _spend(self, record: Record) -> None:
        if record.usage is not None:
            self._tokens += record.usage.total_tokens
        if record.cost is not None:
            self._cost += record.cost
            self._priced += 1
        elif not record.simulated:
            self._unpriced += 1

    def _read(self, worker: Worker, record: Record) -> None:
        """Take the record in as a ballot; in a fan-out it is one only where a reader says so."""
        state, label = ballot(record, self._read_label)
        if self._pattern == "vote":
            self._votes.add(state, label)
        elif self._read_label is None:
            state = ""
        worker.voted = bool(label)
        worker.vote = label or ("" if state == "valid" else ballot_word(state))

    def live_html(self, now: float) -> str:
        """The whole live view at that many seconds since the run's start."""
        workers = self._chosen()
        span = max(now, self._span)
        rows = [each.row(now, span, self.withheld) for each in (*workers, *self._beside())]
        total = self.total
        left = (self._begun if total is None else total) - len(workers) if self.large else 0
        more = (
            f'<div style="{looks.SMALL};{looks.DIM}">{left:,} more workers not shown; here are '
            "the last without success, those running longest and the slowest</div>"
            if left
            else ""
        )
        return (
            f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}">{self._header(now, rows)}'
            f'{self._notes}{self._result()}<div style="{looks.BLOCK}">{table_html(rows, live=True)}{more}</div>'
            "</div>"
        )

    def _header(self, now: float, rows: Sequence[Row]) -> str:
        badge = f'<span style="{looks.BADGE}">SIMULATED</span>' if self._simulated else ""
        total, done = self.total, self.done
        of = f"{done:,} done" if total is None else f"{done:,} of {total:,} done"
        parts = [models_line(rows)] if rows else []
        parts.append(text.seconds(now))
        counts = self._counts()
        if self.large or total is None:
            counts += self._pace(now)
            below = f'<div style="{looks.SMALL}">{text.escape(" · ".join(counts))}</div>'
        else:
            parts += counts
            below = ""
        parts.append(f"{self._tokens:,} tokens")
        if self._priced:
            parts.append(text.money(self._cost, not self._unpriced))
        parts += [f"asked at {text.one_line(address, 80)}" for address in self._addresses]
        bar = looks.bar(0, 0, done / total if total else 0, looks.BLUE)
        return (
            f'<div style="{looks.TITLE}">{of}{badge}</div>'
            f'<div style="{looks.SMALL};{looks.DIM}">{text.escape(" · ".join(parts))}</div>'
            f'<div style="margin:.4em 0;max-width:24em">{bar if total is not None else ""}</div>'
            f"{below}{self._lines()}"
        )

    def _lines(self) -> str:
        """What is said of the run; while withheld only what was known before it began."""
        held = self.withheld or self._said is None
        lines = [_RUNS if self.withheld else "", self._line if held else self._said]
        return "".join(f"<div>{text.isolated(line, 300)}</div>" for line in lines if line)

    def _counts(self) -> list[str]:
        """How many workers are in which state; success goes without saying."""
        counts = [
            f"{self._states[name]:,} {looks.state(name).word}"
            for name in looks.STATES
            if self._states[name] and name != "ok"
        ]
        waiting = sum(w.state == "waiting" for w in self._live.values() if w.role == "worker")
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

    def _result(self) -> str:
        """The votes so far; nothing of them before the guards have passed."""
        if self._pattern != "vote" or self.withheld:
            return ""
        return self._votes.html(self._begun if self.total is None else self.total)

    def _chosen(self) -> list[Worker]:
        """The workers to draw, in order: all, or trouble, the longest running and the slowest."""
        seen = {at: worker for at, worker in self._live.items() if worker.role == "worker"}
        if self.large:
            running = dict(itertools.islice(seen.items(), RUNNING))
            troubled = {at: self._kept[at] for at in reversed(self._notable.troubled)}
            return list((troubled | running | dict(sorted(self._kept.items()))).values())
        seen |= self._kept
        if self._rows is None:
            return [worker for _, worker in sorted(seen.items())]
        return [seen.get(at) or Worker(*row) for at, row in enumerate(self._rows)]

    def _beside(self) -> list[Worker]:
        """The auxiliary calls, in order: all, or of very many the first and the last."""

        def order(index: int) -> tuple[int, int]:
            return ROLES.index(self._auxiliary[index].role), index

        every = sorted(self._auxiliary, key=order)
        if len(every) > BESIDE:
            every = every[: BESIDE // 3] + every[BESIDE // 3 - BESIDE :]
        return [self._auxiliary[at] for at in every]
