"""What decides a price besides the tokens: the terms of a request, and those that a reply names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parallm_magics.core.prices import TIER
from parallm_magics.core.tasks import Terms

TERMS = (TIER, "speed")
"""Fields by which the price table tells prices apart, in requests and in replies."""
USUAL = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})
"""Values of those that stand for the base price."""

TIER_HEADER = "x-gemini-service-tier"
"""Where Gemini says which tier has answered: https://ai.google.dev/gemini-api/docs/priority-inference."""
TIERS = frozenset({"flex", "standard", "priority"})
"""What is believed there; anything else says nothing of a price."""

CHARGED = frozenset({*TERMS, "server_tool_use", "cache_creation", "inference_geo"})
"""Fields that say anything of a price besides the tokens."""
SAID = "said"
"""The term of a reply that names what it charges for besides tokens."""


def told(data: Mapping[str, Any]) -> Terms:
    """What a request, an answer or its usage says of its price."""
    if CHARGED.isdisjoint(data):
        return ()
    named = ((name, data.get(name)) for name in TERMS)
    found = [(name, value.lower()) for name, value in named if isinstance(value, str)]
    return (*found, *((SAID, each) for each in _charges(data)))


def told_in(headers: Mapping[str, str]) -> Terms:
    """What the headers of an answer say of its price."""
    tier = headers.get(TIER_HEADER, "").strip().lower()
    return ((TIER, tier),) if tier in TIERS else ()


def unusual(*said: Terms) -> Terms:
    """The terms that are not those of the base price; who spoke last is right."""
    merged = {name: value for terms in said for name, value in terms}
    return tuple((name, value) for name, value in merged.items() if value not in USUAL)


def _charges(usage: Mapping[str, Any]) -> list[str]:
    """What a usage counts that is paid for besides tokens, or at another price."""
    tools, kept = usage.get("server_tool_use"), usage.get("cache_creation")
    used = [str(name) for name, n in tools.items() if n] if isinstance(tools, Mapping) else []
    if isinstance(kept, Mapping) and kept.get("ephemeral_1h_input_tokens"):
        used.append("a one-hour cache")
    if usage.get("inference_geo") not in (None, "", "global", "not_available"):
        used.append("a fixed processing region")
    return used
