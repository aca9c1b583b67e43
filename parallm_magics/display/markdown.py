"""A model's Markdown as html that cannot act."""

from __future__ import annotations

import functools
import importlib.util
import re
from typing import TYPE_CHECKING, Any

from parallm_magics.core.characters import visible
from parallm_magics.display import looks
from parallm_magics.display import text as texts
from parallm_magics.display.markup import Element, Markup, escape

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_TAGS = {
    "a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_SCHEMES = {"http", "https", "mailto"}


def markdown(text: str, limit: int = texts.LIMIT) -> Markup:
    """Safe html of a model's Markdown.

    A text over the limit, one that would swell to several times the limit (a table of empty cells
    grows fiftyfold), or one that takes far more work to parse than any of its length (20,000 "["
    have no end that could be found), is shown as it is, and clipped. So is what has any mark where nh3
    is missing, which takes out of html what could act.
    """
    if len(text) > limit:
        return _as_it_is(text, limit)
    if _NO_MARK.fullmatch(line := text.rstrip(" \n")):
        return Markup(f"{_STYLED['p']}{line}</p>\n")
    if not _can_clean():
        return _plain(escape(text, limit))
    styled = (_kept if len(text) <= _MOST_KEPT else _styled)(text)
    return styled if 0 < len(styled) <= _SWELL * limit else _as_it_is(text, limit)


@functools.cache
def _can_clean() -> bool:
    """Tell whether nh3 is installed, as it is everywhere but in a browser's own Python."""
    return importlib.util.find_spec("nh3") is not None


# As an answer's own paragraphs are, and not as code.
_plain = Element("div", style="white-space:pre-wrap;margin:.45em 0", dir="auto")


def _styled(text: str) -> Markup:
    """The text's html; "" where it takes too much work."""
    import nh3  # here: an import of the package stays quick

    try:
        rendered = _parser().render(visible(text))
    except _TooMuchWork:
        return Markup("")
    clean = nh3.clean(
        rendered,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=_attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
    )
    # Again: an entity such as &#x202e; becomes its character only on the way.
    return Markup(_BARE.sub(lambda bare: _STYLED[bare[1] or bare[2]], visible(clean)))


_MOST_KEPT = 4_000
_kept = functools.lru_cache(512)(_styled)
"""What a live view has drawn ahead is there when the result is drawn."""


_NO_MARK = re.compile(r"[A-Za-z](?:[A-Za-z0-9,.;:()'?/%+-]|[ ](?! ))*(?<! )")
"""One line in which nothing means anything to Markdown; most answers of a large map are such."""

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
    "pre": f"margin:.5em 0;padding:.5em .7em;background:{looks.FAINT};"
    "white-space:pre-wrap;border-radius:3px;color:inherit;font-size:.92em;line-height:1.4",
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
# A paragraph of an answer may be in another script than the one above it.
_TURNS = {"p", "ul", "ol", "blockquote", "table"}
_STYLED = {
    name: f'<{name}{" dir=auto" if name in _TURNS else ""} style="{style}">'
    for name, style in _STYLES.items()
}


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

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
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
