"""Batches are followed to their end, however long that takes, and their results are read."""

from __future__ import annotations

import contextlib

from parallm_magics.core.batch_entries import BatchEntry
from parallm_magics.core.batches import BatchProgress, BatchState
from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Event, Fault, Task, Usage
from parallm_magics.engine.batch_creating import REPLY_SECONDS, UNSENT, Creating
from parallm_magics.engine.batch_queue import Queue
from parallm_magics.engine.batch_reading import ResultReader, Stray
from parallm_magics.engine.batch_search import UndecidedError
from parallm_magics.engine.batch_shared import Shared
from parallm_magics.engine.run_batch import RunBatch

MOST_READINGS = 10
"""How often results are read anew that bring nothing new, though some are missing."""
CLEAN_READINGS = 3
"""The same where they were read to their end."""
MOST_REFUSALS = 5
"""How often a batch of one request is sent again that the provider refuses for now."""
LOST: frozenset[FaultKind] = frozenset({"auth", "forbidden", "quota", "model", "bad_request"})
"""After these the provider will not tell of a batch, as it seems."""
MOST_FAILURES = 5
GOES_ON = "run the cell again or await run.collect()"


class Following:
    """Looks at each batch when it is due, and takes what has come of it.

    Attributes:
        done: the batches that have ended, as they are told.
    """

    def __init__(self, shared: Shared, creating: Creating, stray: Stray) -> None:
        self._run, self._creating = shared, creating
        self._reading = ResultReader(shared, stray)
        self._records, self._ledger, self._waiting = shared.records, shared.ledger, shared.waiting
        self.done: list[BatchProgress] = []

    async def take_up(self, entry: BatchEntry, queue: Queue, tasks: dict[str, Task]) -> None:
        """Follow a batch that was sent before, or may have been."""
        now, records = self._run.clock.now(), self._records
        # Told of before others run: a stop leaves its calls in it.
        self._run.batches.append(RunBatch.taken_up(entry, queue, tasks, now))
        for name, task in tasks.items():
            records.hold_anyway(task, name)
            records.tell(Event("started", task.index, records.at, task=task))
            await self._waiting.breathe()

    async def settle(self) -> None:
        """Find out what has become of those that may never have been taken.

        Raises:
            UndecidedError: only a person can tell; nothing new was sent by then.
        """
        for batch in [*self._run.batches]:
            if not batch.entry.id:
                await self._creating.settle(batch)

    async def look(self) -> None:
        """Look at all batches that are due.

        Raises:
            Stopped: somebody has stopped the run.
        """
        for batch in [*self._run.batches]:
            if self._waiting.is_past(batch.due):
                await self._look_at(batch)

    async def _look_at(self, batch: RunBatch) -> None:
        entry = batch.entry = self._ledger.find(batch.entry.nonce) or batch.entry
        if entry.closed.startswith("dropped"):
            why = f"batch {entry.named} was dropped; run the cell again to send its requests anew"
            await self._give_up(batch, Fault("cancelled", why))
            self._records.over(entry.nonce)
        elif not entry.id:
            try:
                await self._creating.settle(batch)
            except UndecidedError as error:
                await self._give_up(batch, Fault("connection", str(error)))
        else:
            try:
                asking = batch.api.state(entry.id)
                state = await self._waiting.reply(asking, REPLY_SECONDS)
            except CallFailed as error:
                await self._not_told(batch, error.fault)
            else:
                await self._take(batch, state)
        self._run.show()

    async def _take(self, batch: RunBatch, state: BatchState) -> None:
        """Take in what the provider says of a batch."""
        entry = batch.entry
        if _is_another(entry, state):
            self._was_another(batch)
        elif state.status == "refused":
            await self._refused(batch, state)
        elif state.status == "ended":
            await self._collect(batch, state)
        else:
            batch.heard(state, self._run.clock.now())

    async def _not_told(self, batch: RunBatch, fault: Fault) -> None:
        """Look later: a batch goes on whether it can be looked at or not."""
        now, entry = self._run.clock.now(), batch.entry
        batch.failures += 1
        batch.look_later(now, f"cannot be looked at: {fault.message}", fault.retry_after or 0.0)
        if fault.kind not in LOST and fault.http != 404:
            batch.failures = 0
        if batch.failures < MOST_FAILURES:
            return
        if fault.http == 404 and not entry.sure:
            self._was_another(batch)
            return
        ways = (
            f"{GOES_ON}, or run %parallm batches drop {entry.id} to let its requests be sent again"
        )
        await self._give_up(
            batch, Fault(fault.kind, f"in batch {entry.id}: {fault.message}; {ways}")
        )

    async def _refused(self, batch: RunBatch, state: BatchState) -> None:
        """Send a batch later that cannot be taken now, smaller or after others; end any other one."""
        why = state.why or "the provider has refused the batch"
        self._creating.drop(batch, why)
        queue, size, now = batch.queue, len(batch.tasks), self._run.clock.now()
        queue.refusals += 1
        if not state.passing or (size == 1 and queue.refusals > MOST_REFUSALS):
            await self._close(batch, "refused", Fault("bad_request", why))
            return
        if not self._run.sends:
            await self._close(batch, "refused", UNSENT)
            return
        others = [each for each in self._run.batches if each.queue.name == queue.name]
        if len(others) > 1:
            queue.ended, queue.note = self._run.finished + 1, why
        else:
            queue.most = max(1, size // 2)
            queue.wait(now, why)
        await self._creating.put_back(batch)

    async def _collect(self, batch: RunBatch, state: BatchState) -> None:
        """Read its results, and end what they tell of."""
        batch.status, batch.note = "reading", ""
        self._run.show()
        before, broken = len(batch.read), ""
        try:
            await self._waiting.reply(self._reading.read(batch, state))
        except CallFailed as error:
            broken = error.fault.message
        entry = batch.entry
        if batch.read and not entry.sure:
            with contextlib.suppress(OSError):
                self._ledger.sent(entry, entry.id, sure=True)
        if not (broken or batch.read or entry.sure):
            self._was_another(batch)
        elif not (batch.tasks or broken):
            await self._close(batch, "done")
        else:
            batch.readings = 1 if len(batch.read) > before else batch.readings + 1
            await self._lacks(batch, broken)

    async def _lacks(self, batch: RunBatch, broken: str) -> None:
        """Read results again in which something is missing, or end what they do not tell of."""
        if batch.readings < (MOST_READINGS if broken else CLEAN_READINGS):
            missing = f"{len(batch.tasks):,} results are missing"
            batch.look_later(self._run.clock.now(), broken or f"{missing}; reading again")
        elif broken:
            why = f"its results could not be read to the end ({broken}); {GOES_ON}"
            await self._give_up(batch, Fault("cut", f"in batch {batch.entry.id}: {why}"))
        else:
            why = f"batch {batch.entry.id} has ended without a result for this request"
            await self._close(batch, "done", Fault("server", why))

    def _was_another(self, batch: RunBatch) -> None:
        """What was taken for the batch is none of ours: look for it again."""
        with contextlib.suppress(OSError):
            self._ledger.not_its(batch.entry, batch.entry.id)
        batch.entry.not_its.add(batch.entry.id)
        batch.entry.id = ""
        batch.status, batch.due, batch.failures = "looked for", self._run.clock.now(), 0

    async def _close(self, batch: RunBatch, status: str, fault: Fault | None = None) -> None:
        """The batch is over: what has no answer ends with the fault."""
        for task in list(batch.tasks.values()):
            await self._waiting.breathe()
            if fault is not None:
                end = CallFailed(fault, usage=Usage())
                self._records.answered(task, end, batch.entry.id, batch.began)
        batch.tasks.clear()
        if status == "done":
            with contextlib.suppress(OSError):  # then it is read again another time
                self._ledger.collected(batch.entry)
        self._records.over(batch.entry.nonce)
        batch.over(status)
        self._over(batch)

    async def _give_up(self, batch: RunBatch, fault: Fault) -> None:
        """Its calls end for this run; the batch may go on, and another run may still collect it."""
        batch.status, batch.note = "left", fault.message
        for name, task in list(batch.tasks.items()):
            self._records.left(name, task, fault, batch.entry.id, batch.began)
            await self._waiting.breathe()
        batch.tasks.clear()
        self._over(batch)

    def _over(self, batch: RunBatch) -> None:
        self._run.batches.remove(batch)
        self._run.finished += 1
        self.done.append(batch.progress(self._run.clock.now()))


def _is_another(entry: BatchEntry, state: BatchState) -> bool:
    """Whether what is taken for a batch is none of ours, as far as can be told before its results are read."""
    if entry.sure or state.nonce == entry.nonce:
        return False
    # A refused one has no results: were it ours, sending it again would cost nothing.
    return bool(state.nonce) or state.status == "refused"
