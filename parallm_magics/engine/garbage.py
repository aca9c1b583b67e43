"""How often Python looks for garbage while calls are under way."""

from __future__ import annotations

import gc
import threading
from typing import Self

YOUNG = 20_000
"""Objects that may be new before Python looks among them for garbage."""


class _FewerCollections:
    """Lets Python look for garbage less often as long as a run lasts; a context manager for all of them.

    Python looks when 700 objects are new, and takes for old what is still in use at its second look. A
    call under way holds 70, so that hundreds of calls in a row were looked through and taken for old, until
    all objects of the process are looked through: with an SDK imported that stops all streams for 150 ms,
    every second. Between two looks most calls come to their end, and nothing of them is left to find.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = self._before = 0

    def __enter__(self) -> Self:
        """Take in that a run begins."""
        with self._lock:
            self._runs += 1
            young, *older = gc.get_threshold()
            if self._runs == 1 and 0 < young < YOUNG:  # 0 is never
                self._before = young
                gc.set_threshold(YOUNG, *older)
        return self

    def __exit__(self, *_: object) -> None:
        """Take in that a run ends; after the last one all is as it was, unless somebody else has set it."""
        with self._lock:
            self._runs -= 1
            young, *older = gc.get_threshold()
            if self._runs == 0 and self._before:
                if young == YOUNG:
                    gc.set_threshold(self._before, *older)
                self._before = 0


FEWER_COLLECTIONS = _FewerCollections()
