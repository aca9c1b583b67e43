"""Providers with limits of their own, on the virtual clock: what an account really does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Task, Usage


class Limited:
    """Answers after some seconds; refuses with 429 what its rule does not admit.

    Attributes:
        requests: every request, refused ones included.
    """

    def __init__(
        self,
        admits: Callable[[Limited, float], float | None],
        seconds: float = 0.5,
        hint: bool = True,
    ):
        self._admits, self._seconds, self._hint = admits, seconds, hint
        self.requests = 0
        self.running = 0
        self.times: list[float] = []
        self.down = (0.0, 0.0)

    async def __call__(self, task: Task, heard: Heard) -> Reply:
        """Answer or refuse one call."""
        loop = asyncio.get_running_loop()
        self.requests += 1
        if self.down[0] <= loop.time() < self.down[1]:
            await asyncio.sleep(0.05)
            raise CallFailed(Fault("server", "HTTP 503", http=503))
        wait = self._admits(self, loop.time())
        if wait is not None:
            await asyncio.sleep(0.02)
            raise CallFailed(
                Fault("rate_limit", "HTTP 429", http=429, retry_after=wait if self._hint else None)
            )
        self.times.append(loop.time())
        self.running += 1
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.running -= 1
        return Reply("fine", usage=Usage(10, 0, 0, 5))


def per_second(rate: float) -> Callable[[Limited, float], float | None]:
    """A bucket of `rate` a second, one second's worth at most."""
    state = {"level": rate, "at": 0.0}

    def admits(provider: Limited, now: float) -> float | None:
        state["level"] = min(rate, state["level"] + (now - state["at"]) * rate)
        state["at"] = now
        if state["level"] >= 1:
            state["level"] -= 1
            return None
        return max(1.0, (1 - state["level"]) / rate)

    return admits


def at_once(most: int) -> Callable[[Limited, float], float | None]:
    """So many calls at the same time."""
    return lambda provider, now: None if provider.running < most else 1.0


def per_minute(most: int) -> Callable[[Limited, float], float | None]:
    """So many calls in each minute of the clock."""

    def admits(provider: Limited, now: float) -> float | None:
        minute = now // 60
        used = sum(at // 60 == minute for at in provider.times)
        return None if used < most else (minute + 1) * 60 - now

    return admits


def anything(provider: Limited, now: float) -> float | None:
    """No limit."""
    return None
