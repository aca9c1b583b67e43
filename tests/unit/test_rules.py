"""Who wins: every rule against the vectors, the tallies and a search by hand."""

import json
from collections import Counter
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA
from vectors import rows_of

from parallm_magics.voting import decide, leaders, need, read_answer

TALLIES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["tallies"]

# The tallies call a plurality "majority", as papers on self-consistency do.
RULE_OF = {
    "majority": "plurality",
    "plurality": "plurality",
    "strict_majority": "majority",
    "threshold": "threshold",
}

counts_of_few = st.dictionaries(st.sampled_from("ABCDE"), st.integers(0, 6))


@pytest.mark.parametrize("row", rows_of("decide"))
def test_decide_gives_the_expected_outcome(row):
    """Every vector's outcome and winner come out."""
    assert list(decide(**row["inputs"])) == row["expected"]


@pytest.mark.parametrize("row", rows_of("need"))
def test_need_gives_the_expected_count(row):
    """Every vector's number of votes comes out, those that floats get wrong included."""
    assert need(**row["inputs"]) == row["expected"]


def tally_votes(tally):
    """The votes that can be read in a tally, as the labels spell them."""
    labels = sorted({vote.strip().upper() for vote in tally["votes"] if vote})
    answers = [read_answer(vote or "", labels or None).value for vote in tally["votes"]]
    return [answer for answer in answers if answer is not None]


@pytest.mark.parametrize(
    "tally",
    [pytest.param(tally, id=tally["id"]) for tally in TALLIES if tally["method"] in RULE_OF],
)
def test_tallies_have_their_winner_in_any_order(tally):
    """The winner and the tied labels are as expected, whatever the order of the votes."""
    requested = tally.get("asked", len(tally["votes"]) + tally.get("failed", 0))
    # `min_success` counts answers, as a quorum does.
    quorum = tally.get("min_success", 1)
    for votes in set(permutations(tally_votes(tally))):
        counts = Counter(votes)
        status, winner = decide(
            counts, requested, RULE_OF[tally["method"]], tally.get("threshold"), quorum=quorum
        )
        assert winner == tally["expect"]
        if "tie" in tally:
            assert (status, sorted(leaders(counts))) == ("tie", tally["tie"])
        if "error" in tally:
            assert status == "no_quorum"


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 300))
def test_need_is_the_first_count_that_reaches_the_share(top, bottom, base):
    """The count reaches the share and one vote less does not, for text, fraction and float."""
    share = Fraction(min(top, bottom), max(top, bottom, 1))
    count = need(share, base)
    assert Fraction(count, base) >= share
    assert count == 1 or Fraction(count - 1, base) < share
    assert need(str(share), base) == need(float(share), base) == count


@given(counts_of_few, st.integers(0, 5), st.integers(0, 8))
def test_the_outcome_is_what_the_rule_says(counts, lost, quorum):
    """Each rule agrees with its sentence, checked label by label."""
    valid = sum(counts.values())
    requested = valid + lost
    for rule, wins in {
        "plurality": lambda own, other, base: own > other,
        "majority": lambda own, other, base: own > base - own,
        "threshold": lambda own, other, base: 3 * own >= base and own > other,
        "unanimity": lambda own, other, base: own == base,
    }.items():
        for base in ("valid", "requested"):
            found = [
                label
                for label, own in counts.items()
                if own
                and valid >= quorum
                and wins(
                    own,
                    max((c for other, c in counts.items() if other != label), default=0),
                    valid if base == "valid" else requested,
                )
            ]
            status, winner = decide(counts, requested, rule, "1/3", base, quorum)
            assert (winner is None) == (status != "decided") == (not found)
            assert winner is None or [winner] == found


@given(counts_of_few, st.randoms(use_true_random=False), st.sampled_from(["1/3", 0.5, "0.6"]))
def test_the_order_of_labels_never_matters(counts, random, share):
    """Shuffled counts give the same outcome under each rule."""
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    for rule in ("plurality", "majority", "threshold", "unanimity"):
        first = decide(counts, 30, rule, share, "valid", 1)
        assert decide(dict(shuffled), 30, rule, share, "valid", 1) == first


def test_a_lost_vote_stays_in_the_denominator_unless_told():
    """2 of 3 valid votes are no majority of 5 requested, and one of the valid."""
    assert decide({"A": 2, "B": 1}, 5, "majority", quorum=1) == ("no_majority", None)
    assert decide({"A": 2, "B": 1}, 5, "majority", base="valid", quorum=1) == ("decided", "A")


def test_half_of_the_votes_rounded_up_are_the_quorum_unless_told():
    """2 valid of 5 decide nothing; 3 do."""
    assert decide({"A": 2}, 5) == ("no_quorum", None)
    assert decide({"A": 3}, 5) == ("decided", "A")


def test_a_quorum_of_none_still_needs_a_vote():
    """Without any valid vote nothing is decided."""
    assert decide({"A": 0}, 0, quorum=0) == ("no_quorum", None)


def test_leaders_are_all_labels_with_the_largest_count():
    """Tied labels come in the order of the counts; labels without a vote lead nothing."""
    assert leaders({"B": 2, "A": 2, "C": 1}) == ("B", "A")
    assert leaders({"A": 0, "B": 0}) == leaders({}) == ()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"rule": "majorty"}, "did you mean 'majority'", id="unknown rule"),
        pytest.param({"base": "all"}, "unknown base 'all'", id="unknown base"),
        pytest.param({"rule": "threshold"}, "needs a share", id="no share"),
        pytest.param({"rule": "threshold", "q": "60%"}, "write it as 0.6", id="unreadable share"),
        pytest.param({"rule": "threshold", "q": float("nan")}, "not a share", id="nan"),
        pytest.param({"rule": "threshold", "q": float("inf")}, "not a share", id="inf"),
        pytest.param({"rule": "threshold", "q": "1/0"}, "not a share", id="zero denominator"),
        pytest.param({"rule": "threshold", "q": 60}, "outside 0..1", id="a percentage"),
        pytest.param({"requested": 1}, "does not fit", id="more votes than requested"),
        pytest.param({"counts": {"A": -1}}, "does not fit", id="negative"),
    ],
)
def test_what_cannot_be_decided_by_is_named(options, says):
    """Each unusable option is an ValueError that names it."""
    with pytest.raises(ValueError, match=says):
        decide(**{"counts": {"A": 2, "B": 1}, "requested": 3, **options})
