"""Comparing two systems on the same items: the vectors, second ways to compute, and the limits."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import rows_of

from parallm_magics.voting import (
    mcnemar_exact,
    mcnemar_midp,
    paired_bootstrap,
    paired_items_needed,
    recommend,
    verdict,
)

FUNCTIONS = {
    "mcnemar_exact": mcnemar_exact,
    "mcnemar_midp": mcnemar_midp,
    "paired_bootstrap": paired_bootstrap,
    "paired_items_needed": paired_items_needed,
    "recommend": recommend,
    "verdict": verdict,
}
VERDICTS = ("no_items", "same", "too_few", "better", "worse", "not_shown")
changes = st.integers(0, 40)


@pytest.mark.parametrize("row", rows_of(FUNCTIONS))
def test_each_result_is_as_expected(row):
    """Every vector's value comes out within its tolerance; words are the same words."""
    found, expected = FUNCTIONS[row["fn"]](**row["inputs"]), row["expected"]
    if isinstance(expected, str):
        assert found == expected
    else:
        found = list(found) if isinstance(expected, list) else found
        assert found == pytest.approx(expected, abs=row["tol"])


@given(changes, changes)
def test_the_test_is_symmetric_and_a_coins(gains, losses):
    """Exchanging the two systems changes nothing; p is the share of coin tosses that are as lopsided."""
    n = gains + losses
    assert mcnemar_exact(gains, losses) == mcnemar_exact(losses, gains)
    lopsided = sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(gains - losses))
    assert mcnemar_exact(gains, losses) == pytest.approx(lopsided / 2**n)
    assert 0 <= mcnemar_midp(gains, losses) <= mcnemar_exact(gains, losses) <= 1


@given(changes, changes, st.integers(0, 60))
def test_a_verdict_turns_with_the_systems(gains, losses, same):
    """Better one way is worse the other way, and five changes never show anything."""
    items = gains + losses + same
    turned = {"better": "worse", "worse": "better"}
    found = verdict(items, gains, losses)
    assert verdict(items, losses, gains) == turned.get(found, found)
    assert found in VERDICTS
    assert gains + losses >= 6 or found in ("no_items", "same", "too_few")


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3))
def test_the_bootstrap_is_the_limit_of_all_resamples(gains, losses, same):
    """By brute force over every resample of a few items."""
    items = gains + losses + same
    if not 0 < items <= 6:
        assert items or paired_bootstrap(items, gains, losses) is None
        return
    values = [1] * gains + [-1] * losses + [0] * same
    sums = sorted(sum(draw) for draw in itertools.product(values, repeat=items))
    low, high = (sums[math.ceil(q * len(sums)) - 1] / items for q in (0.025, 0.975))
    assert paired_bootstrap(items, gains, losses) == (low, high)


def test_the_bootstrap_is_near_a_drawn_one():
    """A thousand items, two thousand resamples."""
    lot = random.Random(1)
    values = [1] * 80 + [-1] * 50 + [0] * 870
    drawn = sorted(sum(lot.choices(values, k=1000)) / 1000 for _ in range(2000))
    low, high = paired_bootstrap(1000, 80, 50)
    assert low == pytest.approx(drawn[49], abs=0.004)
    assert high == pytest.approx(drawn[1949], abs=0.004)


@given(changes, changes, st.integers(0, 60))
def test_the_interval_holds_the_difference(gains, losses, same):
    """And turns with the systems."""
    items = gains + losses + same
    if not items:
        return
    low, high = paired_bootstrap(items, gains, losses)
    assert -1 <= low <= (gains - losses) / items <= high <= 1
    turned = paired_bootstrap(items, losses, gains)
    assert turned == pytest.approx((-high, -low), abs=1.01 / items)


def test_what_cannot_be_is_refused():
    """More changes than items, a gain without changes."""
    with pytest.raises(ValueError, match="are more than 3 items"):
        paired_bootstrap(3, 2, 2)
    for gain, discordance in ((0, 0.1), (0.2, 0.1), (-0.1, 0.1), (0.5, 1.5)):
        with pytest.raises(ValueError, match="at most the share of items"):
            paired_items_needed(gain, discordance)


@given(*[st.sampled_from(VERDICTS)] * 3, st.floats(0, 9), st.floats(0, 9))
def test_only_what_is_better_is_recommended(vote, big, between, cost_vote, cost_big):
    """And a single call only where both comparisons are settled."""
    found = recommend(vote, big, between, cost_vote, cost_big)
    if found == "vote":
        assert vote == "better"
    elif found == "bigger_model":
        assert big == "better"
    elif found == "single":
        assert {vote, big} <= {"worse", "same"}
    else:
        assert found == "undecided"


def test_a_better_system_that_costs_more_is_the_users_call():
    """Of two that both beat a single call."""
    assert recommend("better", "better", "better", 5, 4) == "bigger_model"
    assert recommend("better", "better", "better", 4, 5) == "undecided"
    assert recommend("better", "better", "worse", 5, 4) == "undecided"
    assert recommend("better", "better", "worse", 4, 5) == "vote"
