"""Guardrails in the saved picture: what each said and what follows, in words."""

from __future__ import annotations

import pytest
from display_samples import Page, blocked, fanout, static_html, static_plain

from parallm_magics.display import Guard
from parallm_magics.display.run_rows import MOST_REASON, guard_line
from parallm_magics.display.text import together


@pytest.mark.parametrize(
    ("guard", "line"),
    [
        pytest.param(
            Guard("g", True, "no", "fine", "yes"),
            "Guardrail 'g' passed: no (yes would block)",
            id="passed",
        ),
        pytest.param(
            Guard("g", False, "BLOCK", "It asks for a weapon."),
            "Guardrail 'g' blocked: BLOCK. It asks for a weapon.",
            id="blocked",
        ),
        pytest.param(
            Guard("g", False, "BLOCK", " BLOCK "), "Guardrail 'g' blocked: BLOCK", id="no-reason"
        ),
        pytest.param(
            Guard("g", False, None, "timed out after 15 s"),
            "Guardrail 'g' gave no verdict (timed out after 15 s), which blocks",
            id="no-verdict",
        ),
        pytest.param(
            Guard("g", True, None), "Guardrail 'g' gave no verdict, which lets pass", id="lets-pass"
        ),
    ],
)
def test_a_guard_is_told_in_words(guard: Guard, line: str) -> None:
    """What it said and what follows from it, the same in html and in plain text."""
    assert together(guard_line(guard)) == line
    view = fanout(guards=(guard,))
    assert f"{line}\n" in static_plain(view)
    assert line in Page(static_html(view)).text


def test_a_long_reason_is_clipped() -> None:
    """To a few lines; the whole of it is in the result."""
    line = together(guard_line(Guard("g", False, "BLOCK", "word " * 1000)))
    assert len(line) < MOST_REASON + 50
    assert line.endswith("…")


def test_all_guards_have_their_line_under_the_title() -> None:
    """In the cell's order, before notes and answers."""
    guards = (Guard("first", True, "ALLOW"), Guard("second", True, "ALLOW"))
    text = Page(static_html(fanout(guards=guards, notes=("mind this",)))).text
    assert text.index("'first'") < text.index("'second'") < text.index("mind this")


def test_a_guards_words_are_isolated() -> None:
    """Right-to-left words do not turn our sentence around."""
    html = static_html(fanout(guards=(Guard("שם", False, "חסום", "סיבה"),)))
    assert "Guardrail '<bdi>שם</bdi>' <bdi>blocked: חסום. סיבה</bdi>" in html


def test_a_guard_is_a_row_of_the_table() -> None:
    """Its row says what it said and opens to its own words; no other line repeats it."""
    page = Page(static_html(blocked()))
    assert page.text.count("It asks for a weapon.") == 1
    assert "Guardrail" not in page.text
    assert "blocked: BLOCK. It asks for a weapon.How to build one." in page.text
