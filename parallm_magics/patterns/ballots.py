"""From records to what they say: labels and numbers, and the ballots of a panel."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from parallm_magics.answers.read_answer import read_whole
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.answers.stated_confidence import without_confidence
from parallm_magics.core.tasks import BallotState, Fault, Finish, Reading, Record, Status
from parallm_magics.display.looks import STATES
from parallm_magics.voting import (
    Answer,
    parse_confidence,
    read_answer,
    same_answer_key,
    usual_spelling,
)
from parallm_magics.voting.object_votes import object_labels
from parallm_magics.voting.rule_entry import Vote

# A call that came back is a success of the call, whatever the ballot says.
CAME_BACK: tuple[Status, ...] = ("ok", "truncated", "refused", "invalid")
_FINISH: dict[str, Finish] = {"truncated": "length", "refused": "refusal", "ok": "stop"}

_ANSWER_LINE = re.compile(
    r"^\W{0,8}(?:final )?answer\W{0,8}[:=](.*)$", re.IGNORECASE | re.MULTILINE
)
LONG_ANSWER = 200
"""Characters from which on an answer surely holds more than its label."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """One requested vote.

    Attributes:
        name: the voter's name.
        state: the one state that every vote ends in; only "valid" has a label.
        label: the label as the user spelt it, or the answer's text or number.
        text: the answer as written.
        weight: what it counts by the rule "weighted".
        confidence: what the voter states, from 0 to 1; None where it states nothing usable.
    """

    name: str
    state: BallotState
    label: str | None
    text: str
    weight: Fraction = Fraction(1)
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """How it ended, as plain JSON types."""
        return {
            "name": self.name,
            "state": self.state,
            "label": self.label,
            "weight": float(self.weight),
            "confidence": self.confidence,
        }


def count_ballots(
    records: Sequence[Record],
    reading: Reading,
    weights: Sequence[Fraction] = (),
    uncounted: Container[int] = (),
    confident: bool = False,
    as_cast: bool = False,
) -> tuple[list[Record], tuple[Ballot, ...]]:
    """Each record with its value, and as a ballot.

    Args:
        weights: what each vote counts; without any, 1.
        uncounted: the places of those that came after the vote was decided.
        confident: whether the voters were asked to state a confidence.
        as_cast: whether equal texts are called by the first of them, which a judge is shown, rather
            than by their most usual spelling.
    """
    kind = KINDS[reading.kind]
    read, ballots = [], []
    # What is read as a whole is no success where it does not conform, however it came.
    known = records if kind.whole is None else [read_record(each, reading) for each in records]
    for at, record in enumerate(known):
        answer = _answer(record, reading, confident)
        state = STATES[record.status].ballot or answer.state
        if record.index in uncounted:
            state = "cancelled"
        valid = state == "valid" and answer.value is not None
        read.append(replace(record, value=answer.value if valid else None))
        label = None if not valid or answer.value is None else kind.label(answer.value)
        ballots.append(
            Ballot(
                record.name,
                state,
                label,
                record.text,
                weights[at] if weights else Fraction(1),
                _confidence(record) if confident and valid else None,
            )
        )
    if reading.schema is not None:
        called = object_labels([record.value for record in read], reading.schema)
        ballots = [replace(each, label=called.get(at)) for at, each in enumerate(ballots)]
    if kind.is_text:
        ballots = _spelt_alike(ballots, (lambda texts: texts[0]) if as_cast else usual_spelling)
    return read, tuple(ballots)


def _confidence(record: Record) -> float | None:
    """How sure a voter is: the probability of its label where it gives one, else what it states."""
    if record.probabilities:
        return max(record.probabilities.values())
    return parse_confidence(record.text)


def _spelt_alike(ballots: Sequence[Ballot], called: Callable[[Sequence[str]], str]) -> list[Ballot]:
    """The ballots with one spelling for all labels that are the same answer."""
    spellings: dict[str, list[str]] = {}
    for ballot in ballots:
        if ballot.label is not None:
            spellings.setdefault(same_answer_key(ballot.label), []).append(ballot.label)
    usual = {key: called(labels) for key, labels in spellings.items()}
    return [
        ballot
        if ballot.label is None
        else replace(ballot, label=usual[same_answer_key(ballot.label)])
        for ballot in ballots
    ]


def voted(record: Record, reading: Reading, confident: bool = False) -> Record:
    """The record of a vote with what it says, where that can be read; its status stays."""
    answer = _answer(record, reading, confident)
    return replace(record, value=answer.value if answer.state == "valid" else None)


def _answer(record: Record, reading: Reading, confident: bool) -> Answer:
    """What a record says; one that was read before is not read again."""
    if record.ok and record.value is not None:
        return Answer("valid", record.value)
    return answer_of(record, reading, confident=confident)


def votes_of(records: Sequence[Record], ballots: Sequence[Ballot]) -> list[Vote]:
    """The valid ballots, as the rules take them."""
    return [
        Vote(at, ballot.label, record.value, ballot.weight, ballot.confidence)
        for at, (record, ballot) in enumerate(zip(records, ballots, strict=True))
        if ballot.label is not None and record.value is not None
    ]


def winning_value(
    label: str | None, records: Sequence[Record], ballots: Sequence[Ballot]
) -> str | float | None:
    """The winning value in the type that it was read in; a text as its label is spelt."""
    for record, ballot in zip(records, ballots, strict=True):
        if label is not None and ballot.label == label:
            return label if isinstance(record.value, str) else record.value
    return label


def answer_of(record: Record, reading: Reading, *, confident: bool = False) -> Answer:
    """What a record says as an answer; "invalid" for one that came to no end of its own.

    Args:
        confident: whether a line with the voter's confidence was asked for.
    """
    finish = _FINISH.get(record.status)
    if finish is None:
        return Answer("invalid", None)
    if record.ok and record.probabilities and record.text in reading.choices:
        return Answer("valid", record.text)  # no words to read it from
    if KINDS[reading.kind].whole is not None:
        return read_whole(record.text, reading, finish)
    span = None if reading.low is None or reading.high is None else (reading.low, reading.high)
    return read_answer(
        without_confidence(record.text) if confident else record.text,
        choices=list(reading.choices) or None,
        kind=reading.kind,
        finish=finish,
        range=span,
    )


def read_record(record: Record, reading: Reading | None) -> Record:
    """The record with its value; without a readable one it is no success."""
    if reading is None or not record.ok or record.value is not None:
        return record
    if KINDS[reading.kind].is_text:
        return replace(record, value=record.text)
    answer = answer_of(record, reading)
    if answer.state == "valid":
        return replace(record, value=answer.value)
    what = f"none of {', '.join(reading.choices)}" if reading.choices else f"no {reading.kind}"
    said = "the model declined to choose" if answer.state == "abstain" else f"{what} can be read"
    said = answer.problem or f"{said}; see the full answer"
    return replace(record, status="invalid", error=Fault("unreadable", said))


def says_more(text: str, label: str) -> bool:
    """Whether an answer holds more than the label that was read from it.

    >>> [says_more(text, "4") for text in ("4.", "**Answer:** 4", "4, as it is clear.\\nANSWER: 4")]
    [False, False, True]
    """
    if len(text) > len(label) + LONG_ANSWER:
        return True
    key = same_answer_key(label)

    def without_label(line: re.Match[str]) -> str:
        return "" if same_answer_key(line[1]) == key else line[0]

    return same_answer_key(_ANSWER_LINE.sub(without_label, text)) not in ("", key)
