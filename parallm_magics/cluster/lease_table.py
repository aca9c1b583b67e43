"""What the workers of a cluster may use of what holds for all of them together; nothing here waits.

A lease is granted for a span that counts, on the worker's own clock, from the moment at which the worker
has asked. The book counts it to the end of that span from the later moment at which it was granted. So
the two clocks need not agree, and a message that is late, lost or doubled can only leave something unused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from parallm_magics.cluster.parcels import Need, Permit, Question
from parallm_magics.engine.accounts import Budget
from parallm_magics.engine.rate_limits import WINDOW_SECONDS, RateLimit, RateWindow, Taken

TERM = 4.0
"""Seconds for which slots may be used without a further question."""
SPAN = 2.0
"""Seconds for which a permit may be used: a request is sent within them, or asks for another permit."""
ON_THE_WAY = 1.0
"""A request counts as sent up to so many seconds later: nobody knows when it has reached its provider."""
MOST_NEEDS = 50
"""So many calls of one account are granted at once."""
ALL = ""
"""In place of an account: the calls of all of them."""


@dataclass(slots=True)
class _Member:
    """What one worker has been granted.

    Attributes:
        until: when its slots are over, if it is not heard of any more.
        heard: the number of its last question.
        slots: those that it may still go by, by the number of the answer that granted them.
        under_way: its calls at once, as it said.
        wanted: how many it could have.
        permits: by number, what was taken of the minute for each.
        granted: US dollars leased to it.
        held: those of them that were set aside for the tries that have ended.
        cost: what these have cost.
        returned: those that it gave back.
        awaited: the number of the last answer that may have granted more: until the worker has heard it,
            or so long that it will not, it is granted no more.
    """

    until: float = 0.0
    heard: int = -1
    slots: dict[int, Mapping[str, int]] = field(default_factory=dict)
    under_way: Mapping[str, int] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)
    permits: dict[int, list[tuple[Taken, bool]]] = field(default_factory=dict)
    granted: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    returned: Decimal = Decimal(0)
    awaited: int = -1
    awaited_until: float = 0.0

    @property
    def left(self) -> Decimal:
        """US dollars that it may still spend, as far as anybody knows."""
        return self.granted - self.held - self.returned

    def counts(self, account: str) -> int:
        """How many calls of an account it may have under way at once."""
        slots = max((each.get(account, 0) for each in self.slots.values()), default=0)
        return max(slots, self.under_way.get(account, 0))


class LeaseTable:
    """The leases of one run.

    Args:
        most: calls at once over the whole cluster.
        limit: the limit of an account, by its name.
        budget: the caps on cost.
        rpm, tpm: most requests, and most tokens, of one account in any minute.
    """

    def __init__(
        self,
        most: int,
        limit: Callable[[str], RateLimit],
        budget: Budget,
        rpm: int | None = None,
        tpm: int | None = None,
    ) -> None:
        self._most, self._limit, self._budget = most, limit, budget
        self._rpm, self._tpm = rpm, tpm
        self._members: dict[str, _Member] = {}
        self._gone: dict[str, _Member] = {}
        self._ended: set[str] = set()
        self._permits = 0

    def hear(self, member: str, question: Question, now: float) -> bool:
        """Take in how a worker stands; whether that is news, and no older than what is known."""
        if member in self._ended:
            return False
        if (back := self._gone.pop(member, None)) is not None:
            # It was only silent, such as a process that its machine had put to sleep.
            self._settle_rest(back, -1)
            self._members[member] = back
        found = self._members.setdefault(member, _Member())
        if question.number <= found.heard:
            return False
        found.heard = question.number
        found.under_way, found.wanted = question.under_way, question.wanted
        found.slots = {n: each for n, each in found.slots.items() if n >= question.heard}
        self._settle(found, question)
        for number, (calls, tokens) in question.used.items():
            for taken, is_tokens in found.permits.get(number, ()):
                taken.window.correct(taken, tokens if is_tokens else calls)
        return True

    def slots(self, member: str, number: int, now: float) -> dict[str, int]:
        """How many calls at once an answer of this number grants a worker, by account."""
        found = self._members[member]
        found.until = now + TERM
        granted = found.slots[number] = self.shares(member, now)
        return granted

    def shares(self, member: str, now: float) -> dict[str, int]:
        """How many calls at once an answer would grant a worker now, by account."""
        found = self._members[member]
        accounts = [ALL, *(account for account in found.wanted if account != ALL)]
        return {account: self._share(found, account, now) for account in accounts}

    def permits(
        self, member: str, question: Question, number: int, now: float
    ) -> tuple[list[Permit], Decimal]:
        """What the next calls of a worker may use of the minute, and the US dollars leased to it so far.

        Args:
            number: that of the answer by which it hears so.
        """
        found, permits = self._members[member], list[Permit]()
        if found.awaited > question.heard and now < found.awaited_until:
            return permits, found.granted  # it has asked before it heard what was granted
        found.awaited, found.awaited_until = number, now + TERM
        limited = self._rpm is not None or self._tpm is not None
        for account, next_ones in question.needs.items():
            slots = found.slots.get(number, {}).get(account, 0)
            calls, tokens = self._fitting(found, self._limit(account), next_ones[:slots], now)
            if calls and limited:
                permits.append(self._permit(found, account, calls, tokens, now))
        return permits, found.granted

    def over(self, member: str) -> None:
        """A worker has said that it uses nothing more: what it has not spent is free again."""
        found = self._members.pop(member, None)
        self._ended.add(member)
        if found is not None and self._budget.capped:
            self._budget.settle(found.left, Decimal(0))

    def lost(self, member: str) -> None:
        """A worker is gone without a word: the money that was leased to it counts as spent."""
        found = self._members.pop(member, None)
        if found is not None:
            self._gone[member] = found
            self._settle_rest(found, 1)

    def lapsed(self, member: str, now: float) -> bool:
        """Whether a worker may not begin any call, as it was not heard of in time."""
        found = self._members.get(member)
        return found is None or now >= found.until

    def end(self) -> None:
        """The run is over: whoever has not said what became of its lease is taken to have used it."""
        for member in list(self._members):
            self.lost(member)

    def _share(self, member: _Member, account: str, now: float) -> int:
        """The slots of one account for one worker: an even share, less what others may still use."""
        total = self._most if account == ALL else int(self._limit(account).limit)
        if account != ALL and self._limit(account).down_since is not None:
            total = 1
        alive = [each for each in self._members.values() if each is member or now < each.until]
        wishes = [each.wanted.get(account, 0) for each in alive]
        fair = evenly(total, wishes)[alive.index(member)]
        taken = sum(each.counts(account) for each in self._members.values() if each is not member)
        return max(0, min(fair, total - taken))

    def _settle(self, member: _Member, question: Question) -> None:
        """Book what tries have cost since the last question, and what is given back."""
        held, cost = question.held - member.held, question.cost - member.cost
        back = question.returned - member.returned
        member.held, member.cost, member.returned = question.held, question.cost, question.returned
        if self._budget.capped:
            self._budget.settle(held + back, cost)
        else:
            self._budget.settle(Decimal(0), cost)

    def _settle_rest(self, member: _Member, sign: int) -> None:
        """Take what a worker may have spent as spent; with -1 take that back."""
        if self._budget.capped:
            rest = member.left * sign
            self._budget.settle(rest, rest)

    def _fitting(
        self, member: _Member, limit: RateLimit, needs: Sequence[Need], now: float
    ) -> tuple[int, float]:
        """How many of these calls fit now, in their order, and their tokens; their money is set aside."""
        calls, tokens = 0, 0.0
        for need in needs:
            if not (
                _fits(limit.requests, now, calls, 1, self._rpm)
                and _fits(limit.tokens, now, tokens, need.tokens, self._tpm)
            ):
                break
            if self._budget.capped and need.dollars:
                if self._budget.reserve(need.dollars) is None:
                    break
                member.granted += need.dollars
            calls, tokens = calls + 1, tokens + need.tokens
        return calls, tokens

    def _permit(
        self, member: _Member, account: str, calls: int, tokens: float, now: float
    ) -> Permit:
        limit, until = self._limit(account), now + SPAN + ON_THE_WAY
        for number in [n for n, each in member.permits.items() if _is_past(each, now)]:
            del member.permits[number]
        taken: list[tuple[Taken, bool]] = []
        if self._rpm:
            taken.append((limit.requests.take(until, calls), False))
        if self._tpm:
            taken.append((limit.tokens.take(until, tokens), True))
        self._permits += 1
        member.permits[self._permits] = taken
        return Permit(
            self._permits,
            account,
            calls if self._rpm else None,
            tokens if self._tpm else None,
            SPAN,
        )


def _is_past(taken: Sequence[tuple[Taken, bool]], now: float) -> bool:
    """Whether a permit no longer counts in any minute."""
    return all(each.at + WINDOW_SECONDS < now for each, _ in taken)


def _fits(window: RateWindow, now: float, before: float, more: float, most: int | None) -> bool:
    """Whether so much more fits a minute, of which so much is granted just now.

    What is larger than the limit by itself fits where nothing else was taken.
    """
    if most is None or (before and before + more > most):
        return most is None
    return window.wait(now, before + more, most) == 0.0


def evenly(total: int, wishes: Sequence[int]) -> list[int]:
    """Share a total out so that nobody gets more than wished, and nobody less than who gets more.

    >>> evenly(10, [2, 9, 9])
    [2, 4, 4]
    """
    shares, left = [0] * len(wishes), total
    open_ones = sorted(range(len(wishes)), key=wishes.__getitem__)
    for place, at in enumerate(open_ones):
        shares[at] = min(wishes[at], left // (len(open_ones) - place))
        left -= shares[at]
    return shares
