"""The calls of a run in batches: sent at once, answered hours later, in this kernel or another one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from parallm_magics.core.batch_entries import BatchEntry, BatchLedger
from parallm_magics.core.batches import batches_of
from parallm_magics.core.tasks import Event, Fault, Record, Task
from parallm_magics.engine.admission import Source
from parallm_magics.engine.batch_creating import UNSENT, Creating, unwritten
from parallm_magics.engine.batch_following import GOES_ON, Following
from parallm_magics.engine.batch_ids import request_id
from parallm_magics.engine.batch_queue import Queue
from parallm_magics.engine.batch_reading import Stray
from parallm_magics.engine.batch_records import BatchRecords
from parallm_magics.engine.batch_sending import Sending
from parallm_magics.engine.batch_shared import Shared
from parallm_magics.engine.batch_waiting import Stopped, Waiting
from parallm_magics.engine.jobs import Job


class BatchEngine:
    """Sends calls in batches, and follows those that hold calls of the run already.

    What is in which batch stands in a ledger, before it is sent. So a run that breaks off at any moment,
    with its kernel or without, is gone on with by the next run that makes the same calls.
    """

    def __init__(self, ledger: BatchLedger, stray: Stray, *, sends: bool = True) -> None:
        """Take where the batches are written down.

        Args:
            sends: whether what is in no batch is sent; else it ends unasked.
        """
        self._ledger, self._stray, self._sends = ledger, stray, sends

    async def run(self, job: Job) -> Sequence[Record]:
        """One record a call, in the calls' order.

        Raises:
            UndecidedError: only a person can tell whether an earlier batch was taken.
            ParallmError: the ledger cannot be read or written; nothing was sent.
            asyncio.CancelledError: the caller was cancelled; batches that were sent go on.
        """
        return await _BatchRun(job, self._ledger, self._stray, sends=self._sends).run()


class _BatchRun:
    """One run: reads the calls, takes up what was sent before, sends the rest, and follows all of it."""

    def __init__(self, job: Job, ledger: BatchLedger, stray: Stray, *, sends: bool) -> None:
        self._job, self._clock = job, job.slots.clock
        self._records, self._waiting = BatchRecords(job), Waiting(self._clock, job.stop)
        self._run = Shared(
            self._records,
            [],
            ledger,
            self._waiting,
            self._clock,
            self._show,
            sends=sends,
            drain=job.rules.drain,
        )
        self._queues: dict[tuple[str, str], Queue] = {}
        creating = Creating(self._run, self._sort)
        self._sending = Sending(self._run, creating, self._sort)
        self._following = Following(self._run, creating, stray)

    async def run(self) -> Sequence[Record]:
        """One record a call, in the calls' order."""
        records, waiting, clock = self._records, self._waiting, self._clock
        off = [
            self._job.stop.on_stop(waiting.wake),
            self._job.accounts.budget.on_room(partial(clock.call_from_any_thread, waiting.wake)),
        ]
        try:
            await self._read()
            with contextlib.suppress(OSError):  # what is written needs it more: that is told
                self._run.ledger.close_answered()
                closed = (each.nonce for each in self._run.ledger.batches() if each.closed)
                records.over(*closed)
            await self._sort([*records.todo.values()])
            await self._following.settle()
            while records.todo:
                for queue in self._queues.values():
                    await self._sending.send(queue)
                await self._following.look()
                if records.todo:
                    await waiting.until(self._next())
        except Stopped:
            await self._leave()
        finally:
            for batch in self._run.batches:  # of a run that breaks off: else they have been left
                for name, task in batch.tasks.items():
                    if task.index in records.todo:
                        records.goes_on(name, task)
            records.give_up()
            for each in off:
                each()
        self._show()
        return self._job.collector.records()

    async def _read(self) -> None:
        """Take in all calls; nothing is sent before the last one is known."""
        source, slots = Source(self._job.calls, self._waiting.wake, self._clock), self._job.slots
        try:
            while not source.ended:
                call = source.take()
                if isinstance(call, Record):
                    self._records.known(call)
                elif call is not None:
                    slots.began = self._clock.now() if slots.began is None else slots.began
                    self._records.todo[call.index] = call
                elif not source.ended:
                    await self._waiting.until(None)
                await self._waiting.breathe()
                self._waiting.go_on()
        finally:
            if source.reading is not None:
                await source.close(source.reading)

    async def _sort(self, tasks: list[Task]) -> None:
        """Put calls into the batches that hold them, and all others in line.

        Raises:
            Stopped: somebody has stopped the run, and no call is in a batch.
        """
        try:
            claims = self._run.ledger.claims()
        except OSError as error:
            raise unwritten(error) from None
        held: dict[str, tuple[BatchEntry, Queue, dict[str, Task]]] = {}
        for task in tasks:
            await self._waiting.breathe()
            if not claims:  # else each call is told from those that are in a batch
                self._waiting.go_on()
            asked = self._run.ledger.asked_of(task)
            if asked is None:
                why = (
                    "the request has parameters that are not valid JSON, so it cannot be in a batch"
                )
                self._records.not_asked(task, Fault("bad_request", why))
                continue
            queue, entry = self._queue(task), claims.get(asked)
            inside: dict[str, Task] = {}
            if entry is not None:
                _, _, inside = held.setdefault(entry.nonce, (entry, queue, inside))
            name = "" if entry is None else request_id(entry.nonce, asked)
            if name and name not in inside:
                inside[name] = task
            elif (
                self._run.sends or name
            ):  # of two that are the same, the second waits for the first
                queue.calls.append((task, asked))
            else:
                self._records.not_asked(task, UNSENT)
        for entry, queue, inside in held.values():
            await self._following.take_up(entry, queue, inside)

    def _queue(self, task: Task) -> Queue:
        """Where a call waits: with those that may be in one batch with it."""
        provider = self._job.routes.provider(task.model)
        api = batches_of(provider)
        assert api is not None, "checked before the run"
        alone = api.limits.models is not None
        key = task.model.provider, str(task.model) if alone else ""
        if key not in self._queues:
            self._queues[key] = Queue(api, provider, task.model.provider)
        return self._queues[key]

    def _next(self) -> float | None:
        """When something is to be looked at again; None for when somebody wakes the run."""
        queues = (each for each in self._queues.values() if self._sending.may_send(each))
        looks = [*(batch.due for batch in self._run.batches), *(queue.ready for queue in queues)]
        return min(looks, default=None)

    async def _leave(self) -> None:
        """End what has not ended: batches go on at their provider, the rest is not sent."""
        for batch in self._run.batches:
            batch.status = "left"
            why = f"in batch {batch.entry.named}; {GOES_ON}"
            for name, task in batch.tasks.items():
                self._records.left(name, task, Fault("cancelled", why), batch.entry.id, batch.began)
                await self._waiting.breathe()
        for task in list(self._records.todo.values()):
            if self._job.rules.drain:
                self._records.not_asked(task, Fault("cancelled", self._job.stop.reason))
                await self._waiting.breathe()

    def _show(self) -> None:
        """Tell how far all batches of the run are."""
        now, records = self._clock.now(), self._records
        told = (*self._following.done, *(batch.progress(now) for batch in self._run.batches))
        records.tell(Event("batches", -1, records.at, batches=told))
