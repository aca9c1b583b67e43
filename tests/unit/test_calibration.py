"""How far stated shares are met: the vectors, and second ways to compute what was not looked up."""

import math
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import rows_of

from parallm_magics.voting import (
    ReliabilityBin,
    answered_from,
    bounded_mean_interval,
    brier_loss,
    brier_score,
    fewest_for,
    log_score,
    reliability_bins,
    shown_at_least,
    sure_share,
)

FUNCTIONS = {
    "answered_from": answered_from,
    "bounded_mean_interval": bounded_mean_interval,
    "brier_score": brier_score,
    "fewest_for": fewest_for,
    "log_score": log_score,
    "shown_at_least": shown_at_least,
    "sure_share": sure_share,
}
ASKED = [Fraction(4, 5), Fraction(9, 10), Fraction(19, 20)]

told = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans()), max_size=60)


def apart(pairs):
    """The shares, and whether each is right."""
    return [share for share, _ in pairs], [right for _, right in pairs]


@pytest.mark.parametrize("row", rows_of(FUNCTIONS))
def test_each_number_is_as_expected(row):
    """Every vector's value comes out within its tolerance."""
    found, expected = FUNCTIONS[row["fn"]](**row["inputs"]), row["expected"]
    if isinstance(expected, list):
        found = list(found)
    assert found == pytest.approx(expected, abs=row["tol"])


@pytest.mark.parametrize("row", rows_of("reliability_bins"))
def test_bins_are_as_expected(row):
    """Few different shares have a bin each; others are in bins of the same number of items."""
    found = reliability_bins(**row["inputs"])
    assert len(found) == len(row["expected"])
    for each, expected in zip(found, row["expected"], strict=True):
        told = {**asdict(each), "interval": list(each.interval)}
        assert told == {k: pytest.approx(v, abs=row["tol"]) for k, v in expected.items()}


def test_without_items_there_is_no_score():
    """And no interval, no bin, no share."""
    assert brier_score([], []) is None
    assert log_score([], []) is None
    assert bounded_mean_interval([], 2) is None
    assert reliability_bins([], []) == []
    assert sure_share([], [], 0.95) is None


def test_a_true_label_without_probability_is_the_worst_loss():
    """As much as a probability of 0: the Brier score counts it, and the log score is infinite."""
    assert brier_loss({"a": 1.0}, "b") == 2.0
    assert brier_loss({"a": 1.0, "b": 0.0}, "b") == 2.0
    assert math.isinf(log_score([{"a": 1.0}], ["b"]))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=5), st.integers(0, 4))
def test_a_loss_is_from_none_to_two(parts, true):
    """0 only where the true label has all."""
    total = sum(parts) or 1
    shares = {str(at): part / total for at, part in enumerate(parts)}
    loss = brier_loss(shares, str(true))
    assert 0 <= loss <= 2 + 1e-12
    assert (loss < 1e-12) == (shares.get(str(true)) == 1.0)


def exact_tail(right, items, asked):
    """How often so many ones or more are right by chance, exactly."""
    return sum(
        math.comb(items, k) * asked**k * (1 - asked) ** (items - k) for k in range(right, items + 1)
    )


@given(st.integers(0, 80), st.integers(0, 80), st.sampled_from(ASKED))
def test_the_bound_is_the_exact_tail(one, other, asked):
    """The lower bound reaches what is asked exactly where the tail is small enough."""
    right, items = sorted((one, other))
    small = exact_tail(right, items, asked) <= Fraction(1, 20)
    assert shown_at_least(right, items, float(asked)) == small


@settings(deadline=None)
@given(told, st.sampled_from(ASKED))
def test_the_share_is_the_lowest_of_those_that_are_shown(pairs, asked):
    """As if every share had been tried from the exact tail."""
    shares, rights = apart(pairs)
    shown = []
    for share in {*shares}:
        above = [right for each, right in pairs if each >= share]
        if exact_tail(sum(above), len(above), asked) <= Fraction(1, 20):
            shown.append(share)
    assert sure_share(shares, rights, float(asked)) == min(shown, default=None)


@given(told)
def test_bins_part_the_items(pairs):
    """Each item is in one bin, equal shares in the same; at most ten, and one for each ten items."""
    shares, rights = apart(pairs)
    bins = reliability_bins(shares, rights)
    assert sum(each.items for each in bins) == len(pairs)
    assert sum(each.right for each in bins) == sum(rights)
    assert len(bins) <= max(1, min(10, len(pairs) // 10))
    for one, other in pairwise(bins):
        assert one.high < other.low
    for each in bins:
        inside = [share for share in shares if each.low <= share <= each.high]
        assert len(inside) == each.items
        assert each.low <= each.stated <= each.high
        assert 0 <= each.interval[0] <= each.accuracy <= each.interval[1] <= 1


@given(st.lists(st.floats(0, 1), min_size=20, max_size=200, unique=True))
def test_bins_of_unlike_shares_are_of_one_size(shares):
    """No two of them differ by more than an item."""
    bins = reliability_bins(shares, [True] * len(shares))
    sizes = [each.items for each in bins]
    assert len(bins) == min(10, len(shares) // 10)
    assert max(sizes) - min(sizes) <= 1


def test_a_bin_is_met_within_its_interval():
    """What is stated against what is right."""
    found = ReliabilityBin(0.8, 1.0, 0.9, 10, 6, (0.31, 0.83))
    assert found.accuracy == 0.6
    assert not found.met
    assert ReliabilityBin(0.6, 0.8, 0.7, 10, 6, (0.31, 0.83)).met


def test_an_interval_never_leaves_what_is_possible():
    """All alike at an end, and a single one."""
    for value in (0.0, 2.0):
        low, high = bounded_mean_interval([value] * 10, 2)
        assert 0 <= low <= value <= high <= 2
        assert high - low > 0.1
