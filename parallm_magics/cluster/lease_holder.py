"""What one worker of a cluster may use at this moment, by the answers that it has had; nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from parallm_magics.cluster.lease_table import ALL
from parallm_magics.cluster.parcels import Answer, Need, Question

KEPT_QUESTIONS = 200
"""An answer to an older question is of no use any more."""


@dataclass(slots=True, eq=False)
class HeldPermit:
    """What is left of a permit.

    Attributes:
        until: the worker's time from which on it may not be used.
        calls, tokens: what is left.
        used_calls, used_tokens: what was used.
        corrected: whether the kernel does not know that yet.
    """

    number: int
    until: float
    calls: float
    tokens: float
    used_calls: int = 0
    used_tokens: float = 0.0
    corrected: bool = False


@dataclass(slots=True, eq=False)
class LeaseHolder:
    """What is leased to one worker. Times are seconds of its own clock.

    Attributes:
        limited: whether calls need permits.
        slots: calls at once, by account, while the answer holds.
        left: each cap on cost: its name, the cap, and what is left of it.
        purse: leased US dollars that nothing is set aside of.
        held, cost: US dollars that were set aside for all tries that have ended, and that they have cost.
        returned: US dollars given back.
    """

    limited: bool = False
    slots: Mapping[str, int] = field(default_factory=dict)
    left: Sequence[tuple[str, Decimal, Decimal]] = ()
    purse: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    returned: Decimal = Decimal(0)
    _until: float = float("-inf")
    _heard: int = -1
    _asked: dict[int, float] = field(default_factory=dict)
    _number: int = 0
    _granted: Decimal = Decimal(0)
    _permits: dict[str, deque[HeldPermit]] = field(default_factory=dict)
    _known: set[int] = field(default_factory=set)
    _over: list[HeldPermit] = field(default_factory=list)

    def lapsed(self, now: float) -> bool:
        """Whether its slots are over, as no answer came in time."""
        return now >= self._until

    def most(self, account: str, now: float) -> int:
        """How many calls of an account may be under way at once; `ALL` for those of all."""
        return 0 if self.lapsed(now) else self.slots.get(account, 0)

    def asks(
        self,
        now: float,
        under_way: Mapping[str, int],
        wanted: Mapping[str, int],
        needs: Mapping[str, Sequence[Need]],
    ) -> Question:
        """A question of how it stands now."""
        for permits in self._permits.values():
            while permits and permits[0].until <= now:
                permit = permits.popleft()
                permit.corrected = True
                self._over.append(permit)
        needs = self._missing(needs)
        used = {p.number: (p.used_calls, p.used_tokens) for p in self._over if p.corrected}
        for permit in self._over:
            permit.corrected = False
        self._over = self._over[-KEPT_QUESTIONS:]
        self._number += 1
        self._asked[self._number] = now
        self._asked.pop(self._number - KEPT_QUESTIONS, None)
        return Question(
            self._number,
            self._heard,
            under_way,
            wanted,
            needs,
            used,
            self.held,
            self.cost,
            self.returned,
        )

    def take_in(self, answer: Answer) -> None:
        """Go by an answer from now on, unless a newer one has come before it."""
        self.purse += max(Decimal(0), answer.dollars - self._granted)
        self._granted = max(self._granted, answer.dollars)
        asked = self._asked.get(answer.question)
        if asked is None:
            return
        for permit in answer.permits:
            if permit.number in self._known:
                continue
            self._known.add(permit.number)
            calls = float("inf") if permit.calls is None else permit.calls
            tokens = float("inf") if permit.tokens is None else permit.tokens
            held = HeldPermit(permit.number, asked + permit.span, calls, tokens)
            self._permits.setdefault(permit.account, deque()).append(held)
        if answer.number > self._heard:
            self._heard = answer.number
            self.slots, self.left = answer.slots, answer.left
            self._until = asked + answer.term

    def permit(self, account: str, now: float, tokens: float) -> HeldPermit | None:
        """A permit by which one more call may begin; None where there is none now."""
        for permit in self._permits.get(account, ()):
            if permit.until > now and permit.calls >= 1 and permit.tokens >= tokens:
                return permit
        return None

    def use(self, permit: HeldPermit, tokens: float) -> None:
        """One call begins by this permit."""
        permit.calls -= 1
        permit.tokens -= tokens
        permit.used_calls += 1
        permit.used_tokens += tokens

    def goes_out(self, permit: HeldPermit, now: float, tokens: float) -> bool:
        """Whether a call that has begun by a permit may be sent now; else it has used nothing of it."""
        if now < permit.until:
            return True
        permit.used_calls -= 1
        self.correct(permit, tokens)
        return False

    def correct(self, permit: HeldPermit, less: float) -> None:
        """A call has used so many tokens less than were taken for it."""
        permit.used_tokens -= less
        permit.corrected = True

    def reserve(self, amount: Decimal) -> bool:
        """Set money aside for a try; whether there was enough."""
        if amount > self.purse:
            return False
        self.purse -= amount
        return True

    def settle(self, held: Decimal, cost: Decimal) -> None:
        """Book a try that has ended; the kernel takes all that was set aside for it back."""
        self.held += held
        self.cost += cost

    def _missing(self, needs: Mapping[str, Sequence[Need]]) -> dict[str, list[Need]]:
        """What the calls in line need, but for what is there already; money that suffices for none goes back."""
        missing: dict[str, list[Need]] = {}
        purse, paid = self.purse, True
        for account, in_line in needs.items():
            permits = self._permits.get(account, ())
            ready = sum(permit.calls for permit in permits)
            missing[account] = []
            for place, need in enumerate(in_line):
                paid = paid and need.dollars <= purse
                purse -= need.dollars if paid else 0
                if not paid or (self.limited and place >= ready):
                    missing[account].append(Need(need.tokens, Decimal(0) if paid else need.dollars))
        if purse == self.purse:  # not even one call could begin by it
            self.returned += purse
            self.purse = Decimal(0)
        return missing


def under_all(by_account: Mapping[str, int]) -> dict[str, int]:
    """The numbers by account, and their sum."""
    return {**by_account, ALL: sum(by_account.values())}
