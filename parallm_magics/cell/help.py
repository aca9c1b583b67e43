"""The options in words: for `%%fanout?` and `%%vote?`, and as the keywords of a function."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from parallm_magics.cell.directives import BLOCK_WORDS, SYSTEM_WORDS
from parallm_magics.cell.option_entry import Option
from parallm_magics.cell.options import TABLE

EXAMPLE_CELLS = {
    "fanout": "%%fanout -o review\nReview this code for one concern only.\n\n{{code}}\n\n"
    "%section security\nReport injection and secrets.\n\n%section style\nReport naming.",
    "vote": "%%vote -n 5 --choices safe,unsafe -o verdict\nIs this content safe or "
    "unsafe?\n\n{{text}}",
}
BLOCK_HELP = {
    "section": "one worker's prompt",
    "voter": "one voter's prompt",
    "panel": "another panel to compare; its %voter blocks follow",
    "guardrail": "what the guard must catch",
    "synthesis": "how to merge the answers",
    "judge": "how to choose among the answers",
    "system": "a long system prompt; it ends at %prompt",
    "prompt": "the prompt that follows the system prompt",
}
"""What stands below each directive."""


def help_of(magic: str, first: str) -> str:
    """Return a magic's help: what it does, an example, its blocks, every option with its default."""
    words = BLOCK_WORDS[magic]
    blocks = "\n".join(f"  %{word}\n      {BLOCK_HELP[word]}" for word in (*words, *SYSTEM_WORDS))
    options = "\n".join(
        _entry(option, magic, words)
        for option in TABLE.values()
        if magic in option.where or option.where & {*words}
    )
    example = textwrap.indent(EXAMPLE_CELLS[magic], "    ")
    return (
        f"{first}\n\n{example}\n\nBlocks (spaces before % do not matter; a backslash keeps a line "
        f"as text: \\%{words[0]}):\n{blocks}\n\nOptions:\n{options}\n"
    )


def _entry(option: Option, magic: str, words: Sequence[str]) -> str:
    flags = ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")
    takers = ", ".join(f"%{word}" for word in words if word in option.where)
    only = "" if magic in option.where else f" (on {takers})"
    return f"  {flags}{only}\n      {option.meaning}"


def with_options(function: Callable[..., Any], magic: str) -> inspect.Signature:
    """Return the function's signature with the magic's options in place of its `**options`."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default)
        for option in _keywords(magic)
    ]
    return signature.replace(parameters=[*named, *options])


def keywords_of(magic: str) -> str:
    """Return the magic's options as keywords, one a line, each with its values, default and meaning."""
    return "Options:\n" + "".join(
        f"    {option.name} ({option.metavar or 'True'}): {option.meaning}\n"
        for option in _keywords(magic)
    )


def _keywords(magic: str) -> Iterator[Option]:
    return (o for o in TABLE.values() if magic in o.where and o.keyword)
