"""How a vote is drawn: bars, the verdict, and what the counts do and do not say."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.core.tasks import Record
from parallm_magics.display import looks, text
from parallm_magics.display.bars import MOST, Bar, bars_html, bars_plain
from parallm_magics.display.text import Foreign
from parallm_magics.display.view import SectionVote, Tally
from parallm_magics.display.vote_words import (
    NUMERIC,
    agreement,
    further,
    most_frequent,
    number,
    repeated,
    states_line,
    verdict,
)

MOST_POLLS = 20
"""Most votes within a fan-out that are drawn."""


def tally_html(tally: Tally, records: Sequence[Record] = (), *, brief: bool = False) -> str:
    """The bars and what they say; in brief only how the vote ended and the states of all votes."""
    brief = brief or not tally.counted
    first, *rest = _lines(tally, records, text.isolated, brief)
    numbers = "" if brief else further(tally)
    bars = bars_html(_bars(tally), tally.requested, _left(tally)) if tally.counted else ""
    said = f'<div style="font-weight:600">{first}</div>' + "".join(
        f"<div>{line}</div>" for line in rest
    )
    said += f'<div style="{looks.DIM}">{numbers}</div>' if numbers else ""
    return (
        f'<div style="{looks.BLOCK}">{bars}'
        f'<div style="{looks.SMALL};margin-top:.4em">{said}</div></div>'
    )


def tally_plain(
    tally: Tally, records: Sequence[Record] = (), columns: int = 100, *, brief: bool = False
) -> list[str]:
    """The same as lines of at most that many terminal columns."""
    brief = brief or not tally.counted
    lines = [*_lines(tally, records, text.one_line, brief), "" if brief else further(tally)]
    return [
        *(
            bars_plain(_bars(tally), tally.requested, columns, _left(tally))
            if tally.counted
            else ()
        ),
        *(part for line in lines if line for part in text.wrap(line, columns)),
    ]


def _lines(tally: Tally, records: Sequence[Record], foreign: Foreign, brief: bool) -> list[str]:
    said = [] if brief else [agreement(tally, foreign), most_frequent(tally, foreign)]
    return [verdict(tally, foreign), *filter(None, said), states_line(tally, records)]


def _left(tally: Tally) -> int:
    return len(tally.counts) - MOST


def _bars(tally: Tally) -> list[Bar]:
    """The labels that get a bar: numbers in their order, others by what decided."""
    weights = dict(tally.weights)
    between = repeated(tally)
    mark = tally.pick if tally.pick in NUMERIC else "winner"
    bars = [
        Bar(
            label,
            votes,
            mark if label == tally.winner else "",
            weights.get(label, 0.0) if weights else None,
            between.get(label),
        )
        for label, votes in tally.counts
    ]
    bars.sort(key=lambda bar: (-(bar.weight or 0.0), -bar.votes))
    if len(bars) > MOST:
        # A judge may have picked what hardly anybody voted for.
        bars = sorted(bars, key=lambda bar: not bar.mark)[:MOST]
        bars.sort(key=lambda bar: (-(bar.weight or 0.0), -bar.votes))
    if tally.pick in NUMERIC:
        bars.sort(key=lambda bar: number(bar.label))
    return bars


def section_votes_html(polls: Sequence[SectionVote]) -> str:
    """Each vote within a fan-out under its section's name."""
    blocks = "".join(
        f'<div style="{looks.BLOCK}"><div style="{looks.HEAD};margin-bottom:-.6em">'
        f"{text.isolated(poll.name, 80)}</div>"
        f"{tally_html(poll.tally, poll.records, brief=True)}</div>"
        for poll in polls[:MOST_POLLS]
    )
    left = _more(polls)
    return blocks + (f'<div style="{looks.SMALL};{looks.DIM}">{left}</div>' if left else "")


def section_votes_plain(polls: Sequence[SectionVote], columns: int = 100) -> list[str]:
    """The same as lines of at most that many terminal columns."""
    lines: list[str] = []
    for poll in polls[:MOST_POLLS]:
        name = text.fit(text.one_line(poll.name, 80), columns)
        lines += ["", name, "-" * text.width(name)]
        lines += tally_plain(poll.tally, poll.records, columns, brief=True)
    left = _more(polls)
    return [*lines[1:], *(["", left] if left else [])]


def _more(polls: Sequence[SectionVote]) -> str:
    left = len(polls) - MOST_POLLS
    return f"{text.count(left, 'more vote')} in the result" if left > 0 else ""
