"""How things look: words and colours of states, and the inline styles.

JupyterLab takes <style>, <svg> and ids out of untrusted html, so every style is inline. Colours are
middle tones and translucent greys that read on white and on black; text keeps the page's colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from parallm_magics.core.tasks import BallotState

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
    """How a call may stand.

    Attributes:
        word: what it is called, wherever a user meets it.
        colour: of its mark and its bar.
        ballot: what a vote in this state counts as; "" where that is for its answer to say.
        lack: what a text in which its answer is missing says, where the word alone would not.
    """

    word: str
    colour: str
    ballot: BallotState | Literal[""] = ""
    lack: str = ""

    @property
    def mark(self) -> str:
        """What stands in a text in the place of its answer, such as "[timed out]"."""
        return f"[{self.lack or self.word}]"


class _States(dict[str, State]):
    def __missing__(self, name: str) -> State:
        return State(name.replace("_", " "), GREY)


STATES = _States(
    {
        "ok": State("ok", GREEN),
        "truncated": State("cut off", AMBER),
        "refused": State("refused", PURPLE, "abstain"),
        "invalid": State("invalid", AMBER, "invalid", "no usable answer"),
        "failed": State("failed", RED, "failed"),
        "timed_out": State("timed out", RED, "failed"),
        "cancelled": State("cancelled", GREY, "cancelled"),
        "blocked": State("blocked", GREY, "cancelled"),
        "in_batch": State("in a batch", GREY, "cancelled"),
        "queued": State("queued", GREY),
        "loading": State("loading", GREY),
        "running": State("running", BLUE),
        "answering": State("answering", BLUE),
        "waiting": State("waiting", AMBER),
    }
)
"""How a call may stand, by name; an unknown one is shown by its name, in grey."""

BALLOTS = {"abstain": "abstained", "invalid": "unreadable", "failed": "–", "cancelled": "–"}
"""Why there is no vote, in the word of the line that counts it; a failed call says it itself."""


# By `parallm-run` the live table knows that the result stands beside it.
#
# `mathjax_ignore` (MathJax 3, Lab) and `tex2jax_ignore` (MathJax 2, nbconvert) keep "$5 and $6" in
# a model's text from being typeset.
ROOT_CLASS = "parallm-run mathjax_ignore tex2jax_ignore"

ROOT = (
    "color:inherit;line-height:1.45;max-width:100%;overflow-wrap:anywhere;"
    "print-color-adjust:exact"  # else paper gets no bars
)
TITLE = "font-size:1.15em;font-weight:600;margin:0;overflow:hidden"
DIM = "opacity:.75"
SMALL = "font-size:.9em"
SMALL_DIM = f"{SMALL};{DIM}"
HEAD = f"{SMALL};font-weight:600;opacity:.75;margin:0 0 .3em"
BLOCK = "margin:.9em 0 0"
BADGE = (
    f"display:inline-block;border:1px solid {AMBER};border-radius:3px;padding:0 .45em;"
    "margin-left:.6em;font-size:.72em;font-weight:600;letter-spacing:.06em;vertical-align:.12em"
)
NOTE = f"border-left:3px solid {AMBER};padding:.1em 0 .1em .7em;margin:.6em 0 0;{SMALL}"
SCROLL = "overflow-x:auto;max-width:100%"
CUT = "overflow:hidden;max-width:100%"
# What is in it can ask how wide the page is. A narrow least width: as a container it has none of its own.
CONTAINER = f"{SCROLL};container-type:inline-size;width:100%;min-width:14em"
# Said to who cannot see the page, and out of sight.
UNSEEN = "font-size:0;line-height:0;height:0;padding:0;overflow:hidden"

# Notebook front ends stripe, right-align and shrink tables; each line here undoes one of those.
TABLE = (
    "border-collapse:collapse;border:none;width:100%;margin:0;table-layout:auto;"
    "font-size:.95em;color:inherit;background:transparent"
)
ROW = f"background:transparent;border:none;border-top:1px solid {LINE}"
HEAD_ROW = "background:transparent;border:none"
CELL = "padding:.2em .7em .2em 0;border:none;vertical-align:top;white-space:nowrap;line-height:1.4"
HEAD_CELL = f"{CELL};font-weight:600;opacity:.75;font-size:.9em"
TIGHT = "padding-top:.12em;padding-bottom:.12em;vertical-align:middle"
LEFT = "text-align:left"
RIGHT = "text-align:right;font-variant-numeric:tabular-nums"
