"""Quotes, dashes and commas that an editor or a chat made of the plain ones."""

from __future__ import annotations

import re
from collections.abc import Collection

QUOTES = "“”„‟«»‘’‚‛‹›＂＇〝〞"
DASHES = "‐‑‒–—―−﹘﹣－"
COMMAS = "，、،﹐﹑､"

_OPENING = re.compile(rf"(?:^|(?<=[=,(\[{{{COMMAS}]))[{QUOTES}]")
_EDGE = re.compile(rf"^[-{DASHES}]+")


def named(char: str) -> str:
    """Return a character as an error shows it: many of these look like the plain one.

    >>> named("—")
    '— (U+2014)'
    """
    return f"{char} (U+{ord(char):04X})"


def opening_quote(text: str) -> str:
    """Return the typographic quote that stands where a value begins; "" without one."""
    found = _OPENING.search(text)
    return found[0] if found else ""


def quote_problem(char: str) -> str:
    """Say what is wrong with a typographic quote, and the way out."""
    return f"""{named(char)} is a typographic quote; use " or ' around a value with spaces"""


def dash_problem(flag: str, known: Collection[str]) -> str:
    """Say what is wrong with a flag that holds a typographic dash, and the flag that is meant; or ""."""
    odd = next((char for char in flag if char in DASHES), "")
    if not odd:
        return ""
    plain = re.sub(f"[{DASHES}]", "-", _EDGE.sub("", flag.partition("=")[0]))
    meant = next((each for each in (f"--{plain}", f"-{plain}") if each in known), "")
    if not meant and flag[0] not in DASHES:
        return ""
    return f"{named(odd)} is a typographic dash; write {meant or '- or --'}"
