"""A folder of Parquet parts that results are written to as they end."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from parallm_magics.core.tasks import Record
from parallm_magics.errors import OptionError, ParallmError
from parallm_magics.patterns.out_file import OutFile
from parallm_magics.patterns.parquet_rows import line_of, load, run_of, write_part

ROWS_A_PART = 5_000
"""Results that are kept in memory before they become a part: some 50 ms of work."""

BYTES_A_PART = 16_000_000
"""Bytes of rows for which a part is written before it has so many of them."""

JOURNAL = "_open.jsonl"
"""What is in no part yet, as JSON lines; readers of Parquet pass over names that begin so."""

_PART = re.compile(r"part-\d{5,}\.parquet")


def is_folder(path: str) -> bool:
    """Whether an out-file is a folder of parts: its name says so, or it is one."""
    if path.endswith(("/", os.sep)):
        return True
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        return Path(path).expanduser().is_dir()
    return False


class PartFolder:
    """Writes results as parts, each whole before it has its name; what is in none yet stays in memory.

    Until its part is there, each result also stands in a journal beside the parts, for the day on
    which the kernel is killed. A new run keeps the parts of the one before in `FOLDER.bak`; a retry
    goes on in the same folder.

    Attributes:
        path: the folder.
        run: the id of the run that its parts belong to.
        parts: the names of the parts, in order.
        waiting: what is in no part yet.
        noted: is told of each result before it is written.
        moved: is told which part has been written, and its records.
        problem: why a part could not be written, or is gone; "" while all is well.
    """

    def __init__(
        self, path: str, *, goes_on: bool, run: str = "", parts: Sequence[str] = ()
    ) -> None:
        """Open the folder.

        Args:
            goes_on: whether a run goes on, rather than begins.
            run: the id of that run, where it is known.
            parts: the parts that it has written, where they are known.

        Raises:
            OptionError: nothing can be written there, or another run is writing; nothing has been
                asked by then.
        """
        load(path)
        self._shown = path if len(path) <= 80 else f"{path[:80]}…"
        self.run, self.parts = run or uuid.uuid4().hex[:16], list(parts)
        self.waiting: list[Record] = []
        self._lines: list[bytes] = []
        self.problem = ""
        self.moved: Callable[[int, Sequence[Record]], None] = lambda part, records: None
        self.noted: Callable[[Record], None] = lambda record: None
        self._bytes, self._due, self._most = 0, ROWS_A_PART, BYTES_A_PART
        self._written = 0
        why = ""
        try:
            self.path = Path(path).expanduser().resolve()
            self.path.mkdir(parents=True, exist_ok=True)
            self._journal = OutFile(str(self.path / JOURNAL), goes_on=True)
            why = self._locked(goes_on=goes_on, known=run)
        except OptionError as error:  # of the journal, which nobody has named
            why = str(error).rpartition("(")[2].rstrip(")")
        except FileExistsError:
            why = "a file of that name is there; leave out the / to write to it, or name a folder"
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or str(error)
        if why:
            raise OptionError(f"--out-file {self._shown}: cannot be written ({why})")

    def _locked(self, *, goes_on: bool, known: str) -> str:
        """Take the folder over, and keep others from it; or say who is writing there.

        Raises:
            OSError: something cannot be moved or read.
            ValueError: something there is not of this run, or of none.
        """
        try:
            if not self._journal.lock():
                self._journal.close()
                return "another run is writing to it"
            self._take_over(goes_on=goes_on, known=known)
        except BaseException:
            if not self._journal.size:
                (self.path / JOURNAL).unlink(missing_ok=True)
            self._journal.close()  # else nobody could write there until the kernel ends
            raise
        return ""

    def _take_over(self, *, goes_on: bool, known: str) -> None:
        found = _parts_of_runs(self.path)
        if not goes_on:
            if found or self._journal.size:
                self._keep_earlier(found)
            return
        there = {run_of(self.path / name) for name in found[:1]}
        if known and there - {known}:
            raise ValueError("it holds the parts of a later run; name another folder")
        self.run = known or next(iter(there), "") or self.run
        self.parts = self.parts or found

    def _keep_earlier(self, found: Sequence[str]) -> None:
        """Move what an earlier run has left to `FOLDER.bak`, in place of what was kept there before."""
        backup = self.path.with_name(f"{self.path.name}.bak")
        backup.mkdir(exist_ok=True)
        for name in [*_parts_of_runs(backup), JOURNAL]:
            (backup / name).unlink(missing_ok=True)
        for name in found:
            (self.path / name).replace(backup / name)
        if self._journal.size:
            (backup / JOURNAL).write_bytes((self.path / JOURNAL).read_bytes())
            self._journal.clear()

    def write(self, record: Record) -> None:
        """Take in a result; a disk that takes no more costs no answer."""
        self.noted(record)
        line = line_of(record)
        self._journal.append(line)
        self.waiting.append(record)
        self._lines.append(line)
        self._bytes += len(line)
        if len(self.waiting) >= self._due or self._bytes >= self._most:
            self._write_parts()

    def _write_parts(self) -> None:
        """Write all that waits; what cannot be written waits on."""
        while self.waiting:
            records, lines = self.waiting[:ROWS_A_PART], self._lines[:ROWS_A_PART]
            name = f"part-{len(self.parts):05}.parquet"
            try:
                self.path.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
                write_part(self.path / name, lines, self.run)
            except Exception as error:  # a disk, or a value that no column takes
                why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
                self.problem = why or type(error).__name__
                break
            self.problem = ""
            self.parts.append(name)
            self._written += len(records)
            del self.waiting[: len(records)], self._lines[: len(records)]
            self.moved(len(self.parts) - 1, records)
        # What could not be written is tried again with as many more.
        self._bytes = sum(map(len, self._lines))
        self._due, self._most = len(self.waiting) + ROWS_A_PART, self._bytes + BYTES_A_PART
        if not self.waiting:
            self._journal.clear()

    def close(self) -> None:
        """Write what waits, and see whether all parts are there."""
        self._write_parts()
        if self.problem:
            self.problem = (
                f"--out-file: writing stopped after {self._written:,} results ({self.problem}); the run holds the "
                f"other {len(self.waiting):,} in memory"
            )
        gone = sum(not (self.path / name).is_file() for name in self.parts)
        if gone:
            parts = f"{gone:,} of {len(self.parts):,} parts"
            lost = f"--out-file: {parts} are gone from {self._shown}, and their results with them"
            self.problem = f"{self.problem}; {lost}" if self.problem else lost
        self._journal.close()
        if not self.waiting:
            with contextlib.suppress(OSError):
                (self.path / JOURNAL).unlink()


def _parts_of_runs(folder: Path) -> list[str]:
    """The names of the parts in a folder, in order.

    Raises:
        ValueError: a file has such a name that no run has written.
    """
    found = sorted(each.name for each in folder.iterdir() if _PART.fullmatch(each.name))
    for name in found:
        if not run_of(folder / name):
            raise ValueError(f"{folder.name}/{name} is no part of a run; name another folder")
    return found


def part_at(folder: Path, name: str, run: str) -> Path:
    """Where a part of a run lies now; a later run may keep it beside.

    Raises:
        ParallmError: it is gone.
    """
    backup = folder.with_name(f"{folder.name}.bak")
    for path in (folder / name, backup / name):
        if path.is_file() and run_of(path) == run:
            return path
    raise ParallmError(
        f"{name} of this run is no longer in {folder}: it was removed, or a later run has taken its place"
    )
