"""A file of JSON lines that results are written to as they end."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from parallm_magics.core.tasks import Record
from parallm_magics.errors import OptionError

# A pipe that nobody reads is an error, and no wait without an end.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _AT_ONCE


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
        data = {"index": record.index, **record.to_dict()}
        del data["system"]  # the same on most of many lines, and as long as it is
        line = json.dumps(data, ensure_ascii=False) + "\n"
        self.append(line.encode("utf-8", "replace"))

    def append(self, line: bytes) -> None:
        """Append what is a whole line."""
        if self.problem:
            return
        rest = line
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

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        return os.fstat(self._file).st_size

    def lock(self) -> bool:
        """Keep others from locking it, as long as it is open; False where somebody has done so."""
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:  # not everywhere
            return True
        try:
            flock(self._file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system that has no locks
            return True
        return True

    def clear(self) -> None:
        """Take out all that was written."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)

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
