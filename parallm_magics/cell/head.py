"""Which magic of ours a notebook's cell begins with, if any."""

from __future__ import annotations

import re
from typing import NamedTuple

from parallm_magics.cell import blanks

_MAGIC = re.compile(r"%%(fanout|vote)(?!\S)")
_ABOVE = re.compile(rf"[{blanks.BLANK}]*(?:#.*)?")


class Head(NamedTuple):
    """The beginning of a cell of ours.

    Attributes:
        magic: "fanout" or "vote".
        rest: the text behind the magic's name, the body included.
        above: how many lines stand above the magic's.
    """

    magic: str
    rest: str
    above: int = 0

    @property
    def line(self) -> str:
        """What stands behind the magic on its own line."""
        return self.rest.partition("\n")[0].strip()

    @property
    def body(self) -> str:
        """The text below the magic's line."""
        return self.rest.partition("\n")[2]

    @property
    def first(self) -> int:
        """The number of the body's first line in the cell."""
        return self.above + 2


def head(cell: str) -> Head | None:
    """The cell's magic; blank lines and comments may stand above it, and nothing else.

    Blanks before the magic do not hide it, and its lines lose them where they have them.
    """
    text, above = cell, 0
    line, newline, below = text.partition("\n")
    while newline and _ABOVE.fullmatch(line):
        text, above = below, above + 1
        line, newline, below = text.partition("\n")
    lead = blanks.lead(line)
    match = _MAGIC.match(line, len(lead))
    if match is None:
        return None
    rest = line[match.end() :] + newline
    if lead:
        below = "\n".join(each.removeprefix(lead) for each in below.split("\n"))
    return Head(match[1], rest + below, above)
