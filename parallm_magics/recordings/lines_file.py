"""The lines of one file of recordings: which there are, where they stand, and how they are written."""

from __future__ import annotations

import io
import itertools
import math
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from parallm_magics.core.browser import IN_BROWSER
from parallm_magics.errors import OptionError
from parallm_magics.recordings.codec import BATCH, OPENING, Front, NewerSchemaError, front_of
from parallm_magics.recordings.file_lock import is_still

HOLDS = 1.0
"""Seconds for which a look at a file holds that is far."""
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Place(NamedTuple):
    """Where an entry's line is in the file, and what it says at its front."""

    offset: int
    length: int
    number: int
    front: Front


class Index:
    """Which entries a file holds, found by request and sample.

    Attributes:
        entries: how many there are, those that are served no more included.
        damaged: the numbers of lines that are no entries.
        batches: the places of lines that tell of batches, in the file's order.
    """

    def __init__(self) -> None:
        self.entries = 0
        self.damaged: list[int] = []
        self.batches: list[Place] = []
        # By request and sample: the last success under None, the last outcome of each try by its number.
        self._places: dict[tuple[str, int], dict[int | None, Place]] = {}

    @property
    def places(self) -> list[Place]:
        """The places of everything that may be served, in the file's order."""
        return sorted({place for known in self._places.values() for place in known.values()})

    def success(self, key: str, sample: int) -> Place | None:
        """Where the last success stands."""
        return self._places.get((key, sample), {}).get(None)

    def outcome(self, key: str, sample: int, further: int) -> Place | None:
        """Where the last outcome of that try stands.

        A try that was not needed when the file was written has the outcome of the one before.
        """
        known = self._places.get((key, sample), {})
        return next((known[each] for each in range(further, -1, -1) if each in known), None)

    def add(self, place: Place) -> None:
        """Take in an entry."""
        self.entries += 1
        front = place.front
        if front.status.startswith(BATCH):
            self.batches.append(place)
            return
        known = self._places.setdefault((front.key, front.sample), {})
        known[front.further] = place
        if front.status == "ok":  # a failure hides no answer that was given before
            known[None] = place

    def discard(self, place: Place) -> None:
        """Count a line that is whole, yet not what this version writes, among the damaged ones."""
        known = self._places[place.front.key, place.front.sample]
        for each in [each for each, at in known.items() if at == place]:
            del known[each]
        self.damaged.append(place.number)


class RecordingFile:
    """The file, followed as others may write to it too.

    Attributes:
        path: where it is.
        index: what stands in it, as far as it was looked at.
        readings: how often it was read from its beginning.
        far: whether each look at it, and each line of it, is asked for elsewhere and takes a moment; so a look
            holds for a second, and all lines are kept in memory.
    """

    readings = 0
    far = IN_BROWSER

    def __init__(self, path: Path, keep_away: Callable[[str], None]) -> None:
        """Nothing is opened yet.

        Args:
            keep_away: hears why nothing may be written to the file any more.
        """
        self.path = path.absolute()  # a later change of folder must not change the file
        self._keep_away = keep_away
        self._was_read = False
        self.forget()

    def forget(self) -> None:
        """Give back the memory; the next look reads anew."""
        self.index = Index()
        self.readings += 1
        self._looked, self._bytes = -math.inf, b""
        self._identity: tuple[int, int] | None = None
        self._size = 0  # of the file, when it was last looked at
        self._known = 0  # bytes of it that need no second look
        self._lines = 0

    def is_at(self, path: Path) -> bool:
        """Whether that path names this file."""
        return path.absolute() == self.path

    @property
    def exists(self) -> bool:
        """Whether there was a file when it was last looked at."""
        return self._identity is not None

    def read(self, places: Iterable[Place]) -> Iterator[bytes]:
        """The lines at these places, one after another.

        Raises:
            OSError: the file cannot be read.
        """
        if self.far and len(self._bytes) < self._known:
            self._bytes = self.path.read_bytes()
        with io.BytesIO(self._bytes) if self.far else open(self.path, "rb") as file:
            for place in places:
                file.seek(place.offset)
                yield file.read(place.length)

    def look(self, most: float = math.inf) -> bool:
        """Take in what has come to the file since the last look; whether so many bytes left a rest.

        Raises:
            OSError: the file is there and cannot be read.
            OptionError: it is of a newer version, and this is the first look.
        """
        if self.far and time.monotonic() - self._looked < HOLDS:
            return False
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            self.forget()
            self._was_read = True
            return False
        if not stat.S_ISREG(now.st_mode):
            raise OSError(0, "it is not a file")
        identity = (now.st_dev, now.st_ino)
        if self._identity != identity or now.st_size < self._known:
            self.forget()
            self._identity = identity
        if now.st_size != self._size:
            if self._take_in(most):
                self._size = self._known
                return True
            self._size = now.st_size
        self._was_read = True
        self._looked = time.monotonic()
        return False

    def _take_in(self, most: float) -> bool:
        """Note the places of new lines, the last one only once it has its newline; as `look`."""
        tail, end = b"", self._known + most
        with open(self.path, "rb") as file:
            file.seek(self._known)
            for line in file:
                if self._known >= end:
                    return True
                self._take(line)
                if not line.endswith(b"\n"):
                    tail = line
                    break
                self._advance(len(line))
        may_be_begun = tail[: len(OPENING)] == OPENING[: len(tail)]
        if not self.index.entries and (self.index.damaged or not may_be_begun):
            self._keep_away("the file contains no recordings, so nothing is written to it")
        return False

    def _take(self, line: bytes) -> None:
        """Note the place of a line that begins where the known part of the file ends."""
        if not line.strip():
            return
        try:
            front = front_of(line)
        except NewerSchemaError:
            self._refuse()
            return
        if front:
            self._add(front, len(line))
        elif line.endswith(b"\n"):
            self.index.damaged.append(self._lines + 1)

    def _add(self, front: Front, length: int) -> None:
        self.index.add(Place(self._known, length, self._lines + 1, front))

    def _advance(self, length: int) -> None:
        self._known += length
        self._lines += 1

    def _refuse(self) -> None:
        """Keep away from a file of a newer version; a run that has begun with it still ends."""
        problem = f"line {self._lines + 1} was written by a newer version of parallm_magics"
        if not self._was_read:
            self.forget()
            raise OptionError(
                f"{about(self.path, problem)}; update parallm_magics, or choose another file"
            )
        self._keep_away(f"{problem}; recording has stopped")

    def append(self, line: bytes, front: Front, *, safely: bool = False) -> None:
        """Write the line in one go at the file's end, whoever else writes.

        Args:
            safely: whether it is on the disk afterwards, so that no power cut loses it.

        Raises:
            OSError: it cannot be written, or only a part of it; that part is a damaged line.
        """
        while not self._append(line, front, safely):
            pass

    def _append(self, line: bytes, front: Front, safely: bool) -> bool:
        """Write the line; whether the file was not replaced meanwhile, as by `keep`, which may miss it then."""
        file = self._open()
        try:
            end = _written(file, line, safely)
            now = os.fstat(file)
        finally:
            os.close(file)
        if not is_still(now, self.path):
            return False
        if end - len(line) == self._known:  # else others wrote too: the next look finds it all
            self._identity = self._identity or (now.st_dev, now.st_ino)
            self._add(front, len(line))
            self._advance(len(line))
            self._size = end
        return True

    def _open(self) -> int:
        try:
            return os.open(self.path, _APPEND, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, _APPEND, 0o600)

    def keep(self, places: Iterable[Place]) -> Path:
        """Leave in the file only these lines and what others may have added since; gives the backup.

        The file is replaced in one go: whoever reads it sees the old one or the new one. What it was
        is kept beside it under a name that is free, ending in `.bak`.

        Raises:
            OSError: it cannot be written; then the file is as it was.
        """
        file = self.path
        ends = itertools.chain(["bak"], (f"bak{turn}" for turn in itertools.count(2)))
        names = (file.with_name(f"{file.name}.{end}") for end in ends)
        backup = next(name for name in names if not name.exists())
        with open(file, "rb") as old:
            shutil.copyfile(file, backup)
            shutil.copymode(file, backup)
            _replace(file, self.read(places))
            # Another kernel may have appended to the old file until this moment.
            old.seek(self._known)
            if late := old.read():
                with open(file, "ab") as new:
                    new.write(late)
        self.forget()
        return backup


def _written(file: int, line: bytes, safely: bool) -> int:
    """Write the line at the end of an open file; where it ends then."""
    size = os.lseek(file, 0, os.SEEK_END)
    os.lseek(file, max(0, size - 1), os.SEEK_SET)
    # What a writer that was killed has left stays a line of its own.
    torn = os.read(file, 1) not in (b"", b"\n")
    rest = memoryview(b"\n" + line if torn else line)
    while rest:
        rest = rest[os.write(file, rest) :]
    if safely:
        os.fsync(file)
    return os.lseek(file, 0, os.SEEK_CUR)


def about(path: Path, text: str) -> str:
    """What is told of a file, with its name."""
    return f"recordings in {path.name!r}: {text}"


def _replace(file: Path, lines: Iterable[bytes]) -> None:
    """Put these lines in place of the file in one go, with its rights."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(handle, "wb") as new:
            for line in lines:
                new.write(line if line.endswith(b"\n") else line + b"\n")
            new.flush()
            os.fsync(new.fileno())
        shutil.copymode(file, name)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
