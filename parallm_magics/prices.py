"""What a call's tokens cost, by the dated price tables of genai-prices."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from parallm_magics.types import Model, Usage

PRICED = frozenset({"anthropic", "openai"})
WRAPPING = 64
"""Most tokens that a provider adds to one prompt and its system prompt."""


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


class Rates(NamedTuple):
    """What one token of each class costs, up to so many input tokens in one call."""

    most: float
    plain: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal


@functools.lru_cache(256)
def rates(model: Model, day: date) -> Rates | None:
    """A model's rates below its first price tier, looked up once a day; None where unknown."""
    import genai_prices

    ones = (Usage(1, 0, 0, 0), Usage(0, 1, 0, 0), Usage(0, 0, 1, 0), Usage(0, 0, 0, 1))
    each = [price for one in ones if (price := cost(model, one)) is not None]
    if len(each) < len(ones):
        return None
    try:
        one = genai_prices.Usage(input_tokens=1)
        found = genai_prices.calc_price(one, model.name, provider_id=model.provider).model_price
        tiers = [tier for price in vars(found).values() for tier in getattr(price, "tiers", ())]
        return Rates(min((tier.start for tier in tiers), default=math.inf), *each)
    except Exception:  # as above
        return None


def pricing() -> Callable[[Model, Usage], Decimal | None]:
    """`cost` for the calls of one run, at the prices of its first day.

    The table takes 0.14 ms a call, a fifth of what the call itself costs; a product takes 0.003.
    """
    day = _today()

    def priced(model: Model, usage: Usage) -> Decimal | None:
        rate = rates(model, day) if model.provider in PRICED else None
        took = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        if rate is None or took > rate.most:
            return cost(model, usage)
        return (
            usage.input_tokens * rate.plain
            + usage.cache_read_tokens * rate.cache_read
            + usage.cache_write_tokens * rate.cache_write
            + usage.output_tokens * rate.output
        )

    return priced


def worst(model: Model, prompt_bytes: int, max_tokens: int) -> Decimal | None:
    """US dollars that one call can cost at most; None where no price is known.

    Args:
        prompt_bytes: length of prompt and system prompt in UTF-8; no token is shorter than a byte.
        max_tokens: most output tokens.
    """
    fed = prompt_bytes + WRAPPING
    rate = rates(model, _today()) if model.provider in PRICED else None
    if rate is not None and fed <= rate.most:
        dearest = max(rate.plain, rate.cache_read, rate.cache_write)
        return fed * dearest + max_tokens * rate.output
    usages = (
        Usage(input_tokens=fed, output_tokens=max_tokens),
        Usage(cache_read_tokens=fed, output_tokens=max_tokens),
        Usage(cache_write_tokens=fed, output_tokens=max_tokens),
    )
    known = [price for usage in usages if (price := cost(model, usage)) is not None]
    return max(known, default=None)


def _today() -> date:
    return datetime.now(UTC).date()


def prepare() -> None:
    """Load the price tables now rather than within a worker's time."""
    import genai_prices  # noqa: F401
