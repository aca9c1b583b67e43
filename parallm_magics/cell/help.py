"""The options in words, for `%%fanout?` and `%%vote?`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from parallm_magics.cell.directives import PAIR, WORDS
from parallm_magics.cell.options import TABLE, Option

EXAMPLES = {
    "fanout": "%%fanout -o review\nReview this code for one concern only.\n\n{{code}}\n\n"
    "%section security\nReport injection and secrets.\n\n%section style\nReport naming.",
    "vote": "%%vote -n 5 --choices safe,unsafe -o verdict\nIs this content safe or unsafe?\n\n{{text}}",
}
BLOCKS = {
    "section": "one worker's prompt",
    "voter": "one voter's prompt",
    "panel": "another panel to measure, its %voter blocks below",
    "guardrail": "what must not pass",
    "synthesis": "how to merge the answers",
    "judge": "how to choose among the answers",
    "system": "a long system prompt, down to %prompt",
    "prompt": "the prompt below a long system prompt",
}
"""What stands below each directive."""


def help_of(magic: str, first: str) -> str:
    """A magic's help: what it does, an example, its blocks, every option with its default."""
    words = WORDS[magic]
    blocks = "\n".join(f"  %{word}\n      {BLOCKS[word]}" for word in (*words, *PAIR))
    options = "\n".join(
        _entry(option, magic, words)
        for option in TABLE.values()
        if magic in option.where or option.where & {*words}
    )
    example = textwrap.indent(EXAMPLES[magic], "    ")
    return (
        f"{first}\n\n{example}\n\nBlocks (blanks before them do not count; a backslash keeps a line as text, as in "
        f"\\%{words[0]}):\n{blocks}\n\nOptions:\n{options}\n"
    )


def _entry(option: Option, magic: str, words: Sequence[str]) -> str:
    flags = ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")
    takers = ", ".join(f"%{word}" for word in words if word in option.where)
    only = "" if magic in option.where else f" (on {takers})"
    return f"  {flags}{only}\n      {option.meaning}"
