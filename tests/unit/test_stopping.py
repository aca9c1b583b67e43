"""When voting may stop: the vectors, every completion by brute force, and the waves."""

import json
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA
from vectors import rows_of

from parallm_magics.voting import (
    beta_stops,
    clinch,
    clinch_expected_arrivals,
    clinch_flag,
    clinch_weighted,
    decide,
    next_wave,
    weighted_tally,
)
from parallm_magics.voting.vote_statistics import exact_p_mode

TALLIES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["tallies"]
MOST_VOTES = 9
SHARES = ("0.5", "0.6", "2/3", "0.8", "1")
RULES_AND_SHARES = [
    ("plurality", None),
    ("majority", None),
    ("unanimity", None),
    *(("threshold", q) for q in SHARES),
]

few_votes = st.lists(st.sampled_from(["A", "B", "C", None]), max_size=9)


def parts_of(total, largest):
    """Every way to write a number as a sum, without regard to order."""
    if not total:
        yield ()
    for first in range(min(total, largest), 0, -1):
        for rest in parts_of(total - first, first):
            yield (first, *rest)


@cache
def completions(counts, pending):
    """Every counts that open votes can lead to: labels seen, then new ones; the rest is lost."""
    found = []
    for added in product(range(pending + 1), repeat=len(counts)):
        for new in range(pending - sum(added) + 1):
            seen = tuple(own + more for own, more in zip(counts, added, strict=True))
            found += [seen + parts for parts in parts_of(new, new)]
    return found


def states(requested):
    """Every counts of seen labels with a number of open votes, the rest being lost."""
    for valid in range(requested + 1):
        for counts in parts_of(valid, valid):
            for pending in range(requested - valid + 1):
                yield counts, pending


def named(counts):
    """Counts by place as counts by label."""
    return {chr(ord("A") + place): count for place, count in enumerate(counts)}


def certain(winners):
    """What is certain when these are the winners of all completions."""
    if winners == {None}:
        return "no_winner", None
    return ("winner", winners.pop()) if len(winners) == 1 else None


@pytest.mark.parametrize("row", rows_of("clinch"))
def test_clinch_gives_what_is_certain(row):
    """Every vector's verdict comes out."""
    found = clinch(**row["inputs"])
    assert (found and list(found)) == row["expected"]


@pytest.mark.parametrize("row", rows_of("clinch_weighted"))
def test_a_weighted_lead_is_certain_or_not(row):
    """Every vector's label comes out."""
    assert clinch_weighted(**row["inputs"]) == row["expected"]


@pytest.mark.parametrize("row", rows_of("clinch_expected_arrivals"))
def test_the_expected_arrivals_are_as_computed(row):
    """Every vector's mean comes out within its tolerance."""
    found = clinch_expected_arrivals(**row["inputs"])
    assert found == pytest.approx(row["expected"], abs=row["tol"])


@pytest.mark.parametrize(("rule", "q"), RULES_AND_SHARES)
def test_a_verdict_is_certain_exactly_when_every_completion_agrees(rule, q):
    """Winner, no winner and open are what all completions of up to 9 votes say, either base."""

    @cache
    def winner(counts, requested, base, quorum):
        return decide(named(counts), requested, rule, q, base, quorum)[1]

    for requested in range(MOST_VOTES + 1):
        for counts, pending in states(requested):
            ends = completions(counts, pending)
            for base, quorum in product(("requested", "valid"), {1, (requested + 1) // 2}):
                found = clinch(named(counts), pending, requested, rule, q, base, quorum)
                winners = {winner(end, requested, base, quorum) for end in ends}
                assert found == certain(winners), (counts, pending, requested, base, quorum)


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_flag_is_certain_exactly_when_every_completion_agrees(needed):
    """The flag, another label, nobody or open: what all completions of up to 8 votes say."""

    def winner(counts, requested, quorum):
        flagged, *others = counts
        if flagged >= needed:
            return "A"
        if flagged + requested - sum(counts) >= needed:  # those without a label could have said it
            return None
        named_others = {label: c for label, c in named(counts).items() if label != "A"}
        enough = sum(counts) >= max(1, quorum)
        return decide(named_others, requested, quorum=1)[1] if enough and any(others) else None

    for requested in range(MOST_VOTES):
        for rest, pending in states(requested):
            spare = requested - sum(rest) - pending
            for flagged, quorum in product(range(spare + 1), {0, 1, (requested + 1) // 2}):
                counts = (flagged, *rest)
                found = clinch_flag(named(counts), pending, requested, "A", needed, quorum)
                ends = completions(counts, pending)
                expected = certain({winner(end, requested, quorum) for end in ends})
                cleared = flagged + requested - sum(counts) < needed
                if not pending and expected == ("no_winner", None) and sum(counts) >= quorum:
                    # How to break a tie is decided elsewhere.
                    expected = None if any(counts) and cleared else expected
                assert found == expected, (counts, pending, requested, quorum)


def test_a_weighted_lead_is_certain_exactly_when_every_completion_agrees():
    """A label is named when it wins whatever the open votes of each weight do, and only then."""
    weights = ("0", "0.1", "0.2", "0.3", "0.5")
    for sums in product(weights, repeat=3):
        for pending in [(), ("0.1",), ("0.3",), ("0.1", "0.2"), ("0.2", "0.2")]:
            winners = set()
            for labels in product("ABCDE-", repeat=len(pending)):
                more = list(zip(labels, pending, strict=True))
                votes = [("A", sums[0]), ("B", sums[1]), ("C", sums[2]), *more]
                winners.add(weighted_tally(v for v in votes if v[0] != "-")[0])
            expected = winners.pop() if len(winners) == 1 else None
            found = clinch_weighted(dict(zip("ABC", sums, strict=True)), pending)
            assert found == expected, (sums, pending)


@pytest.mark.parametrize("n", [1, 3, 5, 7, 9])
def test_expected_arrivals_are_the_mean_over_all_orders(n):
    """Over all orders of right and wrong, the mean of the first vote that settles it."""
    share = Fraction(7, 10)
    mean = Fraction()
    for order in product("RW", repeat=n):
        settled = next(k for k in range(n + 1) if clinch(Counter(order[:k]), n - k, n) is not None)
        right = order.count("R")
        mean += settled * share**right * (1 - share) ** (n - right)
    assert clinch_expected_arrivals(n, 0.7) == pytest.approx(float(mean), abs=1e-12)


@pytest.mark.parametrize("p", [0, 0.0, 1, 1.0])
def test_votes_that_all_agree_are_settled_by_more_than_half(p):
    """With a sure label, the third of five votes settles it."""
    assert clinch_expected_arrivals(5, p) == 3


@pytest.mark.parametrize(
    "tally",
    [pytest.param(t, id=t["id"]) for t in TALLIES if t.get("early_stop")],
)
def test_tallies_are_decided_as_early_as_expected(tally):
    """The first vote after which the winner is certain is the expected one."""
    votes, asked = tally["votes"], tally["asked"]
    after = [
        clinch(Counter(votes[:k]), asked - k, asked, "majority") for k in range(len(votes) + 1)
    ]
    settled = next(k for k, found in enumerate(after) if found)
    assert (settled, after[settled]) == (tally["decided_after"], ("winner", tally["expect"]))


@given(few_votes, st.sampled_from(RULES_AND_SHARES), st.sampled_from(["requested", "valid", None]))
def test_what_is_certain_stays_certain_and_is_the_outcome(votes, rule_and_share, base):
    """Vote by vote, a verdict never changes again, and agrees with `decide` at the end."""
    rule, q = rule_and_share
    n = len(votes)
    found = [
        clinch(Counter(filter(None, votes[:k])), n - k, n, rule, q, base) for k in range(n + 1)
    ]
    settled = [verdict for verdict in found if verdict]
    assert found[-1] is not None
    assert found[len(found) - len(settled) :] == settled
    assert len(set(settled)) == 1
    assert settled[0][1] == decide(Counter(filter(None, votes)), n, rule, q, base)[1]


@given(few_votes, st.randoms(use_true_random=False), st.integers(0, 4))
def test_the_order_of_labels_never_matters(votes, random, pending):
    """Shuffled counts give the same verdicts."""
    counts = Counter(filter(None, votes))
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    n = len(votes) + pending
    for rule, q in RULES_AND_SHARES:
        assert clinch(counts, pending, n, rule, q) == clinch(dict(shuffled), pending, n, rule, q)
    assert clinch_weighted(counts, [1] * pending) == clinch_weighted(dict(shuffled), [1] * pending)
    flags = [clinch_flag(c, pending, n, "A", 3) for c in (counts, dict(shuffled))]
    assert flags[0] == flags[1]


def test_equal_weights_are_the_plurality():
    """With a weight of one each, a weighted lead is certain when the plurality is."""
    for requested in range(MOST_VOTES + 1):
        for counts, pending in states(requested):
            found = clinch_weighted(named(counts), [1] * pending)
            verdict = clinch(named(counts), pending, requested, quorum=1)
            assert found == (verdict[1] if verdict else None)


def test_weights_are_compared_as_they_are_written():
    """0.1 + 0.2 is no more than 0.3, in whatever way the weights are given."""
    assert clinch_weighted({"A": 0.3}, [0.1, 0.2]) is None
    assert clinch_weighted({"A": "0.31"}, [0.1, Fraction(1, 5)]) == "A"
    assert clinch_weighted({}, []) is None


def test_a_flag_wins_without_a_quorum():
    """Two flags of seven settle it though everything else fails, and a plurality against them."""
    assert clinch_flag({"safe": 4, "unsafe": 2}, 1, 7, "unsafe", 2) == ("winner", "unsafe")
    assert clinch_flag({"unsafe": 2}, 0, 7, "unsafe", 2) == ("winner", "unsafe")


def test_others_win_only_once_the_flag_is_out_of_reach():
    """Six safe votes settle nothing while the seventh may raise the flag."""
    assert clinch_flag({"safe": 6}, 1, 7, "unsafe") is None
    assert clinch_flag({"safe": 6}, 1, 7, "unsafe", 2) == ("winner", "safe")


def test_a_tie_of_the_others_is_left_open():
    """With nothing pending, equal other labels name nobody, and neither does a flag alone."""
    assert clinch_flag({"A": 1, "B": 1}, 0, 2, "flag") is None
    assert clinch_flag({"flag": 1}, 0, 1, "flag", 2) is None


def test_lost_votes_could_have_raised_the_flag():
    """Others win only where the lost votes and the open ones together are too few for the flag."""
    assert clinch_flag({"safe": 5}, 1, 7, "unsafe") is None
    assert clinch_flag({"safe": 6}, 0, 7, "unsafe") == ("no_winner", None)
    assert clinch_flag({"safe": 4}, 1, 7, "unsafe", 4) == ("winner", "safe")
    assert clinch_flag({"safe": 4}, 1, 7, "unsafe", 2) == ("no_winner", None)


@pytest.mark.parametrize(
    ("counts", "labels", "stops"),
    [
        pytest.param([3], 2, False, id="3-0 of two"),
        pytest.param([4, 0], 2, True, id="4-0 of two"),
        pytest.param([4], 3, False, id="4-0-0"),
        pytest.param([5], 4, True, id="5-0-0-0"),
        pytest.param([5], 5, False, id="5 of five labels"),
        pytest.param([6], 8, True, id="6 of eight labels"),
        pytest.param([4], 8, False, id="4 of eight labels"),
        pytest.param([4], 9, True, id="two lead beyond eight labels"),
        pytest.param([4], None, True, id="one label seen and one not"),
        pytest.param([5, 1], None, False, id="two labels seen and one not"),
        pytest.param([7, 7], 2, False, id="tie of two"),
        pytest.param([9, 9, 1], None, False, id="tie of the leaders"),
        pytest.param([1], 1, True, id="the only label there is"),
        pytest.param([], None, False, id="no votes"),
        pytest.param([0], 1, False, id="no votes for the only label"),
    ],
)
def test_the_heuristic_stops_at_the_level_of_0_95(counts, labels, stops):
    """Enough votes for the leader stop, one fewer do not, zeros change nothing."""
    assert beta_stops(counts, 0.95, labels) is stops
    assert beta_stops([0, *counts, 0], "0.95", labels) is stops


def test_a_level_that_is_reached_exactly_stops():
    """3 of 3 votes are 15/16, which is 0.9375 and no less than 0.937."""
    assert beta_stops([3], "15/16", 2)
    assert not beta_stops([3], "0.938", 2)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=4), st.sampled_from(["0.6", "0.9", 0.95]))
def test_the_heuristic_is_p_mode(counts, level):
    """For two to four labels it compares the exact probability with the level."""
    ordered = sorted(counts, reverse=True)
    expected = exact_p_mode(ordered) >= Fraction(level).limit_denominator(1000)
    assert beta_stops(counts, level, len(counts)) is (expected and any(counts))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9))
def test_a_vote_for_the_leader_never_starts_the_voting_again(first, second, labels):
    """Where counts stop, one vote more for the leader does."""
    counts = [max(first, second), min(first, second)][:labels]
    if beta_stops(counts, 0.9, labels):
        assert beta_stops([counts[0] + 1, *counts[1:]], 0.9, labels)


@pytest.mark.parametrize(
    ("counts", "left", "wave"),
    [
        pytest.param({}, 5, 3, id="a bare majority first"),
        pytest.param({"A": 2, "B": 1}, 2, 1, id="what the leader needs"),
        pytest.param({"A": 1, "B": 2}, 2, 1, id="whoever leads"),
        pytest.param({"A": 1, "B": 1, "C": 1}, 2, 2, id="a tie needs all"),
        pytest.param({"A": 2, "B": 2}, 0, 0, id="nothing left"),
    ],
)
def test_a_wave_is_the_fewest_votes_that_can_settle_it(counts, left, wave):
    """With the clinch alone, a wave has the votes that the leader still needs of five."""
    assert next_wave(counts, left, lambda c, r: clinch(c, r, 5) is not None) == wave


def test_a_wave_is_all_that_is_left_where_nothing_stops():
    """A rule that never stops gets every vote at once."""
    assert next_wave({"A": 1}, 4, lambda counts, left: False) == 4


def test_waves_with_the_heuristic_start_with_four_votes():
    """Four unanimous votes of two labels reach 0.95; after 4-1 comes what is missing."""

    def stops(counts, left):
        return beta_stops([*counts.values()], "0.95", 2)

    assert next_wave({}, 40, stops) == 4
    assert next_wave({"A": 3, "B": 1}, 36, stops) == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param(lambda: clinch({}, 1, 3, "majorty"), "did you mean 'majority'", id="rule"),
        pytest.param(lambda: clinch({}, 1, 3, base="all"), "unknown base 'all'", id="base"),
        pytest.param(lambda: clinch({}, 3, 3, "threshold"), "needs a share", id="no share"),
        pytest.param(lambda: clinch({"A": 2}, 2, 3), "2 open votes do not fit", id="too many open"),
        pytest.param(lambda: clinch({"A": 2}, -1, 3), "-1 open votes do not fit", id="negative"),
        pytest.param(lambda: clinch({"A": -1}, 1, 3), "1 open votes do not fit", id="below 0"),
        pytest.param(lambda: clinch_flag({}, 4, 3, "A"), "4 open votes do not fit", id="flag"),
        pytest.param(lambda: clinch_flag({}, 1, 3, "A", 0), "at least 1", id="flag needs none"),
        pytest.param(lambda: clinch_weighted({"A": -1}, []), "is negative", id="weight"),
        pytest.param(lambda: clinch_weighted({}, ["nan"]), "not a finite", id="pending weight"),
        pytest.param(lambda: clinch_expected_arrivals(4, 0.5), "odd number", id="even"),
        pytest.param(lambda: clinch_expected_arrivals(3, 1.1), "not a probability", id="p"),
        pytest.param(lambda: beta_stops([1], 0.5), "not between 0.5 and 1", id="level of half"),
        pytest.param(lambda: beta_stops([1], 1), "not between 0.5 and 1", id="level of one"),
        pytest.param(lambda: beta_stops([1], 95), "outside 0..1", id="level of 95"),
        pytest.param(lambda: beta_stops([], "high"), "not a share", id="level in words"),
        pytest.param(lambda: beta_stops([1, 1], 0.9, 1), "2 labels have votes", id="labels"),
    ],
)
def test_what_cannot_be_is_named(call, says):
    """Each unusable input is an ValueError that names it."""
    with pytest.raises(ValueError, match=says):
        call()
