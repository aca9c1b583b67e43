"""The picture of a run: a bar a worker on a common axis, the longest against the sum."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from parallm_magics.core.tasks import Record
from parallm_magics.display import looks, text
from parallm_magics.display.rows import titled
from parallm_magics.display.totals import called, totals, wall_seconds

MOST = 60
"""Most bars drawn; of more workers the slowest are shown."""

_BESIDE = 20
_NAMED = 3
"""Most calls beside the workers whose times are told one by one."""


def sentence(records: Sequence[Record], extra: Sequence[Record] = ()) -> str:
    """The longest worker against the sum of all, in words; "" where no worker ran.

    A run that lost a worker is not compared: nobody knows how long that one would have taken.
    """
    sums = totals(records)
    ran = sum(called(record) for record in records)
    if not ran:
        return ""
    beside = _beside(records, [record for record in extra if called(record)])
    working = sums.working_seconds
    if ran == 1 or sums.speedup is None:
        return "; ".join([f"{text.seconds(working)} for {text.count(ran, 'worker')}", *beside])
    parts = [f"{text.seconds(sums.longest)} for the longest of {ran:,}"]
    if working - sums.longest >= 0.05 and working > 1.02 * sums.longest:
        parts.append(f"{text.seconds(working)} from the first start to the last end")
    most = "at most " if sums.at_most else ""
    parts.append(f"{most}{text.seconds(sums.sequential_seconds)} one after another")
    if sums.speedup >= 1.05:
        parts.append(f"{most}{sums.speedup:.1f} times faster")
    return "; ".join([*parts, *beside])


def _beside(records: Sequence[Record], extra: Sequence[Record]) -> list[str]:
    """What ran beside the workers, and what came after them."""
    end = max(record.end for record in records if called(record))
    return [
        f"{when} {_lengths(calls)}"
        for when, calls in (
            ("beside it", [each for each in extra if each.start < end]),
            ("then", [each for each in extra if not each.start < end]),
        )
        if calls
    ]


def _lengths(calls: Sequence[Record]) -> str:
    if len(calls) > _NAMED:
        return f"{text.seconds(wall_seconds(calls))} for {len(calls):,} calls"
    return text.listed([f"{text.seconds(each.seconds)} for {_who(each)}" for each in calls])


def _who(call: Record) -> str:
    name = text.one_line(call.name, 20)
    return f"the {name}" if name in ("guardrail", "judge", "synthesis") else f"'{name}'"


def drawn(records: Sequence[Record], most: int = MOST) -> list[Record]:
    """The records that get a bar, in order: all, or the slowest where they are too many."""
    if len(records) <= most:
        return list(records)
    slowest = heapq.nsmallest(most, range(len(records)), key=lambda at: (-records[at].seconds, at))
    return [records[at] for at in sorted(slowest)]


def timeline_html(records: Sequence[Record], extra: Sequence[Record] = ()) -> str:
    """The picture alone, as a table whose bars are boxes."""
    if not any(map(called, records)):
        return ""
    span = _span([*records, *extra])
    shown = drawn(records)
    rows = "".join(_bar_row(record, span) for record in [*shown, *drawn(extra, _BESIDE)])
    axis = (
        f'<tr style="{looks.HEAD_ROW}"><td style="{looks.CELL}"></td>'
        f'<td style="{_WIDE};{looks.DIM};{looks.SMALL};padding-top:0">'
        f'<div style="float:left">0 s</div><div style="float:right">{text.seconds(span)}</div></td>'
        f'<td style="{looks.CELL}"></td></tr>'
    )
    return (
        f'<div style="{looks.BLOCK}"><div style="{looks.HEAD}">Timeline</div>'
        f'<div style="{looks.SCROLL}"><table style="{looks.TABLE}"><tbody>{rows}{axis}'
        f"{_against(records)}</tbody></table></div>"
        f'<div style="{looks.SMALL};margin-top:.3em">{_left_out(records, shown)}'
        f"{text.escape(sentence(records, extra))}</div></div>"
    )


_TIGHT = f"{looks.CELL};{looks.LEFT};{looks.TIGHT}"
_WIDE = f"{looks.CELL};{looks.LEFT};width:100%;min-width:8em"


def _row(heading: str, picture: str, length: str) -> str:
    return (
        f'<tr style="{looks.HEAD_ROW}">'
        f'<th scope="row" style="{_TIGHT};font-weight:normal">{heading}</th>'
        f'<td style="{_WIDE};{looks.TIGHT}">{picture}</td>'
        f'<td style="{_TIGHT};text-align:right;padding-right:0">{length}</td></tr>'
    )


def _bar_row(record: Record, span: float) -> str:
    state = looks.state(record.status)
    picture = looks.bar(
        (record.start - record.queued) / span,
        record.queued / span,
        record.seconds / span,
        state.colour,
    )
    word = "" if record.ok else f' <span style="{looks.DIM}">{text.escape(state.word)}</span>'
    name = looks.boxed(text.escape(text.one_line(titled(record), 40)), 14)
    return _row(name, picture, f"{text.seconds(record.seconds)}{word}")


def _against(records: Sequence[Record]) -> str:
    """Two bars on an axis of their own: all at once against one after another."""
    sums = totals(records)
    if sums.speedup is None or sums.speedup < 1.05:
        return ""
    whole = sums.sequential_seconds
    parts = [record.seconds / whole for record in records if record.seconds > 0]
    rows = _row(
        "all at once",
        looks.bar(0, 0, sums.working_seconds / whole, looks.BLUE),
        text.seconds(sums.working_seconds),
    )
    rows += _row("one by one", looks.segments(parts, looks.BLUE), text.seconds(whole))
    return rows


def _left_out(records: Sequence[Record], shown: Sequence[Record]) -> str:
    left = len(records) - len(shown)
    return f"The slowest {len(shown):,} of {len(records):,} workers. " if left > 0 else ""


def _span(records: Sequence[Record]) -> float:
    return max((record.end for record in records), default=0.0) or 1.0


def timeline_plain(
    records: Sequence[Record], extra: Sequence[Record] = (), columns: int = 100
) -> list[str]:
    """The picture as lines of at most that many terminal columns: · waits, █ runs."""
    if not any(map(called, records)):
        return []
    span = _span([*records, *extra])
    shown = drawn(records, 30)
    every = [*shown, *drawn(extra, _BESIDE)]
    named = [(text.fit(text.one_line(titled(r)), 20), r) for r in every]
    wide = max(text.width(name) for name, _ in named)
    room = min(columns - wide - 24, 50)
    lines = []
    for name, record in named:
        word = "" if record.ok else f" {looks.state(record.status).word}"
        begin = _cells(record.start - record.queued, span, room)
        run = _cells(record.start, span, room)
        end = max(_cells(record.end, span, room), run + (record.seconds > 0))
        picture = " " * begin + "·" * (run - begin) + "█" * (end - run)
        lines.append(
            f"{text.pad(name, wide)}  {picture.ljust(room)[:room]}  "
            f"{text.seconds(record.seconds)}{word}"
        )
    return [*lines, *text.wrap(_left_out(records, shown) + sentence(records, extra), columns)]


def _cells(at: float, span: float, room: int) -> int:
    share = at / span * room
    return min(max(round(share), 0), room) if math.isfinite(share) else 0
