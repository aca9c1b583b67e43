"""Who wins once every vote has ended, with votes that count alike or by their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from parallm_magics.core.exact_numbers import Number, exact_number
from parallm_magics.errors import nearest

Outcome = Literal["decided", "tie", "no_majority", "no_quorum", "not_cleared", "rule_failed"]
"""How a vote ended; "not_cleared" is of a flag that votes without a label could show, "rule_failed" of
a rule with an error in it."""

Base = Literal["requested", "valid"]
Share = Fraction | Decimal | int | float | str
"""A share as a user writes it: `"0.6"`, `"2/3"` or a number."""

Formula = Callable[[int, int, int, Share | None], Outcome]
"""A rule that counts: from the two largest counts, the base and the demanded share to the outcome."""


def exact_share(share: Share) -> Fraction:
    """The share as a fraction with a denominator of at most 1000.

    Three decimals, thirds and sevenths are exact, also when they come as floats; finer shares are
    rounded to the nearest such fraction (`0.66667` is two thirds). A `Fraction` is taken as it is.

    Raises:
        ValueError: not a number, or outside 0..1.
    """
    try:
        exact = isinstance(share, Fraction)
        fraction = Fraction(share) if exact else Fraction(share).limit_denominator(1000)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"{share!r} is not a share; write it as 0.6 or 2/3") from None
    if not 0 <= fraction <= 1:
        raise ValueError(f"share {share} is outside 0..1; write 60 % as 0.6 or 3/5")
    return fraction


def need(q: Share, base: int) -> int:
    """Return the fewest votes, at least one, that are a share `q` of `base`.

    >>> need("0.56", 25)
    14
    """
    # A float product is wrong here: 0.56 * 25 is a little more than 14, and rounds up to 15.
    return max(1, math.ceil(exact_share(q) * base))


def leaders(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the labels with the largest count, in the order of `counts`; empty without votes."""
    most = max(counts.values(), default=0)
    return tuple(label for label, count in counts.items() if count == most > 0)


def plurality(first: int, second: int, base: int, q: Share | None) -> Outcome:
    """More votes than any other label."""
    return "decided" if first > second else "tie"


def majority(first: int, second: int, base: int, q: Share | None) -> Outcome:
    """More than half of the base."""
    return "decided" if 2 * first > base else "no_majority"


def threshold(first: int, second: int, base: int, q: Share | None) -> Outcome:
    """At least the share `q` of the base; of several such labels, the one that leads."""
    if q is None:
        raise ValueError("rule 'threshold' needs a share, such as 0.6 or 2/3")
    return plurality(first, second, base, q) if first >= need(q, base) else "no_majority"


def unanimity(first: int, second: int, base: int, q: Share | None) -> Outcome:
    """Every vote of the base."""
    return "decided" if first == base else "no_majority"


RULES: Mapping[str, Formula] = {
    formula.__name__: formula for formula in (plurality, majority, threshold, unanimity)
}
"""What `decide` knows by name."""


def decide(
    counts: Mapping[str, int],
    requested: int,
    rule: str | Formula = "plurality",
    q: Share | None = None,
    base: Base | None = None,
    quorum: int | None = None,
) -> tuple[Outcome, str | None]:
    """Return the outcome of a finished vote, and its winner or None.

    Args:
        counts: the valid votes per label.
        requested: all requested votes, including those without a label.
        rule: a name in `RULES`, or a function of that form.
        q: the share that rule "threshold" requires.
        base: what the shares are taken of: "requested" (default) or "valid". With "requested",
            a vote that could not be read still counts in the denominator. Plurality has no
            base.
        quorum: the fewest valid votes for a result; by default half of the requested votes,
            rounded up.

    Raises:
        ValueError: the rule or base is unknown, the share is unusable, or the counts do not
            fit.
    """
    if isinstance(rule, str) and rule not in RULES:
        known = ", ".join(sorted(RULES))
        raise ValueError(f"unknown vote rule {rule!r}; known: {known}{nearest(rule, RULES)}")
    if base not in (None, "requested", "valid"):
        raise ValueError(f"unknown base {base!r}; known: requested, valid")
    valid = sum(counts.values())
    if valid > requested or min(counts.values(), default=0) < 0:
        raise ValueError(f"{dict(counts)} does not fit {requested} requested votes")
    if valid < max(1, (requested + 1) // 2 if quorum is None else quorum):
        return "no_quorum", None
    first, second, *_ = (*sorted(counts.values(), reverse=True), 0)
    formula = RULES[rule] if isinstance(rule, str) else rule
    outcome = formula(first, second, valid if base == "valid" else requested, q)
    return outcome, leaders(counts)[0] if outcome == "decided" else None


def weight_sums(votes: Iterable[tuple[str | None, Number | None]]) -> dict[str, Fraction]:
    """Return the exact sum of weights per label, in the order of their first votes.

    Votes without a label or without a weight are left out.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    sums: dict[str, Fraction] = {}
    for label, weight in votes:
        if label is not None and weight is not None:
            sums[label] = sums.get(label, Fraction()) + exact_number(weight)
    return sums


def weighted_tally(
    votes: Iterable[tuple[str | None, Number | None]],
) -> tuple[str | None, float | None]:
    """Return the label with the largest sum of weights, and its share of all weight.

    A tie of exact sums has no winner, and the share is that of each leading label. Without any
    weight, both are None.

    Args:
        votes: the label and weight of each vote; a vote without one of them is left out.

    Raises:
        ValueError: a weight is negative or not finite.

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
    """Return the weight of a voter with `right` of `items` items; 0 if it is below chance.

    It is the logarithm of p (labels - 1) / (1 - p), with p = (right + 1) / (items + 2). Do not
    test it on the items from which you learn it.

    Raises:
        ValueError: more right than items, or fewer than two labels.
    """
    if not 0 <= right <= items or labels < 2:
        raise ValueError(f"no weight for {right} right of {items} items with {labels} labels")
    return max(0.0, math.log((right + 1) * (labels - 1) / (items - right + 1)))
