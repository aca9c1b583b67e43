"""The numbers shown for one question: the vectors, exact values and second ways to compute them."""

import math
import random
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import rows_of

from parallm_magics.voting import (
    beta_half_tail,
    entropy_bits,
    p_better,
    p_mode,
    pairwise_agreement,
    share_range_after_cancel,
    shares,
    wilson,
)
from parallm_magics.voting.vote_statistics import exact_beta_half_tail, exact_p_mode

FUNCTIONS = {
    "beta_half_tail": beta_half_tail,
    "entropy_bits": entropy_bits,
    "p_better": p_better,
    "p_mode": p_mode,
    "pairwise_agreement": pairwise_agreement,
    "share_range_after_cancel": share_range_after_cancel,
    "shares": shares,
    "wilson": wilson,
}
EXACT = {"beta_half_tail": exact_beta_half_tail, "p_mode": exact_p_mode}

small_counts = st.lists(st.integers(0, 8), min_size=2, max_size=5)


@pytest.mark.parametrize("row", rows_of(FUNCTIONS))
def test_each_number_is_as_expected(row):
    """Every vector's value comes out within its tolerance."""
    found, expected = FUNCTIONS[row["fn"]](**row["inputs"]), row["expected"]
    if isinstance(expected, list):
        found = list(found)
    assert found == pytest.approx(expected, abs=row["tol"])


@pytest.mark.parametrize("row", rows_of(EXACT, "exact"))
def test_exact_values_are_exact(row):
    """Where a vector has a fraction, the exact function gives that fraction."""
    assert EXACT[row["fn"]](**row["inputs"]) == Fraction(row["exact"])


def test_nothing_is_divided_by_no_votes():
    """Without votes there is no share, interval or agreement, and no exception."""
    assert shares([], 5) == {"share_valid": None, "share_requested": 0.0, "margin_valid": None}
    assert shares([0, 0], 0)["share_requested"] is None
    assert share_range_after_cancel(0, 0, 0) is None
    assert wilson(0, 0) is None
    assert pairwise_agreement([1]) is None
    assert entropy_bits([]) == 0.0


@given(small_counts, st.integers(0, 3))
def test_shares_do_not_depend_on_the_order_of_labels(counts, lost):
    """The leader leads from any place."""
    requested = sum(counts) + lost
    assert shares(counts, requested) == shares(sorted(counts), requested)


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_solves_its_own_equation(c, n):
    """Each end is a share p from which the count is 1.96 standard errors away."""
    c = min(c, n)
    low, high = wilson(c, n)
    assert 0 <= low <= c / n <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert (c / n - end) ** 2 == pytest.approx(1.959963985**2 * end * (1 - end) / n)


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_two_label_tail_is_p_mode_of_two(a, b):
    """Both ways to compute the two-label case agree exactly, and the two sides make one."""
    assert exact_beta_half_tail(a, b) == exact_p_mode([a, b])
    assert exact_beta_half_tail(a, b) + exact_beta_half_tail(b, a) == 1


@settings(max_examples=40)
@given(small_counts, st.integers(1, 3))
def test_some_label_is_the_most_likely_one(counts, alpha):
    """Over all labels p_mode sums to exactly one, and more votes are never less likely."""
    all_of_them = [exact_p_mode(counts, which, alpha) for which in range(len(counts))]
    assert sum(all_of_them) == 1
    assert counts[all_of_them.index(max(all_of_them))] == max(counts)


def test_p_mode_agrees_with_drawing_from_the_dirichlet():
    """The share of 20,000 seeded draws in which label 0 is the largest is within four errors."""
    draw = random.Random(7).gammavariate
    hits = sum(
        (own := draw(5, 1)) > draw(3, 1) and own > draw(2, 1) and own > draw(1, 1)
        for _ in range(20_000)
    )
    expected = p_mode([4, 2, 1, 0])
    assert hits / 20_000 == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 20_000))


@given(small_counts)
def test_pairwise_agreement_counts_the_pairs_that_agree(counts):
    """The formula is the share of equal pairs, counted one by one."""
    votes = [label for label, count in enumerate(counts) for _ in range(count)]
    pairs = [a == b for a, b in combinations(votes, 2)]
    expected = sum(pairs) / len(pairs) if pairs else None
    assert pairwise_agreement(counts) == (expected if expected is None else pytest.approx(expected))


@given(small_counts)
def test_entropy_lies_between_one_answer_and_all_different(counts):
    """Nothing is below 0, and nothing above the log of the labels seen."""
    seen = sum(1 for count in counts if count)
    bits = entropy_bits(counts)
    assert math.copysign(1, bits) == 1
    assert bits <= math.log2(max(seen, 1)) + 1e-12
    assert entropy_bits([3] * len(counts)) == pytest.approx(math.log2(len(counts)))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_cancelled_share_covers_every_completion(c1, cancelled, others):
    """However the cancelled votes would have gone, the share lies in the range."""
    requested = c1 + cancelled + others
    if requested:
        low, high = share_range_after_cancel(c1, cancelled, requested)
        ends = [(c1 + more) / requested for more in range(cancelled + 1)]
        assert (low, high) == (ends[0], ends[-1])
