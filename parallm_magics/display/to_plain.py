"""The run as aligned text for terminals, logs and readers without html."""

from __future__ import annotations

from parallm_magics.display import text
from parallm_magics.display.columns import table_plain
from parallm_magics.display.counts import counts_plain
from parallm_magics.display.guards import guards_plain
from parallm_magics.display.redaction import drawable
from parallm_magics.display.rows import row_of
from parallm_magics.display.summary import beside, chosen, footer, simulated, subtitle
from parallm_magics.display.timeline import timeline_plain
from parallm_magics.display.view import View
from parallm_magics.display.vote_bars import section_votes_plain, tally_plain

COLUMNS = 100


def static_plain(view: View) -> str:
    """The run as text of at most 100 columns, without any control character."""
    view = drawable(view)
    mark = "  [SIMULATED]" if simulated(view) else ""
    blocks = [
        [text.one_line(view.title, 200) + mark, subtitle(view)],
        guards_plain(view.guards),
        [f"Note: {text.one_line(note, 500)}" for note in view.notes],
        tally_plain(view.tally, view.records, COLUMNS) if view.tally else [],
        counts_plain(view.counts),
        _table(view),
        section_votes_plain(view.polls, COLUMNS),
        _text(view),
        timeline_plain(view.records, view.extra, COLUMNS),
        [footer(view)],
    ]
    lines: list[str] = []
    for block in filter(None, blocks):
        lines += ["", *(part for line in block for part in text.wrap(line, COLUMNS))]
    return "\n".join(lines[1:])


def _table(view: View) -> list[str]:
    shown, left = chosen(view)
    rows = [row_of(record, ballot=ballot) for record, ballot in shown]
    rows += [row_of(record, aside=True) for record in beside(view)]
    return table_plain(rows, COLUMNS) + ([left] if left else [])


def _text(view: View) -> list[str]:
    if view.text is None:
        return []
    title = text.one_line(view.text_title, COLUMNS)
    return [title, "-" * text.width(title), *text.plain(view.text.strip()).split("\n")]
