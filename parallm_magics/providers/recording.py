"""Recorded outcomes in a file: what has been answered before is found, what ends is added."""

from __future__ import annotations

import math
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from parallm_magics.errors import OptionError, ParallmError, RecordingMissing
from parallm_magics.providers.recording_key import key_of, request_of
from parallm_magics.providers.recording_lines import (
    OPENING,
    Front,
    NewerSchemaError,
    asked_in,
    entry_of,
    front_of,
    line_of,
    record_of,
)
from parallm_magics.providers.recording_misses import Entry, difference
from parallm_magics.providers.recording_modes import VARIABLE, Mode, from_variable, offline
from parallm_magics.providers.recording_pruning import rewrite
from parallm_magics.providers.recording_secrets import holds_key, scrubbed, texts
from parallm_magics.types import Record, Task

SHOWN = 3  # damaged lines that a warning names
PART = 1 << 20  # bytes that are taken in within some 10 ms
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class _Place(NamedTuple):
    """Where an entry's line is in the file, and what it says at its front."""

    offset: int
    length: int
    number: int
    front: Front


class Pruned(NamedTuple):
    """What a prune has done.

    Attributes:
        kept: how many entries it kept.
        dropped: how many lines it took out.
        backup: where the old file is; None where nothing was taken out.
    """

    kept: int
    dropped: int
    backup: Path | None = None


class Recordings:
    """One file of recorded outcomes.

    It is read on first use and followed from then on: other kernels may add to it, and it may be
    replaced or deleted. Only places are kept in memory. No trouble with the file ends a run: it is
    told in `warnings`, and the calls are made as if there were no file.

    Attributes:
        path: the file, as it was named.
        mode: `auto` serves successes, and what else is asked is added; `replay` serves whatever
            was the outcome, and all else is a miss; `refresh` serves nothing and adds all.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Mode = "auto") -> None:
        self.path = Path(os.path.expanduser(path))
        self._named = os.fspath(path)
        self.mode = mode
        self._file = self.path.absolute()  # a later change of folder must not change the file
        self._lock = threading.RLock()
        self._told: dict[str, float] = {}  # when last, counted in tellings; inf where it lasts
        self._tellings = 0
        self._reads = self._writes = True
        self._was_read = False
        self._used: set[tuple[str, int]] = set()  # what was served or added, by key and sample
        self._forget()

    def _forget(self) -> None:
        self._identity: tuple[int, int] | None = None
        self._size = 0  # of the file, when it was last looked at
        self._known = 0  # bytes of it that need no second look
        self._lines = self._entries = 0
        self._ours = False  # something in it is a recording
        self._damaged: list[int] = []
        # The last success of each request and sample, and the last outcome of each try of it.
        self._places: dict[tuple[str, int], _Place] = {}
        self._outcomes: dict[tuple[str, int, int], _Place] = {}

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether that path names this file."""
        return Path(os.path.expanduser(path)).absolute() == self._file

    @property
    def replays(self) -> bool:
        """Whether nothing may be asked of anybody."""
        return self.mode == "replay"

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
            # A replay that needs what was in there says so in its error, and no other cell changes.
            if not self._damaged or not self._ours or self.replays:
                return told
            skipped = (
                f"{_named(self._damaged)} damaged and skipped; what was in there is asked again"
            )
            return (self._about(skipped), *told)

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

    def find(self, task: Task, further: int = 0) -> Record | None:
        """What is served for this request and sample, as the task's record; None where it is asked.

        Its value is None: how an answer is read may have changed since.

        Args:
            further: how often the run has been taken up before; a replay serves what came of that.

        Raises:
            OptionError: the file is of a newer version; only before it could first be read.
        """
        if self.mode == "refresh":
            return None
        return self._served(task, further, successes=not self.replays)

    def outcome(self, task: Task, further: int = 0) -> Record | None:
        """How this request and sample ended when it was last asked, success or not; else None.

        Raises:
            OptionError: as `find`.
        """
        return None if self.mode == "refresh" else self._served(task, further, successes=False)

    def add(self, task: Task, record: Record, further: int = 0) -> None:
        """Keep how a worker ended, unless it was replayed or never asked.

        Raises:
            OptionError: as `find`.
        """
        if record.replayed or not _was_asked(record):
            return
        request = request_of(task)
        key = self._key(request)
        front = Front(key or "", task.sample, record.status, further)
        line = self._line(task, record, front, request) if key else None
        if not line:
            return
        with self._lock:
            self._used.add((front.key, front.sample))
            try:
                if self._writes:
                    self._look()
                if self._writes:
                    self._append(line, front)
            except (OSError, ValueError) as error:
                self._writes = False
                self._tell(f"cannot be written ({_reason(error)}); nothing more is recorded")

    def missing(self, tasks: Sequence[Task]) -> RecordingMissing:
        """The error that says what is not recorded, and in what it differs from what is."""
        task, others = tasks[0], len(tasks) - 1
        more = f", nor {'is' if others == 1 else 'are'} {others} more of its cell" if others else ""
        with self._lock:
            known, problem = self._asked()
            damaged = [] if problem or not self._damaged else [f"{_named(self._damaged)} damaged"]
        near = difference(task.name, task.sample, request_of(task), known)
        why = "; ".join([problem or near or "it holds no recording", *damaged])
        forced = f", without {VARIABLE}=replay" if offline() else ""
        return RecordingMissing(
            f"{task.name}: not recorded in {self.path.name!r}{more}: {why}. To ask for it: "
            f"%parallm recordings {self._named} --mode auto{forced}"
        )

    def forget_use(self) -> None:
        """From now on what cells use of the file is counted anew."""
        self._used.clear()

    def prune(self) -> Pruned:
        """Take out what was neither served nor added since this file was named, damaged lines too.

        Of what stays, earlier outcomes that are served no more go as well. What the file was stays
        beside it, as `NAME.bak`, or `NAME.bak2` where there is one, and so on.

        Raises:
            ParallmError: nothing of it was used yet, or it cannot be written.
        """
        with self._lock:
            if not self._used:
                raise ParallmError(
                    f"{self._about('no cell has used it yet')}; run the whole notebook, then prune"
                )
            if not self._writes:
                raise ParallmError(self._about("it cannot be written, and is left as it is"))
            try:
                self._look()
                places = {*self._places.values(), *self._outcomes.values()}
                stay = sorted(p for p in places if (p.front.key, p.front.sample) in self._used)
                dropped = self._entries + len(self._damaged) - len(stay)
                if not dropped:
                    return Pruned(len(stay), 0)
                spans = [(place.offset, place.length) for place in stay]
                backup = rewrite(self._file, spans, self._known)
            except (OSError, ValueError) as error:
                raise ParallmError(
                    self._about(f"cannot be pruned ({_reason(error)}); it is as it was")
                ) from None
            self._forget()
            return Pruned(len(stay), dropped, backup)

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

    def _line(
        self, task: Task, record: Record, front: Front, request: dict[str, Any]
    ) -> bytes | None:
        """The entry's line without any key; None where the answer itself holds one."""
        entry = entry_of(task, record, front, request)
        if holds_key("\0".join(texts(entry))):  # in one go: a scrub has its price
            if holds_key(entry["outcome"]["text"]):
                self._tell(
                    "an answer that holds what looks like a key is left out, as the file is plain "
                    "text",
                    False,
                )
                return None
            entry = scrubbed(entry)
            if entry["request"] != request:
                self._tell(
                    "what looks like a key in a prompt is hidden, as the file is plain text", False
                )
        return line_of(entry)

    # --- the file ---------------------------------------------------------------------------------

    def _served(self, task: Task, further: int, successes: bool) -> Record | None:
        key = self._key(request_of(task))
        with self._lock:
            try:
                found = self._found(key, task, further, successes) if key and self._reads else None
            except (OSError, ValueError) as error:
                self._cannot_be_read(error)
                return None
            if found is not None and key:
                self._used.add((key, task.sample))
            return found

    def _found(self, key: str, task: Task, further: int, successes: bool) -> Record | None:
        for _ in range(2):
            self._look()
            place = self._place(key, task.sample, further, successes)
            if place is None:
                return None
            if record := record_of(self._read(place), task, place.front):
                return record
            self._forget()  # the file was changed in place: read it again
        self._look()
        if place := self._place(key, task.sample, further, successes):
            # Whole, yet not what this version writes.
            self._places.pop((key, task.sample), None)
            self._outcomes.pop((key, task.sample, place.front.further), None)
            self._damaged.append(place.number)
        return None

    def _place(self, key: str, sample: int, further: int, successes: bool) -> _Place | None:
        """Where the answer stands: the last success, or the last outcome of that try.

        A try that was not needed when the file was written has the outcome of the one before.
        """
        if successes:
            return self._places.get((key, sample))
        tries = (self._outcomes.get((key, sample, each)) for each in range(further, -1, -1))
        return next((place for place in tries if place), None)

    def _asked(self) -> tuple[list[Entry], str]:
        """All requests in the file, and what is wrong with it."""
        try:
            self._look()
            if self._identity is None:
                return [], "there is no such file"
            places = sorted({*self._places.values(), *self._outcomes.values()})
            found = []
            with open(self._file, "rb") as file:
                for place in places:
                    file.seek(place.offset)
                    if asked := asked_in(file.read(place.length)):
                        found.append(Entry(place.number, *asked))
            return found, ""
        except (OSError, ValueError) as error:
            return [], f"it cannot be read ({_reason(error)})"

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
        self._entries += 1
        place = _Place(self._known, length, self._lines + 1, front)
        self._outcomes[front.key, front.sample, front.further] = place
        if front.status == "ok":  # a failure hides no answer that was given before
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
    """Recordings in the file that PARALLM_RECORDINGS names; None where it names none."""
    path, mode = from_variable()
    return None if path is None or mode == "off" else Recordings(path, mode or "auto")


def _named(lines: list[int]) -> str:
    """Some lines of a file as the subject of a sentence.

    >>> _named([7])
    'line 7 is'
    >>> _named([1, 2, 4, 9])
    'lines 1, 2, 4, … (4 in all) are'
    """
    if len(lines) == 1:
        return f"line {lines[0]} is"
    more = f", … ({len(lines)} in all)" if len(lines) > SHOWN else ""
    return f"lines {', '.join(map(str, lines[:SHOWN]))}{more} are"


def _was_asked(record: Record) -> bool:
    """Whether a call was made, or begun: tried, heard of, or given time.

    Work that was still waiting when a guard blocked it counts too: how long it had waited is shown.
    """
    waited = record.status == "blocked" and record.queued
    return record.ok or bool(record.attempts or record.text or record.seconds or waited)


def _may_be_begun(line: bytes) -> bool:
    """Whether a line without its end may be one of ours, or nothing yet."""
    return line[: len(OPENING)] == OPENING[: len(line)]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no file can have that name"
