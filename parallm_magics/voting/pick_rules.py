"""The rules by which `--pick` finds a winner among the votes of one panel: one entry each."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.core.entry_table import EntryTable
from parallm_magics.core.tasks import NUMERIC
from parallm_magics.errors import OptionError
from parallm_magics.voting.counting import (
    Formula,
    decide,
    leaders,
    majority,
    plurality,
    threshold,
    unanimity,
    weight_sums,
)
from parallm_magics.voting.rule_entry import (
    Decision,
    Number,
    PickRule,
    Sure,
    Terms,
    Vote,
    counts_of,
)
from parallm_magics.voting.stopping import clinch, clinch_flag, clinch_weighted
from parallm_magics.voting.ties import TIES

DEFAULT = "plurality"
"""The rule where none is named."""

DEFAULT_OF_NUMBERS = "median"
"""The rule of a section whose several answers are numbers, where none is named."""

Compute = Callable[[Sequence[Fraction]], Fraction | float]
"""A rule over numbers: from what was voted to the winner."""

_LONG = 10**40  # from here on a whole number is written as a float


# --- settling -------------------------------------------------------------------------------------


def counted(formula: Formula, votes: Sequence[Vote], terms: Terms) -> Decision:
    """How a vote ends by its counts."""
    counts = counts_of(votes)
    status, winner = decide(counts, terms.requested, formula, terms.share, terms.base, terms.quorum)
    return Decision(status, winner, leaders(counts) if status == "tie" else ())


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
    if terms.lacks_quorum(votes):
        return Decision("no_quorum")
    status, winner = decide(counts, terms.requested - found, plurality, quorum=0)
    tied = leaders(counts) if status == "tie" else ()
    return Decision(status, winner, tied, f"not flagged: {said} would be enough")


def _votes(number: int) -> str:
    return "1 vote" if number == 1 else f"{number} votes"


def _sums(votes: Sequence[Vote]) -> dict[str, Fraction]:
    return weight_sums((vote.label, vote.weight) for vote in votes)


def weighted(votes: Sequence[Vote], terms: Terms) -> Decision:
    """The label with the largest sum of weights."""
    if terms.lacks_quorum(votes):
        return Decision("no_quorum")
    sums = _sums(votes)
    most = max(sums.values(), default=Fraction(0))
    top = tuple(label for label in counts_of(votes) if sums.get(label) == most)
    if not most:
        return Decision("no_majority", how="no valid vote has a weight above 0")
    if len(top) > 1:
        return Decision("tie", tied=top)
    whole = sum(sums.values(), Fraction(0))
    return Decision("decided", top[0], how=f"weights: {float(most):g} of {float(whole):g}")


def confidence(votes: Sequence[Vote], terms: Terms) -> Decision:
    """The label of the vote with the highest stated confidence; of equals, the larger tally."""
    if terms.lacks_quorum(votes):
        return Decision("no_quorum")
    stated = [vote for vote in votes if vote.confidence is not None]
    if not stated:
        fallen = counted(plurality, votes, terms)
        return replace(fallen, how="no vote states a confidence, so plurality decided")
    highest = max(vote.confidence or 0.0 for vote in stated)
    counts = counts_of(votes)
    top = {vote.label for vote in stated if vote.confidence == highest}
    most = max(counts[label] for label in top)
    first = tuple(label for label in counts if label in top and counts[label] == most)
    how = f"highest stated confidence: {100 * highest:g} (models tend to overstate it)"
    if len(first) > 1:
        return Decision("tie", tied=first, how=how)
    return Decision("decided", first[0], how=how)


def computed(compute: Compute, name: str, votes: Sequence[Vote], terms: Terms) -> Decision:
    """What comes out of the numbers that were voted."""
    votes = [vote for vote in votes if not isinstance(vote.value, str)]
    if terms.lacks_quorum(votes):
        return Decision("no_quorum")
    # As they are written: 0.1 is a tenth.
    numbers = [Fraction(str(vote.value)) for vote in votes]
    found = compute(numbers)
    if not isinstance(found, int | float | Fraction) or not math.isfinite(found):
        raise ValueError(f"it gave {found!r:.60}, which is not a number")
    how = f"the {name} of {_votes(len(numbers))}"
    return Decision("decided", _plain(Fraction(found)), how=how)


def _plain(exact: Fraction) -> Number:
    """The number as an int where it is a whole one; else exactly, or to ten figures without an end."""
    if exact.denominator == 1 and abs(exact) < _LONG:
        return int(exact)
    number = float(exact)
    return number if Fraction(repr(number)) == exact else float(f"{number:.10g}")


# --- certainty before the end ---------------------------------------------------------------------


def clinched(
    formula: Formula, votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms
) -> Sure | None:
    """What the counts make certain."""
    counts = counts_of(votes)
    return clinch(
        counts, len(open_), terms.requested, formula, terms.share, terms.base, terms.quorum
    )


def _flag_sure(votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms) -> Sure | None:
    return clinch_flag(
        counts_of(votes), len(open_), terms.requested, terms.flag or "", terms.flags, terms.quorum
    )


def _weights_sure(votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms) -> Sure | None:
    quorum = max(1, terms.quorum)
    if len(votes) + len(open_) < quorum:
        return "no_winner", None
    sums = _sums(votes)
    winner = clinch_weighted(sums, list(open_)) if len(votes) >= quorum else None
    return None if winner is None else ("winner", winner)


# --- who needs the fewest votes to win ------------------------------------------------------------


def _flag(votes: Sequence[Vote], terms: Terms) -> str | None:
    return terms.flag


def _heaviest(votes: Sequence[Vote], terms: Terms) -> str | None:
    sums = _sums(votes)
    return max(sums, key=sums.__getitem__, default=None)


# --- the entries ----------------------------------------------------------------------------------


def counting_rule(name: str, help: str, formula: Formula, **more: Any) -> PickRule:  # noqa: A002
    """Make a rule that needs only the two largest counts, the base and a share of it.

    Args:
        formula: from these to the outcome of the vote.
        more: further fields of `PickRule`.
    """
    fields = {"by_count": True, **more}
    return PickRule(name, help, partial(counted, formula), partial(clinched, formula), **fields)


def number_rule(
    name: str,
    help: str,  # noqa: A002 - the field's name
    compute: Compute,
    **more: Any,
) -> PickRule:
    """Make a rule whose winner is computed from numbers.

    Args:
        name: a noun, as in "the median of 5 votes".
        compute: from the numbers in the votes (one `Fraction` per vote, at least one) to the
            winner.
        more: further fields of `PickRule`.
    """
    return PickRule(
        name,
        help,
        partial(computed, compute, name),
        kinds=frozenset(NUMERIC),
        wants="works on numbers: add --score LO..HI or --number",
        computes=True,
        may_tie=False,
        **more,
    )


BUILT_IN = (
    counting_rule(
        "plurality",
        "the most votes",
        plurality,
        wants_odd=True,
        heuristic=True,
        with_share="threshold",
    ),
    counting_rule(
        "majority",
        "more than half of the votes",
        majority,
        may_tie=False,
        wants_odd=True,
        unmet="A majority was asked for",
        claim="a majority",
    ),
    counting_rule(
        "threshold",
        "at least --threshold",
        threshold,
        with_share="threshold",
        with_flag="any",
        needs_share=True,
        unmet="The threshold was not reached",
    ),
    counting_rule(
        "unanimous", "every vote", unanimity, may_tie=False, unmet="Unanimity was asked for"
    ),
    PickRule(
        "any",
        "--flag LABEL as soon as one vote gives it",
        any_flag,
        _flag_sure,
        front=_flag,
        with_share="any",
        needs_flag=True,
    ),
    PickRule("confidence", "the highest stated confidence", confidence, states_confidence=True),
    PickRule(
        "weighted",
        "the largest sum of --weight",
        weighted,
        _weights_sure,
        front=_heaviest,
        weighs=True,
    ),
    PickRule("judge", "a judge's choice", partial(counted, plurality), asks="winner"),
    PickRule("best", "the highest score of a judge", partial(counted, plurality), asks="score"),
    number_rule("median", "the median", statistics.median),
    number_rule("mean", "the mean", statistics.mean),
)


def _check(rule: PickRule) -> None:
    """Refuse what can be no rule.

    Raises:
        OptionError: says what is wrong, and the way out.
    """
    if not isinstance(rule, PickRule):
        raise OptionError(
            f"expected a PickRule, got {type(rule).__name__}; number_rule and counting_rule make one from a function"
        )
    if not (isinstance(rule.name, str) and re.fullmatch(r"[A-Za-z][\w-]*", rule.name)):
        raise OptionError(f"{rule.name!r:.60} is not a valid rule name; use letters, digits and _")
    if rule.name in PICKS.own:
        raise OptionError(f"{rule.name} is a built-in rule; choose another name")
    for other in {rule.with_share, rule.with_flag} - {"", rule.name}:
        if other not in PICKS:
            raise OptionError(f"rule {rule.name}: with_share names {other!r}, which is not a rule")
    if unknown := sorted({rule.reads, *rule.kinds} - KINDS.keys()):
        known = ", ".join(KINDS)
        raise OptionError(
            f"rule {rule.name}: unknown kind of answers {unknown[0]!r}; known: {known}"
        )


PICKS = EntryTable("parallm_magics.rules", BUILT_IN, _check)
"""Every rule by its name."""


def register_rule(rule: PickRule) -> PickRule:
    """Add a rule for `--pick`; it replaces an added rule with the same name.

    Raises:
        OptionError: it is not a PickRule, or its name is built in.
    """
    PICKS.add(rule)
    return rule


def rule_where(holds: Callable[[PickRule], bool]) -> str:
    """The name of the first rule of which this holds."""
    return next(name for name, rule in PICKS.items() if holds(rule))


def rule_named(name: str) -> PickRule:
    """The entry of a rule; a run may be older than the rules that are known here."""
    return PICKS.get(name) or PickRule(
        name, "a rule that is not registered in this notebook", _unknown
    )


def _unknown(votes: Sequence[Vote], terms: Terms) -> Decision:
    return Decision("no_majority", how="its rule is not registered in this notebook")


def asks_judge(pick: str, ties: str) -> bool:
    """Whether a judge is needed, by the rule or for its ties."""
    return bool(rule_named(pick).asks) or TIES[ties].asks
