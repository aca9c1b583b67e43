"""Slots errors: the vectors, brute force, and what must hold for any panel."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import rows_of

from parallm_magics.voting import (
    beta_binomial_majority,
    effective_votes,
    error_diagnostics,
    majority_accuracy,
    same_wrong_rate,
)

FUNCTIONS = {
    "beta_binomial_majority": beta_binomial_majority,
    "effective_votes": effective_votes,
    "error_diagnostics": error_diagnostics,
    "majority_accuracy": majority_accuracy,
    "same_wrong_rate": same_wrong_rate,
}
chance = st.floats(0, 1)
panels = st.lists(chance, max_size=7)
tables = st.integers(0, 5).flatmap(
    lambda voters: st.lists(
        st.lists(st.sampled_from([True, False, None]), min_size=voters, max_size=voters),
        max_size=12,
    )
)


@pytest.mark.parametrize("row", rows_of(FUNCTIONS))
def test_each_number_is_as_expected(row):
    """Every vector's value comes out within its tolerance, field by field."""
    found, expected = FUNCTIONS[row["fn"]](**row["inputs"]), row["expected"]
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=row["tol"]), name
    else:
        assert found == pytest.approx(expected, abs=row["tol"])


@given(panels, st.sampled_from(["half", "lost"]))
def test_a_majority_is_the_sum_over_all_outcomes(ps, tie):
    """Every combination of right and wrong voters, by brute force."""
    total = 0.0
    for outcome in itertools.product([True, False], repeat=len(ps)):
        weight = math.prod(p if right else 1 - p for p, right in zip(ps, outcome, strict=True))
        twice = 2 * sum(outcome)
        worth = 1.0 if twice > len(ps) else 0.5 if twice == len(ps) and tie == "half" else 0.0
        total += weight * worth
    assert majority_accuracy(ps, tie) == pytest.approx(total, abs=1e-9)


@given(st.integers(1, 40), chance, chance)
def test_shared_errors_lie_between_one_voter_and_independence(n, p, rho):
    """The majority of voters who are right more often than not gains from each, never more than apart."""
    n = n | 1
    found = beta_binomial_majority(n, p, rho)
    one, apart = p, majority_accuracy([p] * n)
    assert min(one, apart) - 1e-6 <= found <= max(one, apart) + 1e-6


@given(st.integers(0, 200), st.floats(-1, 1))
def test_effective_votes_are_at_least_one_and_at_most_all(n, rho):
    """And fewer, the more is shared."""
    found = effective_votes(n, rho)
    assert found == 0 if n == 0 else 1 <= found <= n
    assert effective_votes(n, min(rho + 0.1, 1)) <= found + 1e-9


@given(tables)
def test_any_table_can_be_diagnosed(rows):
    """Shares lie between 0 and 1, correlations between -1 and 1; what is not known is None."""
    found = error_diagnostics(rows)
    for name, value in found.items():
        if name == "accuracy":
            assert all(0 <= each <= 1 for each in value)
        elif name == "mean_error_correlation":
            assert value is None or -1 - 1e-9 <= value <= 1 + 1e-9
        elif name not in ("pairs", "pairs_used", "effective_votes"):
            assert value is None or 0 <= value <= 1 + 1e-9
    if rows and rows[0]:
        assert found["all_wrong"] == pytest.approx(1 - found["oracle"])


@given(tables)
def test_a_vote_that_is_missing_counts_as_wrong(rows):
    """None and False are the same."""
    assert error_diagnostics(rows) == error_diagnostics([[bool(v) for v in row] for row in rows])


def test_rows_of_unequal_length_are_refused():
    """Rather than read as something."""
    with pytest.raises(ValueError, match="one entry per voter"):
        error_diagnostics([[True, False], [True]])


def test_voters_who_share_everything_are_worth_one():
    """Copies have a correlation of 1; a voter who is never wrong has none."""
    found = error_diagnostics([[True, True, True], [False, False, True]])
    assert found["mean_error_correlation"] == 1
    assert (found["pairs_used"], found["pairs"]) == (1, 3)
    assert found["effective_votes"] == 1


def test_who_is_never_wrong_together_has_no_rate():
    """None, not 0: there is nothing to take a share of."""
    assert same_wrong_rate(["a", "b"], ["b", None], ["a", "a"]) is None
