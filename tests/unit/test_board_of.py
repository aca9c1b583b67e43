"""The live table knows, before anything has run, what a plan will show."""

from __future__ import annotations

import asyncio

import pytest
from live_views import live_html

from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.patterns.plan_board import announcement
from parallm_magics.providers.registry import Clients, parse_model


def shown(magic: str, body: str, model: str) -> str:
    """The live table before the first event."""

    async def main() -> str:
        plan = make_plan(parse(magic, "", body), {}, parse_model, {"model": (model,)})
        return live_html(PATTERNS[plan.pattern].board(plan, Clients()), 0.0)

    return asyncio.run(main())


def test_an_unusual_address_is_shown_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment leads a provider elsewhere, the heading says so, without credentials."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://user:p4ss@127.0.0.1:9/x")
    html = shown("fanout", "%section a\nx", "claude-haiku-5-5")
    assert "127.0.0.1:9" in html
    assert "p4ss" not in html
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    assert "asked at" not in shown("fanout", "%section a\nx", "claude-haiku-5-5")


@pytest.mark.parametrize("magic", ["fanout", "vote"])
def test_a_simulation_is_marked_from_the_start(magic: str) -> None:
    """And a synthesis has its row."""
    body = "%section a\nx\n%synthesis\ny" if magic == "fanout" else "x"
    html = shown(magic, body, "sim")
    assert "SIMULATED" in html
    assert ("synthesis" in html) == (magic == "fanout")


@pytest.mark.parametrize(
    ("docs", "line", "said"),
    [
        pytest.param(range(200), "", None, id="a panel"),
        pytest.param(range(201), "", "201 calls, plain requests", id="a map"),
        pytest.param(range(5000), "--stream on", "5,000 calls, streamed; ", id="forced"),
        pytest.param(iter([1]), "", "one call per item, plain", id="a generator"),
    ],
)
def test_a_large_run_says_what_it_is_about_to_do(docs: object, line: str, said: str | None) -> None:
    """How many calls, how they are made, and what they could cost at most."""
    cell = parse("fanout", f"--each docs {line}", "{{item}}")
    settings = {"model": ("claude-haiku-5-5",), "max_tokens": 1000}
    plan = make_plan(cell, {"docs": docs}, parse_model, settings)
    told = announcement(plan)
    assert told.startswith(said) if said else told == ""
    assert ("at most $" in told) == (said is not None and said[0].isdigit())
