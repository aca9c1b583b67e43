"""Whether one system is better than another on the same items, and which one to deploy.

A gain is an item that the alternative has right and the base has wrong; a loss is the other way round.
Items on which both are right or both are wrong say nothing about the difference.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from statistics import NormalDist
from typing import Literal

from parallm_magics.voting.vote_statistics import exact_beta_half_tail

Verdict = Literal["no_items", "same", "too_few", "better", "worse", "not_shown"]
Recommendation = Literal["single", "vote", "bigger_model", "undecided"]
_SETTLED = ("worse", "same")

# 2 / 2^6 = 0.031 is the first p of one-sided changes that can be below 0.05; 2 / 2^5 = 0.0625.
FEWEST = 6

_EXACT = 1_000


def mcnemar_exact(gains: int, losses: int) -> float:
    """Return the two-sided p of McNemar's exact test: gains and losses against a fair coin.

    min(1, 2 P(Bin(gains + losses, 1/2) <= the smaller of them)); 1 without any.

    >>> mcnemar_exact(5, 0)
    0.0625
    """
    return float(min(Fraction(1), _two_tails(gains, losses)))


def mcnemar_midp(gains: int, losses: int) -> float:
    """Return the mid-p of the same test, which counts the observed outcome by half.

    It is less cautious than the exact p. It is shown for comparison; the exact p decides.

    >>> mcnemar_midp(5, 0)
    0.03125
    """
    own = Fraction(math.comb(gains + losses, gains), 2 ** (gains + losses))
    return float(min(Fraction(1), _two_tails(gains, losses) - own))


def _two_tails(gains: int, losses: int) -> Fraction:
    fewer, more = sorted((gains, losses))
    return 2 * exact_beta_half_tail(fewer, more - 1)


def paired_bootstrap(
    items: int, gains: int, losses: int, conf: float = 0.95
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of (gains - losses) / items, resampling items.

    This is the exact limit of infinitely many resamples: the difference of a resample is the
    sum of `items` draws of +1, 0 and -1 with the observed shares. Above 1,000 items, a normal
    distribution replaces the sum. None without items.

    Raises:
        ValueError: there are more changes than items.
    """
    same = items - gains - losses
    if min(gains, losses, same) < 0:
        raise ValueError(f"{gains} gains and {losses} losses are more than {items} items")
    if not items:
        return None
    if items > _EXACT:
        mean = (gains - losses) / items
        spread = math.sqrt(max((gains + losses) / items - mean**2, 0) / items)
        half = NormalDist().inv_cdf((1 + conf) / 2) * spread
        return mean - half, mean + half
    below = list(accumulate(_power((losses, same, gains), items)))
    outside = Fraction(1 - conf).limit_denominator(10**6) / 2
    low, high = (bisect_left(below, share * below[-1]) for share in (outside, 1 - outside))
    return (low - items) / items, (high - items) / items


def paired_items_needed(
    gain: float, discordance: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return how many items it takes to show a gain, by Connor's formula for McNemar's test.

    Args:
        gain: the difference in accuracy to show, above 0.
        discordance: the share of items on which the two systems differ; at least the gain.
        alpha: the two-sided level of the test.
        power: the chance of showing the gain.

    Raises:
        ValueError: such a gain is not possible.

    >>> round(paired_items_needed(0.10, 0.20))
    155
    """
    if not 0 < gain <= discordance <= 1:
        raise ValueError("the gain must be above 0 and at most the share of items that change")
    normal = NormalDist()
    level, chance = normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)
    spread = level * math.sqrt(discordance) + chance * math.sqrt(discordance - gain**2)
    return (spread / gain) ** 2


def verdict(items: int, gains: int, losses: int, alpha: float = 0.05) -> Verdict:
    """Return what the changes show, by the exact test.

    `same`: nothing changed; `too_few`: too few changes for any test; `not_shown`: there are
    changes, but a coin would often give as many.
    """
    if not items:
        return "no_items"
    if not gains + losses:
        return "same"
    if gains + losses < FEWEST:
        return "too_few"
    if mcnemar_exact(gains, losses) >= alpha:
        return "not_shown"
    return "better" if gains > losses else "worse"


def recommend(
    vote_vs_single: Verdict,
    big_vs_single: Verdict,
    big_vs_vote: Verdict,
    cost_vote: float,
    cost_big: float,
) -> Recommendation:
    """Return the system to use: one that is shown to be better; of two, the cheaper one.

    "undecided" leaves it to the user: one of the two beats the other but costs more, or too
    little is known. A single call is recommended if neither is better and both comparisons are
    settled.

    Args:
        vote_vs_single, big_vs_single, big_vs_vote: verdicts on the first against the second.
        cost_vote, cost_big: the cost of one item, in the same currency.
    """
    vote, big = vote_vs_single == "better", big_vs_single == "better"
    if vote and big:
        cheaper: Recommendation = "vote" if cost_vote <= cost_big else "bigger_model"
        winner = {"better": "bigger_model", "worse": "vote"}.get(big_vs_vote, cheaper)
        return cheaper if winner == cheaper else "undecided"
    if vote or big:
        return "vote" if vote else "bigger_model"
    settled = vote_vs_single in _SETTLED and big_vs_single in _SETTLED
    return "single" if settled else "undecided"


def _power(shares: Sequence[int], exponent: int) -> list[int]:
    """The coefficients of (a + b x + c x^2) to that power, exactly.

    By the recurrence that the derivative gives: k a p[k] = ((n + 1) - k) b p[k-1] +
    (2 (n + 1) - k) c p[k-2]. Powers of x that divide the polynomial are taken out before.
    """
    if not shares[0]:
        rest = _power([*shares[1:], 0], exponent) if any(shares) else [0] * (2 * exponent + 1)
        return ([0] * exponent + rest)[: 2 * exponent + 1]
    a, b, c = shares
    found = [a**exponent]
    for k in range(1, 2 * exponent + 1):
        value = (exponent + 1 - k) * b * found[k - 1]
        if k > 1:
            value += (2 * (exponent + 1) - k) * c * found[k - 2]
        found.append(value // (k * a))
    return found
