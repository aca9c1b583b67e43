"""Recorded outcomes: what has been answered before is served, what ends is added."""

from __future__ import annotations

import contextlib
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
from parallm_magics.recordings.ledger_lines import LedgerLines
from parallm_magics.recordings.lines_file import RecordingFile, about
from parallm_magics.recordings.misses import Entry, difference
from parallm_magics.recordings.modes import VARIABLE, Mode, forced, from_variable
from parallm_magics.recordings.request_key import key_of, request_of

SENDING = "a batch is being sent, so it was not changed; prune it later"
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


class Notices:
    """What the reader should know about a file of recordings, one line each.

    Attributes:
        count: how often something was told so far.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[str, float] = {}  # when last, as counted; inf where it lasts
        self.count = 0

    def about(self, text: str) -> str:
        """What is told, with the file's name."""
        return about(self._path, text)

    def tell(self, text: str, *, of_a_request: bool = False) -> None:
        """Tell of the file for good, or of one request."""
        self.count += 1
        self._told[self.about(text)] = self.count if of_a_request else math.inf

    def since(self, count: int) -> tuple[str, ...]:
        """What still holds of the file, and what was told of requests after so many tellings."""
        return tuple(text for text, last in list(self._told.items()) if last > count)


class Recordings:
    """One file of recorded outcomes.

    It is read on first use and followed from then on: other kernels may add to it, and it may be
    replaced or deleted. Only places are kept in memory. No trouble with the file ends a run: it is
    told in `warnings`, and the calls are made as if there were no file.

    Attributes:
        path: the file, as it was named.
        notices: what was told of the file.
        batch_lines: its lines that tell of batches.
        mode: `auto` serves successes, and what else is asked is added; `replay` serves whatever
            was the outcome, and all else is a miss; `refresh` serves nothing and adds all.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Mode = "auto") -> None:
        self.path = Path(os.path.expanduser(path))
        self._named = os.fspath(path)
        self.mode = mode
        self._file = RecordingFile(self.path, self._write_no_more)
        self._lock = threading.RLock()
        self.batch_lines = LedgerLines(self._file, self._lock, lambda: self._writes)
        self.notices = Notices(self.path)
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

    def warnings_since(self, count: int) -> tuple[str, ...]:
        """What still holds of the file, and what was told of requests after so many tellings."""
        told, index = self.notices.since(count), self._file.index
        # A replay that needs what was in there says so in its error, and no other cell changes.
        if not index.damaged or not index.entries or self.replays:
            return told
        skipped = f"{_named(index.damaged)} damaged and skipped; those calls are made again"
        return (self.notices.about(skipped), *told)

    def catch_up(self) -> bool:
        """Take in a part of what is new in the file; whether there is more of it.

        `find` and `add` take in all of it at once, which of a large file holds up whoever waits.
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
        """
        return self._served(task, further, successes=not self.replays)

    def outcome(self, task: Task, further: int = 0) -> Record | None:
        """How this request and sample ended when it was last asked, success or not; else None."""
        return self._served(task, further, successes=False)

    def add(self, task: Task, record: Record, further: int = 0) -> None:
        """Keep how a worker ended, unless it was replayed or never asked."""
        if record.replayed or not _was_asked(record):
            return
        request = request_of(task)
        front = Front(self._key(request), task.sample, record.status, further)
        if not front.key:
            return
        self._add(front, entry_of(task, record, front, request))

    def add_unasked(self, front: Front, task: Task, record: Record, after: int = 0) -> bool:
        """Keep an answer of which only the key is known, unless one stands below that line; whether none did."""
        with self._lock:
            known = self._file.index.success(front.key, front.sample)
        if is_new := known is None or known.number <= after:
            self._add(front, entry_of(task, record, front, {}))
        return is_new

    def _add(self, front: Front, entry: dict[str, Any]) -> None:
        line, notice = _line(entry)
        if notice:
            self.notices.tell(f"{notice}, because the file is plain text", of_a_request=True)
        if line is None:
            return
        with self._lock:
            self._used.add((front.key, front.sample))
            try:
                if self._writes:
                    self._file.look()
                if self._writes:
                    self._file.append(line, front)
            except (OSError, ValueError) as error:
                self._write_no_more(f"cannot be written ({_reason(error)}); recording has stopped")

    def missing(self, tasks: Sequence[Task]) -> RecordingMissing:
        """The error that says what is not recorded, and in what it differs from what is."""
        task = tasks[0]
        with self._lock:
            known, problem = _requests_in(self._file)
            lines = self._file.index.damaged
        near = difference(task.name, task.sample, request_of(task), known)
        why = problem or near or "it contains no recordings"
        why += f"; {_named(lines)} damaged" if lines and not problem else ""
        return RecordingMissing(_not_recorded(task.name, len(tasks) - 1, self._named, why))

    def forget_use(self) -> None:
        """From now on what cells use of the file is counted anew."""
        self._used.clear()

    def prune(self) -> Pruned:
        """Take out what was neither served nor added since this file was named, damaged lines too.

        Of what stays, earlier outcomes that are served no more go as well. What the file was stays
        beside it, as `NAME.bak`, or `NAME.bak2` where there is one, and so on.

        Raises:
            ParallmError: nothing of it was used yet, it cannot be written, or a batch is being sent.
        """
        with self._lock, contextlib.ExitStack() as at_end:
            if not self._used:
                unused = "no cell has used the file yet; run the whole notebook first, then prune"
                raise ParallmError(self.notices.about(unused))
            if not self._writes:
                raise ParallmError(self.notices.about("it cannot be written and was not changed"))
            try:
                if not self.batch_lines.is_held(at_end):
                    raise ParallmError(self.notices.about(SENDING))
                self._file.look()
                used, index = self._used, self._file.index
                stay = [p for p in index.places if (p.front.key, p.front.sample) in used]
                stay = sorted([*stay, *self.batch_lines.still_open()])
                dropped = index.entries + len(index.damaged) - len(stay)
                backup = self._file.keep(stay) if dropped else None
            except (OSError, ValueError) as error:
                why = f"cannot be pruned ({_reason(error)}); it was not changed"
                raise ParallmError(self.notices.about(why)) from None
            return Pruned(len(stay), dropped, backup)

    def close(self) -> None:
        """Give back the memory; no file stays open between uses. The next use reads anew."""
        with self._lock:
            self._file.forget()

    def _key(self, request: dict[str, Any]) -> str:
        """The key of what is asked; "" where it cannot be recorded."""
        key = key_of(request)
        if key is None:
            why = "requests with parameters that are not valid JSON are not recorded"
            self.notices.tell(why, of_a_request=True)
        return key or ""

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
            index, sample = self._file.index, task.sample
            at = index.success(key, sample) if successes else index.outcome(key, sample, further)
            if at is not None and is_last:
                index.discard(at)
            if at is None or is_last:
                return None
            [line] = self._file.read([at])
            if record := record_of(line, task, at.front):
                return record
            self._file.forget()  # the file was changed in place: read it again
        return None

    def _write_no_more(self, why: str) -> None:
        self._writes = False
        self.notices.tell(why)

    def _cannot_be_read(self, error: Exception) -> None:
        self._reads = self._writes = False
        self.notices.tell(f"cannot be read ({_reason(error)}); nothing is replayed or recorded")


def from_environment() -> Recordings | None:
    """Recordings in the file that PARALLM_RECORDINGS names; None where it names none."""
    path, mode = from_variable()
    return None if path is None or mode == "off" else Recordings(path, mode or "auto")


def reopened(
    before: Recordings | None, path: str | None, mode: Mode, *, anew: bool = True
) -> Recordings | None:
    """Return what keeps the answers to come in this file, or in the one before; None where nothing does.

    Args:
        before: what has kept them until now; closed where something else takes its place.
        anew: whether a file that is named again forgets what cells have used of it.
    """
    mode = forced(mode)
    if mode != "off" and before is not None and (path is None or before.is_file(path)):
        before.mode = mode
        if path is not None and anew:
            before.forget_use()
        return before
    if before is not None:
        before.close()
    return Recordings(path, mode) if path is not None and mode != "off" else None


def _requests_in(file: RecordingFile) -> tuple[list[Entry], str]:
    """All requests in the file, and what is wrong with it."""
    try:
        file.look()
        if not file.exists:
            return [], "there is no such file"
        places = file.index.places
        read = zip(places, file.read(places), strict=True)
        pairs = [(place, asked_in(line, place.front)) for place, line in read]
        return [Entry(p.number, *asked, p.front.sample) for p, asked in pairs if asked], ""
    except (OSError, ValueError) as error:
        return [], f"it cannot be read ({_reason(error)})"


def _line(entry: dict[str, Any]) -> tuple[bytes | None, str]:
    """The entry's line without any key, None where the answer itself holds one; and what to tell of it."""
    if not holds_key(entry):
        return line_of(entry), ""
    if holds_key(entry["outcome"]["text"]):
        return None, "an answer that contains something like a key is not recorded"
    hidden = "something like a key in a prompt is hidden" if holds_key(entry["request"]) else ""
    return line_of(scrubbed(entry)), hidden


def _not_recorded(name: str, others: int, path: str, why: str) -> str:
    more = f", nor {'is' if others == 1 else 'are'} {others} more of its cell" if others else ""
    # The same with and without the variable, as the test of a notebook compares errors too.
    return (
        f"{name}: not recorded in {Path(path).name!r}{more}: {why}. To record it: %parallm recordings {path} --mode "
        f"auto, without {VARIABLE}=replay"
    )


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
    return getattr(error, "strerror", None) or "the file name is not allowed"
