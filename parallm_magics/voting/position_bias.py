"""Whether a judge's choice depends on the order in which it sees two candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from parallm_magics.voting.paired_tests import mcnemar_exact

_CHOICES = ("A", "B", "tie")


def judge_swap(pairs: Iterable[tuple[str, str]]) -> dict[str, float | None]:
    """Measure how much a judge prefers a position, from its choices in both orders.

    `consistent` is the share of pairs with the same choice in both orders, including two ties;
    None without pairs. `flips` counts the pairs in which the choice changes to the other
    candidate; a change from or to a tie does not count. `first_slot_flips` are the flips in
    which the first candidate wins both times. `p_value` is from the two-sided sign test of the
    flips, 1.0 without any: a small value shows a preference for the first or the second
    position.

    Args:
        pairs: "A", "B" or "tie", chosen with A first and then with B first.

    Raises:
        ValueError: a choice is none of these.
    """
    seen = Counter((first, second) for first, second in pairs)
    for choice in (choice for pair in seen for choice in pair):
        if choice not in _CHOICES:
            raise ValueError(f"unknown choice {choice!r}; known: {', '.join(_CHOICES)}")
    same = sum(count for (first, second), count in seen.items() if first == second)
    to_first, to_second = seen["A", "B"], seen["B", "A"]
    return {
        "consistent": same / seen.total() if seen else None,
        "flips": to_first + to_second,
        "first_slot_flips": to_first,
        "p_value": mcnemar_exact(to_first, to_second),
    }
