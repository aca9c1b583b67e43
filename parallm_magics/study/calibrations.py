"""How far the shares that a system of a study gives its answers tell which of them are right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parallm_magics.study.outcomes import Item
from parallm_magics.voting.calibration import (
    ReliabilityBin,
    answered_from,
    bounded_mean_interval,
    brier_loss,
    brier_score,
    fewest_for,
    log_score,
    reliability_bins,
    sure_share,
)
from parallm_magics.voting.vote_statistics import wilson

WORST_BRIER = 2.0


@dataclass(frozen=True, slots=True)
class Sure:
    """The share from which answers are right as often as asked, chosen on one half and tested on the other.

    Attributes:
        asked: how often they are to be right, from 0 to 1.
        share: the lowest share from which the first half shows that; None where no share does.
        chosen_on: items of the first half.
        fewest: how many of its answers, all right, would be enough.
        items: those of the second half.
        answered: how many of these are answered.
        right: how many of these are right.
        accuracy: the share of right ones; None where nothing is answered.
        interval: Wilson's 95 % interval of that.
    """

    asked: float
    share: float | None
    chosen_on: int
    fewest: int
    items: int
    answered: int
    right: int
    accuracy: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the shares of one system are met, on the labelled items.

    Attributes:
        system: its name.
        kind: `stated` probabilities of a model, or the `agreed` shares of votes.
        items: labelled items whose answer has a share.
        without: labelled items without an answer, or whose answer has none.
        right: how many of `items` are right.
        stated: the mean share: how many would be right if the shares were met.
        bins: items with like shares, lowest first.
        brier: the Brier score over all labels, from 0 (perfect) to 2, of the labelled items with shares.
        brier_interval: a 95 % interval of it.
        log_score: the mean of -ln p of the true label; None where a true label has the share 0.
        sure: what `--sure` asks for; None without it.
    """

    system: str
    kind: Literal["stated", "agreed"]
    items: int
    without: int
    right: int
    stated: float
    bins: tuple[ReliabilityBin, ...]
    brier: float
    brier_interval: tuple[float, float]
    log_score: float | None
    sure: Sure | None = None


def calibrate(
    system: str,
    labelled: Sequence[Item],
    halves: tuple[Sequence[Item], Sequence[Item]],
    asked: float | None = None,
) -> Calibration | None:
    """What the labelled items tell of a system's shares; None where it gives none.

    Args:
        halves: the items to choose a share on, and those to test it on.
        asked: how often answers are to be right with `--sure`.
    """
    told = [(item.outcomes[system], item.truth or "") for item in labelled]
    scored = [(each.shares, truth) for each, truth in told if each.shares]
    answered = [(each.share, bool(each.right)) for each, _ in told if each.share is not None]
    if not scored:
        return None
    probabilities, truth = zip(*scored, strict=True)
    shares, rights = [share for share, _ in answered], [right for _, right in answered]
    score, logs = brier_score(probabilities, truth), log_score(probabilities, truth)
    losses = [brier_loss(*each) for each in scored]
    return Calibration(
        system=system,
        kind="stated" if any(each.stated for each, _ in told) else "agreed",
        items=len(answered),
        without=len(labelled) - len(answered),
        right=sum(rights),
        stated=math.fsum(shares) / len(shares) if shares else 0.0,
        bins=tuple(reliability_bins(shares, rights)),
        brier=score or 0.0,
        brier_interval=bounded_mean_interval(losses, WORST_BRIER) or (0.0, WORST_BRIER),
        log_score=logs if logs is not None and math.isfinite(logs) else None,
        sure=None if asked is None else _sure(system, *halves, asked),
    )


def _sure(system: str, learn: Sequence[Item], test: Sequence[Item], asked: float) -> Sure:
    """The share that one half asks for, tested on the other."""
    outcomes = [item.outcomes[system] for item in learn]
    known = [(each.share, bool(each.right)) for each in outcomes if each.share is not None]
    share = sure_share([each for each, _ in known], [right for _, right in known], asked)
    tested = [item.outcomes[system] for item in test]
    answered = right = 0
    if share is not None:
        rights = [bool(each.right) for each in tested]
        answered, right = answered_from(share, [each.share for each in tested], rights)
    return Sure(
        asked=asked,
        share=share,
        chosen_on=len(learn),
        fewest=fewest_for(asked),
        items=len(test),
        answered=answered,
        right=right,
        accuracy=right / answered if answered else None,
        interval=wilson(right, answered),
    )
