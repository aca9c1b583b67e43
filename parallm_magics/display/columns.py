"""The columns of the worker table: one entry each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from parallm_magics.display import looks, preview, text
from parallm_magics.display.call_rows import Row
from parallm_magics.display.markup import Element, Markup, bar, bdi, box, dim, dot, joined, strong

NAME_LIMIT, CELL_LIMIT, ANSWER_LIMIT = 40, 80, 200
"""Most characters of a name, of a cell on a page, and of an answer's beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of the worker table, live, saved and in plain text.

    Attributes:
        name: how code and `%config ParallmMagics.columns` refer to it.
        words: its cell in words, whoever wrote them.
        shown: whether these rows need it; the flag says whether the run is still going on.
        html: its cell on a page, where that is more than the words.
        heads: its heading on a page, where that is more than the name; the flag as above.
        names: whether it names its row.
        picture: its cell on a page where that is a drawing without words, on an axis of so many seconds.
        ems: the width of its box on a page, which cuts off what is longer; 0 for no box.
        room: from which width of the page on, in pixels, it is shown: one of less weight gives way.
        share: the share of the page's width, in percent, that its box is kept to, less 6em; 0 for any.
        wide: most terminal columns that it takes.
        limit: most characters on a page.
        right: whether it is aligned to the right, as numbers are.
        style: of its cells on a page.
        on_request: whether it is shown only where a run asks for it.
    """

    name: str
    heading: str
    words: Callable[[Row], str]
    shown: Callable[[Sequence[Row], bool], bool] = lambda rows, live: True
    html: Callable[[Row], Markup] | None = None
    heads: Callable[[Sequence[Row], bool], Markup] | None = None
    names: bool = False
    picture: Callable[[Row, float], Markup] | None = None
    ems: int = 0
    room: int = 0
    share: int = 0
    wide: int = 160
    limit: int = CELL_LIMIT
    right: bool = False
    style: str = ""
    on_request: bool = False


def columns_of(
    rows: Sequence[Row], live: bool, asked: Sequence[str] = (), *, pictured: bool = True
) -> list[Column]:
    """The columns that these rows need, and those that are asked for.

    Args:
        pictured: whether pictures of times are among them.
    """
    return [
        column
        for column in COLUMNS
        if (column.name in asked if column.on_request else column.shown(rows, live))
        and (pictured or column.picture is None)
    ]


def _name(row: Row) -> Markup:
    state = looks.STATES[row.state]
    return joined((dot(state.colour), _named(text.one_line(row.name, NAME_LIMIT))))


def _state(row: Row) -> str:
    tries = f" ×{row.attempts}" if row.attempts > 1 else ""
    return f"{looks.STATES[row.state].word}{tries}"


def axis(span: float) -> Markup:
    """Where the bars begin and end."""
    return _ends(_from("0 s"), _to(text.seconds(span)))


def _openable(rows: Sequence[Row], live: bool) -> Markup:
    opens = not live and any(row.record and row.record.text.strip() for row in rows)
    if not live and all(row.fields is not None and not said(row) for row in rows):
        return joined(())  # the fields' columns say all
    return joined(("Answer", " (click to open)" if opens else ""))


def elapsed(row: Row, span: float) -> Markup:
    """When the call waited and ran, on an axis of so many seconds."""
    if row.seconds is None or span <= 0:
        return bar()
    return bar(
        ((row.start - row.queued) / span, ""),
        (row.queued / span, looks.LINE),
        (row.seconds / span, looks.STATES[row.state].colour),
    )


def _most_probable(row: Row) -> tuple[str, float] | None:
    """The label that a model gives the highest probability, and that; None where it gives none."""
    shares = row.record.probabilities if row.record else None
    return max(shares.items(), key=itemgetter(1)) if shares else None


def _probability(row: Row) -> str:
    top = _most_probable(row)
    if top is None:
        return ""
    label, share = top
    named = "" if label == row.vote else f"{text.one_line(label, 30)}: "
    return f"{named}{text.percent(share)} %"


def _probable(row: Row) -> Markup:
    top = _most_probable(row)
    if top is None:
        return joined(())
    return joined((_strip(bar((top[1], looks.BLUE))), _probability(row)))


def said(row: Row) -> str:
    """The answer's first words, or why there is none: what there is of it opens below, but of counts."""
    answer = text.one_line(preview.words(row.answer, ANSWER_LIMIT), ANSWER_LIMIT)
    if not row.problem:
        return answer
    problem = text.one_line(row.problem, ANSWER_LIMIT)
    return f"{problem} · {answer}" if answer and row.record is None else problem


_named = Element(
    "bdi",
    style="display:inline-block;max-width:13em;overflow:hidden;text-overflow:ellipsis;"
    "vertical-align:middle;font-weight:600",
)
_ends, _from, _to = (
    Element("div", style=style)
    for style in ("display:flex;justify-content:space-between", "padding-right:1em", "")
)
# Why there is no success is read whole, in as many lines as it takes.
_problem = Element("bdi", style="white-space:normal")
_lowered = Element("div", style="padding-top:.35em")
_strip = Element(
    "span", style="display:inline-block;width:3.5em;margin-right:.5em;vertical-align:middle"
)
# Where the room is too small the beginning goes, with an ellipsis: the newest words stay in sight.
_arriving = Element(
    "div", style="direction:rtl;text-align:left;overflow:hidden;text-overflow:ellipsis"
)


def _said_of(field: str) -> Callable[[Sequence[Row], bool], bool]:
    """Whether the field says something in any of the rows."""
    value = attrgetter(field)
    return lambda rows, live: any(value(row) not in ("", None) for row in rows)


def _setting(name: str, heading: str, **look: Any) -> Column:
    """How calls are asked: shown where the workers that have begun are not all asked alike."""
    asked = attrgetter(f"about.{name}")
    return Column(
        name,
        heading,
        asked,
        lambda rows, live: (
            len({asked(row) for row in rows if row.role == "worker" and row.state != "queued"}) > 1
        ),
        **look,
    )


def _answer(row: Row) -> Markup:
    if row.state == "answering" and row.fields is None:
        return _arriving(bdi(said(row)))
    return (_problem if row.problem else bdi)(said(row))


COLUMNS: tuple[Column, ...] = (
    Column(
        "item", "Item", attrgetter("about.item"), _said_of("about.item"), ems=20, share=32, wide=30
    ),
    Column("name", "Worker", attrgetter("name"), html=_name, names=True, wide=24, limit=NAME_LIMIT),
    Column(
        "state",
        "State",
        _state,
        # That all went well at once goes without saying.
        lambda rows, live: live or any(row.state != "ok" or row.attempts > 1 for row in rows),
    ),
    Column(
        "vote",
        "Read as",
        attrgetter("vote"),
        _said_of("vote"),
        lambda row: (strong if row.voted else dim)(box(12)(text.one_line(row.vote, NAME_LIMIT))),
        wide=20,
    ),
    Column(
        "probability",
        "Probability",
        _probability,
        lambda rows, live: any(row.record and row.record.probabilities for row in rows),
        _probable,
        wide=20,
    ),
    Column(
        "model",
        "Model",
        attrgetter("model"),
        lambda rows, live: len({row.model for row in rows if row.role == "worker"}) > 1,
        ems=15,
        room=760,
        wide=30,
    ),
    _setting("temperature", "Temp.", right=True, room=680),
    _setting("effort", "Effort", wide=10, room=680),
    _setting("system", "System", ems=14, room=900, wide=20),
    Column(
        "elapsed",
        "Elapsed",
        lambda row: "",
        picture=lambda row, span: _lowered(elapsed(row, span)),
        style=";width:18%;min-width:5em",
    ),
    Column("seconds", "Time", lambda row: text.seconds(row.seconds), right=True),
    Column(
        "tokens",
        "Tokens",
        lambda row: text.count(row.tokens),
        lambda rows, live: live or any(row.tokens is not None for row in rows),
        right=True,
        room=620,
    ),
    Column(
        "cost", "Cost", lambda row: text.money(row.cost), _said_of("cost"), right=True, room=660
    ),
    Column(
        "request",
        "Request",
        lambda row: (row.record.request_id if row.record else None) or "–",
        ems=17,
        wide=30,
        on_request=True,
    ),
    Column(
        "batch",
        "Batch",
        lambda row: (row.record.batch if row.record else "") or "–",
        ems=17,
        wide=30,
        on_request=True,
    ),
    Column(
        "answer",
        "Answer",
        said,
        html=_answer,
        heads=_openable,
        style=";width:100%;max-width:0;min-width:10em;padding-right:0;overflow:hidden;text-overflow:ellipsis",
    ),
)
