"""Where ended records are kept: recordings, the out-file, and the sum of what was spent."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from parallm_magics.core.tasks import Fault, Record, Task
from parallm_magics.errors import OptionError
from parallm_magics.patterns.out_file import OutFile
from parallm_magics.patterns.part_folder import PartFolder, is_folder
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.stored_records import StoredRecords

UNPASSED = "withheld: the guardrail had not passed when the run ended"


class RecordSink:
    """Writes each record down once, or holds it back until a guard has passed.

    Attributes:
        parts: the folder that the out-file is; None where it is a file, or there is none.
    """

    def __init__(
        self,
        context: RunContext,
        out_file: str | None = None,
        further: int = 0,
        earlier: Sequence[Record] = (),
    ) -> None:
        """Open the file, or the folder.

        Args:
            further: how often the run has been taken up before.
            earlier: the records of the run that goes on.

        Raises:
            OptionError: it cannot be written, or is the one of the recordings.
        """
        self._store, self._spent, self._further = context.recordings, context.spent, further
        self._tellings = self._store.notices.count if self._store else 0
        self._held: list[tuple[Task | None, Record]] | None = None
        self._blocked = ""
        if out_file and self._store is not None and _is_at(out_file, self._store.path):
            raise OptionError(
                f"--out-file {out_file}: this is the recordings file; choose another name"
            )
        self.parts: PartFolder | None = None
        self._out: OutFile | PartFolder | None = None
        if out_file and is_folder(out_file):
            known = earlier if isinstance(earlier, StoredRecords) else None
            run, written = ("", []) if known is None else (known.run, known.parts)
            self.parts = PartFolder(out_file, goes_on=further > 0, run=run, parts=written)
            self._out = self.parts
        elif out_file:
            self._out = OutFile(out_file, goes_on=further > 0)

    def keep(self, task: Task | None, record: Record) -> bool:
        """Write a record down wherever it is to be kept; the task is None for a replayed one.

        Returns:
            whether it is there whole; else it is held back, for now or for good.
        """
        if task is not None and self._spent is not None:
            self._spent(record)
        if record.role == "worker" and self._held is not None:
            self._held.append((task, record))
            return False
        barred = record.role == "worker" and self._blocked != ""
        self._write(task, withheld(record, self._blocked) if barred else record)
        return not barred

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
        if self._store is not None:
            notes += self._store.warnings_since(self._tellings)
        return notes

    def _write(self, task: Task | None, record: Record) -> None:
        if task is not None and self._store is not None:
            self._store.add(task, record, self._further)
        if self._out is not None:
            self._out.write(record)


def _is_at(text: str, path: Path) -> bool:
    with contextlib.suppress(RuntimeError):  # a home folder that nobody has
        return Path(text).expanduser().absolute() == path.absolute()
    return False


def withheld(record: Record, why: str) -> Record:
    """The record without a word of its answer: who, how long, at what cost."""
    return replace(
        record,
        status="blocked",
        text="",
        thinking=None,
        value=None,
        probabilities=None,
        finish=None,
        error=Fault("blocked", why),
    )
