"""How many calls at once, of a run and of a provider, and how many a minute; nothing here waits."""

from __future__ import annotations

import asyncio
import itertools
import random
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from parallm_magics.core.provider import Provider
from parallm_magics.engine.clock import LAST, Clock

START_SLOTS = 20
MOST_SLOTS = 200
CUT_FACTOR = 0.8
CAREFUL_ROUNDS = 4
LONGEST_PAUSE = 30.0
FIRST_PAUSE = 0.5
RETRIES, RETRIES_A_SUCCESS = 10.0, 0.1
DOWN_AFTER = 10
PROBE_FIRST, PROBE_LONGEST = 1.0, 15.0
WINDOW_SECONDS = 60.0
ARRIVAL_SECONDS = 0.5
"""A request counts as sent so many seconds later: nobody knows when it has reached its provider."""


@dataclass(slots=True, eq=False)
class RateWindow:
    """A window of a minute that slides with the clock: exact, where a bucket lets two minutes meet."""

    _taken: deque[Taken] = field(default_factory=deque)
    _sum: float = 0.0

    def wait(self, now: float, amount: float, most: int) -> float:
        """Seconds until the amount fits; one that never does fits where nothing else was taken."""
        while self._taken and self._taken[0].at + WINDOW_SECONDS <= now:
            past = self._taken.popleft()
            past.counts = False
            self._sum -= past.amount
        over = self._sum + amount - most
        if over <= 0 or not self._taken:
            return 0.0
        for taken in self._taken:
            over -= taken.amount
            if over <= 0:
                return taken.at + WINDOW_SECONDS - now
        return self._taken[-1].at + WINDOW_SECONDS - now

    def take(self, now: float, amount: float) -> Taken:
        """Take the amount; no earlier than what was taken before, as leases are taken ahead of time."""
        at = max(now, self._taken[-1].at) if self._taken else now
        taken = Taken(at, amount, self)
        self._taken.append(taken)
        self._sum += amount
        return taken

    def correct(self, taken: Taken, amount: float) -> None:
        """Put what was really used in place of what was expected."""
        if taken.counts:
            self._sum += amount - taken.amount
        taken.amount = amount

    def goes_out(self, taken: Taken, now: float) -> None:
        """The call is sent only now, after imports, a connection or a busy loop: its minute begins now.

        Its provider may count it a little later.
        """
        taken.at = max(taken.at, now + ARRIVAL_SECONDS)


@dataclass(slots=True)
class Taken:
    """What one call has taken of a minute, since when, and whether it still counts."""

    at: float
    amount: float
    window: RateWindow
    counts: bool = True


class Ticket(NamedTuple):
    """One admitted call: when it began, and whether it probes a provider that was down.

    Attributes:
        beside: calls that were open when it began.
        number: how many had begun before it.
        answers: how many of all had been answered by then.
    """

    began: float
    probe: bool = False
    beside: int = 0
    number: int = 0
    answers: int = 0


@dataclass(slots=True, eq=False)
class RateLimit:
    """The state that all calls of one key at one address share. Times are seconds of one clock.

    Attributes:
        ceiling: most calls at once, exactly.
        limit: calls at once that the provider is thought to bear.
        inflight: calls under way.
        gate: no call begins before this time.
        answers: how many calls it has answered.
        down_since: since when the provider, rather than a call, is at fault; one probe at a time.
        retries: tries that may be made again before the provider counts as down.
        wakers: told when a call may begin again.
        requests, tokens: what runs that limit these have used in the last minute.
    """

    ceiling: int = MOST_SLOTS
    limit: float = START_SLOTS
    inflight: int = 0
    gate: float = 0.0
    down_since: float | None = None
    retries: float = RETRIES
    rng: random.Random = field(default_factory=random.Random)
    wakers: set[Callable[[], None]] = field(default_factory=set)
    requests: RateWindow = field(default_factory=RateWindow)
    tokens: RateWindow = field(default_factory=RateWindow)
    _cut_at: float = float("-inf")
    _clean: int = 0
    _peak: int = 0
    _slow_start: bool = True
    _refused_at: float = float("inf")
    _fails: int = 0
    _pause: float = PROBE_FIRST
    _begun: int = 0
    answers: int = 0
    _crowded: bool = False

    def wait(self, now: float) -> float | None:
        """Seconds until a call may begin: 0 for now, None for "when another one has ended"."""
        if now < self.gate:
            return self.gate - now
        if self.down_since is not None:
            return 0.0 if self.inflight == 0 else None
        return 0.0 if self.inflight < int(self.limit) else None

    def wanted(self, most: int) -> None:
        """The user asks for so many at once: until it was refused any, the provider may get them."""
        if self._crowded:  # the user knows better now than the server has shown
            self.ceiling, self._crowded, self._slow_start = MOST_SLOTS, False, True
        if self._slow_start:
            self.limit = max(self.limit, float(min(most, self.ceiling)))

    def opened(self, now: float, deadline: float) -> None:
        """A new run asks anew what an earlier one gave up: it may be over by now.

        Args:
            deadline: seconds that a call of the run has as a whole.
        """
        if self.gate > now + deadline:
            self.gate = now
        if self.down_since is not None:
            self.down_since = now

    def begin(self, now: float) -> Ticket:
        """Admit one call."""
        ticket = Ticket(now, self.down_since is not None, self.inflight, self._begun, self.answers)
        self.inflight += 1
        self._begun += 1
        self._peak = max(self._peak, self.inflight)
        return ticket

    def end(self) -> None:
        """A call has ended, whatever came of it; whoever waits to begin is told."""
        self.inflight -= 1
        for wake in tuple(self.wakers):
            wake()

    def elsewhere(self, more: int) -> None:
        """So many calls more are under way in other processes, or fewer."""
        self.inflight += more
        self._peak = max(self._peak, self.inflight)
        if more < 0:
            for wake in tuple(self.wakers):
                wake()

    def answered(self, ticket: Ticket) -> None:
        """The provider answered. A full round of answers raises the limit where it was used."""
        self.answers += 1
        if self.down_since is not None:
            self.down_since, self._pause, self.retries = None, PROBE_FIRST, RETRIES
        self._fails = 0
        self.retries = min(RETRIES * 10, self.retries + RETRIES_A_SUCCESS)
        if ticket.began < self._cut_at:
            return
        self._clean += 1
        step = self.limit if self._slow_start else max(1.0, 0.05 * self.limit)
        # Where it was refused before it is tried again with care.
        rounds = CAREFUL_ROUNDS if self.limit + step > self._refused_at else 1
        if self._clean < rounds * max(self.limit, 4):
            return
        if self._peak >= 0.8 * self.limit:
            self.limit = min(float(self.ceiling), self.limit + step)
        self._clean, self._peak = 0, self.inflight

    def limited(self, ticket: Ticket, now: float, hint: float | None) -> None:
        """The provider asks to slow down. One cut a round trip: later refusals tell nothing new."""
        if ticket.began >= self._cut_at:
            self._refused_at = min(self.limit, self.inflight + 1)
            self.limit = max(1.0, CUT_FACTOR * min(self.limit, self.inflight + 1))
            self._cut_at = now
            self._clean, self._peak = 0, 0
        self._slow_start = False
        if hint is not None:
            self.gate = max(self.gate, now + hint)

    def kept_waiting(self, ticket: Ticket, now: float, serving: int) -> int:
        """A local server has let a call wait too long. How many others there were meanwhile.

        It gets no more at once from now on than it could serve within that wait.

        Args:
            serving: calls under way whose answers have begun.
        """
        others = ticket.beside + self._begun - ticket.number - 1
        if others and ticket.began >= self._cut_at:
            served = self.answers - ticket.answers + serving
            self.ceiling = max(1, min(int(self.limit), self.ceiling, served))
            self.limit, self._cut_at = float(self.ceiling), now
            self._slow_start, self._crowded, self._clean, self._peak = False, True, 0, 0
        return others

    def faulted(self, ticket: Ticket, now: float) -> bool:
        """A passing fault. Whether it is the provider's, so that the call loses no try by it."""
        self._fails += 1
        self._clean = 0
        if ticket.probe:
            self._pause = min(PROBE_LONGEST, self._pause * 2)
        if self._fails >= DOWN_AFTER or self.retries < 1:
            self.down_since = now if self.down_since is None else self.down_since
            self.gate = max(self.gate, now + self._pause)
        return self.down_since is not None

    def spend_retry(self) -> None:
        """One more try is made for a call."""
        self.retries = max(0.0, self.retries - 1)

    def pause(self, tries: int, hint: float | None, left: float) -> float:
        """Seconds until a call's next try: full jitter over a doubling span, or the hint and some.

        The first one without a hint takes half of the time that is left at most: a short deadline
        is no reason not to try again at all.
        """
        span = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10))
        if tries == 1:
            span = min(span, max(left, 0.0) / 2)
        jitter = self.rng.uniform(0, span)
        return jitter if hint is None else hint + jitter / 10


class RateLimits:
    """The limits of one notebook or script: one for each key at one address, on each loop."""

    def __init__(self) -> None:
        self._limits: weakref.WeakKeyDictionary[object, dict[str, RateLimit]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, provider: Provider, clock: Clock | None = None) -> RateLimit:
        """The provider's limit on this clock; a simulation never asks to slow down."""
        virtual = clock is not None and clock.virtual
        limits = self._limits.setdefault(clock if virtual else asyncio.get_running_loop(), {})
        if provider.account not in limits:
            limits[provider.account] = RateLimit(
                limit=MOST_SLOTS if provider.simulated else START_SLOTS
            )
        return limits[provider.account]


@dataclass(slots=True, eq=False)
class Slots:
    """The slots of one run, whichever of its schedulers takes them.

    A guardrail and the work beside it have schedulers of their own; together they keep one limit.

    Attributes:
        most: calls at once, exactly.
        clock: the run's clock.
        began: its time of the first call; None before it.
        taken: calls under way.
        wakers: told when a slot has become free; whoever came first, the guard, is the first to hear.
        ranks: in this order schedulers look, at the end of one moment, who may begin.
    """

    most: int = MOST_SLOTS
    clock: Clock = field(default_factory=Clock)
    began: float | None = None
    taken: int = 0
    wakers: dict[Callable[[], None], None] = field(default_factory=dict)
    ranks: Iterator[int] = field(default_factory=lambda: itertools.count(LAST + 1))

    def give_back(self) -> None:
        """One call has ended."""
        self.taken -= 1
        for wake in tuple(self.wakers):
            wake()
