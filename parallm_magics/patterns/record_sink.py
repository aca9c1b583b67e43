"""Where ended records are kept: recordings, the out-file, and the sum of what was spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from parallm_magics.core.tasks import Fault, Record, Task
from parallm_magics.patterns.out_file import OutFile
from parallm_magics.recordings.store import Recordings

UNPASSED = "withheld: the guardrail had not passed when the run ended"


class RecordSink:
    """Writes each record down once, or holds it back until a guard has passed."""

    def __init__(
        self,
        recordings: Recordings | None,
        out: OutFile | None,
        spent: Callable[[Record], None] | None,
        further: int = 0,
    ) -> None:
        self._recordings, self._out, self._spent = recordings, out, spent
        self._further = further
        self._tellings = recordings.tellings if recordings else 0
        self._held: list[tuple[Task | None, Record]] | None = None
        self._blocked = ""

    @property
    def holds(self) -> bool:
        """Whether the work is held back, for now or for good."""
        return self._held is not None or bool(self._blocked)

    def keep(self, task: Task | None, record: Record) -> None:
        """Write a record down wherever it is to be kept; the task is None for a replayed one."""
        if task is not None and self._spent is not None:
            self._spent(record)
        if record.role == "worker":
            if self._held is not None:
                self._held.append((task, record))
                return
            if self._blocked:
                record = withheld(record, self._blocked)
        self._write(task, record)

    def withhold(self) -> None:
        """Write nothing of the work down until its guards have passed."""
        self._held = []

    def release(self) -> list[Record]:
        """The guards have passed: what was held back is written down."""
        held, self._held = self._held or [], None
        for task, record in held:
            self._write(task, record)
        return [record for _, record in held]

    def block(self, why: str) -> None:
        """A guard has not passed: only that there was work is written down."""
        held, self._held, self._blocked = self._held or [], None, why
        for task, record in held:
            self._write(task, withheld(record, why))

    def close(self) -> list[str]:
        """Finish the file; what went wrong with what was to be kept, one line each."""
        if self._held is not None:
            self.block(UNPASSED)
        notes = []
        if self._out is not None:
            self._out.close()
            notes += [self._out.problem] if self._out.problem else []
        if self._recordings is not None:
            notes += self._recordings.warnings_since(self._tellings)
        return notes

    def _write(self, task: Task | None, record: Record) -> None:
        if task is not None and self._recordings is not None:
            self._recordings.add(task, record, self._further)
        if self._out is not None:
            self._out.write(record)


def withheld(record: Record, why: str) -> Record:
    """The record without a word of its answer: who, how long, at what cost."""
    return replace(
        record,
        status="blocked",
        text="",
        thinking=None,
        value=None,
        finish=None,
        error=Fault("blocked", why),
    )
