"""In what a request differs from the nearest one that is recorded."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from parallm_magics.providers.keys import scrub

BESIDE_CHARS = 24  # characters shown on either side of a difference
LONG = 60  # characters of a difference, or of a value
# A simulated answer depends on these too; nobody reads them as a part of the request.
_SPELT = {
    "given": "given answer",
    "query": "simulation's settings",
    "reading": "way to read the answer",
}
# Simulated answers depend on these as well; they differ where the prompt or the place does.
_FOLLOWING = {"shared", "worker"}


class Entry(NamedTuple):
    """One recorded request: its line in the file, who asked, what, and as which sample."""

    line: int
    worker: str
    request: Mapping[str, Any]
    sample: int


def difference(worker: str, sample: int, request: Mapping[str, Any], known: Iterable[Entry]) -> str:
    """What a miss differs in from the nearest entry, as a clause; "" where nothing is recorded.

    The nearest entry has the fewest other fields, then the same worker, then the longest common
    beginning and end of the prompt.
    """
    entries = list(known)
    if not entries:
        return ""
    nearest = min(entries, key=lambda entry: _distance(worker, request, entry))
    where = f"line {nearest.line} ({nearest.worker})"
    fields = _differing(request, nearest.request)
    if not fields:
        have = len({e.sample for e in entries if not _differing(request, e.request)})
        answers = (
            "1 answer to this request is" if have == 1 else f"{have} answers to this request are"
        )
        return f"{answers} recorded, but not number {sample + 1}"
    first = "prompt" if "prompt" in fields else fields[0]
    others = [_SPELT.get(name, name) for name in fields if name != first]
    more = f"; also different: {', '.join(others)}" if others else ""
    spelt = _SPELT.get(first, first)
    change = _change(nearest.request.get(first), request.get(first))
    return f"the nearest is {where}, with a different {spelt}: {change}{more}"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**one, **other} if name not in _FOLLOWING]
    return [name for name in names if not _equal(one.get(name), other.get(name))]


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, whether they come from the file or from a request."""
    return bool(one == other) or _plain(one) == _plain(other)


def _distance(worker: str, request: Mapping[str, Any], entry: Entry) -> tuple[int, bool, int, int]:
    """The smaller, the nearer."""
    fields = _differing(request, entry.request)
    here, there = str(request.get("prompt", "")), str(entry.request.get("prompt", ""))
    start, end = _common(here, there)
    return len(fields), entry.worker != worker, -(start + end), entry.line


def _common(one: str, other: str) -> tuple[int, int]:
    """How many characters two texts share at their beginning, and at their end after that."""
    start = shared_start(one, other)
    return start, shared_start(one[start:][::-1], other[start:][::-1])


def shared_start(one: str, other: str) -> int:
    """How many characters two texts share at their beginning."""
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect.bisect_left(lengths, True, key=lambda n: one[:n] != other[:n])


def _change(before: Any, now: Any) -> str:
    """From what to what, short and on one line."""
    if not (isinstance(before, str) and isinstance(now, str)):
        return f"{_value(before)} is now {_value(now)}"
    before, now = scrub(before), scrub(now)  # whole: of a part nobody could tell that it is a key
    start, end = _common(before, now)
    # Whole words are easier to tell apart than the letters in which they differ.
    while start and before[start - 1].isalnum():
        start -= 1
    while end and before[len(before) - end].isalnum():
        end -= 1
    return f"{_cut(before, start, end)} is now {_cut(now, start, end)}"


def _cut(text: str, start: int, end: int) -> str:
    """The part of a text that differs, with something of what stands around it."""
    stop = len(text) - end
    middle = text[start:stop]
    if len(middle) > LONG:
        middle = f"{middle[: LONG // 2]}…{middle[-LONG // 2 :]}"
    head, tail = text[max(0, start - BESIDE_CHARS) : start], text[stop : stop + BESIDE_CHARS]
    begun = "…" if start > BESIDE_CHARS else ""
    ended = "…" if end > BESIDE_CHARS else ""
    return repr(f"{begun}{head}{middle}{tail}{ended}")


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = scrub(_plain(value))
    return text if len(text) <= LONG else f"{text[: LONG // 2]}…{text[-LONG // 2 :]}"


def _plain(value: Any) -> str:
    """One text for values that are equal in JSON."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
