"""Typed answers as aligned text: definitions, shares of labels, and the votes of fields."""

from __future__ import annotations

from collections.abc import Callable

from parallm_magics.display import kinds, text

_NAME, _BAR, _INDENT = 24, 40, "  "
"""Most columns of a name and of a bar, and what sets a value in that is more than a text."""

Draw = Callable[[kinds.Block, int], list[str]]
"""Draws a block in so many columns."""


def definition(block: kinds.Definition, columns: int, draw: Draw) -> list[str]:
    """A field a line, its name in front; what is more than a text stands below its name, set in."""
    names = [text.fit(text.one_line(name), _NAME) for name, _ in block.entries]
    texts = [
        text.width(name)
        for name, (_, value) in zip(names, block.entries, strict=True)
        if isinstance(value, str)
    ]
    wide = max(texts, default=0)
    lines = []
    for name, (_, value) in zip(names, block.entries, strict=True):
        if isinstance(value, str):
            first, *rest = text.wrap(text.plain(value), max(columns - wide - 2, 8)) or [""]
            lines.append(f"{text.fit(name, wide, 'left')}  {first}".rstrip())
            lines += [" " * (wide + 2) + line for line in rest]
        else:
            lines += [name, *(_INDENT + each for each in draw(value, columns - len(_INDENT)))]
    return [*lines, *([block.note] if block.note else [])]


def shares(block: kinds.Shares, columns: int, draw: Draw) -> list[str]:
    """A bar a label, below the title."""
    names = [text.fit(text.one_line(each.label), _NAME) for each in block.shares]
    wide = max(map(text.width, names), default=0)
    room = max(min(columns - wide - 12, _BAR), 8)
    lines = [f"{block.title}:"]
    for name, each in zip(names, block.shares, strict=True):
        filled = min(max(round(each.share * room), 0), room)
        picture = ("█" * filled).ljust(room, "·")
        lines.append(f"{text.fit(name, wide, 'left')}  {picture}  {text.points(each.share):>7}")
    return [*lines, *([text.count(block.more, "more label")] if block.more > 0 else [])]


def field_votes(block: kinds.FieldVotes, columns: int, draw: Draw) -> list[str]:
    """A line a field, and below them how the votes fell of those that not all agree on."""
    head = ("Field", "Winner", "Votes", "Status")
    rows = [
        (
            text.fit(text.one_line(row.name), _NAME),
            text.fit(text.one_line(row.winner), 36) if row.winner else "none",
            row.votes,
            text.one_line(row.status),
        )
        for row in block.rows
    ]
    widths = [max(text.width(row[at]) for row in (head, *rows)) for at in range(3)]
    right = (False, False, True)
    lines = [
        "  ".join(
            [
                *(
                    text.fit(cell, wide, "right" if flush else "left")
                    for cell, wide, flush in zip(row[:3], widths, right, strict=True)
                ),
                row[3],
            ]
        ).rstrip()
        for row in (head, *rows)
    ]
    for row in block.rows:
        if row.share < 1 and row.detail:
            lines += ["", text.one_line(row.name, 80)]
            for each in row.detail:
                lines += [_INDENT + line for line in draw(each, columns - len(_INDENT))]
    return lines
