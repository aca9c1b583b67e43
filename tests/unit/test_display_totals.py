"""Sums of a run: one place, and honest about what is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from display_samples import failed, record

from parallm_magics.core.tasks import Usage
from parallm_magics.display import totals


def test_the_longest_counts_against_the_sum() -> None:
    """Wall time runs from the first start to the last end."""
    sums = totals([record(0, seconds=2.0), record(1, start=0.5, seconds=1.0)])
    assert (sums.seconds, sums.sequential_seconds, sums.longest) == (2.0, 3.0, 2.0)
    assert sums.speedup == pytest.approx(1.5)


def test_an_unknown_cost_makes_a_lower_bound() -> None:
    """What is known is added up, and said to be incomplete."""
    sums = totals([record(0), failed(1)])
    assert (sums.cost, sums.cost_complete) == (Decimal("0.0012"), False)
    assert (sums.usage, sums.usage_complete) == (Usage(100, 0, 0, 20), False)


def test_savings_and_their_price_are_one_sum() -> None:
    """What writing a cache cost is taken off what reading it saved, in extra calls too."""
    sums = totals(
        [record(0, saved=Decimal("-0.0005")), record(1, saved=Decimal("0.002")), record(2)],
        [record(3, "synthesis", saved=Decimal("0.001"))],
    )
    assert sums.saved == Decimal("0.0025")
    assert totals([record(0)]).saved is None


def test_extra_calls_cost_but_take_no_workers_time() -> None:
    """A synthesis is paid for and waited for; the speed-up is the workers' alone."""
    sums = totals([record(0), record(1)], [record(2, "synthesis", start=1.5, seconds=9.0)])
    assert sums.cost == Decimal("0.0036")
    assert (sums.seconds, sums.working_seconds) == (10.5, 1.5)
    assert (sums.sequential_seconds, sums.speedup) == (3.0, 2.0)


def test_a_guard_that_ends_last_is_waited_for() -> None:
    """The run takes from the first start to the last end, whoever starts or ends."""
    sums = totals([record(0, start=0.5)], [record(1, "guardrail", seconds=4.0)])
    assert (sums.seconds, sums.working_seconds) == (4.0, 1.5)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("ok", True),
        ("truncated", True),
        ("refused", True),
        ("invalid", True),
        ("failed", False),
        ("timed_out", False),
        ("cancelled", False),
        ("blocked", False),
    ],
)
def test_no_speed_up_is_told_of_a_run_that_lost_a_worker(status: str, told: bool) -> None:
    """A call that never came back took no time that another order could have saved."""
    sums = totals([record(0), record(1, status=status)])
    assert (sums.speedup is not None) == told
    assert (sums.seconds, sums.sequential_seconds) == (1.5, 3.0)


def test_a_worker_that_never_asked_owes_nothing() -> None:
    """Cancelled while it waited: neither time nor an unknown cost."""
    waiting = record(
        1, status="cancelled", attempts=(), seconds=0.0, start=9.0, cost=None, usage=None
    )
    sums = totals([record(0), waiting])
    assert sums.cost_complete
    assert sums.seconds == 1.5


def test_a_simulated_answer_has_no_unknown_cost() -> None:
    """No model was asked, so nothing is owed."""
    sums = totals([record(0, cost=None, simulated=True)])
    assert (sums.cost, sums.cost_complete) == (None, True)


def test_no_worker_no_speed() -> None:
    """An empty run has sums too."""
    sums = totals([])
    assert (sums.seconds, sums.speedup, sums.usage, sums.cost) == (0.0, None, None, None)
