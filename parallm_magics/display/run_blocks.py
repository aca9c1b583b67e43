"""A finished run as blocks: outcome, notes, aggregate, table."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.core.tasks import Record
from parallm_magics.display import kinds, text
from parallm_magics.display.batch_rows import batch_table, batches_in_words
from parallm_magics.display.call_rows import models_line, row_of, slowest
from parallm_magics.display.field_tallies import field_votes
from parallm_magics.display.kinds import Block, Says
from parallm_magics.display.run_rows import guard_line, worker_tables
from parallm_magics.display.totals import (
    LEAST_SPEEDUP,
    Totals,
    comparison,
    sums_parts,
    took,
    totals,
)
from parallm_magics.display.view import Guard, View, drawable
from parallm_magics.display.votes import vote_bars

MOST_TIMES, MOST_AUXILIARY_TIMES = 60, 20
"""Most bars of the picture of times; of more calls the slowest are shown."""


def run_blocks(view: View) -> list[Block]:
    """Everything of a run that may be seen: the outcome, the aggregate, then a row a worker."""
    view = drawable(view)
    sums = view.totals
    rows = {record.name for record in view.extra if record.role == "guard"}
    unseen = [guard for guard in view.guards if guard.name not in rows]
    blocks = above(view, unseen, view.title, about_line(view, sums))
    if view.fields:
        blocks.append(field_votes(view.fields))
    elif view.tally is not None:
        bars = vote_bars(view.tally, view.records, told=view.title)
        blocks += [bars] if bars.bars or bars.verdict or bars.lines else []
    if view.text is not None:
        blocks.append(kinds.Text(view.text_title, view.text, text.LIMIT))
    if view.counts:
        blocks.append(Says(tuple(_counted(*each) for each in view.counts), "strong"))
    tables = [*worker_tables(view), *batch_table(view.batches)]
    if view.pattern == "vote" and not view.blocked:
        noun = "vote" if view.tally is None or view.tally.counted else "answer"
        return [*blocks, kinds.Disclosure(text.count(view.workers, noun), tuple(tables))]
    return [*blocks, *tables]


def report_blocks(
    title: str, about: str, lead: str, blocks: Sequence[Block], view: View
) -> list[Block]:
    """A report of measurements: these blocks, and the calls behind them folded away.

    Args:
        about: what was measured, in a line.
        lead: why the outcome is what it is, in one sentence.
    """
    view = drawable(view)
    number = text.count(view.workers, "call")
    tables = (*worker_tables(view), *batch_table(view.batches))
    calls = kinds.Disclosure(number, tables, page_only=True)
    line = f"{number} · {about_line(view, view.totals)}"
    return [*above(view, view.guards, title, about, lead), *blocks, calls, Says((line,), "dim")]


def above(
    view: View, guards: Sequence[Guard], title: str, about: str, lead: str | None = None
) -> list[Block]:
    """The outcome, what these guardrails said, and what the reader should know."""
    calls = (*view.records, *view.extra)
    simulated = view.simulated or any(record.simulated for record in calls)
    blocks: list[Block] = [kinds.Heading(title, about, simulated, lead)]
    if guards:
        blocks.append(Says(tuple(map(guard_line, guards)), "small"))
    return [*blocks, kinds.Notes(view.notes)] if view.notes else blocks


def about_line(view: View, sums: Totals) -> str:
    """Who answered, how long it took, what it cost."""
    different = {(record.model, record.model_answered): record for record in view.asked[::-1]}
    rows = [*map(row_of, reversed(different.values())), *map(row_of, view.extra)]
    in_batches = batches_in_words(len(view.batches))
    parts = [models_line(rows), took(sums), *sums_parts(sums)]
    parts += [f"in {in_batches}"] if in_batches else []
    parts += [f"asked at {text.one_line(address, 80)}" for address in view.addresses]
    return " · ".join(parts)


def _counted(name: str, labels: Sequence[tuple[str, int]]) -> str:
    """How often each label was read in a map, for one section."""
    told = " · ".join(f"{text.isolated(label, 60)} {number:,}" for label, number in labels)
    return f"{text.isolated(name, 80)}: {told}" if name else told


# --- times ----------------------------------------------------------------------------------------


def timeline(
    records: Sequence[Record],
    extra: Sequence[Record] = (),
    sums: Totals | None = None,
    workers: int | None = None,
) -> list[Block]:
    """A bar a worker on a common axis; nothing where no worker ran.

    Args:
        sums: of all workers.
        workers: how many there are, where `records` are only the slowest.
    """
    sums = sums or totals(records, extra)
    if not sums.calls:
        return []
    compared = sums.speedup is not None and sums.speedup >= LEAST_SPEEDUP
    span = max(record.end for record in (*records, *extra)) or 1.0
    drawn = slowest(records, MOST_TIMES) if len(records) > MOST_TIMES else records
    auxiliary = slowest(extra, MOST_AUXILIARY_TIMES) if len(extra) > MOST_AUXILIARY_TIMES else extra
    return [
        kinds.Timeline(
            tuple(map(row_of, drawn)),
            tuple(map(row_of, auxiliary)),
            len(records) if workers is None else workers,
            span,
            sums.working_seconds if compared else None,
            tuple(each.seconds for each in records if each.seconds > 0) if compared else (),
            comparison(records, extra, sums),
        )
    ]
