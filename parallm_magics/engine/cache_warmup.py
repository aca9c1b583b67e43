"""Who waits until another worker has put their common beginning into the provider's prompt cache.

A cache entry can be read only after the answer that writes it has begun: all at once would each
write it, and pay for that. One call writes, the others read. That must not cost a run its speed:
where two calls came to nothing before they began to answer, nobody waits any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from parallm_magics.engine.worker import Worker

# Beginnings that are remembered as warm; a forgotten one is only warmed again.
REMEMBERED = 10_000
# So many writers of one beginning may fail before the others go without it.
FAILURES = 2


class CacheWarmup:
    """The beginnings of one run: cold, being written by one worker, or warm."""

    def __init__(self) -> None:
        self._warm: dict[str, None] = {}
        self._writers: dict[str, Worker] = {}
        self._failures: dict[str, int] = {}
        self._held: dict[str, deque[Worker]] = {}
        self.free: list[Worker] = []

    def must_wait(self, worker: Worker) -> bool:
        """Whether another worker is just writing what this one could read."""
        key = self._key(worker)
        return bool(key) and self._writers.get(key, worker) is not worker

    def hold(self, worker: Worker) -> None:
        """Keep a worker back until it is given out by `released`."""
        self._held.setdefault(worker.task.cache_key, deque()).append(worker)

    def drop(self, worker: Worker) -> bool:
        """Take a worker out of those held back; whether it was one of them."""
        held = self._held.get(worker.task.cache_key)
        if held is None or worker not in held:
            return False
        held.remove(worker)
        return True

    def begins(self, worker: Worker, wake: Callable[[], None]) -> Callable[[], None] | None:
        """A try begins; what to call at its first sign of life, where others wait for that."""
        key = self._key(worker)
        if not key:
            return None
        self._writers[key] = worker

        def begun() -> None:
            self._warmed(key)
            self._let_go(key)
            wake()

        return begun

    def ends(self, worker: Worker) -> None:
        """A try has ended: where it never began to answer, the next in line writes."""
        key = worker.task.cache_key
        if not key or self._writers.get(key) is not worker:
            return
        last = worker.tries[-1].fault if worker.tries else None
        # A call that was turned away took no time: the next one may well begin.
        if last is None or last.kind not in ("rate_limit", "parameter"):
            self._failures[key] = self._failures.get(key, 0) + 1
            if self._failures[key] == FAILURES:
                self._warmed(key)
        self._let_go(key)

    def released(self) -> list[Worker]:
        """Those who need wait no more, the last first."""
        free, self.free = self.free[::-1], []
        return free

    def _warmed(self, key: str) -> None:
        """Nobody waits for this beginning any more."""
        self._failures.pop(key, None)
        self._warm[key] = None
        if len(self._warm) > REMEMBERED:
            del self._warm[next(iter(self._warm))]

    def _let_go(self, key: str) -> None:
        self._writers.pop(key, None)
        self.free += self._held.pop(key, ())

    def _key(self, worker: Worker) -> str:
        """The cold beginning that the worker shares with others; "" where there is none."""
        key = worker.task.cache_key
        if not key or key in self._warm or not worker.provider.caches(worker.task):
            return ""
        return key
