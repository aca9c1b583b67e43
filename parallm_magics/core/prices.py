"""What a call's tokens cost, by the dated price tables of genai-prices."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from parallm_magics.core.batches import AT_BATCH_PRICE
from parallm_magics.core.tasks import Terms, Usage

WRAPPING = 64
"""Most tokens that a provider adds to one prompt and its system prompt."""


TIER = "service_tier"
"""The term by which the tiers of a provider are told apart."""
_OF_THE_TABLE = {AT_BATCH_PRICE[0]: ("processing", "batch")}
"""What the tables call a term, where they call it otherwise."""


class Tariff(NamedTuple):
    """Where the price of a model's tokens stands.

    Attributes:
        provider: the id of the table's provider; "" where `url` leads to it.
        url: the address that is asked.
        model: the model's name as its provider knows it.
        terms: what else decides, such as `(("service_tier", "flex"),)`; () for the base price.
        share: of the base price, where the table has no price of these terms; None where that is unknown.
        per_mtok: US dollars for a million tokens that go in and that come out, where no table says.
    """

    provider: str
    url: str
    model: str
    terms: Terms = ()
    share: Decimal | None = None
    per_mtok: tuple[float, float] | None = None


def cost(tariff: Tariff, usage: Usage) -> Decimal | None:
    """Return US dollars for these tokens at this moment's price; None where no price is known."""
    try:
        return _found(tariff, usage).total_price
    # An answer that is paid for must not be lost to a table of prices, whatever that raises.
    except Exception:
        return None


class _Found(NamedTuple):
    """What the table says of a call: its price in US dollars, its model, and that model's prices."""

    total_price: Decimal
    model: Any
    model_price: Any


def _found(tariff: Tariff, usage: Usage, at: datetime | None = None) -> _Found:
    """Return what the table says.

    Raises:
        LookupError: nothing of these terms.
    """
    # genai-prices takes 150 ms to import: paid where a price is first needed.
    import genai_prices

    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    terms = dict(_OF_THE_TABLE.get(term, term) for term in tariff.terms)
    common: dict[str, Any] = {"price_context": terms or None, "genai_request_timestamp": at}
    if tariff.provider:
        found = genai_prices.calc_price(tokens, tariff.model, provider_id=tariff.provider, **common)
    else:
        found = genai_prices.calc_price(tokens, tariff.model, provider_api_url=tariff.url, **common)
    share: Decimal | int = 1
    if terms and not _has_variant(found, terms, at or datetime.now(UTC)):
        if tariff.share is None:
            raise LookupError(terms)
        share = tariff.share
    return _Found(found.total_price * share, found.model, found.model_price)


def _has_variant(found: Any, terms: dict[str, str], at: datetime) -> bool:
    """Whether these terms decided the price: the table falls back to the base price where it lacks them.

    It does so too for a model that the provider takes over from another one's table.
    """
    if all(found.model is not model for model in found.provider.models):
        return False
    return any(
        variant.when == terms and (variant.constraint is None or variant.constraint.active(at))
        for variant in found.model.price_variants or ()
    )


class Rates(NamedTuple):
    """What one call, and one token of each class, costs up to so many input tokens in the call."""

    most: float
    call: Decimal
    plain: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """Return US dollars of one call."""
        return (
            self.call
            + usage.input_tokens * self.plain
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
            + usage.output_tokens * self.output
        )


ONES = (Usage(1, 0, 0, 0), Usage(0, 1, 0, 0), Usage(0, 0, 1, 0), Usage(0, 0, 0, 1))


@functools.lru_cache(256)
def rates(tariff: Tariff, day: date) -> Rates | None:
    """Return the rates below the first price tier, looked up once a day.

    None where no price is known, and where it changes within the day.
    """
    if tariff.per_mtok is not None:
        share = 1_000_000 if tariff.share is None else 1_000_000 / tariff.share
        took, gave = (Decimal(str(price)) / share for price in tariff.per_mtok)
        return Rates(math.inf, Decimal(0), took, took, took, gave)
    try:
        found = _found(tariff, Usage())
        if len(_moments(found.model, day)) > 1:
            return None
        call = found.total_price
        each = [_found(tariff, one).total_price - call for one in ONES]
        prices = vars(found.model_price).values()
        tiers = [tier for price in prices for tier in getattr(price, "tiers", ())]
        return Rates(min((tier.start for tier in tiers), default=math.inf), call, *each)
    except Exception:  # as above
        return None


@functools.lru_cache(1024)
def is_priced(tariff: Tariff, day: date) -> bool:
    """Whether the table knows a price, looked up once a day: a name that it lacks takes longest."""
    try:
        _found(tariff, Usage())
    except Exception:  # as above
        return False
    return True


def _moments(model: Any, day: date) -> list[datetime | None]:
    """Return a moment in each span of the day that has a price of its own."""
    kinds = [each.constraint for each in model.prices] if isinstance(model.prices, list) else []
    starts = [start for kind in kinds if (start := getattr(kind, "start_time", None)) is not None]
    ends = [kind.end_time for kind in kinds if hasattr(kind, "end_time")]
    times = dict.fromkeys([*starts, *ends])
    return [datetime.combine(day, time, time.tzinfo or UTC) for time in times] or [None]


def at_once(tariff: Tariff, usage: Usage) -> Decimal | None:
    """Return `cost`, without looking into the table for each call.

    The table takes 0.14 ms a call, a fifth of what the call itself costs; a product takes 0.003.
    """
    rate = rates(tariff, day := today())
    if rate is None and not is_priced(tariff, day):
        return None
    took = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    if rate is None or took > rate.most:
        return cost(tariff, usage)
    return rate.cost(usage)


def worst(tariff: Tariff, prompt_bytes: int, max_tokens: int) -> Decimal | None:
    """Return US dollars that one call can cost at most today; None where no price is known.

    Args:
        prompt_bytes: length of prompt and system prompt in UTF-8; no token is shorter than a byte.
        max_tokens: most output tokens.
    """
    fed = prompt_bytes + WRAPPING
    rate = rates(tariff, day := today())
    if rate is not None and fed <= rate.most:
        dearest = max(rate.plain, rate.cache_read, rate.cache_write)
        return rate.call + fed * dearest + max_tokens * rate.output
    if not is_priced(tariff, day):
        return None
    usages = (
        Usage(input_tokens=fed, output_tokens=max_tokens),
        Usage(cache_read_tokens=fed, output_tokens=max_tokens),
        Usage(cache_write_tokens=fed, output_tokens=max_tokens),
    )
    try:
        moments = _moments(_found(tariff, Usage()).model, day)
        return max(
            _found(tariff, usage, moment).total_price for usage in usages for moment in moments
        )
    except Exception:  # as above
        return None


def today() -> date:
    """Return the day of the price tables, by UTC."""
    return datetime.now(UTC).date()


def prepare(tariff: Tariff) -> None:
    """Load the price tables, and look up a price, now rather than within a worker's time."""
    with contextlib.suppress(ImportError):  # what cannot be priced is shown without a price
        import genai_prices  # noqa: F401

    rates(tariff, today())


def are_loaded() -> bool:
    """Tell whether the price tables are imported."""
    return "genai_prices" in sys.modules
