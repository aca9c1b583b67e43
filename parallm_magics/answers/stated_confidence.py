"""How sure an answer says that it is."""

from __future__ import annotations

import re
from fractions import Fraction

from parallm_magics.answers.cleaning import tidy
from parallm_magics.answers.number_in_text import tidy_digits
from parallm_magics.answers.thinking import without_reasoning
from parallm_magics.core.exact_numbers import Number, exact_number

# Every repetition is bounded and none can give back what it took, so that no text takes long.
_NOISE = r"[ \t*_`\"'\\]{0,12}+"
_MARKER = re.compile(
    rf"(?<![^\W_])confidence(?:[ _-]?(?:score|level|rating|value))?{_NOISE}"
    rf"(?:(?:\([^()\n]{{0,60}}\)|\[[^\[\]\n]{{0,60}}\]){_NOISE})?[:=]{{1,2}}",
    re.IGNORECASE,
)
_OPENING = r"[ \t*_`\"'\\$(\[~≈]{0,12}+"
_CLOSING = r"[*_`\"'\\$)\]]{0,6}+"
_NUMBER = r"(?:[0-9]{1,40}(?:\.[0-9]{1,40})?+|\.[0-9]{1,40})(?:e[-+]?[0-9]{1,3})?+"
# A number alone would be taken for one of the scale that was asked for. What follows it here
# makes it another number ("0,85", "80-90", "90+", "9 in ten", "7 on a scale of 10").
_MORE_NUMBER = (
    r"[.,:…]{1,3}[0-9]|[ \t]*(?:[/⁄^+±×]|[-–—~]+[ \t]*[~$(\[*_]{0,3}[0-9]"
    r"|(?:to|or|and|in|on|of|out|from|stars?)\b)"
)
_STATED = re.compile(
    # On a line of its own, "1." begins a list.
    rf"{_OPENING}(?:\n\s{{0,12}}+{_OPENING}(?![0-9]{{1,2}}[.)][ \t]))?"
    rf"(?P<number>(?>{_NUMBER})){_CLOSING}(?>[ \t]?(?P<percent>%|per[ ]?cent\b|pct\b)"
    rf"|[ \t]{{0,4}}\(?[ \t]{{0,4}}(?:[/⁄]|\b(?:out[ \t]+)?of\b){_OPENING}(?P<top>{_NUMBER}))?+"
    rf"{_CLOSING}(?=\Z|[\s.,;:!?|<(}}—–…])(?!{_MORE_NUMBER})",
    re.IGNORECASE,
)


# The line that is asked for beside the answer, so that it is no part of it.
_LINE = re.compile(r"^[\s*_#>-]{0,8}confidence[\s*_]{0,8}[:=].*$", re.IGNORECASE | re.MULTILINE)


def without_confidence(text: str) -> str:
    """Return an answer without the line that states how sure it is."""
    return _LINE.sub("", text)


def parse_confidence(text: str, scale: Number = 100) -> float | None:
    """Return the confidence that an answer states, from 0 to 1; None if it states none.

    It is the number right after the last marker: "confidence" and a colon or equals sign, in
    Markdown or as the key of a JSON object. Reasoning blocks are ignored. If a word, a range or
    a number outside the scale follows the last marker, earlier markers are not used. No text
    raises an error.

    Args:
        scale: the largest number of the scale; with 100, "1" is 0.01. A "%" or "/10" after the
            number overrides the scale. With 100, a decimal from 0 to 1 is a share: "0.95",
            "1.0".

    Raises:
        ValueError: the scale is not a number above 0.

    >>> parse_confidence("**Confidence:** 8/10")
    0.8
    """
    top = scale_top = exact_number(scale, "scale")
    if not top:
        raise ValueError("the scale must be above 0")
    text = tidy(tidy_digits(without_reasoning(text)))
    stated = None
    for marker in _MARKER.finditer(text):
        stated = _STATED.match(text, marker.end())
    if stated is None:
        return None
    if stated["percent"]:
        top = Fraction(100)
    elif stated["top"]:
        top = Fraction(stated["top"])
    elif scale_top == 100 and "." in stated["number"] and Fraction(stated["number"]) <= 1:
        top = Fraction(1)  # nobody is 0.95 % sure: a decimal of this size is a share
    # Exact, so that "14.3 %" and "0.143" of 1 are the same confidence.
    confidence = Fraction(stated["number"]) / top if top else None
    return float(confidence) if confidence is not None and confidence <= 1 else None
