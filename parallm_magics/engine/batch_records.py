"""The records of a run whose calls go out in batches: each call ends in exactly one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Event, Fault, Record, Task, Usage
from parallm_magics.engine.accounts import NOTHING
from parallm_magics.engine.corrections import reading_at_once, unread_fault
from parallm_magics.engine.jobs import Job
from parallm_magics.engine.retries import Outlook
from parallm_magics.engine.worker import UNBILLED, Try, Worker, fault_of, thinking_apart

# No provider charges for a request of a batch that it did not get to, or that it failed at.
UNBILLED_IN_BATCH: frozenset[FaultKind] = UNBILLED | {"timeout", "cancelled", "not_an_answer"}


class BatchRecords:
    """Takes how calls end, and makes, keeps and tells their records.

    Attributes:
        todo: the calls that have not ended, by their places.
        outlook: what the run can still come to.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._clock = job, job.slots.clock
        self.outlook = Outlook(job.rules, job.stop, job.accounts.budget)
        self.todo: dict[int, Task] = {}
        self._held: dict[int, Decimal] = {}
        self._names: dict[int, str] = {}  # of what was sent before
        self._short: set[int] = set()  # for which there was no room

    @property
    def at(self) -> float:
        """Seconds since the run's start."""
        began = self._job.slots.began
        return 0.0 if began is None else self._clock.now() - began

    def tell(self, event: Event) -> None:
        """Tell whoever listens; a listener's mistake must not lose answers."""
        if self._job.tell is not None:
            with contextlib.suppress(Exception):
                self._job.tell(event)

    def hold(self, task: Task) -> str | None:
        """Set aside what a call can cost at most.

        Returns:
            None where that is done; else why it can never be paid, or "" where it may be later.
        """
        budget = self._job.accounts.budget
        held = budget.hold(task)
        if held is None:
            return budget.never(task)
        self._held[task.index] = held
        return None

    def hold_anyway(self, task: Task, name: str) -> None:
        """Set aside what a call that was sent before, by that name, can cost, as far as there is room."""
        self._names[task.index] = name
        held = self._job.accounts.budget.take_over(task, name)
        self._held[task.index] = NOTHING if held is None else held
        if held is None:
            self._short.add(task.index)

    def are_held(self, tasks: Iterable[Task]) -> bool:
        """Whether there was room for all of these calls."""
        return not any(task.index in self._short for task in tasks)

    def release(self, task: Task) -> None:
        """Nothing of what was set aside was spent."""
        self._short.discard(task.index)
        self._free(task)
        held = self._held.pop(task.index, None)
        if held is not None:
            self._job.accounts.budget.settle(held, NOTHING)

    def known(self, record: Record) -> None:
        """Take in the record of a call that is not to be made."""
        self._keep(None, record)

    def answered(self, task: Task, end: Reply | CallFailed, batch: str, sent: float) -> None:
        """End a call with what a batch's results say of it.

        An answer that does not conform to its schema is not asked for again: that would take hours.

        Args:
            batch: the provider's id of the batch.
            sent: when it was sent, by the run's clock.
        """
        end = thinking_apart(end)
        if isinstance(end, CallFailed):
            fault: Fault | None = end.fault
            if end.usage is None and not end.text and end.fault.kind in UNBILLED_IN_BATCH:
                end.usage = Usage()
        else:
            fault = fault_of(end)
        value = None
        if fault is None and isinstance(end, Reply):
            answer = reading_at_once(task, end)
            fault, value = unread_fault(answer), answer.value if answer else None
        worker, now = self._worker(task, sent), self._clock.now()
        last = Try(end, fault, now - sent, measured=True, value=value)
        worker.tries.append(last)
        worker.held = self._held.pop(task.index, None)
        self._free(task)
        accounts = self._job.accounts
        accounts.charge(worker, last)
        self._end(task, _in(batch, accounts.record(worker, now, fault)))

    def not_asked(self, task: Task, fault: Fault) -> None:
        """End a call of which no batch was taken, so that it has cost nothing."""
        self.release(task)
        self._end(task, self._stopped(task, fault, None))

    def left(self, name: str, task: Task, fault: Fault, batch: str, sent: float) -> None:
        """End a call that goes on in its batch, for this run; what it will cost is not known.

        This is no outcome: nothing of it is recorded, so that the answer can be.
        """
        self.goes_on(name, task)
        self.release(task)
        record = _in(batch, self._stopped(task, fault, sent))
        if not record.simulated:
            record = replace(record, usage=None, cost=None)
        del self.todo[task.index]
        self._keep(None, record)

    def give_up(self) -> None:
        """The run breaks off: give back what was set aside."""
        for task in list(self.todo.values()):
            self.release(task)

    def goes_on(self, name: str, task: Task) -> None:
        """Count in caps that outlive the run what a call may cost that is left in its batch."""
        self._names.pop(task.index, None)
        if not self._job.routes.provider(task.model).simulated:
            self._job.accounts.budget.leave(task, name)

    def over(self, *nonces: str) -> None:
        """Nothing more comes of these batches."""
        self._job.accounts.budget.free(frozenset(nonces))

    def _free(self, task: Task) -> None:
        if name := self._names.pop(task.index, ""):
            self._job.accounts.budget.taken(name)

    def _stopped(self, task: Task, fault: Fault, sent: float | None) -> Record:
        worker = self._worker(task, sent)
        return self._job.accounts.stopped(worker, fault, self._clock.now(), asked=False)

    def _worker(self, task: Task, sent: float | None) -> Worker:
        began, provider = self._job.slots.began, self._job.routes.provider(task.model)
        began = self._clock.now() if began is None else began
        return Worker(task, provider, self._clock, began, 0.0, start=sent)

    def _end(self, task: Task, record: Record) -> None:
        del self.todo[task.index]
        self._keep(task, record)

    def _keep(self, task: Task | None, record: Record) -> None:
        with contextlib.suppress(Exception):  # a reader's mistake must not lose an answer
            record = self._job.accounts.finish(task, record)
        self._job.collector.add(record)
        if record.status not in self._job.rules.counted:
            self.outlook.note_lost()
        self.tell(Event("ended", record.index, self.at, record=record))


def _in(batch: str, record: Record) -> Record:
    """The record of a call in that batch; one that was sent before the run counts from its beginning."""
    start, queued = max(record.start, 0.0), max(record.queued, 0.0)
    return replace(record, start=start, queued=queued, batch=batch)
