"""Prices: the short way through a run gives what the table gives, and no call costs more than its worst."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.core import prices
from parallm_magics.core.batches import AT_BATCH_PRICE
from parallm_magics.core.prices import Tariff
from parallm_magics.core.tasks import Model, Terms, Usage
from parallm_magics.providers import bill
from parallm_magics.providers.registry import parse_model

# Round the starts of price tiers, where another rate begins to hold for all tokens of the call.
COUNTS = st.one_of(
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 99_999, 100_000, 100_001, 200_000, 200_001, 272_000, 272_001, 10**9]),
)
TERMS: tuple[Terms, ...] = (
    (),
    (("service_tier", "flex"),),
    (("service_tier", "priority"),),
    AT_BATCH_PRICE,
)
MODELS = (
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-sonnet-4-5",
    "gpt-6-luna",
    "gpt-5",
    "gemini:gemini-2.5-flash",
    "groq:llama-3.3-70b-versatile",
    "openrouter:openai/gpt-6-luna",
    "mistral:mistral-small-latest",
    "deepseek:deepseek-chat",
    "xai:grok-4.7",
    "together:Qwen/Qwen3.5-9B",
    "azure:gpt-6-luna",
    "bedrock:us.anthropic.claude-haiku-5-5",
    "openai:no-such-model",
    "azure:my-deployment",
    "ollama:llama3.2",
)
# Of another provider, by its address: its price has a part for each call.
BY_CALL = Tariff("", "https://api.perplexity.ai", "sonar")


def tariffs(name: str) -> list[Tariff]:
    """Where a model's prices stand."""
    found = [bill.tariff(parse_model(name), terms) for terms in TERMS]
    return [each for each in found if each is not None]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25)
@given(usages=st.lists(st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS), min_size=1, max_size=5))
def test_a_runs_prices_are_the_tables(name: str, usages: list[Usage]) -> None:
    """Whatever the calls of a run use, below and above a tier, each costs what the table says."""
    for tariff in (*tariffs(name), BY_CALL):
        for usage in usages:
            assert prices.at_once(tariff, usage) == prices.cost(tariff, usage)


@pytest.mark.parametrize("name", [*MODELS, "gpt-6.1-terra", "gpt-4", "claude-3-haiku-20240307"])
@settings(max_examples=25)
@given(length=COUNTS, most=COUNTS, hour=st.integers(0, 23), data=st.data())
def test_no_call_costs_more_than_the_worst(
    name: str, length: int, most: int, hour: int, data: st.DataObject
) -> None:
    """However the tokens within the bound are split, below and above a tier, at any time of the day."""
    fed = data.draw(st.integers(0, length + prices.WRAPPING) | st.just(length + prices.WRAPPING))
    read = data.draw(st.integers(0, fed) | st.sampled_from([0, fed]))
    wrote = data.draw(st.integers(0, fed - read) | st.just(fed - read))
    gave = data.draw(st.integers(0, most) | st.just(most))
    usage = Usage(fed - read - wrote, read, wrote, gave)
    moment = datetime.combine(prices.today(), time(hour, 30), UTC)
    for tariff in (*tariffs(name), BY_CALL):
        bound = prices.worst(tariff, length, most)
        price = prices.cost(tariff, usage)
        assert (bound is None) == (price is None)
        if bound is not None and price is not None:
            assert price <= bound
            assert prices._found(tariff, usage, moment).total_price <= bound


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
    assert bill.worst(model, length, 1_000) == fed + 1_000 * output / 1_000_000


@pytest.mark.parametrize("usage", [Usage(10**400, 0, 0, 10**400), Usage(0, 0, 0, 10**400)])
def test_an_absurd_usage_costs_no_answer_of_a_run(usage: Usage) -> None:
    """Neither way raises."""
    bill.cost(Model("anthropic", "claude-sonnet-5-5"), usage)
    bill.cost(Model("deepseek", "deepseek-chat"), usage)


def test_terms_that_the_table_does_not_know_have_no_price() -> None:
    """The base price would be a guess: OpenRouter's table has no tiers, and nobody has "ultra"."""
    used = Usage(1000, 0, 0, 1000)
    for name, tier in (("openrouter:openai/gpt-6-luna", "flex"), ("gpt-6-luna", "ultra")):
        assert bill.cost(parse_model(name), used) is not None
        assert bill.cost(parse_model(name), used, (("service_tier", tier),)) is None


@pytest.mark.parametrize("name", ["openai:a-model-that-nobody-sells", "anthropic:nor-this"])
def test_a_model_without_a_price_is_looked_up_once_a_day(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """To find nothing takes longest, and a thousand calls ask for it four thousand times."""
    looked: list[Tariff] = []
    real = prices._found

    def found(tariff: Tariff, *more: object) -> object:
        looked.append(tariff)
        return real(tariff, *more)  # type: ignore[arg-type]

    prices.rates.cache_clear()
    prices.is_priced.cache_clear()
    monkeypatch.setattr(prices, "_found", found)
    model = parse_model(name)
    for _ in range(100):
        assert bill.cost(model, Usage(1000, output_tokens=10)) is None
        assert bill.worst(model, 1000, 10) is None
    assert len(looked) <= 2
