"""A finished run's rows: workers, votes of a section, guards and other calls, and what each opens to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from parallm_magics.answers.json_objects import objects_in
from parallm_magics.core.tasks import Record
from parallm_magics.display import kinds, text, vote_words
from parallm_magics.display.call_rows import Row, about_of, asked_and_answered, read_of
from parallm_magics.display.columns import ANSWER_LIMIT
from parallm_magics.display.definitions import definition
from parallm_magics.display.field_columns import fields_in_common, tells_all, without_columns
from parallm_magics.display.field_tallies import decided, field_votes, winners
from parallm_magics.display.kept_rows import drawn_of, kept_row
from parallm_magics.display.kinds import Block, Says
from parallm_magics.display.totals import totals
from parallm_magics.display.typed_words import summary
from parallm_magics.display.view import Guard, SectionVote, View
from parallm_magics.display.votes import vote_bars

SHOWN_ROWS = 30
"""Most rows that are in sight; the further ones are folded away below them."""

MOST_ROWS, MANY_ROWS = 200, 50
"""Most workers that all have a row, and how many of more have one: a saved notebook must stay readable."""

ANSWERS_BUDGET = 300_000
"""Characters of answers in one saved output: a notebook must stay openable."""

FEW_ANSWERS = 4
"""Most answers that are open from the start where no aggregate stands above them."""

MOST_REASON = 300
"""Most characters of a guard's reason that are drawn."""

SHORT, LINE = 30, 90
"""Characters of an answer that are seen whole in its row: on a narrow page, and on a wide one."""

MOST_LABELS = 20
"""Most labels whose probabilities are drawn."""

ABOVE = "shown above"

_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Line:
    """One row before it is drawn: a call, or the votes of a section.

    Attributes:
        within: whether it is within the row of a vote, which says what it is about.
        sure: its place where the least sure come first: 0 without success, then by agreement.
    """

    record: Record
    ballot: str = ""
    vote: SectionVote | None = None
    within: bool = False

    @property
    def sure(self) -> float:
        if self.vote is None:
            return 1.0 if self.record.ok else -1.0
        tally = self.vote.tally
        return 0.0 if tally.winner is None else tally.agreement or 0.0


def worker_tables(view: View) -> list[Block]:
    """A row a worker and a call beside them; of many those that are less sure first, the rest folded."""
    lines = _lines(view)
    if len(lines) > SHOWN_ROWS or any(line.record.key is not None for line in lines):
        lines.sort(key=lambda line: line.sure)
    further = view.workers - len(view.records)
    drawn = lines[: rows_of(len(lines) + further)]
    shown, folded = drawn[:SHOWN_ROWS], drawn[SHOWN_ROWS:]
    beside = [_Line(record) for record in view.extra[:SHOWN_ROWS]]
    table = _Table(view, len(drawn) + len(beside))
    more = len(lines) + further - len(drawn)
    left = [text.count(more, "more worker")] if more else []
    if len(view.extra) > SHOWN_ROWS:
        left.append(f"{text.count(len(view.extra) - SHOWN_ROWS, 'more call')} beside the workers")
    said = f"{' and '.join(left)} in the result" if left else ""
    if not folded:
        return [table.block([*shown, *beside], said)]
    rest = kinds.Disclosure(f"{len(folded):,} more", (table.block(folded, said),), rest=True)
    return [table.block([*shown, *beside]), rest]


def rows_of(workers: int) -> int:
    """How many of so many workers have a row."""
    return workers if workers <= MOST_ROWS else MANY_ROWS


def limit_of(rows: int) -> int:
    """How many characters of each answer are drawn where so many rows share the room."""
    return min(text.LIMIT, max(1000, ANSWERS_BUDGET // max(rows, 1)))


def opened_row(record: Record, ballot: str, limit: int) -> tuple[Row, tuple[Block, ...]]:
    """The row of a worker's call and what it opens to, as they mostly are in a result."""
    row = kept_row(record, read_of(record, ballot))
    return row, _behind(row, record, limit)


def _lines(view: View) -> list[_Line]:
    """The workers in the cell's order, those of one vote as one."""
    votes = {record.index: vote for vote in view.section_votes for record in vote.records}
    ballots = view.ballots or ("",) * len(view.records)
    lines, told = [], set()
    for record, ballot in zip(view.records, ballots, strict=True):
        vote = votes.get(record.index)
        if vote is None:
            lines.append(_Line(record, ballot))
        elif vote.name not in told:
            told.add(vote.name)
            lines.append(_Line(record, vote=vote))
    return lines


class _Table:
    """Draws the rows of one run."""

    def __init__(self, view: View, rows: int) -> None:
        """Take the run, and how many rows share the room for answers."""
        self._above = (view.text or "").strip()
        self._guards = {guard.name: guard for guard in view.guards}
        self._limit = limit_of(rows)
        self._opens = view.pattern == "fanout" and view.text is None and rows <= FEW_ANSWERS
        self._span = max((record.end for record in (*view.records, *view.extra)), default=0.0)
        if view.whole is not None:
            self._span = max(self._span, view.whole.sums.end)
        self._texts = view.tally is not None and not view.tally.counted
        self._asked, self._blocked = view.columns, view.blocked
        self._caption = "Votes" if view.pattern == "vote" else "Workers"

    def block(self, lines: Sequence[_Line], more: str = "") -> kinds.Workers:
        """The table of these lines, and a word on those that have none."""
        drawn = _in_columns(
            [self._vote(each.vote) if each.vote else self._call(each) for each in lines]
        )
        details = tuple(detail for _, detail in drawn)
        # Where fields have columns, most of each answer is in sight.
        in_columns = fields_in_common([row for row, _ in drawn])
        opened = range(len(drawn)) if self._opens and not in_columns else ()
        return kinds.Workers(
            tuple(row for row, _ in drawn),
            more,
            asked=self._asked,
            details=details if any(details) else (),
            opened=tuple(at for at in opened if _opens(drawn[at][0])),
            caption=self._caption,
            span=self._span,
        )

    def _call(self, line: _Line) -> tuple[Row, tuple[Block, ...]]:
        record = line.record
        row = kept_row(record, read_of(record, line.ballot))
        if line.within:
            row = replace(row, about=replace(row.about, item=""))
        if (self._texts or len(row.vote) > SHORT) and record.text.strip().startswith(row.vote):
            row = replace(row, vote="", voted=False)  # a text that is counted as it is
        if record.status == "blocked":
            return (replace(row, problem="") if self._blocked else row), ()
        if self._above and record.text.strip() == self._above:
            return replace(row, answer=ABOVE), (*_facts(row, record, self._limit),)
        if record.role == "worker" and row.fields is None:
            return row, _behind(row, record, self._limit)
        return self._further(row, record)

    def _further(self, row: Row, record: Record) -> tuple[Row, tuple[Block, ...]]:
        """What was typed, and a call beside the workers."""
        guard = self._guards.get(record.name) if record.role == "guard" else None
        detail = tuple(_facts(row, record, self._limit))
        if guard is not None:
            row = replace(row, vote="", voted=False, answer=guard_said(guard), problem="")
            # The raw answer below does not say what follows from it.
            detail += (Says((row.answer,), "dim"),) if len(row.answer) > LINE else ()
        elif record.role == "judge":
            row = replace(row, answer=_reason(record.text) or row.answer)
        if row.fields is not None:
            return row, (definition(row.fields), *detail, *_around(record.text, self._limit))
        return row, detail + _whole(row, record, detail, self._limit)

    def _vote(self, vote: SectionVote) -> tuple[Row, tuple[Block, ...]]:
        voters = [_Line(record, within=True) for record in vote.records]
        fell = field_votes(vote.fields) if vote.fields else None
        bars = fell or vote_bars(vote.tally, vote.records, brief=True)
        return _row_of_votes(vote), (bars, self.block(voters))


_Drawn = tuple[Row, tuple[Block, ...]]


def _in_columns(drawn: Sequence[_Drawn]) -> list[_Drawn]:
    """The rows of typed answers without what has a column; where columns say all, nothing opens."""
    rows = without_columns([row for row, _ in drawn])
    return [_opening(row, detail) for row, (_, detail) in zip(rows, drawn, strict=True)]


def _opening(row: Row, detail: tuple[Block, ...]) -> _Drawn:
    if row.fields is None or row.answer:
        return row, detail
    if tells_all(row):
        detail = tuple(each for each in detail if not isinstance(each, kinds.Definition))
    return replace(row, answer="all fields" if detail else ""), detail


def _around(said: str, limit: int) -> Iterator[Block]:
    """An answer as it came, where there is more in it than its object."""
    said = said.strip()
    bare = said.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not (bare.startswith("{") and bare.endswith("}")) and said:
        answer = (kinds.Text("", said, limit),)
        yield kinds.Disclosure("the answer as it came", answer, page_only=True)


def _reason(said: str) -> str:
    """A judge's own words in the object that it was asked for; "" without any."""
    for _, _, data in objects_in(said, _DECODER):
        reason = data.get("reason") if isinstance(data, dict) else None
        return reason if isinstance(reason, str) else ""
    return ""


def _behind(row: Row, record: Record, limit: int) -> tuple[Block, ...]:
    """What a row opens to: what it does not show of the call, and the whole answer."""
    kept = drawn_of(row)
    found: tuple[Block, ...] | None = kept.get(("behind", limit))
    if found is None:
        facts = tuple(_facts(row, record, limit))
        found = kept["behind", limit] = facts + _whole(row, record, facts, limit)
    return found


def _whole(row: Row, record: Record, facts: Sequence[Block], limit: int) -> tuple[Block, ...]:
    """The whole answer, where there is more to see than in its row."""
    opens = _long(row) or facts or row.problem or record.role != "worker"
    told = record.text.strip() in (record.probabilities or ())
    return (
        (kinds.Text("", record.text, limit),) if opens and record.text.strip() and not told else ()
    )


def _long(row: Row, most: int = SHORT) -> bool:
    """Whether there is more of the answer than its row shows."""
    return len(row.answer.strip()) > most or "\n" in row.answer.strip()


def _opens(row: Row) -> bool:
    """Whether what is behind the row is what the reader came for: no label, and more than a line."""
    return not row.voted and (
        _long(row, LINE) or bool(row.problem and row.record and row.record.text)
    )


def _row_of_votes(vote: SectionVote) -> Row:
    """The votes of a section as one row."""
    first, tally, sums = vote.records[0], vote.tally, totals(vote.records)
    models = dict.fromkeys(map(asked_and_answered, vote.records))
    begun = min(record.start for record in vote.records)
    lost = tally.requested - tally.valid
    counts = [f"{label} {votes:,} of {tally.requested:,}" for label, votes in tally.counts if votes]
    won, said = (
        tally.winner,
        " · ".join([*counts, *([f"{lost:,} without a label"] if lost else [])]),
    )
    if vote.fields:
        won, said = decided(vote.fields), summary(winners(vote.fields))
    return Row(
        name=vote.name,
        model=next(iter(models)) if len(models) == 1 else text.count(len(models), "model"),
        state="ok",
        vote=won or tally.status.replace("_", " "),
        voted=won is not None,
        start=begun,
        seconds=max(record.end for record in vote.records) - begun,
        tokens=sums.usage.total_tokens if sums.usage else None,
        cost=sums.cost,
        answer=said,
        # Of a tie the counts beside it tell all.
        problem="" if won or tally.status == "tie" else text.together(vote_words.verdict(tally)),
        about=replace(about_of(first), temperature="", effort="", system=""),
    )


def _facts(row: Row, record: Record, limit: int) -> Iterator[Block]:
    """What the row does not show of a call: the whole of its item, why it failed, its tries, its thinking."""
    lines = []
    if len(row.about.item) > SHORT:
        lines.append(row.about.item)
    if len(row.problem) > ANSWER_LIMIT:
        lines.append(row.problem)
    if len(record.attempts) > 1:
        tries = (f"{tried.outcome} {text.seconds(tried.seconds)}" for tried in record.attempts)
        lines.append(f"Attempts: {', '.join(tries)}")
    if not record.ok and record.request_id:
        lines.append(f"Request: {record.request_id}")
    if record.thinking_tokens and not record.thinking:
        lines.append(f"Thinking: {text.count(record.thinking_tokens, 'token')}, not sent")
    if record.probabilities and len(record.probabilities) > 1:
        yield _probabilities(record.probabilities)
    if lines:
        yield Says(tuple(text.isolated(line, 1000) for line in lines), "dim")
    if record.thinking:
        words = f"thinking: {text.count(len(record.thinking.split()), 'word')}"
        yield kinds.Disclosure(words, (kinds.Text("", record.thinking, limit),), page_only=True)


def _probabilities(shares: Mapping[str, float]) -> kinds.Shares:
    """The probability of each label, the most probable first."""
    ranked = sorted(shares.items(), key=lambda each: -each[1])
    drawn = (kinds.Share(label, share, at == 0) for at, (label, share) in enumerate(ranked))
    more = max(len(ranked) - MOST_LABELS, 0)
    return kinds.Shares("Probabilities", tuple(drawn)[:MOST_LABELS], more)


# --- guardrails -----------------------------------------------------------------------------------


def guard_line(guard: Guard) -> str:
    """What a guard said and what follows from it, in words."""
    return f"Guardrail '{text.isolated(guard.name, 60)}' {text.isolated(guard_said(guard), 500)}"


def guard_said(guard: Guard) -> str:
    """The same without the guard's name."""
    reason = text.one_line(guard.reason.strip(), MOST_REASON)
    if guard.verdict is None:
        why = f" ({reason})" if reason else ""
        return f"gave no verdict{why}, which {'lets pass' if guard.passed else 'blocks'}"
    label = text.one_line(guard.verdict, 60)
    if guard.passed:
        against = f" ({text.one_line(guard.block, 60)} would block)" if guard.block else ""
        return f"passed: {label}{against}"
    return f"blocked: {label}" + (f". {reason}" if reason not in ("", guard.verdict) else "")
