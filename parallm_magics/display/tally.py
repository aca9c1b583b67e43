"""The votes as bars: counts first, and in words what they do and do not say."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.display import looks, text
from parallm_magics.display.view import Tally
from parallm_magics.types import Record

MOST = 20
"""Most labels that get a bar."""


def verdict(tally: Tally) -> str:
    """How the vote ended, in words."""
    if tally.winner is not None:
        return _won(tally, text.one_line(tally.winner, 60))
    if tally.status == "tie":
        top = max((votes for _, votes in tally.counts), default=0)
        tied = [f"'{text.one_line(label, 40)}'" for label, votes in tally.counts if votes == top]
        return f"A tie: {_listed(tied)} have {top:,} of {tally.requested:,} votes each; no winner"
    if tally.status == "no_quorum":
        return (
            f"No quorum: only {tally.valid:,} of {text.count(tally.requested, 'vote')} "
            "could be counted; no winner"
        )
    return "No label has the votes that the rule asks for; no winner"


def _won(tally: Tally, winner: str) -> str:
    votes = dict(tally.counts).get(tally.winner or "", 0)
    if tally.range is not None and tally.cancelled:
        others = [count for label, count in tally.counts if label != tally.winner]
        certain = votes > max(others, default=0) + tally.cancelled
        could = ""
        if certain:
            left = "other one" if tally.cancelled == 1 else f"other {tally.cancelled:,}"
            could = f"; the {left} could not change it"
        return (
            f"'{winner}', {votes:,} of {tally.requested:,} requested; decided early, "
            f"{tally.cancelled:,} cancelled{could}"
        )
    if not votes:
        return f"{winner}, from {text.count(tally.valid, 'valid vote')}"
    if votes < max(count for _, count in tally.counts):
        return f"'{winner}' was picked, with {votes:,} of {tally.requested:,} votes"
    if votes == tally.requested:
        return f"{votes:,} of {text.count(votes, 'vote')} agree on '{winner}'"
    if 2 * votes > tally.requested:
        return f"'{winner}' has {votes:,} of {tally.requested:,} votes: a majority"
    return f"'{winner}' leads with {votes:,} of {tally.requested:,}: a plurality, not a majority"


def agreement(tally: Tally) -> str:
    """The share that agrees and how steady it is, in words; "" where no share can be told."""
    if tally.range is not None:
        low, high = tally.range
        return (
            f"Of all {text.count(tally.requested, 'vote')}, {text.percent(low)}–"
            f"{text.percent(high)} % would have agreed."
        )
    if tally.agreement is None:
        return ""
    said = f"Agreement: {text.percent(tally.agreement)} % of the valid votes"
    if tally.interval is None:
        return f"{said}. It is not the chance that the answer is right."
    low, high = tally.interval
    return (
        f"{said} (a repeat of this prompt would agree {text.percent(low)}–"
        f"{text.percent(high)} % of the time). It is not the chance that the answer is right."
    )


def states_line(tally: Tally, records: Sequence[Record] = ()) -> str:
    """What became of the votes: `4 valid, 1 timed out, 0 abstained, 0 unreadable`.

    With the records, votes that ran out of time are told from those that failed otherwise.
    """
    late = sum(record.status == "timed_out" for record in records)
    late = min(late, tally.failed)
    failed = tally.failed - late
    parts = [f"{tally.valid:,} valid"]
    if late:
        parts.append(f"{late:,} timed out")
    if failed or not late:
        parts.append(f"{failed:,} failed")
    parts += [f"{tally.abstained:,} abstained", f"{tally.invalid:,} unreadable"]
    if tally.cancelled:
        parts.append(f"{tally.cancelled:,} cancelled")
    return ", ".join(parts)


def bars_html(
    counts: Sequence[tuple[str, int]], requested: int, winner: str | None, pending: int = 0
) -> str:
    """One bar a label on the axis of the requested votes."""
    rows = []
    for label, votes in _ordered(counts)[:MOST]:
        won = label == winner
        mark = f' <span style="{looks.DIM}">winner</span>' if won and not pending else ""
        mark = f' <span style="{looks.DIM}">leads</span>' if won and pending else mark
        weight = "font-weight:600" if won else "font-weight:normal"
        rows.append(
            f'<tr style="{looks.HEAD_ROW}"><th scope="row" style="{_TIGHT};{weight}">'
            f"{looks.boxed(text.escape(text.one_line(label, 60)), 20)}</th>"
            f'<td style="{_TIGHT};width:100%;min-width:8em">'
            f"{looks.bar(0, 0, votes / max(requested, 1), looks.GREEN if won else looks.GREY)}</td>"
            f'<td style="{_TIGHT};padding-right:0">{votes:,} of {requested:,}{mark}</td></tr>'
        )
    if not rows:
        return ""
    more = len(counts) - MOST
    note = f'<div style="{looks.DIM};{looks.SMALL}">{more:,} more labels</div>' if more > 0 else ""
    return (
        f'<div style="{looks.SCROLL}"><table style="{looks.TABLE}"><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{note}"
    )


_TIGHT = f"{looks.CELL};{looks.LEFT};{looks.TIGHT}"


def tally_html(tally: Tally, records: Sequence[Record] = ()) -> str:
    """Bars, the verdict, the agreement and the states of all votes."""
    lines = "".join(
        f'<div dir="auto">{text.escape(line)}</div>'
        for line in (verdict(tally), agreement(tally), states_line(tally, records))
        if line
    )
    return (
        f'<div style="{looks.BLOCK}">{bars_html(tally.counts, tally.requested, tally.winner)}'
        f'<div style="{looks.SMALL};margin-top:.4em">{lines}</div></div>'
    )


def tally_plain(tally: Tally, records: Sequence[Record] = (), columns: int = 100) -> list[str]:
    """The tally as lines of at most that many terminal columns."""
    shown = [
        (text.fit(text.one_line(label), 24), label, votes)
        for label, votes in _ordered(tally.counts)[:MOST]
    ]
    wide = max((text.width(name) for name, _, _ in shown), default=0)
    room = min(columns - wide - 30, 40)
    lines = []
    for name, label, votes in shown:
        filled = min(round(votes / max(tally.requested, 1) * room), room)
        mark = "  winner" if label == tally.winner else ""
        lines.append(
            f"{text.pad(name, wide)}  {('█' * filled).ljust(room, '·')}  "
            f"{votes:,} of {tally.requested:,}{mark}"
        )
    if len(tally.counts) > MOST:
        lines.append(f"{len(tally.counts) - MOST:,} more labels")
    said = [verdict(tally), agreement(tally), states_line(tally, records)]
    return lines + [part for line in said if line for part in text.wrap(line, columns)]


def _ordered(counts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda item: -item[1])


def _listed(words: Sequence[str]) -> str:
    if len(words) > 5:
        return f"{', '.join(words[:5])} and {len(words) - 5:,} more"
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
