r"""What a line of a cell is: its magic, a directive, a near miss, or text.

White space before it, visible or not, hides none of them. A near miss is an error rather than text, because
a section, a guard or a synthesis that has become part of another prompt is seen by nobody before it is paid
for. A backslash keeps the line as text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from parallm_magics.core.characters import IGNORABLE
from parallm_magics.errors import CellSyntaxError

# Controls are seen by nobody either.
BLANK_CHARS = rf"\s\x00-\x1f\x7f-\x9f{IGNORABLE}"
"""White space and what cannot be seen, as the inside of a regular expression's brackets."""

BLOCK_WORDS = {
    "fanout": ("section", "guardrail", "synthesis"),
    "vote": ("voter", "judge", "guardrail", "panel"),
}
SYSTEM_WORDS = ("system", "prompt")
SINGLE_BLOCKS = ("synthesis", "judge")
RESERVED_WORDS = tuple(dict.fromkeys([*BLOCK_WORDS["fanout"], *BLOCK_WORDS["vote"], *SYSTEM_WORDS]))

BLOCK_NAME = re.compile(r"[A-Za-z_][\w-]*")

PERCENT_SIGNS = "%\uff05\ufe6a\u066a"
"""The percent sign, and the signs that look like it: full-width, small, Arabic."""

LONGEST_WORD = 100
"""Most characters of a word that are looked at."""

LEAST_LETTERS = 4
"""Fewest letters by which a word is told to be the beginning of another."""

# What people call a worker, a merge, a choice and a guard, with the words that say it here.
_WORKER, _MERGE, _CHOICE, _GUARD = (
    {"fanout": "section", "vote": "voter"},
    {"fanout": "synthesis", "vote": "judge"},
    {"fanout": "synthesis", "vote": "judge"},
    {"fanout": "guardrail", "vote": "guardrail"},
)
SYNONYMS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("worker", "workers", "part", "parts", "subtask"), _WORKER),
    **dict.fromkeys(("synthesize", "synthesise", "merge", "combine"), _MERGE),
    **dict.fromkeys(("summary", "summarize", "summarise", "aggregate", "aggregator"), _MERGE),
    **dict.fromkeys(("judgment", "judgement", "jury", "referee"), _CHOICE),
    **dict.fromkeys(("moderator", "checker"), _GUARD),
}
COMMENT_SYNONYMS = frozenset({"part", "parts", "merge", "summarize", "aggregate"})
"""Synonyms that often begin comments in public MATLAB and LaTeX files: near misses only where the rest of
the line is a directive's, as in `%merge` or `%part intro`; prose behind them gets a note."""

_LEAD = re.compile(f"[{BLANK_CHARS}]*")
_INVISIBLE = re.compile(f"[{IGNORABLE}]")
_MAGIC = re.compile(rf"([{BLANK_CHARS}]*)%%(fanout|vote)(?!\S)")
_ABOVE = re.compile(rf"[{BLANK_CHARS}]*(?:#.*)?")
_DIRECTIVE = re.compile(rf"([{BLANK_CHARS}]*)%([a-z]+)(?!\S)")
_LETTERS = re.compile(r"[^\W\d_]+")
_DIRECTIVES_REST = re.compile(rf"\s*(?:{BLOCK_NAME.pattern})?\s*(?:-.*)?", re.DOTALL)
_BACKSLASHES = re.compile(r"\\+")


def lead(line: str) -> str:
    r"""Return the blanks that a line begins with, visible or not.

    >>> lead("\t\u200b%section a")
    '\t\u200b'
    """
    found = _LEAD.match(line)
    return found[0] if found else ""


def is_blank(text: str) -> bool:
    """Tell whether there is nothing to be seen in a text."""
    return _LEAD.fullmatch(text) is not None


def seen(word: str) -> str:
    r"""Return the word without what cannot be seen in it.

    >>> seen("sec\u200btion")
    'section'
    """
    return _INVISIBLE.sub("", word)


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
    """Find the cell's magic; blank lines and comments may stand above it, and nothing else.

    Blanks before the magic do not hide it, and its lines lose them where they have them.
    """
    text, above = cell, 0
    line, newline, below = text.partition("\n")
    while newline and _ABOVE.fullmatch(line):
        text, above = below, above + 1
        line, newline, below = text.partition("\n")
    match = _MAGIC.match(line)
    if match is None:
        return None
    if match[1]:
        below = "\n".join(each.removeprefix(match[1]) for each in below.split("\n"))
    return Head(match[2], line[match.end() :] + newline + below, above)


class Line(NamedTuple):
    """A line of a cell's body.

    Attributes:
        lead: the blanks before its first character.
        word: the reserved word that it is a directive of; "" for text.
        rest: what stands behind the word.
        note: what the user should know of a line that stays text; mostly "".
    """

    lead: str
    word: str = ""
    rest: str = ""
    note: str = ""


def read(line: str, magic: str, number: int) -> Line:
    """Tell what a line is.

    Raises:
        CellSyntaxError: nearly a directive, or another cell's first line; names the line, the
            nearest form and how to keep the line as text.
    """
    if (match := _DIRECTIVE.match(line)) and (
        match[2] in BLOCK_WORDS[magic] or match[2] in SYSTEM_WORDS
    ):
        return Line(match[1], match[2], line[match.end() :])
    before = lead(line)
    core = line[len(before) :]
    if not core.startswith(tuple(PERCENT_SIGNS)):
        return Line("")
    if core[1:2] and core[1] in PERCENT_SIGNS:
        _refuse_magic(core, magic, number)
        return Line("")
    sign, word = core[0], _word(core)
    meant = _meant(word, magic)
    if meant is None:
        return Line("")
    if _is_comment(word, core):
        return Line("", note=_note(number, sign + word, meant))
    raise CellSyntaxError(_refusal(number, sign, word, meant, magic))


def without_escape(line: str) -> str:
    """Take one backslash off a line that would be more than text, or nearly so, without it."""
    before = lead(line)
    core = line[len(before) :]
    match = _BACKSLASHES.match(core)
    if match is None or not core[match.end() :].startswith(tuple(PERCENT_SIGNS)):
        return line
    return before + core[1:] if _is_more(core[match.end() :]) else line


def _is_more(core: str) -> bool:
    """Tell whether either magic takes this line for more than text."""
    if core[1:2] and core[1] in PERCENT_SIGNS:
        return _magic(core) != ""
    return any(_meant(_word(core), magic) for magic in BLOCK_WORDS)


def _word(core: str) -> str:
    """Return what stands behind the sign, up to a blank, of a long word its beginning; "" before a blank."""
    return core[1:LONGEST_WORD].split(None, 1)[0] if core[1:2].strip() else ""


def _magic(core: str) -> str:
    """Return the magic of ours that a line behind two percent signs names; "" for any other."""
    word = unicodedata.normalize("NFKC", seen(_word(core[1:]))).casefold()
    return next((name for name in BLOCK_WORDS if re.fullmatch(rf"{name}(?:[^\w-].*)?", word)), "")


def _refuse_magic(core: str, magic: str, number: int) -> None:
    name = _magic(core)
    if name:
        raise CellSyntaxError(
            f"line {number}: a cell takes one magic, but this %%{name} is inside a %%{magic} "
            f"cell; move it to its own cell, or to keep the line as text, write "
            f"\\{core[:2]}{_word(core[1:])[:60]}"
        )


def _refusal(number: int, sign: str, word: str, meant: str, magic: str) -> str:
    other = "vote" if magic == "fanout" else "fanout"
    form = ", ".join(f"%{known}" for known in BLOCK_WORDS[magic])
    shown = sign + word[:60]
    keep = f"to keep the line as text, write \\{shown}"
    here = meant in BLOCK_WORDS[magic] or meant in SYSTEM_WORDS
    if not here:
        belongs = f"%{meant} belongs to %%{other}; %%{magic} takes {form}; {keep}"
        return f"line {number}: " + (
            belongs if shown == f"%{meant}" else f"{shown} is not a block; {belongs}"
        )
    why = "is not a block"
    if sign != "%":
        why = f"begins with {sign} (U+{ord(sign):04X}), which only looks like the percent sign %"
    elif seen(word) != word:
        hidden = next(char for char in word if char != seen(char))
        why = f"is not a block: it contains the invisible character U+{ord(hidden):04X}"
    return f"line {number}: {shown} {why}; write %{meant}, or {keep}"


def _is_comment(word: str, core: str) -> bool:
    """Tell whether a synonym begins a sentence or code, as it does in files that people paste."""
    letters = _LETTERS.match(word)
    return (
        letters is not None
        and letters[0].casefold() in COMMENT_SYNONYMS
        and _DIRECTIVES_REST.fullmatch(core[1 + letters.end() :]) is None
    )


def _note(number: int, shown: str, meant: str) -> str:
    return (
        f"line {number}: {shown[:60]} is sent as text; to start a block, write %{meant} alone on "
        f"its line; to hide this note, write \\{shown[:60]}"
    )


@functools.lru_cache(1024)
def _meant(word: str, magic: str) -> str | None:
    """Return the reserved word that this one is, or nearly is; the magic's own words first."""
    whole = unicodedata.normalize("NFKC", seen(word)).casefold()
    letters = _LETTERS.match(whole)
    if letters is None:
        return None
    own = (*BLOCK_WORDS[magic], *SYSTEM_WORDS)
    known = (*own, *(other for other in RESERVED_WORDS if other not in own))
    # `%section:a`, `%guard-rail`, `%section2`: what follows the letters hides nothing.
    for found in dict.fromkeys((whole, letters[0])):
        if found in known:
            return found
        for each in (found, found.removesuffix("s")):
            if each in SYNONYMS:
                return SYNONYMS[each][magic]
            for other in known:
                if _begins(each, other):
                    return other
        for other in known:
            if _one_slip(found, other):
                return other
    return None


def _begins(a: str, b: str) -> bool:
    return min(len(a), len(b)) >= LEAST_LETTERS and (a.startswith(b) or b.startswith(a))


def _one_slip(a: str, b: str) -> bool:
    """Tell whether one insertion, deletion, substitution or swap of neighbours turns a into b."""
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
