"""The saved picture of a run: self-contained html without script, the same for the same records."""

from __future__ import annotations

from parallm_magics.core.tasks import Record
from parallm_magics.display import looks, text
from parallm_magics.display.columns import table_html
from parallm_magics.display.counts import counts_html
from parallm_magics.display.guards import guards_html
from parallm_magics.display.markdown import markdown
from parallm_magics.display.redaction import drawable
from parallm_magics.display.rows import row_of, titled
from parallm_magics.display.summary import beside, chosen, footer, simulated, subtitle
from parallm_magics.display.timeline import timeline_html
from parallm_magics.display.view import View
from parallm_magics.display.vote_bars import section_votes_html, tally_html

BUDGET = 300_000
"""Characters of answers in one saved output: a notebook must stay openable."""

FEW = 8
"""Most answers that are open from the start where no aggregate stands above them."""


def static_html(view: View) -> str:
    """The run as static html: outcome, guards, tally, text, table, answers, timeline, sums."""
    view = drawable(view)
    parts = [
        _heading(view),
        guards_html(view.guards),
        *(note_html(note) for note in view.notes),
        tally_html(view.tally, view.records) if view.tally else "",
        _text(view),
        section_votes_html(view.polls),
        counts_html(view.counts),
        _table(view),
        _answers(view),
        timeline_html(view.records, view.extra),
        f'<div style="{looks.BLOCK};{looks.SMALL};{looks.DIM}">{text.escape(footer(view))}</div>',
    ]
    return f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}">{"".join(parts)}</div>'


def _heading(view: View) -> str:
    badge = f'<span style="{looks.BADGE}">SIMULATED</span>' if simulated(view) else ""
    return (
        f'<div style="{looks.TITLE}"><bdi>{text.escape(text.one_line(view.title, 200))}</bdi>'
        f'{badge}</div><div style="{looks.SMALL};{looks.DIM}">{text.escape(subtitle(view))}</div>'
    )


def note_html(note: str) -> str:
    """One line that the reader should know, set off from the rest."""
    return f'<div style="{looks.NOTE};overflow:hidden" dir="auto">{text.escape(text.one_line(note, 500))}</div>'


def _table(view: View) -> str:
    shown, left = chosen(view)
    rows = [row_of(record, ballot=ballot) for record, ballot in shown]
    rows += [row_of(record, aside=True) for record in beside(view)]
    more = f'<div style="{looks.SMALL};{looks.DIM}">{text.escape(left)}</div>' if left else ""
    return f'<div style="{looks.BLOCK}">{table_html(rows)}{more}</div>'


def _text(view: View) -> str:
    if view.text is None:
        return ""
    return (
        f'<div style="{looks.BLOCK}"><div style="{looks.HEAD}">'
        f"{text.escape(text.one_line(view.text_title))}</div>{_rendered(view.text)}</div>"
    )


def _rendered(answer: str, limit: int = text.LIMIT, ems: int = 60) -> str:
    return (
        f'<div dir="auto" style="border-left:3px solid {looks.LINE};padding:0 0 0 .9em;'
        f'max-height:{ems}em;overflow:auto">{markdown(answer, limit)}</div>'
    )


def _answers(view: View) -> str:
    records = [record for record, _ in chosen(view)[0]] + beside(view)
    records = [record for record in records if not _told(record, view)]
    if not records:
        return ""
    limit = min(text.LIMIT, max(1000, BUDGET // len(records)))
    opened = view.pattern == "fanout" and view.text is None and len(records) <= FEW
    details = "".join(_detail(record, limit, opened) for record in records)
    if view.pattern == "vote" or len(records) > 2 * FEW:
        details = _details(f"Answers in full ({len(records):,})", details, False)
    return f'<div style="{looks.BLOCK}">{details}</div>'


def _told(record: Record, view: View) -> bool:
    """Whether all that may be drawn of the record stands elsewhere already."""
    if record.status == "blocked":
        return True
    return (
        record.ok and not record.thinking and record.text.strip() in (view.text or "")[: text.LIMIT]
    )


def _detail(record: Record, limit: int, opened: bool) -> str:
    state = looks.state(record.status)
    word = "" if record.ok else f' <span style="{looks.DIM}">{text.escape(state.word)}</span>'
    title = (
        f'{looks.dot(state.colour)}<bdi style="{_SUMMARY}">'
        f"{text.escape(text.one_line(titled(record), 80))}</bdi>{word}"
    )
    body = _facts(record) + _thinking(record, limit)
    body += _rendered(record.text, limit, 40) if record.text.strip() else ""
    return _details(title, body, opened)


def _thinking(record: Record, limit: int) -> str:
    """What the model wrote to itself, folded away; how much it was where nobody sends it."""
    if record.thinking:
        words = text.count(len(record.thinking.split()), "word")
        return _details(
            f'<span style="{looks.DIM}">thinking: {words}</span>',
            _rendered(record.thinking, limit, 40),
            False,
        )
    if not record.thinking_tokens:
        return ""
    tokens = text.count(record.thinking_tokens, "token")
    return f'<div style="{looks.SMALL};{looks.DIM}">Thinking: {tokens}, not sent</div>'


_SUMMARY = (
    "display:inline-block;max-width:85%;max-height:1.45em;overflow:hidden;text-overflow:ellipsis;"
    "vertical-align:bottom;font-weight:600"
)


def _details(title: str, body: str, opened: bool) -> str:
    return (
        f'<details{" open" if opened else ""} style="margin:.35em 0">'
        f'<summary style="cursor:pointer">{title}</summary>'
        f'<div style="margin:.4em 0 .6em 1.1em">{body}</div></details>'
    )


def _facts(record: Record) -> str:
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
    return "".join(
        f'<div dir="auto" style="{looks.SMALL};{looks.DIM}">'
        f"{text.escape(text.one_line(line, 1000))}</div>"
        for line in lines
    )
