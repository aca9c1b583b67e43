"""The lines of a file of recordings that tell of batches."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from parallm_magics.recordings.codec import BATCH, Front
from parallm_magics.recordings.file_lock import FileLock
from parallm_magics.recordings.lines_file import Place, RecordingFile

Line = tuple[Place, bytes]


class LedgerLines:
    """Read as they come, whoever writes them."""

    def __init__(
        self, file: RecordingFile, lock: threading.RLock, writes: Callable[[], bool]
    ) -> None:
        """Take the file, what guards it, and whether it may be written to."""
        self._file, self._lock, self._writes = file, lock, writes

    def since(self, known: tuple[int, int]) -> tuple[bool, tuple[int, int], list[Line]]:
        """The lines that have come.

        Args:
            known: what an earlier look gave, or two zeros.

        Returns:
            whether they are all there are, as the file is another one; what to ask with the next time;
            and the lines, each with its front.

        Raises:
            OSError: the file cannot be read.
        """
        with self._lock:
            self._file.look()
            reading, count = known
            anew = reading != self._file.readings
            places = self._file.index.batches[0 if anew else count :]
            lines = self._lines(places)
            return anew, (self._file.readings, len(self._file.index.batches)), lines

    def append(self, line: bytes, front: Front) -> None:
        """Write a line so that nothing loses it.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            self._file.look()
            if not self._writes():
                raise OSError(0, "it cannot be written")
            self._file.append(line, front, safely=True)

    def new_lock(self) -> FileLock:
        """What a kernel holds while it sends, or while it replaces the file."""
        return FileLock(self._file.path)

    def is_held(self, at_end: contextlib.ExitStack) -> bool:
        """Whether nobody sends until then: what is written down of a batch must not be missed."""
        lock = self.new_lock()
        at_end.callback(lock.give_back)
        return lock.take()

    def still_open(self) -> list[Place]:
        """The places of the lines of batches that are neither collected nor dropped."""
        places = self._file.index.batches
        found = [*deeds(self._lines(places))]
        closed = {said.nonce for said in found if said.deed in ("collected", "dropped")}
        return [place for place in places if place.front.key[:NONCE_DIGITS] not in closed]

    def answered_since(self, number: int, asked: Iterable[tuple[str, int]]) -> bool:
        """Whether each of these requests has a success below that line of the file."""
        with self._lock:
            index = self._file.index
            places = (index.success(key, sample) for key, sample in asked)
            return all(place is not None and place.number > number for place in places)

    def _lines(self, places: list[Place]) -> list[Line]:
        return [*zip(places, self._file.read(places), strict=True)] if places else []


NONCE_DIGITS = 16


class Said(NamedTuple):
    """What a line tells of a batch.

    Attributes:
        nonce: which batch.
        deed: what has become of it.
        more: what is said of that.
        number: the number of the line in the file.
    """

    nonce: str
    deed: str
    more: dict[str, Any]
    number: int = 0


def deeds(lines: Iterable[Line]) -> Iterator[Said]:
    """What each line tells, if it tells anything."""
    for place, line in lines:
        try:
            said = json.loads(line.decode("utf-8", "surrogatepass"))["batch"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(said, dict):
            front = place.front
            yield Said(
                front.key[:NONCE_DIGITS], front.status.removeprefix(BATCH), said, place.number
            )
