"""Votes within a fan-out: the section whose several workers answer one question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parallm_magics.answers.reading_kinds import is_free_text
from parallm_magics.cell.calls import Section
from parallm_magics.core.tasks import Record
from parallm_magics.patterns.ballots import (
    Ballot,
    count_ballots,
    votes_of,
    winning_value,
)
from parallm_magics.patterns.object_ballots import vote_of_objects
from parallm_magics.patterns.panel import Rule, section_rule
from parallm_magics.voting import label_of, shares
from parallm_magics.voting.counting import Outcome
from parallm_magics.voting.field_votes import FieldVote
from parallm_magics.voting.object_votes import ObjectVote


@dataclass(frozen=True, slots=True, repr=False)
class SectionVote:
    """How the vote of one section ended.

    Attributes:
        section: the section.
        records: its voters' records.
        ballots: one a requested vote, in the cell's order.
        winner: the winning label or number, or the object of the fields' winners; None where nobody
            won.
        status: as that of a `VoteRun`.
        how: how the winner came about, where the counts alone do not tell it; else "".
        objects: the votes on the fields of objects; None where the answers are none.
    """

    section: Section
    records: tuple[Record, ...]
    ballots: tuple[Ballot, ...]
    winner: Any
    status: Outcome
    how: str = ""
    objects: ObjectVote | None = None

    def __repr__(self) -> str:
        return f"<SectionVote {self.section.key}: {self.label} ({self.status}), {self.tally}>"

    @property
    def fields(self) -> Mapping[str, FieldVote]:
        """How the vote on each field ended, by the field's name; empty without `--schema`."""
        return {} if self.objects is None else self.objects.fields

    @property
    def label(self) -> str | None:
        """The label of the winner; None if nobody won."""
        if self.objects is not None:
            return self.objects.label
        return None if self.winner is None else label_of(self.winner)

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
        winner = self.winner if self.objects is None else self.objects.label
        return self.rule.entry.share_of_winner(winner, self.tally)

    def to_dict(self) -> dict[str, Any]:
        """How it ended, as plain JSON types."""
        objects, fields = self.objects, self.fields
        more = {"fields": {name: vote.to_dict() for name, vote in fields.items()}}
        return {
            "winner": self.winner if objects is None else objects.plain,
            "status": self.status,
            "tally": self.tally,
            "agreement": self.agreement,
            "confidence": self.confidence,
            **(more if fields else {}),
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
    if reading is None or is_free_text(reading) or len(section.tasks) < 2:
        return None
    rule = section_vote_rule(section)
    read, ballots = count_ballots(records, reading, confident=rule.entry.states_confidence)
    if objects := vote_of_objects(read, ballots, rule, reading):
        value, how = objects.value, objects.how
        return SectionVote(section, tuple(records), ballots, value, objects.status, how, objects)
    votes = votes_of(read, ballots)
    decision = rule.broken(rule.settled(votes, len(section.tasks)), votes)
    winner = decision.winner
    if isinstance(winner, str):
        winner = winning_value(winner, read, ballots)
    return SectionVote(section, tuple(records), ballots, winner, decision.status, decision.how)
