"""How the labels' votes stand against each other, a bar each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parallm_magics.display import looks, text

MOST = 20
"""Most labels that get a bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One label and its votes.

    Attributes:
        mark: what sets the label off, in a word; "" for the others.
        weight: the sum of its votes' weights, where they weigh differently.
        interval: between how many votes a repeat would likely give it; drawn as a bracket, so that
            words must say it too.
    """

    label: str
    votes: int
    mark: str = ""
    weight: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def weighs(self) -> str:
        """The weight in words; "" where votes are only counted."""
        return "" if self.weight is None else f"weight {self.weight:.4g}"


def bars_html(bars: Sequence[Bar], requested: int, left: int = 0) -> str:
    """The bars on the axis of the requested votes; `left` labels have none."""
    if not bars:
        return ""
    weighed = any(bar.weighs for bar in bars)
    rows = "".join(_row(bar, requested, weighed) for bar in bars)
    note = f'<div style="{looks.DIM};{looks.SMALL}">{_more(left)}</div>' if left > 0 else ""
    return (
        f'<div style="{looks.SCROLL}"><table style="{looks.TABLE}"><tbody>{rows}</tbody>'
        f"</table></div>{note}"
    )


_TIGHT = f"{looks.CELL};{looks.LEFT};{looks.TIGHT}"


def _row(bar: Bar, requested: int, weighed: bool) -> str:
    strength = "font-weight:600" if bar.mark else "font-weight:normal"
    colour = looks.GREEN if bar.mark else looks.GREY
    mark = f' <span style="{looks.DIM}">{bar.mark}</span>' if bar.mark else ""
    weight = f'<td style="{_TIGHT}">{bar.weighs}</td>' if weighed else ""
    return (
        f'<tr style="{looks.HEAD_ROW}"><th scope="row" style="{_TIGHT};{strength}">'
        f"{looks.boxed(text.escape(text.one_line(bar.label, 60)), 16)}</th>"
        f'<td style="{_TIGHT};width:100%;min-width:6em">'
        f"{looks.bar(0, 0, bar.votes / max(requested, 1), colour)}{_bracket(bar, requested)}</td>"
        f'{weight}<td style="{_TIGHT};padding-right:0">'
        f"{bar.votes:,} of {requested:,}{mark}</td></tr>"
    )


def _bracket(bar: Bar, requested: int) -> str:
    if bar.interval is None:
        return ""
    low, high = (min(max(end / max(requested, 1), 0.0), 1.0) for end in bar.interval)
    return looks.bracket(low, high)


def bars_plain(bars: Sequence[Bar], requested: int, columns: int, left: int = 0) -> list[str]:
    """The same as lines of at most that many terminal columns."""
    names = [text.fit(text.one_line(bar.label), 24) for bar in bars]
    wide = max(map(text.width, names), default=0)
    weighs = max((len(bar.weighs) for bar in bars), default=0)
    room = min(columns - wide - weighs - 32, 40)
    lines = []
    for name, bar in zip(names, bars, strict=True):
        filled = min(round(bar.votes / max(requested, 1) * room), room)
        cells = [text.pad(name, wide), ("█" * filled).ljust(room, "·")]
        cells += [bar.weighs.ljust(weighs)] if weighs else []
        cells += [f"{bar.votes:,} of {requested:,}", bar.mark]
        lines.append("  ".join(cells).rstrip())
    return [*lines, _more(left)] if left > 0 else lines


def _more(left: int) -> str:
    return f"{text.count(left, 'more label')}"
