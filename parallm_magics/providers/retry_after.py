"""How long a provider asks to wait, read from its headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 1e9  # seconds; beyond that it is no hint but nonsense
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
ASKED = re.compile(
    r"(?i)\b(?:again|retry|wait)\b(?:[^.;0-9]{0,30}?\b(?:in|after|for|least))?\s+"
    r"((?:[0-9]+(?:\.[0-9]+)? ?(?:ms|milliseconds?|secs?|seconds?|minutes?|mins?|hours?|days?|[smhd])\b ?|"
    r"[0-9]+(?:\.[0-9]+)?(?:ms|[smhd]))+)"
)
WORDED = re.compile(r"[a-z]{2,}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, or None without a usable hint; the letter case of names does not matter.

    >>> retry_after({"Retry-After": "1.5"})
    1.5
    >>> retry_after({"x-ratelimit-reset-requests": "500ms"})
    0.5
    """
    found = {name.lower(): value.strip() for name, value in headers.items()}
    if (milliseconds := _seconds(found.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    if "retry-after" in found:
        return span(found["retry-after"]) or _until(found["retry-after"])
    return _reset(found)


def _reset(found: Mapping[str, str]) -> float | None:
    """The wait for the exhausted one of the limits; for the slowest where none says so."""
    limits = {
        name: wait
        for name in ("requests", "tokens")
        if (wait := span(found.get(f"x-ratelimit-reset-{name}", ""))) is not None
    }
    spent = [w for n, w in limits.items() if found.get(f"x-ratelimit-remaining-{n}") == "0"]
    return max(spent or limits.values(), default=None)


def _seconds(value: str) -> float | None:
    if not NUMBER.fullmatch(value) or len(value) > 20:
        return None
    return _usable(float(value))


def span_in_words(words: str) -> float | None:
    """The wait that a message asks for in words, or None.

    >>> span_in_words("Rate limit reached. Please try again in 1m2.5s. Visit …")
    62.5
    """
    said = ASKED.search(words)
    return None if said is None else span(WORDED.sub(_unit, said[1].lower()).replace(" ", ""))


def _unit(word: re.Match[str]) -> str:
    """ "milliseconds" as "ms", "minutes" as "m", and so on."""
    return "ms" if word[0].startswith(("ms", "mil")) else word[0][0]


def span(value: str) -> float | None:
    """ "1m30s", "500ms" or plain seconds."""
    parts = SPAN.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value or len(value) > 40:
        return _seconds(value)
    return _usable(sum(float(number) * UNITS[unit] for number, unit in parts))


def _until(value: str) -> float | None:
    """Seconds until an HTTP date; one without a zone is taken as UTC."""
    try:
        moment = parsedate_to_datetime(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _usable((moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _usable(seconds: float) -> float | None:
    return seconds if 0 < seconds <= LONGEST else None
