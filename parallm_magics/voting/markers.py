"""The answer after a marker such as "Final answer:", "GRADE:", `\\boxed{}` or "####"."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping

from parallm_magics.types import Kind
from parallm_magics.voting.wording import is_no_verdict

_GENERAL = r"answer|verdict|vote|grade|decision|choice|label|classification|prediction|judge?ment"
_BEST = r"best(?:\s+(?:candidate|answer|output|option|response|one))?|winner"
WORDS: Mapping[Kind, str] = {
    "choice": _GENERAL,
    "open": _GENERAL,
    "number": _GENERAL,
    "score": f"{_GENERAL}|score|rating",
    "index": f"{_BEST}|{_GENERAL}",
}
"""The words that are markers for each kind, as a pattern."""

_RANK = (
    r"(?:(?:so|thus|hence|therefore|the|my|our),?[ \t]+){0,3}"
    r"(?:(?:final|overall|best|correct|right|chosen|selected|most[ ]likely)[ \t]+){0,2}"
)
# What may stand before a marker: bullets, hashes, stars, an emoji; no quotation of any kind.
_LINE_PREFIX = r"(?:[^\w\n\"'`(\[{<>\\$]|_){0,12}(?:\d{1,2}[.)][ \t]+)?[*_]{0,3}"
_ASIDE = r"(?:[ \t]*(?:\([^()\n]{0,60}\)|\[[^\[\]\n]{0,60}\]))?"
_EMPHASIS = r"[ \t]{0,4}[*_]{0,3}[ \t]{0,4}"
_JUST_BEFORE = re.compile(rf"\b{_RANK}(?:{_GENERAL})\s*[:=][\s*_`\"'(\[]*\Z", re.IGNORECASE)
_FENCE_LINE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[\w+-]*[ \t]*")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,4}\{")
_HASHES = re.compile(r"^[ \t]{0,8}####[ \t]*([^#\n].*)$", re.MULTILINE)
_QUOTING = re.compile(r"[\"'`()\[\]{}\n]")
_DEEPEST = 20
_MOST_REFUSED = 500
"""Of more markers than these only the last are looked at; weighing each would take long."""

_CLOSES = {")": "(", "]": "[", "}": "{"}


def marked_answer(text: str, kind: Kind, is_answer: Callable[[str], bool]) -> str | None:
    """What follows the last marker; None without one, "" where nothing follows.

    Args:
        text: a tidy text.
        kind: what is read; it decides which words are markers.
        is_answer: whether a text is an answer as it stands. "####" is a marker only before such a
            one, and a heading otherwise.
    """
    at_line_start = [
        *_worded(text, kind, is_answer),
        *((m.start(), m[1]) for m in _last_of(_HASHES, text, is_answer)),
        *((place, value) for place, value, starts_line in _boxed(text) if starts_line),
    ]
    if at_line_start:
        value = max(at_line_start)[1]
        # "Answer: yes. Wait, no. Answer: no": the line itself has a later marker.
        later = [corrected for _, corrected in _inline(value, kind) if is_answer(corrected)]
        return later[0] if later else value
    within_a_line = [
        *_inline(text, kind),
        *((place, value) for place, value, starts_line in _boxed(text) if not starts_line),
    ]
    return max(within_a_line)[1] if within_a_line else None


def is_marked_aside(text: str, start: int, end: int) -> bool:
    """Whether a marker gives `text[start:end]` and the text says more than these two."""
    place = max(0, start - 60)
    marker = _JUST_BEFORE.search(text[place:start])
    return marker is not None and bool(
        re.search(r"\w", text[: place + marker.start()]) or re.search(r"\w", text[end:])
    )


def _worded(text: str, kind: Kind, is_answer: Callable[[str], bool]) -> list[tuple[int, str]]:
    """The last worded marker that starts a line, with what follows it."""
    pattern = re.compile(
        rf"^{_LINE_PREFIX}{_RANK}(?:{WORDS[kind]})\b{_ASIDE}{_EMPHASIS}"
        r"(?:[:=]|[ \t][-–—]{1,2}[ \t]|[–—]|(?P<alone>$))",
        re.IGNORECASE | re.MULTILINE,
    )
    last = None
    for match in pattern.finditer(text):
        # A line of nothing but the word is a heading, unless the word is a label itself.
        if match["alone"] is None or (not is_answer(match[0]) and _line_after(text, match.end())):
            last = match
    return [(last.start(), _value(text, last.end()))] if last else []


def _inline(text: str, kind: Kind) -> list[tuple[int, str]]:
    """The last worded marker within a line, outside quotes and brackets, that gives a verdict."""
    pattern = re.compile(
        rf"(?<![^\W_]){_RANK}(?:{WORDS[kind]})\b{_ASIDE}{_EMPHASIS}"
        r"(?:[:=]|is\b(?!\s*n[o']t\b)(?:\s+that\b)?[ \t]{0,4}:?)",
        re.IGNORECASE,
    )
    matches = _from_the_last(pattern, text)
    quotes = _quoted_spans(text) if matches else []
    for match in matches:
        if not _is_inside(match.start(), quotes) and not is_no_verdict(text, match.start()):
            return [(match.start(), _value(text, match.end()))]
    return []


def _boxed(text: str) -> list[tuple[int, str, bool]]:
    """The last `\\boxed{…}` with its content, and whether it starts a line."""
    boxes = list(_BOXED.finditer(text))
    if not boxes:
        return []
    last = boxes[-1]
    depth, end = 1, len(text)
    for brace in re.finditer(r"[{}]", text[last.end() :]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            end = last.end() + brace.start()
            break
    before = text[text.rfind("\n", 0, last.start()) + 1 : last.start()]
    starts_line = len(before) < 20 and not before.strip(" \t$\\[(*_#")
    return [(last.start(), text[last.end() : end], starts_line)]


def _from_the_last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches, the last first."""
    return [*reversed(deque(pattern.finditer(text), maxlen=_MOST_REFUSED))]


def _last_of(
    pattern: re.Pattern[str], text: str, accept: Callable[[str], bool]
) -> list[re.Match[str]]:
    """The last match whose first group is accepted, as a list of none or one."""
    for match in _from_the_last(pattern, text):
        if len(match[1]) < 200 and accept(match[1]):
            return [match]
    return []


def _value(text: str, start: int) -> str:
    """What follows a marker: the rest of its line, or the next line that is not blank."""
    end = text.find("\n", start)
    rest = text[start : end if end >= 0 else len(text)]
    return rest if rest.strip(" \t*_`#") else _line_after(text, start)


def _line_after(text: str, start: int) -> str:
    """The next line with something in it, fences left out; "" at the end of the text."""
    end = text.find("\n", start)
    while end >= 0:
        begin, end = end + 1, text.find("\n", end + 1)
        line = text[begin : end if end >= 0 else len(text)]
        if line.strip(" \t*_`#") and not _FENCE_LINE.fullmatch(line):
            return line
    return ""


def _quoted_spans(text: str) -> list[tuple[int, int]]:
    """The outermost stretches in quotes or brackets that open and close on one line."""
    spans: list[tuple[int, int]] = []
    opened: list[str] = []
    places: list[int] = []
    for match in _QUOTING.finditer(text):
        sign, place = match[0], match.start()
        if sign == "\n":
            opened.clear()
            places.clear()
            continue
        before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
        if sign == "'" and before.isalnum() and after.isalnum():
            continue
        opening = _CLOSES.get(sign, sign)
        closes = sign in _CLOSES or sign in '"`' or (sign == "'" and not after.isalnum())
        if closes and opening in opened:
            depth = opened.index(opening)
            begin = places[depth]
            del opened[depth:], places[depth:]
            while spans and spans[-1][0] > begin:
                spans.pop()
            spans.append((begin, place))
        elif (
            sign not in _CLOSES
            and len(opened) < _DEEPEST
            and not (sign == "'" and before.isalnum())
        ):
            opened.append(sign)
            places.append(place)
    return spans


def _is_inside(place: int, spans: list[tuple[int, int]]) -> bool:
    """Whether a place is within one of the spans, which are sorted and apart."""
    at = bisect_right(spans, place, key=lambda span: span[0]) - 1
    return at >= 0 and spans[at][0] < place < spans[at][1]
