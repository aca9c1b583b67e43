"""How far the voters of a panel agree beyond chance, and how much they share their errors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from statistics import fmean
from typing import Any

from parallm_magics.voting.panel_accuracy import effective_votes, majority_accuracy


def error_diagnostics(correct: Sequence[Sequence[bool | int | None]]) -> dict[str, Any]:
    """Measure how good the voters are alone and together, and how much they share their errors.

    Args:
        correct: one row per item, with one entry per voter: whether it was right. None means no
            vote and counts as wrong.

    Returns:
        `accuracy` of each voter; `best_single`, `mean_single`; `mean_error_correlation`: the
        mean Pearson correlation between two voters being right, over `pairs_used` of the
        `pairs` (a voter that is always right or always wrong has none), or None;
        `effective_votes`; `all_wrong` and `all_wrong_if_independent`; `oracle`: the share of
        items that at least one voter gets right; `majority` and `majority_if_independent`, with
        a tie as half. Shares are None without items or voters.

    Raises:
        ValueError: the rows differ in length.
    """
    rows = [[bool(right) for right in row] for row in correct]
    voters = len(rows[0]) if rows else 0
    if any(len(row) != voters for row in rows):
        raise ValueError("every item needs one entry per voter; use None for a missing vote")
    columns = [[row[at] for row in rows] for at in range(voters)]
    accuracy = [sum(column) / len(column) for column in columns]
    pairs = list(combinations(map(_bits, columns), 2))
    found = [phi for one, other in pairs if (phi := _phi(one, other, len(rows))) is not None]
    rho = fmean(found) if found else None
    known = bool(rows and voters)
    return {
        "accuracy": accuracy,
        "best_single": max(accuracy, default=None),
        "mean_single": fmean(accuracy) if known else None,
        "mean_error_correlation": rho,
        "pairs_used": len(found),
        "pairs": len(pairs),
        "effective_votes": None if rho is None else effective_votes(voters, rho),
        "all_wrong": fmean(not any(row) for row in rows) if known else None,
        "all_wrong_if_independent": math.prod(1 - p for p in accuracy) if known else None,
        "oracle": fmean(any(row) for row in rows) if known else None,
        "majority": fmean(map(_majority, rows)) if known else None,
        "majority_if_independent": majority_accuracy(accuracy) if known else None,
    }


def error_correlations(correct: Sequence[Sequence[bool | int | None]]) -> list[list[float | None]]:
    """Return Pearson's correlation of being right for each pair of voters, as a square table.

    None for a pair in which one voter is always right or always wrong. Rows are as in
    `error_diagnostics`.
    """
    columns = [_bits(column) for column in zip(*correct, strict=True)]
    return [[_phi(one, other, len(correct)) for other in columns] for one in columns]


def same_wrong_rate(a: Sequence[Any], b: Sequence[Any], truth: Sequence[Any]) -> float | None:
    """Return how often two voters give the same label on items that both get wrong.

    With k labels, errors without a common reason agree in 1/(k - 1) of cases. An item with a
    missing vote is ignored; None if no item is left.

    Args:
        a, b: the labels of the two voters; None for a missing vote.
        truth: the true labels.
    """
    both = [
        one == other
        for one, other, true in zip(a, b, truth, strict=True)
        if one is not None and other is not None and one != true and other != true
    ]
    return sum(both) / len(both) if both else None


def fleiss_kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Return Fleiss' kappa; None if undefined: one label only, no items, or one vote per item.

    It says how consistent the voters are, not how often they are right. It collapses if one
    label dominates: with 14 of 15 votes alike, kappa can be below 0.

    Args:
        table: the votes per label for each item; all items have the same number of votes.

    Raises:
        ValueError: items differ in their number of votes or labels.
    """
    votes = {sum(row) for row in table}
    if len(votes) > 1 or len({len(row) for row in table}) > 1:
        raise ValueError(
            "kappa needs the same number of votes for every item; with missing votes, use krippendorff_alpha"
        )
    each = votes.pop() if votes else 0
    if each < 2:
        return None
    pairs = len(table) * each * (each - 1)
    observed = Fraction(sum(c * (c - 1) for row in table for c in row), pairs)
    totals = [sum(column) for column in zip(*table, strict=True)]
    by_chance = Fraction(sum(c * c for c in totals), sum(totals) ** 2)
    return None if by_chance == 1 else float((observed - by_chance) / (1 - by_chance))


def krippendorff_alpha(items: Sequence[Sequence[str | None]]) -> float | None:
    """Return Krippendorff's alpha for unordered labels; None if nothing can be compared.

    Items with fewer than two votes are ignored. Alpha is undefined if all other votes have the
    same label.

    Args:
        items: the labels given to each item; None is a missing vote.
    """
    counted = [Counter(label for label in item if label is not None) for item in items]
    compared = [counts for counts in counted if counts.total() > 1]
    totals = Counter(label for counts in compared for label in counts.elements())
    n = totals.total()
    expected = n * n - sum(c * c for c in totals.values())
    if not expected:
        return None
    observed = sum(
        Fraction(counts.total() ** 2 - sum(c * c for c in counts.values()), counts.total() - 1)
        for counts in compared
    )
    return float(1 - (n - 1) * observed / expected)


def _bits(column: Sequence[bool | int | None]) -> int:
    """A column of right and wrong as one number, a bit an item: thousands are compared at once."""
    return int("".join("1" if right else "0" for right in column) or "0", 2)


def _phi(one: int, other: int, n: int) -> float | None:
    """Pearson's correlation of two columns of n bits; None where one of them never varies."""
    a, b = one.bit_count(), other.bit_count()
    spread = a * (n - a) * b * (n - b)
    if not spread:
        return None
    return (n * (one & other).bit_count() - a * b) / math.sqrt(spread)


def _majority(row: Sequence[bool]) -> float:
    twice = 2 * sum(row)
    return 1.0 if twice > len(row) else 0.5 if twice == len(row) else 0.0
