"""How far stated shares are met: scores, reliability bins, and the share from which answers are right often enough.

A share is what a system gives its answer from 0 to 1: the probability that a decision model states, or the
part of the votes that agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from parallm_magics.voting.vote_statistics import wilson

MOST_BINS = 10
ITEMS_A_BIN = 10
"""Items that a bin has at least in the mean: with fewer, its interval says next to nothing."""
LEVEL = 0.95


def brier_loss(probabilities: Mapping[str, float], truth: str) -> float:
    """Return the squared distance of one item's probabilities from its true label, from 0 to 2.

    It is the sum over all labels of (p - [label is true])^2, a label without a probability having 0. For
    two labels it is twice the loss of the binary score.

    >>> round(brier_loss({"a": 0.8, "b": 0.2}, "a"), 9)
    0.08
    """
    labels = {**dict.fromkeys(probabilities), truth: None}
    return math.fsum((probabilities.get(label, 0.0) - (label == truth)) ** 2 for label in labels)


def brier_score(probabilities: Sequence[Mapping[str, float]], truth: Sequence[str]) -> float | None:
    """Return the mean of `brier_loss` over items; None without items.

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability", the form for
    several labels. 0 is perfect; who gives each of K labels the same probability has 1 - 1/K.

    Args:
        probabilities: for each item the probability of each label.
        truth: the true labels.
    """
    losses = [brier_loss(*each) for each in zip(probabilities, truth, strict=True)]
    return fmean(losses) if losses else None


def log_score(probabilities: Sequence[Mapping[str, float]], truth: Sequence[str]) -> float | None:
    """Return the mean of -ln p of the true label; infinite where one has 0, None without items.

    Source: Good (1952), "Rational decisions". 0 is perfect; who gives each of K labels the same
    probability has ln K.
    """
    found = [each.get(true, 0.0) for each, true in zip(probabilities, truth, strict=True)]
    if not found:
        return None
    return fmean(-math.log(p) if p > 0 else math.inf for p in found) + 0.0


def bounded_mean_interval(
    values: Sequence[float], most: float, conf: float = LEVEL
) -> tuple[float, float] | None:
    """Return an interval for the mean of values from 0 to `most`; None without any.

    It is the normal interval once half a value of 0 and half a value of `most` are added. That keeps it
    from being too narrow where most values are near 0 and a few are large, as the losses of a sure model
    are: the idea of Agresti and Coull (1998) for shares, here for a mean. The benchmark `calibrations`
    measures how often it covers.
    """
    if not values:
        return None
    items = len(values) + 1
    mean = (math.fsum(values) + most / 2) / items
    square = (math.fsum(value * value for value in values) + most * most / 2) / items
    z = NormalDist().inv_cdf((1 + conf) / 2)
    half = z * math.sqrt(max(square - mean * mean, 0.0) / items)
    return max(mean - half, 0.0), min(mean + half, most)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Items with like shares.

    Attributes:
        low, high: the smallest and the largest share.
        stated: the mean share: how many would be right if the shares were met.
        items: how many there are.
        right: how many of them are right.
        interval: Wilson's 95 % interval of the share of right ones.
    """

    low: float
    high: float
    stated: float
    items: int
    right: int
    interval: tuple[float, float]

    @property
    def accuracy(self) -> float:
        """The share of right ones."""
        return self.right / self.items

    @property
    def met(self) -> bool:
        """Whether the mean share is within the interval."""
        low, high = self.interval
        return low <= self.stated <= high


def reliability_bins(
    shares: Sequence[float], rights: Sequence[bool], most: int = MOST_BINS
) -> list[ReliabilityBin]:
    """Return the items in bins, lowest shares first: at most `most`, and as many as there are tens of items.

    Few different shares, such as those of five votes, have a bin each. Others are cut so that bins have
    nearly the same number of items: with bins of the same width, nearly all shares of a sure model fall into the
    last one, and the others are too small to say anything. Equal shares are never parted. Source: Nguyen and
    O'Connor (2015), "Posterior calibration and exploratory analysis for natural language processing models",
    adaptive binning. There is no expected calibration error here: it changes with the bins, and it is above 0
    by chance alone even if all shares are met (Kumar, Liang and Ma 2019, "Verified uncertainty calibration").

    Args:
        shares: what each item's answer is given, from 0 to 1.
        rights: whether each answer is right.
    """
    pairs = sorted(zip(shares, rights, strict=True), key=lambda pair: pair[0])
    if not pairs:
        return []
    bins = max(1, min(most, len(pairs) // ITEMS_A_BIN))
    alike = [[*group] for group in _grouped(pairs)]
    cut = alike if len(alike) <= bins else _cut(alike, len(pairs), bins)
    return [_bin(each) for each in cut]


Pair = tuple[float, bool]


def _grouped(pairs: Sequence[Pair]) -> Iterable[list[Pair]]:
    """The pairs of each share, from shares in order."""
    group: list[Pair] = []
    for pair in pairs:
        if group and pair[0] != group[0][0]:
            yield group
            group = []
        group.append(pair)
    yield group


def _cut(alike: Iterable[list[Pair]], items: int, bins: int) -> list[list[Pair]]:
    """Groups of equal shares, joined to bins of nearly the same size."""
    found: list[list[Pair]] = []
    done, last = 0, -1
    for group in alike:
        # A group belongs to the bin in which its middle lies.
        at = (2 * done + len(group)) * bins // (2 * items)
        if at != last:
            found.append([])
        found[-1] += group
        done, last = done + len(group), at
    return found


def _bin(pairs: Sequence[Pair]) -> ReliabilityBin:
    shares, right = [share for share, _ in pairs], sum(right for _, right in pairs)
    mean = min(max(fmean(shares), shares[0]), shares[-1])
    interval = wilson(right, len(pairs)) or (0.0, 1.0)
    return ReliabilityBin(shares[0], shares[-1], mean, len(pairs), right, interval)


def fewest_for(asked: float, level: float = LEVEL) -> int:
    """Return how many items, all right, show with this confidence that a share of `asked` is right.

    >>> fewest_for(0.95)
    59
    """
    fewest = math.ceil(math.log(1 - level) / math.log(asked) - 1e-9)
    return max(fewest, 1)


def shown_at_least(right: int, items: int, asked: float, level: float = LEVEL) -> bool:
    """Tell whether the one-sided lower bound of a share of right ones is at least `asked`.

    The bound is that of Clopper and Pearson (1934), "The use of confidence or fiducial limits": it is at least
    `asked` exactly where so many right ones, or more, have a probability of at most 1 - level if each is right
    with the probability `asked`.
    """
    if right <= asked * items:
        return False
    term = items * math.log(asked)
    tail = [math.exp(term)]
    for wrong in range(1, items - right + 1):
        term += math.log((items - wrong + 1) / wrong * (1 - asked) / asked)
        tail.append(math.exp(term))
    return math.fsum(tail) <= 1 - level + 1e-12


def sure_share(
    shares: Sequence[float], rights: Sequence[bool], asked: float, level: float = LEVEL
) -> float | None:
    """Return the lowest share from which on answers are shown to be right as often as asked; None where none is.

    Shown is what the one-sided lower bound (`shown_at_least`) of the items at or above a share says.
    As it is the lowest of all the shares that are tried, the bound alone does not keep the promise in
    95 of 100 studies, least of all where shares tell nothing of what is right. So test it on other items
    (`answered_from`), and report what those say. Source of the whole: Geifman and El-Yaniv (2017),
    "Selective classification for deep neural networks".

    Args:
        shares, rights: as `reliability_bins`, of the items to choose on.
        asked: how often the answers are to be right, between 0 and 1.
    """
    pairs = sorted(zip(shares, rights, strict=True), key=lambda pair: pair[0])
    right, left = sum(rights), len(pairs)
    for group in _grouped(pairs) if pairs else ():
        if shown_at_least(right, left, asked, level):
            return group[0][0]
        right -= sum(each for _, each in group)
        left -= len(group)
    return None


def answered_from(
    share: float, shares: Sequence[float | None], rights: Sequence[bool]
) -> tuple[int, int]:
    """Return how many items are answered from a share on, and how many of those are right.

    Args:
        shares: what each item's answer is given; None for an item without an answer.
    """
    found = [
        right
        for each, right in zip(shares, rights, strict=True)
        if each is not None and each >= share
    ]
    return len(found), sum(found)
