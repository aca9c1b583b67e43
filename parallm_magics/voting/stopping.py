"""When no open vote can change the outcome any more."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from parallm_magics.core.exact_numbers import Number, exact_number
from parallm_magics.voting.counting import Base, Formula, Outcome, Share, decide, exact_share
from parallm_magics.voting.vote_statistics import exact_beta_half_tail, exact_p_mode

Settled = tuple[Literal["winner"], str] | tuple[Literal["no_winner"], None]
"""What is certain: who wins, or that nobody can."""

_MOST_LABELS = 8
"""Labels up to which `p_mode` is quick enough to be asked after every wave."""


def clinch(
    counts: Mapping[str, int],
    pending: int,
    requested: int,
    rule: str | Formula = "plurality",
    q: Share | None = None,
    base: Base | None = None,
    quorum: int | None = None,
) -> Settled | None:
    """What is certain whatever becomes of the open votes; None while they can still change it.

    An open vote may go to a label seen or new, or be lost. The leader wins for certain when it
    wins though all open votes go to its strongest rival, and though all are lost; nobody can win
    when it does not win with all of them. With nothing open this is the outcome of `decide`, a
    tie being "no_winner".

    Args:
        counts: the valid votes of each label so far.
        pending: votes still open; the rest of the requested ones are lost.
        requested, rule, q, base, quorum: as `decide`.

    Raises:
        ValueError: what `decide` raises, or more open votes than there can be.

    >>> clinch({"A": 3}, pending=2, requested=5)
    ('winner', 'A')
    """
    _check_pending(counts, pending, requested)
    leader, rival = _front(counts)

    def outcome_with(label: str, more: int) -> tuple[Outcome, str | None]:
        completed = {**counts, label: counts.get(label, 0) + more}
        return decide(completed, requested, rule, q, base, quorum)

    if outcome_with(leader, pending)[1] is None:
        return "no_winner", None
    worst = outcome_with(rival, pending)[1], outcome_with(rival, 0)[1]
    return ("winner", leader) if worst == (leader, leader) else None


def clinch_flag(
    counts: Mapping[str, int],
    pending: int,
    requested: int,
    flag: str,
    needed: int = 1,
    quorum: int | None = None,
) -> Settled | None:
    """What is certain where one label wins as soon as it has `needed` votes; None while open.

    The flag needs no quorum: its votes suffice however many others fail. The plurality of the other
    labels wins once neither the open votes nor the lost ones could raise the flag: for certain when
    it leads them by more than the open votes and the quorum of valid votes, those for the flag
    included, is there. Nobody can win once the open votes cannot raise the flag while the lost ones
    could have, or when the quorum is out of reach. With nothing open, a tie of the other labels is
    None: there is nothing to wait for, and how to break a tie is not decided here.

    Args:
        counts, pending, requested: as `clinch`.
        flag: the label that wins first.
        needed: votes for the flag with which it wins, at least 1.
        quorum: fewest valid votes for another winner; half of the requested, rounded up, unless
            told.

    Raises:
        ValueError: counts that cannot be, or a flag that needs no votes.
    """
    _check_pending(counts, pending, requested)
    if needed < 1:
        raise ValueError(f"{needed} votes are not enough for {flag!r}; it needs at least 1")
    found, valid = counts.get(flag, 0), sum(counts.values())
    lost = requested - valid - pending
    if found >= needed:
        return "winner", flag
    if found + pending >= needed:
        return None
    enough = max(1, (requested + 1) // 2 if quorum is None else quorum)
    if valid + pending < enough or found + lost >= needed:
        return "no_winner", None
    others = {label: count for label, count in counts.items() if label != flag}
    leader, rival = _front(others)
    lead = others.get(leader, 0) - others.get(rival, 0)
    cleared = found + lost + pending < needed
    return ("winner", leader) if cleared and valid >= enough and lead > pending else None


def clinch_weighted(weights: Mapping[str, Number], pending: Sequence[Number]) -> str | None:
    """The label that has the largest sum of weights whatever the open votes say, or None.

    Args:
        weights: the sum of each label's weights so far.
        pending: the largest weight that each open vote can have.

    Raises:
        ValueError: a weight that is negative or not finite.

    >>> clinch_weighted({"A": 0.3, "B": 0.1}, [0.2]) is None
    True
    """
    sums = {label: exact_number(weight) for label, weight in weights.items()}
    first, second, *_ = (*sorted(sums.values(), reverse=True), Fraction(), Fraction())
    still_open = sum(map(exact_number, pending), Fraction())
    return max(sums, key=sums.__getitem__) if first - second > still_open else None


def clinch_expected_arrivals(n: int, p: float) -> float:
    """How many of `n` votes arrive, on average, until a plurality of two labels is certain.

    Args:
        n: votes requested, an odd number.
        p: the probability that a vote is for the one label, the same for every vote.

    Raises:
        ValueError: an even number of votes, or no probability.

    >>> round(clinch_expected_arrivals(3, 0.8), 2)
    2.32
    """
    if n < 1 or n % 2 == 0:
        raise ValueError(f"expected an odd number of votes, got {n}")
    if not 0 <= p <= 1:
        raise ValueError(f"{p} is not a probability; use a number from 0 to 1")
    m = (n + 1) // 2
    return math.fsum(
        k * math.comb(k - 1, m - 1) * (p**m * (1 - p) ** (k - m) + (1 - p) ** m * p ** (k - m))
        for k in range(m, n + 1)
    )


def beta_stops(counts: Sequence[int], level: Share, labels: int | None = None) -> bool:
    """Whether the leader is the most likely label with a probability of at least `level`.

    It is `p_mode` up to 8 labels, and for more the tail of the two that lead, which ignores the
    others and is optimistic. A stopping heuristic: asked after every wave, it is wrong more often
    than 1 - level. A tie never stops, and neither do no votes.

    Args:
        counts: the valid votes of each label; zeros may be left out.
        level: above 1/2 and below 1, to three decimals.
        labels: how many labels there are; None for an open set, which has one more than was seen.

    Raises:
        ValueError: a level that is out of range, or more labels seen than there are.
    """
    demanded = exact_share(level)
    if not Fraction(1, 2) < demanded < 1:
        raise ValueError(f"level {level} is not between 0.5 and 1; write 95 % as 0.95")
    seen = sorted(filter(None, counts), reverse=True)
    size = len(seen) + 1 if labels is None else labels
    if len(seen) > size:
        raise ValueError(f"{len(seen)} labels have votes, but there are only {size}")
    if not seen or size == 1:
        return bool(seen)
    first, second, *_ = (*seen, 0)
    # To lead all is never likelier than to lead the second, and that is quick to compute.
    if exact_beta_half_tail(first, second) < demanded:
        return False
    if size == 2 or size > _MOST_LABELS:
        return True
    return exact_p_mode([*seen, *[0] * (size - len(seen))]) >= demanded


def next_wave(
    counts: Mapping[str, int], left: int, stops: Callable[[Mapping[str, int], int], bool]
) -> int:
    """How many votes to ask for next: the fewest that could stop the voting, else all that is left.

    Args:
        counts: the valid votes of each label so far.
        left: votes that may still be asked for.
        stops: whether counts with so many votes still open would stop it; what does, still does
            with more votes for the leader.
    """
    leader, _ = _front(counts)

    def enough(more: int) -> bool:
        return stops({**counts, leader: counts.get(leader, 0) + more}, left - more)

    most = 1
    while most < left and not enough(most):
        most *= 2
    span = range(most // 2 + 1, min(most, left))  # a wave is small, however many are left
    return span.start + bisect.bisect_left(span, True, key=enough) if left else 0


def _front(counts: Mapping[str, int]) -> tuple[str, str]:
    """The label in front and its strongest rival, made up where no such label was seen."""
    leader = max(counts, key=counts.__getitem__, default="")
    others = (label for label in counts if label != leader)
    return leader, max(others, key=counts.__getitem__, default=f"not {leader}")


def _check_pending(counts: Mapping[str, int], pending: int, requested: int) -> None:
    """Refuse open votes that cannot be."""
    impossible = min(counts.values(), default=0) < 0
    if impossible or not 0 <= pending <= requested - sum(counts.values()):
        raise ValueError(
            f"{pending} open votes do not fit {requested} requested votes with {dict(counts)} counted"
        )
