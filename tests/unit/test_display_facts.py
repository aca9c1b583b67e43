"""Small tables of names and values: a real table, and lines that fit a terminal."""

from __future__ import annotations

import pytest
from display_samples import Page

from parallm_magics.display import Facts, html, plain
from parallm_magics.display.text import width

FACTS = (("model", "sim"), ("session_max_cost", "$2.00: $1.00 left"), ("long", "word " * 60))


def test_every_name_heads_its_row() -> None:
    """A row a fact, its name as the row's heading."""
    page = Page(html([Facts(FACTS)]))
    assert page.count("tr") == page.count("th") == page.count("td") == 3
    assert "model" in page.text


def test_lines_are_aligned_and_fit() -> None:
    """Values begin in one column, further lines of a long one too; none is over 100 columns."""
    lines = plain([Facts(FACTS)]).splitlines()
    assert lines[0] == "model             sim"
    assert lines[1] == "session_max_cost  $2.00: $1.00 left"
    assert len(lines) > 4
    assert all(line.startswith(" " * 18 + "word") for line in lines[3:])
    assert max(map(width, lines)) <= 100


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "\x1b[2J\u202e", ""])
def test_hostile_words_stay_words(hostile: str) -> None:
    """Neither names nor values make elements or control characters."""
    facts = [Facts(((hostile, hostile),))]
    assert Page(html(facts)).count("img") == 0
    assert not set("\x1b\u202e") & set(html(facts) + plain(facts))
