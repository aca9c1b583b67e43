"""Weighted votes: the vectors, the tallies, and sums that are exact."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA
from vectors import rows_of

from parallm_magics.voting import log_odds_weight, weight_sums, weighted_tally

TALLIES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["tallies"]

weighted_votes = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "C", None]),
        st.none() | st.decimals(0, 2, places=2).map(float),
    ),
    max_size=9,
)


@pytest.mark.parametrize("row", rows_of("weighted_tally"))
def test_weighted_votes_have_the_expected_winner(row):
    """Every vector's winner and share come out."""
    assert list(weighted_tally(**row["inputs"])) == row["expected"]


@pytest.mark.parametrize("row", rows_of("log_odds_weight"))
def test_a_voter_weighs_what_its_record_is_worth(row):
    """Every vector's weight comes out within its tolerance."""
    assert log_odds_weight(**row["inputs"]) == pytest.approx(row["expected"], abs=row["tol"])


@pytest.mark.parametrize(
    "tally",
    [pytest.param(t, id=t["id"]) for t in TALLIES if t["method"] == "confidence_weighted"],
)
def test_tallies_weighted_by_confidence_have_their_winner(tally):
    """Two unsure votes can outweigh a sure one."""
    assert weighted_tally(tally["votes"])[0] == tally["expect"]


def test_equal_sums_are_a_tie_however_they_are_written():
    """0.1 + 0.2 is 0.3, in floats, text, decimals and fractions alike."""
    for tenth in (0.1, "0.1", Decimal("0.1"), Fraction(1, 10), "1/10"):
        votes = [("A", tenth), ("A", 0.2), ("B", 0.3)]
        assert weighted_tally(votes) == (None, 0.5)
        assert weight_sums(votes) == {"A": Fraction(3, 10), "B": Fraction(3, 10)}


def test_the_share_in_a_tie_is_that_of_each_leader():
    """Two labels with two of five parts each have 0.4, and nobody wins."""
    assert weighted_tally([("A", 2), ("B", 2), ("C", 1)]) == (None, 0.4)


@pytest.mark.parametrize(
    "votes",
    [
        pytest.param([], id="no votes"),
        pytest.param([(None, 1)], id="no label"),
        pytest.param([("A", None)], id="no weight"),
        pytest.param([("A", 0), ("A", 0.0)], id="no weight but 0"),
    ],
)
def test_nothing_weighed_has_no_winner_and_no_share(votes):
    """Where no vote weighs anything there is no winner, and nothing is divided by 0."""
    assert weighted_tally(votes) == (None, None)


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        pytest.param(-0.1, "-0.1 is negative", id="negative"),
        pytest.param(float("nan"), "nan is not a finite number", id="nan"),
        pytest.param(float("inf"), "inf is not a finite number", id="inf"),
        pytest.param(Decimal("-Infinity"), "not a finite number", id="decimal inf"),
        pytest.param("heavy", "'heavy' is not a finite number", id="word"),
        pytest.param("1/0", "'1/0' is not a finite number", id="zero denominator"),
    ],
)
def test_a_weight_that_cannot_be_is_named(weight, says):
    """Each is an ValueError that names the weight."""
    with pytest.raises(ValueError, match=says):
        weighted_tally([("A", 1), ("B", weight)])


@given(weighted_votes, st.randoms(use_true_random=False))
def test_the_order_of_votes_never_matters(votes, random):
    """Shuffled votes give the same winner and share."""
    shuffled = list(votes)
    random.shuffle(shuffled)
    assert weighted_tally(votes) == weighted_tally(shuffled)


@given(weighted_votes, st.decimals("0.01", 1, places=2))
def test_more_weight_for_the_winner_never_unseats_it(votes, more):
    """The winner stays, and its share does not shrink."""
    winner, share = weighted_tally(votes)
    if winner is not None:
        again, larger = weighted_tally([*votes, (winner, more)])
        assert again == winner
        assert share <= larger <= 1


@given(weighted_votes)
def test_the_winner_has_more_weight_than_any_other(votes):
    """Checked label by label with whole hundredths; no winner means a tie or no weight."""
    hundredths = {}
    for label, weight in votes:
        if label is not None and weight is not None:
            hundredths[label] = hundredths.get(label, 0) + round(100 * weight)
    most = max(hundredths.values(), default=0)
    first = [label for label, own in hundredths.items() if own == most > 0]
    winner, share = weighted_tally(votes)
    assert winner == (first[0] if len(first) == 1 else None)
    assert share == (most / sum(hundredths.values()) if first else None)


def test_a_voter_below_chance_weighs_nothing():
    """Chance is half for two labels and a quarter for four."""
    assert log_odds_weight(3, 20, 2) == 0.0
    assert log_odds_weight(3, 20, 4) == 0.0
    assert log_odds_weight(8, 20, 2) == 0.0 < log_odds_weight(8, 20, 4)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(2, 9))
def test_one_more_right_answer_never_weighs_less(right, items, labels):
    """The weight grows with the right answers and with the number of labels."""
    right = min(right, items - 1)
    weight = log_odds_weight(right, items, labels)
    assert 0 <= weight <= log_odds_weight(right + 1, items, labels)
    assert weight <= log_odds_weight(right, items, labels + 1)


@pytest.mark.parametrize("inputs", [(3, 2, 2), (-1, 2, 2), (1, 2, 1)])
def test_a_record_that_cannot_be_has_no_weight(inputs):
    """More right than items, fewer than none, and a single label are errors."""
    with pytest.raises(ValueError, match="no weight for"):
        log_odds_weight(*inputs)
