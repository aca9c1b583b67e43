"""Names of current models, to show and to compare a slip with."""

from __future__ import annotations

WELL_KNOWN = (
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "gpt-6-luna",
    "gpt-6.1-terra",
)
