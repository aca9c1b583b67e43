"""Which number a text gives as its answer."""

from __future__ import annotations

import math
import re
import unicodedata
from fractions import Fraction

from parallm_magics.answers.cleaning import peelings
from parallm_magics.answers.wording import RETRACTION, is_denied, is_hedged, is_only_mentioned

_LONGEST = 400
"""Characters of the longest number; more digits than a float can hold are no answer."""

_CURRENCY = r"(?:[A-Z]{0,3}[$€£¥₹]|USD|EUR|GBP|CHF|JPY)"
_NUMBER = re.compile(
    rf"(?:#|{_CURRENCY}\s?)?([-+]?)(?:\s?{_CURRENCY}\s?)?"
    r"(\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(e[-+]?\d{1,4})?"
    rf"(\s?(?:%|percent\b|per\s?cent\b))?(?:\s?{_CURRENCY})?",
    re.IGNORECASE | re.ASCII,
)
# A run of characters round digits. What does not read as one number in full, such as "10-20",
# "5km" or "2024-05-01", is no number; letters before the digits make it a name, such as "gpt-4".
_CHUNK = re.compile(
    r"(?<![^\W_])(?<![^\W_][-.'/\\])(?<![√∛])[-+~≈#$€£¥₹<>≤≥=±–—.]{0,4}(?:(?:USD|EUR|GBP|CHF|JPY"
    r"|US\$)\s?)?[-+]?[0-9][^\s()\[\]{}\"|;*`_]*(?:\s?%)?"
    r"(?:[*^_](?=[0-9])[^\s()\[\]{}\"|;*`_]*)*",
    re.IGNORECASE,
)
_SCALED = re.compile(
    r"(?:\s*°\s?[CFK]?)?(?:\s+\w+){0,2}\s+(?:below|beneath|under)\s+(?:zero|freezing|0)\b"
    r"|\s*(?:(?:minus|plus|times|divided\s+by|over)\s+[$€£¥]?\d|(?:thousand|million|billion|trillion|hundred|dozen|mn|bn|k)\b|[×*^·/±]\s*\d|x\s*10\b"
    r"|\+\s*\d|\.\(\d|(?:to|or|and|-|–|—)\s*[-+$€£]?\d)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(?:\bat\s+(?:least|most)|\b(?:more|less|fewer|greater|larger|smaller|lower|higher)\s+than"
    r"|\bover|\bunder|\babove|\bbelow|\bup\s+to|\bbetween|[<>≤≥±]"
    r"|\\(?!(?:text|math|[df]?box|bf|rm)\w*)[a-z]+\s*[{[]?)\s*[*_`]*$",
    re.IGNORECASE,
)
# A dash before a number may be a minus sign or only set it off; at a line's start a hyphen is a
# bullet.
_DASHED = re.compile(r"(?:(?:^|[^\w\n])-\s+|[–—―‒➖˗]\s*)[*_`(\[$]{0,6}\Z")
_STARTS_DASHED = re.compile(r"\s*[*_`(\[$]{0,6}[–—―‒➖˗]\s*[*_`(\[]{0,6}[$€£¥]?\d")
_MINUS_WORD = re.compile(
    r"(?<![^\W_])\(?(?:m[iíī]{1,2}nus(?:ov|z)?|n[eé]gati(?:ve|f|vo|va|v)|moins|menos|meno|минус|мінус"
    r"|eksi|ujemne|âm|سالب|ऋण)\)?\s+(?=[$€£¥]?\s?[0-9])",
    re.IGNORECASE,
)
_LATEX_WORDS = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mbox)\s?\{([^{}]{0,80})\}"
)
_FRACTION = re.compile(
    r"(?<![\w}\\^)*·×/.])\\[dt]?frac\s?\{\s?([0-9]{1,15}(?:\.[0-9]{1,15})?)\s?\}\s?"
    r"\{\s?([0-9]{1,15}(?:\.[0-9]{1,15})?)\s?\}(?![0-9])"
)
_FORMULA = re.compile(
    r"\\(?:[dtc]?frac|sqrt|pi|times|cdot|pm|mp|over|binom|sum|prod|int|log|ln|sin|cos|tan|infty|div)"
    r"(?![a-zA-Z])"
)
_BOUNDS = (
    r"(\d{1,6})(?:\s?\([^()\n]{0,40}\))?\s?(?:to|through|-|–|—|\.\.)\s?(\d{1,6})(?![\d.]*[/%\d])"
)
_SCALE = re.compile(
    rf"\b(?:(?:on|using|with|in)\s+)?(?:(?:a|the|this)\s+)?(?:scale|range)\s*(?:of|from|:)?\s*\(?"
    rf"{_BOUNDS}(?:\s?\([^()\n]{{0,40}}\))?|\bfrom\s+{_BOUNDS}(?=\s*[:,])|\b{_BOUNDS}\s+scale\b"
    r"|\b(?:(?:on|using|with)\s+)?(?:(?:a|the|this)\s+)?(\d{1,6})[- ]points?\s+scale\b",
    re.IGNORECASE,
)
_VERDICT_END = re.compile(r"[)\]*_`\"'$]{0,6}[ \t]*(?:\n|\Z|[.,;:!(|—–…]|-+(?=\s))")
_ANOTHER = re.compile(r"[,;:–—-]\s*[-+$]?\d|[.\n]\s*[-+$]?\d[\d.,]{0,400}[ \t]*(?:\n|\Z)")
_ONE = r"(?:candidate|option|choice|answer|output|response|number|no\.|nr\.)"
_LIST_ITEM = re.compile(r"^[ \t]*(\d+)([.):])[ \t]", re.MULTILINE)
_JUDGED_ITEM = re.compile(
    rf"(?:^|[.;,!?]\s)\W{{0,6}}{_ONE}\s+#?(\d+)[*_]*(?:[.):]|\s[-–—]|\s+\w+)", re.M | re.I
)
_TAKEN_BACK = re.compile(
    rf"\b(?:{RETRACTION})\b(?!\s+(?:than|of)\b)[^\n]{{0,40}}?(?<![^\W_])\d", re.IGNORECASE
)
_COUNTED = re.compile(
    r"\s+(?:\w+\s+)?(?:candidates|outputs|answers|options|responses|choices|errors?|mistakes?"
    r"|flaws?"
    r"|issues?|problems?|claims?|facts?|items?|reasons?|sources?|of\s+them)\b",
    re.IGNORECASE,
)
_ALL_OF = re.compile(
    r"(?:\b(?:all|both|these|those|of\s+the|out\s+of)|^\W*the)\s+[*_`]*$", re.IGNORECASE
)
_SUPERSCRIPTS = str.maketrans({c: f"^{unicodedata.digit(c)}" for c in "⁰¹²³⁴⁵⁶⁷⁸⁹"})
_THIN_SPACE = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_LATEX_MARKS = (("{,}", ","), ("~\\", " \\"), ("\\,", ""), ("\\!", ""), ("\\%", "%"), ("\\$", "$"))


def tidy_digits(text: str) -> str:
    """Return the text with ASCII digits, before compatibility forms turn "10²" into "102"."""
    if not text.isascii():
        text = _THIN_SPACE.sub(",", text.translate(_SUPERSCRIPTS))
        # A hyphen before a space is a bullet; a minus sign never is.
        text = re.sub("\u2212\\s+(?=[0-9.$€£¥])", "-", text)
        text = re.sub(r"(?![0-9])\d", lambda digit: str(unicodedata.decimal(digit[0])), text)
    for mark, plain in _LATEX_MARKS:
        text = text.replace(mark, plain)
    if "\\" in text:
        text = _FRACTION.sub(_quotient, _LATEX_WORDS.sub(r" \1", text))
    return _MINUS_WORD.sub(_minus, text)


def _quotient(fraction: re.Match[str]) -> str:
    """Return the decimal number that a fraction of two numbers is, as text."""
    top, bottom = Fraction(fraction[1]), Fraction(fraction[2])
    if not bottom:
        return fraction[0]
    value = top / bottom
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def _minus(word: re.Match[str]) -> str:
    """Return a minus sign, unless the word takes one number from another: "10 minus 3"."""
    before = word.string[max(0, word.start() - 8) : word.start()].rstrip(" *_`)]")
    return word[0] if before[-1:].isdigit() else "-"


def is_number(text: str) -> bool:
    """Tell whether a text is a number and nothing else, give or take wrapping."""
    return _exact(text) is not None


def read_number(
    text: str,
    span: tuple[float, float] | None = None,
    *,
    whole: bool = False,
    of_top: bool = False,
    is_marked: bool = False,
) -> int | float | None:
    """Return the number that a tidy text gives as its answer, or None.

    The text itself; else a number at its start that punctuation or a line end sets apart; else the
    only number in it. A percentage is the number before the sign: "50%" is 50.

    Args:
        span: least and largest value; one outside is no answer, and is never moved inside.
        whole: whether only whole numbers will do.
        of_top: whether "8/10" and "8 out of 10" are 8 where the span ends at 10, and a scale of 1
            to 10 may be named beside it.
        is_marked: whether the text stands behind a marker, or in a field or tag.
    """
    if (is_marked and re.match(r"\s*-\s", text)) or _STARTS_DASHED.match(text):
        # After a marker a hyphen may be a sign or a bullet.
        return None
    if of_top and span is not None:
        text = _without_top(text, span[1])
    # Emphasis must not hide a number, nor its loss join two: "**8** of", "3**4".
    text = re.sub(r"(?<![0-9])\*\*|\*\*(?![0-9])", "", text)
    found = _exact(text)
    found = _leading(text, of_list=whole) if found is None else found
    found = _single(text, of_things=not of_top) if found is None else found
    if found is None:
        return None
    value, is_percent = found
    if whole and not isinstance(value, int):
        return None
    if span is not None:
        if not span[0] <= value <= span[1] or (is_percent and span[1] != 100):
            return None
    elif whole and value < 1:
        return None
    return value


_Found = tuple[int | float, bool]


def _without_top(text: str, top: float) -> str:
    """Return the text with "8" for "8/10" where 10 is the top of the scale, and without that scale."""
    whole = int(top) if float(top).is_integer() else top
    text = _SCALE.sub(
        lambda scale: (
            " " if str(whole) == [part for part in scale.groups() if part][-1] else scale[0]
        ),
        text,
    )
    return re.sub(
        rf"(?<=[0-9])[*_`]{{0,3}}(?:\s?/\s?|\s+(?:out\s+)?of\s+)[*_`]{{0,3}}"
        rf"{re.escape(str(whole))}(?:\.0+)?(?![0-9]|[.,/][0-9])",
        "",
        text,
        flags=re.IGNORECASE,
    )


def _parsed(text: str) -> _Found | None:
    """Return the value of a text that is one number and nothing else, and whether it is a percentage."""
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    sign, digits, exponent, percent = match.groups()
    plain = digits.replace(",", "")
    value = float(f"{sign}{plain}{exponent or ''}")
    if not math.isfinite(value):
        return None
    if plain.isdigit() and not exponent:
        return int(sign + plain), percent is not None
    return (int(value) if value.is_integer() else value), percent is not None


def _exact(text: str) -> _Found | None:
    """Return the number that the text is, give or take wrapping."""
    if len(text.strip()) > 4 * _LONGEST or re.search(r"[<>≤≥]\s*[\d$€£¥-]", text):
        return None
    for layer in peelings(text):
        if (found := _parsed(layer)) is not None:
            return found
    return None


def _leading(text: str, *, of_list: bool) -> _Found | None:
    """Return the number at the start, where punctuation or a line end sets it apart.

    Of a list it may be named as one: "Candidate 2".
    """
    one = rf"(?:(?:the\s+best\s+is\s+)?{_ONE}\s+)?" if of_list else ""
    start = re.match(rf"\s*(?:[-*+•]\s+)?[*_`\"'(\[$]{{0,6}}{one}", text, re.IGNORECASE)
    match = _CHUNK.match(text, start.end() if start else 0)
    if match is None or (found := _of_chunk(match)) is None:
        return None
    end = match.start() + len(_bare(match[0]))
    sign = _VERDICT_END.match(text, end)
    if sign is None or _SCALED.match(text, end) or _ANOTHER.match(text, sign.end() - 1):
        return None
    if _TAKEN_BACK.search(text, sign.end(), sign.end() + 400):
        return None
    listed = _JUDGED_ITEM if start and start[0].strip()[-1:].isalpha() else _LIST_ITEM
    items = {item[1] for item in listed.finditer(text[:20_000])}
    return None if len(items) > 1 else found


def _single(text: str, *, of_things: bool) -> _Found | None:
    """Return the only number in the text, if nothing denies, hedges or bounds it.

    Unless it is of things, it may not say how many there are: "3 errors" gives no score.
    """
    if "\\" in text and _FORMULA.search(text):
        return None
    found: _Found | None = None
    spans: list[tuple[int, int]] = []
    for match in _CHUNK.finditer(text):
        place = match.start(), match.start() + len(_bare(match[0]))
        value = _of_chunk(match)
        if (
            value is None
            or _DASHED.search(text[max(0, place[0] - 12) : place[0]])
            or (found is not None and value != found)
            or len(spans) > 100
            or _SCALED.match(text, place[1])
            or _BOUND.search(text[max(0, place[0] - 40) : place[0]])
            or (not of_things and _COUNTED.match(text, place[1]))
            or (not of_things and _ALL_OF.search(text[max(0, place[0] - 40) : place[0]]))
            or is_denied(text, *place)
            or is_only_mentioned(text, *place)
        ):
            return None
        found = value
        spans.append(place)
    return None if found is None or is_hedged(text, spans) else found


def _bare(chunk: str) -> str:
    """Return a run of characters without the punctuation of the sentence it stands in."""
    return chunk.rstrip(".,;:!?'\"")


def _of_chunk(match: re.Match[str]) -> _Found | None:
    """Return the number in a run of characters; None where the run is more than a number."""
    return _parsed(_bare(match[0]).lstrip("~≈=").strip())
