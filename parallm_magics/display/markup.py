"""The only ways into html but for a model's Markdown: tags of our own, and escaped text.

What is safe has the type `Markup`. A function that returns it cannot return a text by mistake: a
strict checker sees that, and what enters a tag without having the type is escaped on the way in.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Sequence

from parallm_magics.core.characters import visible
from parallm_magics.display import looks
from parallm_magics.display import text as texts


class Markup(str):
    """Html that is safe as it stands. What is made of it by joining or cutting is a mere text, and escaped."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Markup({super().__repr__()})"


_SPECIAL = re.compile("[^ !#-%(-;=?-~]")
"""What is not drawn as it is; the quick way out is for names and numbers, of which a live table is full."""


def escape(text: object, limit: int = texts.LIMIT) -> Markup:
    """The text for html, inside an element or a quoted attribute.

    >>> escape('<b title="x">')
    Markup('&lt;b title=&quot;x&quot;&gt;')
    """
    return Markup(html.escape(texts.plain(text, limit)))


class Pieces(list[Markup]):
    """Html that is joined once, when all is there: what is large would else be copied at every level."""


def pieces(inside: Iterable[str | Pieces]) -> Pieces:
    """Parts one after the other, not joined yet, escaped unless they are html already."""
    flat = Pieces()
    for each in inside:
        if isinstance(each, Pieces):
            flat += each
        else:
            flat.append(each if type(each) is Markup else Markup(_harmless(each)))
    return flat


def joined(inside: Iterable[str | Pieces]) -> Markup:
    """Parts one after the other, escaped unless they are html already."""
    return Markup("".join([each if type(each) is Markup else _harmless(each) for each in inside]))


def _harmless(words: str | Pieces) -> str:
    """Words as html, and pieces of html as one."""
    if isinstance(words, Pieces):
        return "".join(words)
    if len(words) <= texts.LIMIT and _SPECIAL.search(words) is None:
        return words
    return html.escape(texts.plain(words))


class Element:
    """An element to be filled; what is put inside is escaped unless it is html already.

    An attribute without a value stands alone.

    >>> Element("b", style="margin:0", class_="x")("1 < 2 ", Element("i")("ok"))
    Markup('<b style="margin:0" class="x">1 &lt; 2 <i>ok</i></b>')
    """

    __slots__ = ("_closing", "_opening")

    def __init__(self, name: str, **attributes: str) -> None:
        pairs = [
            f'{each.rstrip("_")}="{html.escape(value)}"' if value else each
            for each, value in attributes.items()
        ]
        self._opening, self._closing = Markup(f"<{' '.join([name, *pairs])}>"), Markup(f"</{name}>")

    def __call__(self, *inside: str | Pieces) -> Markup:
        """The element with this in it."""
        return joined((self._opening, *inside, self._closing))

    def around(self, inside: Iterable[str | Pieces]) -> Pieces:
        """The same for what is large."""
        return pieces((self._opening, *inside, self._closing))


def grid(
    styles: Sequence[str],
    rows: Iterable[Iterable[str]],
    head: Iterable[str] = (),
    *,
    ruled: bool = False,
    narrow: bool = False,
    named: int = 0,
    caption: str = "",
    title: str = "",
    gives_way: bool = False,
    is_stop: bool = False,
) -> Pieces:
    """A table of these rows that scrolls sideways where it is too wide; without headings it fits.

    Args:
        styles: of each column's cells.
        head: the headings, styled as what is below them; none without.
        ruled: whether a line is above each row.
        narrow: whether it is no wider than what is in it.
        named: the place of the column that names its row.
        caption: what is in it, for who cannot see it.
        title: the same for everybody, above it.
        gives_way: whether columns of less weight give way where it is too wide.
        is_stop: whether the Tab key stops at it, as it must where it scrolls and holds no stop.
    """
    row = [f'<tr style="{looks.ROW if ruled else looks.HEAD_ROW}">']
    for at, style in enumerate(styles):
        tag = 'th scope="row"' if at == named else "td"
        row[-1] += f'<{tag} style="{looks.CELL};{style}">'
        row += "", f"</{tag[:2]}>"
    row[-1] += "</tr>"
    table = looks.TABLE.replace("width:100%", "width:auto") if narrow else looks.TABLE
    names = [*head]
    around = looks.CONTAINER if gives_way else looks.SCROLL if names else looks.CUT
    stop = ' tabindex="0"' if is_stop else ""
    drawn: list[str] = [Markup(f'<div style="{around}"{stop}><table style="{table}">')]
    if title or caption:
        drawn.append(_title(title) if title else _caption(caption))
    if names:
        drawn.append(Markup(f'<thead style="border:none"><tr style="{looks.HEAD_ROW}">'))
        for name, style in zip(names, styles, strict=True):
            tag = 'th scope="col"' if name else "td"
            begin = Markup(f'<{tag} style="{looks.HEAD_CELL};{style}">')
            drawn += begin, name, Markup(f"</{tag[:2]}>")
        drawn.append(Markup("</tr></thead>"))
    drawn.append(Markup("<tbody>"))
    for cells in rows:
        row[1::2] = [each if type(each) is Markup else _harmless(each) for each in cells]
        drawn.append(Markup("".join(row)))
    return pieces([*drawn, Markup("</tbody></table></div>")])


def div(style: str, *inside: str | Pieces) -> Markup:
    """A box in that style."""
    return Element("div", style=style)(*inside)


_caption = Element("caption", style=looks.UNSEEN)
_title = Element(
    "caption", style=f"{looks.HEAD};caption-side:top;text-align:left;padding:0;color:inherit"
)
bdi = Element("bdi")
dim = Element("span", style=looks.DIM)
strong = Element("div", style="font-weight:600")


def sentence(words: str) -> Markup:
    """A sentence of ours in which foreign words, set off by `text.isolated`, cannot turn the others."""
    parts = texts.ISOLATED.split(words)
    drawn = [html.escape(visible(part), quote=at % 2 > 0) for at, part in enumerate(parts)]
    drawn[1::2] = [f"<bdi>{part}</bdi>" for part in drawn[1::2]]
    return Markup("".join(drawn))


@functools.cache
def dot(colour: str) -> Markup:
    """A round mark in that colour, beside a word that says the same."""
    return Element(
        "span",
        style="display:inline-block;width:.6em;height:.6em;border-radius:50%;"
        f"background:{colour};margin-right:.5em;vertical-align:middle",
    )()


@functools.cache
def box(ems: int, room: int = 0, share: int = 0) -> Element:
    """What keeps words within that width and one line.

    A page that keeps no lengths which depend on others, as of a notebook that is not trusted, keeps
    a fixed one instead: two thirds.

    Args:
        room: on a page of fewer pixels they are out of sight.
        share: they take at most this share of the page's width, in percent, less 6em, which they always have.
    """
    width = f"{ems}em"
    if room:
        width = f"{ems * 2 // 3}em;max-width:clamp(0px,(100cqw - {room}px)*99,{width})"
    elif share:
        width = f"{ems * 2 // 3}em;max-width:min({width},max(6em,{share}cqw - 6em))"
    style = f"display:block;max-width:{width};overflow:hidden;text-overflow:ellipsis"
    return Element("bdi", style=style)


def clip(ems: float) -> Element:
    """What keeps words within that height, in as many lines as they need."""
    style = f"max-height:{ems}em;overflow:hidden;white-space:normal;overflow-wrap:anywhere"
    return Element("div", style=style, dir="auto")


def interval(
    low: float, middle: float, high: float, full: bool, mark: float | None = None
) -> Markup:
    """A dot on the line of its interval, on an axis from 0 to 1; in full colour or in grey.

    Args:
        mark: where an upright line stands that the dot is held against; None for none.
    """
    colour = looks.GREEN if full else looks.GREY
    seen = f"background:{colour};forced-color-adjust:none"
    line = f"{seen};height:2px;flex:"
    # As wide as nothing, so that it takes no room from the lines beside it.
    dot_ = f"{seen};width:.6em;height:.6em;border-radius:50%;flex:none;margin:0 -.3em"
    drawn = div(
        "display:flex;align-items:center;height:1.1em;margin:0 .4em",
        div(f"flex:{low:.4f}"),
        div(f"{line}{middle - low:.4f}"),
        div(dot_),
        div(f"{line}{high - middle:.4f}"),
        div(f"flex:{1 - high:.4f}"),
    )
    if mark is None:
        return drawn
    upright = f"height:1.1em;border-left:2px solid {looks.AMBER};margin-right:-2px"
    # Moved up over what is drawn already: a page that is not trusted keeps no positions.
    over = "display:flex;height:1.1em;margin:0 .4em -1.1em"
    held = div(over, div(f"flex:{mark:.4f}"), div(upright), div(f"flex:{1 - mark:.4f}"))
    return joined((held, drawn))


def bar(*parts: tuple[float, str]) -> Markup:
    """One bar on an axis from 0 to 1, made of parts: the length of each and its colour, "" for none.

    What ends the bar is never too short to be seen.
    """
    drawn, left = [], 1.0
    for at, (length, colour) in enumerate(parts):
        wide = min(max(length, 0.0), left)
        left -= wide
        if length > 0:
            least = "min-width:2px;border-radius:2px;" if at == len(parts) - 1 else ""
            # Rounded down: a last part that does not fit would wrap under the bar.
            drawn.append(
                f'<div style="width:{int(wide * 10_000) / 100}%;float:left;{least}height:100%;'
                f'background:{colour or "none"}"></div>'
            )
    # Where the reader's system sets all colours, a bar without its own could not be seen.
    return Markup(
        f'<div style="height:.72em;background:{looks.FAINT};border-radius:2px;overflow:hidden;'
        f'forced-color-adjust:none">{"".join(drawn)}</div>'
    )
