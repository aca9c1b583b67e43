"""What is shown of the votes on the fields of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from parallm_magics import display
from parallm_magics.patterns.ballots import Ballot
from parallm_magics.voting.field_ballots import labels_of_field
from parallm_magics.voting.field_votes import FieldVote

_LABEL = 200
"""Most characters of a value in the words of a tally."""

MOST_NAMED = 10
"""Fields without a winner that a title names."""


def field_tallies(
    fields: Mapping[str, FieldVote],
    ballots: Sequence[Ballot],
    *,
    repeats: bool = False,
    decided_after: int | None = None,
    heuristic: Collection[str] = (),
) -> tuple[display.FieldTally, ...]:
    """How the votes on each field fell.

    Args:
        ballots: those of the objects.
        repeats: whether all votes repeat one prompt.
        decided_after: how many votes had ended by an early decision.
        heuristic: the fields whose early decision the open votes might have changed.
    """
    states = Counter(ballot.state for ballot in ballots)

    def tally(vote: FieldVote) -> display.Tally:
        words = _in_words(vote)
        nobody = [label for label in labels_of_field(vote.field) if label not in vote.tally]
        return display.Tally(
            counts=tuple(
                (words.get(label, label), vote.tally[label]) for label in (*words, *nobody)
            ),
            winner=None if vote.label is None else words.get(vote.label, vote.label),
            status=vote.status,
            valid=vote.valid,
            requested=vote.requested,
            abstained=states["abstain"] + vote.without,
            invalid=states["invalid"],
            failed=states["failed"],
            cancelled=states["cancelled"],
            agreement=vote.agreement,
            interval=vote.interval if repeats else None,
            range=vote.confidence_range,
            pick=vote.pick,
            how=vote.how,
            weights=tuple((words[label], float(sum_)) for label, sum_ in vote.weights.items()),
            share_requested=vote.share_requested if vote.valid else None,
            margin=vote.margin,
            p_mode=vote.p_mode,
            decided_after=decided_after,
            heuristic=vote.field.name in heuristic,
            tied=tuple(words.get(label, label) for label in vote.tied),
        )

    return tuple(
        display.FieldTally(name, tally(vote), vote.plain, vote.field.required)
        for name, vote in fields.items()
    )


def _in_words(vote: FieldVote) -> dict[str, str]:
    """Each label that was voted for as a person would write it; those that would look alike stay."""
    words = {
        label: label
        if isinstance(value := vote.values[label], str)
        else display.in_words(value, _LABEL)
        for label in vote.tally
    }
    same = Counter(words.values())
    return {label: word if same[word] == 1 else label for label, word in words.items()}


def outcome_of_fields(fields: Mapping[str, FieldVote], how: str, *, has_value: bool) -> str:
    """How many fields have a winner, and which have none; why no object came of it.

    Args:
        how: what is said of the object.
        has_value: whether the winners make an object.
    """
    lost = [name for name, vote in fields.items() if not vote.decided]
    outcome = f"{len(fields) - len(lost)} of {display.count(len(fields), 'field')} decided"
    if lost:
        named = display.listed(lost[:MOST_NAMED], len(lost) - MOST_NAMED)
        return f"{outcome}; no winner for {named}"
    if not has_value:
        return f"{outcome}, but {how}"
    return f"{outcome} ({how})" if how else outcome
