"""What in an entry of a stranger's cannot be used, told before it is taken in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.tasks import Tier
from parallm_magics.errors import ModelError, OptionError
from parallm_magics.providers.address import host_of
from parallm_magics.providers.dialects import Dialect
from parallm_magics.providers.entries import BY_NAME
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.providers.keys import scrub

NAME, VARIABLE = re.compile(r"[A-Za-z_][\w-]*"), re.compile(r"[A-Za-z_]\w*")
METHODS = ("check", "caches", "prepare", "complete", "close")
"""What a provider's class must have."""


def check(entry: ProviderEntry) -> None:
    """Refuse an entry that cannot be used."""
    for problem in _problems(entry):
        named = str(getattr(entry, "name", entry))[:40]
        raise OptionError(f"provider {named!r}: {one_line(scrub(problem))}")


def _problems(entry: Any) -> Iterable[str]:
    """What in an entry of a stranger's cannot be used."""
    if not isinstance(entry, ProviderEntry):
        yield "it is not a ProviderEntry"
    yield from wrong_name(entry.name)
    if entry.name in BY_NAME:
        yield "the name is taken; choose another name, or change its address: %parallm provider NAME --base-url URL"
    for name in ("keys", "models"):
        texts = getattr(entry, name)
        if not isinstance(texts, tuple | list) or any(not isinstance(each, str) for each in texts):
            yield f"{name} takes a list of strings"
    for name in ("base_url", "client", "base_env", "bare", "unpriced", "limit", "extra", "quirks"):
        if not isinstance(getattr(entry, name), str):
            yield f"{name} takes a string"
    for name in ("bare", "unpriced"):
        try:
            re.compile(getattr(entry, name))
        except re.error as error:
            yield f"{name} is not a valid regular expression: {error}"
    if not isinstance(entry.prices, str) and not _are_rates(entry.prices):
        yield "prices takes a genai-prices id, or {model: (dollars in, dollars out)} per million tokens"
    if not _are_shares(entry.tiers):
        yield 'tiers takes {"flex": share of the usual price, above 0 and at most 1, or None where it is unknown}'
    for key in entry.keys:
        if not VARIABLE.fullmatch(key):
            yield f"keys takes names of environment variables, not {scrub(key)!r}"
    if not isinstance(entry.dialect, Dialect | None):
        yield "dialect takes a Dialect, such as parallm_magics.providers.MESSAGES"
    if isinstance(entry.provider, type):
        if missing := [
            each for each in METHODS if not callable(getattr(entry.provider, each, None))
        ]:
            wanting = f"class {entry.provider.__name__} has no {', '.join(missing)}"
            yield f"its {wanting}; derive it from BaseProvider"
        elif "batch" in entry.tiers and not callable(getattr(entry.provider, "batches", None)):
            yield f'tiers has "batch", but its class {entry.provider.__name__} has no batches'
    elif entry.provider is not None and not callable(entry.provider):
        yield "provider takes a class or a function"
    if entry.provider is None or entry.base_url:
        try:
            host_of(entry.base_url)
        except ModelError as error:
            yield str(error)


def _are_rates(prices: Any) -> bool:
    """Whether it gives two amounts by the model's name."""
    if not isinstance(prices, Mapping):
        return False
    pairs = list(prices.values())
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        return False
    return all(isinstance(price, int | float) and 0 <= price < 1e6 for p in pairs for price in p)


def _are_shares(tiers: Any) -> bool:
    """Whether it gives a share, or None, by the name of a tier."""
    if not isinstance(tiers, Mapping) or not {*tiers} <= {*get_args(Tier)}:
        return False
    return all(
        share is None or (isinstance(share, int | float) and 0 < share <= 1)
        for share in tiers.values()
    )


def wrong_name(name: Any) -> Iterable[str]:
    """Why a name cannot be a provider's; nothing where it can."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"a provider's name may contain only letters, digits, _ and -, not {name!r}"
