"""Cut the text of a cell into its preamble and blocks, and the lines of options into words.

    cell  = [ preamble ] { block }
    block = "%" WORD [ NAME ] { OPTION } NEWLINE text

A directive is a reserved word after `%` at the start of a line, whatever blanks stand before it;
everything else is prompt text and is kept byte for byte, apart from: a BOM, CRLF, the directive's own
blanks before the lines of its block, lines that are nbval markers, `#|` lines directly below the
magic, blank lines at a block's edges, and a backslash that keeps a line from being a directive.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parallm_magics.cell import directives
from parallm_magics.cell.directives import BLOCK_NAME, SINGLE_BLOCKS, SYSTEM_WORDS
from parallm_magics.cell.typography import dash_problem, opening_quote, quote_problem
from parallm_magics.cell.variables import found
from parallm_magics.errors import CellSyntaxError

NBVAL = re.compile(r"\s*#\s*(?:NBVAL_[A-Z_]+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*")
_PAIR = re.compile(r"%(?:system|prompt)(?!\S)")
_PIECE = re.compile(r"""["']|\s+|[^"'\s]+""")
_CELL_OPTION = re.compile(r"\s*#\|")
PREAMBLE_PLACE = "the text above the first block"
"""The preamble as an error names it."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a directive's line, quotes removed, variables not yet put in."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """A stretch of prompt text with the cell's line number of each of its lines."""

    value: str
    numbers: tuple[int, ...] = ()

    def line_at(self, position: int) -> int:
        """Return the cell's line on which this character stands."""
        return self.numbers[self.value.count("\n", 0, position)]


@dataclass(frozen=True, slots=True)
class Block:
    """One directive with its text.

    Attributes:
        word: the reserved word, without `%`.
        line: the cell's line of the directive.
        name: as written, or None.
        arguments: the option tokens of the directive line.
        text: the prompt.
        system: the text between `%system` and `%prompt`, or None.
    """

    word: str
    line: int
    name: str | None
    arguments: tuple[Token, ...]
    text: Text
    system: Text | None

    @property
    def texts(self) -> tuple[Text | None, ...]:
        """What it says: its prompt and its system prompt."""
        return self.text, self.system

    @property
    def where(self) -> str:
        """The block as an error names it."""
        return f"%{self.word} {self.name[:60]}" if self.name else f"%{self.word}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as written, nothing interpreted yet.

    Attributes:
        magic: "fanout" or "vote".
        arguments: the option tokens of its first line.
        preamble: the text before the first block.
        system: the text of a `%system` … `%prompt` pair before the first block, or None.
        blocks: its blocks, in order.
        source: all of it, as written.
        notes: what the user should know of lines that stay text, one line each.
    """

    magic: str
    arguments: tuple[Token, ...]
    preamble: Text
    system: Text | None
    blocks: tuple[Block, ...]
    source: str = ""
    notes: tuple[str, ...] = ()


def parse(magic: str, line: str, body: str, first: int = 2) -> Cell:
    """Cut a cell into blocks.

    Args:
        magic: "fanout" or "vote".
        line: the rest of the cell's `%%` line.
        body: the text below it.
        first: the number of the body's first line; the line above it is the cell's `%%` line.

    Raises:
        CellSyntaxError: a directive that is misspelt, misplaced, empty or named twice.
    """
    source = f"{line}\n{body}"
    if not source.isascii() and re.search("[\ud800-\udfff]", source):
        raise CellSyntaxError(
            "the cell contains half a surrogate pair, which cannot be sent; retype that character"
        )
    preamble: list[tuple[int, str]] = []
    cut: list[tuple[directives.Line, int, list[tuple[int, str]]]] = []
    current, lead = preamble, ""
    notes: list[str] = []
    for number, text in _lines(body, first):
        if any(sign in text for sign in directives.PERCENT_SIGNS):
            read = directives.read(text, magic, number)
            notes += [read.note] if read.note else []
            lead = read.lead if read.word else lead
            if read.word and read.word not in SYSTEM_WORDS:
                current = []
                cut.append((read, number, current))
                continue
        current.append((number, text.removeprefix(lead)))
    system, preamble_text = _split_system(preamble)
    blocks = tuple(_block(read.word, number, read.rest, lines) for read, number, lines in cut)
    _refuse_repeats(blocks)
    arguments = tokens(line, max(first - 1, 1))
    return Cell(magic, arguments, preamble_text, system, blocks, source, tuple(notes))


def _lines(body: str, first: int) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not dropped, with their numbers."""
    text = body.removeprefix("\ufeff").replace("\r\n", "\n")
    at_top = True
    for number, line in enumerate(text.split("\n"), first):
        marked = "NBVAL_" in line or "PYTEST_VAL" in line
        if (marked and NBVAL.fullmatch(line)) or (at_top and _CELL_OPTION.match(line)):
            continue
        at_top = False
        yield number, line


def _block(word: str, number: int, rest: str, lines: list[tuple[int, str]]) -> Block:
    arguments = tokens(rest, number)
    name = None
    if arguments and not arguments[0].text.startswith("-"):
        name, arguments = arguments[0].text, arguments[1:]
        if not name.isascii() and (dash := dash_problem(name, [])):
            raise CellSyntaxError(f"line {number}: {dash}")
        if not BLOCK_NAME.fullmatch(unicodedata.normalize("NFC", name)):
            raise CellSyntaxError(
                f"line {number}: {name[:60]!r} is not a valid block name: start with a letter or "
                f"_, then use letters, digits, _ and -"
            )
    system, text = _split_system(lines)
    return Block(word, number, name, arguments, text, system)


def _split_system(lines: Sequence[tuple[int, str]]) -> tuple[Text | None, Text]:
    """Take the `%system` … `%prompt` pair out of a block's lines."""
    marks = [(at, line.rstrip()) for at, (_, line) in enumerate(lines) if _PAIR.match(line)]
    for at, mark in marks:
        if mark not in ("%system", "%prompt"):
            word = mark[1:7]
            raise CellSyntaxError(
                f"line {lines[at][0]}: %{word} must be alone on its line; put the text below it, "
                f"or use --system on the line above (to keep this line as text, write \\%{word})"
            )
    said = [mark for _, mark in marks]
    if not said:
        return None, _text(lines)
    at = lines[marks[0][0]][0]
    if said[0] == "%prompt":
        raise CellSyntaxError(
            f"line {at}: %prompt needs a %system line above it; to keep this line as text, write "
            f"\\%prompt"
        )
    if len(said) == 1 or said[1] == "%system":
        raise CellSyntaxError(
            f"line {at}: %system needs a %prompt line below it, to mark where the prompt starts"
        )
    if len(said) > 2:
        raise CellSyntaxError(
            f"line {lines[marks[2][0]][0]}: a block takes one %system … %prompt pair; this is a "
            f"second {said[2]}"
        )
    (start, _), (end, _) = marks
    system = _text(lines[start + 1 : end])
    if not system.value:
        raise CellSyntaxError(f"line {at}: %system is empty; write the system prompt below it")
    return system, _text([*lines[:start], *lines[end + 1 :]])


def _text(lines: Sequence[tuple[int, str]]) -> Text:
    start, end = 0, len(lines)
    while start < end and not lines[start][1].strip():
        start += 1
    while end > start and not lines[end - 1][1].strip():
        end -= 1
    kept = lines[start:end]
    return Text(
        "\n".join(directives.without_escape(line) if "\\" in line else line for _, line in kept),
        tuple(number for number, _ in kept),
    )


def name_key(name: str) -> str:
    """Return the same for names that read the same."""
    return unicodedata.normalize("NFC", name).casefold()


def _refuse_repeats(blocks: Sequence[Block]) -> None:
    seen: dict[str, Block] = {}
    for block in blocks:
        if (
            block.word in SINGLE_BLOCKS
            and (first := seen.setdefault(f"%{block.word}", block)) is not block
        ):
            raise CellSyntaxError(
                f"line {block.line}: only one %{block.word} is allowed per cell; the first is on "
                f"line {first.line}"
            )
        if block.name is None:
            continue
        if (first := seen.setdefault(name_key(block.name), block)) is not block:
            raise CellSyntaxError(
                f"line {block.line}: the name {block.name[:60]!r} is used twice; it is first used "
                f"on line {first.line}"
            )


def tokens(line: str, number: int) -> tuple[Token, ...]:
    """Split at white space; single or double quotes group; no escapes, no comments.

    Raises:
        CellSyntaxError: a quote is not closed, or is a typographic one.
    """
    split: list[Token] = []
    word: list[str] = []
    begun, quote = False, ""
    pieces = _pieces(line) if "{{" in line else ((each, False) for each in _PIECE.findall(line))
    for piece, is_variable in pieces:
        if not is_variable and piece == quote:
            quote = ""
        elif not is_variable and not quote and piece in ("'", '"'):
            begun, quote = True, piece
        elif is_variable or quote or piece.strip():
            if not (is_variable or quote or piece.isascii()):
                _refuse_typographic(piece, number, begun)
            begun = True
            word.append(piece)
        elif begun:
            split.append(Token("".join(word), number))
            word, begun = [], False
    if quote:
        raise CellSyntaxError(
            f'line {number}: a quote is not closed; put text that contains \' in "…", or the other way round'
        )
    if begun:
        split.append(Token("".join(word), number))
    return tuple(split)


def _refuse_typographic(piece: str, number: int, begun: bool) -> None:
    """Refuse a quote that groups nothing where a value begins; within a word it is an apostrophe."""
    char = opening_quote(f"a{piece}" if begun else piece)
    if char:
        raise CellSyntaxError(f"line {number}: {quote_problem(char)}")


def _pieces(line: str) -> Iterator[tuple[str, bool]]:
    """Yield quotes, runs of blanks, runs of others, and variables, whose own quotes and blanks are no one's."""
    end = 0
    for match in found(line):
        yield from ((piece, False) for piece in _PIECE.findall(line[end : match.start()]))
        yield match[0], True
        end = match.end()
    yield from ((piece, False) for piece in _PIECE.findall(line[end:]))
