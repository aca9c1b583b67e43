"""The words that let pass and that block: which a guard has, and which its own text asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parallm_magics.errors import OptionError

BLOCK = "BLOCK"
VERDICTS = ("ALLOW", BLOCK)

Pair = tuple[str, str]
"""Two opposite labels, the one that usually blocks last."""

_WORDS = """NO YES, SAFE UNSAFE, FALSE TRUE, PASS FAIL, ACCEPT REJECT, APPROVE REJECT, APPROVED REJECTED,
ALLOW DENY, OK BAD, CLEAN TOXIC, FINE HARMFUL, SAFE HARMFUL, HARMLESS HARMFUL, SAFE DANGEROUS, ALLOWED BLOCKED"""
PAIRS: tuple[Pair, ...] = tuple(
    (passes, blocks) for passes, blocks in map(str.split, _WORDS.split(","))
)
# Of other pairs the words stand in ordinary sentences too: "is it safe or harmful?".
_ANY_CASE = frozenset({("NO", "YES"), ("FALSE", "TRUE")})
_QUOTES = r"[\"'“”‘’`*_]*"
_BETWEEN = rf"{_QUOTES}\s*(?:,?\s*\b(?:or|and|vs\.?|else)\b|[/|,])\s*{_QUOTES}"


def blocking_label(label: str | None, choices: Sequence[str], at: str) -> str:
    """Return the label that blocks, as the choices spell it; BLOCK itself needs no naming.

    Args:
        label: what `--block` says, or None.
        at: the guard's place, as an error names it.

    Raises:
        OptionError: nobody says which label blocks, or it is no choice.
    """
    wanted = BLOCK if label is None else label.strip()
    for choice in choices:
        if choice.casefold() == wanted.casefold():
            return choice
    if label is not None:
        raise OptionError(f"{at}: --block {label} is not one of its choices: {', '.join(choices)}")
    ways = " or ".join(f"--block {quoted(choice)}" for choice in choices[:3])
    raise OptionError(
        f"{at}: its choices {', '.join(choices)} do not include {BLOCK}, so it is unclear which "
        f"one blocks; add {ways}"
    )


def pair_asked_for(text: str) -> Pair | None:
    """Return the pair of labels that a guard's own words ask for, such as "Reply YES or NO"; else None."""
    for pair in PAIRS:
        one, other = map(re.escape, pair)
        joined = rf"(?<!\w)(?:{one}{_BETWEEN}{other}|{other}{_BETWEEN}{one})(?!\w)"
        if re.search(joined, text, re.IGNORECASE if pair in _ANY_CASE else 0):
            return pair
    return None


def way_out(pair: Pair) -> str:
    """Return the options with which a guard answers by this pair, as they are typed."""
    passes, blocks = pair
    return f"--choices {passes},{blocks} --block {blocks}"


def quoted(label: str) -> str:
    """Return a label as it is typed on a line of options."""
    return f'"{label}"' if re.search(r"\s", label) else label
