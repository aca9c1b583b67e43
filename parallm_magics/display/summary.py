"""The lines of a run that say the same in html and in plain text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from decimal import Decimal

from parallm_magics.core.tasks import Record, Usage
from parallm_magics.display import text
from parallm_magics.display.rows import models_line, row_of
from parallm_magics.display.totals import totals
from parallm_magics.display.view import View

MOST = 200
"""Most workers that all have a line of their own."""

SHOWN = 50
"""How many of more workers than that have one: the saved notebook must stay readable."""


def subtitle(view: View) -> str:
    """Who answered, how long it took, what it cost."""
    sums = totals(view.records, view.extra)
    noun = {"vote": "vote", "study": "call"}.get(view.pattern, "worker")
    if view.tally is not None and not view.tally.counted:
        noun = "answer"
    different = {(record.model, record.model_answered): record for record in view.records[::-1]}
    rows = [row_of(record) for record in reversed(different.values())]
    rows += [row_of(record, aside=True) for record in view.extra]
    parts = [
        text.count(len(view.records), noun),
        models_line(rows),
        text.seconds(sums.seconds),
    ]
    if sums.usage is not None:
        parts.append(f"{text.tokens(sums.usage.total_tokens, sums.usage_complete)} tokens")
    if sums.cost is not None:
        parts.append(text.money(sums.cost, sums.cost_complete))
    parts += [f"asked at {text.one_line(address, 80)}" for address in view.addresses]
    return " · ".join(parts)


def simulated(view: View) -> bool:
    """Whether any of what is shown comes from no model."""
    return view.simulated or any(record.simulated for record in (*view.records, *view.extra))


def footer(view: View) -> str:
    """Tokens by class and the cost, with what is unknown said."""
    sums = totals(view.records, view.extra)
    parts = []
    if (usage := sums.usage) is not None:
        fed = usage.total_tokens - usage.output_tokens
        least = "" if sums.usage_complete else "at least "
        parts.append(f"Tokens: {least}{fed:,} in{_cached(usage)}, {usage.output_tokens:,} out")
    else:
        parts.append("Tokens: –")
    parts.append(f"Cost: {text.money(sums.cost, sums.cost_complete)}")
    if sums.saved:
        parts.append(_caching(sums.saved))
    return " · ".join(parts)


def _cached(usage: Usage) -> str:
    """Which of the tokens in went through a prompt cache, in brackets."""
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    if not (read or written):
        return ""
    if not read:
        return f" ({written:,} written to cache)"
    return (
        f" ({read:,} from cache, {written:,} written to it)"
        if written
        else f" ({read:,} from cache)"
    )


def _caching(saved: Decimal) -> str:
    """What prompt caching did to the cost, also where it did not pay."""
    amount = text.money(abs(saved))
    return f"prompt caching saved {amount}" if saved > 0 else f"prompt caching cost {amount} more"


def beside(view: View) -> list[Record]:
    """The calls beside the workers that get a line."""
    return list(view.extra[:SHOWN])


def chosen(view: View) -> tuple[list[tuple[Record, str]], str]:
    """The records that get a line, with their ballots, and a word on what is left out.

    Of too many workers those without success come first, then the first of the others.
    """
    ballots = view.ballots or ("",) * len(view.records)
    total = len(view.records)
    places: Iterable[int] = range(total)
    left = ""
    if total > MOST:
        lost = [at for at, record in enumerate(view.records) if not record.ok][:SHOWN]
        good = (at for at, record in enumerate(view.records) if record.ok)
        places = [*lost, *itertools.islice(good, SHOWN - len(lost))]
        left = f"{total - SHOWN:,} more workers in the result"
    if len(view.extra) > SHOWN:
        calls = text.count(len(view.extra) - SHOWN, "more call")
        left = "; ".join(filter(None, (left, f"{calls} beside the workers in the result")))
    return [(view.records[at], ballots[at]) for at in places], left
