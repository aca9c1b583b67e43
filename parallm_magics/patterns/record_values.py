"""Read labels and numbers off records."""

from __future__ import annotations

import re
from dataclasses import replace

from parallm_magics.answers.stated_confidence import without_confidence
from parallm_magics.core.tasks import Fault, Finish, Reading, Record
from parallm_magics.voting import Answer, read_answer, same_answer_key

_FINISH: dict[str, Finish] = {"truncated": "length", "refused": "refusal", "ok": "stop"}


_ANSWER_LINE = re.compile(
    r"^\W{0,8}(?:final )?answer\W{0,8}[:=](.*)$", re.IGNORECASE | re.MULTILINE
)


LONG = 200
"""Characters from which on an answer surely holds more than its label."""


def says_more(text: str, label: str) -> bool:
    """Whether an answer holds more than the label that was read from it.

    >>> [says_more(text, "4") for text in ("4.", "**Answer:** 4", "4, as it is clear.\\nANSWER: 4")]
    [False, False, True]
    """
    if len(text) > len(label) + LONG:
        return True
    key = same_answer_key(label)

    def without_label(line: re.Match[str]) -> str:
        return "" if same_answer_key(line[1]) == key else line[0]

    return same_answer_key(_ANSWER_LINE.sub(without_label, text)) not in ("", key)


def answer_of(record: Record, reading: Reading, *, confident: bool = False) -> Answer:
    """What a record says as an answer; "invalid" for one that came to no end of its own.

    Args:
        confident: whether a line with the voter's confidence was asked for.
    """
    finish = _FINISH.get(record.status)
    if finish is None:
        return Answer("invalid", None)
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
    if reading is None or not record.ok:
        return record
    if reading.kind == "open":
        return replace(record, value=record.text)
    answer = answer_of(record, reading)
    if answer.state == "valid":
        return replace(record, value=answer.value)
    what = f"none of {', '.join(reading.choices)}" if reading.choices else f"no {reading.kind}"
    said = "the model declined to choose" if answer.state == "abstain" else f"{what} can be read"
    return replace(record, status="invalid", error=Fault("unreadable", f"{said}; the text is kept"))
