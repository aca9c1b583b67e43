"""Which characters a person cannot see, and how they are shown: one answer for every layer.

What a model reads and nobody sees can carry an instruction, make two labels look alike, or turn a
terminal's lines around. Pages and errors show such characters, prompts that quote answers leave them out.
"""

from __future__ import annotations

import re
import unicodedata

_RUN = 16
"""Most invisible characters of one run that are spelt out."""

_EMOJI = "\u203c-\u3299\U0001f000-\U0001faff\u00a9\u00ae"
_JOINING = "\u0600-\u109f\u1780-\u18af\ua8e0-\ua8ff\ufb50-\ufdff\ufe70-\ufefc"
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"

# Invisible characters that honest text needs where they stand: joiners inside emoji and
# joining scripts, marks beside right-to-left letters, a variant after an emoji, a keycap's digit
# or an ideograph, a blank between Braille, and the three flags that are spelt with tags.
_NEEDED = re.compile(
    f"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])"
    f"|(?<=[{_JOINING}])[\u200c\u200d]"
    f"|(?<=[{_RIGHT_TO_LEFT}])[\u200e\u200f\u061c]|[\u200e\u200f\u061c](?=[{_RIGHT_TO_LEFT}])"
    f"|(?<=[{_EMOJI}])[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    "|(?<=[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]"
    "|(?<=[\u2801-\u28ff])\u2800|\u2800(?=[\u2801-\u28ff])"
    "|(?<=\U0001f3f4)\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067"
    "|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)

# Unicode's Default_Ignorable_Code_Point, and what else draws nothing: fillers, the empty Braille
# cell, the controls of annotations, shorthand, music and hieroglyphs.
IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001345f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The line separators, which some terminals and editors take for a new line, and C1, whose 0x9b
# opens a terminal sequence; and what each font draws as it likes, or not at all.
_CONTROLS = "\x80-\x9f\u2028\u2029"
_PRIVATE = "\ue000-\uf8ff\U000f0000-\U0010ffff"
_ASCII_CONTROLS = "\x00-\x08\x0b-\x1f\x7f"
INVISIBLE = f"{IGNORABLE}{_CONTROLS}{_PRIVATE}"
"""The invisible characters outside ASCII, as they stand within [ ] in a regular expression."""

_ODD = re.compile(f"[{_ASCII_CONTROLS}\ud800-\udfff]|[{INVISIBLE}]+")
_ONE = re.compile(f"[{_ASCII_CONTROLS}\ud800-\udfff{INVISIBLE}]")


def is_invisible(char: str) -> bool:
    """Tell whether a person cannot see this character; newline and tab are seen by what they do.

    >>> is_invisible("\\u200b"), is_invisible("\\u3164"), is_invisible("\\n"), is_invisible("é")
    (True, True, False, False)
    """
    return _ONE.fullmatch(char) is not None


def visible(text: str) -> str:
    """Return the text with every control and invisible character shown instead of obeyed.

    >>> visible("a\\x1b[2J\\u202eb")
    'a␛[2J[U+202E]b'
    """
    if (text.isascii() and text.isprintable()) or not _ODD.search(text):
        return text
    text = text.replace("\r\n", "\n")
    needed = _needed_places(text)

    def show(found: re.Match[str]) -> str:
        code = ord(found[0][0])
        if code < 0x20:
            return chr(0x2400 + code)
        if code == 0x7F:
            return "\u2421"
        if 0xD800 <= code <= 0xDFFF:
            return "\ufffd"
        start = found.start()
        odd = [char for at, char in enumerate(found[0], start) if at not in needed]
        if len(odd) > _RUN:
            return _named(odd[:_RUN]) + f"[{len(odd) - _RUN:,} more invisible characters]"
        return "".join(
            char if at in needed else _named([char]) for at, char in enumerate(found[0], start)
        )

    return _ODD.sub(show, text)


def without_invisible(text: str) -> str:
    """Return the text without what a person cannot see but a model reads; emoji and letters keep their shapes.

    >>> without_invisible("sa\\u200bfe")
    'safe'
    """
    if (text.isascii() and text.isprintable()) or not _ODD.search(text):
        return text
    needed = _needed_places(text)

    def kept(found: re.Match[str]) -> str:
        pairs = enumerate(found[0], found.start())
        return "".join(char for at, char in pairs if at in needed or char == "\r")

    return _ODD.sub(kept, text)


def _needed_places(text: str) -> set[int]:
    return {at for found in _NEEDED.finditer(text) for at in range(*found.span())}


def spelt_out(text: str) -> str:
    """Return the same, and what looks like an ordinary blank and is none, or belongs to nobody yet, by number.

    >>> spelt_out("a\\xa0b")
    'a[U+00A0]b'
    """
    text = visible(text)
    if text.isprintable():
        return text
    return "".join(
        _named([char]) if unicodedata.category(char) in ("Zs", "Cn") and char != " " else char
        for char in text
    )


def _named(chars: list[str]) -> str:
    return "".join(f"[U+{ord(char):04X}]" for char in chars)
