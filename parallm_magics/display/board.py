"""The live table's state: events go in, one html page comes out."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from parallm_magics.display import looks, text
from parallm_magics.display.columns import table_html
from parallm_magics.display.rows import Row, label_of, models_line, problem, text_of
from parallm_magics.display.tally import bars_html
from parallm_magics.types import Event, Record

MOST = 200
"""Most rows drawn while a run goes on: the browser keeps up with these."""

_TAIL = 120
"""Characters of a streaming answer that are drawn."""

_SLOWEST = 50

WITHHELD = "withheld until the guard has passed"


@dataclass(slots=True)
class _Worker:
    """What the board knows about a worker that has started."""

    start: float
    state: str = "running"
    attempts: int = 0
    tail: str = ""
    why: str = ""
    record: Record | None = None
    label: str = ""


class Board:
    """Folds events into rows. Nothing that it is told or asked makes it raise.

    Attributes:
        withheld: while true, no answer and no vote is drawn: a guard has not passed yet.
    """

    def __init__(
        self,
        rows: Sequence[tuple[str, str]],
        pattern: Literal["fanout", "vote"] = "fanout",
        read_label: Callable[[Record], str | None] | None = None,
        *,
        extra: Sequence[tuple[str, str]] = (),
        simulated: bool = False,
        addresses: Sequence[str] = (),
        withheld: bool = False,
    ) -> None:
        """Take name and model of each worker; `extra` rows follow and count for nothing."""
        self._rows = rows
        self._extra = extra
        self._pattern = pattern
        self._read_label = read_label
        self._simulated = simulated
        self._addresses = tuple(addresses)
        self.withheld = withheld
        self._line = ""
        self._seen: dict[int, _Worker] = {}
        self._running: dict[int, None] = {}
        self._troubled: dict[int, None] = {}
        self._slowest: list[tuple[float, int]] = []
        self._states: Counter[str] = Counter()
        self._votes: Counter[str] = Counter()
        self._span = 0.0
        self._tokens = 0
        self._cost = Decimal()
        self._priced = 0
        self._unpriced = 0

    @property
    def done(self) -> int:
        """How many workers have ended."""
        return sum(self._states.values())

    def say(self, line: str) -> None:
        """Show one line under the header, such as "decided after 3 of 5"."""
        self._line = line

    def tell(self, event: Event) -> None:
        """Take in one event; an unknown worker or kind is ignored, as is what follows an end."""
        if not 0 <= event.index < len(self._rows) + len(self._extra):
            return
        worker = self._seen.get(event.index)
        if worker is None:
            worker = self._seen[event.index] = _Worker(event.at)
            self._running[event.index] = None
        if worker.record is not None:
            return
        if event.kind == "started":
            worker.state, worker.tail, worker.why = "running", "", ""
            worker.attempts += 1
        elif event.kind == "heard":
            if event.text:
                worker.state = "answering"
                worker.tail = (worker.tail + event.text[-_TAIL:])[-_TAIL:]
        elif event.kind == "waiting":
            worker.state, worker.why = "waiting", event.text
        elif event.kind == "ended" and event.record is not None:
            self._end(event.index, worker, event.record)

    def _end(self, index: int, worker: _Worker, record: Record) -> None:
        worker.record, worker.tail = record, ""
        self._running.pop(index, None)
        # A simulated end may lie beyond the clock that the table sees.
        self._span = max(self._span, record.end)
        if record.usage is not None:
            self._tokens += record.usage.total_tokens
        if record.cost is not None:
            self._cost += record.cost
            self._priced += 1
        elif not record.simulated:
            self._unpriced += 1
        if index >= len(self._rows):
            return
        self._states[record.status] += 1
        if not record.ok:
            self._troubled[index] = None
        heapq.heappush(self._slowest, (record.seconds, -index))
        if len(self._slowest) > _SLOWEST:
            heapq.heappop(self._slowest)
        worker.label = self._label(record)
        if worker.label:
            self._votes[worker.label] += 1

    def _label(self, record: Record) -> str:
        if self._read_label is None:
            return label_of(record.value) if record.ok else ""
        try:
            return label_of(self._read_label(record))
        except Exception:  # a reader that fails must cost no answer; the final tally reports it
            return ""

    def live_html(self, now: float) -> str:
        """The whole live view at that many seconds since the run's start."""
        indices = self._chosen()
        rows = [self._row(index, now) for index in indices]
        left = len(self._rows) + len(self._extra) - len(indices)
        more = (
            f'<div style="{looks.SMALL};{looks.DIM}">{left:,} more workers not shown; here are '
            "those without success, those running longest and the slowest</div>"
            if left
            else ""
        )
        return (
            f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}">{self._header(now, rows)}'
            f'{self._tally()}<div style="{looks.BLOCK}">{table_html(rows, live=True)}{more}</div>'
            "</div>"
        )

    def _header(self, now: float, rows: Sequence[Row]) -> str:
        badge = f'<span style="{looks.BADGE}">SIMULATED</span>' if self._simulated else ""
        total = len(self._rows)
        done = self.done
        parts = [models_line(rows), text.seconds(now)]
        parts += [
            f"{self._states[name]:,} {looks.state(name).word}"
            for name in looks.STATES
            if self._states[name] and name != "ok"
        ]
        if self._running and done < total:
            parts.append(f"{len(self._running):,} running")
        parts.append(f"{self._tokens:,} tokens")
        if self._priced:
            parts.append(text.money(self._cost, not self._unpriced))
        parts += [f"asked at {text.one_line(address, 80)}" for address in self._addresses]
        line = f'<div dir="auto">{text.escape(text.one_line(self._line, 300))}</div>'
        share = done / total if total else 0
        return (
            f'<div style="{looks.TITLE}">{done:,} of {total:,} done{badge}</div>'
            f'<div style="{looks.SMALL};{looks.DIM}">{text.escape(" · ".join(parts))}</div>'
            f'<div style="margin:.4em 0;max-width:24em">{looks.bar(0, 0, share, looks.BLUE)}</div>'
            f"{line if self._line else ''}"
        )

    def _tally(self) -> str:
        if self._pattern != "vote" or self.withheld:
            return ""
        requested = len(self._rows)
        pending = requested - self.done
        top = self._votes.most_common(2)
        leader = top[0][0] if top and (len(top) == 1 or top[0][1] > top[1][1]) else None
        counts = list(self._votes.items())
        if leader is not None:
            said = f"'{text.one_line(leader, 60)}' leads with {top[0][1]:,} of {requested:,}"
        elif top:
            said = f"level at {top[0][1]:,} of {requested:,}"
        else:
            said = "no votes yet"
        without = self.done - sum(self._votes.values())
        said += f"; {pending:,} still open" if pending else "; all in"
        said += f"; {without:,} without a vote" if without else ""
        return (
            f'<div style="{looks.BLOCK}">{bars_html(counts, requested, leader, pending)}'
            f'<div style="{looks.SMALL}" dir="auto">{text.escape(said)}</div></div>'
        )

    def _chosen(self) -> list[int]:
        """The rows to draw, in order: all, or trouble, the longest running and the slowest."""
        total = len(self._rows)
        extra = range(total, total + len(self._extra))
        if total <= MOST:
            return [*range(total), *extra]
        picked = dict.fromkeys(_last(self._troubled, MOST // 4))
        for index in self._running:
            if len(picked) >= MOST - _SLOWEST:
                break
            picked[index] = None
        picked.update(dict.fromkeys(-index for _, index in self._slowest))
        return [*sorted(index for index in picked if index < total), *extra]

    def _row(self, index: int, now: float) -> Row:
        total = len(self._rows)
        name, model = self._rows[index] if index < total else self._extra[index - total]
        worker = self._seen.get(index)
        span = max(now, self._span)
        if worker is None:
            return Row(name=name, model=model, state="queued", span=span, aside=index >= total)
        record = worker.record
        if record is None:
            return Row(
                name=name,
                model=model,
                state=worker.state,
                start=worker.start,
                seconds=max(now - worker.start, 0.0),
                span=span,
                attempts=worker.attempts,
                answer=WITHHELD if self.withheld and worker.tail else _clipped(worker.tail),
                problem=worker.why,
                aside=index >= total,
            )
        return Row(
            name=name,
            model=model,
            state=record.status,
            answered=record.model_answered,
            vote="" if self.withheld else worker.label,
            voted=bool(worker.label),
            start=record.start,
            queued=record.queued,
            seconds=record.seconds,
            span=span,
            tokens=record.usage.total_tokens if record.usage else None,
            cost=record.cost,
            attempts=len(record.attempts),
            answer=WITHHELD if self.withheld and record.text else text_of(record),
            # An error may quote the answer that it could not read.
            problem="" if record.ok or self.withheld else problem(record),
            aside=index >= total,
        )


def _clipped(tail: str) -> str:
    """The end of a streaming answer, with a sign that it has a beginning."""
    return f"…{tail}" if len(tail) >= _TAIL else tail


def _last(items: dict[int, None], most: int) -> list[int]:
    return [index for index, _ in zip(reversed(items), range(most), strict=False)]
