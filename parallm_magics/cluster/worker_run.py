"""A run's place on one worker of a cluster: its chunks are worked through there, within what is leased."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import islice

from parallm_magics.cluster.lease_holder import LeaseHolder, under_all
from parallm_magics.cluster.lease_table import ALL, MOST_NEEDS
from parallm_magics.cluster.leased_limits import LeasedBudget, LeasedLimit
from parallm_magics.cluster.outbox import Outbox
from parallm_magics.cluster.parcels import (
    Answer,
    Chunk,
    Need,
    Question,
    Report,
    RunTerms,
)
from parallm_magics.core import prices
from parallm_magics.core.models import Model
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Fault, Task
from parallm_magics.engine.accounts import NOTHING, Accounts
from parallm_magics.engine.admission import Routes, expected_tokens
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.clock import Clock, VirtualClock
from parallm_magics.engine.rate_limits import MOST_SLOTS, RateLimit, Slots
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.errors import ParallmError
from parallm_magics.providers import bill
from parallm_magics.providers.registry import Clients

ALONE_SECONDS = 30.0
"""A worker that has no answer for so long ends its calls: the kernel is gone."""

Send = Callable[[Report], None]


class WorkerRun:
    """One run on one worker.

    Attributes:
        terms: what all chunks of the run have in common.
        chunks: how many are under way here.
    """

    def __init__(
        self, name: str, address: str, terms: RunTerms, clients: Clients, send: Send
    ) -> None:
        """Take who is told, and in whose name."""
        self.terms, self.chunks = terms, 0
        self._name, self._address, self._clients, self._send = name, address, clients, send
        self._loop = asyncio.get_running_loop()
        limited = terms.rules.rpm is not None or terms.rules.tpm is not None
        self._holder, self._stop = LeaseHolder(limited), Stop()
        self._budget = LeasedBudget(self._holder, self._worst, capped=terms.capped)
        self._slots = Slots(0, Clock())
        self._limits: dict[str, LeasedLimit] = {}
        self._names: dict[Provider, str] = {}
        self._opening: dict[int, asyncio.Future[Sequence[int]]] = {}
        self._expected: Counter[str] = Counter()  # calls of the chunks that are not open yet
        self._schedulers: set[Scheduler] = set()
        self._closed: dict[tuple[str, Model | None], Fault] = {}
        self._granted = limited or terms.capped
        self._outbox = Outbox(self._report, lambda: self._slots.taken)
        self._heard_at = self._loop.time()

    async def work(self, number: int, chunk: Chunk) -> None:
        """Make the calls of a chunk that are not done yet; each record is told as soon as it is there."""
        self.chunks += 1
        try:
            models = dict.fromkeys(task.model for task in chunk.tasks)
            problem = await _prepared(self._clients, models)
            done = {*await self._opened(number, Counter(t.model.provider for t in chunk.tasks))}
            tasks = [task for task in chunk.tasks if task.asked[0].index not in done]
            if problem:
                self._refuse(tasks, problem)
            elif tasks:
                await self._schedule(tasks)
        finally:
            self.chunks -= 1
            self._outbox.ended.append(number)
            self._report(over=not self.chunks)
            if not self.chunks:
                self._outbox.off()

    def take_in(self, answer: Answer) -> None:
        """Go by an answer of the kernel's."""
        now = self._loop.time()
        self._heard_at = now
        self._holder.take_in(answer)
        if self._slots.began is None:
            self._slots.began = now - answer.at
        self._slots.most = self._holder.slots.get(ALL, 0)
        for account, seconds in answer.gates.items():
            limit = self._limit(account)
            limit.gate = max(limit.gate, now + seconds)
        for account, model, fault in answer.closed:
            self._close(account, model, fault)
        for number, done in answer.open.items():
            waiting = self._opening.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(done)
        if answer.stop:
            self.stop(answer.stop)
        for wake in [*self._slots.wakers]:
            wake()

    def stop(self, reason: str) -> None:
        """End all calls."""
        self._stop(reason)
        for waiting in self._opening.values():
            if not waiting.done():
                waiting.set_result(())

    async def _opened(self, number: int, calls: Counter[str]) -> Sequence[int]:
        """Which calls of a chunk are done already, by the kernel's word."""
        waiting = self._opening[number] = self._loop.create_future()
        self._expected += calls
        if self._stop.reason:
            waiting.set_result(())
        self._report()
        try:
            done: Sequence[int] = await waiting
        finally:
            del self._opening[number]
            self._expected -= calls
        return done

    async def _schedule(self, tasks: Sequence[Task]) -> None:
        """Bring calls to their records."""
        slots, limit_of = self._slots, self._limit_of
        if (scale := self.terms.scale) is not None:
            slots, limit_of = Slots(MOST_SLOTS, VirtualClock(scale)), _free
        scheduler = Scheduler(
            tasks,
            Routes(self._provider, limit_of),
            self.terms.rules,
            Accounts(self.terms.price, self._outbox.keep, self._budget),
            self._outbox.tell if self.terms.told else None,
            self._stop,
            slots,
        )
        for (account, model), fault in self._closed.items():
            scheduler.outlook.close(self._limit(account), model, fault)
        self._schedulers.add(scheduler)
        try:
            await scheduler.run()
        finally:
            self._schedulers.discard(scheduler)
            for (limit, model), fault in scheduler.outlook.closed.items():
                if isinstance(limit, LeasedLimit):
                    self._close(limit.account, model, fault)

    def _provider(self, model: Model) -> Provider:
        provider = self._clients.provider(model.provider)
        self._names[provider] = model.provider
        return provider

    def _limit_of(self, provider: Provider) -> RateLimit:
        return self._limit(self._names[provider])

    def _limit(self, account: str) -> LeasedLimit:
        if account not in self._limits:
            tpm = self.terms.rules.tpm
            self._limits[account] = LeasedLimit(self._holder, account, self._outbox.learn, tpm)
        return self._limits[account]

    def _close(self, account: str, model: Model | None, fault: Fault) -> None:
        if (account, model) in self._closed:
            return
        self._closed[account, model] = fault
        self._outbox.closed.append((account, model, fault))
        for scheduler in self._schedulers:
            scheduler.outlook.close(self._limit(account), model, fault)
        self._outbox.soon()

    def _refuse(self, tasks: Sequence[Task], problem: str) -> None:
        """Every call ends, as this worker cannot make it."""
        problem = f"worker {self._address}: {problem}"
        for name in {task.model.provider for task in tasks}:
            self._close(name, None, Fault("auth", problem))
        for task in tasks:
            for each in task.asked:
                self._outbox.keep(
                    each, each.ended("failed", error=Fault("auth", problem), cost=NOTHING)
                )

    def _report(self, *, over: bool = False) -> None:
        """Tell the kernel what there is to tell, and ask it for what may be used next."""
        now = self._loop.time()
        box = self._outbox
        self._heard_at += box.pulse()  # while the loop was held up, no answer could be read
        if now - self._heard_at > ALONE_SECONDS:
            self.stop("the notebook that began the run does not answer")
        report = Report(
            self._name,
            self._address,
            box.records,
            box.events,
            box.learned,
            box.closed,
            [*self._opening],
            box.ended,
            self._question(now),
            over,
            now,
        )
        box.forget()
        try:
            self._send(report)
        except Exception as error:  # a worker that is going down has nobody to tell
            self.stop(str(error) or type(error).__name__)

    def _question(self, now: float) -> Question:
        """How it stands."""
        in_line = self._expected.copy()
        needs: dict[str, list[Need]] = {}
        for scheduler in self._schedulers:
            for line in scheduler.lines:
                limit = line.limit
                if not isinstance(limit, LeasedLimit):
                    continue
                in_line[limit.account] += len(line.workers)
                if self._granted:
                    own = needs.setdefault(limit.account, [])
                    first = islice(line.workers, MOST_NEEDS - len(own))
                    own += [self._need(worker.current) for worker in first]
        under_way = {name: self._limit(name).inflight for name in {*self._limits, *in_line}}
        wanted = {account: number + in_line[account] for account, number in under_way.items()}
        return self._holder.asks(now, under_all(under_way), under_all(wanted), needs)

    def _need(self, task: Task) -> Need:
        tokens = expected_tokens(task) if self.terms.rules.tpm else 0.0
        return Need(tokens, self._worst(task) if self.terms.capped else NOTHING)

    def _worst(self, task: Task) -> Decimal:
        return NOTHING if self._provider(task.model).simulated else self.terms.worst(task)


def _free(provider: Provider) -> RateLimit:
    """The limit of a simulation, which never asks to slow down."""
    return RateLimit(limit=MOST_SLOTS)


async def _prepared(clients: Clients, models: Iterable[Model]) -> str:
    """Make ready whoever answers for these models, and their prices; why that cannot be, or ""."""
    for model in models:
        try:
            await clients.get(model)
        except ParallmError as error:
            return str(error)
        tariff = bill.tariff(model)
        if tariff is not None and not prices.are_loaded():
            await asyncio.to_thread(prices.prepare, tariff)
    return ""
