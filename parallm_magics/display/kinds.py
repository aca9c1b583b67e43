"""What a view is made of: a list of blocks, each plain data that `to_html` and `to_plain` draw.

Words in a block are as they came, whoever wrote them: escaping is the renderers' work. Foreign words
within a sentence of ours are set off by `text.isolated`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from parallm_magics.display.call_rows import Row


@dataclass(frozen=True, slots=True)
class Heading:
    """The outcome, below it who and how much, and why in a sentence of its own.

    A badge says of simulated answers that they come from no model.
    """

    title: str
    about: str = ""
    simulated: bool = False
    lead: str | None = None


@dataclass(frozen=True, slots=True)
class Notes:
    """What the reader should know, a line each, set off from the rest."""

    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Says:
    """Sentences of ours, a line each."""

    lines: tuple[str, ...]
    look: Literal["plain", "strong", "small", "dim"] = "plain"


@dataclass(frozen=True, slots=True)
class Bar:
    """One label and its votes.

    Attributes:
        mark: what sets the label off, in a word; "" for the others.
        weight: the sum of its votes' weights, where they weigh differently.
    """

    label: str
    votes: int
    mark: str = ""
    weight: float | None = None

    @property
    def weighs(self) -> str:
        """The weight in words; "" where votes are only counted."""
        return "" if self.weight is None else f"weight {self.weight:.4g}"


@dataclass(frozen=True, slots=True)
class Bars:
    """How votes stand against each other, a bar a label on an axis of those requested, and what is said of them.

    Attributes:
        more: how many further labels have no bar.
        verdict: the first of the sentences, in bold.
        statistics: further sentences, which a page folds away.
    """

    bars: tuple[Bar, ...]
    requested: int
    more: int = 0
    verdict: str = ""
    lines: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A text as Markdown, drawn up to a limit; without a title it is a worker's, in its row."""

    title: str
    text: str
    limit: int


@dataclass(frozen=True, slots=True)
class Workers:
    """The table of workers, with a word on those without a row, and the columns that are asked for.

    Attributes:
        details: what each row's answer opens to, none where there is no more to see; empty where
            nothing opens.
        opened: the places of the rows whose details are open from the start.
        live: whether the run is still going on.
        caption: what is in the rows, for who cannot see the page.
        span: the length of the axis of the rows' times in seconds; 0 for none.
    """

    rows: tuple[Row, ...]
    more: str = ""
    live: bool = False
    asked: tuple[str, ...] = ()
    details: tuple[tuple[Block, ...], ...] = ()
    opened: tuple[int, ...] = ()
    caption: str = "Workers"
    span: float = 0.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A bar a worker on a common axis, and all at once against one after another.

    Attributes:
        rows: the slowest of that many workers, in order.
        auxiliary: the calls that are no worker's.
        span: the length of the axis in seconds.
        together: the seconds of all at once; None where that is not compared.
        alone: each worker's seconds, where that is compared.
        said: the same in words.
    """

    rows: tuple[Row, ...]
    auxiliary: tuple[Row, ...]
    workers: int
    span: float
    together: float | None
    alone: tuple[float, ...]
    said: str

    def left_out(self, drawn: int) -> str:
        """Which workers have a bar, where not all of them have one."""
        return f"The slowest {drawn:,} of {self.workers:,} workers. "


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings, all of them text, with a title above and a note below.

    Attributes:
        head: the headings; one that begins with ">" is over numbers and is set to the right.
        rest: the place of the column that takes the room that the others leave.
        caption: what is in it, for who cannot see the page, where there is no title.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: int = 0
    note: str = ""
    caption: str = ""

    @property
    def headings(self) -> list[str]:
        """The headings alone."""
        return [name.removeprefix(">") for name in self.head]

    def right(self, at: int) -> bool:
        """Whether a column is set to the right."""
        return self.head[at].startswith(">")


@dataclass(frozen=True, slots=True)
class Dot:
    """One share, from 0 to 1, with its interval.

    Attributes:
        cells: what stands beside it.
        strong: whether the reader looks for it.
        mark: another share on the same axis, that this one is held against.
    """

    name: str
    share: float
    low: float
    high: float
    cells: tuple[str, ...] = ()
    strong: bool = False
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Dots:
    """Shares with their intervals on one axis, a row each.

    Attributes:
        head: the headings of the names and of each cell; as in a `Table`.
        note: what is below.
    """

    head: tuple[str, ...]
    rows: tuple[Dot, ...]
    note: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """Where the axis begins and ends: at the tenths around all intervals and marks."""
        shares = [row.mark for row in self.rows if row.mark is not None]
        low = math.floor(min(*shares, *(row.low for row in self.rows), 1.0) * 10 + 1e-9)
        high = math.ceil(max(*shares, *(row.high for row in self.rows), 0.0) * 10 - 1e-9)
        low = min(low, 9)
        return low / 10, max(high, low + 1) / 10

    def along(self, share: float) -> float:
        """Where a share is on the axis, from 0 to 1."""
        low, high = self.ends
        return min(max((share - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Matrix:
    """How each two of a few are related: -1 to 1, or None where nothing can be said."""

    title: str
    names: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Two shares for each number of votes, drawn on one axis from none to all."""

    title: str
    names: tuple[str, str]
    values: tuple[tuple[float, float], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what is to be known of each, as a small table."""

    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """An object's fields below each other, each a text or a block of its own, and a word on those left out."""

    entries: tuple[tuple[str, str | Block], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """One label and its share of one, such as the probability that a model gives it."""

    label: str
    share: float
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """Labels and their shares, a bar each, the largest first.

    Attributes:
        title: what is shared out.
        more: how many further labels have no bar.
    """

    title: str
    shares: tuple[Share, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class FieldVoteRow:
    """How the votes of one field fell.

    Attributes:
        name: the field's.
        winner: its value in words; "" where nobody won.
        share: the leader's share of the votes that were requested, from 0 to 1.
        votes: the same in words, such as "4 of 5".
        status: how it ended, in words.
        detail: its tally, which opens below.
    """

    name: str
    winner: str
    share: float
    votes: str
    status: str
    detail: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldVotes:
    """The votes of an object's fields, a row each."""

    rows: tuple[FieldVoteRow, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a call would be asked, letter by letter."""

    name: str
    model: str
    text: str
    opened: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a whole is done; None where nobody knows the whole."""

    share: float | None


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What a click opens on a page; in plain text it stands open under its title.

    Attributes:
        page_only: whether plain text leaves it out.
        rest: whether it is the rest of a table above it: a text that is kept says how to see it.
    """

    title: str
    blocks: tuple[Block, ...]
    page_only: bool = False
    rest: bool = False


Block = (
    Heading | Notes | Says | Bars | Text | Workers | Timeline
    | Table | Dots | Matrix | Curve | Facts | Definition | Shares | FieldVotes
    | Prompt | Progress | Disclosure
)  # fmt: skip
