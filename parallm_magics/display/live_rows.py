"""What the live table knows of its calls, and which have a row, so that tens of thousands cost no memory."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from parallm_magics.core.models import Model
from parallm_magics.core.tasks import ROLES, Event, Record, Role, Task
from parallm_magics.display.call_rows import About, Read, Row, about_of, row_of
from parallm_magics.display.kept_rows import kept_row
from parallm_magics.display.streamed_fields import StreamedFields, streamed_fields
from parallm_magics.display.typed_words import summary

MOST_ROWS = 30
"""Most rows drawn while a run goes on, of however many calls."""

TROUBLED_ROWS = 10
"""Rows kept for workers without success where very many run."""

MOST_AUXILIARY = 10
"""Most rows of auxiliary calls: the guards first, then the last of the others."""

TAIL_LENGTH, TAIL_SHOWN = 240, 60
"""Characters of a streaming answer that are kept, and that are drawn."""

REDACTED = "withheld until the guard has passed"

_BLOCK = 10


@dataclass(slots=True)
class Worker:
    """A call that is queued or runs, or that has ended and keeps a row.

    Attributes:
        role: what the call is for; a guard's words, which are about what goes in, are not redacted.
        read: what was read from the answer.
        task: what is asked, while it runs.
        typed: the fields of its answer as they come; None where it is asked for none.
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
    task: Task | None = None
    typed: StreamedFields | None = None

    def tell(self, event: Event) -> None:
        """Take in what happened before the end."""
        if event.kind == "started":
            self.state, self.tail, self.why = "running", "", ""
            self.task = event.task
            self.typed = streamed_fields(event.task)
            self.attempts += 1
        elif event.kind == "heard":
            if event.text:
                self.state = "answering"
                self.tail = (self.tail + event.text[-TAIL_LENGTH:])[-TAIL_LENGTH:]
                if self.typed is not None:
                    self.typed.hear(event.text)
        elif event.kind == "waiting":
            self.state, self.why = "waiting", event.text

    def row(self, now: float, redacted: bool) -> Row:
        """What may be drawn at that time; while redacted, nothing that the answer could be told by."""
        hidden = redacted and self.role != "guard"
        if self.record is not None:
            return self._ended(self.record, hidden)
        row = Row(self.name, str(self.model), self.state, role=self.role)
        if self.state == "queued":
            return row
        fields = None if hidden or self.typed is None else self.typed.fields
        return replace(
            row,
            about=About() if self.task is None else about_of(self.task),
            start=self.start,
            seconds=max(now - self.start, 0.0),
            attempts=self.attempts,
            answer=self._streaming(hidden) if fields is None else summary(fields, TAIL_SHOWN),
            problem="" if hidden else self.why,
            fields=fields,
        )

    def _streaming(self, hidden: bool) -> str:
        """The end of a streaming answer."""
        if hidden:
            return REDACTED if self.tail else ""
        # Half a guard's answer may say the opposite of the whole.
        return "" if self.role == "guard" else last_words(self.tail, TAIL_SHOWN)

    def _ended(self, record: Record, hidden: bool) -> Row:
        if not hidden and record.status != "blocked":
            return kept_row(record, self.read)
        row = row_of(record, self.read)
        # An error may quote the answer that it could not read.
        answer = REDACTED if hidden else ""
        return replace(
            row, vote="", voted=False, answer=answer, problem="", fields=None, record=None
        )


def last_words(text: str, most: int) -> str:
    """The end of a text, from where a word begins; an ellipsis stands for what is before it.

    >>> last_words("The quick brown fox", 12)
    '…brown fox'
    """
    words = " ".join(text.split())
    if len(words) <= most:
        return words
    left, shown = words[:-most], words[-most:]
    # Where no word begins, as in a script without spaces, any letter may come first.
    return f"…{shown if left[-1] == ' ' else shown.partition(' ')[2] or shown}"


class LiveRows:
    """The calls of a run by their numbers: those under way, and those that have ended and may be shown.

    With `known` rows the workers are known before they start. Without, each is learnt from the task
    or the record of its first event, as are all auxiliary calls. Of those that have ended only the
    last keep their state: as many as there are rows, and as many without success.

    Attributes:
        live: the calls under way.
        begun: how many workers have begun.
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
        self._succeeded: dict[int, Worker] = {}
        self._troubled: dict[int, Worker] = {}
        self._auxiliary = {at: Worker(*row) for at, row in extra.items()}
        # A bit for each call that has ended, a thousand and some in a number.
        self._over: Counter[int] = Counter()
        self._next = 0
        self._places: list[int] = []

    @property
    def total(self) -> int | None:
        """How many workers there are, never fewer than have begun; None where nobody knows yet."""
        return None if self._total is None else max(self._total, self.begun)

    def expect(self, total: int | None) -> None:
        """Take how many workers there are, where no rows were known."""
        if self._known is None:
            self._total = total

    def begin(self, event: Event) -> Worker | None:
        """The call that begins; None for one that nobody knows, or that has ended."""
        index = event.index
        if self._ended(index):
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
        return worker

    def _ended(self, index: int) -> int:
        return self._over[index >> _BLOCK] >> index % (1 << _BLOCK) & 1

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

    def end(self, index: int, worker: Worker, record: Record) -> None:
        """Take in that a call has ended."""
        worker.record, worker.task, worker.tail, worker.typed = record, None, "", None
        del self.live[index]
        self._over[index >> _BLOCK] |= 1 << index % (1 << _BLOCK)
        if worker.role != "worker":
            return
        kept = self._succeeded if record.ok else self._troubled
        kept[index] = worker
        if len(kept) > MOST_ROWS:
            del kept[next(iter(kept))]

    def under_way(self, done: int, *, loading: bool) -> dict[str, int]:
        """How many workers have not ended, by what they do.

        Args:
            done: workers that have ended.
            loading: whether those that have not begun wait for an import.
        """
        waiting = self.waiting
        to_come = max((self.total or 0) - self.begun, 0) if loading else 0
        return {"running": self.begun - done - waiting, "waiting": waiting, "loading": to_come}

    @property
    def waiting(self) -> int:
        """How many workers wait for a further try."""
        return sum(w.state == "waiting" for w in self.live.values() if w.role == "worker")

    def workers(self, room: int, *, ended: bool = False) -> list[Worker]:
        """The workers to draw, at most that many: all of them in order, or those that matter most.

        Args:
            ended: whether only those that have ended are drawn.
        """
        ranked = self._over_by_rank() if ended else self._by_rank(room)
        chosen = dict(itertools.islice(ranked, room))
        if max(self.total or 0, self.begun) <= room:
            self._places = sorted(chosen)
        else:
            # A row stays where it is as long as it is drawn; a new one takes the place of one that goes.
            new = iter(sorted(chosen.keys() - set(self._places)))
            old = [at if at in chosen else next(new, None) for at in self._places]
            self._places = [*(at for at in old if at is not None), *new]
        return [chosen[at] for at in self._places]

    def _by_rank(self, room: int) -> Iterator[tuple[int, Worker]]:
        """Those under way, those without success, the last that ended, then those to come."""
        live = [each for each in self.live.items() if each[1].role == "worker"]
        most = max(room - TROUBLED_ROWS, room - len(self._troubled))
        yield from live[:most]
        yield from self._over_by_rank()
        for at in self._to_come():
            yield at, Worker(*(self._known or ())[at])
        yield from live[most:]

    def _over_by_rank(self) -> Iterator[tuple[int, Worker]]:
        """Those without success, then the last that ended."""
        yield from reversed(self._troubled.items())
        yield from reversed(self._succeeded.items())

    def _to_come(self) -> Iterator[int]:
        """The numbers of known workers that have not begun."""
        known = self._known or ()
        while self._next < len(known) and (self._next in self.live or self._ended(self._next)):
            self._next += 1
        places = range(self._next, len(known))
        return (at for at in places if at not in self.live and not self._ended(at))

    def auxiliary(self) -> list[Worker]:
        """The auxiliary calls, in order: all, or of very many the first and the last."""
        roles = {at: ROLES.index(worker.role) for at, worker in self._auxiliary.items()}
        every = sorted(roles, key=lambda at: (roles[at], at))
        if len(every) > MOST_AUXILIARY:
            every = every[: MOST_AUXILIARY // 3] + every[MOST_AUXILIARY // 3 - MOST_AUXILIARY :]
        return [self._auxiliary[at] for at in every]

    @property
    def beside(self) -> tuple[int, int]:
        """How many of the auxiliary calls have ended, and how many are known."""
        ended = sum(each.record is not None for each in self._auxiliary.values())
        return ended, len(self._auxiliary)
