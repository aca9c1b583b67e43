"""Prices: the short way through a run gives what the table gives."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics import prices
from parallm_magics.providers.registry import parse_model
from parallm_magics.types import Model, Usage

# Round the starts of price tiers, where another rate begins to hold for all tokens of the call.
COUNTS = st.one_of(
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 99_999, 100_000, 100_001, 200_000, 200_001, 272_000, 272_001, 10**9]),
)
MODELS = (
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-sonnet-4-5",
    "gpt-6-luna",
    "gpt-5",
    "openai:no-such-model",
    "ollama:llama3.2",
)


@pytest.mark.parametrize("name", MODELS)
@given(usages=st.lists(st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS), min_size=1, max_size=5))
def test_a_runs_prices_are_the_tables(name: str, usages: list[Usage]) -> None:
    """Whatever the calls of a run use, below and above a tier, each costs what the table says."""
    model, priced = parse_model(name), prices.pricing()
    for usage in usages:
        assert priced(model, usage) == prices.cost(model, usage)


@pytest.mark.parametrize("name", [*MODELS, "gpt-6.1-terra", "gpt-4", "claude-3-haiku-20240307"])
@given(length=COUNTS, most=COUNTS, data=st.data())
def test_no_call_costs_more_than_the_worst(
    name: str, length: int, most: int, data: st.DataObject
) -> None:
    """However the tokens within the bound are split into classes, below and above a tier."""
    model = parse_model(name)
    bound = prices.worst(model, length, most)
    fed = data.draw(st.integers(0, length + prices.WRAPPING) | st.just(length + prices.WRAPPING))
    read = data.draw(st.integers(0, fed) | st.sampled_from([0, fed]))
    wrote = data.draw(st.integers(0, fed - read) | st.just(fed - read))
    gave = data.draw(st.integers(0, most) | st.just(most))
    price = prices.cost(model, Usage(fed - read - wrote, read, wrote, gave))
    assert (bound is None) == (price is None)
    assert bound is None or price is None or price <= bound


@pytest.mark.parametrize(
    ("length", "rate"),
    [
        # Haiku 5.5, dollars a million to write: 0.125 up to 100,000 tokens in, five times that above.
        pytest.param(1_000, "0.125", id="short"),
        pytest.param(100_000 - 64, "0.125", id="the first tier's last"),
        pytest.param(100_001 - 64, "0.625", id="the second tier's first"),
    ],
)
def test_the_worst_is_the_dearest_class_of_tokens(length: int, rate: str) -> None:
    """Exactly: every byte and the wrapping a token that is written, and all of the output."""
    model = Model("anthropic", "claude-haiku-5-5")
    output = Decimal("0.5") if rate == "0.125" else Decimal("2.5")
    fed = (length + 64) * Decimal(rate) / 1_000_000
    assert prices.worst(model, length, 1_000) == fed + 1_000 * output / 1_000_000


@pytest.mark.parametrize("usage", [Usage(10**400, 0, 0, 10**400), Usage(0, 0, 0, 10**400)])
def test_an_absurd_usage_costs_no_answer_of_a_run(usage: Usage) -> None:
    """Neither way raises."""
    prices.pricing()(Model("anthropic", "claude-sonnet-5-5"), usage)
