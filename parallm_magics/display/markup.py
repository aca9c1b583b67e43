"""The only ways into html: tags of our own, escaped text, and a model's Markdown that cannot act.

What is safe has the type `Markup`. A function that returns it cannot return a text by mistake: a
strict checker sees that, and what enters a tag without having the type is escaped on the way in.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from parallm_magics.core.characters import visible
from parallm_magics.display import looks
from parallm_magics.display import text as texts

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


# What Markup(drawn) does, but for its look at what it is given: a live table makes thousands.
_safe: Callable[[str], Markup] = functools.partial(str.__new__, Markup)


_SPECIAL = re.compile("[&<>\"']")


def _escaped(words: str) -> str:
    # The quick way out is for names and numbers, of which a live table is full.
    if not (words.isascii() and words.isprintable() and len(words) <= texts.LIMIT):
        words = texts.plain(words)
    return words if _SPECIAL.search(words) is None else html.escape(words)


def escape(text: object, limit: int = texts.LIMIT) -> Markup:
    """The text for html, inside an element or a quoted attribute.

    >>> escape('<b title="x">')
    Markup('&lt;b title=&quot;x&quot;&gt;')
    """
    return _safe(html.escape(texts.plain(text, limit)))


def joined(inside: Iterable[str]) -> Markup:
    """Parts one after the other, escaped unless they are html already."""
    return _safe("".join([each if type(each) is Markup else _escaped(each) for each in inside]))


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
        self._opening, self._closing = f"<{' '.join([name, *pairs])}>", f"</{name}>"

    def __call__(self, *inside: str) -> Markup:
        """The element with this in it."""
        held = [each if type(each) is Markup else _escaped(each) for each in inside]
        return _safe("".join([self._opening, *held, self._closing]))

    def enclose(self, inner: Element, before: str = "") -> Element:
        """Both as one, so that what is large is written down once; `before` stands before the inner."""
        whole = Element("")
        whole._opening = f"{self._opening}{joined([before])}{inner._opening}"
        whole._closing = f"{inner._closing}{self._closing}"
        return whole

    def holding(self, parts: Sequence[Element]) -> Callable[[Iterable[str]], Markup]:
        """From what each of these parts holds to the element with all of them in it."""
        ends = ["", *(part._closing for part in parts)]  # noqa: SLF001
        begins = [*(part._opening for part in parts), self._closing]  # noqa: SLF001
        first, *seams = map(str.__add__, ends, begins)

        def filled(inside: Iterable[str]) -> Markup:
            drawn = [self._opening, first]
            for each, seam in zip(inside, seams, strict=True):
                drawn += (each if type(each) is Markup else _escaped(each), seam)
            return _safe("".join(drawn))

        return filled


def div(style: str, *inside: str) -> Markup:
    """A box in that style."""
    return Element("div", style=style)(*inside)


bdi = Element("bdi")
dim = Element("span", style=looks.DIM)


def sentence(words: str) -> Markup:
    """A sentence of ours in which foreign words, set off by `text.isolated`, cannot turn the others."""
    parts = texts.ISOLATED.split(words)
    drawn = [html.escape(visible(part), quote=at % 2 > 0) for at, part in enumerate(parts)]
    drawn[1::2] = [f"<bdi>{part}</bdi>" for part in drawn[1::2]]
    return _safe("".join(drawn))


def dot(colour: str) -> Markup:
    """A round mark in that colour, beside a word that says the same."""
    return _safe(
        '<span style="display:inline-block;width:.6em;height:.6em;border-radius:50%;'
        f'background:{colour};margin-right:.5em"></span>'
    )


def boxed(words: str, ems: int) -> Markup:
    """Words kept inside a box of at most that width and one line."""
    return _safe(
        f'<div style="max-width:{ems}em;max-height:1.6em;overflow:hidden;text-overflow:ellipsis">'
        f"<bdi>{_escaped(words)}</bdi></div>"
    )


# Where the reader's system sets all colours, a bar without its own could not be seen.
_TRACK = (
    f"height:.72em;background:{looks.FAINT};border-radius:2px;overflow:hidden;"
    "forced-color-adjust:none"
)


def bar(start: float, queued: float, running: float, colour: str) -> Markup:
    """One bar on an axis from 0 to 1: from `start`, first the queued part, then the running one."""
    if queued + running <= 0:
        return div(_TRACK)
    start, queued, running = (min(max(part, 0.0), 1.0) for part in (start, queued, running))
    whole = min(queued + running, 1.0 - start)
    share = queued / (queued + running)
    return _safe(
        f'<div style="{_TRACK}">'
        f'<div style="margin-left:{start * 100:.2f}%;width:{whole * 100:.2f}%;min-width:2px;'
        f'height:100%;background:{looks.LINE}">'
        f'<div style="margin-left:{share * 100:.2f}%;height:100%;background:{colour};'
        'border-radius:2px;min-width:1px"></div></div></div>'
    )


def bracket(low: float, high: float) -> Markup:
    """A bracket below a bar, between two places of its axis from 0 to 1."""
    return div(
        f"margin-left:{low * 100:.2f}%;width:{max(high - low, 0) * 100:.2f}%;height:.3em;"
        "box-sizing:border-box;border:1px solid currentColor;border-top:none;opacity:.5;"
        "margin-top:2px"
    )


def segments(shares: Sequence[float], colour: str) -> Markup:
    """One bar made of parts that add up to 1, each set off from the next while they are few."""
    if len(shares) > 60:
        return bar(0, 0, 1, colour)
    part = div(f"height:100%;background:{colour};margin-right:1px")
    # Rounded down: a last part that does not fit would wrap under the bar.
    widths = [int(share * 10_000) / 100 for share in shares]
    return div(_TRACK, *(div(f"float:left;width:{wide}%;height:100%", part) for wide in widths))


# --- a model's Markdown ---------------------------------------------------------------------------


_TAGS = {
    "a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_SCHEMES = {"http", "https", "mailto"}


def markdown(text: str, limit: int = texts.LIMIT) -> Markup:
    """Safe html of a model's Markdown.

    A text over the limit, one that would swell to several times the limit (a table of empty cells
    grows fiftyfold), or one that takes far more work to parse than any of its length (20,000 "["
    have no end that could be found), is shown as it is, and clipped.
    """
    if len(text) > limit:
        return _as_it_is(text, limit)
    import nh3  # here: an import of the package stays quick

    try:
        rendered = _parser().render(visible(text))
    except _TooMuchWork:
        return _as_it_is(text, limit)
    clean = nh3.clean(
        rendered,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=_attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
    )
    # Again: an entity such as &#x202e; becomes its character only on the way.
    styled = _BARE.sub(lambda bare: _STYLED[bare[1] or bare[2]], visible(clean))
    return _safe(styled) if len(styled) <= _SWELL * limit else _as_it_is(text, limit)


_SWELL = 3
_WORK = 20_000
"""Most looks ahead of the parser for the ends of links; ordinary text, JSON and code take a few thousand."""


class _TooMuchWork(Exception):
    """The parser has looked ahead too often."""


def _as_it_is(text: str, limit: int) -> Markup:
    return Element("pre", style="white-space:pre-wrap;color:inherit")(escape(text, limit))


_STYLES = {
    "p": "margin:.45em 0",
    "ul": "margin:.45em 0;padding-left:1.6em",
    "ol": "margin:.45em 0;padding-left:1.6em",
    "li": "margin:.1em 0",
    "pre": f"margin:.5em 0;padding:.5em .7em;overflow-x:auto;background:{looks.FAINT};"
    "border-radius:3px;color:inherit;font-size:.92em;line-height:1.4",
    "code": "background:transparent;padding:0;color:inherit;font-size:inherit",
    "blockquote": f"margin:.5em 0;padding:0 0 0 .8em;border-left:3px solid {looks.LINE};{looks.DIM}",
    "table": "border-collapse:collapse;margin:.5em 0;font-size:inherit",
    "th": f"border:1px solid {looks.LINE};padding:.25em .6em;text-align:left",
    "td": f"border:1px solid {looks.LINE};padding:.25em .6em;text-align:left",
    "hr": f"border:none;border-top:1px solid {looks.LINE};margin:.7em 0",
}

# The sanitiser leaves these tags without attributes, and a "<" of the text is "&lt;" by then: a
# match is always a tag.
#
# Code gets a style in a block only: front ends shade it by themselves, there it would be twice.
_BARE = re.compile(f"<({'|'.join(_STYLES.keys() - {'code'})})>|(?<=<pre>)<(code)>")
_STYLED = {name: f'<{name} style="{style}">' for name, style in _STYLES.items()}


def _attribute(tag: str, name: str, value: str) -> str | None:
    # A link without a scheme would lead into the notebook server's own pages.
    if name == "href" and value.partition(":")[0].lower() not in _SCHEMES:
        return None
    return value


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from markdown_it.parser_inline import ParserInline

    class Counting(ParserInline):
        def skipToken(self, state: Any) -> None:  # noqa: N802 - the parser's name
            done = state.env["work"] = state.env.get("work", 0) + 1
            if done > _WORK:
                raise _TooMuchWork
            super().skipToken(state)

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    counting = Counting()
    counting.ruler, counting.ruler2 = parser.inline.ruler, parser.inline.ruler2
    parser.inline = counting
    parser.add_render_rule("image", _image)
    parser.add_render_rule("heading_open", lambda self, tokens, at, options, env: "<p><strong>")
    # Not <h1>: a heading in an output would pose as one of the notebook's own in Lab's contents.
    parser.add_render_rule("heading_close", lambda self, tokens, at, options, env: "</strong></p>")
    return parser


def _image(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    """A picture as words: its alternative text and where it would have come from."""
    token = tokens[at]
    shown = self.renderInlineAsText(token.children or [], options, env)
    return escape(f"[image not loaded: {shown} {token.attrGet('src') or ''}]")
