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
    """Return what is certain whatever the open votes say; None while they can still change it.

    An open vote may go to any label, known or new, or be lost. The leader is certain to win if
    it wins both when all open votes go to its strongest rival and when all of them are lost.
    Nobody can win if even the leader with all open votes does not. With no open votes, this is
    the outcome of `decide`, with a tie as "no_winner".

    Args:
        counts: the valid votes per label so far.
        pending: the number of open votes; all other requested votes are lost.
        requested, rule, q, base, quorum: as for `decide`.

    Raises:
        ValueError: as for `decide`, or more open votes than possible.

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
    """Return what is certain when one label wins with `needed` votes; None while it is open.

    The flag needs no quorum: its votes are enough, however many others fail. The plurality of
    the other labels wins once neither the open nor the lost votes could raise the flag, the
    lead is larger than the open votes, and the valid votes (including those for the flag) reach
    the quorum. Nobody can win once the open votes cannot raise the flag but the lost votes
    could have, or once the quorum is out of reach. With no open votes, a tie of the other
    labels gives None: this function does not break ties.

    Args:
        counts, pending, requested: as for `clinch`.
        flag: the label that wins first.
        needed: the votes with which the flag wins, at least 1.
        quorum: the fewest valid votes for another winner; by default half of the requested
            votes, rounded up.

    Raises:
        ValueError: the counts do not fit, or `needed` is below 1.
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
    """Return the label with the largest sum of weights whatever the open votes say, or None.

    Args:
        weights: the sum of weights per label so far.
        pending: the largest possible weight of each open vote.

    Raises:
        ValueError: a weight is negative or not finite.

    >>> clinch_weighted({"A": 0.3, "B": 0.1}, [0.2]) is None
    True
    """
    sums = {label: exact_number(weight) for label, weight in weights.items()}
    first, second, *_ = (*sorted(sums.values(), reverse=True), Fraction(), Fraction())
    still_open = sum(map(exact_number, pending), Fraction())
    return max(sums, key=sums.__getitem__) if first - second > still_open else None


def clinch_expected_arrivals(n: int, p: float) -> float:
    """Return how many of `n` votes arrive, on average, until two labels have a sure winner.

    Args:
        n: the requested votes, an odd number.
        p: the probability that a vote is for the first label, the same for every vote.

    Raises:
        ValueError: `n` is even, or `p` is not a probability.

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
    """Return whether the leader is the most likely label, with probability `level` or more.

    Up to 8 labels, the probability is `p_mode`. For more labels, it compares only the two
    leaders, which is optimistic. This is a stopping heuristic: if you check it after every
    wave, it is wrong more often than 1 - level. It never stops on a tie or without votes.

    Args:
        counts: the valid votes per label; zeros may be missing.
        level: above 1/2 and below 1, with at most three decimals.
        labels: the number of labels; None for an open set, which has one more than seen.

    Raises:
        ValueError: the level is out of range, or more labels were seen than exist.
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
    """Return how many votes to ask for next: the fewest that could end the vote, or all.

    Args:
        counts: the valid votes per label so far.
        left: the votes that may still be asked for.
        stops: whether the vote ends with these counts and this many open votes; more votes for
            the leader must not change a True.
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
