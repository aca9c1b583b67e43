"""The marks by which models set their thinking off from their answer, known ones and others."""

from __future__ import annotations

import re
from typing import NamedTuple

# What models call it by themselves. "analysis" and the like are tags that prompts ask for as part
# of the answer: they are not read as a vote, and stay in the text.
_THOUGHT = r"(?:think|thinking|thought|thoughts|reasoning)"
_NAMED = rf"(?:[\w-]{{1,30}}:)?{_THOUGHT}(?:[_-][\w-]{{1,60}})?"
_TOKEN_NAME = rf"[^<>|｜\n]{{0,40}}{_THOUGHT}[^<>|｜\n]{{0,40}}"
_KNOWN = re.compile(
    rf"<\s{{0,4}}(?P<tag>/?)\s{{0,4}}{_NAMED}(?:\s[^<>/]{{0,80}})?(?P<empty>\s{{0,4}}/)?>"
    rf"|◁\s{{0,4}}(?P<triangle>/?)\s{{0,4}}{_NAMED}\s{{0,4}}▷"
    r"|\[(?P<bracket>/?)THINK(?:ING)?\]"
    rf"|<[|｜](?P<token>{_TOKEN_NAME})[|｜]>"
    r"|(?P<channel><\|channel>\s{0,4}(?:thought|analysis)|<channel\|>)",
    re.IGNORECASE,
)
_ENDS = re.compile(r"/|end|stop|close", re.IGNORECASE)
_OPENERS = frozenset("<◁[")
LONGEST = 140
"""Characters of the longest mark."""
_REFLECTING = re.compile(
    r"<\s{0,4}(/?)\s{0,4}(?:reflection|scratchpad|analysis)\b[^<>]{0,80}>", re.IGNORECASE
)


class Mark(NamedTuple):
    """A mark that begins or ends thinking.

    Attributes:
        closes: whether it ends thinking.
        is_empty: whether it is both, as `<think/>` is.
    """

    start: int
    end: int
    closes: bool
    is_empty: bool = False


def known_marks(text: str) -> list[Mark]:
    """All marks whose name says that they are about thinking, in their order."""
    if not any(opener in text for opener in _OPENERS):
        return []
    return [_mark(found) for found in _KNOWN.finditer(text)]


def reflecting_marks(text: str) -> list[Mark]:
    """All marks of blocks that a prompt may ask for: part of the answer, and no part of the vote."""
    return [Mark(m.start(), m.end(), bool(m[1])) for m in _REFLECTING.finditer(text)]


def _mark(found: re.Match[str]) -> Mark:
    if found["token"] is not None:
        closes = bool(_ENDS.search(found["token"]))
    elif found["channel"] is not None:
        closes = found["channel"].startswith("<channel")
    else:
        closes = bool(found["tag"] or found["triangle"] or found["bracket"])
    return Mark(found.start(), found.end(), closes, bool(found["empty"]))


def first_mark(text: str, *, closes: bool = False) -> Mark | None:
    """The first known mark, or the first that ends thinking; None without one."""
    marks = map(_mark, _KNOWN.finditer(text))
    return next((mark for mark in marks if mark.closes or not closes), None)
