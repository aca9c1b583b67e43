"""Many workers at once: who may begin, who tries again, and when a run has ended."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import (
    CHARS_PER_TOKEN,
    Call,
    Event,
    Fault,
    FaultKind,
    Listener,
    Model,
    Record,
    Status,
    Task,
    Usage,
)
from parallm_magics.engine.budget import Budget
from parallm_magics.engine.cache_warmup import CacheWarmup
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.clock import run_on
from parallm_magics.engine.rate_limits import MOST, RateLimit, Ticket
from parallm_magics.engine.slots import Slots
from parallm_magics.engine.task_source import Source
from parallm_magics.engine.worker import Price, Try, Worker, asks_too_long, too_late

# Faults that may pass, in words.
PASSING: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "server": "provider error",
    "connection": "no connection",
    "timeout": "timed out",
    "forbidden": "refused without a reason",
    "parameter": "a field is left out",
}
# After these no other call of the same key can succeed, or none of the same model.
FATAL: frozenset[FaultKind] = frozenset({"auth", "quota"})
# A refusal that names neither a prompt nor the key is taken as the key's where so many calls have ended
# and none in any other way; later it is the prompt's.
FIRST_CALLS = 5
# How many ended workers are told in one go, so that the loop is never held for long.
AT_ONCE = 500
# So many calls in a row that no cap could ever pay for: the money is over, not the one call too dear.
UNPAID = 20
# How long calls are taken from their source, in seconds, before others may run.
READING = 0.01
TICK = 1e-6

ProviderFor = Callable[[Model], Provider]
PoolFor = Callable[[Provider], RateLimit]
Begun = Callable[[], None] | None
Finish = Callable[[Task | None, Record], Record]
"""From a record as the engine knows it to the record as it is kept; the task is None where the
source gave the record itself."""


def _as_it_is(task: Task | None, record: Record) -> Record:
    return record


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run is driven.

    Attributes:
        concurrency: most workers at once, exactly.
        asked: whether the user asked for so many, so that they need not be approached with care.
        least: successes that the run needs; once out of reach nothing more is started.
        counted: the statuses that are a success in this count.
        known: how many calls there are; None where only their source tells.
        models: how many models the calls ask; a closed door says nothing of one still to open.
        drain: whether calls that are no more to be made get records; else they are not even read.
        rpm, tpm: most requests, and most tokens, of one provider in any minute.
    """

    concurrency: int = MOST
    least: int = 0
    counted: frozenset[Status] = frozenset({"ok"})
    known: int | None = None
    drain: bool = True
    models: int = 1
    asked: bool = False
    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True, slots=True)
class Doors:
    """Where a run's calls go.

    Attributes:
        provider: the door to a model.
        pool: the state that all calls through a door share.
    """

    provider: ProviderFor
    pool: PoolFor


@dataclass(frozen=True, slots=True)
class Books:
    """What is kept of a run's calls.

    Attributes:
        price: the cost of a call's tokens.
        finish: gives a record its last form, and is the place to write it down.
        budget: the caps on cost.
    """

    price: Price
    finish: Finish = _as_it_is
    budget: Budget = field(default_factory=Budget)


class Scheduler:
    """Runs calls to their records. No worker exists before it may soon begin.

    A worker that waits for its next try holds no place. A fault of one never touches another,
    unless it says that no other call can succeed either.
    """

    def __init__(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        doors: Doors,
        rules: Rules,
        books: Books,
        tell: Listener | None,
        stop: Stop,
        shared: Slots | None = None,
    ) -> None:
        """Take what is needed; `shared` is what the other pumps of the run know too."""
        self._shared = shared or Slots(rules.concurrency)
        self._clock = self._shared.clock
        self._loop = self._clock.loop
        self._wake = self._clock.signal()
        self._source = Source(calls, self._wake.set, self._clock)
        self._doors, self._rules, self._books = doors, rules, books
        self._told = None if tell is None else partial(_told, tell)
        self._stop = stop
        self._unpaid = 0
        self._over = bool(stop.reason)
        self._opened: dict[Model, tuple[Provider, RateLimit]] = {}
        self._lines: dict[RateLimit, deque[Worker]] = {}
        self._backlog = 0
        self._read_until = 0.0
        self._warmth = CacheWarmup()
        self._waiting: list[tuple[float, int, Worker, RateLimit]] = []
        self._again: dict[Worker, RateLimit] = {}
        self._order = itertools.count()
        self._running: dict[asyncio.Task[None], Worker] = {}
        self._closed: dict[tuple[RateLimit, Model | None], Fault] = {}
        self._lost = 0
        self._firsts: dict[RateLimit, int] = {}
        self._records: list[Record] = []

    async def run(self) -> list[Record]:
        """One record a call, in the calls' order; see `Rules.drain` for those never made.

        Raises:
            asyncio.CancelledError: the caller was cancelled; all workers have ended by then.
        """
        off = (
            self._stop.on_stop(self._cancel),
            self._books.budget.on_room(self._wake_from_any_thread),
            self._shared.on_free(self._wake.set),
        )
        try:
            while True:
                self._wake.clear()
                pause = self._admit()
                if self._source.ended and not (self._running or self._backlog):
                    break
                await self._sleep(pause)
        except BaseException as error:
            self._stop("cancelled" if isinstance(error, asyncio.CancelledError) else "broken off")
            self._cancel()  # once more: those that a stop before has not ended
            await asyncio.gather(*self._running, return_exceptions=True)
            raise
        finally:
            for each in off:
                each()
            for pool in self._lines:
                pool.wakers.discard(self._wake.set)
            await self._source.close()
        return sorted(self._records, key=lambda record: record.index)

    def _wake_from_any_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the run
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _sleep(self, pause: float | None) -> None:
        """Until something has ended, or so many seconds; never less than the clock can tell apart."""
        if pause == 0.0:
            await asyncio.sleep(0)
            return
        until = None if pause is None else self._clock.now() + max(pause, TICK)
        off = None if until is None else self._clock.call_at(until, self._wake.set)
        await self._wake.wait()
        if off is not None:
            off()

    def _admit(self) -> float | None:
        """Begin whatever may begin; seconds until the next look, None for "when something ends"."""
        now = self._clock.now()
        self._read_until = self._loop.time() + READING
        self._fetch_due(now)
        self._fill(now)
        self._end_overdue(now)
        looks = [self._waiting[0][0] - now] if self._waiting else []
        looks += [worker.left(now) for worker in self._again]
        lines = [*self._lines.items()]
        for pool, line in lines:
            wait: float | None = 0.0
            while line and wait == 0.0 and self._shared.free:
                worker = line[0]
                if reason := self._not_to_be_asked(worker, pool):
                    line.popleft()
                    self._leave(worker)
                    self._end(worker.task, worker.stopped(reason, now, asked=False))
                elif self._warmth.must_wait(worker):
                    self._warmth.hold(line.popleft())
                elif (wait := self._room(worker, pool, now)) == 0.0:
                    line.popleft()
                    self._leave(worker)
                    self._begin(worker, pool, now)
                self._fill(now)
            if line and wait:
                self._give_up(line, pool, now, wait)
                looks.append(wait)
            if line and pool.down_since is not None and wait != 0.0:
                looks.append(pool.down_since + line[0].task.deadline - now)
        if len(self._lines) > len(lines) or (self._hungry() and not self._source.waits):
            return 0.0
        return min(looks, default=None)

    def _room(self, worker: Worker, pool: RateLimit, now: float) -> float | None:
        """Seconds until the worker may begin; None for "when another one has ended".

        Where it is 0, what the worker will use is taken.
        """
        if (wait := pool.wait(now)) != 0.0:
            return wait
        rpm, tpm = self._rules.rpm, self._rules.tpm
        most = _tokens(worker.task) if tpm else 0.0
        if rpm and (wait := pool.requests.wait(now, 1, rpm)):
            return wait
        if tpm and (wait := pool.tokens.wait(now, most, tpm)):
            return wait
        worker.held = self._books.budget.hold(worker.task)
        if worker.held is None:
            return None
        if rpm:
            pool.requests.take(now, 1)
        worker.tokens = pool.tokens.take(now, most) if tpm else None
        return 0.0

    def _hungry(self) -> bool:
        """Whether more calls are to be taken: waiting ones count, so that the source is held back."""
        return not self._source.ended and self._backlog < 2 * self._rules.concurrency

    def _fill(self, now: float) -> None:
        """Take calls from the source while few wait."""
        for _ in range(AT_ONCE):
            if not self._hungry():
                return
            if self._over and not self._rules.drain:
                self._source.ended = True
                return
            if self._loop.time() > self._read_until:  # a source of the user's may be slow
                return
            call = self._source.take()
            if call is None:
                return
            if isinstance(call, Record):
                self._end(None, call)
                continue
            began = self._shared.began = now if self._shared.began is None else self._shared.began
            provider, pool = self._opened.get(call.model) or self._open(call)
            self._lines[pool].append(Worker(call, provider, self._clock, began))
            self._backlog += 1

    def _open(self, task: Task) -> tuple[Provider, RateLimit]:
        provider = self._doors.provider(task.model)
        pool = self._doors.pool(provider)
        if pool not in self._lines:
            pool.opened(self._clock.now(), task.deadline)
            self._lines[pool] = deque()
            if self._rules.asked:
                pool.wanted(self._rules.concurrency)
            pool.wakers.add(self._wake.set)
        self._opened[task.model] = provider, pool
        return provider, pool

    def _leave(self, worker: Worker) -> None:
        """The worker waits no more."""
        self._again.pop(worker, None)
        self._backlog -= 1

    def _look_ahead(self) -> None:
        """Note where no call that is still to come can be made, or is wanted."""
        doors = self._opened.items()
        self._over = bool(
            self._stop.reason
            or self._out_of_reach()
            or self._unpaid >= UNPAID
            or (
                len(doors) >= self._rules.models
                and all(self._shut(pool, model) for model, (_, pool) in doors)
            )
        )

    def _out_of_reach(self) -> bool:
        """Whether the successes that the run needs can no more come together."""
        known = self._rules.known
        return known is not None and self._lost > known - self._rules.least

    def _shut(self, pool: RateLimit, model: Model) -> Fault | None:
        """Why no call to this model can succeed any more."""
        return self._closed.get((pool, None)) or self._closed.get((pool, model))

    def _fetch_due(self, now: float) -> None:
        """Put workers whose pause is over before those that never began."""
        due: list[tuple[Worker, RateLimit]] = []
        while self._waiting and (self._stop.reason or self._waiting[0][0] <= now):
            _, _, worker, pool = heapq.heappop(self._waiting)
            due.append((worker, pool))
        for worker, pool in reversed(due):
            self._lines[pool].appendleft(worker)
            self._again[worker] = pool
        for worker in self._warmth.released():
            self._lines[self._opened[worker.task.model][1]].appendleft(worker)

    def _not_to_be_asked(self, worker: Worker, pool: RateLimit) -> Fault | None:
        """Why a worker must not begin; None where it may."""
        if not (self._over or self._closed or self._books.budget.capped or pool.down_since):
            return None
        if self._stop.reason:
            return self._stopped()
        again = " again" if worker.tries else ""
        if self._out_of_reach():
            if self._unpaid:
                why = "the cap on cost leaves too few of the others"
                return Fault("budget", f"not asked{again}: {why}")
            return Fault("cancelled", f"not asked{again}: too many workers had failed")
        since = pool.down_since
        if since is not None and self._clock.now() - since >= worker.task.deadline:
            last = worker.tries[-1].fault if worker.tries else None
            why = f" ({last.message})" if last else ""
            return Fault("server", f"the provider has failed for {worker.task.deadline:g} s{why}")
        if why := self._books.budget.never(worker.task):
            self._unpaid += 1
            self._look_ahead()
            return Fault("budget", why)
        closed = self._shut(pool, worker.task.model) if self._closed else None
        return replace(closed, message=f"not asked{again}: {closed.message}") if closed else None

    def _give_up(self, line: deque[Worker], pool: RateLimit, now: float, wait: float) -> None:
        """End those in line that must wait beyond their deadline.

        The deadline of those that never began does not run yet: only the provider's word counts.
        """
        asked = pool.wait(now) or 0.0
        late = [w for w in line if w.left(now) < (asked if w.start is None else wait)]
        for worker in late:
            line.remove(worker)
            self._leave(worker)
            last = worker.tries[-1].fault if worker.tries else None
            fault = last or Fault("rate_limit", "the provider's rate limit")
            told = asks_too_long(fault, wait) if asked else too_late(fault, worker.task)
            self._end(worker.task, worker.stopped(told, now, asked=False))

    def _end_overdue(self, now: float) -> None:
        """End those that waited for a place for their next try until their deadline."""
        for worker, pool in [*self._again.items()] if self._again else ():
            fault = worker.tries[-1].fault
            if self._stop.reason or worker.left(now) > 0 or fault is None:
                continue
            if not self._warmth.drop(worker):
                self._lines[pool].remove(worker)
            self._leave(worker)
            told = too_late(fault, worker.task)
            self._end(worker.task, worker.stopped(told, now, asked=False))

    def _begin(self, worker: Worker, pool: RateLimit, now: float) -> None:
        self._unpaid = 0
        self._shared.taken += 1
        self._clock.hold()
        ticket = pool.begin(now)
        # Now and not in the call's first step: those after it in line must already see it.
        begun = self._warmth.begins(worker, self._wake.set) if worker.task.cache_key else None
        call = self._loop.create_task(self._call(worker, pool, ticket, begun))
        self._running[call] = worker
        call.add_done_callback(partial(self._ended, pool))

    def _ended(self, pool: RateLimit, call: asyncio.Task[None]) -> None:
        worker = self._running.pop(call)
        self._warmth.ends(worker)
        self._shared.give_back()
        pool.end()
        if call.cancelled() and worker.held is not None:  # cancelled before its first step
            self._book(worker, Decimal(0), Usage())
            self._end(worker.task, worker.stopped(self._stopped(), self._clock.now(), asked=False))
        self._clock.release()

    async def _call(self, worker: Worker, pool: RateLimit, ticket: Ticket, begun: Begun) -> None:
        fault: Fault | None = None
        run_on(self._clock)
        try:
            last = await worker.once(self._told, self._books.price, begun)
            self._book(worker, last.cost, last.used)
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
            self._book(worker, None, None)
            self._end(worker.task, worker.stopped(fault, self._clock.now(), asked=True))

    def _book(self, worker: Worker, cost: Decimal | None, used: Usage | None) -> None:
        """Settle what was set aside for a try; once."""
        if worker.held is None:
            return
        self._books.budget.settle(worker.held, cost)
        worker.held = None
        if worker.tokens is not None and used is not None:
            worker.tokens.pace.correct(worker.tokens, used.total_tokens)

    def _settle(self, worker: Worker, pool: RateLimit, ticket: Ticket, last: Try) -> None:
        """End the worker, or let it wait for its next try; tell the pool what it can learn."""
        now, task = self._clock.now(), worker.task
        fault = self._of_the_key(last.fault, pool)
        again = fault is not None and fault.kind in PASSING and not worker.provider.simulated
        if fault is not None and fault.kind == "timeout" and worker.provider.local:
            fault = self._queued(worker, pool, ticket, fault)
        if fault is None or not again or (fault.kind == "timeout" and not task.retry_timeouts):
            self._learn(task, pool, ticket, fault)
            self._end(task, worker.record(self._books.price, now, fault))
            return
        pause = self._pause(worker, pool, ticket, fault)
        if pause is None:
            self._end(task, worker.record(self._books.price, now, _at_last(fault)))
            return
        if pause > worker.left(now):
            told = fault if fault.retry_after is None else asks_too_long(fault, fault.retry_after)
            self._end(task, worker.record(self._books.price, now, told))
            return
        why = f"waiting {pause:.1f} s ({PASSING[fault.kind]})"
        if self._told is not None:
            self._told(Event("waiting", task.index, self._since(now), why))
        self._backlog += 1
        heapq.heappush(self._waiting, (now + pause, next(self._order), worker, pool))

    def _of_the_key(self, fault: Fault | None, pool: RateLimit) -> Fault | None:
        """The fault; of the key where the first calls all were refused without a reason."""
        bare = fault is not None and fault.kind == "forbidden"
        seen = self._firsts.get(pool, 0)
        self._firsts[pool] = seen + 1 if bare and 0 <= seen < FIRST_CALLS else -1
        if fault is None or self._firsts[pool] < FIRST_CALLS:
            return fault
        return replace(fault, kind="auth")

    def _pause(self, worker: Worker, pool: RateLimit, ticket: Ticket, fault: Fault) -> float | None:
        """Seconds until the next try after a passing fault; None where there is none."""
        now, left = self._clock.now(), worker.left(self._clock.now())
        if fault.kind == "parameter":  # each field is left out once, so that this ends
            return 0.0
        if fault.kind == "rate_limit":
            pool.limited(ticket, now, None if fault.final else fault.retry_after)
            worker.waits += 1
            return None if fault.final else pool.pause(worker.waits, fault.retry_after, left)
        if fault.kind != "forbidden" and pool.faulted(ticket, now) and not fault.final:
            return pool.wait(now) or 0.0
        worker.lost += 1
        if worker.lost > worker.task.retries or fault.final:
            return None
        pool.spend_retry()
        return pool.pause(worker.lost, fault.retry_after, left)

    def _queued(self, worker: Worker, pool: RateLimit, ticket: Ticket, fault: Fault) -> Fault:
        """The time-out of a local server, which says so where others may have been before it."""
        if worker.heard:
            return fault
        open_ones = (each for each in self._running.values() if each is not worker)
        serving = sum(bool(each.heard) and each.provider is worker.provider for each in open_ones)
        if not (others := pool.kept_waiting(ticket, self._clock.now(), serving)):
            return fault
        why = (
            f"{others} other calls were open at this local server, and it may answer one at a time: "
            "lower -c (-c 1), or give a longer --timeout"
        )
        return replace(fault, message=f"{fault.message}; {why}")

    def _learn(self, task: Task, pool: RateLimit, ticket: Ticket, fault: Fault | None) -> None:
        if fault is not None and fault.kind in FATAL:
            self._closed.setdefault((pool, None), fault)
        elif fault is not None and fault.kind == "model":
            self._closed.setdefault((pool, task.model), fault)
        elif fault is None or fault.kind not in ("timeout", "bug", "cut"):
            pool.answered(ticket)
            return
        self._look_ahead()

    def _end(self, task: Task | None, record: Record) -> None:
        with contextlib.suppress(Exception):  # a reader's mistake must not lose an answer
            record = self._books.finish(task, record)
        self._records.append(record)
        if record.status not in self._rules.counted:
            self._lost += 1
            self._look_ahead()
        if self._told is not None:
            at = self._since(self._clock.now())
            self._told(Event("ended", record.index, at, record=record))

    def _since(self, now: float) -> float:
        return 0.0 if self._shared.began is None else now - self._shared.began

    def _stopped(self) -> Fault:
        return Fault("cancelled", self._stop.reason)

    def _cancel(self) -> None:
        self._look_ahead()
        # One that stops the run because of its own record is among them; it is booked by then.
        for call in list(self._running):
            call.cancel()
        self._wake.set()


def _told(tell: Listener, event: Event) -> None:
    with contextlib.suppress(Exception):  # a listener's mistake must not lose answers
        tell(event)


def _at_last(fault: Fault) -> Fault:
    """The fault after the last try: what stays refused without a reason is the prompt's."""
    return replace(fault, kind="refusal") if fault.kind == "forbidden" else fault


def _tokens(task: Task) -> float:
    """The most tokens that a call is expected to take."""
    return (len(task.prompt) + len(task.system or "")) / CHARS_PER_TOKEN + task.max_tokens
