"""How long a call may take: the limits that the user sets, else those of the tier that it is asked at."""

from __future__ import annotations

from typing import NamedTuple

from parallm_magics.cell.options import Options


class TimeLimits(NamedTuple):
    """What a call's waiting is bounded by, in seconds.

    Attributes:
        first: of silence before the first token.
        silence: of silence after it.
        deadline: of the call as a whole, its tries and waits included.
    """

    first: float
    silence: float
    deadline: float


USUAL = TimeLimits(first=60.0, silence=15.0, deadline=120.0)
FLEX = TimeLimits(first=600.0, silence=60.0, deadline=900.0)
"""A flex request may stand in line for minutes; what is turned away meanwhile is sent again."""


def limits_of(options: Options) -> TimeLimits:
    """Return the limits of calls with these options."""
    usual = FLEX if options.tier == "flex" else USUAL
    return TimeLimits(
        first=options.timeout or usual.first,
        silence=options.timeout or usual.silence,
        deadline=options.deadline or usual.deadline,
    )
