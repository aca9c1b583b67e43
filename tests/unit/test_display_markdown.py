"""Markdown of a model: formatted, and unable to act."""

from __future__ import annotations

import re
from unittest.mock import patch

import pytest
from display_samples import Page
from growth import assert_in_proportion
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parallm_magics.core.characters import visible
from parallm_magics.display import markdown as model_markdown
from parallm_magics.display.markdown import markdown

ALLOWED = {
    "a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "tag"),
    [("**x**", "strong"), ("- x", "ul"), ("`x`", "code"), ("> x", "blockquote"),
     ("| a |\n|---|\n| b |", "table"), ("[x](https://example.org)", "a")],
)  # fmt: skip
def test_markdown_is_formatted(source: str, tag: str) -> None:
    """The usual marks become elements."""
    assert Page(markdown(source)).count(tag) == 1


def test_a_line_break_of_the_model_is_one() -> None:
    """Signatures, addresses and poems keep their lines."""
    page = Page(markdown("Kind regards\nAda\n\nnext"))
    assert page.count("br") == 1
    assert page.count("p") == 2


def test_each_paragraph_has_a_direction_of_its_own() -> None:
    """Hebrew below English begins at the right."""
    page = Page(markdown("English\n\nשלום\n\n- שלום"))
    assert [attrs.get("dir") for tag, attrs in page.elements if tag in ("p", "ul")] == ["auto"] * 3


def test_code_wraps() -> None:
    """No line of code widens the page, nor is it cut off on paper."""
    assert '<pre style="' in markdown("```\nx\n```")
    assert "white-space:pre-wrap" in markdown("```\nx\n```")


def test_html_of_the_model_is_text() -> None:
    """A tag is shown, not obeyed."""
    page = Page(markdown("<script>alert(1)</script> <b onclick='x'>y</b>"))
    assert page.count("script") == page.count("b") == 0
    assert "<script>alert(1)</script>" in page.text


def test_a_picture_is_words() -> None:
    """Nothing is loaded; the alternative text and the address are told."""
    page = Page(markdown("![a cat](http://evil.example/x?secret)"))
    assert page.count("img") == 0
    assert "image not loaded: a cat http://evil.example/x?secret" in page.text


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/lab/tree",
     "//evil.example", "#top", "java&#9;script:x"],
)  # fmt: skip
def test_only_the_web_and_mail_can_be_linked(target: str) -> None:
    """A link elsewhere has no target."""
    links = [attrs for tag, attrs in Page(markdown(f"[x]({target})")).elements if tag == "a"]
    assert not any("href" in attrs for attrs in links)


def test_links_do_not_hand_over_the_page() -> None:
    """The page that opens learns nothing of the notebook."""
    assert 'rel="noopener noreferrer"' in markdown("[x](https://example.org)")


def test_headings_do_not_enter_the_notebooks_contents() -> None:
    """A model's heading is bold text: Lab lists <h1> of outputs as the notebook's own."""
    assert "<strong>Pwned</strong>" in markdown("# Pwned")
    assert "<h1" not in markdown("Pwned\n=====")


def test_an_entity_does_not_smuggle_a_control_character() -> None:
    """What only becomes invisible while it is rendered is shown too."""
    assert "[U+202E]" in markdown("a&#x202e;b")


def test_a_long_text_is_shown_as_it_is() -> None:
    """Over the limit nothing is parsed."""
    html = markdown("**x**" * 100, limit=50)
    assert html.startswith("<pre")
    assert "450 more characters" in html


def test_a_swelling_text_is_shown_as_it_is() -> None:
    """A table of empty cells does not fill the notebook."""
    assert len(markdown("a|b\n-|-\n" * 2500)) < 30_000


@pytest.mark.parametrize("piece", ["[", "![[", "*", "**a *b ", "`", "> - ", "| ", "(", "&", "<"])
def test_pathological_text_takes_no_time(piece: str) -> None:
    """Time grows with the length of the worst text, not with its square."""
    assert_in_proportion(lambda size: markdown((piece * size)[:size]), 20_000)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"<>[]()!*_`#|-\n\"'&: a1", "http://x", "<img src=x>", "\x1b", "\u202e", "\ud800"]
        )
    ).map("".join)
)
def test_whatever_the_text_the_elements_are_ours(source: str) -> None:
    """Any mixture of marks gives allowed elements without foreign attributes."""
    for tag, attrs in Page(markdown(source)).elements:
        assert tag in ALLOWED
        assert set(attrs) <= {"dir", "style", "href", "rel", "start"}
        assert (attrs.get("href") or "http:").split(":")[0] in ("http", "https", "mailto")


HOSTILE = (
    "**x** <img src=x onerror=alert(1)>[a](javascript:alert(1))\n\n\u202e&#x202e;</div><script>"
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([*"<>[]()!*_`#|-\n\"'&: a1", "</div>", "<img src=x>"])).map("".join)
)
@example(HOSTILE)
def test_without_what_cleans_html_a_text_is_shown_as_it_is(source: str) -> None:
    """No mark becomes an element; every word stays readable, and none acts."""
    with patch.object(model_markdown, "_can_clean", lambda: False):
        page = Page(markdown(source))
    assert [tag for tag, _ in page.elements] in (["div"], ["p"])
    assert {name for _, attrs in page.elements for name in attrs} == {"dir", "style"}
    assert "".join(page.text.split()) == "".join(visible(source).split())


@pytest.mark.parametrize("piece", ["[", "![", "[a][", "![[", "[!["])
def test_a_parser_s_work_has_an_end(piece: str) -> None:
    """What would be looked through again and again is shown as it is, in full."""
    text = (piece * 20_000)[:20_000]
    assert markdown(text) == f'<pre style="white-space:pre-wrap;color:inherit">{text}</pre>'


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://b.c) " * 1_000,
        '{"a": [1, [2, 3]], "b": [[4]]}\n' * 600,
        "- [x] *done*\n" * 1_000,
    ],
    ids=["links", "json", "list"],
)
def test_ordinary_text_is_within_it(text: str) -> None:
    """Links, JSON and lists of the greatest length are drawn as such."""
    assert not markdown(text).startswith("<pre style")


@given(st.from_regex(r"[A-Za-z0-9 ,.;:()'?/%+!~=-]{0,40}", fullmatch=True))
@example("1. one")
@example("www.example.com or https://example.com/a and a@b.example")
@example("two  blanks ")
@example("Ends in -")
def test_a_line_without_marks_is_the_paragraph_that_it_would_be(line: str) -> None:
    """What needs no parser is drawn without one, and looks as if it had been parsed."""
    drawn = markdown(line)
    with patch.object(model_markdown, "_NO_MARK", re.compile(r"(?!)")):
        assert drawn == markdown(line)
