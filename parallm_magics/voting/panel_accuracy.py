"""How often the majority of a panel is right, from what is known of its voters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

Tie = Literal["half", "lost"]


def majority_accuracy(ps: Sequence[float], tie: Tie = "half") -> float:
    """Return the chance that more than half of independent voters are right.

    The number of right voters has a Poisson binomial distribution.

    Args:
        ps: each voter's chance of being right, from 0 to 1.
        tie: whether a tie of an even panel counts as half (a coin toss) or as lost.

    >>> round(majority_accuracy([0.8] * 5), 5)
    0.94208
    """
    right = [1.0]
    for p in ps:
        wrong, more = [(1 - p) * each for each in right], [p * each for each in right]
        right = [a + b for a, b in zip([*wrong, 0.0], [0.0, *more], strict=True)]
    return _more_than_half(right, tie)


def beta_binomial_majority(n: int, p: float, rho: float, tie: Tie = "half") -> float:
    """Return the chance that more than half of n voters with shared errors are right.

    Every item has its own chance of a right answer, drawn from a beta distribution with mean p;
    for a given item, the voters are independent. `rho` is the correlation between two voters
    being right, which is the share of the variance between items.

    Args:
        n: the number of voters.
        p: the mean chance of being right, from 0 to 1.
        rho: from 0 (independent) to 1 (all right or all wrong together).
        tie: as for `majority_accuracy`.
    """
    if rho <= 0 or p in (0, 1):
        return majority_accuracy([p] * n, tie)
    if rho >= 1:
        return p if n else _more_than_half([1.0], tie)
    # Pólya's urn: each vote that is right makes the next one more likely to be right.
    step = rho / (1 - rho)
    right = [0.0, *itertools.accumulate(math.log(p + at * step) for at in range(n))]
    wrong = [0.0, *itertools.accumulate(math.log(1 - p + at * step) for at in range(n))]
    whole = math.fsum(math.log1p(at * step) for at in range(n))
    chances = [
        math.exp(math.log(math.comb(n, k)) + right[k] + wrong[n - k] - whole) for k in range(n + 1)
    ]
    return _more_than_half(chances, tie)


def effective_votes(n: int, rho: float) -> float:
    """Return how many independent voters have as stable a mean as n correlated ones.

    Kish's design effect: n / (1 + (n - 1) rho), never below 1 or above n; 0 for no voters.

    >>> effective_votes(9, 0.4375)
    2.0
    """
    if n < 1:
        return 0.0
    spread = 1 + (n - 1) * rho
    return min(max(n / spread, 1.0), float(n)) if spread > 0 else float(n)


def _more_than_half(chances: Sequence[float], tie: Tie) -> float:
    """The chance of more than half, from those of 0, 1, …, n."""
    n = len(chances) - 1
    whole = math.fsum(chance for k, chance in enumerate(chances) if 2 * k > n)
    even = chances[n // 2] if n % 2 == 0 and tie == "half" else 0.0
    return min(whole + even / 2, 1.0)
