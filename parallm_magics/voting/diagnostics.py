"""How much the voters of a panel share their errors, on items whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from parallm_magics.voting.panel_accuracy import effective_votes, majority_accuracy


def error_diagnostics(correct: Sequence[Sequence[bool | int | None]]) -> dict[str, Any]:
    """What the voters are worth alone and together.

    Args:
        correct: a row for each item, in it for each voter whether it was right; None, no vote,
            counts as wrong.

    Returns:
        `accuracy` of each voter; `best_single`, `mean_single`; `mean_error_correlation`: the mean
        Pearson correlation of two voters' being right, over `pairs_used` of the `pairs` (one who is
        always right or always wrong has none), None without any; `effective_votes`; `all_wrong` and
        `all_wrong_if_independent`; `oracle`, the share of items that any voter has right;
        `majority` and `majority_if_independent`, where a tie counts as half. Shares are None
        without items or voters.

    Raises:
        ValueError: the rows are not equally long.
    """
    rows = [[bool(right) for right in row] for row in correct]
    voters = len(rows[0]) if rows else 0
    if any(len(row) != voters for row in rows):
        raise ValueError("every item needs an entry for each voter; None where there is no vote")
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
    """Pearson's correlation of being right for each two voters, as a square table.

    None where one of the two is always right or always wrong, as it then has none.

    Args:
        correct: as `error_diagnostics`.
    """
    columns = [_bits(column) for column in zip(*correct, strict=True)]
    return [[_phi(one, other, len(correct)) for other in columns] for one in columns]


def same_wrong_rate(a: Sequence[Any], b: Sequence[Any], truth: Sequence[Any]) -> float | None:
    """Of the items that two voters both have wrong, the share for which they say the same.

    With k labels, errors without a common reason are the same in 1/(k - 1) of these. An item
    without a vote of either is left out; None where no item is left.

    Args:
        a, b: the two voters' labels, None where there is no vote.
        truth: the true labels.
    """
    both = [
        one == other
        for one, other, true in zip(a, b, truth, strict=True)
        if one is not None and other is not None and one != true and other != true
    ]
    return sum(both) / len(both) if both else None


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
