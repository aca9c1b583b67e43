"""How things look: words and colours of states, and the inline styles.

JupyterLab takes <style>, <svg> and ids out of untrusted html, so every style is inline. Colours are
middle tones and translucent greys that read on white and on black; text keeps the page's colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GREEN = "#2e9e66"
BLUE = "#4183d7"
AMBER = "#c58218"
RED = "#d9534f"
PURPLE = "#9a72d6"
GREY = "#8c8c8c"

LINE = "rgba(128,128,128,.28)"
FAINT = "rgba(128,128,128,.14)"


@dataclass(frozen=True, slots=True)
class State:
    """A state's word and colour."""

    word: str
    colour: str


STATES = {
    "ok": State("ok", GREEN),
    "truncated": State("cut off", AMBER),
    "refused": State("refused", PURPLE),
    "invalid": State("invalid", AMBER),
    "failed": State("failed", RED),
    "timed_out": State("timed out", RED),
    "cancelled": State("cancelled", GREY),
    "blocked": State("blocked", GREY),
    "queued": State("queued", GREY),
    "running": State("running", BLUE),
    "answering": State("answering", BLUE),
    "waiting": State("waiting", AMBER),
}


def state(name: str) -> State:
    """The state of that name; an unknown one is shown by its name, in grey."""
    return STATES.get(name) or State(name.replace("_", " "), GREY)


# `mathjax_ignore` (MathJax 3, Lab) and `tex2jax_ignore` (MathJax 2, nbconvert) keep "$5 and $6" in
# a model's text from being typeset.
ROOT_CLASS = "mathjax_ignore tex2jax_ignore"

ROOT = (
    "color:inherit;line-height:1.45;max-width:100%;overflow-wrap:anywhere;"
    "print-color-adjust:exact"  # else paper gets no bars
)
TITLE = "font-size:1.15em;font-weight:600;margin:0;overflow:hidden"
DIM = "opacity:.72"
SMALL = "font-size:.9em"
HEAD = f"{SMALL};font-weight:600;opacity:.72;margin:0 0 .3em"
BLOCK = "margin:.9em 0 0"
BADGE = (
    f"display:inline-block;border:1px solid {AMBER};border-radius:3px;padding:0 .45em;"
    "margin-left:.6em;font-size:.72em;font-weight:600;letter-spacing:.06em;vertical-align:.12em"
)
NOTE = f"border-left:3px solid {AMBER};padding:.1em 0 .1em .7em;margin:.6em 0 0;{SMALL}"
SCROLL = "overflow-x:auto;max-width:100%"

# Notebook front ends stripe, right-align and shrink tables; each line here undoes one of those.
TABLE = (
    "border-collapse:collapse;border:none;width:100%;margin:0;table-layout:auto;"
    "font-size:.95em;color:inherit;background:transparent"
)
ROW = f"background:transparent;border:none;border-top:1px solid {LINE}"
HEAD_ROW = "background:transparent;border:none"
CELL = (
    "padding:.34em .9em .34em 0;border:none;vertical-align:top;background:transparent;"
    "color:inherit;white-space:nowrap;line-height:1.4"
)
HEAD_CELL = f"{CELL};font-weight:600;opacity:.72;font-size:.9em"
TIGHT = "padding-top:.12em;padding-bottom:.12em;vertical-align:middle"
LEFT = "text-align:left"
RIGHT = "text-align:right;font-variant-numeric:tabular-nums"


# Where the reader's system sets all colours, a bar without its own could not be seen.
_TRACK = (
    f"height:.72em;background:{FAINT};border-radius:2px;overflow:hidden;forced-color-adjust:none"
)


def dot(colour: str) -> str:
    """A round mark in that colour, beside a word that says the same."""
    return (
        f'<span style="display:inline-block;width:.6em;height:.6em;border-radius:50%;'
        f'background:{colour};margin-right:.5em"></span>'
    )


def boxed(inner: str, ems: int) -> str:
    """Untrusted words, escaped before, kept inside a box of at most that width and one line."""
    return (
        f'<div style="max-width:{ems}em;max-height:1.6em;overflow:hidden;text-overflow:ellipsis">'
        f"<bdi>{inner}</bdi></div>"
    )


def bar(start: float, queued: float, running: float, colour: str) -> str:
    """One bar on an axis from 0 to 1: from `start`, first the queued part, then the running one."""
    if queued + running <= 0:
        return f'<div style="{_TRACK}"></div>'
    start, queued, running = (min(max(part, 0.0), 1.0) for part in (start, queued, running))
    whole = min(queued + running, 1.0 - start)
    share = queued / (queued + running)
    return (
        f'<div style="{_TRACK}">'
        f'<div style="margin-left:{start * 100:.2f}%;width:{whole * 100:.2f}%;min-width:2px;'
        f'height:100%;background:{LINE}">'
        f'<div style="margin-left:{share * 100:.2f}%;height:100%;background:{colour};'
        f'border-radius:2px;min-width:1px"></div></div></div>'
    )


def bracket(low: float, high: float) -> str:
    """A bracket below a bar, between two places of its axis from 0 to 1."""
    return (
        f'<div style="margin-left:{low * 100:.2f}%;width:{max(high - low, 0) * 100:.2f}%;height:.3em;'
        "box-sizing:border-box;border:1px solid currentColor;border-top:none;opacity:.5;"
        'margin-top:2px"></div>'
    )


def segments(shares: Sequence[float], colour: str) -> str:
    """One bar made of parts that add up to 1, each set off from the next while they are few."""
    if len(shares) > 60:
        return bar(0, 0, 1, colour)
    # Rounded down: a last part that does not fit would wrap under the bar.
    boxes = "".join(
        f'<div style="float:left;width:{int(share * 10_000) / 100}%;height:100%">'
        f'<div style="height:100%;background:{colour};margin-right:1px"></div></div>'
        for share in shares
    )
    return f'<div style="{_TRACK}">{boxes}</div>'
