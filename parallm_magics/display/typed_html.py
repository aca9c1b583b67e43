"""Names and values as html: facts, definitions of typed answers, shares of labels, and the votes of fields."""

from __future__ import annotations

from collections.abc import Callable

from parallm_magics.display import kinds, looks, text
from parallm_magics.display.markup import (
    Element,
    Markup,
    Pieces,
    bar,
    box,
    dim,
    div,
    grid,
    joined,
    strong,
)

Draw = Callable[[kinds.Block], Markup]

_TIGHT = f"{looks.LEFT};{looks.TIGHT}"
_NAME = f"{_TIGHT};font-weight:600;vertical-align:top"
_VALUE = f"{_TIGHT};width:100%;white-space:normal;padding-right:0"
_GROWS = f"{looks.LEFT};width:100%;min-width:5em;{looks.TIGHT}"
_line = Element("div", dir="auto")
_told = Element("div", dir="auto", style="white-space:pre-wrap;overflow-wrap:anywhere")
_small = Element("div", style=looks.SMALL_DIM)
_details = Element("details")
_summary = Element("summary", style="cursor:pointer")
_lowered = Element("div", style="padding-top:.23em")  # to the middle of the line beside it
_inside = Element("div", style="white-space:normal;margin:.3em 0 .5em 1.1em")


def facts(block: kinds.Facts) -> Pieces:
    """Names, and what is to be known of each on one line."""
    rows = (
        (box(20)(text.one_line(name)), _line(text.one_line(value, 500)))
        for name, value in block.facts
    )
    return grid((f"{_TIGHT};font-weight:600", _VALUE), rows, ruled=True, caption="Facts")


def definition(block: kinds.Definition, draw: Draw) -> Markup:
    """The fields as a small table of names and values; a value that is a block stands in its row."""
    rows = (
        (box(16)(name), _told(value) if isinstance(value, str) else draw(value))
        for name, value in block.entries
    )
    table = grid((_NAME, _VALUE), rows, ruled=True, caption="Fields and their values")
    return joined((table, _small(block.note) if block.note else ""))


def shares(block: kinds.Shares, draw: Draw) -> Markup:
    """A bar a label."""
    rows = [
        (
            strong(_label(each)) if each.strong else _label(each),
            bar((each.share, looks.BLUE if each.strong else looks.GREY)),
            text.points(each.share),
        )
        for each in block.shares
    ]
    styles = (f"{_TIGHT};font-weight:normal", _GROWS, f"{looks.RIGHT};{looks.TIGHT}")
    table = grid(styles, rows, title=block.title)
    more = _small(text.count(block.more, "more label")) if block.more > 0 else ""
    return div("margin:.3em 0;max-width:36em", table, more)


def _label(share: kinds.Share) -> Markup:
    return box(16)(text.one_line(share.label, 60))


def field_votes(block: kinds.FieldVotes, draw: Draw) -> Markup:
    """A row a field; its status opens to how its votes fell."""
    rows = [
        (
            box(14)(text.one_line(row.name, 60)),
            strong(box(30, share=45)(text.one_line(row.winner, 120)))
            if row.winner
            else dim("none"),
            _lowered(bar((row.share, looks.GREEN if row.winner else looks.AMBER))),
            row.votes,
            _status(row, draw),
        )
        for row in block.rows
    ]
    styles = (
        f"{_TIGHT};vertical-align:top",
        f"{_TIGHT};vertical-align:top",
        f"{looks.LEFT};{looks.TIGHT};width:22%;min-width:5em;vertical-align:top",
        f"{looks.RIGHT};{looks.TIGHT};vertical-align:top",
        # As wide as its longest word, or a narrow page would break it at every letter.
        f"{_TIGHT};width:100%;min-width:7em;white-space:normal;padding-right:0",
    )
    head = ("Field", "Winner", "Agreement", "Votes", "Status (click for the votes)")
    caption = "Votes by field"
    table = grid(styles, rows, head, ruled=True, caption=caption, gives_way=True)
    return div(looks.BLOCK, table)


def _status(row: kinds.FieldVoteRow, draw: Draw) -> Markup:
    said = text.one_line(row.status, 200)
    if not row.detail:
        return Element("span")(said)
    return _details(_summary(said), _inside(joined(map(draw, row.detail))))
