"""How far voters agree over many items, beyond what chance would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction


def fleiss_kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Fleiss' kappa; None where it is undefined: one label only, no items, or one vote each.

    It says how reliable voters are, not how often they are right, and collapses when one label
    dominates: 14 of 15 votes alike can have a kappa below 0.

    Args:
        table: the votes of each label, for each item; all items have as many votes.

    Raises:
        ValueError: items with different numbers of votes or labels.
    """
    votes = {sum(row) for row in table}
    if len(votes) > 1 or len({len(row) for row in table}) > 1:
        raise ValueError(
            "kappa needs the same number of votes and labels for each item;"
            " krippendorff_alpha allows missing votes"
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
    """Krippendorff's alpha for labels without order; None where nothing can be compared.

    Items with fewer than two votes count for nothing. It is undefined when all other votes have
    the same label.

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
