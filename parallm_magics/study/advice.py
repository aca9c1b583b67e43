"""What comparisons on labelled items show, in sentences, and what to deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from parallm_magics.study.measures import Comparison, Measure, usual_need
from parallm_magics.voting.paired_tests import FEWEST, Recommendation, recommend

Money = Callable[[Decimal], str]

_VOTE = "the vote"
NO_LABELS = "no labelled items, so nobody knows which answers are right"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to deploy.

    Attributes:
        recommendation: `single`, `vote`, `bigger_model` or `undecided`.
        reason: why, in one sentence.
    """

    recommendation: Recommendation
    reason: str


def shown(comparison: Comparison) -> str:
    """What a comparison shows, counts first.

    >>> from parallm_magics.study.measures import Outcome, compare
    >>> def done(rights):
    ...     return [Outcome("a", bool(r), (bool(r),), (1.0,), Decimal(0), False, 1, 0, 0) for r in rights]
    >>> shown(compare("vote", "single", done([1, 1, 0]), done([1, 1, 0])))
    '2 against 2 of 3 right: not one item differs (of other items up to 63 in 100 might)'
    """
    if not comparison.items:
        return NO_LABELS
    counts = f"{comparison.right:,} against {comparison.base_right:,} of {comparison.items:,} right"
    gains, losses = comparison.gains, comparison.losses
    if comparison.verdict == "same":
        might = 100 * (1 - 0.05 ** (1 / comparison.items))
        return f"{counts}: not one item differs (of other items up to {might:.0f} in 100 might)"
    if comparison.verdict == "too_few":
        number = gains + losses
        differ = "1 item differs" if number == 1 else f"{number} items differ"
        return f"{counts}: only {differ}, too few to tell ({_outlook(comparison)})"
    changed = f"{counts} ({gains:,} gained, {losses:,} lost)"
    if gains == losses:
        return f"{changed}: no difference is shown ({_outlook(comparison)})"
    if comparison.verdict == "not_shown":
        return (
            f"{changed}; {by_chance(comparison.p)}, so the items show no difference "
            f"({_outlook(comparison)})"
        )
    return f"{changed}: {comparison.verdict}; {by_chance(comparison.p)}"


def by_chance(p: float) -> str:
    """How often chance alone does what was seen, as a sentence without an end.

    >>> by_chance(0.0654)
    'chance alone would give a difference this large in 7 of 100 such studies'
    """
    if p >= 0.995:
        often = "in almost every such study"
    elif p >= 0.00995:
        often = f"in {p * 100:.0f} of 100 such studies"
    elif p >= 0.001:
        often = f"in {p * 1000:.0f} of 1,000 such studies"
    else:
        often = "in fewer than 1 of 1,000 such studies"
    return f"chance alone would give a difference this large {often}"


def price(comparison: Comparison, money: Money) -> str:
    """What a further right answer costs; "" where there is no gain."""
    if comparison.calls_per_right is None:
        return ""
    calls = more_calls(comparison.calls_per_right)
    if comparison.cost_per_right is None:
        more = comparison.calls_per_right > 0.05
        return calls if more else f"{calls}, at an unknown cost"
    cost = Decimal(comparison.cost_per_right)
    return f"{money(cost) if cost >= 0 else f'{money(-cost)} less'} ({calls})"


def advise(
    comparisons: Mapping[tuple[str, str], Comparison],
    measures: Mapping[str, Measure],
    bigger: str | None,
    money: Money,
    single: str = "single",
    vote: str = "vote",
) -> Advice:
    """What to deploy, given the two primary comparisons.

    Args:
        comparisons: by alternative and base.
        measures: by system; of all that are compared.
        bigger: the bigger model's name, or None where there is none; then it is no choice. So is the
            vote where it is not compared with the single call.
        money: how an amount is written.
        single, vote: the names of the single call and of the vote.
    """
    if not next(iter(comparisons.values())).items:
        return Advice("undecided", f"{NO_LABELS}; add them with --truth.")
    if measures and all(each.unanswered == 1 for each in measures.values()):
        return Advice("undecided", "no answer could be counted; see the calls.")
    if bigger is not None and (vote, single) not in comparisons:
        big = comparisons[bigger, single]
        return _of_one(recommend("worse", big.verdict, "worse", 0, 0), bigger, big, money)
    voted = comparisons[vote, single]
    if voted.items < FEWEST:
        return Advice("undecided", f"too few items to tell: {shown(voted)}.")
    if bigger is None:
        return _of_one(recommend(voted.verdict, "worse", "worse", 0, 0), _VOTE, voted, money)
    big, duel = comparisons[bigger, single], comparisons[bigger, vote]
    if voted.verdict == big.verdict == "better":
        return _both_better(duel, measures, bigger, vote, money)
    found = recommend(voted.verdict, big.verdict, duel.verdict, 0, 0)
    if found == "vote":
        return _of_one(found, _VOTE, voted, money)
    if found == "bigger_model":
        return _of_one(found, bigger, big, money)
    said = f"the vote {shown(voted)}; {bigger} {shown(big)}."
    if found == "single":
        return Advice(found, f"no gain over a single call: {said}")
    return Advice(found, f"cannot tell: {said}")


def _both_better(
    duel: Comparison, measures: Mapping[str, Measure], bigger: str, vote: str, money: Money
) -> Advice:
    """The cheaper one of a vote and a bigger model, unless the dearer one does better."""
    mine, other = measures[vote], measures[bigger]
    if not (mine.cost_complete and other.cost_complete):
        reason = (
            f"the vote ({mine.calls or 0:.3g} calls an item) and {bigger} ({other.calls or 0:.3g}) are both "
            f"better than a single call; not every price is known, so it is unclear which is cheaper; {bigger} "
            f"against the vote: {shown(duel)}."
        )
        return Advice("undecided", reason)
    costs = [float(mine.cost or 0), float(other.cost or 0)]
    same = costs[0] == costs[1]
    if same and duel.verdict == "better":  # then the better one is as cheap
        costs = [1.0, 0.0]
    found = recommend("better", "better", duel.verdict, *costs)
    if found == "undecided":
        best, rest = (bigger, vote) if duel.verdict == "better" else (vote, bigger)
        return Advice(found, _your_call(best, rest, duel, costs, vote, money))
    best, rest = (vote, bigger) if found == "vote" else (bigger, vote)
    won = duel.verdict == ("worse" if found == "vote" else "better")
    why = "and it has more right too" if won else "and neither is shown to beat the other"
    cost = "costs the same" if same else "is the cheaper one"
    return Advice(
        found,
        f"{_the(best, vote)} and {_the(rest, vote)} are both better than a single call; "
        f"{_the(best, vote)} {cost}, {why}.",
    )


def _of_one(found: Recommendation, name: str, comparison: Comparison, money: Money) -> Advice:
    """What is said where one alternative alone decides, against a single call."""
    if found == "undecided":
        of = "" if name == _VOTE else f"{name} against a single call "
        return Advice(found, f"cannot tell: {of}{shown(comparison)}.")
    if found == "single":
        return Advice(found, f"{name} does not beat a single call: {shown(comparison)}.")
    each = f"each extra right answer takes {price(comparison, money)}"
    return Advice(found, f"{name} against a single call: {shown(comparison)}; {each}.")


def _your_call(
    best: str, rest: str, duel: Comparison, costs: list[float], vote: str, money: Money
) -> str:
    more = abs(costs[1] - costs[0])
    share = abs(duel.gains - duel.losses) / duel.items
    return (
        f"your call: {_the(best, vote)} has more right than {_the(rest, vote)} and costs more, "
        f"{money(Decimal(more / share))} per extra right answer."
    )


def _the(name: str, vote: str) -> str:
    return _VOTE if name == vote else name


def more_calls(number: float) -> str:
    """A number of further calls in words."""
    if number <= 0.05:
        return "no more calls" if number > -0.05 else "fewer calls"
    return f"{number:,.0f} more calls" if number >= 9.95 else f"{number:.1f} more calls"


def _outlook(comparison: Comparison) -> str:
    """How many items would show a gain; where these would have shown it, how large it can be."""
    if comparison.verdict == "not_shown" and comparison.items_needed is not None:
        return f"about {comparison.items_needed:,} items like these would show one of this size"
    change = (comparison.gains + comparison.losses) / comparison.items
    few = comparison.verdict == "too_few"
    usual, points = usual_need() if few else usual_need(change)
    rate = "1 item in 10 differs" if few else "as many differ"
    if usual > comparison.items and (few or change >= points / 100):
        return f"about {usual:,} items would show a gain of {points} points, if {rate}"
    low, high = comparison.interval or (0.0, 0.0)
    return f"95 % interval {signed(low)} to {signed(high)} points"


def signed(share: float, digits: int = 1) -> str:
    """A difference of shares in points, with its sign, and never a negative nothing.

    >>> signed(-0.031), signed(-0.0001)
    ('−3.1', '+0.0')
    """
    return f"{round(share * 100, digits) + 0.0:+.{digits}f}".replace("-", "−")
