"""The runs of a session that have not ended, whoever waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from parallm_magics.notebook.interrupt import InterruptibleWait


class UnderWay:
    """What runs at this moment, so that all of it can be stopped."""

    def __init__(self) -> None:
        self._waits: set[InterruptibleWait] = set()

    @contextlib.contextmanager
    def one(self, wait: InterruptibleWait) -> Iterator[None]:
        """While this one runs; after that nothing of it is left."""
        self._waits.add(wait)
        try:
            yield
        finally:
            self._waits.discard(wait)
            wait.over.set()

    def end(self, reason: str) -> None:
        """Stop all of them."""
        for wait in list(self._waits):
            wait.end(reason)

    async def over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until those that run on this loop have ended."""
        for wait in [each for each in self._waits if each.loop is loop]:
            await wait.over.wait()
