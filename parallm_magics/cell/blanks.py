"""What nobody sees of a line: white space of every kind, and characters without a picture."""

from __future__ import annotations

import re

from parallm_magics.core.characters import IGNORABLE

# Controls are seen by nobody either.
BLANK = rf"\s\x00-\x1f\x7f-\x9f{IGNORABLE}"
"""White space and what cannot be seen, as the inside of a regular expression's brackets."""

_LEAD = re.compile(f"[{BLANK}]*")
_INVISIBLE = re.compile(f"[{IGNORABLE}]")


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
