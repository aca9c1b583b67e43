"""The worker processes that make a run's calls: what they report, and what they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import replace

from parallm_magics.cluster.dask_link import DaskLink
from parallm_magics.cluster.lease_table import ALL, TERM, LeaseTable
from parallm_magics.cluster.open_calls import OpenCalls
from parallm_magics.cluster.parcels import Answer, Report, unpacked
from parallm_magics.core.cluster_workers import ClusterWorker, WorkerState
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Fault
from parallm_magics.engine.jobs import Job
from parallm_magics.engine.rate_limits import RateLimit, Ticket

ANSWER_SECONDS = 0.05
"""A worker under load tells more often than it needs an answer: one that lacks something has it within this time."""
CALM_SECONDS = 0.5
"""And within this time one that lacks nothing."""


class Members:
    """The worker processes of one run, by their names.

    Attributes:
        closed: accounts, or models of theirs, of which no call can succeed any more, and why.
        ended_chunks: the chunks that workers have said to be over.
    """

    def __init__(self, job: Job, calls: OpenCalls, link: DaskLink) -> None:
        """Take whose calls they make, and how they are answered."""
        self._job, self._calls, self._link = job, calls, link
        self._clock, self._rules, self._budget = job.slots.clock, job.rules, job.accounts.budget
        self._loop = asyncio.get_running_loop()
        minute = () if self._clock.virtual else (self._rules.rpm, self._rules.tpm)
        self._leases = LeaseTable(self._rules.concurrency, self._limit, self._budget, *minute)
        self._limits: dict[str, RateLimit] = {}
        self._under_way: dict[tuple[str, str], int] = {}
        self._members: dict[str, _Member] = {}
        self.closed: dict[tuple[str, Model | None], Fault] = {}
        self.ended_chunks: set[int] = set()

    def hear(self, data: bytes) -> None:
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
            self.closed.setdefault((account, model), fault)
        if (
            why := self._calls.out_of_reach()
        ) is not None:  # what is sent already is not begun either
            fault = replace(why, message=why.message.removeprefix("not asked: "))
            for account in self._limits:
                self.closed.setdefault((account, None), fault)
        self.ended_chunks.update(report.ended)
        if self._clock.virtual:
            news = True
        else:
            news = self._leases.hear(report.member, report.question, now)
            self._count(report)
            held = self._learn(report, now)
            if held:
                self._hold_all(report.member)
        if news:
            known.question = report.question.number
        if report.over:
            self._leave(report.member)
        elif news and (report.opening or now - known.answered_at >= self._pause(report, now)):
            known.answered_at = now
            self._answer(report, now)

    def stop(self) -> None:
        """The run is stopped: all of them hear it at once."""
        for member in self._members.values():
            self._again(member, stop=self._job.stop.reason)

    def end(self) -> None:
        """The run is over: nothing of it is under way any more."""
        for (_, account), number in self._under_way.items():
            self._limits[account].elsewhere(-number)
        self._leases.end()

    def shut(self, model: Model) -> Fault | None:
        """Why no call to this model can succeed any more."""
        fault = self.closed.get((model.provider, None)) or self.closed.get((model.provider, model))
        return None if fault is None else replace(fault, message=f"not asked: {fault.message}")

    def bury(self, there: Container[str]) -> None:
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

    def _pause(self, report: Report, now: float) -> float:
        """For how long after an answer a worker has no other one, unless a chunk of it is to begin."""
        last = self._members[report.member].last
        calm = self._clock.virtual or (
            last is not None
            and not any(report.question.needs.values())
            and len(last.closed) == len(self.closed)
            and last.slots == self._leases.shares(report.member, now)
        )
        return CALM_SECONDS if calm else ANSWER_SECONDS

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
                [(*at, fault) for at, fault in self.closed.items()],
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

    def _learn(self, report: Report, now: float) -> bool:
        """Take from how calls have ended what it says of their provider; whether all must wait."""
        held, earlier = False, now - report.at
        for event in report.limits:
            limit = self._limit(event.account)
            ticket = Ticket(event.began + earlier)
            if event.kind == "answered":
                limit.answered(ticket)
            elif event.kind == "limited":
                limit.limited(ticket, now, event.hint)
                held = held or event.hint is not None
            else:
                limit.faulted(ticket, now)
        return held


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
