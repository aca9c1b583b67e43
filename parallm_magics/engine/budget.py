"""Money set aside before each call, so that no cap is ever passed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from parallm_magics.types import Task

NOTHING = Decimal(0)

Worst = Callable[[Task], Decimal]
"""The most that one try of a call can cost, in US dollars."""


@dataclass(slots=True, eq=False)
class Ledger:
    """What was spent against one cap; several runs and threads may share it.

    Attributes:
        name: how a message names the cap, such as "--max-cost".
        cap: US dollars, or None for no cap.
        spent: US dollars of the tries that have ended; where a cost is unknown, what was held.
        held: US dollars set aside for the tries under way.
        wakers: told when money that was set aside has become free.
    """

    name: str
    cap: Decimal | None = None
    spent: Decimal = NOTHING
    held: Decimal = NOTHING
    wakers: set[Callable[[], None]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, amount: Decimal) -> bool:
        """Set the amount aside; False where the cap leaves no room for it now."""
        with self._lock:
            if self.cap is not None and self.spent + self.held + amount > self.cap:
                return False
            self.held += amount
            return True

    def release(self, amount: Decimal, cost: Decimal) -> None:
        """Take back what was set aside, and book what the try has cost."""
        with self._lock:
            self.held -= amount
            self.spent += cost
            wakers = tuple(self.wakers)
        for wake in wakers:
            wake()

    def ever(self, amount: Decimal) -> bool:
        """Whether the amount could fit if all that is under way cost nothing."""
        return self.cap is None or self.spent + amount <= self.cap

    @property
    def left(self) -> Decimal | None:
        """US dollars that are neither spent nor set aside; None without a cap."""
        return None if self.cap is None else self.cap - self.spent - self.held


class Budget:
    """The caps that one run must keep.

    Attributes:
        capped: whether there is any; a cap that is set later holds for later runs.
    """

    def __init__(self, ledgers: Sequence[Ledger] = (), worst: Worst = lambda task: NOTHING) -> None:
        self._ledgers = tuple(ledgers)
        self._worst = worst
        self.capped = any(ledger.cap is not None for ledger in ledgers)

    def hold(self, task: Task) -> Decimal | None:
        """Set aside what a try of the task can cost at most; None where there is no room now."""
        if not self.capped:
            return NOTHING
        amount = self._worst(task)
        for place, ledger in enumerate(self._ledgers):
            if not ledger.hold(amount):
                for other in self._ledgers[:place]:
                    other.release(amount, NOTHING)
                return None
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
                    f"not asked: the call may cost up to ${amount:.4f}, and of {ledger.name} "
                    f"{ledger.cap} only ${left:.4f} is left; raise it, or lower --max-tokens"
                )
        return ""

    def on_room(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call this, from any thread, when there is room again; gives back what takes it off."""
        watched = self._ledgers if self.capped else ()
        for ledger in watched:
            ledger.wakers.add(wake)

        def off() -> None:
            for ledger in watched:
                ledger.wakers.discard(wake)

        return off
