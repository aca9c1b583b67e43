"""What a panel is asked, and by which rule its winner is picked; settled before any call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from parallm_magics.cell.options import Options
from parallm_magics.errors import OptionError
from parallm_magics.types import Reading, Task

Base = Literal["requested", "valid"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a winner is picked.

    Attributes:
        pick: the rule's name, as `--pick` takes it.
        share: the share of the base that the winner needs ("threshold" only).
        base: "requested" or "valid".
        quorum: the least number of valid votes.
    """

    pick: str = "plurality"
    share: str | None = None
    base: Base = "requested"
    quorum: int = 1


def rule_of(options: Options, votes: int) -> Rule:
    """The rule that a cell's options ask for.

    Raises:
        OptionError: options that exclude each other, or that no vote could fulfil.
    """
    pick = options.pick
    if options.threshold is not None:
        if pick not in ("plurality", "threshold"):
            raise OptionError(f"--threshold and --pick {pick} exclude each other")
        pick = "threshold"
    elif pick == "threshold":
        raise OptionError(
            "--pick threshold needs --threshold, such as 2/3, 60% or a count of votes"
        )
    quorum = options.quorum or math.ceil(votes / 2)
    if quorum > votes:
        raise OptionError(f"--quorum {quorum}: there are only {votes} votes")
    base: Base = "valid" if options.base == "valid" else "requested"
    share = None
    if options.threshold is not None:
        asked = options.threshold
        found = Fraction(asked.removesuffix("%")) / (100 if asked.endswith("%") else 1)
        if found > 1:
            if found > votes:
                raise OptionError(f"--threshold {asked}: there are only {votes} votes")
            found, base = found / votes, "requested"
        share = str(found)
    return Rule(pick, share, base, quorum)


def panel_reading(tasks: Sequence[Task]) -> Reading:
    """How the panel's answers are read; voters who answer in different ways cannot be counted.

    Raises:
        OptionError: the voters' readings differ.
    """
    readings = {task.reading or Reading("open") for task in tasks}
    if len(readings) > 1:
        raise OptionError(
            "the voters answer in different ways: give all of them the same --choices"
        )
    return readings.pop()


def repeats(tasks: Sequence[Task]) -> bool:
    """Whether all votes are draws of one prompt on one model."""
    return len({(t.model, t.prompt, t.system, t.temperature, t.effort) for t in tasks}) == 1


def warnings(tasks: Sequence[Task]) -> list[str]:
    """What the reader of a vote should know of its panel, one line each."""
    reading = panel_reading(tasks)
    votes = len(tasks)
    notes = []
    if votes % 2 == 0 and len(reading.choices) == 2:
        notes.append(f"{votes} votes on two labels can tie; {votes - 1} would decide as well")
    if votes > 1 and repeats(tasks):
        notes.append(
            "one prompt on one model: the votes share their errors, so agreement is not accuracy"
        )
    if reading.kind == "open" and not any(task.reading for task in tasks):
        notes.append("no --choices: answers count as the same only where their texts are")
    return notes
