"""The engine's own limits on a worker of a cluster: they hold what is leased to it, and tell what they learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from parallm_magics.cluster.lease_holder import HeldPermit, LeaseHolder
from parallm_magics.cluster.packed_columns import LimitEvent
from parallm_magics.core.provider import NotNow
from parallm_magics.core.tasks import Task
from parallm_magics.engine.accounts import NOTHING, Budget, Worst
from parallm_magics.engine.rate_limits import RateLimit, RateWindow, Taken, Ticket

SOON = 0.5
"""Seconds until it is looked again where a lease is missing; an answer wakes whoever waits before that."""


@dataclass(slots=True, eq=False)
class LeasedTaken(Taken):
    """What one call has taken of a permit."""

    permit: HeldPermit | None = None


class LeasedWindow(RateWindow):
    """Requests or tokens of a minute, by permits."""

    def __init__(self, holder: LeaseHolder, account: str, *, takes: bool) -> None:
        """Take whose permits these are, and whether a call is counted here and not in its other window."""
        super().__init__()
        self._holder, self._account, self._takes = holder, account, takes

    def wait(self, now: float, amount: float, most: int) -> float:
        """Seconds until it is looked again; 0 where a permit is there."""
        tokens = amount if self._takes else 0.0
        return 0.0 if self._holder.permit(self._account, now, tokens) else SOON

    def take(self, now: float, amount: float) -> Taken:
        """Use a permit, where this window is the one that does."""
        permit = self._holder.permit(self._account, now, amount) if self._takes else None
        if permit is not None:
            self._holder.use(permit, amount)
        return LeasedTaken(now, amount, self, permit=permit)

    def correct(self, taken: Taken, amount: float) -> None:
        """Put what was really used in place of what was expected."""
        if isinstance(taken, LeasedTaken) and taken.permit is not None:
            self._holder.correct(taken.permit, taken.amount - amount)
        taken.amount = amount

    def goes_out(self, taken: Taken, now: float) -> None:
        """Let a call be sent while its permit holds.

        Raises:
            NotNow: it does not any more; the call has to wait for another one.
        """
        if not isinstance(taken, LeasedTaken) or taken.permit is None:
            return
        if not self._holder.goes_out(taken.permit, now, taken.amount if self._takes else 0.0):
            taken.permit = None
            raise NotNow


class LeasedLimit(RateLimit):
    """The limit of one account on one worker: the kernel says how many calls, and hears how they ended."""

    def __init__(
        self, holder: LeaseHolder, account: str, tell: Callable[[LimitEvent], None], tpm: int | None
    ) -> None:
        """Take whose lease it is.

        Args:
            tpm: whether tokens are counted, so that permits are used by tokens.
        """
        super().__init__()
        self.account = account
        self._holder, self._say = holder, tell
        self.requests = LeasedWindow(holder, account, takes=tpm is None)
        self.tokens = LeasedWindow(holder, account, takes=True)

    def wait(self, now: float) -> float | None:
        """Seconds until a call may begin: 0 for now, None for "when another one has ended"."""
        if now < self.gate:
            return self.gate - now
        if self._holder.lapsed(now):
            return SOON
        most = self._holder.most(self.account, now)
        if self.down_since is not None:
            most = min(most, 1)
        return 0.0 if self.inflight < most else None

    def answered(self, ticket: Ticket) -> None:
        """The provider answered."""
        super().answered(ticket)
        self._say(LimitEvent(self.account, "answered", ticket.began))

    def limited(self, ticket: Ticket, now: float, hint: float | None) -> None:
        """The provider asks to slow down: the calls here wait at once, all others as soon as they hear it."""
        super().limited(ticket, now, hint)
        self._say(LimitEvent(self.account, "limited", ticket.began, hint))

    def faulted(self, ticket: Ticket, now: float) -> bool:
        """A passing fault. Whether it is the provider's, so that the call loses no try by it."""
        self._say(LimitEvent(self.account, "faulted", ticket.began))
        return super().faulted(ticket, now)


class LeasedBudget(Budget):
    """The caps on cost, by what is leased of them."""

    def __init__(self, holder: LeaseHolder, worst: Worst, *, capped: bool) -> None:
        super().__init__((), worst)
        self._holder, self.capped = holder, capped
        self._wakers: set[Callable[[], None]] = set()

    @property
    def name(self) -> str:
        """What a message calls the caps."""
        return " and ".join(name for name, _, _ in self._holder.left)

    def hold(self, task: Task) -> Decimal | None:
        """Set aside what a try of the task can cost at most; None where too little is leased now."""
        if not self.capped:
            return NOTHING
        amount = self._worst(task)
        return amount if self._holder.reserve(amount) else None

    def settle(self, held: Decimal, cost: Decimal | None) -> None:
        """Book a try that has ended; one whose cost is unknown has cost what was held for it."""
        self._holder.settle(held, held if cost is None else cost)

    def left(self) -> tuple[tuple[str, Decimal, Decimal], ...]:
        """Each cap: its name, the cap, and what no ended try has spent of it."""
        return tuple(self._holder.left)

    def on_room(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call this when more is leased; gives back what takes it off."""
        self._wakers.add(wake)
        return lambda: self._wakers.discard(wake)

    def wake(self) -> None:
        """More is leased: whoever waits for room looks again."""
        for wake in tuple(self._wakers):
            wake()
