"""How votes are drawn: a bar a label, the verdict, and what the counts do and do not say."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.core.tasks import Record
from parallm_magics.display import text
from parallm_magics.display.kinds import Bar, Bars, SectionVotes
from parallm_magics.display.view import SectionVote, Tally
from parallm_magics.display.vote_words import (
    agreement,
    further,
    most_frequent,
    number,
    repeated,
    states_line,
    verdict,
)

MOST_BARS = 20
"""Most labels that get a bar."""

MOST_SECTION_VOTES = 20
"""Most votes within a fan-out that are drawn."""


def vote_bars(
    tally: Tally, records: Sequence[Record] = (), *, brief: bool = False, title: str = ""
) -> Bars:
    """The bars and what they say; in brief only how the vote ended and the states of all votes."""
    brief = brief or not tally.counted
    states = states_line(tally, records)
    said = (states,) if brief else (agreement(tally), most_frequent(tally), states)
    return Bars(
        tuple(_bars(tally)) if tally.counted else (),
        tally.requested,
        len(tally.counts) - MOST_BARS if tally.counted else 0,
        verdict(tally),
        said,
        "" if brief else further(tally),
        title,
    )


def section_votes(votes: Sequence[SectionVote]) -> SectionVotes:
    """Each vote within a fan-out under its section's name."""
    left = len(votes) - MOST_SECTION_VOTES
    return SectionVotes(
        tuple(
            vote_bars(vote.tally, vote.records, brief=True, title=vote.name)
            for vote in votes[:MOST_SECTION_VOTES]
        ),
        f"{text.count(left, 'more vote')} in the result" if left > 0 else "",
    )


def _bars(tally: Tally) -> list[Bar]:
    """The labels that get a bar: numbers in their order, others by what decided."""
    weights, between = dict(tally.weights), repeated(tally)
    mark = tally.pick if tally.rule.computes else "winner"
    bars = [
        Bar(
            label,
            votes,
            mark if label == tally.winner else "",
            weights.get(label, 0.0) if weights else None,
            between.get(label),
        )
        for label, votes in tally.counts
    ]
    bars.sort(key=_strength)
    if len(bars) > MOST_BARS:
        # A judge may have picked what hardly anybody voted for.
        bars = sorted(bars, key=lambda bar: not bar.mark)[:MOST_BARS]
        bars.sort(key=_strength)
    if tally.rule.computes:
        bars.sort(key=lambda bar: number(bar.label))
    return bars


def _strength(bar: Bar) -> tuple[float, int]:
    return -(bar.weight or 0.0), -bar.votes
