"""What a run shows, as data; the patterns fill it, everything in this package draws from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from parallm_magics.types import Record

TallyStatus = Literal["decided", "tie", "no_majority", "no_quorum"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How the votes of one question fell: requested = the other five states' sum + pending.

    Attributes:
        counts: labels with their votes, each label once.
        winner: the winning label, or None.
        status: how the vote ended.
        valid, requested, abstained, invalid, failed, cancelled: votes by state.
        agreement: the leader's share of the valid votes; None without one.
        interval: Wilson 95 % of the agreement; None where it means nothing.
        range: the leader's possible share of all requested votes; only after an early decision.
    """

    counts: tuple[tuple[str, int], ...]
    winner: str | None
    status: TallyStatus
    valid: int
    requested: int
    abstained: int = 0
    invalid: int = 0
    failed: int = 0
    cancelled: int = 0
    agreement: float | None = None
    interval: tuple[float, float] | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a finished run shows.

    Attributes:
        title: the outcome in words.
        pattern: which magic it was.
        records: one a worker, in the cell's order.
        extra: records of guard, judge and synthesis.
        text: the aggregate as Markdown; None where the answers stand for themselves.
        text_title: heading of the aggregate.
        notes: warnings, one line each.
        simulated: whether answers come from no model.
        addresses: hosts that are not the provider's usual ones.
        tally: the votes; None for a fan-out.
        ballots: the state of each record as a ballot, in the same order; empty for a fan-out.
    """

    title: str
    pattern: Literal["fanout", "vote"]
    records: tuple[Record, ...]
    extra: tuple[Record, ...] = ()
    text: str | None = None
    text_title: str = "Result"
    notes: tuple[str, ...] = ()
    simulated: bool = False
    addresses: tuple[str, ...] = ()
    tally: Tally | None = None
    ballots: tuple[str, ...] = ()
