"""A lock on a file that its holder's death gives back, whatever kills it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**62  # a byte that no file has, so that reading and writing go on beside the lock

    def _take(file: int) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

elif sys.platform == "emscripten":

    def _take(file: int) -> None:
        """Leave it at that: a page's files are its own, and no other process has them."""

else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held by one at a time, in this process or another; others may still read and write the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Take it; False where another one holds it.

        A file system that knows no locks gives it to everybody.

        Raises:
            OSError: the file cannot be opened.
        """
        while (taken := self._take()) is None:
            pass
        return taken

    def _take(self) -> bool | None:
        """As `take`; None where the file was replaced meanwhile, so that others lock another one."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(file)
        except (BlockingIOError, PermissionError):
            os.close(file)
            return False
        except OSError:
            os.close(file)
            return True
        if not is_still(os.fstat(file), self._path):
            os.close(file)
            return None
        self._file = file
        return True

    def give_back(self) -> None:
        """Let others take it."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                os.close(file)


def is_still(file: os.stat_result, path: Path) -> bool:
    """Whether an open file is the one at that path."""
    try:
        return os.path.samestat(file, os.stat(path))
    except FileNotFoundError:
        return False
