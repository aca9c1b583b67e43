"""The rendered prompts of a dry run."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.display import looks, text
from parallm_magics.display.to_html import note_html

# name, model, prompt
Row = tuple[str, str, str]

MOST = 50
"""Prompts that are shown; the preview object holds more of them."""


def preview_html(title: str, rows: Sequence[Row], calls: int, notes: Sequence[str] = ()) -> str:
    """A heading, notes, and the first prompts of so many calls in full, as html."""
    parts = "".join(
        f'<details style="margin:.35em 0"{" open" if len(rows) <= 3 else ""}>'
        f'<summary style="cursor:pointer"><bdi style="font-weight:600">{text.escape(name)}</bdi> '
        f'<span style="{looks.DIM}">{text.escape(model)}</span></summary>'
        f'<pre dir="auto" style="white-space:pre-wrap;margin:.4em 0 .6em 1.1em">'
        f"{text.escape(prompt)}</pre></details>"
        for name, model, prompt in rows[:MOST]
    )
    return (
        f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}">'
        f'<div style="{looks.TITLE}">{text.escape(title)}</div>'
        f"{''.join(note_html(note) for note in notes)}{parts}{_rest(calls)}</div>"
    )


def preview_plain(title: str, rows: Sequence[Row], calls: int, notes: Sequence[str] = ()) -> str:
    """A heading, notes, and the first prompts of so many calls in full, as plain text."""
    said = [f"Note: {text.one_line(note, 500)}" for note in notes]
    parts = [
        f"--- {text.one_line(name)} ({text.one_line(model)})\n{text.plain(prompt)}"
        for name, model, prompt in rows[:MOST]
    ]
    return "\n\n".join([title, *said, *parts, *([_rest(calls)] if calls > MOST else [])])


def _rest(calls: int) -> str:
    left = calls - MOST
    return f"… and {left:,} more" if left > 0 else ""
