"""A finished run as blocks: outcome, guards, notes, votes, text, table, answers, timeline, sums."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from parallm_magics.core.tasks import Record
from parallm_magics.display import kinds, looks, text
from parallm_magics.display.columns import Row, models_line, row_of, slowest
from parallm_magics.display.kinds import Block, Says
from parallm_magics.display.totals import (
    LEAST_SPEEDUP,
    Totals,
    called,
    comparison,
    sums_line,
    totals,
)
from parallm_magics.display.view import Guard, View
from parallm_magics.display.votes import section_votes, vote_bars

MOST_ROWS, SHOWN_ROWS = 200, 50
"""Most workers that all have a line, and how many of more have one: a saved notebook must stay readable."""

MOST_TIMES, MOST_AUXILIARY_TIMES = 60, 20
"""Most bars of the timeline; of more calls the slowest are shown."""

ANSWERS_BUDGET = 300_000
"""Characters of answers in one saved output: a notebook must stay openable."""

FEW_ANSWERS = 8
"""Most answers that are open from the start where no aggregate stands above them."""

MOST_REASON = 300
"""Most characters of a guard's reason that are drawn."""


def run_blocks(view: View) -> list[Block]:
    """Everything of a run that may be seen."""
    view = drawable(view)
    sums = totals(view.records, view.extra)
    workers = worker_table(view)
    blocks = above(view, view.title, about_line(view, sums))
    if view.tally is not None:
        blocks.append(vote_bars(view.tally, view.records))
    if view.text is not None:
        blocks.append(kinds.Text(view.text_title, view.text, text.LIMIT))
    if view.section_votes:
        blocks.append(section_votes(view.section_votes, view.more_section_votes))
    if view.counts:
        blocks.append(Says(tuple(_counted(*each) for each in view.counts), "strong"))
    blocks += [workers, *_answers(view, workers.rows)]
    return [*blocks, *timeline(view.records, view.extra, sums), kinds.Footer(sums_line(sums))]


def report_blocks(
    title: str, about: str, lead: str, blocks: Sequence[Block], view: View
) -> list[Block]:
    """A report of measurements: these blocks, and the calls behind them folded away.

    Args:
        about: what was measured, in a line.
        lead: why the outcome is what it is, in one sentence.
    """
    view = drawable(view)
    sums = totals(view.records, view.extra)
    calls = replace(worker_table(view), folded=f"Calls ({len(view.records):,})")
    footer = kinds.Footer(f"{about_line(view, sums)} · {sums_line(sums)}")
    return [*above(view, title, about, lead), *blocks, calls, footer]


def above(view: View, title: str, about: str, lead: str | None = None) -> list[Block]:
    """The outcome, what guardrails said, and what the reader should know."""
    calls = (*view.records, *view.extra)
    simulated = view.simulated or any(record.simulated for record in calls)
    blocks: list[Block] = [kinds.Heading(title, about, simulated, lead)]
    if view.guards:
        blocks.append(kinds.Marks(tuple(map(guard_mark, view.guards))))
    return [*blocks, kinds.Notes(view.notes)] if view.notes else blocks


def about_line(view: View, sums: Totals) -> str:
    """Who answered, how long it took, what it cost."""
    noun = {"vote": "vote", "study": "call"}.get(view.pattern, "worker")
    if view.tally is not None and not view.tally.counted:
        noun = "answer"
    different = {(record.model, record.model_answered): record for record in view.records[::-1]}
    rows = [*map(row_of, reversed(different.values())), *map(row_of, view.extra)]
    parts = [text.count(len(view.records), noun), models_line(rows), text.seconds(sums.seconds)]
    used = sums.usage and text.count(sums.usage.total_tokens, "token", sums.usage_complete)
    parts += [used] if used else []
    parts += [] if sums.cost is None else [text.money(sums.cost, sums.cost_complete)]
    parts += [f"asked at {text.one_line(address, 80)}" for address in view.addresses]
    return " · ".join(parts)


def _counted(name: str, labels: Sequence[tuple[str, int]]) -> str:
    """How often each label was read in a map, for one section."""
    told = " · ".join(f"{text.isolated(label, 60)} {number:,}" for label, number in labels)
    return f"{text.isolated(name, 80)}: {told}" if name else told


# --- guardrails -----------------------------------------------------------------------------------

_OURS = ("blocked", "cancelled")


def drawable(view: View) -> View:
    """The view without anything that a guard withholds, however the records came to hold it."""
    if not view.blocked and all(r.status != "blocked" for r in (*view.records, *view.extra)):
        return view
    blocked = view.blocked
    return replace(
        view,
        records=tuple(_bare(r) if blocked or r.status == "blocked" else r for r in view.records),
        # A guard's words are about what goes in.
        extra=tuple(
            _bare(r) if r.status == "blocked" or (blocked and r.role != "guard") else r
            for r in view.extra
        ),
        tally=None if blocked else view.tally,
        section_votes=() if blocked else view.section_votes,
        counts=() if blocked else view.counts,
        ballots=() if blocked else view.ballots,
    )


def _bare(record: Record) -> Record:
    # An error may quote the answer that it is about; only those of our own making cannot.
    error = record.error if record.error and record.error.kind in _OURS else None
    return replace(record, text="", thinking=None, value=None, error=error)


def guard_line(guard: Guard) -> str:
    """What a guard said and what follows from it, in words."""
    who = f"Guardrail '{text.isolated(guard.name, 60)}'"
    reason = guard.reason.strip()
    told = text.isolated(reason, MOST_REASON)
    if guard.verdict is None:
        why = f" ({told})" if reason else ""
        return f"{who} gave no verdict{why}, which {'lets pass' if guard.passed else 'blocks'}"
    label = text.isolated(guard.verdict, 60)
    if guard.passed:
        against = f" ({text.isolated(guard.block, 60)} blocks)" if guard.block else ""
        return f"{who} passed: {label}{against}"
    return f"{who} blocked: {label}" + (f". {told}" if reason not in ("", guard.verdict) else "")


def guard_mark(guard: Guard) -> tuple[str, str]:
    """The same with its colour before it."""
    passed = looks.AMBER if guard.verdict is None else looks.GREEN
    return passed if guard.passed else looks.RED, guard_line(guard)


# --- the table and the answers --------------------------------------------------------------------


def worker_table(view: View) -> kinds.Workers:
    """A row a worker and a call beside them, and a word on what is left out.

    Of too many workers those without success come first, then the first of the others.
    """
    ballots = view.ballots or ("",) * len(view.records)
    total = len(view.records)
    places: Iterable[int] = range(total)
    left = []
    if total > MOST_ROWS:
        lost = [at for at, record in enumerate(view.records) if not record.ok][:SHOWN_ROWS]
        good = (at for at, record in enumerate(view.records) if record.ok)
        places = [*lost, *itertools.islice(good, SHOWN_ROWS - len(lost))]
        left.append(f"{total - SHOWN_ROWS:,} more workers in the result")
    if len(view.extra) > SHOWN_ROWS:
        calls = text.count(len(view.extra) - SHOWN_ROWS, "more call")
        left.append(f"{calls} beside the workers in the result")
    rows = [row_of(view.records[at], ballots[at]) for at in places]
    rows += map(row_of, view.extra[:SHOWN_ROWS])
    return kinds.Workers(tuple(rows), "; ".join(left), asked=view.columns)


def _answers(view: View, rows: Sequence[Row]) -> list[Block]:
    """The answers of these in full, each folded away, but for those that stand elsewhere already."""
    told = (view.text or "")[: text.LIMIT]
    rows = [
        row
        for row in rows
        if row.record is not None
        and row.state != "blocked"
        and (row.state != "ok" or row.record.thinking or row.answer.strip() not in told)
    ]
    limit = min(text.LIMIT, max(1000, ANSWERS_BUDGET // max(len(rows), 1)))
    opened = view.pattern == "fanout" and view.text is None and len(rows) <= FEW_ANSWERS
    folds = tuple(_answer(row, limit, opened) for row in rows)
    if folds and (view.pattern == "vote" or len(rows) > 2 * FEW_ANSWERS):
        folds = (kinds.Disclosure(f"Answers in full ({len(rows):,})", folds),)
    return [kinds.Folds(folds)] if folds else []


def _answer(row: Row, limit: int, opened: bool) -> kinds.Disclosure:
    state, record = looks.STATES[row.state], row.record
    assert record is not None
    blocks: list[Block] = []
    if len(record.attempts) > 1 or not record.ok or record.error:
        blocks.append(Says(tuple(text.one_line(line, 1000) for line in _facts(record)), "dim"))
    if record.thinking:
        words = f"thinking: {text.count(len(record.thinking.split()), 'word')}"
        blocks.append(kinds.Disclosure("", (kinds.Text("", record.thinking, limit),), word=words))
    elif record.thinking_tokens:
        words = f"Thinking: {text.count(record.thinking_tokens, 'token')}, not sent"
        blocks.append(Says((words,), "dim"))
    if record.text.strip():
        blocks.append(kinds.Text("", record.text, limit))
    word = "" if record.ok else state.word
    return kinds.Disclosure(row.titled, tuple(blocks), opened, state.colour, word)


def _facts(record: Record) -> list[str]:
    """Why it is no success, and each try, where there is something to tell."""
    lines = []
    if record.error:
        http = f" (HTTP {record.error.http})" if record.error.http else ""
        lines.append(f"{record.error.message}{http}")
    if len(record.attempts) > 1 or (record.attempts and not record.ok):
        tries = (f"{tried.outcome} {text.seconds(tried.seconds)}" for tried in record.attempts)
        lines.append(f"Attempts: {', '.join(tries)}")
    if not record.ok and record.request_id:
        lines.append(f"Request: {record.request_id}")
    return lines


# --- times ----------------------------------------------------------------------------------------


def timeline(
    records: Sequence[Record], extra: Sequence[Record] = (), sums: Totals | None = None
) -> list[Block]:
    """A bar a worker on a common axis; nothing where no worker ran."""
    if not any(map(called, records)):
        return []
    sums = sums or totals(records, extra)
    compared = sums.speedup is not None and sums.speedup >= LEAST_SPEEDUP
    span = max(record.end for record in (*records, *extra)) or 1.0
    drawn = slowest(records, MOST_TIMES) if len(records) > MOST_TIMES else records
    auxiliary = slowest(extra, MOST_AUXILIARY_TIMES) if len(extra) > MOST_AUXILIARY_TIMES else extra
    return [
        kinds.Timeline(
            tuple(row_of(each, span=span) for each in drawn),
            tuple(row_of(each, span=span) for each in auxiliary),
            len(records),
            span,
            sums.working_seconds if compared else None,
            tuple(each.seconds for each in records if each.seconds > 0) if compared else (),
            comparison(records, extra, sums),
        )
    ]
