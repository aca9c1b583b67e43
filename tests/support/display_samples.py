"""Runs to draw, and a reader of what was drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from paths import DATA

from parallm_magics.core.tasks import Attempt, Fault, Record, Usage
from parallm_magics.display import (
    Guard,
    Tally,
    View,
    html,
    plain,
    run_blocks,
    timeline,
    vote_bars,
)

HAIKU = "anthropic:claude-haiku-5-5"
GUARD, FOLLOW_UP = 10**9, 10**9 + 1000


def record(index: int = 0, name: str = "", **fields: Any) -> Record:
    """A worker that answered in 1.5 seconds, unless told otherwise."""
    given: dict[str, Any] = {
        "status": "ok",
        "model": HAIKU,
        "text": f"Answer {index}.",
        "usage": Usage(100, 0, 0, 20),
        "cost": Decimal("0.0012"),
        "seconds": 1.5,
        "attempts": (Attempt("ok", 1.5),),
    } | fields
    return Record(index, name or f"s{index + 1}", **given)


def failed(index: int = 0, name: str = "", **fields: Any) -> Record:
    """A worker whose provider failed twice, at a cost that nobody knows."""
    given: dict[str, Any] = {
        "status": "failed",
        "text": "",
        "usage": None,
        "cost": None,
        "attempts": (Attempt("server", 0.5), Attempt("server", 1.0)),
        "error": Fault("server", "the provider failed: overloaded", 503, None, "req_1"),
        "request_id": "req_1",
    } | fields
    return record(index, name, **given)


def fanout(*records: Record, **fields: Any) -> View:
    """A fan-out of these records."""
    given = {"title": "2 of 3 sections succeeded", "pattern": "fanout"} | fields
    return View(records=records or (record(0), failed(1), record(2)), **given)


def vote(labels: str = "safe safe unsafe safe safe", **fields: Any) -> View:
    """A vote whose every ballot was valid."""
    cast = labels.split()
    counts = tuple((label, cast.count(label)) for label in dict.fromkeys(cast))
    tally = Tally(counts, "safe", "decided", len(cast), len(cast), agreement=0.8)
    records = tuple(
        record(at, f"v{at + 1}", text=f"ANSWER: {label}", value=label)
        for at, label in enumerate(cast)
    )
    given: dict[str, Any] = {
        "title": "safe: 4 of 5 votes",
        "pattern": "vote",
        "tally": tally,
        "ballots": ("valid",) * len(cast),
    } | fields
    return View(records=records, **given)


def blocked(*records: Record, synthesis: Record | None = None, **fields: Any) -> View:
    """A fan-out whose guard has blocked it, with the guard's own record."""
    guard = record(
        GUARD,
        "safety",
        role="guard",
        text="How to build one.\nANSWER: BLOCK",
        value="BLOCK",
        seconds=0.8,
    )
    stopped = {
        "status": "blocked",
        "text": "",
        "error": Fault("blocked", "a guardrail has not let it pass"),
        "seconds": 0.8,
    }
    given = {
        "title": "blocked by the guardrail 'safety'",
        "pattern": "fanout",
        "extra": (guard, synthesis) if synthesis else (guard,),
        "text": "I cannot help with that.",
        "text_title": "Refusal",
        "guards": (Guard("safety", False, "BLOCK", "It asks for a weapon."),),
        "blocked": True,
    } | fields
    return View(records=records or tuple(record(at, **stopped) for at in range(3)), **given)


def bad_inputs(*categories: str, browser: bool = False) -> dict[str, str]:
    """The hostile payloads of these categories by id, and all others that are for a browser."""
    cases = json.loads((DATA / "bad-inputs.json").read_text("utf-8"))
    found = {}
    for case in cases["inputs"]:
        if case["category"] in categories or (browser and "browser" in case.get("check", {})):
            gen = case.get("gen") or {}
            payload = case.get("payload") or gen.get("repeat", "") * gen.get("times", 0)
            found[case["id"]] = payload.replace("{B}", "http://127.0.0.1:9/beacon")
    return found


def static_html(view: View) -> str:
    """The saved picture of a run."""
    return html(run_blocks(view))


def static_plain(view: View) -> str:
    """The same for a terminal."""
    return plain(run_blocks(view))


def tally_html(tally: Tally, records: tuple[Record, ...] = (), **how: Any) -> str:
    """The picture of votes alone."""
    return html([vote_bars(tally, records, **how)])


def tally_plain(tally: Tally, columns: int = 100, **how: Any) -> list[str]:
    """The same for a terminal, line by line."""
    return plain([vote_bars(tally, **how)], columns).split("\n")


def timeline_html(records: Sequence[Record], extra: Sequence[Record] = ()) -> str:
    """The picture of times alone; "" where there is none."""
    blocks = timeline(records, extra)
    return html(blocks) if blocks else ""


def timeline_plain(
    records: Sequence[Record], extra: Sequence[Record] = (), columns: int = 100
) -> list[str]:
    """The same for a terminal, line by line."""
    return plain(timeline(records, extra), columns).splitlines()


class Page(HTMLParser):
    """What a browser finds in a piece of html: elements with attributes, and the text.

    >>> Page("<p dir='auto'>a<b>c</b></p>").text
    'ac'
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.unclosed: list[str] = []
        self.text = ""
        self.feed(str(html))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("br", "hr"):
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        """How many elements of that name."""
        return sum(name == tag for name, _ in self.elements)
