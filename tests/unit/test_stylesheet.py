"""The live view's style sheet: the same look as in the saved view, said once."""

from __future__ import annotations

import re

from display_samples import HAIKU, Page, record
from hypothesis import given
from hypothesis import strategies as st
from live_views import live_html

from parallm_magics.core.tasks import Event
from parallm_magics.display import Board, StyleSheet
from parallm_magics.display.stylesheet import MOST_RULES

BOARD = Board([(f"w{at}", HAIKU) for at in range(40)], "vote")
for _at in range(35):
    BOARD.tell(Event("started", _at, 0.1 * _at))
    if _at < 30:
        BOARD.tell(Event("ended", _at, 1.0, record=record(_at, value="safe", start=0.1 * _at)))


def styled(html: str, sheet: StyleSheet) -> list[tuple[str, str]]:
    """Each element with its style, wherever that is said."""
    rules = dict(re.findall(r"\.x\.x \.(p\d+)\{(.*)\}", sheet.rules))
    found = []
    for tag, attributes in Page(html).elements:
        names = str(attributes.get("class") or "").split()
        looks = [attributes.get("style") or "", *(rules.get(name, "") for name in names)]
        found.append((tag, "".join(filter(None, looks))))
    return found


def test_a_look_is_the_same_by_class_as_in_its_place() -> None:
    """Every element of a live view keeps its style, and its text is what it was."""
    sheet = StyleSheet("x")
    html = live_html(BOARD, 9.0)
    drawn = sheet.classed(html)
    assert styled(drawn, sheet) == styled(html, StyleSheet("x"))
    assert Page(drawn).text == Page(html).text
    assert len(drawn) < len(html) / 3


def test_a_rule_is_made_once() -> None:
    """Another drawing, with other widths and times, needs no new rule."""
    sheet = StyleSheet("x")
    sheet.classed(live_html(BOARD, 9.0))
    before = sheet.rules
    sheet.classed(live_html(BOARD, 9.7))
    assert sheet.rules == before


def test_a_class_of_its_own_is_kept() -> None:
    """The page's frame is marked for MathJax; its look comes beside that."""
    assert StyleSheet("x").classed('<div class="a" style="b">') == '<div class="a p0">'
    assert (
        StyleSheet("x").classed('<div style="width:5%;b">') == '<div class="p0" style="width:5%;">'
    )


@given(st.lists(st.from_regex(r"[a-z]{1,9}:[a-z0-9]{1,9}", fullmatch=True)))
def test_any_look_is_borne(looks: list[str]) -> None:
    """As many classes as looks, in the order of their first use."""
    sheet = StyleSheet("x")
    sheet.classed("".join(f'<i style="{look}">' for look in looks))
    assert [line.partition("{")[2][:-1] for line in sheet.rules.split("\n") if line] == list(
        dict.fromkeys(looks)
    )


def test_a_sheet_does_not_grow_for_ever() -> None:
    """What is different every time stays in its place."""
    sheet = StyleSheet("x")
    drawn = "".join(sheet.classed(f'<i style="left:{at}px">') for at in range(2 * MOST_RULES))
    assert sheet.rules.count("\n") == MOST_RULES - 1
    assert drawn.count("style=") == MOST_RULES
