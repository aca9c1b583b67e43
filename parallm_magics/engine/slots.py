"""What the schedulers of one run share: its clock, its slots, and where its offsets count from."""

from __future__ import annotations

from collections.abc import Callable

from parallm_magics.engine.clock import Clock
from parallm_magics.engine.rate_limits import MOST


class Slots:
    """The slots of one run, whichever of its schedulers takes them.

    A guardrail and the work beside it have schedulers of their own; together they keep one limit.

    Attributes:
        clock: the run's clock.
        began: its time of the first call; None before it.
        most: calls at once, exactly.
        taken: calls under way.
    """

    def __init__(self, most: int = MOST, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.began: float | None = None
        self.most = most
        self.taken = 0
        # In order: whoever came first, the guard, is the first to hear of a free place.
        self._wakers: dict[Callable[[], None], None] = {}

    @property
    def free(self) -> bool:
        """Whether one more call may begin."""
        return self.taken < self.most

    def give_back(self) -> None:
        """One call has ended."""
        self.taken -= 1
        for wake in tuple(self._wakers):
            wake()

    def on_free(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call this when a place has become free; gives back what takes it off again."""
        self._wakers[wake] = None
        return lambda: self._wakers.pop(wake, None)
