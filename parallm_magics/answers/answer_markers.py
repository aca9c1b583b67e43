"""The answer after a marker such as "Final answer:", "GRADE:", `\\boxed{}` or "####"."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from parallm_magics.answers.framing import END_MARK
from parallm_magics.answers.wording import is_no_verdict

MARKER_WORDS = (
    r"answer|verdict|vote|grade|decision|choice|label|classification|prediction|judge?ment"
)
"""The words that are markers of any answer, as a pattern."""

_RANK = (
    r"(?:(?:so|thus|hence|therefore|the|my|our),?[ \t]+){0,3}"
    r"(?:(?:final|overall|best|correct|right|chosen|selected|most[ ]likely)[ \t]+){0,2}"
)
# What may stand before a marker: bullets, hashes, stars, an emoji; no quotation of any kind.
_LINE_PREFIX = r"(?:[^\w\n\"'`(\[{<>\\$]|_){0,12}(?:\d{1,2}[.)][ \t]+)?[*_]{0,3}"
_REMARK = r"(?:[ \t]*(?:\([^()\n]{0,60}\)|\[[^\[\]\n]{0,60}\]))?"
_EMPHASIS = r"[ \t]{0,4}[*_]{0,3}[ \t]{0,4}"
_JUST_BEFORE = re.compile(rf"\b{_RANK}(?:{MARKER_WORDS})\s*[:=][\s*_`\"'(\[]*\Z", re.IGNORECASE)
_FENCE_LINE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[\w+-]*[ \t]*")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,4}\{")
_HASHES = re.compile(r"^[ \t]{0,8}####[ \t]*([^#\n].*)$", re.MULTILINE)
_QUOTING = re.compile(r"[\"'`()\[\]{}\n]")
_DEEPEST = 20
_MOST_REFUSED = 500
"""Of more markers than these only the last are looked at; weighing each would take long."""

_VERDICT = 400
"""Characters of a marker's value that are read to see whether two of them agree."""

_LONGEST_CLOSING = 120
_LINE = re.compile(r"\S[^\n]*")
# "Final: X", "**Final** X", "=== FINAL === X", "Wait, no. X", "My final answer X", "Actually, X".
_LEAD = re.compile(
    r"(?:[^\w\n]*+\w++){1,3}?[*_#=\]】>）)]*[ \t]*(?:[,.:：;!—–=-][,.:：;!—–=*_# \t-]*|[*_#\]】]+[ \t]*)"
    r"(?=[*_`\"'(\[]*\w+[^\w\n]*\Z)"
    r"|[^\w\n]*(?:(?:so|my|the)[ \t]+){0,2}(?:final|conclusion|revised|response|result|actually)\b"
    r"(?:[ \t]+(?:answer|verdict|decision|vote|judge?ment|part)\b)?[^\w\n]*",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\b(?:runner|second|2nd|third|3rd|alternative|next|previous|other|else|option|options|choice|not"
    r"|input|text|example|question|label|rejected|eliminated|instead|than|confidence|severity|risk"
    r"|level)\b",
    re.IGNORECASE,
)

_CLOSES = {")": "(", "]": "[", "}": "{"}


class _Marked(NamedTuple):
    """A marker's place, where its value begins to be told, and that value."""

    place: int
    begin: int
    value: str


def marked_answer(
    text: str,
    words: str,
    is_answer: Callable[[str], bool],
    read: Callable[[str], object | None],
    *,
    is_label: bool = False,
) -> str | None:
    """Return what follows the deciding marker; None without one, "" where nothing usable follows.

    The last marker that starts a line, or stands directly behind a mark that may end thinking,
    decides. A later one within a line must not say otherwise: nobody could tell which one counts.
    Without a deciding one it is the last within a line.

    Args:
        words: the words that are markers of such an answer, as a pattern.
        is_answer: whether a text is an answer as it stands. "####" is a marker only before such a
            one, and a heading otherwise.
        read: the value that a text gives as an answer; None where it gives none.
        is_label: whether one of a closed set of labels is wanted.
    """
    worded = _worded(text, words, is_answer)
    boxes = _boxed(text)
    if is_label and boxes and not is_answer(boxes[0][0].value):
        # "\\boxed{\\Delta E = 5}" below "Answer: D" is a formula.
        boxes = [] if worded or _inline(text, words) else boxes
    deciding = [
        *worded,
        *(_Marked(m.start(), m.start(1), m[1]) for m in _last_of(_HASHES, text, is_answer)),
        *(box for box, starts_line in boxes if starts_line),
    ]
    if not deciding:
        within_a_line = [*_inline(text, words), *(box for box, _ in boxes)]
        return max(within_a_line).value if within_a_line else None
    last = max(deciding)
    found = read(last.value[:_VERDICT])
    others = (read(each.value[:_VERDICT]) for each in _inline(text, words, last.begin))
    if any(other not in (None, found) for other in others):
        return ""
    end = max(text.find(last.value, last.begin), 0) + len(last.value)
    after = text[max(end, last.begin) :]
    return "" if says_otherwise(after, found, is_answer, read) else last.value


def says_otherwise(
    text: str,
    found: object | None,
    is_answer: Callable[[str], bool],
    read: Callable[[str], object | None],
) -> bool:
    """Tell whether a later line is nothing but another answer, so that nobody can tell which one counts.

    Headings of thinking and of the final part have no end of names: "**Final**", "Conclusion:". So
    a line that is an answer as a whole, or ends in one behind at most a few words that introduce
    it, counts whatever stands above it.

    Args:
        text: what follows the answer that was found; the rest of its own line does not count.
        found: the answer; None where it is none already.
    """
    _, _, text = text.partition("\n")
    if found is None:
        return False
    for line in _from_the_last(_LINE, text):
        said = line[0].strip()
        if len(said) > _LONGEST_CLOSING or said.startswith(">"):
            continue
        lead = None if is_answer(said) else _LEAD.match(said)
        if lead and not _BESIDE.search(lead[0]):
            said = said[lead.end() :]
        if is_answer(said) and read(said) not in (None, found):
            return True
    return False


def is_marked_within(text: str, start: int, end: int) -> bool:
    """Tell whether a marker gives `text[start:end]` and the text says more than these two."""
    place = max(0, start - 60)
    marker = _JUST_BEFORE.search(text[place:start])
    return marker is not None and bool(
        re.search(r"\w", text[: place + marker.start()]) or re.search(r"\w", text[end:])
    )


def _worded(text: str, words: str, is_answer: Callable[[str], bool]) -> list[_Marked]:
    """Return the last worded marker that starts a line or follows a mark directly."""
    pattern = re.compile(
        rf"(?:^|{END_MARK}\s{{0,40}}){_LINE_PREFIX}{_RANK}(?:{words})\b{_REMARK}{_EMPHASIS}"
        r"(?:[:=]|[ \t][-–—]{1,2}[ \t]|[–—]|(?P<alone>$))",
        re.IGNORECASE | re.MULTILINE,
    )
    last = None
    for match in pattern.finditer(text):
        # A line of nothing but the word is a heading, unless the word is a label itself.
        if match["alone"] is None or (not is_answer(match[0]) and _line_after(text, match.end())):
            last = match
    return [_Marked(last.start(), last.end(), _value(text, last.end()))] if last else []


def _inline(text: str, words: str, begin: int | None = None) -> list[_Marked]:
    """Return the last worded marker within a line, outside quotes and brackets, that gives a verdict.

    Args:
        begin: all of them from this place on, instead.
    """
    pattern = re.compile(
        rf"(?<![^\W_]){_RANK}(?:{words})\b{_REMARK}{_EMPHASIS}"
        r"(?:[:=]|is\b(?!\s*n[o']t\b)(?:\s+that\b)?[ \t]{0,4}:?)",
        re.IGNORECASE,
    )
    matches = _from_the_last(pattern, text, begin or 0)
    quotes = _quoted_spans(text) if matches else []
    found = []
    for match in matches:
        place = match.start()
        is_quoted = _is_inside(place, quotes) or _is_in_quotation(text, place)
        if not is_quoted and not is_no_verdict(text, place):
            found.append(_Marked(place, match.end(), _value(text, match.end())))
            if begin is None:
                break
    return found


def _is_in_quotation(text: str, place: int) -> bool:
    """Tell whether a place is in a line that begins as a quotation: "> Answer: yes"."""
    line = text[max(text.rfind("\n", 0, place) + 1, place - 400) : place]
    return line.lstrip().startswith(">")


def _boxed(text: str) -> list[tuple[_Marked, bool]]:
    """Return the last `\\boxed{…}` with its content, and whether it starts a line."""
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
    return [(_Marked(last.start(), end, text[last.end() : end]), starts_line)]


def _from_the_last(pattern: re.Pattern[str], text: str, begin: int = 0) -> list[re.Match[str]]:
    """Return the matches, the last first."""
    return [*reversed(deque(pattern.finditer(text, begin), maxlen=_MOST_REFUSED))]


def _last_of(
    pattern: re.Pattern[str], text: str, accept: Callable[[str], bool]
) -> list[re.Match[str]]:
    """Return the last match whose first group is accepted, as a list of none or one."""
    matches = _from_the_last(pattern, text)
    return [*islice((m for m in matches if len(m[1]) < 200 and accept(m[1])), 1)]


def _value(text: str, start: int) -> str:
    """Return what follows a marker: the rest of its line, or the next line that is not blank."""
    end = text.find("\n", start)
    rest = text[start : end if end >= 0 else len(text)]
    return rest if rest.strip(" \t*_`#") else _line_after(text, start)


def _line_after(text: str, start: int) -> str:
    """Return the next line with something in it, fences left out; "" at the end of the text."""
    end = text.find("\n", start)
    while end >= 0:
        begin, end = end + 1, text.find("\n", end + 1)
        line = text[begin : end if end >= 0 else len(text)]
        if line.strip(" \t*_`#") and not _FENCE_LINE.fullmatch(line):
            return line
    return ""


def _quoted_spans(text: str) -> list[tuple[int, int]]:
    """Return the outermost stretches in quotes or brackets that open and close on one line."""
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
    """Tell whether a place is within one of the spans, which are sorted and apart."""
    at = bisect_right(spans, place, key=lambda span: span[0]) - 1
    return at >= 0 and spans[at][0] < place < spans[at][1]
