"""The page on scale computes what it says: the longest of the limits, and prices of the tiers."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import PROJECT

MILLION = 1_000_000


@pytest.fixture(scope="module")
def page() -> Any:
    """The script that computes the page's tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "tests" / "benchmarks"))
        import at_scale
    return at_scale


@pytest.mark.parametrize(
    ("given", "items", "seconds", "limit"),
    [
        pytest.param({}, 10, 1.0, "one call", id="few"),
        pytest.param({"at_once": 100}, 1000, 10.0, "calls at once", id="slots"),
        pytest.param({"rpm": 60}, 600, 9 * 60 + 1.0, "requests a minute", id="rpm"),
        pytest.param({"tpm": 3200}, 100, 9 * 60 + 1.0, "tokens a minute", id="tpm"),
        pytest.param({"cpu": 0.01}, 10_000, 100.0, "CPU", id="cpu"),
    ],
)
def test_the_longest_limit_says_how_long_it_takes(
    page: ModuleType, given: dict[str, Any], items: int, seconds: float, limit: str
) -> None:
    """Each limit by itself; a minute's allowance may be used at once, and the last call has to end."""
    free = page.Case(rpm=None, tpm=None, at_once=MILLION, cpu=1e-6)
    found = page.plain(replace(free, **given), items)
    assert (found.seconds, found.limit) == ((seconds, seconds), limit)


def test_a_cluster_helps_with_cpu_and_slots_alone(page: ModuleType) -> None:
    """The account's limits are those of all processes together."""
    own = page.Case(rpm=None, tpm=None, processes=4)
    assert page.cluster(own, MILLION).seconds[0] * 4 == page.plain(own, MILLION).seconds[0]
    many = page.Case(rpm=None, tpm=None, processes=1000, kernel_cpu=0.001)
    found = page.cluster(many, MILLION)  # one kernel takes all records in
    assert (found.seconds, found.limit) == ((1000.0, 1000.0), "CPU of the kernel")
    slow = page.Case(rpm=100, processes=4)
    assert page.cluster(slow, MILLION) == page.plain(slow, MILLION)


def test_what_does_not_fit_into_the_queue_waits(page: ModuleType) -> None:
    """Ten items that may wait at once: thirty take three batches."""
    case = page.Case(tokens=(100, 1), queue=1000, batch_hours=(1, 24))
    assert page.batch(case, 10).seconds == (3600, 24 * 3600)
    assert page.batch(case, 30).seconds == (3 * 3600, 72 * 3600)


@given(items=st.integers(1, 10 * MILLION), rpm=st.integers(1, 100_000), more=st.integers(0, 1000))
def test_more_items_never_take_less(page: ModuleType, items: int, rpm: int, more: int) -> None:
    """By every way, in time and in cost."""
    case = page.Case(rpm=rpm)
    for way in page.WAYS.values():
        assert way(case, items).seconds <= way(case, items + more).seconds


def test_flex_costs_half(page: ModuleType) -> None:
    """By the price table; servers of your own have no price."""
    case = page.usual()
    assert page.flex(case, 1000).cost * 2 == page.plain(case, 1000).cost
    assert page.plain(page.own(case), 1000).cost is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "0.5 s"),
        (60, "60 s"),
        (200, "3.33 min"),
        (3600, "1 h"),
        (86400, "24 h"),
        (1e6, "11.6 days"),
    ],
)
def test_times_are_said_in_a_fitting_unit(page: ModuleType, seconds: float, said: str) -> None:
    """Three digits are enough."""
    assert page.span(seconds) == said
