"""A batch is created at its provider once: where nobody knows whether it was, that is found out first."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

from parallm_magics.core.batches import BatchUnsentError
from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.provider import CallFailed, Provider
from parallm_magics.core.tasks import Event, Fault, Task
from parallm_magics.engine.batch_queue import Queue
from parallm_magics.engine.batch_search import look_for
from parallm_magics.engine.batch_shared import Shared
from parallm_magics.engine.run_batch import RunBatch
from parallm_magics.errors import ParallmError

REPLY_SECONDS = 300.0
LOCK_SECONDS = 1.0
GIVE_UP_SECONDS = 3600.0
"""Seconds for which a provider may fail to take a batch before its calls end unasked."""

PASSING: frozenset[FaultKind] = frozenset(
    {"rate_limit", "parameter", "server", "connection", "timeout", "cut", "not_an_answer"}
)
"""After these a batch may be taken later."""
CLOSED: frozenset[FaultKind] = frozenset({"auth", "quota", "model"})
"""After these, no other batch of the same calls is taken."""


class Creating:
    """Creates batches that are written down, and finds out what has become of those in doubt."""

    def __init__(self, shared: Shared, sort: Callable[[list[Task]], Awaitable[None]]) -> None:
        """Take where calls go that are in no batch any more."""
        self._run, self._sort = shared, sort
        self._records, self._ledger, self._waiting = shared.records, shared.ledger, shared.waiting

    async def settle(self, batch: RunBatch) -> None:
        """Find out whether a batch was taken; one that was not is sent.

        Raises:
            UndecidedError: only a person can tell.
            Stopped: somebody has stopped the run.
        """
        await self.lock(batch.queue)
        ledger, now = self._ledger, self._run.clock.now()
        try:
            entry = batch.entry = ledger.find(batch.entry.nonce) or batch.entry
            if entry.id:
                batch.status, batch.due = "under way", now
            elif entry.closed:
                await self.put_back(batch)
            elif entry.untaken or not await self._is_found(batch):
                self._not_taken(batch)
                if self.in_doubt(batch.queue):
                    batch.status = "waiting"
                    batch.look_later(now, "another batch is looked for first")
                else:
                    await self._again(batch)
        except CallFailed as error:  # of the list
            await self._doubt(batch, error.fault)
        finally:
            ledger.give_lock_back()
        self._run.show()

    async def create(self, batch: RunBatch) -> None:
        """Send it; the lock is held."""
        batch.status = "sending"
        self._run.show()
        try:
            state = await self._waiting.reply(batch.api.create(batch.requests, batch.entry.nonce))
        except CallFailed as error:
            if isinstance(error, BatchUnsentError):
                await self._unsent(batch, error.fault)
            else:
                await self._doubt(batch, error.fault)
            self._run.show()
            return
        self._known(batch, state.id, sure=True)
        now, records = self._run.clock.now(), self._records
        batch.queue.went()
        batch.sent, batch.age = now, 0.0
        batch.heard(state, now)
        for task in batch.tasks.values():
            records.tell(Event("started", task.index, records.at, task=task))
            await self._waiting.breathe()
        self._run.show()

    async def put_back(self, batch: RunBatch) -> None:
        """Its calls are in no batch any more."""
        self._run.batches.remove(batch)
        for task in batch.tasks.values():
            self._records.release(task)
        await self._sort([*batch.tasks.values()])

    def drop(self, batch: RunBatch, why: str) -> None:
        """Write down that its requests may be asked anew."""
        with contextlib.suppress(OSError):  # then it stays open: better asked about than paid twice
            self._ledger.dropped(batch.entry, why)
        self._records.over(batch.entry.nonce)

    async def lock(self, queue: Queue) -> None:
        """Be the only one who sends, of all kernels that use the file."""
        try:
            while not self._ledger.take_lock():
                queue.note = "another kernel is sending a batch"
                await self._waiting.for_seconds(LOCK_SECONDS)
        except OSError as error:
            raise unwritten(error) from None
        queue.note = ""

    def in_doubt(self, queue: Queue) -> bool:
        """Whether it is not known of a batch whether it was taken, and another one could be mistaken for it."""
        if queue.api.keeps_nonce:
            return False
        alike = (each for each in self._run.batches if each.queue.name == queue.name)
        return any(not (each.entry.id or each.entry.untaken) for each in alike)

    async def end(self, queue: Queue, fault: Fault) -> None:
        """End what waits in line; what is not wanted any more only where every call gets a record."""
        while queue.calls:
            await self._waiting.breathe()
            task, _ = queue.calls.popleft()
            if fault.kind != "cancelled" or self._run.drain:
                self._records.not_asked(task, fault)
            else:
                del self._records.todo[task.index]

    async def _is_found(self, batch: RunBatch) -> bool:
        """Whether the provider's list has the batch, or one that may be it."""
        batch.status, batch.note, entry = "looked for", "", batch.entry
        self._run.show()
        others = [each for each in self._ledger.batches() if each.nonce != entry.nonce]
        account = account_mark(batch.provider)
        found = await look_for(entry, batch.api, others, account, self._waiting)
        if found.id:
            self._known(batch, found.id, sure=found.sure)
            batch.status, batch.due = "under way", self._run.clock.now()
        return bool(found.id)

    async def _again(self, batch: RunBatch) -> None:
        """Send a batch that was never taken."""
        if not self._run.sends:
            await self._fail(batch, UNSENT)
            return
        if not self._records.are_held(batch.tasks.values()):
            try:  # what the caps leave room for is sent as any other call
                self._ledger.dropped(batch.entry, "never taken, and too dear for the caps now")
            except OSError as error:
                raise unwritten(error) from None
            await self.put_back(batch)
            return
        newest = await self._waiting.reply(batch.api.newest(), REPLY_SECONDS)
        try:
            self._ledger.again(batch.entry, len(batch.tasks), newest)
        except OSError as error:
            raise unwritten(error) from None
        await self.create(batch)

    def _known(self, batch: RunBatch, known: str, *, sure: bool) -> None:
        entry = batch.entry
        with contextlib.suppress(OSError):  # the list will tell whoever comes next
            self._ledger.sent(entry, known, sure=sure)
        batch.entry = entry = self._ledger.find(entry.nonce) or entry
        entry.id, entry.sure = known, sure

    def _not_taken(self, batch: RunBatch) -> None:
        """Write down that the provider does not have it."""
        if not batch.entry.untaken:
            with contextlib.suppress(OSError):  # then the list is asked once more
                self._ledger.untaken(batch.entry)
            batch.entry.untaken = True

    async def _unsent(self, batch: RunBatch, fault: Fault) -> None:
        """The provider has not taken it: it is sent again, smaller or later, or never."""
        size = len(batch.tasks)
        if fault.kind in PASSING:
            self._not_taken(batch)
            await self._doubt(batch, fault)
        elif fault.kind == "too_large" and size > 1:
            self.drop(batch, "too large")
            batch.queue.most = size // 2
            await self.put_back(batch)
        else:
            self.drop(batch, fault.message)
            await self._fail(batch, fault)
            if fault.kind in CLOSED:
                await self.end(batch.queue, fault)

    async def _doubt(self, batch: RunBatch, fault: Fault) -> None:
        """Look at the batch later, unless it has failed for too long."""
        now, queue, entry = self._run.clock.now(), batch.queue, batch.entry
        queue.since = now if queue.since is None else queue.since
        if now - queue.since > GIVE_UP_SECONDS or fault.kind in CLOSED:
            if entry.untaken:
                self.drop(batch, fault.message)
                await self._fail(batch, fault)
                return
            unknown = f"it is not known whether batch {entry.nonce} was taken; run the cell again"
            self._run.batches.remove(batch)
            for name, task in list(batch.tasks.items()):
                why = replace(fault, message=f"{fault.message}; {unknown}")
                self._records.left(name, task, why, "", batch.sent)
                await self._waiting.breathe()
            return
        batch.status = "waiting" if entry.untaken else "looked for"
        batch.look_later(now, fault.message, fault.retry_after or 0.0)

    async def _fail(self, batch: RunBatch, fault: Fault) -> None:
        self._run.batches.remove(batch)
        for task in list(batch.tasks.values()):
            await self._waiting.breathe()
            self._records.not_asked(task, fault)


UNSENT = Fault(
    "cancelled", "it is in no batch, and collect() sends nothing; await run.retry() to send it"
)


def account_mark(provider: Provider) -> str:
    """Tells another key or address of a provider from this one, and nothing else of it."""
    return hashlib.sha256(provider.account.encode("utf-8", "replace")).hexdigest()[:8]


def unwritten(error: OSError) -> ParallmError:
    """The error of a file in which no batch can be written down."""
    why = error.strerror or "the file's name is not allowed"
    return ParallmError(
        f"--batch: the recordings file cannot be written ({why}), so nothing was sent; a batch is written down there "
        f"before it is sent; name another file with %parallm recordings PATH"
    )
