"""How long a test waits for what must come: longer on a slow or a busy machine, measured each time.

Nothing waits this long unless something is wrong, so slack costs a passing test nothing.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

_REFERENCE = 0.06
"""CPU seconds that `_work` takes on the machine that the limits of the tests were chosen on."""


def with_slack(seconds: float) -> float:
    """Give the seconds to wait here and now for what takes less than `seconds` on a quiet machine."""
    return seconds * _slowness() * max(1.0, _load())


@cache
def _slowness() -> float:
    """How much slower than the reference one core is; 1 where it is faster."""
    return max(1.0, min(_work() for _ in range(3)) / _REFERENCE)


def _work() -> float:
    begun = time.process_time()
    sum(number * number for number in range(1_000_000))
    return time.process_time() - begun


def _load() -> float:
    """How many processes want each core: in the last minute or just now, whichever is more."""
    if not hasattr(os, "getloadavg"):
        return 1.0
    wanted = os.getloadavg()[0]
    now = Path("/proc/loadavg")
    if now.exists():
        wanted = max(wanted, float(now.read_text().split()[3].partition("/")[0]))
    return wanted / (os.cpu_count() or 1)
