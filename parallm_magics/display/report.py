"""A report of measurements: sentences, tables and two pictures, as html and as plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from parallm_magics.display import looks, text
from parallm_magics.display.columns import table_html
from parallm_magics.display.guards import guards_html, guards_plain
from parallm_magics.display.rows import row_of
from parallm_magics.display.summary import beside, chosen, footer, simulated, subtitle
from parallm_magics.display.to_html import note_html
from parallm_magics.display.to_plain import COLUMNS
from parallm_magics.display.view import View

_WIDE = 44
"""Most characters of a cell in plain text."""

_LEAST = 8
"""To fewer no column of words is cut."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; everything in them is text.

    Attributes:
        title: what stands above it; "" where nothing does.
        head: the headings; one that begins with ">" is over numbers and is set to the right.
        rows: as many cells as headings.
        rest: the place of the column that takes the room that the others leave.
        note: a line below.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: int = 0
    note: str = ""

    @property
    def headings(self) -> list[str]:
        """The headings alone."""
        return [name.removeprefix(">") for name in self.head]

    def right(self, at: int) -> bool:
        """Whether a column is set to the right."""
        return self.head[at].startswith(">")


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences under a heading."""

    title: str
    lines: tuple[str, ...]
    note: str = ""


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


Block = Table | Lines | Matrix | Curve


@dataclass(frozen=True, slots=True)
class Report:
    """What a study shows.

    Attributes:
        title: the outcome in words.
        lead: why, in one sentence.
        about: what was measured, in a line.
        notes: what the reader should know, one line each.
        blocks: tables, sentences and pictures, in order.
        view: the calls behind it.
    """

    title: str
    lead: str
    about: str
    notes: tuple[str, ...]
    blocks: tuple[Block, ...]
    view: View


# --- html -----------------------------------------------------------------------------------------


def report_html(report: Report) -> str:
    """The report as static, self-contained html."""
    view = report.view
    badge = f'<span style="{looks.BADGE}">SIMULATED</span>' if simulated(view) else ""
    small = f"{looks.SMALL};{looks.DIM}"
    title = text.escape(text.one_line(report.title, 300))
    parts = [
        f'<div style="{looks.TITLE}"><bdi>{title}</bdi>{badge}</div>',
        f'<div style="{small}">{text.escape(report.about)}</div>',
        f'<div style="margin:.5em 0 0" dir="auto">{text.escape(text.one_line(report.lead, 900))}</div>',
        guards_html(view.guards),
        *(note_html(note) for note in report.notes),
        *(f'<div style="{looks.BLOCK}">{_block_html(block)}</div>' for block in report.blocks),
        _calls_html(view),
        f'<div style="{looks.BLOCK};{small}">{text.escape(f"{subtitle(view)} · {footer(view)}")}</div>',
    ]
    return f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}">{"".join(parts)}</div>'


def _block_html(block: Block) -> str:
    title = f'<div style="{looks.HEAD}">{text.escape(block.title)}</div>' if block.title else ""
    note = f'<div style="{looks.SMALL};{looks.DIM}">{text.escape(block.note)}</div>'
    return title + _DRAWN[type(block)][0](block) + (note if block.note else "")


def _lines_html(block: Lines) -> str:
    return "".join(
        f'<div style="{looks.SMALL};margin:.15em 0" dir="auto">'
        f"{text.escape(text.one_line(line, 500))}</div>"
        for line in block.lines
    )


def _framed(head: str, body: str) -> str:
    return (
        f'<div style="{looks.SCROLL}"><table style="{looks.TABLE}">'
        f'<thead style="border:none"><tr style="{looks.HEAD_ROW}">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _table_html(table: Table) -> str:
    def style(at: int, base: str) -> str:
        side = looks.RIGHT if table.right(at) else looks.LEFT
        rest = ";width:100%;max-width:0;min-width:12em" if at == table.rest and at else ""
        return f"{base};{side}{rest}"

    head = "".join(
        f'<th scope="col" style="{style(at, looks.HEAD_CELL)}">{text.escape(name)}</th>'
        for at, name in enumerate(table.headings)
    )
    rows = ""
    for row in table.rows:
        cells = []
        for at, cell in enumerate(row):
            tag = 'th scope="row"' if at == 0 else "td"
            inner = text.escape(text.one_line(cell, 200))
            if at == table.rest and at:
                inner = (
                    '<div style="max-height:2.9em;overflow:hidden;white-space:normal;'
                    f'overflow-wrap:anywhere" dir="auto">{inner}</div>'
                )
            elif not table.right(at):
                inner = looks.boxed(inner, 22)
            cells.append(f'<{tag} style="{style(at, looks.CELL)}">{inner}</{tag.split()[0]}>')
        rows += f'<tr style="{looks.ROW}">{"".join(cells)}</tr>'
    return _framed(head, rows)


def _matrix_html(matrix: Matrix) -> str:
    head = f'<th style="{looks.HEAD_CELL}"></th>' + "".join(
        f'<th scope="col" style="{looks.HEAD_CELL};{looks.LEFT}">{looks.boxed(_name(name), 8)}</th>'
        for name in matrix.names
    )
    rows = ""
    for at, (name, values) in enumerate(zip(matrix.names, matrix.values, strict=True)):
        cells = (
            f'<th scope="row" style="{looks.CELL};{looks.LEFT}">{looks.boxed(_name(name), 14)}</th>'
        )
        for other, value in enumerate(values):
            shown = "" if at == other else correlation(value)
            colour = "transparent" if at == other or value is None else _heat(value)
            cells += (
                f'<td style="{looks.CELL};{looks.LEFT};padding-left:.5em;background:{colour}">'
                f"{shown}</td>"
            )
        rows += f'<tr style="{looks.ROW}">{cells}</tr>'
    table = _framed(head, rows)
    return table.replace("width:100%;margin:0", "width:auto;margin:0", 1)


def _heat(value: float) -> str:
    """Slots errors in a warm tone, opposite ones in a cool one, the stronger the denser."""
    tone = "217,83,79" if value > 0 else "65,131,215"
    return f"rgba({tone},{min(abs(value), 1.0) * 0.75:.2f})"


def _curve_html(curve: Curve) -> str:
    head = (
        f'<th style="{looks.HEAD_CELL};{looks.LEFT}">Votes</th><th style="{looks.HEAD_CELL}"></th>'
    )
    head += "".join(
        f'<th scope="col" style="{looks.HEAD_CELL};{looks.RIGHT}">{looks.dot(colour)}'
        f"{text.escape(name)}</th>"
        for name, colour in zip(curve.names, (looks.GREEN, looks.GREY), strict=True)
    )
    rows = ""
    for votes, (seen, ideal) in enumerate(curve.values, 1):
        bars = (
            f'<div style="margin-bottom:2px">{looks.bar(0, 0, seen, looks.GREEN)}</div>'
            f"{looks.bar(0, 0, ideal, looks.GREY)}"
        )
        rows += (
            f'<tr style="{looks.ROW}"><th scope="row" style="{looks.CELL};{looks.LEFT}">{votes}</th>'
            f'<td style="{looks.CELL};width:100%;min-width:8em">{bars}</td>'
            f'<td style="{looks.CELL};{looks.RIGHT}">{text.points(seen)}</td>'
            f'<td style="{looks.CELL};{looks.RIGHT};padding-right:0">{text.points(ideal)}</td></tr>'
        )
    return _framed(head, rows)


def _calls_html(view: View) -> str:
    shown, left = chosen(view)
    rows = [row_of(record) for record, _ in shown]
    rows += [row_of(record, aside=True) for record in beside(view)]
    more = f'<div style="{looks.SMALL};{looks.DIM}">{text.escape(left)}</div>' if left else ""
    return (
        f'<div style="{looks.BLOCK}"><details><summary style="cursor:pointer">'
        f"Calls ({len(view.records):,})</summary>{table_html(rows)}{more}</details></div>"
    )


# --- plain text -----------------------------------------------------------------------------------


def report_plain(report: Report) -> str:
    """The same as text of at most 100 columns, without any control character."""
    view = report.view
    mark = "  [SIMULATED]" if simulated(view) else ""
    groups = [
        [text.one_line(report.title, 300) + mark, text.one_line(report.about, 500)],
        [text.one_line(report.lead, 900)] if report.lead else [],
        guards_plain(view.guards),
        [f"Note: {text.one_line(note, 500)}" for note in report.notes],
        *(_block_plain(block) for block in report.blocks),
        [f"{subtitle(view)} · {footer(view)}"],
    ]
    lines: list[str] = []
    for group in filter(None, groups):
        lines += ["", *(part for line in group for part in text.wrap(line, COLUMNS))]
    return "\n".join(lines[1:])


def _block_plain(block: Block) -> list[str]:
    title = text.one_line(block.title)
    head = [title, "-" * text.width(title)] if title else []
    note = [text.one_line(block.note, 500)] if block.note else []
    return [*head, *_DRAWN[type(block)][1](block), *note]


def _lines_plain(block: Lines) -> list[str]:
    return [text.one_line(line, 500) for line in block.lines]


def _table_plain(table: Table) -> list[str]:
    cells = [
        [text.one_line(name) for name in table.headings],
        *([text.one_line(cell, _WIDE) for cell in row] for row in table.rows),
    ]
    widths = _fitted(
        [max(text.width(row[at]) for row in cells) for at in range(len(table.head))], table
    )
    return [
        "  ".join(
            text.pad(text.fit(cell, wide), wide, table.right(at))
            for at, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _fitted(widths: list[int], table: Table) -> list[int]:
    """The widths made small enough: first the column that may be cut, then the widest of words."""
    words = [at for at in range(len(widths)) if not table.right(at)]
    for at in (table.rest, *sorted(words, key=lambda at: -widths[at])):
        over = sum(widths) + 2 * (len(widths) - 1) - COLUMNS
        if over > 0:
            widths[at] = max(widths[at] - over, min(widths[at], _LEAST))
    return widths


def _matrix_plain(matrix: Matrix) -> list[str]:
    names = [text.fit(text.one_line(name), 10) for name in matrix.names]
    wide = max((text.width(name) for name in names), default=0)
    lines = [" " * wide + "  " + "  ".join(text.pad(name, max(5, wide), True) for name in names)]
    for at, values in enumerate(matrix.values):
        cells = ["" if at == other else correlation(value) for other, value in enumerate(values)]
        lines.append(
            text.pad(names[at], wide)
            + "  "
            + "  ".join(text.pad(cell, max(5, wide), True) for cell in cells)
        )
    return [line.rstrip() for line in lines]


def _curve_plain(curve: Curve) -> list[str]:
    room = 40
    names = [text.one_line(name) for name in curve.names]
    lines = [f"{'':>3}  {'':{room}}  {names[0]:>14}  {names[1]:>14}"]
    for votes, (seen, ideal) in enumerate(curve.values, 1):
        bar = ("█" * round(seen * room)).ljust(room, "·")
        lines.append(f"{votes:>3}  {bar}  {text.points(seen):>14}  {text.points(ideal):>14}")
    return lines


def correlation(value: float | None) -> str:
    """A correlation to two decimals, a minus as it is set, and never a negative nothing."""
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _name(name: str) -> str:
    return text.escape(text.one_line(name, 60))


_DRAWN: Mapping[type, tuple[Callable[..., str], Callable[..., list[str]]]] = {
    Lines: (_lines_html, _lines_plain),
    Table: (_table_html, _table_plain),
    Matrix: (_matrix_html, _matrix_plain),
    Curve: (_curve_html, _curve_plain),
}
"""How each kind of block is drawn: as html, and as lines of plain text."""
