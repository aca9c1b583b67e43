"""Which magic of ours a notebook's cell begins with, if any."""

from __future__ import annotations

import re
from typing import NamedTuple

from parallm_magics.cell.blocks import NBVAL

_MAGIC = re.compile(r"%%(fanout|vote)(?!\S)")


class Head(NamedTuple):
    """The beginning of a cell of ours.

    Attributes:
        magic: "fanout" or "vote".
        rest: the text behind the magic's name, the body included.
    """

    magic: str
    rest: str


def head(cell: str) -> Head | None:
    """The cell's magic; blank lines and nbval's markers may stand above it, and nothing else."""
    text = cell.removeprefix("\ufeff")
    line, newline, below = text.partition("\n")
    while newline and (not line.strip() or NBVAL.fullmatch(line)):
        text = below
        line, newline, below = text.partition("\n")
    match = _MAGIC.match(text)
    return None if match is None else Head(match[1], text[match.end() :])
