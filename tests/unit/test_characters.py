"""One answer to which characters a person cannot see: pages, errors, judges, labels and directives agree."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics import OptionError
from parallm_magics.answers.cleaning import tidy
from parallm_magics.cell.directives import is_blank, seen
from parallm_magics.cell.option_lists import choices
from parallm_magics.core.characters import (
    IGNORABLE,
    INVISIBLE,
    is_invisible,
    spelt_out,
    visible,
    without_invisible,
)
from parallm_magics.core.foreign_text import one_line
from parallm_magics.display import text as display

EVERY = [chr(code) for code in range(sys.maxunicode + 1)]
# Format characters that are drawn: Arabic, Syriac and Kaithi marks of numbers and verses.
DRAWN = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
UNSEEN = [
    char
    for char in EVERY
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    and char not in "\n\t"
    and char not in DRAWN
]
# Those that are letters or marks by their category, and draw nothing all the same.
FILLERS = [*"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"]
VARIANTS = ["\ufe01", "\ufe0e", "\U000e0120", "\U000e01ef"]
IGNORED = re.compile(f"[{IGNORABLE}]")
characters = st.one_of(
    st.characters(), st.sampled_from(UNSEEN), st.sampled_from([*FILLERS, *VARIANTS, "\u200d"])
)
texts = st.lists(characters, max_size=12).map("".join)


def test_what_unicode_calls_unseen_is_unseen() -> None:
    """Controls, formats, halves of pairs, private ones, line separators; and those drawn are not."""
    assert [char for char in UNSEEN if not is_invisible(char)] == []
    assert [char for char in (*FILLERS, *VARIANTS) if not is_invisible(char)] == []
    assert [char for char in DRAWN if is_invisible(char)] == []


def test_letters_marks_numbers_and_blanks_are_seen() -> None:
    """But for the fillers and variants: no word of any language loses a character."""
    # What newer tables of Unicode call letters among the controls of hieroglyphs is a blank.
    blank = {*FILLERS, *map(chr, range(0x13430, 0x13460))}
    lost = [
        char
        for char in EVERY
        if is_invisible(char) and unicodedata.category(char)[0] in "LNPSZ" and char not in blank
    ]
    assert lost == ["\u2028", "\u2029"]
    marks = [c for c in EVERY if is_invisible(c) and unicodedata.category(c)[0] == "M"]
    named = (*FILLERS, *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0)))
    assert {*marks} - {*named} <= {chr(code) for code in range(0x13430, 0x13460)}


@pytest.mark.parametrize(
    "char", [*FILLERS, *VARIANTS, "\u200b", "\u202e", "\u00ad", "\U000e0041"], ids=ascii
)
def test_every_floor_agrees(char: str) -> None:
    """A page and an error name it, a judge is not given it, a label and a directive are as without it."""
    shown = f"a[U+{ord(char):04X}]b"
    assert display.plain(f"a{char}b") == shown
    assert str(OptionError(f"a{char}b")) == shown
    assert without_invisible(f"a{char}b") == "ab"
    assert one_line(f"a{char}b") == "a\ufffdb"
    assert tidy(f"a{char}b") == "ab"
    assert seen(f"a{char}b") == "ab"
    assert is_blank(char)
    with pytest.raises(ValueError, match=r"is blank|differ only in"):
        choices(["ab", f"a{char}b"])
    with pytest.raises(ValueError, match="is blank"):
        choices(["ab", char])


@given(texts)
def test_what_is_shown_holds_nothing_unseen(text: str) -> None:
    """But what honest text needs where it stands: joiners, marks, variants beside their letters."""
    for shown in (visible(text), spelt_out(text)):
        assert all(IGNORED.fullmatch(char) for char in shown if is_invisible(char))


@given(texts)
def test_errors_are_in_printable_characters(text: str) -> None:
    """What an error says can be read, copied and typed again; a tab is a blank."""
    said = str(OptionError(text))
    assert "\n" not in said
    shown = said.replace("\t", " ")
    assert all(char.isprintable() or IGNORED.fullmatch(char) or char in DRAWN for char in shown)


@pytest.mark.parametrize(
    "honest",
    [
        "👩‍👩‍👧 ❤️ 1️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "می‌خواهم",
        "क्‍ष",
        "葛󠄀",
        "שלום\u200f!",
        "⠓⠑⠇⠇⠕⠀⠺⠕⠗⠇⠙",
        "é ñ ü",
    ],
)
def test_honest_text_stays_as_it_is(honest: str) -> None:
    """Emoji, joining scripts, variants of ideographs, right-to-left marks, Braille."""
    assert visible(honest) == honest
    assert str(OptionError(honest)) == honest


def test_there_is_one_definition() -> None:
    """The class of characters stands in one module."""
    assert IGNORABLE in INVISIBLE
