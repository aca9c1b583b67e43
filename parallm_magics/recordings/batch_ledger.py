"""Which requests are in which batch: written down before a batch is sent, and until it is collected.

Each line is one event of one batch, in the file of the recordings. What a batch is comes from all its
lines together, in the file's order; of two batches that claim one request, the first has it. An
earlier version of the package takes such a line for the outcome of a request that nobody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from parallm_magics.core.batch_entries import Asked, BatchEntry
from parallm_magics.core.tasks import Record, Task
from parallm_magics.recordings.codec import BATCH, SCHEMA, Front, line_of, stamp
from parallm_magics.recordings.ledger_lines import Said, deeds
from parallm_magics.recordings.request_key import key_of, request_of
from parallm_magics.recordings.store import Recordings

Deed = Literal["intent", "untaken", "again", "sent", "not_its", "cancelled", "collected", "dropped"]
"""What a line says: a batch is about to be sent; the provider turned it away; it is about to be sent
again; its id is known; a batch with that id was another one; its end was asked for; all its answers
are recorded; its requests may be asked anew."""


class FileLedger:
    """The batches that a file of recordings tells of; without a file, those of this object alone."""

    def __init__(self, store: Recordings | None) -> None:
        self.store = store
        self._lock = store.batch_lines.new_lock() if store is not None else None
        self._read = (0, 0)  # which reading of the file, and how many of its lines
        self._batches: dict[str, BatchEntry] = {}

    def asked_of(self, task: Task) -> Asked | None:
        """The request of a task; None where no recording can hold it."""
        key = key_of(request_of(task))
        return None if key is None else Asked(key, task.sample)

    def take_lock(self) -> bool:
        """Become the only one who sends, of all that use the file; False where another one is.

        Raises:
            OSError: the file cannot be opened.
        """
        return self._lock is None or self._lock.take()

    def give_lock_back(self) -> None:
        """Let others send."""
        if self._lock is not None:
            self._lock.give_back()

    def batches(self) -> list[BatchEntry]:
        """All batches, in the order in which they were written down."""
        self._look()
        return [*self._batches.values()]

    def find(self, nonce: str) -> BatchEntry | None:
        """What is known of a batch by now."""
        self._look()
        return self._batches.get(nonce)

    def claims(self) -> dict[Asked, BatchEntry]:
        """The requests of all open batches, each with the first one that holds it."""
        found: dict[Asked, BatchEntry] = {}
        for batch in self.batches():
            for asked in batch.asked:
                found.setdefault(asked, batch)
        return found

    def close_answered(self) -> None:
        """Close batches of which every answer is recorded: a kernel has died before it could say so."""
        if self.store is None:
            return
        for batch in self.batches():
            known = self.store.batch_lines.answered_since(batch.line, batch.asked)
            if batch.asked and known:
                self.collected(batch)

    def intend(
        self,
        nonce: str,
        provider: str,
        account: str,
        models: Iterable[str],
        newest: str | None,
        asked: Sequence[Asked],
    ) -> BatchEntry | None:
        """Write down that a batch is about to be sent; None where another one holds a request of it.

        Raises:
            OSError: it cannot be written, so nothing may be sent.
        """
        said = {
            "provider": provider,
            "account": account,
            "models": sorted(set(models)),
            "count": len(asked),
            "newest": newest,
            "at": round(datetime.now(UTC).timestamp(), 3),
            "asked": " ".join(f"{key}-{sample}" for key, sample in asked),
        }
        self._write(nonce, "intent", said)
        claims = self.claims()
        if (batch := self._batches.get(nonce)) is None:
            raise OSError(0, "it is changed by another program")
        if all(claims.get(each) is batch for each in asked):
            return batch
        self.dropped(batch, "another kernel sends some of its requests")
        return None

    def untaken(self, batch: BatchEntry) -> None:
        """The provider has turned it away, and may take it later."""
        self._write(batch.nonce, "untaken", {})

    def again(self, batch: BatchEntry, count: int, newest: str | None) -> None:
        """It is about to be sent again, with so many requests, after that batch of the account."""
        self._write(batch.nonce, "again", {"count": count, "newest": newest})

    def sent(self, batch: BatchEntry, known: str, *, sure: bool) -> None:
        """The provider's id is known, or what is taken for it until its results are read."""
        self._write(batch.nonce, "sent", {"id": known, "sure": sure})

    def not_its(self, batch: BatchEntry, known: str) -> None:
        """The batch with that id was another one."""
        self._write(batch.nonce, "not_its", {"id": known})

    def cancelled(self, batch: BatchEntry) -> None:
        """Its end was asked for."""
        self._write(batch.nonce, "cancelled", {})

    def collected(self, batch: BatchEntry) -> None:
        """All that will ever come of it is recorded."""
        self._write(batch.nonce, "collected", {})

    def dropped(self, batch: BatchEntry, why: str) -> None:
        """Its requests may be asked anew."""
        self._write(batch.nonce, "dropped", {"why": why})

    def keep(self, batch: BatchEntry, asked: Asked, task: Task, record: Record) -> bool:
        """Record an answer of a request of which only its key is known; False where it was since the batch was sent."""
        front = Front(*asked, record.status)
        return self.store is None or self.store.add_unasked(front, task, record, batch.line)

    def _write(self, nonce: str, deed: Deed, said: dict[str, Any]) -> None:
        if self.store is None:
            _take(self._batches, Said(nonce, deed, said))
            return
        front = Front(nonce * 2, 0, f"{BATCH}{deed}")
        entry = {
            "schema": SCHEMA,
            "key": front.key,
            "sample": front.sample,
            "status": front.status,
            **stamp(),
            "batch": said,
        }
        self.store.batch_lines.append(line_of(entry), front)
        self._look()

    def _look(self) -> None:
        """Take in the lines that have come to the file."""
        if self.store is None:
            return
        anew, self._read, lines = self.store.batch_lines.since(self._read)
        if anew:
            self._batches.clear()
        for said in deeds(lines):
            _take(self._batches, said)


def _take(batches: dict[str, BatchEntry], line: Said) -> None:
    """Take in one line. The file may be anybody's: what is no such line says nothing."""
    nonce, deed, said, number = line
    try:
        if deed == "intent":
            if nonce not in batches:
                batches[nonce] = _intended(nonce, said, number)
            return
        batch = batches[nonce]
        if deed == "untaken":
            batch.untaken = True
        elif deed == "again":
            batch.untaken, batch.count = False, int(said["count"])
            batch.newest = _text(said["newest"])
        elif deed == "sent" and not (batch.id and batch.sure):
            batch.id, batch.sure = str(said["id"]), said["sure"] is True
        elif deed == "not_its":
            batch.not_its.add(str(said["id"]))
            if batch.id == said["id"]:
                batch.id, batch.sure = "", False
        elif deed == "cancelled":
            batch.cancelled = True
        elif deed in ("collected", "dropped") and not batch.closed:
            why = said.get("why")
            batch.closed = f"{deed}: {why}" if why else deed
            batch.asked = ()
    except (KeyError, TypeError, ValueError, AttributeError):
        return


def _intended(nonce: str, said: dict[str, Any], number: int) -> BatchEntry:
    pairs = (each.rpartition("-") for each in said["asked"].split())
    return BatchEntry(
        nonce,
        str(said["provider"]),
        str(said["account"]),
        tuple(map(str, said["models"])),
        int(said["count"]),
        _text(said["newest"]),
        tuple(Asked(key, int(sample)) for key, _, sample in pairs),
        written=float(said["at"]),
        line=number,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
