"""Prices: the short way through a run gives what the table gives."""

from __future__ import annotations

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


@pytest.mark.parametrize("usage", [Usage(10**400, 0, 0, 10**400), Usage(0, 0, 0, 10**400)])
def test_an_absurd_usage_costs_no_answer_of_a_run(usage: Usage) -> None:
    """Neither way raises."""
    prices.pricing()(Model("anthropic", "claude-sonnet-5-5"), usage)
