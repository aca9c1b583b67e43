"""Split the line of a directive into tokens, one grammar for cell and block lines."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from parallm_magics.cell.variables import VARIABLE
from parallm_magics.errors import CellSyntaxError

# A variable's own quotes and blanks must survive the splitting, so it travels as one character.
_STAND_IN = 0xF0000


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
    variables: list[str] = []

    def stand_in(match: re.Match[str]) -> str:
        variables.append(match[0])
        return chr(_STAND_IN + len(variables) - 1)

    lexer = shlex.shlex(VARIABLE.sub(stand_in, line), posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = ""
    try:
        words = list(lexer)
    except ValueError:
        words = None
    if words is None:
        raise CellSyntaxError(
            f'line {number}: a quote is not closed; put a text that holds \' into "…", and the reverse'
        )
    return tuple(Token(_restore(word, variables), number) for word in words)


def _restore(word: str, variables: list[str]) -> str:
    for at, variable in enumerate(variables):
        word = word.replace(chr(_STAND_IN + at), variable)
    return word
