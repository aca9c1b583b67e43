"""How often each label was read in a map, a line a section."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.display import looks, text
from parallm_magics.display.text import Foreign

Counts = tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
"""By section, "" where there is one only: each label and how often it was read."""


def counts_html(counts: Counts) -> str:
    """The lines as html."""
    lines = "".join(f"<div>{line}</div>" for line in _lines(counts, text.isolated))
    return f'<div style="{looks.BLOCK};font-weight:600">{lines}</div>' if lines else ""


def counts_plain(counts: Counts) -> list[str]:
    """The lines for a terminal."""
    return _lines(counts, text.one_line)


def _lines(counts: Counts, foreign: Foreign) -> list[str]:
    return [f"{_lead(name, foreign)}{_told(labels, foreign)}" for name, labels in counts]


def _lead(name: str, foreign: Foreign) -> str:
    return f"{foreign(name, 80)}: " if name else ""


def _told(labels: Sequence[tuple[str, int]], foreign: Foreign) -> str:
    return " · ".join(f"{foreign(label, 60)} {number:,}" for label, number in labels)
