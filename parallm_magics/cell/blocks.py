"""Cut the text of a cell into its preamble and blocks.

    cell  = [ preamble ] { block }
    block = "%" WORD [ NAME ] { OPTION } NEWLINE text

A directive is a reserved word after `%` at column 0; everything else is prompt text and is kept
byte for byte, apart from: a BOM, CRLF, lines that are nbval markers, blank lines at a block's edges.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parallm_magics.cell.tokens import Token, tokens
from parallm_magics.errors import CellSyntaxError

WORDS = {
    "fanout": ("section", "guardrail", "synthesis"),
    "vote": ("voter", "judge", "guardrail", "panel"),
}
PAIR = ("system", "prompt")
SINGLE = ("synthesis", "judge")
RESERVED = tuple(dict.fromkeys([*WORDS["fanout"], *WORDS["vote"], *PAIR]))

NAME = re.compile(r"[A-Za-z_][\w-]*")
NBVAL = re.compile(r"\s*#\s*(?:NBVAL_[A-Z_]+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*")
_LETTERS = re.compile(r"[^\W\d_]+")
_ESCAPED = re.compile(r"\\+%(\S+)")


@dataclass(frozen=True, slots=True)
class Text:
    """A stretch of prompt text with the cell's line number of each of its lines."""

    value: str
    numbers: tuple[int, ...] = ()

    def line_at(self, position: int) -> int:
        """The cell's line on which this character stands."""
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
        indented: lines that would be directives but for the blanks before them.
    """

    magic: str
    arguments: tuple[Token, ...]
    preamble: Text
    system: Text | None
    blocks: tuple[Block, ...]
    indented: tuple[int, ...] = ()


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
    _refuse_surrogates(line + body)
    preamble: list[tuple[int, str]] = []
    found: list[tuple[str, int, str, list[tuple[int, str]]]] = []
    current = preamble
    indented: list[int] = []
    for number, text in _lines(body, first):
        if text[:1] in (" ", "\t") and _directive_word(text.lstrip(" \t")) in (
            *WORDS[magic],
            *PAIR,
        ):
            indented.append(number)
        word = _directive(text, magic, number)
        if word is None or word in PAIR:
            current.append((number, text))
        else:
            current = []
            found.append((word, number, text[1 + len(word) :], current))
    system, preamble_text = _split_system(preamble, magic)
    blocks = tuple(_block(word, number, rest, lines) for word, number, rest, lines in found)
    _refuse_repeats(blocks)
    return Cell(
        magic, tokens(line, max(first - 1, 1)), preamble_text, system, blocks, tuple(indented)
    )


def _lines(body: str, first: int) -> Iterator[tuple[int, str]]:
    text = body.removeprefix("\ufeff").replace("\r\n", "\n")
    for number, line in enumerate(text.split("\n"), first):
        if not ("NBVAL_" in line or "PYTEST_VAL" in line) or not NBVAL.fullmatch(line):
            yield number, line


def _refuse_surrogates(text: str) -> None:
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise CellSyntaxError(
            "the cell holds half a surrogate pair, which no provider can be sent; retype that character"
        )


def _directive_word(line: str) -> str:
    """What stands behind a `%` at column 0; "" where nothing does."""
    return line[1:].split(None, 1)[0] if line.startswith("%") and line[1:2].strip() else ""


def _directive(line: str, magic: str, number: int) -> str | None:
    """The reserved word that this line starts a block with; None for text."""
    word = _directive_word(line)
    if word in WORDS[magic] or word in PAIR:
        return word
    meant = _meant(word, magic)
    if meant is None:
        return None
    word = word[:60]
    keep = f"to keep the line as text write \\%{word}"
    if word in RESERVED:
        other = "vote" if magic == "fanout" else "fanout"
        form = ", ".join(f"%{known}" for known in WORDS[magic])
        raise CellSyntaxError(
            f"line {number}: %{word} belongs to %%{other}; %%{magic} knows {form}; {keep}"
        )
    raise CellSyntaxError(f"line {number}: %{word} is not a block; write %{meant}, or {keep}")


@functools.lru_cache(1024)
def _meant(word: str, magic: str) -> str | None:
    """The reserved word that this one is, or is a slip away from; the magic's own words first."""
    lead = _LETTERS.match(word)
    if lead is not None and len(lead[0]) < len(word) and lead[0].casefold() in RESERVED:
        return lead[0].casefold()  # `%section:a`, `%section-a`: the blank is missing
    if not word or len(word) > 20:
        return None
    folded = word.casefold()
    own = (*WORDS[magic], *PAIR)
    for known in (*own, *(other for other in RESERVED if other not in own)):
        if folded == known or _one_slip(folded, known):
            return known
    return None


def _one_slip(a: str, b: str) -> bool:
    """Whether one insertion, deletion, substitution or swap of neighbours turns a into b."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    start = next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    rest_a, rest_b = a[start:], b[start:]
    return (
        rest_a[1:] == rest_b[1:]
        or rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    )


def _block(word: str, number: int, rest: str, lines: list[tuple[int, str]]) -> Block:
    arguments = tokens(rest, number)
    name = None
    if arguments and not arguments[0].text.startswith("-"):
        name, arguments = arguments[0].text, arguments[1:]
        if not NAME.fullmatch(unicodedata.normalize("NFC", name)):
            raise CellSyntaxError(
                f"line {number}: {name[:60]!r} cannot name a block: "
                "a letter or _, then letters, digits, _ and -"
            )
    system, text = _split_system(lines, f"%{word}")
    return Block(word, number, name, arguments, text, system)


def _split_system(lines: Sequence[tuple[int, str]], where: str) -> tuple[Text | None, Text]:
    """Take the `%system` … `%prompt` pair out of a block's lines."""
    marks = [(at, line.rstrip()) for at, (_, line) in enumerate(lines) if _is_pair(line)]
    for at, mark in marks:
        if mark not in ("%system", "%prompt"):
            word = mark[1:7]
            raise CellSyntaxError(
                f"line {lines[at][0]}: %{word} stands alone on its line; put the text below it "
                f"(or use --system on the line above; to keep the line as text write \\%{word})"
            )
    words = [mark for _, mark in marks]
    if not words:
        return None, _text(lines)
    at = lines[marks[0][0]][0]
    if words[0] == "%prompt":
        raise CellSyntaxError(
            f"line {at}: %prompt without %system above it; to keep the line as text write \\%prompt"
        )
    if len(words) == 1 or words[1] == "%system":
        raise CellSyntaxError(
            f"line {at}: %system needs a %prompt line below it, where the prompt begins"
        )
    if len(words) > 2:
        raise CellSyntaxError(
            f"line {lines[marks[2][0]][0]}: one %system … %prompt pair a block; this is a second {words[2]}"
        )
    (start, _), (end, _) = marks
    system = _text(lines[start + 1 : end])
    if not system.value:
        raise CellSyntaxError(f"line {at}: %system is empty; write the system prompt below it")
    return system, _text([*lines[:start], *lines[end + 1 :]])


def _is_pair(line: str) -> bool:
    return line[:1] == "%" and line[1:2].strip() != "" and line[1:].split(None, 1)[0] in PAIR


def _text(lines: Sequence[tuple[int, str]]) -> Text:
    start, end = 0, len(lines)
    while start < end and not lines[start][1].strip():
        start += 1
    while end > start and not lines[end - 1][1].strip():
        end -= 1
    kept = lines[start:end]
    return Text("\n".join(_unescape(line) for _, line in kept), tuple(number for number, _ in kept))


def _unescape(line: str) -> str:
    """Take one backslash off a line that would be a directive, or nearly one, without it."""
    if not line.startswith("\\"):
        return line
    match = _ESCAPED.match(line)
    return line[1:] if match and _meant(match[1], "fanout") else line


def _refuse_repeats(blocks: Sequence[Block]) -> None:
    seen: dict[str, Block] = {}
    for block in blocks:
        if (
            block.word in SINGLE
            and (first := seen.setdefault(f"%{block.word}", block)) is not block
        ):
            raise CellSyntaxError(
                f"line {block.line}: a second %{block.word}; the first is on line {first.line}"
            )
        if block.name is None:
            continue
        key = unicodedata.normalize("NFC", block.name).casefold()
        if (first := seen.setdefault(key, block)) is not block:
            raise CellSyntaxError(
                f"line {block.line}: the name {block.name[:60]!r} is used twice; first on line {first.line}"
            )
