"""Money set aside before each call, so that no cap is ever passed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext

from parallm_magics.core.tasks import Task

NOTHING = Decimal(0)

Worst = Callable[[Task], Decimal]
"""The most that one try of a call can cost, in US dollars."""


@dataclass(slots=True, eq=False)
class Ledger:
    """What was spent against one cap; several runs and threads may share it.

    It is kept without a cap as well, so that one which is set later counts what came before.

    Attributes:
        name: how a message names the cap, such as "--max-cost".
        cap: US dollars, or None for no cap.
        spent: US dollars of the tries that have ended; where a cost is unknown, what was held.
        held: US dollars set aside for the tries under way.
        wakers: told when money that was set aside has become free, and when the cap has changed.
        lock: held by whoever looks before setting money aside.
    """

    name: str
    cap: Decimal | None = None
    spent: Decimal = NOTHING
    held: Decimal = NOTHING
    wakers: set[Callable[[], None]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fits(self, amount: Decimal) -> bool:
        """Whether the cap leaves room for the amount now."""
        return self.cap is None or self.spent + self.held + amount <= self.cap

    def allow(self, cap: Decimal | None) -> None:
        """Set the cap, or take it off; those who wait for room look again."""
        with self.lock:
            changed, self.cap = cap != self.cap, cap
            wakers = tuple(self.wakers) if changed else ()
        for wake in wakers:
            wake()

    def release(self, amount: Decimal, cost: Decimal) -> None:
        """Take back what was set aside, and book what the try has cost."""
        with self.lock:
            self.held -= amount
            self.spent += cost
            wakers = tuple(self.wakers)
        for wake in wakers:
            wake()

    def watch(self, wake: Callable[[], None], on: bool) -> None:
        """Tell this one from now on, or no more."""
        with self.lock:
            (self.wakers.add if on else self.wakers.discard)(wake)

    def ever(self, amount: Decimal) -> bool:
        """Whether the amount could fit if all that is under way cost nothing."""
        return self.cap is None or self.spent + amount <= self.cap


class Budget:
    """The caps that one run must keep.

    Attributes:
        capped: whether there is any; a cap that is set later holds for later runs.
    """

    def __init__(self, ledgers: Sequence[Ledger] = (), worst: Worst = lambda task: NOTHING) -> None:
        self._ledgers = tuple(ledgers)
        self._worst = worst
        self.capped = any(ledger.cap is not None for ledger in ledgers)

    @property
    def name(self) -> str:
        """What a message calls the caps."""
        return " and ".join(ledger.name for ledger in self._ledgers if ledger.cap is not None)

    def hold(self, task: Task) -> Decimal | None:
        """Set aside what a try of the task can cost at most; None where there is no room now."""
        if not self._ledgers:
            return NOTHING
        amount = self._worst(task)
        with contextlib.ExitStack() as locks:
            for ledger in self._ledgers:  # always in this order: a run's own before those shared
                locks.enter_context(ledger.lock)
            if self.capped and not all(ledger.fits(amount) for ledger in self._ledgers):
                return None
            for ledger in self._ledgers:
                ledger.held += amount
        return amount

    def settle(self, held: Decimal, cost: Decimal | None) -> None:
        """Book a try that has ended; one whose cost is unknown has cost what was held for it."""
        for ledger in self._ledgers:
            ledger.release(held, held if cost is None else cost)

    def never(self, task: Task) -> str:
        """Why the task can never be asked under these caps; "" where it only has to wait."""
        if not self.capped:
            return ""
        amount = self._worst(task)
        for ledger in self._ledgers:
            if not ledger.ever(amount):
                left = max(NOTHING, (ledger.cap or NOTHING) - ledger.spent)
                return (
                    f"not asked: the call may cost up to {_dollars(amount, ROUND_UP)}, and of "
                    f"{ledger.name} {ledger.cap:f} only {_dollars(left, ROUND_DOWN)} is left; "
                    "raise it, or lower --max-tokens"
                )
        return ""

    def on_room(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call this, from any thread, when there is room again; gives back what takes it off."""
        watched = self._ledgers if self.capped else ()
        for ledger in watched:
            ledger.watch(wake, on=True)

        def off() -> None:
            for ledger in watched:
                ledger.watch(wake, on=False)

        return off


def _dollars(amount: Decimal, rounding: str) -> str:
    """Two figures that count, at least four decimals, rounded so that the words stay true."""
    digits = max(4, 1 - amount.adjusted()) if amount else 0
    with localcontext(rounding=rounding):
        return f"${amount:.{digits}f}"
