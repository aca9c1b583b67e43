"""The kinds of answers that can be read: an entry says everything about its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from parallm_magics.answers.answer_markers import MARKER_WORDS
from parallm_magics.answers.cleaning import cleaned, label_of, same_answer_key
from parallm_magics.answers.label_in_text import read_label
from parallm_magics.answers.mentions import Menu
from parallm_magics.answers.number_in_text import is_number, read_number, tidy_digits
from parallm_magics.answers.object_forms import asking_for_object, object_text
from parallm_magics.answers.object_in_text import read_object
from parallm_magics.answers.score_levels import levels_of
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import OptionError

Value = str | int | float
Span = tuple[float, float]

_BEST = r"best(?:\s+(?:candidate|answer|output|option|response|one))?|winner"


@dataclass(frozen=True, slots=True)
class ReadingKind:
    """What there is to know of a kind of answers.

    Attributes:
        read: the value of a verdict that has been found in an answer; None where it gives none.
            It takes the verdict, the menu of the choices, the range, and whether a marker, a field
            or a tag gave the verdict.
        asks: what a prompt asks for behind "ANSWER:"; "" where its own words do.
        key: the form in which a value is held against a true label.
        label: what a vote with such a value is counted under.
        text: how a value reads within a text.
        whole: the value of an answer that is read as a whole, and not by a verdict in it; it raises
            NoObjectError with the reason. The worker is asked once more with that reason.
        closing: the closing lines of a prompt for such an answer, where "ANSWER:" is no part of them.
        noun: what one of these answers is called.
        all_answers: every answer there can be, where a reading has a closed set of them.
        levels: the evenly spaced levels that a decision model may give such an answer; None where it gives
            none of its own. Their mean by probability is the answer.
        tidied: the text before anything is looked for in it.
        is_answer: whether a line is such an answer as it stands.
        is_label: whether it is one of the choices.
        is_number: whether it is a number.
        is_place: whether it is the place of a candidate.
        is_text: whether it is the text itself, in which nothing is looked for.
        is_enforceable: whether a provider can hold an answer to it.
        marker_words: the words that are markers of such an answer, as a pattern.
        first_fields: names of JSON fields that tell more than the usual ones.
        last_fields: such that tell less.
    """

    read: Callable[[str, Menu, Span | None, bool], Value | None]
    asks: Callable[[Reading], str] = lambda reading: ""
    key: Callable[[str], str] = lambda label: label
    label: Callable[[Any], str] = label_of
    text: Callable[[Any], str] = label_of
    whole: Callable[[str, Reading], Any] | None = None
    closing: Callable[[Reading], str] = lambda reading: ""
    noun: str = "answer"
    all_answers: Callable[[Reading], Sequence[str]] = lambda reading: ()
    levels: Callable[[Reading], Sequence[float]] | None = None
    tidied: Callable[[str], str] = lambda text: text
    is_answer: Callable[[str, Menu], bool] = lambda line, menu: menu.exact(line) is not None
    is_label: bool = False
    is_number: bool = False
    is_place: bool = False
    is_text: bool = False
    is_enforceable: bool = False
    marker_words: str = MARKER_WORDS
    first_fields: str = ""
    last_fields: str = ""


def _label(verdict: str, menu: Menu, span: Span | None, is_marked: bool) -> Value | None:
    return read_label(verdict, menu, is_marked=is_marked)


def _number(verdict: str, menu: Menu, span: Span | None, is_marked: bool) -> Value | None:
    return read_number(verdict, is_marked=is_marked)


def _is_number(line: str, menu: Menu) -> bool:
    return is_number(line)


def _score(verdict: str, menu: Menu, span: Span | None, is_marked: bool) -> Value | None:
    return read_number(verdict, span, of_top=True, is_marked=is_marked)


def _index(verdict: str, menu: Menu, span: Span | None, is_marked: bool) -> Value | None:
    return read_number(verdict, span, whole=True, of_top=True, is_marked=is_marked)


def _text(verdict: str, menu: Menu, span: Span | None, is_marked: bool) -> Value | None:
    return cleaned(verdict) or None


def _number_key(label: str) -> str:
    """Return a number as precisely as it is read off answers."""
    try:
        return label_of(float(f"{float(label):.15g}"))
    except ValueError:
        return label


def _object(text: str, reading: Reading) -> Any:
    assert reading.schema is not None
    return read_object(text, reading.schema)


def _asking_for_object(reading: Reading) -> str:
    return "" if reading.schema is None else asking_for_object(reading.schema)


_of_numbers = partial(
    ReadingKind, key=_number_key, tidied=tidy_digits, is_answer=_is_number, is_number=True
)

KINDS: dict[str, ReadingKind] = {
    "choice": ReadingKind(
        _label,
        asks=lambda reading: f"<one of {', '.join(reading.choices)}>",
        noun="vote",
        all_answers=lambda reading: reading.choices,
        is_label=True,
        is_enforceable=True,
    ),
    "number": _of_numbers(_number, last_fields="number total score", is_enforceable=True),
    "score": _of_numbers(
        _score,
        asks=lambda reading: f"<a number from {reading.low:g} to {reading.high:g}>",
        noun="score",
        marker_words=f"{MARKER_WORDS}|score|rating",
        first_fields="score rating final_score overall_score",
        last_fields="points total number",
        levels=levels_of,
        is_enforceable=True,
    ),
    "index": _of_numbers(
        _index,
        marker_words=f"{_BEST}|{MARKER_WORDS}",
        first_fields="best best_candidate best_answer best_index winner index",
        last_fields="candidate number",
        is_place=True,
    ),
    "open": ReadingKind(
        _text,
        key=lambda label: same_answer_key(label) or label.strip(),
        is_text=True,
        last_fields="text",
    ),
    "object": ReadingKind(
        _text,
        text=object_text,
        whole=_object,
        closing=_asking_for_object,
        noun="object",
        is_enforceable=True,
    ),
}
"""From the name of a kind to what there is to know of it."""

_OWN = frozenset(KINDS)


def is_free_text(reading: Reading | None) -> bool:
    """Return whether an answer counts as the text that it is; so it does where nothing is read from it."""
    return reading is None or KINDS[reading.kind].is_text


def register_reading(name: str, kind: ReadingKind) -> str:
    """Add a kind of answers that a pick rule can ask for; return its name.

    Raises:
        OptionError: it is not a ReadingKind, or its name is built in.
    """
    if not isinstance(kind, ReadingKind):
        raise OptionError(f"expected a ReadingKind, got {type(kind).__name__}")
    if name in _OWN:
        raise OptionError(f"{name!r} is a built-in kind; choose another name")
    KINDS[name] = kind
    return name
