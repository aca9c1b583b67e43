"""The rules by which `--pick` finds a winner among the votes of one panel, one function each."""

from __future__ import annotations

import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from parallm_magics.core.tasks import NUMERIC, Kind
from parallm_magics.voting.counting import Base, Outcome, Share, decide, leaders, need
from parallm_magics.voting.stopping import clinch, clinch_flag, clinch_weighted
from parallm_magics.voting.weights import weight_sums

_LABEL_SHOWN = 60
_LONG = 10**40  # from here on a whole number is written as a float
_USUAL_KINDS: frozenset[Kind] = frozenset({"choice", "open", *NUMERIC})
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")

Number = int | float
Ties = Literal["report", "first", "random", "judge"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One valid vote.

    Attributes:
        index: the voter's place in the panel, from 0.
        label: what it is counted under.
        value: the same in the type that it was read in.
        weight: what it counts, by the rule "weighted".
        confidence: what the voter states, from 0 to 1; None where it states nothing usable.
    """

    index: int
    label: str
    value: str | Number
    weight: Fraction = Fraction(1)
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a rule needs to know besides the votes.

    Attributes:
        requested: all votes asked for, those without a label included.
        quorum: the least number of valid votes.
        share: the share of the base that the winner needs ("threshold"), or the flag ("any").
        base: what shares are taken of.
        flag: the label that the rule "any" looks for.
    """

    requested: int
    quorum: int = 1
    share: Share | None = None
    base: Base = "requested"
    flag: str | None = None

    @property
    def flags(self) -> int:
        """How many votes for the flag are enough."""
        return 1 if self.share is None else need(self.share, self.requested)


@dataclass(frozen=True, slots=True)
class Decision:
    """How a vote ended.

    Attributes:
        status: `decided`, `tie`, `no_majority`, `no_quorum` or `not_cleared`.
        winner: the winning label; a number where it was computed; None where nobody won.
        tied: the labels that share the lead, in a tie.
        how: how the winner came about, where the counts alone do not tell it.
    """

    status: Outcome
    winner: str | Number | None = None
    tied: tuple[str, ...] = ()
    how: str = ""


Sure = tuple[Literal["winner", "no_winner"], str | None]
"""What no open vote can change any more: who has won, or that nobody can."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One rule.

    Attributes:
        settle: from the valid votes to the decision, once no vote is open.
        sure: from the votes so far and the weights of the open ones to what can no more change;
            None where any open vote may still win.
        kinds: the kinds of answers that it can count.
        asks: whether a judge has the last word, and what it is asked for.
        picks_label: whether the winner is a label that has votes of its own.
        may_tie: whether several labels can do what it asks for.
        help: what wins, in a few words.
    """

    settle: Callable[[Sequence[Vote], Terms], Decision]
    sure: Callable[[Sequence[Vote], Sequence[Fraction], Terms], Sure | None] | None
    help: str
    kinds: frozenset[Kind] = _USUAL_KINDS
    asks: Literal["", "winner", "score"] = ""
    picks_label: bool = True
    may_tie: bool = True


def counts_of(votes: Sequence[Vote]) -> Counter[str]:
    """The votes of each label, most first; of equal counts the one with the first voter first."""
    counts = Counter(vote.label for vote in sorted(votes, key=lambda vote: vote.index))
    return Counter(dict(counts.most_common()))


def short(label: str) -> str:
    """A label as it stands in a sentence: an open answer is one too, and may be a whole text."""
    line = _BLANK.sub(" ", label[: 4 * _LABEL_SHOWN]).strip()
    whole = len(line) <= _LABEL_SHOWN and len(label) <= 4 * _LABEL_SHOWN
    return line if whole else f"{line[: _LABEL_SHOWN - 1]}…"


def _no_quorum(votes: Sequence[Vote], terms: Terms) -> bool:
    return len(votes) < max(1, terms.quorum)


# --- settling -------------------------------------------------------------------------------------


def _tallied(rule: str) -> Callable[[Sequence[Vote], Terms], Decision]:
    def settle(votes: Sequence[Vote], terms: Terms) -> Decision:
        counts = counts_of(votes)
        share = terms.share if rule == "threshold" else None
        status, winner = decide(counts, terms.requested, rule, share, terms.base, terms.quorum)
        return Decision(status, winner, leaders(counts) if status == "tie" else ())

    return settle


def any_flag(votes: Sequence[Vote], terms: Terms) -> Decision:
    """The flag as soon as enough votes say it; else the plurality of the others, once it is cleared.

    A flag needs no quorum: a problem that one voter has found is not undone by those that failed. It
    is cleared only where the votes without a label could not have raised it either.
    """
    counts = counts_of(votes)
    found, enough = counts.pop(terms.flag or "", 0), terms.flags
    missing = terms.requested - len(votes)
    said = f"{_votes(found)} for '{terms.flag}', where {enough}"
    if found >= enough:
        return Decision("decided", terms.flag, how=f"flagged: {said} is enough")
    if found + missing >= enough:
        without = f"{_votes(missing)} without a label could have flagged it"
        return Decision("not_cleared", how=f"not cleared: {said} would be enough, and {without}")
    if _no_quorum(votes, terms):
        return Decision("no_quorum")
    status, winner = decide(counts, terms.requested - found, "plurality", quorum=0)
    tied = leaders(counts) if status == "tie" else ()
    return Decision(status, winner, tied, f"not flagged: {said} would be enough")


def _votes(number: int) -> str:
    return "1 vote" if number == 1 else f"{number} votes"


def weighted(votes: Sequence[Vote], terms: Terms) -> Decision:
    """The label with the largest sum of weights."""
    if _no_quorum(votes, terms):
        return Decision("no_quorum")
    sums = weight_sums([(vote.label, vote.weight) for vote in votes])
    most = max(sums.values(), default=Fraction(0))
    top = tuple(label for label in counts_of(votes) if sums.get(label) == most)
    if not most:
        return Decision("no_majority", how="no valid vote has a weight")
    if len(top) > 1:
        return Decision("tie", tied=top)
    whole = sum(sums.values(), Fraction(0))
    return Decision("decided", top[0], how=f"weights: {float(most):g} of {float(whole):g}")


def confidence(votes: Sequence[Vote], terms: Terms) -> Decision:
    """The label of the vote with the highest stated confidence; of equals, the larger tally."""
    if _no_quorum(votes, terms):
        return Decision("no_quorum")
    stated = [vote for vote in votes if vote.confidence is not None]
    if not stated:
        fallen = _tallied("plurality")(votes, terms)
        return replace(fallen, how="no vote states a confidence: decided by plurality")
    highest = max(vote.confidence or 0.0 for vote in stated)
    counts = counts_of(votes)
    top = {vote.label for vote in stated if vote.confidence == highest}
    most = max(counts[label] for label in top)
    first = tuple(label for label in counts if label in top and counts[label] == most)
    how = f"highest stated confidence: {100 * highest:g} (models tend to overstate)"
    if len(first) > 1:
        return Decision("tie", tied=first, how=how)
    return Decision("decided", first[0], how=how)


def _computed(
    name: str, compute: Callable[[Sequence[Fraction]], Fraction]
) -> Callable[[Sequence[Vote], Terms], Decision]:
    def settle(votes: Sequence[Vote], terms: Terms) -> Decision:
        if _no_quorum(votes, terms):
            return Decision("no_quorum")
        # As they are written: 0.1 is a tenth.
        numbers = [Fraction(repr(v.value)) for v in votes if not isinstance(v.value, str)]
        how = f"the {name} of {_votes(len(numbers))}"
        return Decision("decided", _plain(compute(numbers)), how=how)

    return settle


def _plain(exact: Fraction) -> Number:
    """The number as an int where it is a whole one; else exactly, or to ten figures without an end."""
    if exact.denominator == 1 and abs(exact) < _LONG:
        return int(exact)
    number = float(exact)
    return number if Fraction(repr(number)) == exact else float(f"{number:.10g}")


def _mean(numbers: Sequence[Fraction]) -> Fraction:
    return sum(numbers, Fraction(0)) / len(numbers)


# --- certainty before the end ---------------------------------------------------------------------


def _clinched(rule: str) -> Callable[[Sequence[Vote], Sequence[Fraction], Terms], Sure | None]:
    def sure(votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms) -> Sure | None:
        share = terms.share if rule == "threshold" else None
        return clinch(
            counts_of(votes), len(open_), terms.requested, rule, share, terms.base, terms.quorum
        )

    return sure


def _flag_sure(votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms) -> Sure | None:
    return clinch_flag(
        counts_of(votes), len(open_), terms.requested, terms.flag or "", terms.flags, terms.quorum
    )


def _weights_sure(votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms) -> Sure | None:
    quorum = max(1, terms.quorum)
    if len(votes) + len(open_) < quorum:
        return "no_winner", None
    sums = weight_sums([(vote.label, vote.weight) for vote in votes])
    winner = clinch_weighted(sums, list(open_)) if len(votes) >= quorum else None
    return None if winner is None else ("winner", winner)


_NUMBERS = frozenset(NUMERIC)

PICKS: Mapping[str, Pick] = {
    "plurality": Pick(_tallied("plurality"), _clinched("plurality"), "the most votes"),
    "majority": Pick(
        _tallied("majority"), _clinched("majority"), "more than half of the votes", may_tie=False
    ),
    "threshold": Pick(_tallied("threshold"), _clinched("threshold"), "at least --threshold"),
    "unanimous": Pick(_tallied("unanimity"), _clinched("unanimity"), "every vote", may_tie=False),
    "any": Pick(any_flag, _flag_sure, "--flag LABEL as soon as one vote says it"),
    "confidence": Pick(confidence, None, "the highest stated confidence"),
    "weighted": Pick(weighted, _weights_sure, "the largest sum of --weight"),
    "judge": Pick(_tallied("plurality"), None, "a judge's choice", asks="winner"),
    "best": Pick(
        _tallied("plurality"),
        None,
        "the highest score of a judge",
        asks="score",
        picks_label=False,
    ),
    "median": Pick(
        _computed("median", statistics.median),
        None,
        "the median",
        _NUMBERS,
        picks_label=False,
        may_tie=False,
    ),
    "mean": Pick(
        _computed("mean", _mean), None, "the mean", _NUMBERS, picks_label=False, may_tie=False
    ),
}


def break_tie(decision: Decision, votes: Sequence[Vote], ties: Ties, seed: int) -> Decision:
    """The decision, with a tie broken by lowest index or by lot where that is asked for.

    Neither depends on who came first: the lot is drawn over the labels in the order of the panel.
    """
    if decision.status != "tie" or ties not in ("first", "random"):
        return decision
    tied = frozenset(decision.tied)
    panel = (vote.label for vote in sorted(votes, key=lambda vote: vote.index))
    labels = list(dict.fromkeys(label for label in panel if label in tied))
    winner, by = labels[0], "by the lowest index"
    if ties == "random":
        lot = random.Random("\0".join([str(seed), *sorted(labels)]))
        winner, by = sorted(labels)[int(lot.random() * len(labels))], f"by lot (seed {seed})"
    among = f"the tie between {_listed(labels)} was broken {by}"
    how = f"{decision.how}; {among}" if decision.how else among
    return Decision("decided", winner, how=how)


def _listed(labels: Sequence[str]) -> str:
    shown = [f"'{short(label)}'" for label in labels[:5]]
    more = [f"{len(labels) - 5} more"] if len(labels) > 5 else []
    *most, last = [*shown, *more]
    return f"{', '.join(most)} and {last}" if most else last
