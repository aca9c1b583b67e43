"""What waits in line is sent in batches: written down first, and by one kernel at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from parallm_magics.core.batch_entries import Asked
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault, Task
from parallm_magics.engine.batch_creating import (
    GIVE_UP_SECONDS,
    PASSING,
    REPLY_SECONDS,
    Creating,
    account_mark,
    unwritten,
)
from parallm_magics.engine.batch_ids import new_nonce, nonce_of
from parallm_magics.engine.batch_queue import Chunk, Queue
from parallm_magics.engine.batch_shared import Shared
from parallm_magics.engine.run_batch import RunBatch


class Sending:
    """Sends what waits in line."""

    def __init__(
        self, shared: Shared, creating: Creating, sort: Callable[[list[Task]], Awaitable[None]]
    ) -> None:
        """Take where calls go that turn out to be in another kernel's batch."""
        self._run, self._creating, self._sort = shared, creating, sort
        self._records, self._ledger, self._waiting = shared.records, shared.ledger, shared.waiting

    def may_send(self, queue: Queue) -> bool:
        """Whether something may be sent, now or at the moment from which on the queue is ready."""
        alike = [each for each in self._run.batches if each.queue.name == queue.name]
        waits = queue.short or (bool(alike) and self._run.finished < queue.ended)
        return bool(queue.calls) and not waits and not self._creating.in_doubt(queue)

    async def send(self, queue: Queue) -> None:
        """Send what may be sent now.

        Raises:
            ParallmError: it cannot be written down.
            Stopped: somebody has stopped the run.
        """
        queue.short = False
        while self.may_send(queue) and self._waiting.is_past(queue.ready):
            if self._records.outlook.out_of_reach:
                await self._creating.end(
                    queue, Fault("cancelled", "not asked: too many workers failed")
                )
                return
            open_ones = set[Asked]()
            for batch in self._run.batches:
                open_ones.update(batch.entry.asked)
                await self._waiting.breathe()
            nonce = self._nonce(queue)
            chunk = await queue.chunk(nonce, self._records, open_ones, self._waiting)
            if not chunk.requests:
                if not queue.short:  # the same requests are under way
                    queue.ended = self._run.finished + 1
                return
            await self._send(queue, chunk)

    def _nonce(self, queue: Queue) -> str:
        """What the next batch is told from others by."""
        if queue.provider.simulated:
            return nonce_of(queue.calls[0][1], len(self._ledger.batches()))
        return new_nonce()

    async def _send(self, queue: Queue, chunk: Chunk) -> None:
        """Send a chunk, unless another kernel has sent some of it in this moment."""
        calls = [*chunk.requests.values()]
        await self._creating.lock(queue)
        try:
            claims = self._ledger.claims()
            if not any(asked in claims for _, asked in calls):
                newest = await self._waiting.reply(queue.api.newest(), REPLY_SECONDS)
                if batch := self._intended(queue, chunk, newest):
                    await self._creating.create(batch)
                    return
            for task, _ in calls:
                self._records.release(task)
            await self._sort([task for task, _ in calls])
        except CallFailed as error:  # of the list's newest
            await self._hindered(queue, calls, error.fault)
        finally:
            self._ledger.give_lock_back()

    def _intended(self, queue: Queue, chunk: Chunk, newest: str | None) -> RunBatch | None:
        """Write down that this is about to be sent; None where another kernel was faster."""
        asked = [asked for _, asked in chunk.requests.values()]
        tasks = {name: task for name, (task, _) in chunk.requests.items()}
        models = {str(task.model): None for task in tasks.values()}
        account = account_mark(queue.provider)
        try:
            entry = self._ledger.intend(chunk.nonce, queue.name, account, models, newest, asked)
        except OSError as error:
            raise unwritten(error) from None
        if entry is None:
            return None
        now = self._run.clock.now()
        batch = RunBatch(queue.api, queue.provider, entry, queue, tasks, now)
        self._run.batches.append(batch)
        return batch

    async def _hindered(self, queue: Queue, calls: list[tuple[Task, Asked]], fault: Fault) -> None:
        """Nothing can be sent now, or any more."""
        for task, _ in calls:
            self._records.release(task)
        queue.put_back(calls)
        now = self._run.clock.now()
        if fault.kind not in PASSING or (
            queue.since is not None and now - queue.since > GIVE_UP_SECONDS
        ):
            await self._creating.end(queue, fault)
            return
        queue.wait(now, fault.message, fault.retry_after or 0.0)
        self._run.show()
