"""Any text as Python source that a person can read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

WIDTH = 88


def literal(text: str) -> str:
    """A Python expression that gives the text, in triple quotes where nothing in it forbids that."""
    if "\n" not in text and len(text) <= WIDTH:
        return quoted(text)
    plain = text.replace("\n", "").replace("\t", "")
    if plain.isprintable() and '"""' not in text and not text.endswith('"'):
        inside = text.replace("\\", "\\\\")
        # Lines are kept whole; the first one stands flush with the others.
        return f'"""\\\n{inside}"""'
    lines = text.splitlines(keepends=True)
    return "(\n" + "\n".join(f"    {quoted(line)}" for line in lines) + "\n)"


def quoted(text: str) -> str:
    """A text on one line, in double quotes where that needs no more escapes than single ones do."""
    source = repr(text)
    if source.startswith("'") and '"' not in source:
        return f'"{source[1:-1]}"'
    return source


def name_of(text: str, taken: set[str]) -> str:
    """A constant's name made of a text, one that is not taken yet."""
    # Python takes names in this form for the same ones.
    base = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", text.upper())).strip("_")
    base = base if base.isidentifier() else f"PROMPT_{base}".rstrip("_")
    name, turn = base, 1
    while name in taken:
        turn += 1
        name = f"{base}_{turn}"
    taken.add(name)
    return name


def arguments(values: Mapping[str, Any]) -> str:
    """Keyword arguments as they stand in a call."""
    return "".join(f", {name}={source}" for name, source in values.items())


def indented(text: str, by: int = 4) -> str:
    """Source lines moved to the right; no text in them may go over several lines."""
    return "\n".join(f"{' ' * by}{line}" if line else line for line in text.split("\n"))
