"""What a pick rule is: the votes that it is given, the decision that it makes, and all that is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal, get_args

from parallm_magics.answers.cleaning import label_of
from parallm_magics.core.tasks import NUMERIC, Kind
from parallm_magics.voting.counting import Base, Outcome, Share, need

Number = int | float
USUAL_KINDS: frozenset[Kind] = frozenset({"choice", "open", "object", *NUMERIC})


@dataclass(frozen=True, slots=True)
class Vote:
    """One valid vote.

    Attributes:
        index: the voter's place in the panel, from 0.
        label: the label it counts for.
        value: the same value in its original type; a number of a field as a `Decimal`.
        weight: its weight in weighted rules.
        confidence: the confidence that the voter states, from 0 to 1; None if it states none.
    """

    index: int
    label: str
    value: str | Number | Decimal
    weight: Fraction = Fraction(1)
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a rule needs to know besides the votes.

    Attributes:
        requested: all requested votes, including those without a label.
        quorum: the fewest valid votes for a result.
        share: the share of the base that the winner, or a flag, needs.
        base: what the shares are taken of: "requested" or "valid".
        flag: the label to look for.
        choices: the labels of a closed set, in the cell's order.
    """

    requested: int
    quorum: int = 1
    share: Share | None = None
    base: Base = "requested"
    flag: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def flags(self) -> int:
        """How many votes for the flag are enough."""
        return 1 if self.share is None else need(self.share, self.requested)

    def lacks_quorum(self, votes: Sequence[Vote]) -> bool:
        """Whether too few votes are valid for any winner."""
        return len(votes) < max(1, self.quorum)


@dataclass(frozen=True, slots=True)
class Decision:
    """How a vote ended.

    Attributes:
        status: `decided`, `tie`, `no_majority`, `no_quorum`, `not_cleared`, or `rule_failed`
            (the rule raised an error).
        winner: the winning label, or a number if it was computed; None if nobody won.
        tied: the labels that share the lead in a tie.
        how: how the winner was found if the counts alone do not show it.
    """

    status: Outcome
    winner: str | Number | None = None
    tied: tuple[str, ...] = ()
    how: str = ""


Sure = tuple[Literal["winner", "no_winner"], str | None]
"""What no open vote can change any more: who has won, or that nobody can."""

Settle = Callable[[Sequence[Vote], Terms], Decision]
SureOf = Callable[[Sequence[Vote], Sequence[Fraction], Terms], Sure | None]


@dataclass(frozen=True, slots=True, repr=False)
class PickRule:
    """One rule of `--pick`, and all that is known of it.

    Attributes:
        name: what `--pick` calls it.
        help: what wins, in a few words.
        settle: from the valid votes to the decision, once no vote is open; its source is what
            `%parallm code` writes.
        sure: from the votes so far and the weights of the open ones to what can no more change;
            None where any open vote may still win, so that no vote ends early.
        kinds: the kinds of answers that it can count.
        wants: how to ask for such answers, where others are refused.
        reads: the kind of an answer among `--choices`, where that is not one of them.
        asks: whether a judge has the last word, and what it is asked for.
        by_count: whether the votes of each label alone tell who has won.
        computes: whether the winner is a number that nobody need have voted for.
        may_tie: whether several labels can do what it asks for.
        wants_odd: whether an even number of votes on two labels is one too many.
        heuristic: whether `--stop beta` says anything of it.
        front: who needs the fewest votes to win, where that is not who has the most.
        with_share: the rule that `--threshold` makes of it; "" where the two exclude each other.
        with_flag: the rule that `--threshold` and `--flag` make of it.
        needs_share, needs_flag: whether it is nothing without `--threshold`, without `--flag`.
        states_confidence: whether the voters are asked how sure they are.
        weighs: whether votes count by their `--weight`.
        unmet: what was asked for, as the report of a vote without a winner begins.
        claim: what may be said of the winner of the valid votes.
    """

    name: str
    help: str
    settle: Settle
    sure: SureOf | None = None
    kinds: frozenset[Kind] = USUAL_KINDS
    wants: str = "does not fit such answers"
    reads: Kind = "choice"
    asks: Literal["", "winner", "score"] = ""
    by_count: bool = False
    computes: bool = False
    may_tie: bool = True
    wants_odd: bool = False
    heuristic: bool = False
    front: Callable[[Sequence[Vote], Terms], str | None] = lambda votes, terms: None
    with_share: str = ""
    with_flag: str = ""
    needs_share: bool = False
    needs_flag: bool = False
    states_confidence: bool = False
    weighs: bool = False
    unmet: str = "No label has the votes that the rule requires"
    claim: str = ""

    def __repr__(self) -> str:
        return f"<pick rule {self.name}: {self.help}>"

    def decide(self, votes: Sequence[Vote], terms: Terms) -> Decision:
        """How these votes end; a rule that fails costs nobody the votes."""
        try:
            found = self.settle(votes, terms)
            problem = self._misfit(found, votes, terms)
        except Exception as error:  # a rule of the user's may raise anything
            problem = f"{type(error).__name__}: {error}"
        if not problem:
            return found
        return Decision("rule_failed", how=f"the rule {self.name!r} failed: {problem}")

    def certain(
        self, votes: Sequence[Vote], open_: Sequence[Fraction], terms: Terms
    ) -> Sure | None:
        """What no open vote can change any more; None while one may, and where the rule fails.

        That nobody can win is not enough while the open votes still decide why, as where they may
        fill the quorum or be lost.
        """
        try:
            found = None if self.sure is None else self.sure(votes, open_, terms)
        except Exception:  # a rule of the user's may raise anything
            return None
        if found is None or found[0] == "winner":
            return found
        valid = self.decide(_all_valid(votes, open_), terms).status
        return found if self.decide(votes, terms).status == valid else None

    def needs_fewest(self, votes: Sequence[Vote], terms: Terms) -> str | None:
        """Who needs the fewest votes to win, where that is not who has the most."""
        try:
            return self.front(votes, terms)
        except Exception:  # a rule of the user's may raise anything
            return None

    def _misfit(self, found: object, votes: Sequence[Vote], terms: Terms) -> str:
        """Why this is no decision of these votes; "" where it is one."""
        if not isinstance(found, Decision) or not isinstance(found.how, str):
            return f"it gave {found!r:.60}, which is not a Decision"
        if found.status not in get_args(Outcome):
            return f"{found.status!r:.60} is not a status; known: {', '.join(get_args(Outcome))}"
        labels = {*(vote.label for vote in votes), *terms.choices, terms.flag}
        if found.status == "tie" and not (len(found.tied) > 1 and labels.issuperset(found.tied)):
            return f"the tied labels are not valid: {found.tied!r:.60}"
        wanted = isinstance(found.winner, Number) if self.computes else found.winner in labels
        if (found.status == "decided") != (found.winner is not None):
            return f"status {found.status} with the winner {found.winner!r:.60}"
        return (
            ""
            if found.winner is None or wanted
            else f"{found.winner!r:.60} is not a label of any vote"
        )

    def share_of_winner(
        self, winner: str | Number | None, counts: Mapping[str, int]
    ) -> float | None:
        """The votes for the winner over the valid ones; None where no label has won by its votes."""
        valid = sum(counts.values())
        if winner is None or not self.by_votes or not valid:
            return None
        return counts.get(label_of(winner), 0) / valid

    @property
    def by_votes(self) -> bool:
        """Whether a label wins by votes, so that its share of them says how far they agree."""
        return not self.computes and self.asks != "score"

    @property
    def agrees(self) -> bool:
        """Whether it is a bad sign for the question where few voters say the same."""
        return not (self.computes or self.needs_flag)


def _all_valid(votes: Sequence[Vote], open_: Sequence[Fraction]) -> list[Vote]:
    """The votes, and the open ones as if each were valid and for the first label."""
    label = votes[0].label if votes else "?"
    start = 1 + max((vote.index for vote in votes), default=-1)
    return [*votes, *(Vote(start + at, label, label, own) for at, own in enumerate(open_))]


def counts_of(votes: Sequence[Vote]) -> Counter[str]:
    """The votes of each label, most first; of equal counts the one with the first voter first."""
    counts = Counter(vote.label for vote in sorted(votes, key=lambda vote: vote.index))
    return Counter(dict(counts.most_common()))
