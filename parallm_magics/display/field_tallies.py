"""The votes of an object's fields as rows: who won each, how many agree, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.display import text, vote_words
from parallm_magics.display.definitions import definition
from parallm_magics.display.kinds import Block, FieldVoteRow, FieldVotes
from parallm_magics.display.typed_words import in_words, is_short
from parallm_magics.display.view import FieldTally
from parallm_magics.display.votes import vote_bars

_SHORT = 40
"""Characters of a winner that its row shows whole."""

_ENDS = {"no_quorum": "no quorum", "no_majority": "no majority", "rule_failed": "no decision"}


def field_votes(fields: Sequence[FieldTally]) -> FieldVotes:
    """A row for the vote on each field."""
    return FieldVotes(tuple(map(_row, fields)))


def decided(fields: Sequence[FieldTally]) -> str:
    """How many fields have a winner, in words: `5 of 6 fields decided`."""
    with_winner = sum(each.decided for each in fields)
    return f"{with_winner:,} of {text.count(len(fields), 'field')} decided"


def winners(fields: Sequence[FieldTally]) -> dict[str, object]:
    """The winning value of each field that has one."""
    return {each.name: each.value for each in fields if each.decided}


def _row(each: FieldTally) -> FieldVoteRow:
    tally = each.tally
    most = max((votes for _, votes in tally.counts), default=0)
    requested = max(tally.requested, 1)
    detail: list[Block] = [vote_bars(tally, brief=True)]
    if each.decided and not is_short(each.value, _SHORT):
        detail.insert(0, definition({each.name: each.value}))
    return FieldVoteRow(
        each.name,
        in_words(each.value, 200) if each.decided else "",
        most / requested,
        f"{most:,} of {tally.requested:,}",
        _ended(each),
        tuple(detail),
    )


def _ended(each: FieldTally) -> str:
    """How the vote on a field ended, in a word or two; and whether the object needs it."""
    if each.decided:
        early = each.tally.cancelled > 0
        return "decided early" if early else "decided"
    said = _ENDS.get(each.tally.status, each.tally.status.replace("_", " "))
    labels, _ = vote_words.leaders(each.tally)
    if each.tally.status == "tie" and 1 < len(labels) <= 3:
        said = f"tie: {' or '.join(text.one_line(label, 40) for label in labels)}"
    return f"{said}; required" if each.required else said
