"""How text and numbers become harmless and readable."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from wcwidth import wcwidth

from parallm_magics.core.characters import visible

LIMIT = 20_000
"""Most characters of one text that are drawn; the whole of it stays in the result."""


def plain(text: object, limit: int = LIMIT) -> str:
    """The text for a terminal: neutralised, clipped, newlines and tabs kept."""
    whole = text if isinstance(text, str) else "" if text is None else str(text)
    shown = visible(whole[:limit])
    left = len(whole) - limit
    return f"{shown}… {left:,} more characters in the result" if left > 0 else shown


def one_line(text: str, limit: int = 160) -> str:
    """The beginning of the text on one line, neutralised; clipped with an ellipsis."""
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    # White space may be long: look at more than the limit, but never at a whole megabyte.
    line = " ".join(text[: limit * 4].split())
    cut = len(line) > limit or len(text) > limit * 4
    shown = visible(line[:limit])
    return shown[:limit] + "…" if cut or len(shown) > limit else shown


ISOLATED = re.compile("\u2068([^\u2068\u2069]*)\u2069")
"""Foreign words within a sentence of ours; Unicode's own marks, which no line of theirs can hold."""


def isolated(text: str, limit: int = 160) -> str:
    """The same set off from a sentence of ours, so that they cannot turn the words around them."""
    return f"\u2068{one_line(text, limit)}\u2069"


def together(sentence: str) -> str:
    """A sentence without the marks that set foreign words off, neutralised."""
    return visible(ISOLATED.sub(r"\1", sentence))


def seconds(value: float | None) -> str:
    """A length of time: `0.45 s`, `1.2 s`, `2 min 5 s`, `1 h 2 min`; `–` where unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    value = max(value, 0.0)
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def about(value: float) -> str:
    """A length of time that is only estimated, in one unit: `45 s`, `18 min`, `2.5 h`."""
    if round(value) < 90:
        return f"{max(round(value), 1)} s"
    if round(value / 60) < 90:
        return f"{round(value / 60)} min"
    return f"{value / 3600:,.1f} h"


def rate(value: float) -> str:
    """Calls in a time: `25 calls per second`, `2.5 calls per second`, `12 calls per minute`."""
    if value >= 0.95:
        return f"{value:,.{0 if value >= 9.95 else 1}f} calls per second"
    if value * 60 >= 0.95:
        return f"{count(round(value * 60), 'call')} per minute"
    return f"{count(round(value * 3600), 'call')} per hour"


def money(cost: Decimal | None, complete: bool = True) -> str:
    """US dollars: `$0.0012`, `at least $0.0012`; `–` where unknown.

    >>> money(Decimal("0.00003512")), money(Decimal("12.5"))
    ('$0.000035', '$12.50')
    """
    if cost is None or not cost.is_finite():
        return "–"
    size = abs(cost)
    # Below a dollar two figures that count, and below ten cents never fewer than four decimals.
    least = 2 if size >= 1 else 3 if size >= Decimal("0.1") else 4
    digits = max(least, 1 - size.adjusted()) if 0 < size < 1 else least
    amount = f"${cost:,.{digits}f}" if size else "$0"
    if digits > 4:
        amount = amount.rstrip("0")
    return amount if complete else f"at least {amount}"


def count(number: int | None, noun: str = "", complete: bool = True) -> str:
    """A number with its noun: `1 vote`, `3 votes`, `at least 1,234 tokens`; `–` where unknown."""
    if number is None:
        return "–"
    least = "" if complete else "at least "
    return f"{least}{number:,}" + (f" {noun}{'' if number == 1 else 's'}" if noun else "")


_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def word(number: int) -> str:
    """A number as a word where it is small: `two`, `25`."""
    return _WORDS[number] if 0 <= number < len(_WORDS) else f"{number:,}"


def percent(share: float) -> str:
    """A share of one in whole percent, without the sign; only all is 100 and only none is 0."""
    if 0 < share < 0.01:
        return "1"
    return "99" if 0.99 < share < 1 else f"{share * 100:.0f}"


def points(share: float) -> str:
    """A share of one in percent, to a tenth."""
    return f"{share * 100:.1f} %"


def correlation(value: float | None) -> str:
    """A correlation to two decimals, a minus as it is set, and never a negative nothing."""
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def between(span: tuple[float, float]) -> str:
    """A span of shares: `57–100 %`, or `60 %` where both ends are the same."""
    low, high = map(percent, span)
    return f"{low} %" if low == high else f"{low}–{high} %"


def listed(words: Sequence[str], left: int = 0) -> str:
    """Words in a row: `a, b and c`, or `a, b and 3 more`."""
    if left > 0:
        return f"{', '.join(words)} and {left:,} more"
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def width(text: str) -> int:
    """Columns that the text takes in a terminal; East Asian wide characters take two."""
    if text.isascii():
        return len(text)
    return (_line_width if len(text) <= _LINE else _width)(text)


def _width(text: str) -> int:
    return sum(map(_columns, text))


_LINE = 200
_line_width = functools.lru_cache(1024)(_width)
"""To fit cells into a table, and that into a page, each is measured several times."""


@functools.lru_cache(4096)
def _columns(char: str) -> int:
    # Marks of direction and joiners take no room, wherever they stand.
    return 0 if unicodedata.category(char) == "Cf" else max(wcwidth(char), 0)


def fit(text: str, columns: int, fill: Literal["", "left", "right"] = "") -> str:
    """The text cut to that many terminal columns, with an ellipsis where something is missing.

    With `fill` it takes all of them, set to that side.
    """
    wide = width(text)
    if wide > columns:
        kept: list[str] = []
        left = columns - 1
        for char in text:
            left -= _columns(char)
            if left < 0:
                break
            kept.append(char)
        text = "".join(kept) + "…" if columns > 0 else ""
        wide = width(text)
    if not fill:
        return text
    blanks = " " * (columns - wide)
    return blanks + text if fill == "right" else text + blanks


_HANGS = re.compile(r" *(?:(?:[-*+•>]|\d{1,3}[.)]) +)*")
"""What a line begins with: below it the rest of the line is set in."""


def wrap(text: str, columns: int) -> list[str]:
    """The text as lines of at most that many terminal columns, its own line ends kept."""
    lines: list[str] = []
    for raw in text.split("\n"):
        line = raw.replace("\t", "    ").rstrip()
        if len(line) <= columns and width(line) <= columns:
            lines.append(line)
        else:
            lines += _broken(line, columns)
    return lines


def _broken(line: str, columns: int) -> list[str]:
    """A line that is too wide, in parts: between words where that leaves a part half full."""
    hangs = _HANGS.match(line)
    begins = hangs.end() if hangs and hangs.end() <= columns // 3 else 0
    lines, indent, at = [], line[:begins], begins
    room = max(columns - begins, 1)
    while at < len(line):
        end = at + _fitting(line, at, room)
        if end < len(line):
            blank = line.rfind(" ", at + 1, end + 1)
            end = blank if blank - at > (end - at) // 2 else end
        lines.append(f"{indent}{line[at:end]}".rstrip())
        indent, at = " " * begins, end
        while at < len(line) and line[at] == " ":
            at += 1
    return lines


def _fitting(line: str, at: int, columns: int) -> int:
    """How many characters from there on fit, at least one."""
    ahead = line[at : at + columns]
    if ahead.isascii():
        return len(ahead)
    left, end = columns, at
    while end < len(line) and (left := left - _columns(line[end])) >= 0:
        end += 1
    return max(end - at, 1)
