"""Split the line of a directive into tokens, one grammar for cell and block lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from parallm_magics.cell.variables import VARIABLE
from parallm_magics.errors import CellSyntaxError

_PIECE = re.compile(r"""["']|[ \t\r\n]+|[^"' \t\r\n]+""")


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a directive's line, quotes removed, variables not yet put in."""

    text: str
    line: int


def tokens(line: str, number: int) -> tuple[Token, ...]:
    """Split at blanks and tabs; single or double quotes group; no escapes, no comments.

    Raises:
        CellSyntaxError: a quote is not closed.
    """
    found: list[Token] = []
    word: list[str] = []
    begun, quote = False, ""
    for piece, is_variable in _pieces(line):
        if not is_variable and piece == quote:
            quote = ""
        elif not is_variable and not quote and piece in ("'", '"'):
            begun, quote = True, piece
        elif is_variable or quote or piece.strip(" \t\r\n"):
            begun = True
            word.append(piece)
        elif begun:
            found.append(Token("".join(word), number))
            word, begun = [], False
    if quote:
        raise CellSyntaxError(
            f'line {number}: a quote is not closed; put a text that holds \' into "…", and the reverse'
        )
    if begun:
        found.append(Token("".join(word), number))
    return tuple(found)


def _pieces(line: str) -> Iterator[tuple[str, bool]]:
    """Quotes, runs of blanks, runs of others, and variables, whose own quotes and blanks are no one's."""
    end = 0
    for match in VARIABLE.finditer(line):
        yield from ((piece, False) for piece in _PIECE.findall(line[end : match.start()]))
        yield match[0], True
        end = match.end()
    yield from ((piece, False) for piece in _PIECE.findall(line[end:]))
