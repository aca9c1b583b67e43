"""Who may begin: the calls as they are read, those in line for each provider, and their turn."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass

from parallm_magics.answers.questions import sent_texts
from parallm_magics.core.models import Model
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import CHARS_PER_TOKEN, Call, Fault, Record, Task
from parallm_magics.engine.cache_warmup import CacheWarmup
from parallm_magics.engine.clock import Clock, Waiter
from parallm_magics.engine.rate_limits import RateLimit, Slots
from parallm_magics.engine.retries import Outlook, too_late, why_not_again
from parallm_magics.engine.worker import Line, Worker

CALLS_AHEAD = 100
# Seconds that a source may take to close.
GRACE_SECONDS = 0.1
# How many ended workers are told in one go, so that the loop is never held for long.
CALLS_A_LOOK = 500
# How long calls are taken from their source before others may run.
READING_SECONDS = 0.01


class Source:
    """Gives out calls one at a time, whether they are awaited or not.

    Attributes:
        ended: whether nothing more will come.
        reading: reads calls that must be awaited; None where they need not.
    """

    def __init__(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        arrived: Callable[[], None],
        clock: Clock,
    ) -> None:
        self.ended = False
        self._clock = clock
        self._arrived = arrived
        self._calls: Iterator[Call] = iter(())
        self._ahead: deque[Call | None] = deque()
        self._room: Waiter | None = None
        self.reading: asyncio.Task[None] | None = None
        self._problem: BaseException | None = None
        if isinstance(calls, AsyncIterable):
            self.reading = clock.spawn(self._read(calls))
        else:
            self._calls = iter(calls)

    @property
    def waits(self) -> bool:
        """Whether the next call, if there is one, has still to arrive."""
        return self.reading is not None and not self._ahead

    def take(self) -> Call | None:
        """The next call; None where there is none, or none yet.

        Raises:
            Exception: what the source raised.
        """
        if self.ended:
            return None
        if self.reading is None:
            call = next(self._calls, None)
        elif not self._ahead:
            return None
        else:
            call = self._ahead.popleft()
            if self._room is not None:
                self._room.wake()
        if call is None:
            self.ended = True
            if self._problem is not None:
                raise self._problem
        return call

    async def close(self, reading: asyncio.Task[None]) -> None:
        """Read no more."""
        self.ended = True
        reading.cancel()
        # A source of the user's may take its time to close; nobody waits for that.
        await asyncio.wait({reading}, timeout=GRACE_SECONDS)

    async def _read(self, calls: AsyncIterable[Call]) -> None:
        reader = aiter(calls)
        try:
            while (call := await self._next(reader)) is not None:
                while len(self._ahead) >= CALLS_AHEAD:
                    self._room = Waiter(self._clock)
                    await self._clock.wait(self._room)
                self._ahead.append(call)
                self._arrived()
        except (Exception, asyncio.CancelledError) as error:
            if self.ended:
                raise
            self._problem = error  # handed on to whoever takes the next call
        finally:
            # Closed here and not by the garbage collector, which would do it on no loop of ours.
            if hasattr(reader, "aclose"):
                with contextlib.suppress(Exception):
                    await reader.aclose()
        self._ahead.append(None)
        self._arrived()

    async def _next(self, reader: AsyncIterator[Call]) -> Call | None:
        """The next call that is read; None after the last one."""
        back = self._clock.wait_outside()
        try:
            return await anext(reader, None)
        finally:
            back()


@dataclass(frozen=True, slots=True)
class Routes:
    """Where a run's calls go.

    Attributes:
        provider: who answers for a model.
        limit: what holds for all calls of a provider.
    """

    provider: Callable[[Model], Provider]
    limit: Callable[[Provider], RateLimit]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who is told what becomes of a call in line.

    Attributes:
        begin: it begins.
        refuse: it ends without being asked, again.
        known: it is the record of one that is not to be made.
        wake: there may be room for one more.
    """

    begin: Callable[[Worker, Line, float], None]
    refuse: Callable[[Worker, Fault, float], None]
    known: Callable[[None, Record], None]
    wake: Callable[[], None]


class Admission:
    """Lets calls begin in their turn. No worker exists before it may soon begin.

    Attributes:
        source: where the calls come from.
        backlog: workers that wait, for their first try or a further one.
        warmup: who waits for a prompt cache; None as long as no call can be cached.
    """

    def __init__(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        routes: Routes,
        outlook: Outlook,
        slots: Slots,
        hooks: Hooks,
    ) -> None:
        self.source = Source(calls, hooks.wake, slots.clock)
        self.backlog = 0
        self.warmup: CacheWarmup | None = None
        self._routes, self._outlook, self._slots, self._hooks = routes, outlook, slots, hooks
        self._rules, self._budget = outlook.rules, outlook.budget
        self._opened: dict[Model, tuple[Provider, Line]] = {}
        self._lines: dict[RateLimit, Line] = {}
        self._read_until = 0.0
        self._ready: float | None = None
        self._pausing: list[tuple[float, int, Worker, Line]] = []
        self._again: dict[Worker, Line] = {}
        self._order = itertools.count()

    @property
    def lines(self) -> Iterable[Line]:
        """Those in line, by the limit that holds for them."""
        return self._lines.values()

    def look(self, now: float) -> float | None:
        """Begin whatever may begin; seconds until the next look, None for "when something ends"."""
        self._read_until = self._slots.clock.loop.time() + READING_SECONDS
        if self._pausing or (self.warmup is not None and self.warmup.free):
            self._fetch_due(now)
        self._fill(now)
        if self._again:
            self._end_overdue(now)
        looks = [self._pausing[0][0] - now] if self._pausing else []
        looks += [worker.left(now) for worker in self._again]
        lines = [*self._lines.values()]
        left: list[int] = []
        for line in lines:
            looks += self._admit(line, now)
            left.append(len(line.workers))
        # Room in one line lets calls of another one be read.
        grown = [len(line.workers) for line in lines] != left
        hungry = not self.source.ended and self.backlog < 2 * self._rules.concurrency
        if grown or len(self._lines) > len(lines) or (hungry and not self.source.waits):
            return 0.0
        return min(looks, default=None)

    def pause(self, worker: Worker, line: Line, until: float) -> None:
        """Keep a worker until its next try; it holds no slot meanwhile."""
        self.backlog += 1
        heapq.heappush(self._pausing, (until, next(self._order), worker, line))

    async def close(self) -> None:
        """Take no more calls."""
        for limit in self._lines:
            limit.wakers.discard(self._hooks.wake)
        if self.source.reading is not None:
            await self.source.close(self.source.reading)

    def _admit(self, line: Line, now: float) -> list[float]:
        """Begin whatever may begin of one line; seconds until it is to be looked at again."""
        wait: float | None = 0.0
        slots, outlook, limit = self._slots, self._outlook, line.limit
        while line.workers and wait == 0.0 and slots.taken < slots.most:
            worker = line.workers[0]
            doubtful = outlook.doubtful or limit.down_since is not None
            if doubtful and (reason := outlook.why_not(worker, limit, now)):
                self._leave(line.workers.popleft())
                self._hooks.refuse(worker, reason, now)
            elif self.warmup is not None and self.warmup.must_wait(worker):
                self.warmup.hold(line.workers.popleft())
            elif (wait := self._room(worker, limit, now)) == 0.0:
                self._leave(line.workers.popleft())
                self._hooks.begin(worker, line, now)
            self._fill(now)
        looks = []
        if line.workers and wait:
            self._give_up(line, now, wait)
            looks.append(wait)
        if line.workers and limit.down_since is not None and wait != 0.0:
            looks.append(limit.down_since + line.workers[0].task.deadline - now)
        return looks

    def _room(self, worker: Worker, limit: RateLimit, now: float) -> float | None:
        """Seconds until the worker may begin; None for "when another one has ended".

        Where it is 0, what the worker will use is taken.
        """
        if (wait := limit.wait(now)) != 0.0:
            return wait
        rpm, tpm = self._rules.rpm, self._rules.tpm
        most = expected_tokens(worker.current) if tpm else 0.0
        if rpm and (wait := limit.requests.wait(now, 1, rpm)):
            return wait
        if tpm and (wait := limit.tokens.wait(now, most, tpm)):
            return wait
        worker.held = self._budget.hold(worker.current)
        if worker.held is None:
            return None
        if rpm:
            worker.requests = limit.requests.take(now, 1)
        worker.tokens = limit.tokens.take(now, most) if tpm else None
        return 0.0

    def _fill(self, now: float) -> None:
        """Take calls from the source while few wait, so that it is held back."""
        most = 2 * self._rules.concurrency
        for _ in range(CALLS_A_LOOK):
            if self.source.ended or self.backlog >= most:
                return
            if self._outlook.over and not self._rules.drain:
                self.source.ended = True
                return
            # A source of the user's may be slow.
            if self._slots.clock.loop.time() > self._read_until:
                return
            call = self.source.take()
            if call is None:
                return
            if isinstance(call, Record):
                self._hooks.known(None, call)
                continue
            slots = self._slots
            slots.began = now if slots.began is None else slots.began
            self._ready = now - slots.began if self._ready is None else self._ready
            provider, line = self._opened.get(call.model) or self._open(call, now)
            worker = Worker(call, provider, slots.clock, slots.began, self._ready)
            line.workers.append(worker)
            self.backlog += 1
            if call.cache_key and self.warmup is None and provider.caches(call):
                self.warmup = CacheWarmup()

    def _open(self, task: Task, now: float) -> tuple[Provider, Line]:
        """The provider of a model that is asked for the first time, and its line."""
        provider = self._routes.provider(task.model)
        limit = self._routes.limit(provider)
        if limit not in self._lines:
            if limit.gate > now or limit.down_since is not None:
                limit.opened(now, task.deadline)
            self._lines[limit] = Line(limit)
            if self._rules.asked:
                limit.wanted(self._rules.concurrency)
            limit.wakers.add(self._hooks.wake)
        self._opened[task.model] = provider, self._lines[limit]
        self._outlook.limits[task.model] = limit
        return self._opened[task.model]

    def _leave(self, worker: Worker) -> None:
        """The worker waits no more."""
        self.backlog -= 1
        self._again.pop(worker, None)

    def _fetch_due(self, now: float) -> None:
        """Put workers whose pause is over before those that never began."""
        due: list[tuple[Worker, Line]] = []
        while self._pausing and (self._outlook.stop.reason or self._pausing[0][0] <= now):
            _, _, worker, line = heapq.heappop(self._pausing)
            due.append((worker, line))
        for worker, line in reversed(due):
            line.workers.appendleft(worker)
            self._again[worker] = line
        for worker in self.warmup.released() if self.warmup is not None else ():
            self._opened[worker.task.model][1].workers.appendleft(worker)

    def _give_up(self, line: Line, now: float, wait: float) -> None:
        """End those in line that must wait beyond their deadline.

        The deadline of those that never began does not run yet: only the provider's word counts.
        """
        asked = line.limit.wait(now) or 0.0
        late = [w for w in line.workers if w.left(now) < (asked if w.start is None else wait)]
        for worker in late:
            line.workers.remove(worker)
            self._leave(worker)
            self._hooks.refuse(worker, why_not_again(worker, wait, asked), now)

    def _end_overdue(self, now: float) -> None:
        """End those that waited for a slot for their next try until their deadline."""
        for worker, line in [*self._again.items()]:
            fault = worker.tries[-1].fault if worker.tries else None
            if self._outlook.stop.reason or worker.left(now) > 0 or fault is None:
                continue
            if self.warmup is None or not self.warmup.drop(worker):
                line.workers.remove(worker)
            self._leave(worker)
            self._hooks.refuse(worker, too_late(fault, worker.task), now)


def expected_tokens(task: Task) -> float:
    """The most tokens that a call is expected to take."""
    texts = sum(map(len, sent_texts(task))) / CHARS_PER_TOKEN
    return texts if task.model.decides else texts + task.max_tokens
