"""The levels of a score that a decision model gives a probability for each."""

from __future__ import annotations

from parallm_magics.core.tasks import Reading

MOST_STEPS = 9
"""Most steps from the lowest level of a score to the highest: servers take ten levels at most."""
LEAST_STEPS = 4
"""Fewest steps of a range that has more whole numbers than there can be levels."""
STEPS = 5
"""Steps of any other range."""


def levels_of(reading: Reading) -> tuple[float, ...]:
    """Return the levels of a score, from low to high and evenly spaced.

    Each whole number of the range is a level, where those are at most ten; else every second, third
    … one is, where they divide the range; else it is cut into five steps.

    >>> levels_of(Reading("score", low=1, high=5))
    (1.0, 2.0, 3.0, 4.0, 5.0)
    >>> levels_of(Reading("score", low=0, high=10))
    (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    >>> levels_of(Reading("score", low=0, high=1))
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    low = float(reading.low or 0)
    high = 1.0 if reading.high is None else float(reading.high)
    steps = _steps(int(high - low)) if low.is_integer() and high.is_integer() else STEPS
    return tuple(round(low + (high - low) * step / steps, 12) for step in range(steps + 1))


def _steps(length: int) -> int:
    """Return into how many steps a range between two whole numbers is cut."""
    if 2 <= length <= MOST_STEPS:
        return length
    whole = (steps for steps in range(MOST_STEPS, LEAST_STEPS - 1, -1) if length % steps == 0)
    return STEPS if length < LEAST_STEPS else next(whole, STEPS)
