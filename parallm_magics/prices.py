"""What a call's tokens cost, by the dated price tables of genai-prices."""

from __future__ import annotations

from decimal import Decimal

from parallm_magics.types import Model, Usage

PRICED = frozenset({"anthropic", "openai"})


def cost(model: Model, usage: Usage) -> Decimal | None:
    """US dollars for these tokens at today's price; None where no price is known.

    Only the official providers have a price: an endpoint of the user's own sends its own bill, or
    none.
    """
    if model.provider not in PRICED:
        return None
    # genai-prices takes 150 ms to import: paid where a price is first needed.
    import genai_prices

    try:
        tokens = genai_prices.Usage(
            input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
        )
        return genai_prices.calc_price(tokens, model.name, provider_id=model.provider).total_price
    # An answer that is paid for must not be lost to a table of prices, whatever that raises.
    except Exception:
        return None


def prepare() -> None:
    """Load the price tables now rather than within a worker's time."""
    import genai_prices  # noqa: F401
