"""Who wins when votes weigh differently."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from parallm_magics.core.exact_numbers import Number, exact_number


def weight_sums(votes: Iterable[tuple[str | None, Number | None]]) -> dict[str, Fraction]:
    """The exact sum of each label's weights, in the order of their first votes.

    Votes without a label or without a weight are left out.

    Raises:
        ValueError: a weight that is negative or not finite.
    """
    sums: dict[str, Fraction] = {}
    for label, weight in votes:
        if label is not None and weight is not None:
            sums[label] = sums.get(label, Fraction()) + exact_number(weight)
    return sums


def weighted_tally(
    votes: Iterable[tuple[str | None, Number | None]],
) -> tuple[str | None, float | None]:
    """The label with the largest sum of weights, and its share of all weight.

    A tie of exact sums has no winner, and the share is that of each label that leads. Where no
    vote weighs anything there is neither.

    Args:
        votes: label and weight of each vote; one without either is left out.

    Raises:
        ValueError: a weight that is negative or not finite.

    >>> weighted_tally([("A", 0.1), ("A", 0.2), ("B", 0.3)])
    (None, 0.5)
    """
    sums = weight_sums(votes)
    total = sum(sums.values(), Fraction())
    if not total:
        return None, None
    most = max(sums.values())
    first, *tied = (label for label, own in sums.items() if own == most)
    return None if tied else first, float(most / total)


def log_odds_weight(right: int, items: int, labels: int = 2) -> float:
    """The weight of a voter with `right` of `items` labelled items right; 0 for one below chance.

    It is the logarithm of p (labels - 1) / (1 - p), where p = (right + 1) / (items + 2). Learn it
    on other items than those it is tested on.

    Raises:
        ValueError: more right than items, or fewer than two labels.
    """
    if not 0 <= right <= items or labels < 2:
        raise ValueError(f"no weight for {right} right of {items} items with {labels} labels")
    return max(0.0, math.log((right + 1) * (labels - 1) / (items - right + 1)))
