"""What the live board knows about one call, and the row that it may draw of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from parallm_magics.core.tasks import Event, Model, Record, Role
from parallm_magics.display.columns import About, Read, Row, about_of, row_of

TAIL_LENGTH = 120
"""Characters of a streaming answer that are drawn."""

REDACTED = "withheld until the guard has passed"


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
        if self.state == "queued":
            return Row(self.name, str(self.model), self.state, span=span, role=self.role)
        return Row(
            self.name,
            str(self.model),
            self.state,
            span=span,
            role=self.role,
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
        blocked = record.status == "blocked"
        if not (hidden or blocked):
            return row
        # An error may quote the answer that it could not read.
        answer = REDACTED if hidden else ""
        return replace(row, vote="", voted=False, answer=answer, problem="", record=None)
