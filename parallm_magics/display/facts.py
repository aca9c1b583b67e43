"""Names and what is to be known of each, as a small table."""

from __future__ import annotations

from collections.abc import Sequence

from parallm_magics.display import looks, text

Fact = tuple[str, str]
"""A name and what is to be known of it."""

_NAME = f"{looks.CELL};{looks.LEFT};{looks.TIGHT};font-weight:600"
_VALUE = f"{looks.CELL};{looks.LEFT};{looks.TIGHT};width:100%;white-space:normal;padding-right:0"


def facts_html(facts: Sequence[Fact]) -> str:
    """The table as html."""
    rows = "".join(
        f'<tr style="{looks.ROW}"><th scope="row" style="{_NAME}">'
        f"{looks.boxed(text.escape(text.one_line(name)), 20)}</th>"
        f'<td style="{_VALUE}" dir="auto">{text.escape(text.one_line(value, 500))}</td></tr>'
        for name, value in facts
    )
    return (
        f'<div class="{looks.ROOT_CLASS}" style="{looks.ROOT}"><div style="{looks.SCROLL}">'
        f'<table style="{looks.TABLE}"><tbody>{rows}</tbody></table></div></div>'
    )


def facts_plain(facts: Sequence[Fact], columns: int = 100) -> str:
    """The same as lines of at most that many terminal columns."""
    names = [text.fit(text.one_line(name), 24) for name, _ in facts]
    wide = max(map(text.width, names), default=0)
    lines = []
    for name, (_, value) in zip(names, facts, strict=True):
        first, *rest = text.wrap(text.one_line(value, 500), columns - wide - 2) or [""]
        lines.append(f"{text.pad(name, wide)}  {first}".rstrip())
        lines += [" " * (wide + 2) + line for line in rest]
    return "\n".join(lines)
