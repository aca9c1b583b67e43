"""Learning from labels: what is tested is never what was learnt from, and choices are the best ones."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.study.learned_panels import (
    Panel,
    choose_panel,
    choose_threshold,
    halves,
    learned_weights,
    weighted_winners,
)
from parallm_magics.voting.counting import log_odds_weight


@given(st.integers(0, 200), st.integers(0, 5))
def test_the_halves_share_no_item(items, seed):
    """Every item is in one of them, they are as large as each other, and a seed decides."""
    learn, test = halves(items, seed)
    assert sorted([*learn, *test]) == list(range(items))
    assert len(test) - len(learn) in (0, 1)
    assert (learn, test) == halves(items, seed)


def test_the_halves_are_drawn():
    """Neither the first items nor every other one, which an ordered list would make alike."""
    learn, _ = halves(100)
    assert learn not in (list(range(50)), list(range(0, 100, 2)), list(range(1, 100, 2)))
    assert learn != halves(100, seed=1)[0]


def test_weights_are_the_log_odds_of_the_items_learnt_from():
    """A missing vote is wrong; a voter below chance has no weight."""
    labels = [["a", "b", None], ["b", "a", "b"], ["a", "b", "a"], ["b", "a", "b"]]
    truth = ["a", "b", "a", "b"]
    assert learned_weights(labels, truth, 2) == [
        log_odds_weight(4, 4, 2),
        0.0,
        log_odds_weight(3, 4, 2),
    ]


def test_a_good_voter_outvotes_two_weak_ones():
    """Which is what weights are for."""
    labels = [["a", "b", "b"], ["a", "b", None], [None, None, None]]
    assert weighted_winners(labels, [3.0, 1.0, 1.0]) == ["a", "a", None]
    assert weighted_winners(labels, [2.0, 1.0, 1.0]) == [None, "a", None]


@pytest.mark.parametrize(
    ("panel", "row", "winner"),
    [
        pytest.param(Panel((0, 1, 2)), ["a", "b", "b", "a", "a"], "b", id="the first votes alone"),
        pytest.param(Panel((0, 1)), ["a", "b"], None, id="a tie"),
        pytest.param(Panel((0, 1, 2)), [None, None, "c"], "c", id="one vote there is"),
        pytest.param(Panel((0, 1, 2)), [None] * 3, None, id="no vote"),
        pytest.param(
            Panel((0, 1, 2), 1, "bad", "good"), ["good", "good", "bad"], "bad", id="one is enough"
        ),
        pytest.param(
            Panel((0, 1, 2), 2, "bad", "good"), ["good", "good", "bad"], "good", id="one is not"
        ),
        pytest.param(
            Panel((0, 1, 2), 2, "bad", "good"), [None] * 3, None, id="no vote, no other label"
        ),
    ],
)
def test_what_a_panel_says(panel, row, winner):
    """Plurality without a threshold, else the one label as soon as enough say it."""
    assert panel.winner(row) == winner


def test_the_panel_that_is_chosen_has_the_most_right():
    """One vote for `bad` is enough where voters overlook it but never invent it."""
    lot = random.Random(2)
    truth = ["bad", "good"] * 40
    labels = [
        ["bad" if true == "bad" and lot.random() < 0.5 else "good" for _ in range(5)]
        for true in truth
    ]
    found = choose_panel(labels, truth, ("bad", "good"))
    assert (found.need, found.label, found.other) == (1, "bad", "good")
    assert len(found.voters) >= 4


def test_of_equal_panels_the_cheapest_is_chosen():
    """Voters that are copies are worth one of them; without labels nothing is asked."""
    labels, truth = [["a"] * 5, ["b"] * 5, ["a"] * 5], ["a", "b", "b"]
    assert choose_panel(labels, truth, ("a", "b")) == Panel((0,))
    assert choose_panel(labels, truth) == Panel((0,))
    assert choose_panel([], []) == Panel(())


@given(
    st.integers(1, 5).flatmap(
        lambda voters: st.lists(
            st.tuples(
                st.lists(st.sampled_from(["a", "b", None]), min_size=voters, max_size=voters),
                st.sampled_from(["a", "b"]),
            ),
            min_size=1,
            max_size=8,
        )
    )
)
def test_no_panel_that_is_tried_has_more_right(study):
    """By what each says of each item, one panel after the other."""
    labels, truth = [row for row, _ in study], [true for _, true in study]
    voters = len(labels[0])

    def right(panel):
        return sum(panel.winner(row) == true for row, true in study)

    found = choose_panel(labels, truth, ("a", "b"))
    firsts = [tuple(range(votes)) for votes in range(2, voters + 1)]
    tried = [Panel(who) for who in [*((at,) for at in range(voters)), *firsts]]
    tried += [Panel(w, need, "a", "b") for w in firsts for need in range(1, len(w) + 1)]
    assert right(found) == max(
        right(panel) for panel in tried if 2 * (panel.need or 0) != len(panel.voters) + 1
    )
    fewer = [panel for panel in tried if len(panel.voters) < len(found.voters)]
    assert all(
        right(panel) < right(found)
        for panel in fewer
        if 2 * (panel.need or 0) != len(panel.voters) + 1
    )


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 0.9, 1.0]), st.booleans()), max_size=12
    )
)
def test_no_threshold_that_is_tried_has_more_right(items):
    """By every one between two shares, one after the other."""
    shares, truly = [share for share, _ in items], [true for _, true in items]

    def right(least):
        return sum((share >= least) == true for share, true in items)

    ends = sorted({0.0, *shares, 1.0})
    tried = [0.0, *((low + high) / 2 for low, high in pairwise(ends))]
    found = choose_threshold(shares, truly)
    assert right(found) == max(map(right, tried))
    assert abs(found - 0.5) == min(
        abs(least - 0.5) for least in tried if right(least) == right(found)
    )


def test_a_good_voter_is_found_wherever_it_stands():
    """The order of the voters is the user's, and no reason for a choice."""
    truth = ["a", "b", "c"] * 5
    labels = [["a", "b", true] for true in truth]
    assert choose_panel(labels, truth, ("a", "b", "c")) == Panel((2,))
