"""What can be learnt of a panel from labelled items, always tested on others than it is learnt from."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from parallm_magics.voting.counting import log_odds_weight, weighted_tally

Labels = Sequence[Sequence[str | None]]


def halves(items: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """The places of so many items in two halves, by lot: one to learn from, one to test on.

    >>> halves(5)
    ([1, 4], [0, 2, 3])
    """
    lot = random.Random(f"halves\0{seed}")
    order = sorted(range(items), key=lambda _: lot.random())
    return sorted(order[: items // 2]), sorted(order[items // 2 :])


def learned_weights(labels: Labels, truth: Sequence[str], kinds: int) -> list[float]:
    """Each voter's log-odds weight; 0 for one below chance.

    Args:
        labels: a row for each item to learn from, in it each voter's label; None, no vote, is wrong.
        truth: the true labels.
        kinds: how many labels there are.
    """
    columns = zip(*labels, strict=True)
    right = [sum(one == true for one, true in zip(c, truth, strict=True)) for c in columns]
    return [log_odds_weight(each, len(labels), kinds) for each in right]


def weighted_winners(labels: Labels, weights: Sequence[float]) -> list[str | None]:
    """The label with the largest sum of weights, for each item; None in a tie or without a vote."""
    return [weighted_tally(zip(row, weights, strict=True))[0] for row in labels]


def choose_threshold(shares: Sequence[float], truly: Sequence[bool]) -> float:
    """The share from which on a label is said, so that most of these items are right.

    Tried are the middles between two neighbouring shares, and the two ends, where the label is always
    or never said; with a share of 1 it is always said. Of equal ones it is the nearest to one half.

    Args:
        shares: what each item gives the label, from 0 to 1.
        truly: whether it is each item's true one.

    >>> choose_threshold([0.6, 0.7, 0.9, 0.95], [False, False, True, True])
    0.8
    """
    pairs = sorted(zip(shares, truly, strict=True))
    right = best = sum(truly)
    least = below = 0.0
    for at, (share, true) in enumerate([*pairs, (1.0, True)]):
        middle = (below + share) / 2
        # Equal shares are never parted.
        if (at == 0 or share > below) and (-right, abs(middle - 0.5)) < (-best, abs(least - 0.5)):
            best, least = right, middle
        right, below = right + (-1 if true else 1), share
    return least


@dataclass(frozen=True, slots=True)
class Panel:
    """A smaller panel, or another threshold.

    Attributes:
        voters: the places of those who are asked.
        need: how many of them must say `label`, else `other` is said; None where the most votes win.
    """

    voters: tuple[int, ...]
    need: int | None = None
    label: str = ""
    other: str = ""

    def winner(self, row: Sequence[str | None]) -> str | None:
        """What this panel says of one item; None in a tie or without a vote."""
        said = (row[at] for at in self.voters)
        counts = Counter(label for label in said if label is not None)
        if self.need is not None:
            enough = counts[self.label] >= self.need
            return (self.label if enough else self.other) if counts else None
        top = [label for label, count in counts.items() if count == max(counts.values())]
        return top[0] if len(top) == 1 else None


def choose_panel(labels: Labels, truth: Sequence[str], kinds: Sequence[str] = ()) -> Panel:
    """The panel that has most of these items right; of equal ones the one with the fewest votes.

    Tried are each voter alone and the first two, three, … of them, by the most votes; of two
    labels also the first one as soon as so many voters say so. What the chosen panel has right
    here is no measure of it: choosing has looked at these items.

    Args:
        labels, truth: as `learned_weights`.
        kinds: the labels of a closed set.
    """
    tried: list[tuple[int, Panel]] = []
    counts = [Counter[str]() for _ in labels]
    for at, column in enumerate(zip(*labels, strict=True)):
        alone = sum(label == true for label, true in zip(column, truth, strict=True))
        tried.append((alone, Panel((at,))))
        for count, label in zip(counts, column, strict=True):
            if label is not None:
                count[label] += 1
        who = tuple(range(at + 1))
        if at:
            led = sum(_leads(count, true) for count, true in zip(counts, truth, strict=True))
            tried.append((led, Panel(who)))
            tried += _thresholds(counts, truth, who, kinds)

    def worth(each: tuple[int, Panel]) -> tuple[int, int, bool]:
        right, panel = each
        return -right, len(panel.voters), panel.need is not None

    return min(tried, key=worth, default=(0, Panel(())))[1]


def _leads(counts: Counter[str], label: str) -> bool:
    """Whether a label has more votes than any other."""
    mine = counts[label]
    return mine > max((votes for other, votes in counts.items() if other != label), default=0)


def _thresholds(
    counts: Sequence[Counter[str]], truth: Sequence[str], who: tuple[int, ...], kinds: Sequence[str]
) -> list[tuple[int, Panel]]:
    """The thresholds of these voters, each with how many items it has right; of two labels only."""
    if len(kinds) != 2:
        return []
    first, other = kinds
    said = [
        (count[first], true == first)
        for count, true in zip(counts, truth, strict=True)
        if count.total()
    ]
    return [
        (sum((votes >= need) == true for votes, true in said), Panel(who, need, first, other))
        for need in range(1, len(who) + 1)
        if 2 * need != len(who) + 1  # else it is the panel in which the most votes win
    ]
