"""What looks like a variable in typed text and is none: an error or a note, before any call.

`{{…}}` that names a variable and is no plain path is an error. `{name}`, `$name` and an unclosed
`{{name` are text, as they are in code, in LaTeX and in templates; where the name is a variable of the
notebook, a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from parallm_magics.cell.blocks import PREAMBLE_PLACE, Block, Cell, Text, Token
from parallm_magics.cell.variables import IDENTIFIER, matches, normal, spelling_of
from parallm_magics.errors import VariableError

VARIABLE_SIGNS = ("{", "$", "%(")
"""Without one of these nothing looks like a variable."""

MOST_NOTES = 5
"""Notes of one cell; what else there is, is counted."""

_EXPRESSION = re.compile(
    r"(?<!\\)(?P<escape>\\*)(?<![{$])\{\{(?!\{)(?P<inside>(?:(?!\{\{)[^\n])*?)\}\}"
)
_QUOTED = re.compile(r"""\"[^"]*"|'[^']*'""")
_NAME = re.compile(rf"(?<![\w.@])(?P<name>{IDENTIFIER})")
_WORDS_OF_PYTHON = frozenset({"not", "await"})

_NOTED = tuple(
    re.compile(form)
    for form in (
        rf"(?<![{{$\\])\{{\{{\s*(?P<name>{IDENTIFIER})",
        rf"\$\{{\{{\s*(?P<name>{IDENTIFIER})\s*\}}\}}",
        rf"\{{\{{\{{\s*(?P<name>{IDENTIFIER})\s*\}}\}}\}}",
        rf"(?<![{{$\\])\{{\s*(?P<name>{IDENTIFIER})(?:[.\[][^{{}}\s]*)?(?:![rsa])?(?::[^{{}}\s]*)?\s*\}}",
        rf"(?<![\w$\\])\$\{{(?P<name>{IDENTIFIER})\}}",
        rf"(?<![\w$\\])\$(?P<name>{IDENTIFIER})",
        rf"%\((?P<name>{IDENTIFIER})\)[diorsf]",
    )
)

Known = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _NearMiss:
    """A piece of text that looks like a variable."""

    source: str
    name: str
    position: int


def look_over(cell: Cell, variables: Mapping[str, Any], *, each: bool) -> Cell:
    """Look the cell over: as it is to be read, with notes on what looks like a variable and is text.

    Args:
        each: whether `{{item}}` and `{{index}}` stand for something.

    Raises:
        VariableError: `{{…}}` that names a variable and is no plain path; names the line, the way
            out, and how to keep it as text.
    """
    looker = _Looker(variables, ("item", "index") if each else ())
    arguments = looker.tokens(cell.arguments)
    preamble = looker.text(cell.preamble, PREAMBLE_PLACE)
    system = cell.system and looker.text(cell.system, "%system")
    blocks = tuple(looker.block(block) for block in cell.blocks)
    notes = (*cell.notes, *looker.notes)
    return replace(
        cell, arguments=arguments, preamble=preamble, system=system, blocks=blocks, notes=notes
    )


class _Looker:
    """Looks through the texts of one cell."""

    def __init__(self, variables: Mapping[str, Any], more: tuple[str, ...]) -> None:
        self._variables, self._more = variables, more
        self._noted: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """A line each, in the cell's order, of many the first."""
        lines = tuple(self._noted.values())
        left = len(lines) - MOST_NOTES
        more = (f"{left} more pieces of text look like variables but are not",) if left > 0 else ()
        return lines[:MOST_NOTES] + more

    def block(self, block: Block) -> Block:
        """Look over a block's texts and options."""
        late = {"synthesis": ("outputs", "task"), "judge": ("candidates", "task")}
        more = late.get(block.word, ())
        system = block.system and self.text(block.system, f"{block.where} %system")
        text = self.text(block.text, block.where, more)
        return replace(block, arguments=self.tokens(block.arguments), text=text, system=system)

    def tokens(self, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        """Look over the words of a directive's line."""
        return tuple(
            replace(token, text=self._looked(token.text, self._known(()), f"line {token.line}"))
            for token in tokens
        )

    def text(self, text: Text, place: str, more: tuple[str, ...] = ()) -> Text:
        """Look over a prompt."""
        where = [f"line {number}, {place}" for number in text.numbers] or [place]
        looked = self._looked(text.value, self._known(more), *where, outputs="outputs" in more)
        return replace(text, value=looked)

    def _known(self, more: tuple[str, ...]) -> Known:
        names = {*self._more, *more}
        return lambda name: name in names or spelling_of(name, self._variables) is not None

    def _looked(self, text: str, known: Known, *where: str, outputs: bool = False) -> str:
        """Return the text without the backslashes that keep an expression.

        Args:
            where: the place of each of its lines, as errors name it.
            outputs: whether `{{outputs.NAME}}` may name a block with `-` in it.
        """
        if not any(sign in text for sign in VARIABLE_SIGNS):
            return text
        taken = [match.span() for match in matches(text, outputs=outputs)]
        plain = {start for start, _ in taken}
        kept: list[int] = []
        for match in _EXPRESSION.finditer(text):
            if match.start() in plain:
                continue
            name = _named(match["inside"], known)
            if not name:
                continue
            taken.append(match.span())
            if not match["escape"]:
                raise VariableError(
                    f"{_at(text, match.start(), where)}: {_refusal(match, text, name)}"
                )
            kept.append(match.start())
        for miss in _near_misses(text, taken, known):
            if miss.source not in self._noted:
                place = _at(text, miss.position, where).partition(",")[0]
                self._noted[miss.source] = f"{place}: {_note(miss)}"
        starts = [0, *(at + 1 for at in kept)]
        ends = [*kept, len(text)]
        return "".join(text[start:end] for start, end in zip(starts, ends, strict=True))


def _at(text: str, position: int, where: tuple[str, ...]) -> str:
    return where[min(text.count("\n", 0, position), len(where) - 1)]


def _named(inside: str, known: Known) -> str:
    """Return the variable that an expression names first, or that it calls something with; "" for none."""
    names = [normal(match["name"]) for match in _NAME.finditer(_QUOTED.sub("''", inside))]
    names = [name for name in names if name not in _WORDS_OF_PYTHON]
    asked = names if "(" in inside else names[:1]
    return next((name for name in asked if known(name)), "")


def _refusal(match: re.Match[str], text: str, name: str) -> str:
    source = match[0][:100]
    keep = f"to keep it as text, write \\{source}"
    if text[match.end() : match.end() + 1] == "}" and re.fullmatch(r"[\w.\s]*", match["inside"]):
        return f"{source}}} ends in three braces; put a space before the last one, or {keep}"
    return (
        f"{source} is not a plain path such as {{{{{name}}}}}, {{{{{name}.part}}}} or "
        f"{{{{{name}[0]}}}}; store its result in a variable and use that, or {keep}"
    )


def _near_misses(text: str, taken: list[tuple[int, int]], known: Known) -> list[_NearMiss]:
    """Return pieces of text that would be variables in another notation, by their places."""
    every: list[_NearMiss] = []
    pieces, done = [], 0
    for start, end in sorted(taken):
        pieces += [text[done:start], "\0" * (end - start)]
        done = end
    text = "".join([*pieces, text[done:]])

    def note(match: re.Match[str]) -> str:
        name = normal(match["name"])
        if name.startswith("_") or not known(name):
            return match[0]
        every.append(_NearMiss(match[0][:60], name, match.start()))
        return "\0" * len(match[0])

    for form in _NOTED:
        text = form.sub(note, text)
    return sorted(every, key=lambda miss: miss.position)


def _note(miss: _NearMiss) -> str:
    unclosed = miss.source.startswith("{{") and not miss.source.endswith("}")
    why = "is not closed and is sent as text" if unclosed else "is sent as text"
    return f"{miss.source} {why}; for the variable, write {{{{{miss.name}}}}}"
