"""Read the vote out of a raw answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from parallm_magics.answers.answer_markers import marked_answer, says_otherwise
from parallm_magics.answers.cleaning import cleaned, tidy, without_fences, without_gaps
from parallm_magics.answers.framing import outside_of_frames
from parallm_magics.answers.json_fields import (
    is_json_like,
    json_answer,
    names_answer,
    tagged_answer,
)
from parallm_magics.answers.mentions import Menu
from parallm_magics.answers.object_in_text import NoObjectError
from parallm_magics.answers.reading_kinds import KINDS, ReadingKind, Span, Value
from parallm_magics.answers.thinking import without_reasoning
from parallm_magics.answers.wording import declines, declines_to_answer
from parallm_magics.core.finish_reasons import ending_of
from parallm_magics.core.tasks import Kind, Reading

State = Literal["valid", "abstain", "invalid"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one answer says as a vote.

    Attributes:
        state: "valid" (a value was read), "abstain" (the model or a filter declined) or
            "invalid" (nothing usable).
        value: the choice in the user's spelling, a number, the text of an open answer or an object;
            None unless valid.
        problem: what is wrong with an object that cannot be used, in one line.
    """

    state: State
    value: Any = None
    problem: str = field(default="", repr=False)


def read_answer(
    text: str,
    choices: Sequence[str] | None = None,
    kind: Kind = "choice",
    finish: str | None = "stop",
    aliases: Mapping[str, Sequence[str] | str] | None = None,
    range: Sequence[float] | None = None,  # noqa: A002 - the user's word
) -> Answer:
    """Read the vote in an answer.

    The first of these that is found decides: the reason why the model stopped; the answer field
    of a JSON object, else an answer tag; the last marker ("Answer:") at the start of a line,
    else within a line; the whole text; a label at the start of the text; the only label in it.
    Thinking is removed first. Once a field, tag or marker is found, its value is the verdict:
    if it is not one of the choices, there is no vote, whatever else the text says. In a
    verdict, and in an answer of at most five words, only the first clause counts, and any word
    that might change its meaning makes it invalid.

    Args:
        text: the answer as the model wrote it.
        choices: the labels for kind "choice"; without any, the answer is read as "open".
        kind: "choice", "number", "score" (a number in `range`), "index" (a whole number in
            `range`, by default from 1) or "open" (any text).
        finish: the provider's reason why the model stopped; only known good reasons are
            accepted.
        aliases: further words that stand for a choice.
        range: the smallest and largest number, both included.

    Raises:
        ValueError: the kind is unknown.

    >>> read_answer("**Answer:** no, although it nearly is", ["YES", "NO"])
    Answer(state='valid', value='NO')
    """
    ending = ending_of(finish or "")
    if ending in ("length", "failed", "unknown"):
        return Answer("invalid")
    if ending == "refusal":
        return Answer("abstain")
    if kind not in KINDS:
        raise ValueError(f"unknown kind of answer {kind!r}; known: {', '.join(KINDS)}")
    entry = KINDS["open" if KINDS[kind].is_label and not choices else kind]
    menu = Menu.of(choices or (), aliases if choices else None)
    span = (range[0], range[1]) if range else None
    raw = without_reasoning(without_gaps(text))
    if not is_json_like(raw):
        raw = outside_of_frames(
            raw, lambda name: names_answer(name, entry) or menu.exact(name) is not None
        )
    verdict, is_marked = _verdict(entry.tidied(raw), entry, menu, span)
    if not verdict.strip():
        return Answer("invalid")
    if entry.is_text and declines_to_answer(cleaned(verdict)):
        return Answer("abstain")
    value = entry.read(verdict, menu, span, is_marked)
    if value is None:
        return Answer("abstain" if declines(verdict) else "invalid")
    return Answer("valid", value)


def read_whole(text: str, reading: Reading, finish: str | None = "stop") -> Answer:
    """Read an answer of a kind that is read as a whole, such as an object; see `read_answer`."""
    ending = ending_of(finish or "")
    whole = KINDS[reading.kind].whole
    if whole is None or ending in ("length", "failed", "unknown"):
        return Answer("invalid")
    if ending == "refusal":
        return Answer("abstain")
    try:
        return Answer("valid", whole(text, reading))
    except NoObjectError as error:
        return Answer("abstain" if error.declined else "invalid", problem=str(error))


def _verdict(raw: str, kind: ReadingKind, menu: Menu, span: Span | None) -> tuple[str, bool]:
    """Return the part of the answer that counts, tidy, and whether a field, tag or marker gives it."""
    # Straight quotes in place of curly ones would end a JSON string, so the raw text comes first.
    field = json_answer(raw, kind)
    text = tidy(raw)
    if field is None:
        field = json_answer(text, kind)

    def is_answer(line: str) -> bool:
        return kind.is_answer(line, menu)

    def read(value: str) -> Value | None:
        return None if kind.is_text else kind.read(value, menu, span, True)

    enclosed = tagged_answer(text, kind) if field is None else tidy(field)
    if enclosed is not None:
        after = text[max(text.rfind("}"), text.rfind(">")) + 1 :]
        return "" if says_otherwise(after, read(enclosed), is_answer, read) else enclosed, True
    marked = marked_answer(text, kind.marker_words, is_answer, read, is_label=kind.is_label)
    if marked is None:
        return without_fences(text).strip(), False
    return marked, True
