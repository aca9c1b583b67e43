"""Many workers at once: each call begins in its turn, and comes to one record."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial

from parallm_magics.core.provider import CallFailed, NotNow, Reply
from parallm_magics.core.tasks import Call, Event, Fault, Listener, Record, Task, Usage
from parallm_magics.engine.accounts import NOTHING, Accounts
from parallm_magics.engine.admission import Admission, Hooks, Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.clock import Cancellable, Waiter
from parallm_magics.engine.collectors import Collector, InMemory
from parallm_magics.engine.question_records import question_records
from parallm_magics.engine.rate_limits import Slots, Ticket
from parallm_magics.engine.retries import PASSING, Outlook, Rules, after_fault
from parallm_magics.engine.worker import Line, Try, Worker

TICK_SECONDS = 1e-6
CANCELLED_ITSELF = Fault("bug", "the provider raised an unexpected CancelledError")

Begun = Callable[[], None] | None


class Scheduler:
    """Runs calls to their records.

    A worker that waits for its next try holds no slot. A fault of one never touches another,
    unless it says that no other call can succeed either.

    Attributes:
        outlook: what its calls can still come to.
    """

    def __init__(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        routes: Routes,
        rules: Rules,
        accounts: Accounts,
        tell: Listener | None,
        stop: Stop,
        slots: Slots | None = None,
        collector: Collector | None = None,
    ) -> None:
        """Take what is needed; `slots` are shared with the other schedulers of the run."""
        self._slots = slots or Slots(rules.concurrency)
        self._clock, self._rank = self._slots.clock, next(self._slots.ranks)
        self._accounts, self._stop = accounts, stop
        self._tell = None if tell is None else partial(_told, tell)
        doubtful = bool(stop.reason) or accounts.budget.capped
        self.outlook = Outlook(
            rules, stop, accounts.budget, over=bool(stop.reason), doubtful=doubtful
        )
        hooks = Hooks(self._begin, self._refuse, self._end, self._wake)
        self._admission = Admission(calls, routes, self.outlook, self._slots, hooks)
        self._running: dict[Worker, Cancellable] = {}
        self._collector = collector or InMemory()
        self._collect = self._collector.add
        self._over = Waiter(self._clock)
        self._woken = self._broken = False
        self._timer: Callable[[], object] | None = None

    async def run(self) -> Sequence[Record]:
        """One record a call, in the calls' order; see `Rules.drain` for those never made.

        Raises:
            asyncio.CancelledError: the caller was cancelled; all workers have ended by then.
        """
        off = [self._stop.on_stop(self._cancel)]
        if self.outlook.budget.capped:
            wake = partial(self._clock.call_from_any_thread, self._wake)
            off.append(self.outlook.budget.on_room(wake))
        self._slots.wakers[self._wake] = None
        try:
            self._wake()
            await self._clock.wait(self._over)
        except BaseException as error:
            self._stop("cancelled" if isinstance(error, asyncio.CancelledError) else "stopped")
            self._cancel()  # once more: those that a stop before has not ended
            self._broken = True
            if self._running:
                self._over = Waiter(self._clock)
                await self._clock.wait(self._over)
            raise
        finally:
            for each in off:
                each()
            del self._slots.wakers[self._wake]
            await self._admission.close()
        return self._collector.records()

    @property
    def lines(self) -> Iterable[Line]:
        """Those that wait under each limit, in their order."""
        return self._admission.lines

    def _wake(self) -> None:
        """Look soon who may begin."""
        if not self._woken:
            self._woken = True
            self._clock.call_at(self._clock.now(), self._look, self._rank)

    def _look(self) -> None:
        """Begin whatever may begin, and see to it that it is looked again."""
        self._woken = False
        if self._timer is not None:
            self._timer()
            self._timer = None
        if self._broken or self._over.done():
            return
        now, admission = self._clock.now(), self._admission
        try:
            pause = admission.look(now)
        except BaseException as error:  # of the source; told where the run is awaited
            self._over.fail(error)
            return
        if admission.source.ended and not (self._running or admission.backlog):
            self._over.wake()
        elif pause == 0.0:
            self._woken = True
            self._clock.call_held(self._look)
        elif pause is not None:
            self._timer = self._clock.call_at(now + max(pause, TICK_SECONDS), self._wake)

    def _begin(self, worker: Worker, line: Line, now: float) -> None:
        self.outlook.unpaid = 0
        self._slots.taken += 1
        ticket = line.limit.begin(now)
        warmup = self._admission.warmup
        # Now and not in the call's first step: those after it in line must already see it.
        begun = warmup.begins(worker, self._wake) if warmup is not None else None
        call = self._call(worker, line, ticket, begun)
        self._running[worker] = self._clock.start(call, partial(self._ended, worker, line))

    async def _call(self, worker: Worker, line: Line, ticket: Ticket, begun: Begun) -> None:
        fault: Fault | None = None
        try:
            last = await worker.once(self._tell, begun)
            self._accounts.charge(worker, last)
            self._settle(worker, line, ticket, last)
        except NotNow:
            self._accounts.settle(worker, NOTHING, Usage())
            self._admission.pause(worker, line, self._clock.now())
        except asyncio.CancelledError:
            call = asyncio.current_task()
            if call is not None and call.cancelling():
                self._stop("cancelled from outside")  # unless somebody had stopped the run before
            fault = self.outlook.stopped() if self._stop.reason else CANCELLED_ITSELF
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        # Every worker ends in a record, whatever a provider lets slip.
        except BaseException as error:
            fault = Fault("bug", f"unexpected {type(error).__name__}")
        finally:
            if fault is not None:
                self._accounts.settle(worker, None, None)
                now = self._clock.now()
                self._end(worker.task, self._accounts.stopped(worker, fault, now, asked=True))
            self._leave(worker, line)

    def _ended(self, worker: Worker, line: Line, call: Cancellable) -> None:
        """End a call that was cancelled before its first step; all others have done that themselves."""
        if self._running.get(worker) is not call:
            return
        self._accounts.settle(worker, NOTHING, Usage())
        self._refuse(worker, self.outlook.stopped(), self._clock.now())
        self._leave(worker, line)

    def _leave(self, worker: Worker, line: Line) -> None:
        """Give back what a call has held."""
        del self._running[worker]
        if self._admission.warmup is not None:
            self._admission.warmup.ends(worker)
        self._slots.give_back()
        line.limit.end()
        if self._broken and not self._running:
            self._over.wake()

    def _settle(self, worker: Worker, line: Line, ticket: Ticket, last: Try) -> None:
        """End the worker, or let it wait for its next try."""
        now, fault = self._clock.now(), last.fault
        pause = None
        if fault is None:
            line.bare_refusals = -1
            line.limit.answered(ticket)
        else:
            fault, pause = after_fault(worker, line, ticket, self.outlook, now, self._running)
        if fault is None or pause is None:
            self._end(worker.task, self._accounts.record(worker, now, fault), last.end)
            return
        self._admission.pause(worker, line, now + pause)
        if self._tell is not None:
            why = _until_next(fault, pause)
            for task in worker.task.asked:
                self._tell(Event("waiting", task.index, now - worker.began, why))

    def _refuse(self, worker: Worker, fault: Fault, now: float) -> None:
        """End a worker that is not asked, or not again."""
        self._end(worker.task, self._accounts.stopped(worker, fault, now, asked=False))

    def _end(
        self, task: Task | None, record: Record, end: Reply | CallFailed | None = None
    ) -> None:
        if task is not None and task.questions:
            for question, own in question_records(task, record, end):
                self._end(question, own)
            return
        with contextlib.suppress(Exception):  # a reader's mistake must not lose an answer
            record = self._accounts.finish(task, record)
        self._collect(record)
        if record.status not in self.outlook.rules.counted:
            self.outlook.note_lost()
        if self._tell is not None:
            began = self._slots.began
            at = 0.0 if began is None else self._clock.now() - began
            self._tell(Event("ended", record.index, at, record=record))

    def _cancel(self) -> None:
        self.outlook.look_ahead()
        # One that stops the run because of its own record is among them; it is booked by then.
        for call in list(self._running.values()):
            call.cancel()
        self._wake()


def _until_next(fault: Fault, pause: float) -> str:
    """What a call does until its next try."""
    why = PASSING[fault.kind]
    return f"waiting {pause:.1f} s ({why})" if pause else why


def _told(tell: Listener, event: Event) -> None:
    try:
        tell(event)
    except Exception:  # a listener's mistake must not lose answers
        return
