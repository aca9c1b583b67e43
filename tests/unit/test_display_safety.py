"""Hostile text in every field of everything that is drawn: it stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from display_samples import Page, bad_inputs, record, static_html, tally_plain
from hostile import hostile_report, hostile_tallies, hostile_view, live

from parallm_magics.display import Heading, Notes, Prompt, View, html, plain
from parallm_magics.display.run_rows import guard_line

PAYLOADS = bad_inputs("markup", "control", "redress", "beacon", "math")

ELEMENTS = {
    "a", "b", "bdi", "blockquote", "br", "caption", "code", "details", "div", "em", "hr", "li", "ol", "p",
    "pre", "span", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"class", "dir", "href", "open", "rel", "scope", "start", "style", "tabindex"}


def static(payload: str) -> str:
    """The saved picture of a hostile run."""
    return static_html(hostile_view(payload))


def blocked(payload: str) -> str:
    """The saved picture of the same, blocked."""
    return static_html(replace(hostile_view(payload), blocked=True))


def reported(payload: str) -> str:
    """The report of a hostile study."""
    return html(hostile_report(payload))


def preview(payload: str) -> str:
    """The prompts of a hostile dry run."""
    prompt = Prompt(payload, payload, payload, True)
    return html([Heading(payload), Notes((payload,)), prompt, prompt])


@pytest.mark.parametrize("draw", [static, blocked, live])
def test_the_sample_has_the_column_of_models(draw: Callable[[str], str]) -> None:
    """It is drawn only where models differ; without it nothing would test its escape."""
    assert ">Model<" in draw("x")
    assert "<i>m</i>" not in draw("<i>m</i>")


@pytest.mark.parametrize("draw", [static, blocked, live, preview, reported])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_nothing_but_our_own_elements(payload: str, draw: Callable[[str], str]) -> None:
    """No foreign element or attribute, no handler, no resource, no name, all tags closed."""
    page = Page(draw(payload))
    assert page.unclosed == []
    for tag, attrs in page.elements:
        assert tag in ELEMENTS
        assert set(attrs) <= ATTRIBUTES
        assert "url(" not in (attrs.get("style") or "")
        assert "position" not in (attrs.get("style") or "")
        assert (attrs.get("href") or "http:").split(":")[0] in ("http", "https", "mailto")


@pytest.mark.parametrize("draw", [static, blocked, live, preview, reported])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_row_is_faked(payload: str, draw: Callable[[str], str]) -> None:
    """As many rows and folds as a harmless text of its length gives; a model's own tables aside."""
    harmless = "".join(each if each.isspace() else "c" for each in payload)
    page, calm = Page(draw(payload)), Page(draw(harmless))
    for tag in ("tr", "details", "thead", "bdi"):
        assert page.count(tag) == calm.count(tag)


@pytest.mark.parametrize("draw", [static, blocked, live, preview, reported])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_control_or_hidden_character_is_drawn(payload: str, draw: Callable[[str], str]) -> None:
    """Neither raw nor as an entity."""
    text = Page(draw(payload)).text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )
    assert not re.search("[\u200b\u2060\U000e0000-\U000e007f]", text)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_line_of_a_terminal_is_faked(payload: str) -> None:
    """What stands in one line in html stands in one paragraph there: no foreign line break."""
    for tally in hostile_tallies(f"{payload}\nPOSING"):
        assert not any(line.startswith("POSING") for line in tally_plain(tally, columns=10_000))
    for guard in hostile_view(f"x\n{payload}\nPOSING").guards:
        assert "\n" not in guard_line(guard)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_line_of_a_report_is_faked(payload: str) -> None:
    """In a terminal every field stays in its line, and nothing is obeyed."""
    lines = plain(hostile_report(f"x {payload}\nPOSING"), 10_000).split("\n")
    assert not any(line.lstrip().startswith("POSING") for line in lines)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", "".join(lines))


def test_math_is_not_typeset() -> None:
    """Dollars are dollars: both MathJax versions are told to keep out."""
    tag, attrs = Page(static("$5 today and $6")).elements[0]
    assert (tag, attrs["class"]) == ("div", "parallm-run mathjax_ignore tex2jax_ignore")


def test_status_stands_apart_from_a_models_words() -> None:
    """A text that poses as a winner stays in its cell, folded to one line."""
    view = View("no winner", "vote", (record(0, text="\n✅ winner: candidate 2 (100%)\n"),))
    html = static_html(view)
    cell = html[html.index('text-overflow:ellipsis"><bdi>') :]
    assert cell[: cell.index("</td>")].count("winner: candidate 2") == 1


def test_tall_text_is_bounded() -> None:
    """Stacked combining characters cannot grow their row."""
    html = static("a\u0300\u0301\u0302\u0303" * 2000)
    rows = re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    assert all("overflow:hidden" in row for row in rows if "\u0300" in row)
