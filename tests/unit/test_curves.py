"""Accuracy by the number of votes: brute force over voters and over deals, and what must hold."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.voting import (
    accuracy_by_votes,
    beta_binomial_majority,
    curves,
    independent_accuracy_by_votes,
    majority_accuracy,
)

LABELS = ("a", "b", "c", None)


def studies(most_items=5, most_voters=4, labels=LABELS):
    """Labels of a few voters on a few items, and the truth."""
    return st.integers(1, most_voters).flatmap(
        lambda voters: st.lists(
            st.tuples(
                st.lists(st.sampled_from(labels), min_size=voters, max_size=voters),
                st.sampled_from([each for each in labels if each]),
            ),
            min_size=1,
            max_size=most_items,
        )
    )


def credit(votes, true):
    """What a plurality with ties by lot is worth, on average."""
    counts = Counter(vote for vote in votes if vote is not None)
    most = max(counts.values(), default=0)
    top = [label for label, count in counts.items() if count == most]
    return 1 / len(top) if true in top else 0.0


@given(studies())
def test_the_curve_is_the_mean_over_all_choices_of_voters(study):
    """By brute force over every choice of k voters."""
    labels, truth = [row for row, _ in study], [true for _, true in study]
    voters = len(labels[0])
    found = accuracy_by_votes(labels, truth)
    for k in range(1, voters + 1):
        chosen = list(itertools.combinations(range(voters), k))
        worth = sum(
            credit([row[at] for at in places], true) for row, true in study for places in chosen
        )
        assert found[k - 1] == pytest.approx(worth / len(study) / len(chosen))


@given(studies(most_items=3, most_voters=3))
def test_the_ideal_is_the_mean_over_all_deals(study):
    """By brute force over every way to deal each voter's answers among items of one label."""
    labels, truth = [row for row, _ in study], [true for _, true in study]
    voters = len(labels[0])
    found = independent_accuracy_by_votes(labels, truth)
    for k in range(1, voters + 1):
        chosen = list(itertools.combinations(range(voters), k))
        total = 0.0
        for true in truth:  # an item gets any answer of its label's items, of each voter alike
            alike = [row for row, other in study if other == true]
            for places in chosen:
                deals = list(itertools.product(*([row[at] for row in alike] for at in places)))
                total += sum(credit(deal, true) for deal in deals) / len(deals) / len(chosen)
        assert found[k - 1] == pytest.approx(total / len(study))


@given(studies(labels=("a", "b")))
def test_an_even_vote_is_worth_the_odd_one_below_it(study):
    """With two labels and ties by lot the last vote of an even number buys nothing."""
    labels, truth = [row for row, _ in study], [true for _, true in study]
    for curve in (accuracy_by_votes(labels, truth), independent_accuracy_by_votes(labels, truth)):
        for k in range(2, len(curve) + 1, 2):
            assert curve[k - 1] == pytest.approx(curve[k - 2])


@given(studies())
def test_one_vote_is_as_good_as_it_is(study):
    """Dealing answers anew changes nobody's own accuracy."""
    labels, truth = [row for row, _ in study], [true for _, true in study]
    right = sum(row.count(true) for row, true in study) / len(study) / len(labels[0])
    assert accuracy_by_votes(labels, truth)[0] == pytest.approx(right)
    assert independent_accuracy_by_votes(labels, truth)[0] == pytest.approx(right)


def test_the_ideal_of_two_labels_is_a_majority_of_independent_voters():
    """On items of one label it is the Poisson binomial majority."""
    lot = random.Random(3)
    labels = [["a" if lot.random() < p else "b" for p in (0.9, 0.7, 0.6)] for _ in range(50)]
    ps = [sum(row[at] == "a" for row in labels) / 50 for at in range(3)]
    found = independent_accuracy_by_votes(labels, ["a"] * 50)
    assert found[2] == pytest.approx(majority_accuracy(ps))


def test_shared_errors_flatten_the_curve():
    """Votes with rho = 0.5 follow the beta-binomial, far below what independent ones would do."""
    lot = random.Random(5)
    chances = [lot.betavariate(0.8, 0.2) for _ in range(20_000)]
    labels = [["a" if lot.random() < p else "b" for _ in range(5)] for p in chances]
    truth = ["a"] * len(labels)
    seen, ideal = accuracy_by_votes(labels, truth), independent_accuracy_by_votes(labels, truth)
    assert seen[4] == pytest.approx(beta_binomial_majority(5, 0.8, 0.5), abs=0.01)
    assert ideal[4] == pytest.approx(majority_accuracy([0.8] * 5), abs=0.01)
    assert ideal[4] - seen[4] > 0.08


def test_a_large_panel_is_drawn_and_comes_near(monkeypatch):
    """The sample of deals agrees with the exact mean, and is the same for a seed."""
    lot = random.Random(7)
    truth = [lot.choice("abc") for _ in range(200)]
    labels = [
        [true if lot.random() < 0.6 else lot.choice("abc") for _ in range(5)] for true in truth
    ]
    exact = independent_accuracy_by_votes(labels, truth)
    monkeypatch.setattr(curves, "_STATES", 0)
    drawn = independent_accuracy_by_votes(labels, truth)
    assert drawn == pytest.approx(exact, abs=0.03)
    assert drawn == independent_accuracy_by_votes(labels, truth)
    assert drawn != independent_accuracy_by_votes(labels, truth, seed=1)


@pytest.mark.parametrize("curve", [accuracy_by_votes, independent_accuracy_by_votes])
def test_nothing_has_no_curve(curve):
    """Without items or voters there are no shares; rows of other lengths are no study."""
    assert curve([], []) == []
    assert curve([[]], ["a"]) == []
    with pytest.raises(ValueError, match="one entry per voter"):
        curve([["a"], ["a", "b"]], ["a", "a"])
