"""What a system has done on labelled items, and what two systems' results on the same items show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from parallm_magics.voting.paired_tests import (
    Verdict,
    mcnemar_exact,
    mcnemar_midp,
    paired_bootstrap,
    paired_items_needed,
    verdict,
)
from parallm_magics.voting.vote_statistics import p_better, wilson

# What is said of the items needed where too little changed to tell how much does.
_USUAL_GAIN, _USUAL_CHANGE = 0.05, 0.10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one system made of one item.

    Attributes:
        answer: what it says; None where it says nothing.
        right: whether that is true; None where the truth is not known.
        draws: the same for each time that a single call was drawn; of a vote the vote alone.
        seconds: how long each of these took.
        cost: US dollars, as far as known, as it would be deployed.
        priced: whether that is all of it.
        calls: calls as it would be deployed.
        invalid: the share of its calls whose answer could not be read.
        silent: the share of its draws that say nothing.
        problem: why its rule could not decide; "" where it could.
        shares: what it gives each label as answers are counted, from 0 to 1: stated probabilities, or
            shares of the valid votes; None where it gives none.
        share: what it gives its answer; None without one.
        stated: whether the shares are probabilities that a model states.
        value: the object or the field's value that the answer stands for; None for a label.
        usual: what `cost` would be at the usual price; None where that is unknown, and where no call was
            asked at a cheaper tier.
    """

    answer: str | None
    right: bool | None
    draws: tuple[bool, ...]
    seconds: tuple[float, ...]
    cost: Decimal
    priced: bool
    calls: float
    invalid: float
    silent: float
    problem: str = ""
    shares: Mapping[str, float] | None = None
    share: float | None = None
    stated: bool = False
    value: Any = None
    usual: Decimal | None = None


def rejudged(outcome: Outcome, answer: str | None, right: bool, calls: float) -> Outcome:
    """What so many of the same calls come to if they are counted in another way.

    What they cost is then not known: an outcome knows only what all of its calls cost together.
    """
    priced = outcome.priced and calls == outcome.calls
    return replace(
        outcome,
        answer=answer,
        right=right,
        draws=(right,),
        calls=calls,
        priced=priced,
        silent=float(answer is None),
        shares=None,
        share=None,
        value=None,
    )


@dataclass(frozen=True, slots=True)
class Measure:
    """What one system did on all items.

    Attributes:
        labelled: how many of the items have a known truth.
        right: how many of these it has right; of a single call that was drawn several times for each
            item the mean, so that it need not be whole.
        accuracy: the share of the labelled ones; None without any.
        interval: Wilson's 95 % interval of that; None without any.
        cost: US dollars an item, as far as known; None where nothing is.
        cost_complete: whether that is all of it.
        median, p95: seconds of an item; None without items.
        calls: calls an item.
        invalid: the share of calls whose answer could not be read; None without calls.
        unanswered: the share of items without an answer; None without items.
        usual: what `cost` would be at the usual price; None where that is unknown, and where no call was
            asked at a cheaper tier.
    """

    items: int
    labelled: int
    right: float
    accuracy: float | None
    interval: tuple[float, float] | None
    cost: Decimal | None
    cost_complete: bool
    median: float | None
    p95: float | None
    calls: float | None
    invalid: float | None
    unanswered: float | None
    usual: Decimal | None = None


def measure(outcomes: Sequence[Outcome]) -> Measure:
    """The sums of a system's outcomes."""
    items = len(outcomes)
    draws = [each.draws for each in outcomes if each.right is not None and each.draws]
    right = math.fsum(sum(each) / len(each) for each in draws)
    seconds = sorted(second for each in outcomes for second in each.seconds)
    calls = math.fsum(each.calls for each in outcomes)
    unread = math.fsum(each.calls * each.invalid for each in outcomes)
    known = any(each.cost or each.priced for each in outcomes)
    usual = [each.usual for each in outcomes if each.usual is not None]
    return Measure(
        items=items,
        labelled=len(draws),
        right=right,
        accuracy=right / len(draws) if draws else None,
        interval=wilson(right, len(draws)),
        cost=sum((each.cost for each in outcomes), Decimal()) / items if known else None,
        cost_complete=all(each.priced for each in outcomes),
        median=quantile(seconds, 0.5),
        p95=quantile(seconds, 0.95),
        calls=calls / items if items else None,
        invalid=unread / calls if calls else None,
        unanswered=math.fsum(each.silent for each in outcomes) / items if items else None,
        usual=sum(usual, Decimal()) / items if known and len(usual) == items else None,
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The least of these at or below which such a share of them lies; None without any."""
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An alternative against a base, on the items that both have done.

    Attributes:
        items: the labelled ones.
        right, base_right: how many of them each has right, a single call by its first draw.
        gains: items that the alternative alone has right.
        losses: items that the base alone has right.
        verdict: `no_items`, `same`, `too_few`, `better`, `worse` or `not_shown`.
        p: McNemar's exact two-sided p, not adjusted for further comparisons.
        midp: its mid-p, less cautious; nothing is decided by it.
        p_better: the probability under a flat prior that gains are likelier than losses.
        interval: 95 % bootstrap over items of the difference of the accuracies; None without items.
        items_needed: items that would show the difference as it was seen in four of five studies;
            None where there is no gain.
        more_calls: further calls an item.
        calls_per_right: further calls for each further right answer; None without a gain.
        cost_per_right: US dollars for it; None without a gain, or where a cost is not known.
        primary: whether it is one of the two that were meant to be made before anything was seen.
    """

    alternative: str
    base: str
    items: int
    right: int
    base_right: int
    gains: int
    losses: int
    verdict: Verdict
    p: float
    midp: float
    p_better: float
    interval: tuple[float, float] | None
    items_needed: int | None
    more_calls: float
    calls_per_right: float | None
    cost_per_right: float | None
    primary: bool = False

    @property
    def difference(self) -> float | None:
        """The difference of the accuracies, from -1 to 1; None without items."""
        return (self.gains - self.losses) / self.items if self.items else None


def compare(
    alternative: str,
    base: str,
    outcomes: Sequence[Outcome],
    base_outcomes: Sequence[Outcome],
    *,
    primary: bool = False,
) -> Comparison:
    """What the results of two systems on the same items show.

    Args:
        outcomes, base_outcomes: the two systems', in the items' order; those whose truth is not
            known are left out of what is right, not of what it costs.
    """
    pairs = list(zip(outcomes, base_outcomes, strict=True))
    known = [(one.right, other.right) for one, other in pairs if one.right is not None]
    items = len(known)
    gains = sum(bool(one and not other) for one, other in known)
    losses = sum(bool(other and not one) for one, other in known)
    share = (gains - losses) / items if items else 0.0
    calls = cost = 0.0
    if pairs:
        calls = math.fsum(one.calls - other.calls for one, other in pairs) / len(pairs)
        cost = float(sum((one.cost - other.cost for one, other in pairs), Decimal()) / len(pairs))
    priced = all(one.priced and other.priced for one, other in pairs)
    return Comparison(
        alternative=alternative,
        base=base,
        items=items,
        right=sum(bool(one) for one, _ in known),
        base_right=sum(bool(other) for _, other in known),
        gains=gains,
        losses=losses,
        verdict=verdict(items, gains, losses),
        p=mcnemar_exact(gains, losses),
        midp=mcnemar_midp(gains, losses),
        p_better=p_better(gains, losses),
        interval=paired_bootstrap(items, gains, losses),
        items_needed=(
            math.ceil(paired_items_needed(share, (gains + losses) / items)) if share > 0 else None
        ),
        more_calls=calls,
        calls_per_right=calls / share if share > 0 else None,
        cost_per_right=cost / share if share > 0 and priced else None,
        primary=primary,
    )


def usual_need(change: float = _USUAL_CHANGE) -> tuple[int, int]:
    """How many items show a usual gain in four of five studies, and that gain in points.

    Args:
        change: the share of items that change; without enough to go by, one in ten.
    """
    items = round(paired_items_needed(_USUAL_GAIN, max(change, _USUAL_GAIN)))
    return items, round(_USUAL_GAIN * 100)
