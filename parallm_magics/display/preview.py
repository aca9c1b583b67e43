"""The beginning of an answer as plain words on one line: what a row shows until it is opened."""

from __future__ import annotations

import functools
import re

_LOOK = 3
"""How many times the limit is looked at: marks, blanks and the targets of links are left out."""

_MARKED = re.compile(r"[`*_#>|~\[\\=]|^[ \t]*[-+•][ \t]|\n[ \t]*(?:\n|-|\d)", re.MULTILINE)
_FENCE = re.compile(r"(?m)^[ \t]*(?:```|~~~)[^\n]*$")
_LINE = re.compile(
    r"(?m)^[ \t]*(?:"
    r"\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?::?-+:?[ \t]*)?$"  # below the head of a table
    r"|(?:[-*_=][ \t]*){3,}$"  # below a heading, or between two parts
    r"|#{1,6}[ \t]+(?P<heading>[^\n]*?)[ \t#]*$"
    r"|\|(?P<cells>[^\n]*)\|[ \t]*$"
    r"|(?P<item>(?:(?:>|[-*+•](?:[ \t]+\[[ xX]\])?)[ \t]+)+)"
    r"|(?P<number>\d{1,9}[.)][ \t]+)"
    r")"
)
_INLINE = re.compile(
    r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)"
    r"|\\(?P<escaped>[\\`*_{}\[\]()#+\-.!|>~])"
    r"|!?\[(?P<link>[^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)"
    r"|(?P<pair>\*{2,3}|~~)(?P<loud>(?=\S).+?(?<=\S))(?P=pair)"
    r"|(?<![\w*])\*(?P<star>(?=\S)[^*\n]+?(?<=\S))\*(?![\w*])"
    r"|(?<!\w)__(?P<under>(?=\S)[^_\n]*?\s[^_\n]*?(?<=\S))__(?!\w)"
    r"|(?<![\w_])_(?P<low>(?=[^\s_])[^_\n]*?(?<=\S))_(?![\w_])"
)
_APART = re.compile(r"\n\s*\n")
_ENDS = frozenset(".,:;!?…·。，：；！？、")


def words(text: str, limit: int) -> str:
    """The first words without the marks of Markdown; paragraphs, items and cells are set apart.

    Args:
        limit: how many characters are wanted; more may be given.

    >>> words("## Most serious\\n1. **Memory**: see [there](http://x.example)\\n- `a*b`", 99)
    'Most serious · 1. Memory: see there · a*b'
    """
    begins = text[: limit * _LOOK].strip()
    return begins if _MARKED.search(begins) is None else _unmarked(begins)


@functools.lru_cache(maxsize=512)
def _unmarked(begins: str) -> str:
    # Cached: a live table draws an answer again and again, and the saved one once more.
    parts: list[str] = []
    for at, part in enumerate(_FENCE.split(begins)):
        # Between two fences stands code, as it is.
        parts += [part] if at % 2 else _APART.split(_INLINE.sub(_inside, _LINE.sub(_bare, part)))
    return _in_a_row(parts)


def _bare(line: re.Match[str]) -> str:
    if line["cells"] is not None:
        cells = (cell.strip() for cell in line["cells"].split("|"))
        return f"\n{' · '.join(filter(None, cells))}\n"
    if line["item"] or line["number"]:
        return f"\n{line['number'] or ''}"
    return f"\n{line['heading'] or ''}\n"


def _inside(mark: re.Match[str]) -> str:
    inside = mark[mark.lastgroup or 0]
    return inside if mark.lastgroup in ("code", "escaped") else _INLINE.sub(_inside, inside)


def _in_a_row(parts: list[str]) -> str:
    """The parts on one line; a dot stands between two where the first has no end of its own."""
    told = ""
    for part in (" ".join(each.split()) for each in parts):
        if part:
            told += (" " if told[-1] in _ENDS else " · ") + part if told else part
    return told
