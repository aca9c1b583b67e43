"""What the counts of one question say: shares, intervals and agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist


def shares(counts: Sequence[int], requested: int) -> dict[str, float | None]:
    """Return the leader's shares and its lead; None for a share without votes.

    `share_valid` is the agreement (of the valid votes), `share_requested` is of all requested
    votes, and `margin_valid` is the lead over the second label as a share of the valid votes.
    """
    valid = sum(counts)
    first, second, *_ = (*sorted(counts, reverse=True), 0, 0)
    return {
        "share_valid": first / valid if valid else None,
        "share_requested": first / requested if requested else None,
        "margin_valid": (first - second) / valid if valid else None,
    }


def share_range_after_cancel(c1: int, cancelled: int, requested: int) -> tuple[float, float] | None:
    """Return the smallest and largest share that the leader could have had of all votes."""
    if not requested:
        return None
    return c1 / requested, (c1 + cancelled) / requested


def wilson(c: float, n: int, conf: float = 0.95) -> tuple[float, float] | None:
    """Return Wilson's 95 % interval for a share of `c` in `n`; None without votes.

    It says how often the same prompt would give this label again, not how often it is right.
    """
    if not n:
        return None
    z = NormalDist().inv_cdf((1 + conf) / 2)
    share, widened = c / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / widened
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / widened
    # At the ends the formula gives 0 and 1 but for rounding.
    return (centre - half if c else 0.0), (centre + half if c < n else 1.0)


def exact_beta_half_tail(a: int, b: int) -> Fraction:
    """`beta_half_tail` as a fraction, for comparison with a level."""
    return Fraction(sum(math.comb(a + b + 1, j) for j in range(a + 1)), 2 ** (a + b + 1))


def beta_half_tail(a: int, b: int) -> float:
    """Return the probability that the label with `a` of `a + b` votes leads, under a flat
    prior.

    >>> beta_half_tail(3, 0)
    0.9375
    """
    return float(exact_beta_half_tail(a, b))


def p_better(gains: int, losses: int) -> float:
    """Return the probability, under a flat prior, that gains are more likely than losses.

    >>> p_better(3, 2)
    0.65625
    """
    return beta_half_tail(gains, losses)


def exact_p_mode(counts: Sequence[int], which: int = 0, alpha: int = 1) -> Fraction:
    """`p_mode` as a fraction, for comparison with a level.

    Normalised gammas are a Dirichlet, so this is the integral over x of the gamma density of
    `which` times the gamma distributions F(x; m) = 1 - e^-x sum_{k<m} x^k/k! of all others. Their
    product is a sum of terms v x^s e^-rx, each of which integrates to a factorial over a power.
    """
    shape = counts[which] + alpha
    # terms[r][s] is the coefficient of x^s e^-rx, times `scale` to stay in whole numbers.
    terms: list[list[int]] = [[1]]
    scale = 1
    for place, count in enumerate(counts):
        if place != which:
            unit = math.factorial(count + alpha - 1)
            tail = [unit // math.factorial(k) for k in range(count + alpha)]
            scale *= unit
            terms = _times_gamma_distribution(terms, tail, unit)
    total = Fraction(0)
    for r, coefficients in enumerate(terms):
        top = len(coefficients) - 1
        whole = sum(
            coefficient * math.factorial(shape - 1 + s) * (r + 1) ** (top - s)
            for s, coefficient in enumerate(coefficients)
        )
        total += Fraction(whole, (r + 1) ** (shape + top))
    return total / (scale * math.factorial(shape - 1))


def _times_gamma_distribution(
    terms: list[list[int]], tail: list[int], unit: int
) -> list[list[int]]:
    """The terms times (unit - e^-x times the polynomial `tail`)."""
    product = [[unit * c for c in row] for row in terms]
    product.append([])
    for r, row in enumerate(terms):
        target = product[r + 1]
        target.extend([0] * (len(row) + len(tail) - 1 - len(target)))
        for s, coefficient in enumerate(row):
            for k, factor in enumerate(tail):
                target[s + k] -= coefficient * factor
    return product


def p_mode(counts: Sequence[int], which: int = 0, alpha: int = 1) -> float:
    """Return the probability that label `which` is the most frequent answer to this prompt.

    It uses a symmetric Dirichlet prior with a whole `alpha`. Pass every label of a closed set,
    including zeros; for an open set, pass the labels seen and one extra 0 for "not seen yet".
    It is meaningful only for repeated calls with one prompt on one model, and it is never the
    probability of being right.

    >>> p_mode([3, 0])
    0.9375
    """
    return float(exact_p_mode(counts, which, alpha))


def entropy_bits(counts: Sequence[int]) -> float:
    """Return the entropy of the labels in bits; 2 ** bits is the number of different answers."""
    valid = sum(counts)
    # Each term is c log(V/c), never negative, so that unanimity is 0.0 and not -0.0.
    return math.fsum(c * math.log2(valid / c) for c in counts if c) / valid if valid else 0.0


def pairwise_agreement(counts: Sequence[int]) -> float | None:
    """Return the share of pairs of votes that agree; None with fewer than two votes."""
    valid = sum(counts)
    if valid < 2:
        return None
    return sum(c * (c - 1) for c in counts) / (valid * (valid - 1))
