"""Measures of systems, comparisons between them, and the sentences and advice made of them."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics.study.advice import advise, by_chance, price, shown
from parallm_magics.study.measures import Outcome, compare, measure, quantile, rejudged, usual_need
from parallm_magics.voting import mcnemar_exact, recommend, verdict, wilson


def made(right, cost="0.01", seconds=1.0, calls=1.0, priced=True, answer="a", invalid=0.0):
    """One item's outcome."""
    draws = () if right is None else (bool(right),)
    right = None if right is None else bool(right)
    silent = float(answer is None)
    return Outcome(answer, right, draws, (seconds,), Decimal(cost), priced, calls, invalid, silent)


def done(rights, **fields):
    """Outcomes of a system on items that it has right or wrong; None is an item without a label."""
    return [made(right, **fields) for right in rights]


def money(amount):
    """An amount in dollars."""
    return f"${amount:.4f}"


def test_a_system_is_summed_up():
    """Unlabelled items count for cost, time and calls, not for accuracy."""
    outcomes = [
        made(1, "0.01", 1.0),
        made(0, "0.03", 9.0),
        made(1, "0.02", 2.0, answer=None, invalid=1.0),
        made(None, "0.02", 3.0),
    ]
    found = measure(outcomes)
    assert (found.items, found.labelled, found.right) == (4, 3, 2)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.interval == wilson(2, 3)
    assert found.cost == Decimal("0.02")
    assert found.cost_complete
    assert (found.median, found.p95) == (2.0, 9.0)
    assert (found.calls, found.invalid, found.unanswered) == (1.0, 0.25, 0.25)


def test_a_single_call_is_the_mean_of_its_draws():
    """No further calls, less noise: 2 of 3 draws right is two thirds of an item."""
    draws = Outcome(
        "a", True, (True, True, False), (1.0, 2.0, 9.0), Decimal("0.01"), True, 1.0, 0.0, 0.0
    )
    found = measure([draws, made(1)])
    assert found.right == pytest.approx(5 / 3)
    assert found.p95 == 9.0
    assert found.calls == 1.0


def test_nothing_measured_is_unknown():
    """Not zero: neither accuracy nor time nor cost."""
    found = measure([])
    assert (found.accuracy, found.interval, found.median, found.cost) == (None,) * 4
    assert (found.calls, found.invalid, found.unanswered) == (None,) * 3
    assert measure(done([None, None])).accuracy is None


def test_a_cost_that_is_not_known_is_said():
    """What is known of it is a least amount; without any there is none."""
    some = measure([made(1, "0.01"), made(1, "0", priced=False)])
    assert (some.cost, some.cost_complete) == (Decimal("0.005"), False)
    none = measure([made(1, "0", priced=False)])
    assert (none.cost, none.cost_complete) == (None, False)


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_one_of_the_values(values, share):
    """At least such a share lies at or below it, and less than that below the one before."""
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered)


rights = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)


@given(rights)
def test_a_comparison_counts_what_changed(pairs):
    """Gains and losses are the items on which only one is right; the rest is computed from them."""
    ours, base = done([one for one, _ in pairs]), done([other for _, other in pairs])
    found = compare("new", "old", ours, base)
    gains = sum(one and not other for one, other in pairs)
    losses = sum(other and not one for one, other in pairs)
    assert (found.items, found.gains, found.losses) == (len(pairs), gains, losses)
    assert found.right - found.base_right == gains - losses
    assert found.verdict == verdict(len(pairs), gains, losses)
    assert found.p == mcnemar_exact(gains, losses)
    assert (found.items_needed is None) == (gains <= losses)
    if found.difference is not None:
        low, high = found.interval
        assert low <= found.difference <= high


def test_the_price_of_a_right_answer():
    """(cost - cost of the base) / difference of the accuracies; unlabelled items count for the cost."""
    ours = done([1, 1, 0, 1, None], cost="0.05", calls=5)
    base = done([1, 0, 0, 1, None])
    found = compare("vote", "single", ours, base)
    assert found.cost_per_right == pytest.approx(0.04 / 0.25)
    assert found.calls_per_right == pytest.approx(4 / 0.25)
    assert price(found, money) == "$0.1600 (16 more calls)"
    unknown = compare("vote", "single", done([1, 1], priced=False, calls=5), done([0, 1]))
    assert unknown.cost_per_right is None
    assert price(unknown, money) == "8.0 more calls"
    cheaper = compare("small", "big", done([1, 1], cost="0.01"), done([0, 1], cost="0.05"))
    assert price(cheaper, money) == "$0.0800 less (no more calls)"
    assert price(compare("vote", "single", done([0]), done([1])), money) == ""


def changed(items, gains, losses, right=0):
    """Two systems' outcomes with so many changes; of the other items so many are right."""
    same = items - gains - losses
    rest = [1] * right + [0] * (same - right)
    return done([1] * gains + [0] * losses + rest), done([0] * gains + [1] * losses + rest)


SELDOM = "chance alone would give a difference this large in fewer than 1 of 1,000 such studies"
SOMETIMES = "chance alone would give a difference this large in 2 of 100 such studies"


@pytest.mark.parametrize(
    ("items", "gains", "losses", "right", "sentence"),
    [
        (0, 0, 0, 0, "no labelled items, so nobody knows which answers are right"),
        (
            30,
            2,
            1,
            24,
            (
                "26 against 25 of 30 right: only 3 items differ, too few to tell (about 312 items would show "
                "a gain of 5 points, if 1 item in 10 differs)"
            ),
        ),
        (
            30,
            1,
            0,
            24,
            (
                "25 against 24 of 30 right: only 1 item differs, too few to tell (about 312 items would show "
                "a gain of 5 points, if 1 item in 10 differs)"
            ),
        ),
        (
            30,
            0,
            0,
            24,
            "24 against 24 of 30 right: not one item differs (of other items up to 10 in 100 might)",
        ),
        (
            50,
            9,
            2,
            30,
            (
                "39 against 32 of 50 right (9 gained, 2 lost); chance alone would give a difference this large "
                "in 7 of 100 such studies, so the items show no difference (about 86 items like these would "
                "show one of this size)"
            ),
        ),
        (
            50,
            4,
            4,
            30,
            (
                "34 against 34 of 50 right (4 gained, 4 lost): no difference is shown (about 500 items would "
                "show a gain of 5 points, if as many differ)"
            ),
        ),
        (
            1_200,
            1,
            5,
            1065,
            (
                "1,066 against 1,070 of 1,200 right (1 gained, 5 lost); chance alone would give a difference "
                "this large in 22 of 100 such studies, so the items show no difference (95 % interval −0.7 to "
                "+0.1 points)"
            ),
        ),
        (
            1_000,
            40,
            45,
            800,
            (
                "840 against 845 of 1,000 right (40 gained, 45 lost); chance alone would give a difference this "
                "large in 66 of 100 such studies, so the items show no difference (95 % interval −2.3 to "
                "+1.3 points)"
            ),
        ),
        (
            2_000,
            2,
            3,
            1500,
            (
                "1,502 against 1,503 of 2,000 right: only 5 items differ, too few to tell (95 % interval "
                "−0.3 to +0.2 points)"
            ),
        ),
        (200, 30, 8, 140, f"170 against 148 of 200 right (30 gained, 8 lost): better; {SELDOM}"),
        (200, 8, 30, 140, f"148 against 170 of 200 right (8 gained, 30 lost): worse; {SELDOM}"),
        (900, 22, 8, 400, f"422 against 408 of 900 right (22 gained, 8 lost): better; {SOMETIMES}"),
    ],
)
def test_what_is_said_of_a_comparison(items, gains, losses, right, sentence):
    """Counts first, what changed, and what that shows."""
    ours, base = changed(items, gains, losses, right)
    assert shown(compare("vote", "single", ours, base)) == sentence


@given(st.integers(0, 300), st.integers(0, 60), st.integers(0, 60))
def test_no_finding_has_an_interval_that_holds_none(rest, gains, losses):
    """What is called better or worse is so over the whole of its interval."""
    found = compare("new", "old", *changed(rest + gains + losses, gains, losses))
    low, high = found.interval or (0.0, 0.0)
    assert (found.verdict == "better") <= (low > 0)
    assert (found.verdict == "worse") <= (high < 0)


@pytest.mark.parametrize(
    ("p", "often"),
    [
        (1.0, "in almost every such study"),
        (0.82, "in 82 of 100 such studies"),
        (0.0654, "in 7 of 100 such studies"),
        (0.01, "in 1 of 100 such studies"),
        (0.0098, "in 10 of 1,000 such studies"),
        (0.004, "in 4 of 1,000 such studies"),
        (0.0004, "in fewer than 1 of 1,000 such studies"),
    ],
)
def test_a_p_is_told_in_studies(p, often):
    """As many of a hundred, or of a thousand, as chance alone would make like it."""
    assert by_chance(p) == f"chance alone would give a difference this large {often}"


def test_the_usual_need():
    """+5 points at 10 % discordance need 312 items."""
    assert usual_need() == (312, 5)
    assert usual_need(0.2) == (626, 5)
    assert usual_need(0.01) == usual_need(0.05)


def advised(voted, big=None, duel=None, costs=("0.05", "0.04"), priced=True):
    """The advice on systems that compare in these ways: (items, gains, losses)."""

    def pair(shape, name, base, cost, base_cost):
        ours, others = changed(*shape)
        ours = [rejudged(each, each.answer, each.right, each.calls) for each in ours]
        new = [made(each.right, cost, priced=priced) for each in ours]
        old = [made(each.right, base_cost) for each in others]
        return compare(name, base, new, old)

    found = {("vote", "single"): pair(voted, "vote", "single", costs[0], "0.01")}
    measures = {
        "vote": measure(done([1], cost=costs[0], priced=priced)),
        "gpt-6-sol": measure(done([1], cost=costs[1], priced=priced)),
    }
    if big is None:
        return advise(found, measures, None, money)
    found["gpt-6-sol", "single"] = pair(big, "gpt-6-sol", "single", costs[1], "0.01")
    found["gpt-6-sol", "vote"] = pair(duel, "gpt-6-sol", "vote", costs[1], costs[0])
    return advise(found, measures, "gpt-6-sol", money)


BETTER, WORSE, SAME = (100, 20, 2), (100, 2, 20), (100, 0, 0)
FEW, COIN = (100, 3, 1), (100, 9, 4)


@pytest.mark.parametrize(
    ("given", "recommendation", "says"),
    [
        ([(0, 0, 0)], "undecided", "add them with --truth"),
        ([BETTER], "vote", "each extra right answer takes $0.2222"),
        ([WORSE], "single", "the vote does not beat a single call"),
        ([SAME], "single", "not one item differs"),
        ([FEW], "undecided", "too few to tell"),
        ([BETTER, FEW, WORSE], "vote", "the vote against a single call"),
        ([FEW, BETTER, BETTER], "bigger_model", "gpt-6-sol against a single call"),
        ([BETTER, BETTER, COIN], "bigger_model", "gpt-6-sol is the cheaper one, and neither"),
        ([BETTER, BETTER, BETTER], "bigger_model", "the cheaper one, and it has more right too"),
        ([BETTER, BETTER, WORSE], "undecided", "your call: the vote has more right than gpt-6-sol"),
        ([WORSE, SAME, SAME], "single", "no gain over a single call"),
        ([FEW, COIN, FEW], "undecided", "cannot tell"),
    ],
)
def test_the_advice_follows_the_rule(given, recommendation, says):
    """The recommendation is that of `recommend`; the reason is one sentence that says why."""
    found = advised(*given)
    assert found.recommendation == recommendation
    assert says in found.reason
    assert found.reason.endswith(".")
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("big", "recommendation", "says"),
    [
        (BETTER, "bigger_model", "gpt-6-sol against a single call: "),
        (SAME, "single", "gpt-6-sol does not beat a single call"),
        (WORSE, "single", "gpt-6-sol does not beat a single call"),
        (COIN, "undecided", "cannot tell: gpt-6-sol against a single call"),
        ((0, 0, 0), "undecided", "no labelled items"),
    ],
)
def test_without_a_vote_a_bigger_model_is_still_advised_on(big, recommendation, says):
    """A panel of one is a single call, and has nothing to be compared with but the other model."""
    ours, base = changed(*big)
    found = advise(
        {("gpt-6-sol", "vote"): compare("gpt-6-sol", "vote", ours, base)},
        {},
        "gpt-6-sol",
        money,
        single="vote",
        vote="vote",
    )
    assert found.recommendation == recommendation
    assert says in found.reason


def test_every_combination_has_a_reason():
    """And the recommendation never differs from the pure rule's."""
    for voted, big, duel in itertools.product([BETTER, WORSE, SAME, FEW, COIN], repeat=3):
        found = advised(voted, big, duel)
        expected = recommend(verdict(*voted), verdict(*big), verdict(*duel), 0.05, 0.04)
        assert found.recommendation == expected
        assert found.reason


def test_equal_costs_are_said_to_be_equal():
    """Nobody is called cheaper, and what has more right is taken."""
    found = advised(BETTER, BETTER, BETTER, costs=("0.05", "0.05"))
    assert found.recommendation == "bigger_model"
    assert "gpt-6-sol costs the same, and it has more right too" in found.reason
    alike = advised(BETTER, BETTER, COIN, costs=("0.05", "0.05"))
    assert alike.recommendation == "vote"
    assert "the vote costs the same, and neither is shown" in alike.reason
    voted = advised(BETTER, BETTER, WORSE, costs=("0.05", "0.05"))
    assert voted.recommendation == "vote"


def test_where_nobody_answers_nothing_is_advised():
    """That no item changed is then no sign of anything."""
    ours, base = changed(60, 0, 0)
    silent = measure(done([0] * 60, answer=None))
    found = advise(
        {("vote", "single"): compare("vote", "single", ours, base)},
        {"vote": silent, "single": silent},
        None,
        money,
    )
    assert found.recommendation == "undecided"
    assert "no answer could be counted" in found.reason


@pytest.mark.parametrize("items", range(1, 6))
def test_of_five_items_nothing_can_be_told(items):
    """No test could show a change of fewer than six, so that none says little."""
    ours, base = changed(items, 0, 0, items)
    found = advise({("vote", "single"): compare("vote", "single", ours, base)}, {}, None, money)
    assert found.recommendation == "undecided"
    assert f"{items} against {items} of {items} right" in found.reason


def test_recounted_calls_are_as_many_as_are_asked():
    """Of a smaller panel it is known how many calls it takes, and not what they cost."""
    whole = made(1, "0.05", calls=5)
    smaller = rejudged(whole, "b", False, 3)
    assert (smaller.calls, smaller.right, smaller.draws, smaller.priced) == (
        3,
        False,
        (False,),
        False,
    )
    assert rejudged(whole, "a", True, 5).priced


def test_prices_that_are_not_known_decide_nothing():
    """Of two systems that are both better nobody can then say which is cheaper."""
    found = advised(BETTER, BETTER, BETTER, priced=False)
    assert found.recommendation == "undecided"
    assert "price" in found.reason
