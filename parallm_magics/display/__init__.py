"""From records to what a person sees: pure, without a clock, a kernel or a browser."""

from parallm_magics.display.board import Board
from parallm_magics.display.counts import Counts
from parallm_magics.display.facts import Fact, facts_html, facts_plain
from parallm_magics.display.preview import preview_html, preview_plain
from parallm_magics.display.report import (
    Block,
    Curve,
    Lines,
    Matrix,
    Report,
    Table,
    correlation,
    report_html,
    report_plain,
)
from parallm_magics.display.rows import item_of
from parallm_magics.display.text import count, money, one_line, percent, points, seconds, tokens
from parallm_magics.display.timeline import timeline_html, timeline_plain
from parallm_magics.display.to_html import static_html
from parallm_magics.display.to_plain import static_plain
from parallm_magics.display.totals import Totals, totals
from parallm_magics.display.view import Guard, SectionVote, Tally, View
from parallm_magics.display.vote_bars import tally_html, tally_plain

__all__ = [
    "Block",
    "Board",
    "Counts",
    "Curve",
    "Fact",
    "Guard",
    "Lines",
    "Matrix",
    "Report",
    "SectionVote",
    "Table",
    "Tally",
    "Totals",
    "View",
    "correlation",
    "count",
    "facts_html",
    "facts_plain",
    "item_of",
    "money",
    "one_line",
    "percent",
    "points",
    "preview_html",
    "preview_plain",
    "report_html",
    "report_plain",
    "seconds",
    "static_html",
    "static_plain",
    "tally_html",
    "tally_plain",
    "timeline_html",
    "timeline_plain",
    "tokens",
    "totals",
]
