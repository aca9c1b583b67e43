"""What nobody sees of a line: white space of every kind, and characters without a picture."""

from __future__ import annotations

import re

# Unicode's Default_Ignorable_Code_Point: zero-width blanks and joiners, the BOM, bidi controls.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Controls, and the Braille pattern without a dot, are seen by nobody either.
BLANK = rf"\s\x00-\x1f\x7f-\x9f\u2800{INVISIBLE}"
"""White space and what cannot be seen, as the inside of a regular expression's brackets."""

_LEAD = re.compile(f"[{BLANK}]*")
_INVISIBLE = re.compile(f"[{INVISIBLE}]")


def lead(line: str) -> str:
    r"""The blanks that a line begins with, visible or not.

    >>> lead("\t\u200b%section a")
    '\t\u200b'
    """
    found = _LEAD.match(line)
    return found[0] if found else ""


def is_blank(text: str) -> bool:
    """Whether there is nothing to be seen in a text."""
    return len(lead(text)) == len(text)


def seen(word: str) -> str:
    r"""The word without what cannot be seen in it.

    >>> seen("sec\u200btion")
    'section'
    """
    return _INVISIBLE.sub("", word)
