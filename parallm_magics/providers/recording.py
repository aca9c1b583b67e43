"""Recorded outcomes in a file: what has been answered before is found, what ends is added."""

from __future__ import annotations

import math
import os
import stat
import threading
from pathlib import Path
from typing import Any, NamedTuple

from parallm_magics.errors import OptionError
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.recording_key import key_of, request_of
from parallm_magics.providers.recording_lines import (
    OPENING,
    Front,
    NewerSchemaError,
    entry_of,
    front_of,
    line_of,
    record_of,
)
from parallm_magics.types import Record, Task

VARIABLE = "PARALLM_RECORDINGS"
RESERVED = ("auto", "replay", "refresh")  # names of modes: no file is meant by them
SHOWN = 3  # damaged lines that a warning names
PART = 1 << 20  # bytes that are taken in within some 10 ms
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class _Place(NamedTuple):
    """Where an entry's line is in the file."""

    offset: int
    length: int
    number: int


class Recordings:
    """One file of recorded outcomes.

    It is read on first use and followed from then on: other kernels may add to it, and it may be
    replaced or deleted. Only places are kept in memory. No trouble with the file ends a run: it is
    told in `warnings`, and the calls are made as if there were no file.

    Attributes:
        path: the file, as it was named.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.expanduser(path))
        self._file = self.path.absolute()  # a later change of folder must not change the file
        self._lock = threading.RLock()
        self._told: dict[str, float] = {}  # when last, counted in tellings; inf where it lasts
        self._tellings = 0
        self._reads = self._writes = True
        self._was_read = False
        self._forget()

    def _forget(self) -> None:
        self._identity: tuple[int, int] | None = None
        self._size = 0  # of the file, when it was last looked at
        self._known = 0  # bytes of it that need no second look
        self._lines = 0
        self._ours = False  # something in it is a recording
        self._damaged: list[int] = []
        self._places: dict[tuple[str, int], _Place] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader should know about the file, one line each."""
        return self.warnings_since(0)

    @property
    def tellings(self) -> int:
        """How often something was told so far, as `warnings_since` takes it."""
        return self._tellings

    def warnings_since(self, tellings: int) -> tuple[str, ...]:
        """What still holds of the file, and what was told of single requests after so many tellings."""
        with self._lock:
            told = tuple(text for text, last in self._told.items() if last > tellings)
            if not self._damaged or not self._ours:
                return told
            return (self._about(_skipped(self._damaged)), *told)

    def catch_up(self) -> bool:
        """Take in a part of what is new in the file; whether there is more of it.

        `find` and `add` take in all of it at once, which of a large file holds up whoever waits.

        Raises:
            OptionError: as `find`.
        """
        with self._lock:
            try:
                return self._reads and self._look(PART)
            except (OSError, ValueError) as error:
                self._cannot_be_read(error)
                return False

    def find(self, task: Task) -> Record | None:
        """The success recorded for this request and sample, as the task's record; None without one.

        Its value is None: how an answer is read may have changed since.

        Raises:
            OptionError: the file is of a newer version; only before it could first be read.
        """
        key = self._key(request_of(task))
        with self._lock:
            try:
                return self._found(key, task) if key and self._reads else None
            except (OSError, ValueError) as error:
                self._cannot_be_read(error)
                return None

    def add(self, task: Task, record: Record) -> None:
        """Keep how a worker ended, unless it was replayed or never asked.

        Raises:
            OptionError: as `find`.
        """
        if record.replayed or not _was_asked(record):
            return
        request = request_of(task)
        key = self._key(request)
        line = self._line(task, record, key, request) if key else None
        if not (key and line):
            return
        with self._lock:
            try:
                if self._writes:
                    self._look()
                if self._writes:
                    self._append(line, Front(key, task.sample, record.status))
            except (OSError, ValueError) as error:
                self._writes = False
                self._tell(f"cannot be written ({_reason(error)}); nothing more is recorded")

    def close(self) -> None:
        """Give back the memory; no file stays open between uses. The next use reads anew."""
        with self._lock:
            self._forget()

    # --- what enters ------------------------------------------------------------------------------

    def _key(self, request: dict[str, Any]) -> str | None:
        key = key_of(request)
        if key is None:
            self._tell("requests with parameters that JSON cannot hold are not recorded", False)
        return key

    def _line(self, task: Task, record: Record, key: str, request: dict[str, Any]) -> bytes | None:
        """The entry's line without any key; None where the answer itself holds one."""
        entry = entry_of(task, record, key, request)
        if _holds_key("\0".join(_texts(entry))):  # in one go: a scrub has its price
            if _holds_key(entry["outcome"]["text"]):
                self._tell(
                    "an answer that holds what looks like a key is left out, as the file is plain "
                    "text",
                    False,
                )
                return None
            entry = _scrubbed(entry)
            if entry["request"] != request:
                self._tell(
                    "what looks like a key in a prompt is hidden, as the file is plain text", False
                )
        return line_of(entry)

    # --- the file ---------------------------------------------------------------------------------

    def _found(self, key: str, task: Task) -> Record | None:
        wanted = (key, task.sample)
        for _ in range(2):
            self._look()
            place = self._places.get(wanted)
            if place is None:
                return None
            if record := record_of(self._read(place), task, key):
                return record
            self._forget()  # the file was changed in place: read it again
        self._look()
        if place := self._places.pop(wanted, None):  # whole, yet not what this version writes
            self._damaged.append(place.number)
        return None

    def _read(self, place: _Place) -> bytes:
        with open(self._file, "rb") as file:
            file.seek(place.offset)
            return file.read(place.length)

    def _look(self, most: float = math.inf) -> bool:
        """Take in what has come to the file since the last look; whether so many bytes left a rest.

        Raises:
            OSError: the file is there and cannot be read.
            OptionError: it is of a newer version, and this is the first look.
        """
        try:
            now = os.stat(self._file)
        except FileNotFoundError:
            self._forget()
            self._was_read = True
            return False
        if not stat.S_ISREG(now.st_mode):
            raise OSError(0, "it is not a file")
        identity = (now.st_dev, now.st_ino)
        if self._identity != identity or now.st_size < self._known:
            self._forget()
            self._identity = identity
        if now.st_size != self._size:
            if self._take_in(most):
                self._size = self._known
                return True
            self._size = now.st_size
        self._was_read = True
        return False

    def _take_in(self, most: float) -> bool:
        """Note the places of new lines, the last one only once it has its newline; as `_look`."""
        tail, end = b"", self._known + most
        with open(self._file, "rb") as file:
            file.seek(self._known)
            for line in file:
                if self._known >= end:
                    return True
                self._take(line)
                if not line.endswith(b"\n"):
                    tail = line
                    break
                self._advance(len(line))
        if not self._ours and (self._damaged or not _may_be_begun(tail)):
            self._writes = False
            self._tell("nothing in the file is a recording, so nothing is written to it")
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
            self._note(front, len(line))
        elif line.endswith(b"\n"):
            self._damaged.append(self._lines + 1)

    def _note(self, front: Front, length: int) -> None:
        self._ours = True
        if front.status == "ok":  # a failure hides no answer that was given before
            place = _Place(self._known, length, self._lines + 1)
            self._places[front.key, front.sample] = place

    def _advance(self, length: int) -> None:
        self._known += length
        self._lines += 1

    def _refuse(self) -> None:
        """Keep away from a file of a newer version; a run that has begun with it still ends.

        Raises:
            OptionError: nothing has begun.
        """
        problem = f"line {self._lines + 1} was written by a newer version of parallm_magics"
        if not self._was_read:
            self._forget()
            raise OptionError(f"{self._about(problem)}; update it, or name another file")
        self._writes = False
        self._tell(f"{problem}; nothing more is recorded")

    def _append(self, line: bytes, front: Front) -> None:
        """Write the line in one go at the file's end, whoever else writes.

        Raises:
            OSError: it cannot be written, or only a part of it; that part is a damaged line.
        """
        file = self._open()
        try:
            size = os.lseek(file, 0, os.SEEK_END)
            os.lseek(file, max(0, size - 1), os.SEEK_SET)
            # What a writer that was killed has left stays a line of its own.
            torn = os.read(file, 1) not in (b"", b"\n")
            rest = memoryview(b"\n" + line if torn else line)
            while rest:
                rest = rest[os.write(file, rest) :]
            end = os.lseek(file, 0, os.SEEK_CUR)
            now = os.fstat(file)
        finally:
            os.close(file)
        if end - len(line) == self._known:  # else others wrote too: the next look finds it all
            self._identity = self._identity or (now.st_dev, now.st_ino)
            self._note(front, len(line))
            self._advance(len(line))
            self._size = end

    def _open(self) -> int:
        try:
            return os.open(self._file, _APPEND, 0o600)
        except FileNotFoundError:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._file, _APPEND, 0o600)

    # --- what is told -----------------------------------------------------------------------------

    def _cannot_be_read(self, error: Exception) -> None:
        self._reads = self._writes = False
        self._tell(f"cannot be read ({_reason(error)}); nothing is taken or recorded")

    def _tell(self, text: str, lasting: bool = True) -> None:
        """Tell of the file, or else of one request."""
        with self._lock:
            self._tellings += 1
            self._told[self._about(text)] = math.inf if lasting else self._tellings

    def _about(self, text: str) -> str:
        return f"recordings in {self.path.name!r}: {text}"


def from_environment() -> Recordings | None:
    """Recordings in the file that PARALLM_RECORDINGS names; None where they are off.

    Raises:
        OptionError: it names a mode instead.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if value.lower() in RESERVED:
        raise OptionError(
            f"{VARIABLE}={value}: that is a mode's name; give the path of a file, or off"
        )
    return None if value.lower() in ("", "off") else Recordings(value)


def _skipped(lines: list[int]) -> str:
    """What is told about damaged lines.

    >>> _skipped([7])
    'line 7 is damaged and skipped; what it held is asked again'
    >>> _skipped([1, 2, 4, 9])
    'lines 1, 2, 4, … (4 in all) are damaged and skipped; what they held is asked again'
    """
    if len(lines) == 1:
        return f"line {lines[0]} is damaged and skipped; what it held is asked again"
    named = ", ".join(map(str, lines[:SHOWN]))
    more = f", … ({len(lines)} in all)" if len(lines) > SHOWN else ""
    return f"lines {named}{more} are damaged and skipped; what they held is asked again"


def _was_asked(record: Record) -> bool:
    """Whether a call was made, or begun: tried, heard of, or given time."""
    return record.ok or bool(record.attempts or record.text or record.seconds)


def _may_be_begun(line: bytes) -> bool:
    """Whether a line without its end may be one of ours, or nothing yet."""
    return line[: len(OPENING)] == OPENING[: len(line)]


def _holds_key(text: str) -> bool:
    return scrub(text) != text


def _texts(value: Any) -> list[str]:
    """All texts in a value of JSON's types, names of fields included."""
    found: list[str] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            left += item.keys()
            left += item.values()
        elif isinstance(item, list | tuple):
            left += item
    return found


def _scrubbed(value: Any) -> Any:
    """The value with every text in it scrubbed."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {_scrubbed(name): _scrubbed(item) for name, item in value.items()}
    return [_scrubbed(item) for item in value] if isinstance(value, list | tuple) else value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no file can have that name"
