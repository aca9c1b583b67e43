"""How the numbers of a study are written."""

from __future__ import annotations

from parallm_magics import display

_SHOWN = {
    "same": "no difference",
    "too_few": "too few to tell",
    "not_shown": "may be chance",
    "no_items": "–",
}
"""Verdicts in words; the others are words themselves."""


def shown_as(verdict: str) -> str:
    """A verdict in words."""
    return _SHOWN.get(verdict, verdict)


def rights(number: float) -> str:
    """A number of right answers; a mean over draws need not be whole."""
    return f"{number:,.1f}".removesuffix(".0")


def between(span: tuple[float, float]) -> str:
    """The two ends of an interval of shares, in whole percent."""
    return f"{span[0] * 100:.0f}–{span[1] * 100:.0f} %"


def whole(share: float | None) -> str:
    """A share in whole percent; `–` where it is not known."""
    return "–" if share is None else "0" if not share else f"{display.percent(share)} %"
