"""The timeline: bars on one axis, the longest against the sum."""

from __future__ import annotations

from typing import Any

import pytest
from display_samples import Page, failed, record, timeline_html, timeline_plain

from parallm_magics.core.tasks import Attempt
from parallm_magics.display.run_blocks import MOST_TIMES
from parallm_magics.display.totals import comparison


def test_the_sentence_tells_why_it_was_quick() -> None:
    """The longest worker, the sum, and how many times faster."""
    said = comparison([record(0, seconds=2.1), record(1, seconds=1.5), record(2, seconds=1.8)])
    assert said == "2.1 s for the longest of 3; 5.4 s one after another; 2.6 times faster"


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        pytest.param("ok", "2.0 s for the longest of 2; 4.0 s one after another; 2.0 times faster"),
        pytest.param("blocked", "2.0 s for 2 workers", id="blocked"),
        pytest.param("cancelled", "2.0 s for 2 workers", id="stopped"),
        pytest.param("failed", "2.0 s for 2 workers", id="failed"),
        pytest.param("timed_out", "2.0 s for 2 workers", id="timed-out"),
    ],
)
def test_a_guard_runs_beside_the_work_and_a_judge_after_it(status: str, begins: str) -> None:
    """By when they began; neither makes the workers faster or slower."""
    workers = [record(i, seconds=2.0, status=status) for i in range(2)]
    guard = record(2, "guardrail", role="guard", seconds=0.8)
    late = record(3, "leak check", start=1.9, seconds=5.0)
    judge = record(4, "judge", role="judge", start=2.0, seconds=1.1)
    assert comparison(workers, [guard, judge]) == (
        f"{begins}; beside it 0.80 s for the guardrail; then 1.1 s for the judge"
    )
    both = comparison(workers, [guard, late])
    assert both == f"{begins}; beside it 0.80 s for the guardrail and 5.0 s for 'leak check'"


def test_one_worker_has_its_guard_beside_it() -> None:
    """Where there is nothing to compare, the other calls are told all the same."""
    said = comparison([record(0, seconds=2.0)], [record(1, "guardrail", role="guard", seconds=0.8)])
    assert said == "2.0 s for 1 worker; beside it 0.80 s for the guardrail"


def test_calls_that_never_began_took_no_time() -> None:
    """A judge that was not asked is not told of."""
    never = record(1, "judge", role="judge", status="cancelled", attempts=(), seconds=0.0)
    assert "judge" not in comparison([record(0)], [never])


def test_many_calls_after_the_work_are_one_sum() -> None:
    """From the first start to the last end."""
    judges = [record(i, f"judge{i}", start=2.0, seconds=i) for i in range(1, 6)]
    assert comparison([record(0)], judges).endswith("; then 5.0 s for 5 calls")


def test_queueing_is_said_where_the_longest_is_not_the_whole() -> None:
    """With waiting workers the run is longer than its longest worker."""
    said = comparison([record(0, seconds=2.0), record(1, start=2.0, queued=2.0, seconds=2.0)])
    assert "4.0 s from the first start to the last end" in said
    assert "faster" not in said


def test_waiting_and_running_are_told_apart() -> None:
    """The plain bar waits in dots and runs in blocks."""
    lines = timeline_plain([record(0, seconds=2.0), record(1, start=1.0, queued=1.0, seconds=1.0)])
    bar = lines[1].split("  ")[1].strip()
    assert bar.count("·") == bar.count("█") > 10
    assert bar.startswith("·")


def test_every_worker_and_extra_call_has_a_bar() -> None:
    """One row each, the axis, and the two bars of the comparison, which a failed run has not."""
    extra = [record(3, "synthesis", role="synthesis", start=2)]
    page = Page(timeline_html([record(0), failed(1), record(2)], extra))
    assert page.count("tr") == 4 + 1
    assert "failed" in page.text
    assert "synthesis" in page.text
    assert Page(timeline_html([record(0), record(1), record(2)], extra)).count("tr") == 4 + 1 + 2


@pytest.mark.parametrize(
    "waited",
    [
        pytest.param({"start": 2.0, "queued": 2.0}, id="for a place"),
        pytest.param(
            {"attempts": (Attempt("rate_limit", 0.1), Attempt("ok", 1.0))}, id="for a 429"
        ),
    ],
)
def test_a_sum_with_waits_in_it_is_a_most(waited: dict[str, Any]) -> None:
    """One worker after another would not have waited for a place, nor been told to slow down."""
    said = comparison(
        [record(0, seconds=2.0), record(1, seconds=2.0), record(2, seconds=2.0, **waited)]
    )
    assert "at most 6.0 s one after another; at most " in said
    assert "at most" not in comparison([record(0), record(1, start=0.01, queued=0.01)])


def test_of_very_many_workers_the_slowest_are_drawn() -> None:
    """The picture stays a picture, and says what it left out."""
    page = Page(timeline_html([record(i, seconds=float(i + 1)) for i in range(500)]))
    assert page.count("tr") <= MOST_TIMES + 3
    assert f"The slowest {MOST_TIMES} of 500 workers." in page.text
    assert "s500" in page.text


def test_nothing_ran_nothing_is_drawn() -> None:
    """A blocked run has no timeline."""
    blocked = record(0, status="blocked", attempts=(), seconds=0.0)
    assert timeline_html([blocked]) == ""
    assert timeline_plain([blocked]) == []
