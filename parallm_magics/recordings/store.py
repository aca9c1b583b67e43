"""Recorded outcomes: what has been answered before is served, what ends is added."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from parallm_magics.core.tasks import Record, Task
from parallm_magics.errors import ParallmError, RecordingMissing
from parallm_magics.providers.keys import holds_key, scrubbed
from parallm_magics.recordings.codec import Front, asked_in, entry_of, line_of, record_of
from parallm_magics.recordings.lines_file import RecordingFile, about
from parallm_magics.recordings.misses import Entry, difference
from parallm_magics.recordings.modes import VARIABLE, Mode, from_variable, offline
from parallm_magics.recordings.request_key import key_of, request_of

SHOWN = 3  # damaged lines that a warning names
PART = 1 << 20  # bytes that are taken in within some 10 ms


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
        self._file = RecordingFile(self.path, self._write_no_more)
        self._lock = threading.RLock()
        self._told: dict[str, float] = {}  # when last, counted in tellings; inf where it lasts
        self._tellings = 0
        self._reads = self._writes = True
        self._used: set[tuple[str, int]] = set()  # what was served or added, by key and sample

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether that path names this file."""
        return self._file.is_at(Path(os.path.expanduser(path)))

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
            damaged = self._file.damaged
            if not damaged or not self._file.ours or self.replays:
                return told
            skipped = f"{_named(damaged)} damaged and skipped; what was in there is asked again"
            return (self._about(skipped), *told)

    def catch_up(self) -> bool:
        """Take in a part of what is new in the file; whether there is more of it.

        `find` and `add` take in all of it at once, which of a large file holds up whoever waits.

        Raises:
            OptionError: as `find`.
        """
        with self._lock:
            try:
                return self._reads and self._file.look(PART)
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
        return self._served(task, further, successes=not self.replays)

    def outcome(self, task: Task, further: int = 0) -> Record | None:
        """How this request and sample ended when it was last asked, success or not; else None.

        Raises:
            OptionError: as `find`.
        """
        return self._served(task, further, successes=False)

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
                    self._file.look()
                if self._writes:
                    self._file.append(line, front)
            except (OSError, ValueError) as error:
                self._write_no_more(
                    f"cannot be written ({_reason(error)}); nothing more is recorded"
                )

    def missing(self, tasks: Sequence[Task]) -> RecordingMissing:
        """The error that says what is not recorded, and in what it differs from what is."""
        task, others = tasks[0], len(tasks) - 1
        more = f", nor {'is' if others == 1 else 'are'} {others} more of its cell" if others else ""
        with self._lock:
            known, problem = self._asked()
            lines = self._file.damaged
        damaged = [] if problem or not lines else [f"{_named(lines)} damaged"]
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
                self._file.look()
                used = self._used
                stay = [p for p in self._file.places if (p.front.key, p.front.sample) in used]
                dropped = self._file.entries + len(self._file.damaged) - len(stay)
                backup = self._file.keep(stay) if dropped else None
            except (OSError, ValueError) as error:
                raise ParallmError(
                    self._about(f"cannot be pruned ({_reason(error)}); it is as it was")
                ) from None
            return Pruned(len(stay), dropped, backup)

    def close(self) -> None:
        """Give back the memory; no file stays open between uses. The next use reads anew."""
        with self._lock:
            self._file.forget()

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
        if holds_key(entry):
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

    # --- what is in the file ----------------------------------------------------------------------

    def _served(self, task: Task, further: int, successes: bool) -> Record | None:
        if self.mode == "refresh" or not (key := self._key(request_of(task))):
            return None
        with self._lock:
            try:
                found = self._found(key, task, further, successes) if self._reads else None
            except (OSError, ValueError) as error:
                self._cannot_be_read(error)
                return None
            if found is not None:
                self._used.add((key, task.sample))
            return found

    def _found(self, key: str, task: Task, further: int, successes: bool) -> Record | None:
        for is_last in (False, False, True):
            self._file.look()
            at = (
                self._file.success(key, task.sample)
                if successes
                else self._file.outcome(key, task.sample, further)
            )
            if at is None:
                return None
            if is_last:
                self._file.discard(at)
                return None
            [line] = self._file.read([at])
            if record := record_of(line, task, at.front):
                return record
            self._file.forget()  # the file was changed in place: read it again
        return None

    def _asked(self) -> tuple[list[Entry], str]:
        """All requests in the file, and what is wrong with it."""
        try:
            self._file.look()
            if not self._file.exists:
                return [], "there is no such file"
            places = self._file.places
            read = zip(places, self._file.read(places), strict=True)
            pairs = [(place, asked_in(line, place.front)) for place, line in read]
            known = [Entry(p.number, *asked, p.front.sample) for p, asked in pairs if asked]
            return known, ""
        except (OSError, ValueError) as error:
            return [], f"it cannot be read ({_reason(error)})"

    # --- what is told -----------------------------------------------------------------------------

    def _write_no_more(self, why: str) -> None:
        self._writes = False
        self._tell(why)

    def _cannot_be_read(self, error: Exception) -> None:
        self._reads = self._writes = False
        self._tell(f"cannot be read ({_reason(error)}); nothing is taken or recorded")

    def _tell(self, text: str, lasting: bool = True) -> None:
        """Tell of the file, or else of one request."""
        with self._lock:
            self._tellings += 1
            self._told[self._about(text)] = math.inf if lasting else self._tellings

    def _about(self, text: str) -> str:
        return about(self.path, text)


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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no file can have that name"
