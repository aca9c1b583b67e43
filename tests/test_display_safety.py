"""Hostile text in every field of everything that is drawn: it stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from display_samples import Page, bad_inputs, record

from parallm_magics.display import Board, Tally, View, preview_html, static_html
from parallm_magics.types import Attempt, Event, Fault, Record, Usage

PAYLOADS = bad_inputs("markup", "control", "redress", "beacon", "math")

ELEMENTS = {
    "a", "b", "bdi", "blockquote", "br", "code", "details", "div", "em", "hr", "li", "ol", "p",
    "pre", "span", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"class", "dir", "href", "open", "rel", "scope", "start", "style"}


def hostile_record(payload: str, index: int = 0) -> Record:
    """A record with the payload wherever a provider, a model or a user can put it."""
    return Record(
        index,
        payload,
        "failed" if index % 2 else "ok",
        payload,
        payload,
        payload,
        Usage(1, 0, 0, 1),
        Decimal("0.1"),
        seconds=1.0,
        attempts=(Attempt(payload, 1.0),) * 2,
        model_answered=payload,
        finish=payload,
        request_id=payload,
        error=Fault("server", payload, 500, None, payload) if index % 2 else None,
    )


def static(payload: str) -> str:
    """The saved picture of a hostile run."""
    return static_html(
        View(
            payload,
            "vote",
            (hostile_record(payload), hostile_record(payload, 1)),
            (hostile_record(payload, 2),),
            payload,
            payload,
            (payload,),
            True,
            (payload,),
            Tally(((payload, 2),), payload, "decided", 2, 2, agreement=1.0, interval=(0.3, 1)),
            ("valid", payload),
        )
    )


def live(payload: str) -> str:
    """The live view of a hostile run: one worker streams, one waits, one has ended."""
    board = Board([(payload, payload)] * 3, "vote", addresses=(payload,))
    for index in range(3):
        board.tell(Event("started", index, 0.0))
        board.tell(Event("heard", index, 0.5, payload))
    board.tell(Event("waiting", 1, 1.0, payload))
    board.tell(Event("ended", 2, 1.0, record=hostile_record(payload)))
    board.say(payload)
    return board.live_html(2.0)


def preview(payload: str) -> str:
    """The prompts of a hostile dry run."""
    return preview_html(payload, [(payload, payload, payload)] * 2, 2)


@pytest.mark.parametrize("draw", [static, live, preview])
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


@pytest.mark.parametrize("draw", [static, live, preview])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_row_is_faked(payload: str, draw: Callable[[str], str]) -> None:
    """As many rows and folds as a harmless text gives; a model's own tables aside."""
    page, calm = Page(draw(payload)), Page(draw("calm"))
    for tag in ("tr", "details", "thead", "bdi"):
        assert page.count(tag) == calm.count(tag)


@pytest.mark.parametrize("draw", [static, live, preview])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_control_or_hidden_character_is_drawn(payload: str, draw: Callable[[str], str]) -> None:
    """Neither raw nor as an entity."""
    text = Page(draw(payload)).text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )
    assert not re.search("[\u200b\u2060\U000e0000-\U000e007f]", text)


def test_math_is_not_typeset() -> None:
    """Dollars are dollars: both MathJax versions are told to keep out."""
    tag, attrs = Page(static("$5 today and $6")).elements[0]
    assert (tag, attrs["class"]) == ("div", "mathjax_ignore tex2jax_ignore")


def test_status_stands_apart_from_a_models_words() -> None:
    """A text that poses as a winner stays in its cell, folded to one line."""
    view = View("no winner", "vote", (record(0, text="\n✅ winner: candidate 2 (100%)\n"),))
    html = static_html(view)
    cell = html[html.index('max-height:1.6em;overflow:hidden;text-overflow:ellipsis" dir') :]
    assert cell[: cell.index("</td>")].count("winner: candidate 2") == 1


def test_tall_text_is_bounded() -> None:
    """Stacked combining characters cannot grow their row."""
    html = static("a\u0300\u0301\u0302\u0303" * 2000)
    rows = re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    assert all("overflow:hidden" in row for row in rows if "\u0300" in row)
