"""The options as a script gives them: keywords of a function, with their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from parallm_magics.cell.options import TABLE, Option

_MAGICS_OWN = ("out",)
"""What makes sense in a notebook's cell only."""


def with_options(function: Callable[..., Any], magic: str) -> inspect.Signature:
    """The function's signature with the magic's options in place of its `**options`."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default)
        for option in _options(magic)
    ]
    return signature.replace(parameters=[*named, *options])


def keywords_of(magic: str) -> str:
    """The magic's options as keywords, one a line, each with its values, default and meaning."""
    return "Options:\n" + "".join(f"    {_line(option)}\n" for option in _options(magic))


def _line(option: Option) -> str:
    return f"{option.name} ({option.metavar or 'True'}): {option.meaning}"


def _options(magic: str) -> Iterator[Option]:
    for option in TABLE.values():
        if magic in option.where and option.name not in _MAGICS_OWN:
            yield option
