"""What holds for a whole cluster holds under every schedule of delays, losses and deaths, in virtual time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.cluster.lease_holder import HeldPermit, LeaseHolder, under_all
from parallm_magics.cluster.lease_table import ALL, ON_THE_WAY, SPAN, TERM, LeaseTable, evenly
from parallm_magics.cluster.parcels import Answer, Need, Question
from parallm_magics.engine.accounts import Budget, Ledger
from parallm_magics.engine.rate_limits import RateLimit

ACCOUNT = "openai"
MINUTE = 60.0
END = 140.0


@dataclass
class Asked:
    """One call as its provider sees it."""

    at: float
    tokens: float
    worst: Decimal
    cost: Decimal
    used: float
    end: float = float("inf")


@dataclass
class Limits:
    """What must hold over the whole cluster, and what the network and the workers are like.

    Attributes:
        held_up: seconds at most for which a worker that begins calls does not send any of them.
    """

    most: int
    rpm: int | None
    tpm: int | None
    cap: Decimal | None
    slow: float
    loss: float
    deaths: float
    held_up: float
    workers: int
    seed: int


@dataclass
class World:
    """Time, a network that is slow and loses messages, and the kernel's table at the middle of it."""

    limits: Limits
    now: float = 0.0
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = self.limits
        self.chance = random.Random(limits.seed)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.ledger = Ledger("--max-cost", limits.cap)
        self.limit = RateLimit(limit=1000.0, ceiling=1000)
        self.table = LeaseTable(
            limits.most, lambda _: self.limit, Budget([self.ledger]), limits.rpm, limits.tpm
        )
        self.members: dict[str, Member] = {}
        self.answers: dict[str, int] = {}

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), what))

    def send(self, what: Callable[[], None]) -> None:
        """Over the network: late, not at all, or twice."""
        for _ in range(1 + (self.chance.random() < self.limits.loss / 2)):
            if self.chance.random() >= self.limits.loss:
                self.later(self.chance.uniform(0, self.limits.slow), what)

    def hear(self, name: str, question: Question) -> None:
        """The kernel takes in a question, and answers it."""
        if not self.table.hear(name, question, self.now):
            return
        number = self.answers[name] = self.answers.get(name, 0) + 1
        slots = self.table.slots(name, number, self.now)
        permits, dollars = self.table.permits(name, question, number, self.now)
        answer = Answer(number, question.number, TERM, slots, permits, dollars)
        member = self.members[name]
        self.send(lambda: member.take_in(answer))

    def run(self) -> None:
        for number in range(self.limits.workers):
            self.start(f"worker {number}")
        while self.events and self.events[0][0] < END:
            self.now, _, what = heapq.heappop(self.events)
            what()

    def start(self, name: str) -> None:
        member = self.members[name] = Member(self, name)
        self.later(self.chance.uniform(0, 1), member.pulse)
        if self.chance.random() < self.limits.deaths:
            self.later(self.chance.uniform(0, END / 2), member.die)


class Member:
    """A worker that begins whatever it may, on a clock of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        limits = world.limits
        self.holder = LeaseHolder(limits.rpm is not None or limits.tpm is not None)
        self.offset = world.chance.uniform(-1e4, 1e4)
        self.alive = True
        self.free: float | None = None  # all calls go out from then on, as the loop is held up
        self.under_way: list[Asked] = []
        self.line = [self.call() for _ in range(8)]

    @property
    def clock(self) -> float:
        return self.world.now + self.offset

    def call(self) -> Asked:
        chance = self.world.chance
        tokens, worst = float(chance.randint(1, 200)), Decimal(chance.randint(1, 40)) / 100
        used = tokens * chance.random()
        cost = worst * Decimal(chance.randint(0, 10)) / 10
        return Asked(0.0, tokens, worst, cost, used)

    def pulse(self) -> None:
        if self.alive:
            self.ask()
            self.world.later(0.5, self.pulse)

    def ask(self) -> None:
        limits = self.world.limits
        needs = [
            Need(call.tokens if limits.tpm else 0.0, call.worst if limits.cap else Decimal(0))
            for call in self.line
        ]
        under_way = under_all({ACCOUNT: len(self.under_way)})
        wanted = under_all({ACCOUNT: len(self.under_way) + len(self.line)})
        question = self.holder.asks(self.clock, under_way, wanted, {ACCOUNT: needs})
        self.world.send(lambda: self.world.hear(self.name, question))

    def take_in(self, answer: Answer) -> None:
        if self.alive:
            self.holder.take_in(answer)
            self.begin()

    def begin(self) -> None:
        """As the engine does it: a slot, then a permit, then the money."""
        limits, holder = self.world.limits, self.holder
        while self.alive:
            call = self.line[0]
            most = min(holder.most(ACCOUNT, self.clock), holder.most(ALL, self.clock))
            if len(self.under_way) >= most:
                return
            tokens = call.tokens if limits.tpm else 0.0
            permit = holder.permit(ACCOUNT, self.clock, tokens)
            if holder.limited and permit is None:
                return
            if limits.cap is not None and not holder.reserve(call.worst):
                return
            if permit is not None:
                holder.use(permit, tokens)
            self.line = [*self.line[1:], self.call()]
            self.under_way.append(call)
            if self.free is None or self.world.chance.random() < 0.03:
                held_up = self.world.chance.uniform(0.5, 1) * limits.held_up
                self.free = max(self.world.now + held_up, self.free or 0.0)
            self.world.later(max(0.0, self.free - self.world.now), partial(self.send, call, permit))

    def send(self, call: Asked, permit: HeldPermit | None) -> None:
        """The request goes out, after imports, a connection or a busy loop; then it is on its way."""
        limits, holder = self.world.limits, self.holder
        if not self.alive:
            return
        tokens = call.tokens if limits.tpm else 0.0
        if permit is not None and not holder.goes_out(permit, self.clock, tokens):
            self.under_way.remove(call)
            holder.settle(call.worst, Decimal(0))
            self.line = [call, *self.line]
            self.begin()
            return
        call.at = self.world.now + self.world.chance.uniform(0, ON_THE_WAY)
        self.world.asked.append(call)

        def end() -> None:
            if not self.alive:
                return
            self.under_way.remove(call)
            call.end = self.world.now
            holder.settle(call.worst, call.cost)
            if permit is not None and limits.tpm:
                holder.correct(permit, call.tokens - call.used)
            self.begin()

        self.world.later(call.at - self.world.now + self.world.chance.uniform(0.1, 8), end)

    def die(self) -> None:
        """Without a word; the kernel learns of it at some time, and another worker takes its place."""
        self.alive = False
        for call in self.under_way:  # its calls die with it, and whatever they cost is spent
            call.cost, call.used, call.end = call.worst, call.tokens, self.world.now
        self.world.later(self.world.chance.uniform(0, 20), self.bury)

    def bury(self) -> None:
        if self.name in self.world.answers and not self.world.table.lapsed(
            self.name, self.world.now
        ):
            self.world.later(1.0, self.bury)
            return
        self.world.table.lost(self.name)
        self.world.start(f"{self.name}'")


def most_in_a_minute(amounts: list[tuple[float, float]]) -> float:
    """The largest sum within any 60 s."""
    amounts.sort()
    most = total = 0.0
    first = 0
    for at, amount in amounts:
        total += amount
        while at - amounts[first][0] >= MINUTE:
            total -= amounts[first][1]
            first += 1
        most = max(most, total)
    return most


def most_at_once(asked: list[Asked]) -> int:
    """The most calls that were under way at the same moment."""
    changes = sorted([(c.at, 1) for c in asked] + [(c.end, -1) for c in asked])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


worlds = st.builds(
    Limits,
    most=st.integers(1, 30),
    rpm=st.none() | st.integers(1, 120),
    tpm=st.none() | st.integers(200, 5_000),
    cap=st.none() | st.decimals("0.5", "60", places=2),
    slow=st.sampled_from([0.01, 0.3, 2.5]),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    deaths=st.sampled_from([0.0, 0.5, 1.0]),
    held_up=st.sampled_from([0.0, 0.2, 2 * SPAN]),
    workers=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=30)
@given(worlds)
def test_no_limit_is_ever_passed(limits: Limits) -> None:
    """Requests and tokens of any minute, money, and calls at once, over all workers together."""
    world = World(limits)
    world.run()
    asked = world.asked
    if limits.rpm:
        assert most_in_a_minute([(call.at, 1.0) for call in asked]) <= limits.rpm
    if limits.tpm:
        assert most_in_a_minute([(call.at, call.used) for call in asked]) <= limits.tpm + 1e-6
    if limits.cap is not None:
        assert sum(call.cost for call in asked if call.end < END) <= limits.cap
        assert world.ledger.spent + world.ledger.held <= limits.cap
    assert most_at_once(asked) <= limits.most


@pytest.mark.parametrize("seed", range(3))
def test_a_minute_is_used_up_by_whichever_workers_want_it(seed: int) -> None:
    """What one worker leaves another one gets; a lease costs little more than a minute."""
    world = World(Limits(30, 60, None, None, 0.05, 0.0, 0.0, 0.2, 3, seed))
    world.run()
    assert len(world.asked) >= 60 * (END // 65)


@pytest.mark.parametrize("seed", range(3))
def test_the_money_is_spent_as_far_as_it_goes(seed: int) -> None:
    """No worker keeps money that it cannot use while another one could."""
    world = World(Limits(10, None, None, Decimal(20), 0.05, 0.0, 0.0, 0.0, 3, seed))
    world.run()
    assert world.ledger.spent + world.ledger.held > Decimal(20) - Decimal("0.41")


@pytest.mark.parametrize("seed", range(10))
def test_what_is_sent_late_is_sent_by_another_permit(seed: int) -> None:
    """Imports, a connection or a busy loop hold calls up for longer than a permit holds."""
    world = World(Limits(30, 60, None, None, 0.05, 0.0, 0.3, 2 * SPAN, 3, seed))
    world.run()
    assert most_in_a_minute([(call.at, 1.0) for call in world.asked]) <= 60
    assert len(world.asked) >= 60


def test_what_nobody_has_told_of_counts_as_used() -> None:
    """A worker dies with leased money: it is spent, and comes back where the worker was only silent."""
    ledger = Ledger("--max-cost", Decimal(1))
    table = LeaseTable(5, lambda _: RateLimit(), Budget([ledger]))
    question = Question(
        1, needs={ACCOUNT: [Need(dollars=Decimal("0.3"))] * 4}, wanted={ALL: 4, ACCOUNT: 4}
    )
    assert table.hear("a", question, 0.0)
    table.slots("a", 1, 0.0)
    _, dollars = table.permits("a", question, 1, 0.0)
    assert dollars == ledger.held == Decimal("0.9")
    table.lost("a")
    assert (ledger.held, ledger.spent) == (0, Decimal("0.9"))
    assert table.hear("a", Question(2, 1, held=Decimal("0.3"), cost=Decimal("0.1")), 90.0)
    assert (ledger.held, ledger.spent) == (Decimal("0.6"), Decimal("0.1"))
    table.over("a")
    assert (ledger.held, ledger.spent) == (0, Decimal("0.1"))


def test_an_even_share_leaves_nothing_over_that_somebody_wants() -> None:
    """Few wishes are met, and the others share what is left."""
    assert evenly(10, [0, 3, 100]) == [0, 3, 7]
    assert evenly(2, [5, 5, 5]) in ([0, 1, 1], [1, 0, 1], [1, 1, 0])
    assert evenly(5, []) == []
