"""Many workers at once: who may begin, who tries again, and when a run has ended."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from parallm_magics.engine.pool import MOST, Pool, Ticket
from parallm_magics.engine.stop import Stop
from parallm_magics.engine.worker import Price, Try, Worker, asks_too_long
from parallm_magics.types import (
    Event,
    Fault,
    FaultKind,
    Listener,
    Model,
    Provider,
    Record,
    Status,
    Task,
)

# Faults that may pass, in words.
PASSING: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "server": "provider error",
    "connection": "no connection",
    "timeout": "timed out",
}
# After these no other call of the same key can succeed, or none of the same model.
FATAL: frozenset[FaultKind] = frozenset({"auth", "quota"})
# How many ended workers are told in one go, so that the loop is never held for long.
AT_ONCE = 500
TICK = 1e-6

ProviderFor = Callable[[Model], Provider]
PoolFor = Callable[[Provider], Pool]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run is driven.

    Attributes:
        concurrency: most workers at once, exactly.
        least: successes that the run needs; once out of reach nothing more is started.
        counted: the statuses that are a success in this count.
    """

    concurrency: int = MOST
    least: int = 0
    counted: frozenset[Status] = frozenset({"ok"})


@dataclass(frozen=True, slots=True)
class Doors:
    """Where a run's calls go.

    Attributes:
        provider: the door to a model.
        pool: the state that all calls through a door share.
    """

    provider: ProviderFor
    pool: PoolFor


class Pump:
    """Runs tasks to their records. No worker exists before it may soon begin.

    A worker that waits for its next try holds no place. A fault of one never touches another,
    unless it says that no other call can succeed either.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        doors: Doors,
        rules: Rules,
        tell: Listener,
        price: Price,
        stop: Stop,
        began: float,
    ) -> None:
        self._source = iter(tasks)
        self._known = len(tasks) if isinstance(tasks, list | tuple) else None
        self._doors, self._rules = doors, rules
        self._tell, self._price, self._stop = tell, price, stop
        self._began = began
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._exhausted = False
        self._lines: dict[Pool, deque[Worker]] = {}
        self._waiting: list[tuple[float, int, Worker, Pool]] = []
        self._order = itertools.count()
        self._running: dict[asyncio.Task[None], Worker] = {}
        self._closed: dict[tuple[Pool, Model | None], Fault] = {}
        self._lost = 0
        self._records: list[Record] = []

    async def run(self) -> list[Record]:
        """One record a task, in the tasks' order.

        Raises:
            asyncio.CancelledError: the caller was cancelled; all workers have ended by then.
        """
        off = self._stop.on_stop(self._cancel)
        try:
            while True:
                self._wake.clear()
                pause = self._admit()
                if self._exhausted and not (
                    self._running or self._waiting or any(self._lines.values())
                ):
                    break
                await self._sleep(pause)
        except asyncio.CancelledError:
            self._stop("cancelled")
            self._cancel()  # once more: those that a stop before has not ended
            await asyncio.gather(*self._running, return_exceptions=True)
            raise
        finally:
            off()
            for pool in self._lines:
                pool.wakers.discard(self._wake.set)
        return sorted(self._records, key=lambda record: record.index)

    async def _sleep(self, pause: float | None) -> None:
        """Until something has ended, or so many seconds; never less than the clock can tell apart."""
        if pause == 0.0:
            await asyncio.sleep(0)
            return
        timer = None if pause is None else self._loop.call_later(max(pause, TICK), self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    def _admit(self) -> float | None:
        """Begin whatever may begin; seconds until the next look, None for "when something ends"."""
        now = self._loop.time()
        self._fetch_due(now)
        self._fill(now)
        looks = [self._waiting[0][0] - now] if self._waiting else []
        for pool, line in self._lines.items():
            wait: float | None = 0.0
            while line and wait == 0.0 and len(self._running) < self._rules.concurrency:
                if reason := self._not_to_be_asked(line[0], pool):
                    self._end(line.popleft().stopped(reason, now, asked=False))
                    self._fill(now)
                elif (wait := pool.wait(now)) == 0.0:
                    self._begin(line.popleft(), pool, now)
                    self._fill(now)
            if line and wait:
                self._give_up(line, now, wait)
                looks.append(wait)
        return 0.0 if self._hungry() else min(looks, default=None)

    def _hungry(self) -> bool:
        """Whether more tasks are to be taken: waiting ones count, so that the source is held back."""
        backlog = sum(map(len, self._lines.values())) + len(self._waiting)
        return not self._exhausted and backlog < 2 * self._rules.concurrency

    def _fill(self, now: float) -> None:
        """Take tasks from the source while few wait."""
        for _ in range(AT_ONCE):
            if not self._hungry():
                return
            task = next(self._source, None)
            if task is None:
                self._exhausted = True
                return
            provider = self._doors.provider(task.model)
            pool = self._doors.pool(provider)
            worker = Worker(task, provider, self._began)
            if reason := self._not_to_be_asked(worker, pool):
                self._end(worker.stopped(reason, now, asked=False))
                continue
            if pool not in self._lines:
                self._lines[pool] = deque()
                pool.wakers.add(self._wake.set)
            self._lines[pool].append(worker)

    def _fetch_due(self, now: float) -> None:
        """Put workers whose pause is over before those that never began."""
        due: list[tuple[Worker, Pool]] = []
        while self._waiting and (self._stop.reason or self._waiting[0][0] <= now):
            _, _, worker, pool = heapq.heappop(self._waiting)
            due.append((worker, pool))
        for worker, pool in reversed(due):
            self._lines[pool].appendleft(worker)

    def _not_to_be_asked(self, worker: Worker, pool: Pool) -> Fault | None:
        """Why a worker must not begin; None where it may."""
        if self._stop.reason:
            return self._stopped()
        if self._known is not None and self._lost > self._known - self._rules.least:
            return Fault("cancelled", "not started: too many workers had failed")
        since = pool.down_since
        if since is not None and self._loop.time() - since >= worker.task.deadline:
            last = worker.tries[-1].fault if worker.tries else None
            why = f" ({last.message})" if last else ""
            return Fault("server", f"the provider has failed for {worker.task.deadline:g} s{why}")
        closed = self._closed.get((pool, None)) or self._closed.get((pool, worker.task.model))
        return replace(closed, message=f"not asked: {closed.message}") if closed else None

    def _give_up(self, line: deque[Worker], now: float, wait: float) -> None:
        """End those in line that the provider asks to wait beyond their deadline."""
        for worker in [each for each in line if each.left(now) < wait]:
            line.remove(worker)
            limited = worker.tries[-1].fault if worker.tries else None
            fault = limited or Fault("rate_limit", "the provider's rate limit")
            self._end(worker.stopped(asks_too_long(fault, wait), now, asked=False))

    def _begin(self, worker: Worker, pool: Pool, now: float) -> None:
        ticket = pool.begin(now)
        call = self._loop.create_task(self._call(worker, pool, ticket))
        self._running[call] = worker
        call.add_done_callback(lambda call: self._ended(call, pool))

    def _ended(self, call: asyncio.Task[None], pool: Pool) -> None:
        worker = self._running.pop(call)
        pool.end()
        self._wake.set()
        if call.cancelled() and worker.start is None:  # cancelled before its first step
            self._end(worker.stopped(self._stopped(), self._loop.time(), asked=False))

    async def _call(self, worker: Worker, pool: Pool, ticket: Ticket) -> None:
        fault: Fault | None = None
        try:
            last = await worker.once(self._told)
            self._settle(worker, pool, ticket, last)
        except asyncio.CancelledError:
            call = asyncio.current_task()
            if call is not None and call.cancelling():
                self._stop("cancelled from outside")  # unless somebody had stopped the run before
            fault = self._stopped()
            if not self._stop.reason:
                fault = Fault("bug", "unexpected CancelledError in the provider")
        # The last door: every worker ends in a record, whatever a provider lets slip.
        except Exception as error:
            fault = Fault("bug", f"unexpected {type(error).__name__}")
        if fault is not None:
            self._end(worker.stopped(fault, self._loop.time(), asked=True))

    def _settle(self, worker: Worker, pool: Pool, ticket: Ticket, last: Try) -> None:
        """End the worker, or let it wait for its next try; tell the pool what it can learn."""
        now, task, fault = self._loop.time(), worker.task, last.fault
        again = fault is not None and fault.kind in PASSING and not worker.provider.keeps_time
        if fault is None or not again or (fault.kind == "timeout" and not task.retry_timeouts):
            self._learn(task, pool, ticket, fault)
            self._end(worker.record(self._price, now, fault))
            return
        if fault.kind == "rate_limit":
            worker.waits += 1
            pool.limited(ticket, now, fault.retry_after)
            pause = pool.pause(worker.waits, fault.retry_after)
        elif pool.faulted(ticket, now):
            pause = pool.wait(now) or 0.0
        else:
            worker.lost += 1
            if worker.lost > task.retries:
                self._end(worker.record(self._price, now, fault))
                return
            pool.spend_retry()
            pause = pool.pause(worker.lost, fault.retry_after)
        if pause > worker.left(now):
            told = fault if fault.retry_after is None else asks_too_long(fault, fault.retry_after)
            self._end(worker.record(self._price, now, told))
            return
        why = f"waiting {pause:.1f} s ({PASSING[fault.kind]})"
        self._told(Event("waiting", task.index, now - self._began, why))
        heapq.heappush(self._waiting, (now + pause, next(self._order), worker, pool))

    def _learn(self, task: Task, pool: Pool, ticket: Ticket, fault: Fault | None) -> None:
        if fault is not None and fault.kind in FATAL:
            self._closed.setdefault((pool, None), fault)
        elif fault is not None and fault.kind == "model":
            self._closed.setdefault((pool, task.model), fault)
        elif fault is None or fault.kind not in ("timeout", "bug", "cut"):
            pool.answered(ticket)

    def _end(self, record: Record) -> None:
        self._records.append(record)
        self._lost += record.status not in self._rules.counted
        self._told(Event("ended", record.index, self._loop.time() - self._began, record=record))

    def _told(self, event: Event) -> None:
        with contextlib.suppress(Exception):  # a listener's mistake must not lose answers
            self._tell(event)

    def _stopped(self) -> Fault:
        return Fault("cancelled", self._stop.reason)

    def _cancel(self) -> None:
        for call in list(self._running):
            call.cancel()
        self._wake.set()
