"""Split the line of a directive into tokens, one grammar for cell and block lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from parallm_magics.cell import typography
from parallm_magics.cell.variables import found
from parallm_magics.errors import CellSyntaxError

_PIECE = re.compile(r"""["']|\s+|[^"'\s]+""")


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a directive's line, quotes removed, variables not yet put in."""

    text: str
    line: int


def tokens(line: str, number: int) -> tuple[Token, ...]:
    """Split at white space; single or double quotes group; no escapes, no comments.

    Raises:
        CellSyntaxError: a quote is not closed, or is a typographic one.
    """
    split: list[Token] = []
    word: list[str] = []
    begun, quote = False, ""
    for piece, is_variable in _pieces(line):
        if not is_variable and piece == quote:
            quote = ""
        elif not is_variable and not quote and piece in ("'", '"'):
            begun, quote = True, piece
        elif is_variable or quote or piece.strip():
            if not (is_variable or quote):
                _refuse_typographic(piece, number, begun)
            begun = True
            word.append(piece)
        elif begun:
            split.append(Token("".join(word), number))
            word, begun = [], False
    if quote:
        raise CellSyntaxError(
            f'line {number}: a quote is not closed; put a text that holds \' into "…", and the reverse'
        )
    if begun:
        split.append(Token("".join(word), number))
    return tuple(split)


def _refuse_typographic(piece: str, number: int, begun: bool) -> None:
    """Refuse a quote that groups nothing where a value begins; within a word it is an apostrophe."""
    char = typography.opening_quote(f"a{piece}" if begun else piece)
    if char:
        raise CellSyntaxError(f"line {number}: {typography.quote_problem(char)}")


def _pieces(line: str) -> Iterator[tuple[str, bool]]:
    """Quotes, runs of blanks, runs of others, and variables, whose own quotes and blanks are no one's."""
    end = 0
    for match in found(line):
        yield from ((piece, False) for piece in _PIECE.findall(line[end : match.start()]))
        yield match[0], True
        end = match.end()
    yield from ((piece, False) for piece in _PIECE.findall(line[end:]))
