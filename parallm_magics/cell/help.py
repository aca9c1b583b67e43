"""The options in words, for `%%fanout?` and `%%vote?`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from parallm_magics.cell.options import TABLE, Option
from parallm_magics.cell.words import WORDS

EXAMPLES = {
    "fanout": "%%fanout -o review\nReview this code for one concern only.\n\n{{code}}\n\n"
    "%section security\nReport injection and secrets.\n\n%section style\nReport naming.",
    "vote": "%%vote -n 5 --choices safe,unsafe -o verdict\nIs this content safe or unsafe?\n\n{{text}}",
}


def help_of(magic: str, first: str) -> str:
    """A magic's help: what it does, an example, its blocks, every option with its default."""
    words = WORDS[magic]
    blocks = ", ".join(f"%{word}" for word in words)
    options = "\n".join(
        _entry(option, magic, words)
        for option in TABLE.values()
        if magic in option.where or option.where & {*words}
    )
    example = textwrap.indent(EXAMPLES[magic], "    ")
    return (
        f"{first}\n\n{example}\n\nBlocks: {blocks}; %system … %prompt. Blanks before them do not count; a "
        f"backslash keeps a line as text, as in \\%{words[0]}.\n\nOptions:\n{options}\n"
    )


def _entry(option: Option, magic: str, words: Sequence[str]) -> str:
    flags = ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")
    takers = ", ".join(f"%{word}" for word in words if word in option.where)
    only = "" if magic in option.where else f" (on {takers})"
    return f"  {flags}{only}\n      {option.meaning}"
