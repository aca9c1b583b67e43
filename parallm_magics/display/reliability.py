"""The reliability picture: how often answers are right, against how sure they say that they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parallm_magics.display import text
from parallm_magics.display.kinds import Dot, Dots

_READ = (
    "The dot is how often such answers are right, its line the 95 % interval, the upright line what "
    "they stated. A line that misses the upright one: they are right more or less often than stated."
)


@dataclass(frozen=True, slots=True)
class StatedShare:
    """Answers that are about equally sure, and how many of them are right.

    Attributes:
        low, high: between which shares, from 0 to 1, they say that they are sure.
        stated: the mean of what they say.
        right, answers: how many are right, of how many; there is at least one.
        interval: of the share that is right.
    """

    low: float
    high: float
    stated: float
    right: int
    answers: int
    interval: tuple[float, float]


def reliability(rows: Sequence[StatedShare], *, name: str = "Stated", note: str = _READ) -> Dots:
    """A row for each of these shares, that is right against that is stated, on one axis.

    Args:
        name: the heading of what is held against the truth, such as "Agreement".
        note: what is said below; usually how the picture is read.
    """
    return Dots((name, ">Mean", ">Right", ">95 % interval"), tuple(map(_row, rows)), note)


def _row(each: StatedShare) -> Dot:
    low, high = each.interval
    of = f"{each.right:,} of {each.answers:,}"
    cells = (f"{text.percent(each.stated)} %", of, text.between(each.interval))
    # In full colour where the interval misses what is stated.
    misses = not low <= each.stated <= high
    return Dot(
        _span(each.low, each.high), each.right / each.answers, low, high, cells, misses, each.stated
    )


def _span(low: float, high: float) -> str:
    """From the lowest to the highest share; to a tenth, as those of a sure model are all near 100 %."""
    ends = dict.fromkeys(f"{share * 100:.1f}".removesuffix(".0") for share in (low, high))
    return f"{'–'.join(ends)} %"
