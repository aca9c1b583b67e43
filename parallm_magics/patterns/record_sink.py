"""Where ended records are kept: recordings, the out-file, and the sum of what was spent."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

from parallm_magics.core.tasks import Fault, Record, Task
from parallm_magics.errors import OptionError
from parallm_magics.patterns.run_context import RunContext

# A pipe that nobody reads is an error, and no wait without an end.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _AT_ONCE

UNPASSED = "withheld: the guardrail had not passed when the run ended"


class RecordSink:
    """Writes each record down once, or holds it back until a guard has passed."""

    def __init__(self, context: RunContext, out_file: str | None = None, further: int = 0) -> None:
        """Open the file.

        Args:
            further: how often the run has been taken up before.

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
        self._out = OutFile(out_file, goes_on=further > 0) if out_file else None

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


class OutFile:
    """A file that results are written to and never read back from.

    A new run keeps the file of the one before beside it, as `PATH.bak`; a retry goes on in the same
    file, where the last line of an index holds.

    Attributes:
        problem: why nothing more can be written; "" while it can.
    """

    def __init__(self, path: str, *, goes_on: bool) -> None:
        """Open the file.

        Raises:
            OptionError: it cannot be written; nothing has been asked by then.
        """
        self.problem = ""
        self._written = 0
        why = ""
        try:
            self._path = Path(path).expanduser()
            if not goes_on and self._path.is_file() and self._path.stat().st_size:
                os.replace(self._path, self._path.with_name(self._path.name + ".bak"))
            torn = goes_on and _torn(self._path)
            self._file = os.open(self._path, _APPEND, 0o666)
            if _AT_ONCE:
                os.set_blocking(self._file, True)
            if torn:
                os.write(self._file, b"\n")
        # A home folder that nobody has is a RuntimeError.
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or str(error)
        if why:
            shown = path if len(path) <= 80 else f"{path[:80]}…"
            raise OptionError(f"--out-file {shown}: cannot be written ({why})")

    def write(self, record: Record) -> None:
        """Append one line; a disk that takes no more costs no answer."""
        if self.problem:
            return
        data = {"index": record.index, **record.to_dict()}
        del data["system"]  # the same on most of many lines, and as long as it is
        line = json.dumps(data, ensure_ascii=False) + "\n"
        rest = line.encode("utf-8", "replace")
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            # Results end in another order than the cell's: their number alone is true.
            self.problem = (
                f"--out-file: writing stopped after {self._written:,} results ({error.strerror}); the run still "
                f"holds all of them"
            )
            return
        self._written += 1

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)


def _torn(path: Path) -> bool:
    """Whether the file ends within a line, as a full disk or a killed kernel leaves it."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
