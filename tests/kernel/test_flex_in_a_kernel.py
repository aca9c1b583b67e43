"""The flex tier as a person meets it: on the line of a cell, as a setting, in a dry run, refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel import Kernel
from provider import KEY, Act, Loopback

LUNA = "gpt-6-luna"
CELL = f"%%fanout -m {LUNA} --stream off --each docs"


def answer(tier: str) -> Act:
    """A good answer that names its tier."""
    choice = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 50_000, "completion_tokens": 10_000}
    return Act(body={"choices": [choice], "model": LUNA, "usage": usage, "service_tier": tier})


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    """A scripted provider."""
    with Loopback() as loopback:
        yield loopback


@pytest.fixture(scope="module")
def kernel(server: Loopback) -> Iterator[Kernel]:
    """A kernel that asks it."""
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{server.url}/v1", "ANTHROPIC_API_KEY": KEY}
    with Kernel(**env) as kernel:
        assert kernel.run("%load_ext parallm_magics").outputs == []
        kernel.run("docs = ['a', 'b']")
        yield kernel


@pytest.fixture(autouse=True)
def _empty(server: Loopback) -> None:
    server.clear()


def tiers(server: Loopback) -> list[str | None]:
    """What each call asked for."""
    return [call.body.get("service_tier") for call in server.log]


def test_a_map_at_half_the_price(kernel: Kernel, server: Loopback) -> None:
    """One answer at the tier that was asked for, one at the usual: $0.005 and $0.01."""
    server.script(LUNA, answer("flex"), answer("default"))
    cell = kernel.run(f"{CELL} --tier flex -o run\nRead {{{{item}}}}.")
    assert cell.reply["status"] == "ok"
    assert tiers(server) == ["flex", "flex"]
    costs = [kernel.value(f"float(run.results[{place}].cost)") for place in range(2)]
    assert sorted(costs) == [pytest.approx(0.005), pytest.approx(0.01)]


def test_a_dry_run_shows_the_prices(kernel: Kernel, server: Loopback) -> None:
    """Side by side, and asks nobody."""
    cell = kernel.run(f"{CELL} --tier flex --dry-run\nRead {{{{item}}}}.")
    told = " ".join(cell.plain.split())
    assert "at the usual price" in told
    assert "at the flex tier" in told
    assert "in a batch" in told
    assert server.log == []


def test_a_setting_holds_for_every_cell_that_says_nothing(kernel: Kernel, server: Loopback) -> None:
    """A cell's own word wins; taken back, the usual tier is asked again."""
    kernel.run("%config ParallmMagics.tier = 'flex'")
    try:
        kernel.run(f"{CELL}\nRead {{{{item}}}}.")
        kernel.run(f"{CELL} --tier default\nRead {{{{item}}}}.")
    finally:
        kernel.run("%config ParallmMagics.tier = 'default'")
    kernel.run(f"{CELL}\nRead {{{{item}}}}.")
    assert tiers(server) == ["flex", "flex", None, None, None, None]


def test_who_has_no_such_tier_is_not_asked(kernel: Kernel, server: Loopback) -> None:
    """One line, with the ways out."""
    cell = kernel.run("%%fanout -m claude-haiku-5-5 --tier flex\nHi.")
    assert cell.reply["status"] == "error"
    assert "\n" not in cell.error
    assert "anthropic has no flex tier: use --batch for half the price" in cell.error
    assert server.log == []
