"""Blocks: each kind is drawn on a page and in a terminal, and nothing enters html without its type."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
from display_samples import Page, fanout, record, vote
from hypothesis import given
from hypothesis import strategies as st
from mypy import api
from paths import PROJECT

from parallm_magics.display import html, kinds, markup, plain, run_blocks, to_html, to_plain
from parallm_magics.display.kinds import Dot, Dots
from parallm_magics.display.markup import Element, Markup, joined, sentence
from parallm_magics.display.text import isolated, together

HOSTILE = "<b onclick='x'>\u202e&"


def test_every_kind_is_drawn_in_both_ways() -> None:
    """A kind that one of the renderers does not know could be shown there by nobody."""
    every = set(get_args(kinds.Block))
    assert every == to_html._DRAWN.keys() == to_plain._DRAWN.keys()


def test_what_is_no_html_is_escaped_on_the_way_in() -> None:
    """Words become text, html stays, and an attribute cannot be left."""
    filled = Element("p", title='"><i>')(HOSTILE, Element("br")())
    assert filled == (
        '<p title="&quot;&gt;&lt;i&gt;">&lt;b onclick=&#x27;x&#x27;&gt;[U+202E]&amp;<br></br></p>'
    )
    assert joined([HOSTILE]) == markup.escape(HOSTILE)
    table = joined([markup.grid(["", ""], [["<", Markup("<i></i>")]])])
    assert re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", table) == ["&lt;", "<i></i>"]


def test_what_is_made_of_html_is_a_text_again() -> None:
    """Added, cut or formatted it is escaped on its way in, as nobody has looked at it since."""
    safe = Markup("<i></i>")
    for made in (safe + safe, safe[:3], f"{safe}", safe.upper()):
        assert type(made) is str
        assert joined([made]) == markup.escape(made)


def test_foreign_words_cannot_turn_ours() -> None:
    """They are set off, by a mark that they cannot bring themselves."""
    line = f"'{isolated('שלום')}' leads"
    assert sentence(line) == "'<bdi>שלום</bdi>' leads"
    assert together(line) == "'שלום' leads"
    forged = isolated("a\u2069</bdi>\u2068b")
    assert sentence(forged) == "<bdi>a[U+2069]&lt;/bdi&gt;[U+2068]b</bdi>"


def test_every_function_that_draws_says_so_by_its_type() -> None:
    """What makes html returns Markup, or pieces of it, so that a checker sees where a text would be taken for it."""
    for module in (to_html, markup):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and name not in OTHERS:
                assert function.__annotations__["return"] in ("Markup", "Pieces", "Element"), name


OTHERS = {
    "html",
    "_all_of",
    "_harmless",
    "draw_ahead",
    "_bar_row",
    "_cell",
    "_fitting",
    "_heading_of",
    "_cells",
    "_attribute",
    "_parser",
    "_image",
    "_styled",
}


def test_a_checker_sees_a_text_that_is_taken_for_html(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The type is more than a word: a function of ours that gives a bare text back is an error."""
    monkeypatch.chdir(PROJECT)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from parallm_magics.display.markup import Markup\n\n\n"
        "def drawn(name: str) -> Markup:\n    return f'<b>{name}</b>'\n"
    )
    cache = ["--config-file", str(PROJECT / "pyproject.toml"), "--cache-dir", str(tmp_path)]
    said, _, status = api.run([*cache, str(wrong)])
    assert status == 1
    assert 'expected "Markup"' in said


def test_the_aggregate_stands_above_the_table() -> None:
    """On a page and in a terminal."""
    blocks = run_blocks(fanout(record(0), text="The whole.", text_title="Synthesis"))
    for drawn in (plain(blocks), Page(html(blocks)).text):
        assert drawn.index("The whole.") < drawn.index("Worker")


def test_a_view_of_a_vote_is_plain_data() -> None:
    """Nothing in it is drawn yet: the same blocks make the page and the text."""
    kinds_of = [type(block).__name__ for block in run_blocks(vote())]
    assert kinds_of == ["Heading", "Bars", "Disclosure"]


def test_dots_stand_on_one_axis() -> None:
    """From the tenth below the lowest interval to the one above the highest, and each dot in its interval."""
    rows = (
        Dot("a single call", 0.73, 0.64, 0.80, ("87.4",)),
        Dot("the vote", 0.86, 0.78, 0.91, ("103",), strong=True),
    )
    dots = Dots(("System", ">Right"), rows, "Of 120.")
    assert dots.ends == (0.6, 1.0)
    assert [round(dots.along(share), 3) for share in (0.6, 0.73, 1.0)] == [0, 0.325, 1]
    head, *lines, note = plain([dots]).split("\n")
    assert head.split() == ["System", "60", "%", "100", "%", "Right"]
    assert note == "Of 120."
    begin = head.index("60 %")
    for line, row in zip(lines, rows, strict=True):
        at = [line.index("─") - begin, line.index("●") - begin, line.rindex("─") - begin]
        assert at == [round(dots.along(share) * 39) for share in (row.low, row.share, row.high)]
        assert line.endswith(row.cells[0])
    drawn = html([dots])
    assert "flex:0.1000" in drawn  # of the axis, before the first interval
    assert drawn.count("border-radius:50%") == 2


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(sorted),
        min_size=1,
        max_size=5,
    )
)
def test_any_dots_are_within_their_axis(shares: list[list[float]]) -> None:
    """No interval leaves it, and it is never without length."""
    dots = Dots(("a",), tuple(Dot("x", mid, low, high) for low, mid, high in shares))
    low, high = dots.ends
    assert 0 <= low < high <= 1
    for row in dots.rows:
        assert 0 <= dots.along(row.low) <= dots.along(row.share) <= dots.along(row.high) <= 1
    assert plain([dots])
