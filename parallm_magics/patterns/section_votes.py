"""Votes within a fan-out: the section whose several workers answer one question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parallm_magics.cell.calls import Section
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import (
    Ballot,
    count_ballots,
    votes_of,
    winning_value,
)
from parallm_magics.patterns.panel import Rule, section_rule
from parallm_magics.voting import shares
from parallm_magics.voting.counting import Outcome


@dataclass(frozen=True, slots=True, repr=False)
class SectionVote:
    """How the vote of one section ended.

    Attributes:
        section: the section.
        records: its voters' records.
        ballots: one a requested vote, in the cell's order.
        winner: the winning label or number; None where nobody won.
        status: as that of a `VoteRun`.
        how: how the winner came about, where the counts alone do not tell it; else "".
    """

    section: Section
    records: tuple[Record, ...]
    ballots: tuple[Ballot, ...]
    winner: str | int | float | None
    status: Outcome
    how: str = ""

    def __repr__(self) -> str:
        return f"<SectionVote {self.section.key}: {self.winner} ({self.status}), {self.tally}>"

    @property
    def tally(self) -> dict[str, int]:
        """Votes by label, most first."""
        return dict(Counter(b.label for b in self.ballots if b.label is not None).most_common())

    @property
    def agreement(self) -> float | None:
        """The leader's share of the valid votes; None without one."""
        return shares([*self.tally.values()], len(self.ballots))["share_valid"]

    @property
    def confidence(self) -> float | None:
        """The votes for the winner over the valid ones; None without a winner, for median and mean."""
        return section_vote_rule(self.section).entry.share_of_winner(self.winner, self.tally)

    def to_dict(self) -> dict[str, Any]:
        """How it ended, as plain JSON types."""
        return {
            "winner": self.winner,
            "status": self.status,
            "tally": self.tally,
            "agreement": self.agreement,
            "confidence": self.confidence,
        }

    @property
    def rule(self) -> Rule:
        """The rule by which it is decided."""
        return section_vote_rule(self.section)


def section_vote_rule(section: Section) -> Rule:
    """The rule of a section that is a vote."""
    assert section.reading is not None
    return section_rule(section.options, len(section.tasks), section.reading, section.flag)


def section_vote_of(section: Section, records: Sequence[Record]) -> SectionVote | None:
    """The vote of a section's workers; None for a section that is none."""
    reading = section.reading
    if reading is None or reading.kind == "open" or len(section.tasks) < 2:
        return None
    rule = section_vote_rule(section)
    read, ballots = count_ballots(records, reading, confident=rule.entry.states_confidence)
    votes = votes_of(read, ballots)
    decision = rule.broken(rule.settled(votes, len(section.tasks)), votes)
    winner = decision.winner
    if isinstance(winner, str):
        winner = winning_value(winner, read, ballots)
    return SectionVote(section, tuple(records), ballots, winner, decision.status, decision.how)
