"""What the live table knows of its calls, and which have a row, so that tens of thousands cost no memory."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from parallm_magics.core.tasks import ROLES, Event, Model, Record, Role
from parallm_magics.display.columns import About, Read, Row, about_of, row_of

MOST_ROWS = 200
"""Most rows drawn while a run goes on: the browser keeps up with these."""

RUNNING_ROWS, TROUBLED_ROWS, SLOWEST_ROWS = 15, 15, 10
"""Rows of a large run: who is under way, who ended last without success, who took longest."""

MOST_AUXILIARY = 30
"""Most rows of auxiliary calls: the guards first, then the last of the others."""

TAIL_LENGTH = 120
"""Characters of a streaming answer that are drawn."""

REDACTED = "withheld until the guard has passed"

_BLOCK = 10


@dataclass(slots=True)
class Worker:
    """A call that is queued or runs, or that has ended and keeps a row.

    Attributes:
        role: what the call is for; a guard's words, which are about what goes in, are not redacted.
        read: what was read from the answer.
        about: what it is about and how it is asked, once it has begun.
    """

    name: str
    model: str | Model
    role: Role = "worker"
    start: float = 0.0
    state: str = "queued"
    attempts: int = 0
    tail: str = ""
    why: str = ""
    record: Record | None = None
    read: Read = ("", False)
    about: About = field(default_factory=About)

    def tell(self, event: Event) -> None:
        """Take in what happened before the end."""
        if event.kind == "started":
            self.state, self.tail, self.why = "running", "", ""
            self.about = About() if event.task is None else about_of(event.task)
            self.attempts += 1
        elif event.kind == "heard":
            if event.text:
                self.state = "answering"
                self.tail = (self.tail + event.text[-TAIL_LENGTH:])[-TAIL_LENGTH:]
        elif event.kind == "waiting":
            self.state, self.why = "waiting", event.text

    def row(self, now: float, span: float, redacted: bool) -> Row:
        """What may be drawn at that time; while redacted, nothing that the answer could be told by."""
        hidden = redacted and self.role != "guard"
        if self.record is not None:
            return self._ended(self.record, span, hidden)
        row = Row(self.name, str(self.model), self.state, span=span, role=self.role)
        if self.state == "queued":
            return row
        return replace(
            row,
            about=self.about,
            start=self.start,
            seconds=max(now - self.start, 0.0),
            attempts=self.attempts,
            answer=self._streaming(hidden),
            problem="" if hidden else self.why,
        )

    def _streaming(self, hidden: bool) -> str:
        """The end of a streaming answer, with a sign that it has a beginning."""
        if hidden:
            return REDACTED if self.tail else ""
        # Half a guard's answer may say the opposite of the whole.
        tail = "" if self.role == "guard" else self.tail
        return f"…{tail}" if len(tail) >= TAIL_LENGTH else tail

    def _ended(self, record: Record, span: float, hidden: bool) -> Row:
        row = row_of(record, span=span, read=self.read)
        if not hidden and record.status != "blocked":
            return row
        # An error may quote the answer that it could not read.
        answer = REDACTED if hidden else ""
        return replace(row, vote="", voted=False, answer=answer, problem="", record=None)


class Notable:
    """The last workers without success, and the slowest.

    Attributes:
        troubled: those without success, the last to end at the end.
        slowest: those that took longest.
    """

    def __init__(self) -> None:
        self.troubled: dict[int, None] = {}
        self.slowest: set[int] = set()
        self._by_seconds: list[tuple[float, int]] = []

    def takes(self, record: Record) -> bool:
        """Whether this end is notable, so far."""
        few = len(self._by_seconds) < SLOWEST_ROWS
        return few or record.status != "ok" or record.seconds > self._by_seconds[0][0]

    def add(self, record: Record, index: int) -> list[int]:
        """Take in a worker that has ended; those that no longer are notable, it may be among them."""
        out = []
        if not record.ok:
            self.troubled[index] = None
            if len(self.troubled) > TROUBLED_ROWS:
                oldest = next(iter(self.troubled))
                del self.troubled[oldest]
                out.append(oldest)
        self.slowest.add(index)
        entry = (record.seconds, -index)
        if len(self._by_seconds) < SLOWEST_ROWS:
            heapq.heappush(self._by_seconds, entry)
        else:
            quickest = -heapq.heappushpop(self._by_seconds, entry)[1]
            self.slowest.discard(quickest)
            out.append(quickest)
        return [each for each in out if each not in self]

    def __contains__(self, index: int) -> bool:
        return index in self.troubled or index in self.slowest


class LiveRows:
    """The calls of a run by their numbers: those under way, and those that have ended and are shown.

    With `known` rows the workers are known before they start. Without, each is learnt from the task
    or the record of its first event, as are all auxiliary calls. Of more than MOST_ROWS workers only
    those keep their state that have a row.

    Attributes:
        live: the calls under way.
        begun: how many workers have begun.
        large: whether there are more workers than rows.
    """

    def __init__(
        self,
        known: Sequence[tuple[str, str]] | None,
        total: int | None,
        extra: Mapping[int, tuple[str, str, Role]],
    ) -> None:
        self._known = known
        self._total = total if known is None else len(known)
        self.live: dict[int, Worker] = {}
        self.begun = 0
        self.large = self._total is not None and self._total > MOST_ROWS
        self._kept: dict[int, Worker] = {}
        self._auxiliary = {at: Worker(*row) for at, row in extra.items()}
        # A bit for each call that has ended, a thousand and some in a number.
        self._over: Counter[int] = Counter()
        self._notable = Notable()

    @property
    def total(self) -> int | None:
        """How many workers there are, never fewer than have begun; None where nobody knows yet."""
        return None if self._total is None else max(self._total, self.begun)

    def expect(self, total: int | None) -> None:
        """Take how many workers there are, where no rows were known."""
        if self._known is None:
            self._total = total
            self._grow()

    def begin(self, event: Event) -> Worker | None:
        """The call that begins; None for one that nobody knows, or that has ended."""
        index = event.index
        if self._over[index >> _BLOCK] >> index % (1 << _BLOCK) & 1:
            return None
        worker = self._auxiliary.get(index) or self._named(event)
        if worker is None:
            return None
        worker.state, worker.start = "running", event.at
        self.live[index] = worker
        if worker.role != "worker":
            self._auxiliary[index] = worker
        else:
            self.begun += 1
            if not self.large:
                self._grow()
        return worker

    def _named(self, event: Event) -> Worker | None:
        """The call by its row, or as the event tells of it: one that begins or was never begun."""
        index, known = event.index, self._known
        if known is not None and index < len(known):
            return Worker(*known[index])
        if event.kind not in ("started", "ended"):
            return None
        source = event.task if event.kind == "started" else event.record
        if source is None or (known is not None and source.role == "worker"):
            return None
        return Worker(source.name, source.model, source.role)

    def _grow(self) -> None:
        """Once the workers are more than can be drawn, forget those without a row."""
        if max(self._total or 0, self.begun) > MOST_ROWS:
            self.large = True
            self._kept = {at: kept for at, kept in self._kept.items() if at in self._notable}

    def end(self, index: int, worker: Worker, record: Record) -> None:
        """Take in that a call has ended."""
        worker.record, worker.tail = record, ""
        del self.live[index]
        self._over[index >> _BLOCK] |= 1 << index % (1 << _BLOCK)
        if worker.role != "worker" or (self.large and not self._notable.takes(record)):
            return
        self._kept[index] = worker
        for each in self._notable.add(record, index):
            if self.large:
                self._kept.pop(each, None)

    @property
    def waiting(self) -> int:
        """How many workers wait for a further try."""
        return sum(w.state == "waiting" for w in self.live.values() if w.role == "worker")

    def workers(self) -> list[Worker]:
        """The workers to draw, in order: all, or trouble, the longest running and the slowest."""
        seen = {at: worker for at, worker in self.live.items() if worker.role == "worker"}
        if self.large:
            running = dict(itertools.islice(seen.items(), RUNNING_ROWS))
            troubled = {at: self._kept[at] for at in reversed(self._notable.troubled)}
            return list((troubled | running | dict(sorted(self._kept.items()))).values())
        seen |= self._kept
        if self._known is None:
            return [worker for _, worker in sorted(seen.items())]
        return [seen.get(at) or Worker(*row) for at, row in enumerate(self._known)]

    def auxiliary(self) -> list[Worker]:
        """The auxiliary calls, in order: all, or of very many the first and the last."""
        roles = {at: ROLES.index(worker.role) for at, worker in self._auxiliary.items()}
        every = sorted(roles, key=lambda at: (roles[at], at))
        if len(every) > MOST_AUXILIARY:
            every = every[: MOST_AUXILIARY // 3] + every[MOST_AUXILIARY // 3 - MOST_AUXILIARY :]
        return [self._auxiliary[at] for at in every]
