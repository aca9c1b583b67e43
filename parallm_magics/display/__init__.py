"""From records to what a person sees: pure, without a clock, a kernel or a browser."""

from parallm_magics.display.batch_rows import ByBatch, by_batch
from parallm_magics.display.board import Board
from parallm_magics.display.call_rows import item_of, state_of
from parallm_magics.display.field_standings import FieldStandings
from parallm_magics.display.field_tallies import decided
from parallm_magics.display.kinds import (
    Block,
    Curve,
    Disclosure,
    Dot,
    Dots,
    Facts,
    Heading,
    Matrix,
    Notes,
    Prompt,
    Says,
    Table,
)
from parallm_magics.display.plain_tables import COLUMNS
from parallm_magics.display.reliability import StatedShare, reliability
from parallm_magics.display.run_blocks import report_blocks, run_blocks, timeline
from parallm_magics.display.run_rows import rows_of
from parallm_magics.display.stylesheet import StyleSheet
from parallm_magics.display.text import (
    about,
    correlation,
    count,
    isolated,
    listed,
    money,
    one_line,
    percent,
    points,
    seconds,
)
from parallm_magics.display.to_html import html
from parallm_magics.display.to_plain import plain
from parallm_magics.display.totals import Sums, Totals, totals
from parallm_magics.display.typed_words import in_words
from parallm_magics.display.view import (
    Counts,
    FieldTally,
    Guard,
    SectionVote,
    Tally,
    View,
    Whole,
)
from parallm_magics.display.votes import vote_bars

__all__ = [
    "COLUMNS",
    "Block",
    "Board",
    "ByBatch",
    "Counts",
    "Curve",
    "Disclosure",
    "Dot",
    "Dots",
    "Facts",
    "FieldStandings",
    "FieldTally",
    "Guard",
    "Heading",
    "Matrix",
    "Notes",
    "Prompt",
    "Says",
    "SectionVote",
    "StatedShare",
    "StyleSheet",
    "Sums",
    "Table",
    "Tally",
    "Totals",
    "View",
    "Whole",
    "about",
    "by_batch",
    "correlation",
    "count",
    "decided",
    "html",
    "in_words",
    "isolated",
    "item_of",
    "listed",
    "money",
    "one_line",
    "percent",
    "plain",
    "points",
    "reliability",
    "report_blocks",
    "rows_of",
    "run_blocks",
    "seconds",
    "state_of",
    "timeline",
    "totals",
    "vote_bars",
]  # fmt: skip
