"""What travels between the processes of a cluster arrives as it was, whatever stands in its fields."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.cluster.packed_columns import LimitEvent
from parallm_magics.cluster.parcels import Report, packed, unpacked
from parallm_magics.core.tasks import Attempt, Event, Fault, Record, Usage

COUNTS = st.integers(0, 3)
SECONDS = st.sampled_from([0.0, -0.0, 0.1, 7.5])
TEXT = st.sampled_from(["", "a", "ab", "abc", "\ud800", "é\0"])
MAYBE = st.none() | TEXT
PLAIN = MAYBE | st.booleans() | st.integers(0, 2) | st.floats(0, 1)
MONEY = st.none() | st.decimals(0, 1, places=12)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "index": COUNTS,
    "usage": st.none() | st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS),
    "cost": MONEY,
    "saved": MONEY,
    "start": SECONDS,
    "queued": SECONDS,
    "seconds": SECONDS,
    "attempts": st.lists(st.builds(Attempt, TEXT, SECONDS), max_size=3).map(tuple),
    "error": st.none() | st.builds(Fault, TEXT, TEXT, http=st.none() | COUNTS),
    "simulated": st.booleans(),
    "replayed": st.booleans(),
    "key": PLAIN,
    "item": PLAIN,
    "temperature": st.none() | SECONDS,
    "thinking_tokens": st.none() | COUNTS,
    "probabilities": st.none() | st.dictionaries(TEXT, SECONDS, max_size=2),
    "value": st.just(object()),
}
"""What a field of a record may hold, where that is no text."""
RECORDS = st.builds(Record, **{each.name: BY_NAME.get(each.name, MAYBE) for each in fields(Record)})
EVENTS = st.builds(Event, st.sampled_from(["started", "heard"]), COUNTS, SECONDS, TEXT)
LIMITS = st.builds(LimitEvent, TEXT, TEXT, SECONDS, st.none() | SECONDS)


def exact(report: Report) -> list[str]:
    """Its objects so that 1, 1.0 and True differ, as do 0.0 and -0.0, and 0.1 and 0.10."""
    many = [*report.records, *report.events, *report.limits]
    return [repr([getattr(each, at.name) for at in fields(each)]) for each in many]


@given(st.lists(RECORDS, max_size=4), st.lists(EVENTS, max_size=4), st.lists(LIMITS, max_size=4))
def test_every_field_arrives_as_it_was(
    records: list[Record], events: list[Event], limits: list[LimitEvent]
) -> None:
    """But for the value, which the kernel reads again."""
    sent = Report("m", "a", tuple(records), tuple(events), tuple(limits))
    found = unpacked(packed(sent))
    told = tuple(replace(each, value=None) for each in records)
    assert exact(found) == exact(replace(sent, records=told))
    assert all(type(each.cost) in (Decimal, type(None)) for each in found.records)
