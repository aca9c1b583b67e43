"""Whether work takes time in proportion to its size, on a busy machine as on a quiet one."""

from __future__ import annotations

import time
from collections.abc import Callable

_TIMES = 8
_MOST = 3 * _TIMES  # in proportion it is 8; where time grows with the square, 64
_SHORTEST = 0.01  # seconds: below that, what begins and ends counts for more than the size


def assert_in_proportion(work: Callable[[int], object], size: int) -> None:
    """Fail where eight times the size takes the processor more than 24 times as long.

    Args:
        work: does as much work as it is told.
        size: the greater one of the two sizes.
    """
    # What else the process does, such as collecting garbage, makes a try longer and never shorter.
    once, taken = 0.0, 0.0
    for _ in range(3):
        once = max(_SHORTEST, _seconds(work, size // _TIMES))
        taken = _seconds(work, size)
        if taken < _MOST * once:
            return
    raise AssertionError(f"{size} takes {taken:.2f} s, and an eighth of it {once:.3f} s")


def _seconds(work: Callable[[int], object], size: int) -> float:
    began = time.process_time()
    work(size)
    return time.process_time() - began
