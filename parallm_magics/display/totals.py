"""What records add up to, in numbers and in words; runs and displays ask here, so that they cannot differ."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from parallm_magics.core.tasks import Record, Usage
from parallm_magics.display import text


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a run.

    Attributes:
        seconds: first start to last end, of workers and extra calls.
        working_seconds: the same of the workers alone.
        sequential_seconds: the sum of the workers' lengths: what one after another would take.
        at_most: whether that sum is a most, as workers waited for a place or for a further try.
        one_by_one: the sum of all lengths, of workers and extra calls.
        longest: the longest worker's seconds.
        speedup: sequential over working seconds; None where nothing took time, and where a worker
            did not come back or was asked in a batch: nobody knows how long it would have taken.
        usage, cost: tokens and US dollars of workers and extra calls; None where all are unknown.
        usage_complete, cost_complete: whether every call's are known; if not, it is a lower bound.
        saved: US dollars that prompt caches saved, as far as known; negative where they cost more,
            None where none took part.
        calls: how many workers asked a model.
        last: when the last of them ended.
    """

    seconds: float
    working_seconds: float
    sequential_seconds: float
    at_most: bool
    one_by_one: float
    longest: float
    speedup: float | None
    usage: Usage | None
    usage_complete: bool
    cost: Decimal | None
    cost_complete: bool
    saved: Decimal | None
    calls: int
    last: float


_LOST = frozenset({"failed", "timed_out", "cancelled", "blocked"})
_QUEUED = 0.05
"""Seconds of waiting for a place below which a loop was merely busy."""

LEAST_SPEEDUP = 1.05
"""From here on a run is called faster than its workers one after another."""

_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")

_NAMED = 3
"""Most auxiliary calls whose times are told one by one."""


@dataclass(slots=True)
class Sums:
    """Adds up records in any order, so that none of them need be kept; see `Totals`.

    Attributes:
        start, end: of the calls so far.
        longest: the longest call's seconds.
        sequential: the sum of the calls' lengths.
        at_most: whether any waited for a place or for a further try.
        lost: whether any did not come back, or came in a batch, so that nobody knows its own length.
        calls: how many asked a model.
        counted: the tokens of how many are known.
        tokens: in four classes.
        cost, saved: in US dollars; None where none is known.
        priced: whether every cost is known.
    """

    start: float = math.inf
    end: float = -math.inf
    longest: float = 0.0
    sequential: float = 0.0
    at_most: bool = False
    lost: bool = False
    calls: int = 0
    counted: int = 0
    tokens: tuple[int, ...] = (0, 0, 0, 0)
    cost: Decimal | None = None
    saved: Decimal | None = None
    priced: bool = True

    def take(self, records: Sequence[Record]) -> Sums:
        """Add these; gives back itself."""
        # One pass in plain numbers: a run of fifty thousand is summed several times for one picture.
        start, end, sequential, longest = self.start, self.end, self.sequential, self.longest
        lost, at_most = self.lost, self.at_most
        for record in records:
            # How long a batch takes says nothing of its calls one by one.
            lost = lost or record.status in _LOST or bool(record.batch)
            if called(record):
                start, end = min(start, record.start), max(end, record.end)
                longest = max(longest, record.seconds)
                sequential += record.seconds
                at_most = at_most or record.queued >= _QUEUED or len(record.attempts) > 1
        self.start, self.end, self.sequential, self.longest = start, end, sequential, longest
        self.lost, self.at_most = lost, at_most
        paid = [record for record in records if called(record)]
        usages = [record.usage for record in paid if record.usage is not None]
        self.calls, self.counted = self.calls + len(paid), self.counted + len(usages)
        self.tokens = tuple(
            before + sum(map(operator.attrgetter(name), usages))
            for before, name in zip(self.tokens, _TOKENS, strict=True)
        )
        self.cost = _added(self.cost, [r.cost for r in paid if r.cost is not None])
        self.saved = _added(self.saved, [r.saved for r in paid if r.saved is not None])
        self.priced = self.priced and all(r.cost is not None or r.simulated for r in paid)
        return self

    def totals(self, extra: Sequence[Record] = ()) -> Totals:
        """What comes out if these are the workers, and the extra calls stand beside them."""
        both = replace(self).take(extra)
        working = self.end - self.start if self.end >= self.start else 0.0
        return Totals(
            seconds=both.end - both.start if both.end >= both.start else 0.0,
            working_seconds=working,
            sequential_seconds=self.sequential,
            at_most=self.at_most,
            one_by_one=both.sequential,
            longest=self.longest,
            speedup=self.sequential / working if working > 0 and not self.lost else None,
            usage=Usage(*both.tokens) if both.counted else None,
            usage_complete=both.counted == both.calls,
            cost=both.cost,
            cost_complete=both.priced,
            saved=both.saved,
            calls=self.calls,
            last=self.end,
        )


def _added(before: Decimal | None, amounts: Sequence[Decimal]) -> Decimal | None:
    return sum(amounts, before or Decimal()) if amounts else before


def totals(records: Sequence[Record], extra: Sequence[Record] = ()) -> Totals:
    """Sums of the workers, and of the extra calls too where seconds, tokens and cost are meant."""
    return Sums().take(records).totals(extra)


def called(record: Record) -> bool:
    """Whether the worker asked a model at all, rather than being stopped while it waited."""
    return bool(record.attempts) or record.seconds > 0 or record.ok


# --- in words -------------------------------------------------------------------------------------


def sums_parts(sums: Totals) -> list[str]:
    """Tokens by class and the cost, as far as they are known, with what is unknown said."""
    parts = []
    if (usage := sums.usage) is not None:
        fed = usage.total_tokens - usage.output_tokens
        least = "" if sums.usage_complete else "at least "
        cached = _cached(usage) if fed > usage.input_tokens else ""
        parts = [f"{least}{fed:,} tokens in{cached}, {usage.output_tokens:,} out"]
    parts += [] if sums.cost is None else [text.money(sums.cost, sums.cost_complete)]
    if sums.saved:
        amount = text.money(abs(sums.saved))
        saved = f"saved {amount}" if sums.saved > 0 else f"cost {amount} more"
        parts.append(f"prompt caching {saved}")
    return parts


def took(sums: Totals) -> str:
    """How long the run took, and how long its calls would have taken one by one.

    A run that lost a worker is not compared: nobody knows how long that one would have taken.
    """
    whole = text.seconds(sums.seconds)
    if sums.speedup is None or sums.one_by_one < LEAST_SPEEDUP * sums.seconds:
        return whole
    most = "at most " if sums.at_most else ""
    times = sums.one_by_one / sums.seconds
    return f"{whole} (one by one: {most}{text.seconds(sums.one_by_one)}, {times:.1f} times faster)"


def _cached(usage: Usage) -> str:
    """Which of the tokens in went through a prompt cache, in brackets."""
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    if not read:
        return f" ({written:,} written to cache)"
    return f" ({read:,} from cache{f', {written:,} written to it' if written else ''})"


def comparison(
    records: Sequence[Record], extra: Sequence[Record] = (), sums: Totals | None = None
) -> str:
    """The longest worker against the sum of all, in words; "" where no worker ran.

    A run that lost a worker is not compared: nobody knows how long that one would have taken.
    """
    sums = sums or totals(records, extra)
    ran = sums.calls
    if not ran:
        return ""
    beside = _beside(sums.last, [*filter(called, extra)]) if extra else []
    working = sums.working_seconds
    if ran == 1 or sums.speedup is None:
        return "; ".join([f"{text.seconds(working)} for {text.count(ran, 'worker')}", *beside])
    parts = [f"{text.seconds(sums.longest)} for the longest of {ran:,}"]
    if working - sums.longest >= 0.05 and working > 1.02 * sums.longest:
        parts.append(f"{text.seconds(working)} from the first start to the last end")
    most = "at most " if sums.at_most else ""
    parts.append(f"{most}{text.seconds(sums.sequential_seconds)} one after another")
    if sums.speedup >= LEAST_SPEEDUP:
        parts.append(f"{most}{sums.speedup:.1f} times faster")
    return "; ".join([*parts, *beside])


def _beside(end: float, extra: Sequence[Record]) -> list[str]:
    """What ran beside the workers, which ended then, and what came after them."""
    beside = [each for each in extra if each.start < end]
    after = [each for each in extra if not each.start < end]
    told = (("beside it", beside), ("then", after))
    return [f"{when} {_lengths(calls)}" for when, calls in told if calls]


def _lengths(calls: Sequence[Record]) -> str:
    if len(calls) > _NAMED:
        whole = max(each.end for each in calls) - min(each.start for each in calls)
        return f"{text.seconds(whole)} for {len(calls):,} calls"
    return text.listed([f"{text.seconds(each.seconds)} for {_who(each)}" for each in calls])


_UNNAMED = {"guard": "guardrail", "judge": "judge", "synthesis": "synthesis"}
"""What an auxiliary call is called that has no name of its own."""


def _who(call: Record) -> str:
    name = text.one_line(call.name, 20)
    return f"the {name}" if name == _UNNAMED.get(call.role) else f"'{name}'"
