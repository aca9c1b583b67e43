"""Reliability over many items and the place a judge prefers: the vectors and second ways."""

from collections import Counter
from fractions import Fraction
from itertools import permutations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import rows_of

from parallm_magics.voting import fleiss_kappa, judge_swap, krippendorff_alpha

FUNCTIONS = {
    "fleiss_kappa": fleiss_kappa,
    "krippendorff_alpha": krippendorff_alpha,
    "judge_swap": judge_swap,
}

labels = st.sampled_from(["x", "y", "z"])
items_with_gaps = st.lists(st.lists(labels | st.none(), max_size=5), max_size=6)
full_items = st.lists(st.lists(labels, min_size=3, max_size=3), min_size=1, max_size=6)
choices = st.sampled_from(["A", "B", "tie"])


@pytest.mark.parametrize("row", rows_of(FUNCTIONS))
def test_each_number_is_as_expected(row):
    """Every vector's value comes out within its tolerance."""
    found = FUNCTIONS[row["fn"]](**row["inputs"])
    assert found == pytest.approx(row["expected"], abs=row["tol"])
    if "exact" in row:
        assert found == float(Fraction(row["exact"]))


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([], id="no items"),
        pytest.param([[1, 0], [0, 1]], id="one vote each"),
        pytest.param([[0, 0]], id="no votes"),
        pytest.param([[5, 0], [5, 0]], id="one label only"),
    ],
)
def test_kappa_is_none_where_it_is_undefined(table):
    """Nothing to compare is not perfect agreement."""
    assert fleiss_kappa(table) is None


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([[3, 0], [2, 0]], id="votes"),
        pytest.param([[3, 0], [1, 1, 1]], id="labels"),
    ],
)
def test_kappa_needs_as_much_of_each_item(table):
    """Items that differ in votes or labels are an error that names the other statistic."""
    with pytest.raises(ValueError, match="krippendorff_alpha"):
        fleiss_kappa(table)


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([], id="no items"),
        pytest.param([["x"], ["y", None]], id="one vote each"),
        pytest.param([["x", "x"], ["x", None, "x"]], id="one label only"),
        pytest.param([["x", "x"], ["y"]], id="the other label alone"),
    ],
)
def test_alpha_is_none_where_nothing_can_be_compared(items):
    """Votes of one label, or without another beside them, have no alpha."""
    assert krippendorff_alpha(items) is None


def test_agreement_on_different_labels_is_one():
    """Items that differ while voters do not have the most there is."""
    assert krippendorff_alpha([["x", "x"], ["y", "y", None]]) == 1.0
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1.0


@given(items_with_gaps)
def test_alpha_is_one_less_observed_over_expected_disagreement(items):
    """Pair by pair: how often votes differ within items, over how often among all votes."""
    compared = [[label for label in item if label is not None] for item in items]
    compared = [item for item in compared if len(item) > 1]
    every = [label for item in compared for label in item]
    expected = sum(a != b for a, b in permutations(every, 2))
    observed = sum(
        Fraction(sum(a != b for a, b in permutations(item, 2)), len(item) - 1) for item in compared
    )
    found = krippendorff_alpha(items)
    if not expected:
        assert found is None
    else:
        pairs = len(every) * (len(every) - 1)
        assert found == float(1 - observed / len(every) / Fraction(expected, pairs))


@given(full_items)
def test_kappa_is_agreement_beyond_chance(items):
    """Pair by pair: the share of equal pairs within items, and that of two draws from all."""
    every = [label for item in items for label in item]
    observed = sum(
        Fraction(sum(a == b for a, b in permutations(item, 2)), 6 * len(items)) for item in items
    )
    chance = Fraction(sum(a == b for a in every for b in every), len(every) ** 2)
    found = fleiss_kappa([[item.count(label) for label in "xyz"] for item in items])
    assert found == (None if chance == 1 else float((observed - chance) / (1 - chance)))


@given(items_with_gaps, st.randoms(use_true_random=False))
def test_the_order_of_votes_and_items_never_matters(items, random):
    """Shuffled votes in shuffled items have the same alpha."""
    shuffled = [random.sample(item, len(item)) for item in items]
    random.shuffle(shuffled)
    assert krippendorff_alpha(items) == krippendorff_alpha(shuffled)


def test_a_judge_that_always_takes_the_first_is_found_out():
    """Six flips towards the first place, and none away from it, are 2 of 64."""
    found = judge_swap([("A", "B")] * 6)
    assert found == {"consistent": 0.0, "flips": 6, "first_slot_flips": 6, "p_value": 2 / 64}


def test_a_judge_that_always_takes_the_second_is_found_out():
    """A preference for the second place has the same p-value and no first-slot flips."""
    found = judge_swap([("B", "A")] * 6)
    assert found == {"consistent": 0.0, "flips": 6, "first_slot_flips": 0, "p_value": 2 / 64}


def test_a_tie_in_one_order_is_neither_consistent_nor_a_flip():
    """Only a tie in both orders is consistent."""
    found = judge_swap([("tie", "tie"), ("tie", "A"), ("B", "tie"), ("B", "B")])
    assert found == {"consistent": 0.5, "flips": 0, "first_slot_flips": 0, "p_value": 1.0}


def test_without_pairs_nothing_is_shown():
    """No pair is neither consistent nor inconsistent."""
    assert judge_swap([]) == {
        "consistent": None,
        "flips": 0,
        "first_slot_flips": 0,
        "p_value": 1.0,
    }


def test_a_choice_that_is_none_is_named():
    """A candidate of another name cannot be given a place."""
    with pytest.raises(ValueError, match="unknown choice 'C'; known: A, B, tie"):
        judge_swap([("A", "C")])


@given(st.lists(st.tuples(choices, choices), max_size=12))
def test_the_p_value_is_that_of_tossing_a_coin_for_each_flip(pairs):
    """It is the probability of a split at least as uneven; exchanging the orders keeps it."""
    seen = Counter(pairs)
    flips, first = seen["A", "B"] + seen["B", "A"], seen["A", "B"]
    uneven = abs(2 * first - flips)
    tail = sum(comb(flips, k) for k in range(flips + 1) if abs(2 * k - flips) >= uneven)
    found = judge_swap(pairs)
    assert (found["flips"], found["first_slot_flips"]) == (flips, first)
    assert found["p_value"] == tail / 2**flips
    swapped = judge_swap([(second, one) for one, second in pairs])
    assert swapped["first_slot_flips"] == flips - first
    assert (swapped["consistent"], swapped["p_value"]) == (found["consistent"], found["p_value"])
