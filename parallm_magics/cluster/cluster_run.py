"""One job on a cluster, as the kernel drives it: what is sent, what is leased, what has come back."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from parallm_magics.cluster.dask_link import DaskLink
from parallm_magics.cluster.lease_table import ALL, TERM, LeaseTable
from parallm_magics.cluster.open_calls import OpenCalls
from parallm_magics.cluster.parcels import (
    PROCESS,
    Answer,
    LimitEvent,
    Report,
    RunTerms,
    pack_chunk,
    pack_terms,
    unpacked,
)
from parallm_magics.core.cluster_workers import ClusterWorker, WorkerState
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Fault, Record, Task
from parallm_magics.engine.accounts import Worst
from parallm_magics.engine.admission import Source
from parallm_magics.engine.jobs import Job
from parallm_magics.engine.rate_limits import RateLimit, Ticket
from parallm_magics.engine.retries import Rules

if TYPE_CHECKING:
    from distributed import Client

LARGEST_CHUNK = 200
"""Calls that a worker is given at once at most."""
CHUNKS_A_WORKER = 2
"""So many chunks a worker has at once, so that it need not wait for its next one."""
FLUSH_SECONDS = 0.1
"""For so long a chunk waits for further calls of a slow source."""
LOOK_SECONDS = 1.0
"""How often it is looked who is there."""
STOP_SECONDS = 0.7
"""For so long the records of calls that are stopped are waited for."""
ANSWER_SECONDS = 0.05
"""A worker under load tells more often than it needs an answer."""
READ_SECONDS = 0.01
"""How long calls are taken from their source before others may run."""


class ClusterRun:
    """A job on its way over a cluster. It lives on the loop of whoever awaits it."""

    def __init__(self, client: Client, worst: Worst, job: Job) -> None:
        """Take what is to be done where."""
        self._job, self._clock, self._rules = job, job.slots.clock, job.rules
        self._name = f"parallm-{uuid.uuid4().hex[:12]}"
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._source = Source(job.calls, self._changed.set, self._clock)
        self._calls = OpenCalls(job)
        self._budget = job.accounts.budget
        rules, virtual = self._rules, self._clock.virtual
        self._leases = LeaseTable(
            rules.concurrency,
            self._limit,
            self._budget,
            *(() if virtual else (rules.rpm, rules.tpm)),
        )
        terms = RunTerms(
            self._name,
            PROCESS,
            _on_workers(rules, virtual=virtual),
            job.accounts.price,
            worst,
            self._budget.capped and not virtual,
            self._clock.scale if virtual else None,
        )
        self._link = DaskLink(client, self._name, self._published, pack_terms(terms))
        self._buffer: list[Task] = []
        self._buffered_at = 0.0
        self._sent = 0
        self._ended_chunks: set[int] = set()
        self._workers = -1  # nobody has looked yet
        self._limits: dict[str, RateLimit] = {}
        self._under_way: dict[tuple[str, str], int] = {}
        self._members: dict[str, _Member] = {}
        self._closed: dict[tuple[str, Model | None], Fault] = {}
        self._failure: BaseException | None = None
        self._wait_until: float | None = None

    async def run(self) -> Sequence[Record]:
        """One record a call, in the calls' order; see `Engine.run`."""
        off = self._job.stop.on_stop(self._stopped)
        looking = asyncio.ensure_future(self._look_around())
        try:
            await self._link.check_versions()
            await self._work()
        except BaseException as error:
            reason = "cancelled" if isinstance(error, asyncio.CancelledError) else "stopped"
            self._job.stop(reason)
            self._stopped()
            raise
        finally:
            off()
            looking.cancel()
            self._link.cancel()
            if self._source.reading is not None:
                await self._source.close(self._source.reading)
            for (_, account), number in self._under_way.items():
                self._limits[account].elsewhere(-number)
            self._leases.end()
            await self._link.close()
        return self._job.collector.records()

    async def _work(self) -> None:
        """Send what may be sent, until every call has its record."""
        if self._job.stop.reason:
            self._stopped()
        while True:
            self._changed.clear()
            wait = self._fill()
            if self._failure is not None:
                raise self._failure
            now = self._loop.time()
            if self._wait_until is not None and now >= self._wait_until:
                self._calls.stop_all(self._fault())
            if self._source.ended and not self._buffer and not self._calls.under_way:
                return
            if self._wait_until is not None:
                wait = self._wait_until - now if wait is None else min(wait, self._wait_until - now)
            back = self._clock.wait_outside()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
            finally:
                back()

    # --- sending ----------------------------------------------------------------------------------

    def _fill(self) -> float | None:
        """Read and send while few calls are under way; seconds until it is to be done again."""
        until = self._loop.time() + READ_SECONDS
        while True:
            if self._over() is not None:
                return self._drain(until)
            if len(self._link.futures) >= CHUNKS_A_WORKER * max(self._workers, 1):
                return None
            if self._loop.time() > until:
                return 0.0
            call = self._source.take()
            if call is None:
                return self._flush()
            if isinstance(call, Record):
                self._calls.known(call)
                continue
            if self._job.slots.began is None:
                self._job.slots.began = self._clock.now()
            if fault := self._shut(call.model):
                self._calls.refuse(call, fault)
                continue
            if not self._buffer:
                self._buffered_at = self._loop.time()
            self._buffer.append(call)
            if len(self._buffer) >= self._size():
                self._send()

    def _flush(self) -> float | None:
        """The source has nothing more for now, or at all."""
        if not self._buffer:
            return None
        left = self._buffered_at + FLUSH_SECONDS - self._loop.time()
        if self._source.ended or left <= 0:
            self._send()
            return 0.0
        return left

    def _drain(self, until: float) -> float | None:
        """No further call is sent: each gets its record, or is not even read."""
        fault = self._over()
        assert fault is not None
        buffer, self._buffer = self._buffer, []
        for task in buffer:
            self._calls.refuse(task, fault)
        if not self._rules.drain:
            self._source.ended = True
        while not self._source.ended:
            call = self._source.take()
            if isinstance(call, Record):
                self._calls.known(call)
            elif call is not None:
                self._calls.refuse(call, fault)
            if (call is None and self._source.waits) or self._loop.time() > until:
                return None if call is None else 0.0
        return None

    def _size(self) -> int:
        """How many calls the next chunk has: small ones where there are few, so that all workers get some."""
        if self._rules.known is None:
            return LARGEST_CHUNK // 2
        workers = max(self._workers, 1)
        share = -(-self._rules.known // (CHUNKS_A_WORKER * workers))
        return max(1, min(max(LARGEST_CHUNK, -(-self._rules.concurrency // workers)), share))

    def _send(self) -> None:
        """Give the calls that were read to the cluster."""
        tasks, self._buffer = self._buffer, []
        try:
            chunk = pack_chunk(tasks)
        except Exception as error:
            self._failure = error
            return
        self._sent += 1
        self._calls.send(self._sent, tasks)
        self._link.submit(self._sent, chunk, self._chunk_over)

    def _over(self) -> Fault | None:
        """Why nothing more is sent; None while something may be."""
        if self._job.stop.reason:
            return self._fault()
        if self._closed and self._calls.knows_all_models:
            shut = [self._shut(model) for model in self._calls.models]
            if all(shut):
                return shut[0]
        return self._calls.out_of_reach()

    def _fault(self) -> Fault:
        return Fault("cancelled", self._job.stop.reason or "not asked")

    def _shut(self, model: Model) -> Fault | None:
        """Why no call to this model can succeed any more."""
        fault = self._closed.get((model.provider, None)) or self._closed.get(
            (model.provider, model)
        )
        return None if fault is None else Fault(fault.kind, f"not asked: {fault.message}")

    # --- hearing ----------------------------------------------------------------------------------

    def _published(self, data: bytes) -> None:
        """Take in a report."""
        report: Report = unpacked(data)
        now = self._loop.time()
        known = self._members.setdefault(report.member, _Member(report.address))
        known.under_way = report.question.under_way.get(ALL, 0)
        known.done += len(report.records)
        for event in report.events:
            self._calls.tell(event)
        for record in report.records:
            self._calls.take(record)
        for account, model, fault in report.closed:
            self._closed.setdefault((account, model), fault)
        self._ended_chunks.update(report.ended)
        if self._clock.virtual:
            news = True
        else:
            news = self._leases.hear(report.member, report.question, now)
            self._count(report)
            held = self._learn(report.limits, now)
            if held:
                self._hold_all(report.member)
        if news:
            known.question = report.question.number
        if report.over:
            self._leave(report.member)
        elif news and (report.opening or now - known.answered_at >= ANSWER_SECONDS):
            known.answered_at = now
            self._answer(report, now)
        self._changed.set()

    def _answer(self, report: Report, now: float) -> None:
        """Tell a worker what it may use."""
        member = self._members[report.member]
        member.answers += 1
        began = self._job.slots.began
        if self._clock.virtual:
            answer = Answer(member.answers, report.question.number, TERM)
        else:
            slots = self._leases.slots(report.member, member.answers, now)
            permits, dollars = self._leases.permits(
                report.member, report.question, member.answers, now
            )
            answer = Answer(
                member.answers,
                report.question.number,
                TERM,
                slots,
                permits,
                dollars,
                self._budget.left(),
                self._gates(now),
                [(*at, fault) for at, fault in self._closed.items()],
                at=0.0 if began is None else self._clock.now() - began,
            )
        done = {number: self._calls.done(number) for number in report.opening}
        member.last = Answer(
            **{name: getattr(answer, name) for name in Answer.__slots__}
            | {"open": done, "stop": self._job.stop.reason}
        )
        self._link.answer(member.address, member.last)

    def _hold_all(self, but: str) -> None:
        """One worker was asked to slow down: all others hear it at once."""
        now = self._loop.time()
        for name, member in self._members.items():
            if name != but and member.last is not None:
                self._again(member, gates=self._gates(now))

    def _stopped(self) -> None:
        """The run is stopped: workers end their calls, and their records are waited for a little."""
        if self._wait_until is None:
            self._wait_until = self._loop.time() + STOP_SECONDS
        for member in self._members.values():
            self._again(member, stop=self._job.stop.reason)
        self._changed.set()

    def _again(self, member: _Member, **more: object) -> None:
        """Tell a worker something between two answers; nothing new is leased by it."""
        last = member.last or Answer(0, -1, TERM)
        fields = {name: getattr(last, name) for name in Answer.__slots__}
        self._link.answer(member.address, Answer(**{**fields, "permits": (), "open": {}, **more}))

    def _leave(self, member: str) -> None:
        """A worker has ended its chunks."""
        self._leases.over(member)
        self._members.pop(member, None)
        self._uncount(member)

    def _limit(self, account: str) -> RateLimit:
        """The limit of a provider, which this run's workers share with the kernel's other runs."""
        if account not in self._limits:
            routes = self._job.routes
            limit = routes.limit(routes.provider(self._calls.model_of(account)))
            limit.opened(self._loop.time(), self._calls.deadline)
            if self._rules.asked:
                limit.wanted(self._rules.concurrency)
            self._limits[account] = limit
        return self._limits[account]

    def _gates(self, now: float) -> dict[str, float]:
        """Seconds before which no call of an account may begin."""
        return {name: limit.gate - now for name, limit in self._limits.items() if limit.gate > now}

    def _count(self, report: Report) -> None:
        """How many calls of each account a worker has under way."""
        for account, number in report.question.under_way.items():
            if account:
                at = report.member, account
                self._limit(account).elsewhere(number - self._under_way.get(at, 0))
                self._under_way[at] = number

    def _uncount(self, member: str) -> None:
        for at in [each for each in self._under_way if each[0] == member]:
            self._limits[at[1]].elsewhere(-self._under_way.pop(at))

    def _learn(self, events: Sequence[LimitEvent], now: float) -> bool:
        """Take from how calls have ended what it says of their provider; whether all must wait."""
        held = False
        for event in events:
            limit = self._limit(event.account)
            ticket = Ticket(now - event.age)
            if event.kind == "answered":
                limit.answered(ticket)
            elif event.kind == "limited":
                limit.limited(ticket, now, event.hint)
                held = held or event.hint is not None
            else:
                limit.faulted(ticket, now)
        return held

    # --- what became of chunks and workers --------------------------------------------------------

    def _chunk_over(self, number: int, status: str) -> None:
        """Dask has done with a chunk."""
        if status == "finished" or number not in self._link.futures:
            self._close_chunk(number, None)
        elif status == "error":
            self._closing = asyncio.ensure_future(self._explain(number))
        else:
            self._close_chunk(number, self._gone(status))

    async def _explain(self, number: int) -> None:
        """Say why a chunk has failed."""
        self._close_chunk(number, _chunk_fault(await self._link.problem(number)))

    def _gone(self, status: str) -> Fault:
        if self._job.stop.reason:
            return self._fault()
        if not self._link.is_up:
            return Fault("connection", f"the Dask scheduler at {self._link.address} is gone")
        return Fault("connection", f"Dask gave the call up ({status})")

    def _close_chunk(self, number: int, fault: Fault | None) -> None:
        """A chunk is over: what of it has no record gets one, or was never begun."""
        self._link.forget(number)
        if fault is None and number not in self._ended_chunks:
            fault = Fault("connection", "the worker ended without a word of the call")
        left_out = fault is None and not self._rules.drain
        self._calls.close(number, fault, left_out=left_out)
        self._changed.set()

    async def _look_around(self) -> None:
        """Look who is there, as long as the run goes on."""
        alone = False
        while True:
            there = await self._link.workers()
            self._workers = len(there)
            self._bury(there)
            if not self._link.is_up:
                for number in list(self._link.futures):
                    self._close_chunk(number, self._gone("lost"))
                self._closed_all()
            elif alone != (self._workers == 0):
                alone = self._workers == 0
                here = (
                    "no worker is connected: waiting for one" if alone else "a worker is connected"
                )
                self._calls.say(f"Dask at {self._link.address}: {here}")
            self._changed.set()
            await asyncio.sleep(LOOK_SECONDS)

    def _bury(self, there: Container[str]) -> None:
        """Give up workers that are gone, and tell how all of them stand."""
        now = self._loop.time()
        standing = []
        for name, member in list(self._members.items()):
            gone = member.address not in there
            if gone and self._leases.lapsed(name, now):
                self._leases.lost(name)
                self._uncount(name)
                del self._members[name]
            state: WorkerState = "lost" if gone else "working"
            standing.append(ClusterWorker(member.address, member.under_way, member.done, state))
        self._calls.show(standing)

    def _closed_all(self) -> None:
        """Nothing can be sent any more."""
        self._calls.give_up(self._gone("lost"))


class _Member:
    """A worker, as far as answers to it go.

    Attributes:
        address: where it is answered.
        question: the number of its last question.
        answers: how many it has had.
        under_way, done: its calls under way, and how many have ended.
        answered_at: when it had the last one.
        last: what that said.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.question = -1
        self.answers = self.under_way = self.done = 0
        self.answered_at = float("-inf")
        self.last: Answer | None = None


def _on_workers(rules: Rules, *, virtual: bool) -> Rules:
    """The rules that a worker keeps by itself: how many must succeed is known to the kernel alone."""
    return Rules(
        concurrency=rules.concurrency,
        drain=rules.drain,
        rpm=None if virtual else rules.rpm,
        tpm=None if virtual else rules.tpm,
    )


def _chunk_fault(problem: BaseException | None) -> Fault:
    """Why a chunk has failed, in one line."""
    from distributed.scheduler import KilledWorker

    if isinstance(problem, KilledWorker):
        died = problem.allowed_failures + 1
        return Fault(
            "connection", f"{died} workers died with this call among theirs; see the workers' logs"
        )
    said = " ".join(str(problem).split())[:200]
    return Fault("bug", f"the worker could not make the call ({type(problem).__name__}: {said})")
