"""How often a panel is right by how many of its voters vote, on items whose truth is known.

A vote is a plurality; a tie is decided by lot, so that an even number of voters is worth no more
than the odd one below it. A missing vote helps nobody.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

Labels = Sequence[Sequence[str | None]]

_STATES = 3_000
"""So many ways for a panel's votes to fall are gone through exactly; of more, a sample is drawn."""

_DRAWS, _LEAST = 1_000, 20
"""Deals drawn in all, and the least of one true label; of its items it gets its share."""


def accuracy_by_votes(labels: Labels, truth: Sequence[str]) -> list[float]:
    """Return the accuracy of 1, 2, … votes, averaged over all choices of voters.

    Args:
        labels: one row per item, with one label per voter; None for a missing vote.
        truth: the true labels.

    Returns:
        One share per number of voters; empty without items or voters.

    >>> [round(share, 3) for share in accuracy_by_votes([["a", "a", "b"]], ["a"])]
    [0.667, 0.667, 1.0]
    """
    voters = _voters(labels)
    alike: Counter[tuple[int, tuple[int, ...], int]] = Counter()
    for row, true in zip(labels, truth, strict=True):
        counts = Counter(label for label in row if label is not None)
        right = counts.pop(true, 0)
        wrong = tuple(sorted(counts.values()))
        alike[right, wrong, voters - right - sum(wrong)] += 1
    sums = [0.0] * voters
    for (right, wrong, missing), items in alike.items():
        for at, chance in enumerate(_by_lot(right, wrong, missing)):
            sums[at] += items * chance
    return [each / len(labels) for each in sums]


def independent_accuracy_by_votes(
    labels: Labels, truth: Sequence[str], seed: int = 0
) -> list[float]:
    """Return the accuracy of 1, 2, … votes if the voters' errors were independent.

    Each voter's answers are redistributed among the items of the same true label, in every
    possible way, so each voter keeps its accuracy and its habits of error. For a large panel
    with many labels, about 1,000 seeded samples replace the exact result.

    Args:
        labels, truth: as for `accuracy_by_votes`.
        seed: decides which samples are drawn.
    """
    voters = _voters(labels)
    groups: dict[str, list[Sequence[str | None]]] = defaultdict(list)
    for row, true in zip(labels, truth, strict=True):
        groups[true].append(row)
    sums = [0.0] * voters
    for true, rows in groups.items():
        habits = [Counter(row[at] for row in rows) for at in range(voters)]
        kinds = {label for habit in habits for label in habit} - {None, true}
        if math.comb(voters + len(kinds) + 2, voters) <= _STATES:
            chances = _exactly(habits, true, len(rows))
        else:
            draws = max(_DRAWS * len(rows) // len(labels), _LEAST)
            chances = _drawn(habits, true, random.Random(f"{seed}\0{true}"), draws)
        for at, chance in enumerate(chances):
            sums[at] += len(rows) * chance
    return [each / len(labels) for each in sums]


def _voters(labels: Labels) -> int:
    if len({len(row) for row in labels}) > 1:
        raise ValueError("every item needs one entry per voter; use None for a missing vote")
    return len(labels[0]) if labels else 0


def _by_lot(right: int, wrong: Sequence[int], missing: int) -> list[float]:
    """The chance that the right label wins among 1, 2, … of the votes that fell in this way."""
    voters = right + sum(wrong) + missing
    ways = [0.0] * (voters + 1)
    for mine in range(1, right + 1):
        # Votes for the others, and how many of their labels have as many as the right one.
        others = {(0, 0): math.comb(right, mine)}
        for count in wrong:
            further: dict[tuple[int, int], int] = defaultdict(int)
            for (total, tied), number in others.items():
                for votes in range(min(count, mine) + 1):
                    place = (total + votes, tied + (votes == mine))
                    further[place] += number * math.comb(count, votes)
            others = further
        for (total, tied), number in others.items():
            for silent in range(missing + 1):
                ways[mine + total + silent] += (
                    number * math.comb(missing, silent) / (math.comb(voters, mine + total + silent))
                ) / (tied + 1)
    return ways[1:]


def _exactly(habits: Sequence[Mapping[str | None, int]], true: str, items: int) -> Sequence[float]:
    """The chances for 1, 2, … voters, by every way in which their votes can fall."""
    wrong = sorted({label for habit in habits for label in habit if label not in (None, true)})
    place = {true: 0, **{label: at for at, label in enumerate(wrong, 1)}}
    silent = len(place)
    # The votes of each label and the silent ones, for every choice among the voters so far.
    falls: dict[tuple[int, ...], float] = {(0,) * (silent + 1): 1.0}
    for habit in habits:
        further = defaultdict(float, falls)
        for counts, weight in falls.items():
            for label, times in habit.items():
                at = silent if label is None else place[label]
                more = (*counts[:at], counts[at] + 1, *counts[at + 1 :])
                further[more] += weight * times / items
        falls = further
    voters = len(habits)
    chances = [0.0] * (voters + 1)
    for counts, weight in falls.items():
        chances[sum(counts)] += weight * _credit(counts[:silent])
    return [chances[k] / math.comb(voters, k) for k in range(1, voters + 1)]


def _drawn(
    habits: Sequence[Mapping[str | None, int]], true: str, numbers: random.Random, draws: int
) -> Sequence[float]:
    """The same by a sample: of each deal every beginning of the panel, in an order drawn too."""
    answers = [[label for label, times in habit.items() for _ in range(times)] for habit in habits]
    sums = [0.0] * len(habits)
    for _ in range(draws):
        order = sorted(range(len(habits)), key=lambda _: numbers.random())
        counts: Counter[str] = Counter()
        for k, voter in enumerate(order):
            label = answers[voter][int(numbers.random() * len(answers[voter]))]
            if label is not None:
                counts[label] += 1
            others = [count for each, count in counts.items() if each != true]
            sums[k] += _credit([counts[true], *others])
    return [each / draws for each in sums]


def _credit(counts: Sequence[int]) -> float:
    """What the first label gets: all where it leads alone, a part of it in a tie."""
    most = max(counts)
    return 1 / sum(count == most for count in counts) if counts[0] == most > 0 else 0.0
