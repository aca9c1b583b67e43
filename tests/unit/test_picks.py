"""The table of `--pick`: certainty, ties and fallbacks against brute force over small panels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA

from parallm_magics.core.tasks import Reading, Record
from parallm_magics.patterns.ballots import count_ballots, votes_of
from parallm_magics.patterns.panel import Rule
from parallm_magics.voting.pick_rules import PICKS
from parallm_magics.voting.rule_entry import Decision, Sure, Terms, Vote, counts_of
from parallm_magics.voting.ties import break_tie, short

TALLIES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["tallies"]
AB = Reading("choice", ("A", "B"))


def cast(labels: Sequence[str | None], weights: Sequence[Fraction] = ()) -> list[Vote]:
    """One vote a label, at its place in the panel; None for a vote that was lost."""
    return [
        Vote(at, label, label, weights[at] if weights else Fraction(1))
        for at, label in enumerate(labels)
        if label is not None
    ]


def decided(pick: str, votes: Sequence[Vote], requested: int = 0, **terms: Any) -> Decision:
    """How these votes of a panel end by a rule."""
    return PICKS[pick].settle(votes, Terms(requested or len(votes), **terms))


# --- a flag ---------------------------------------------------------------------------------------

FLAGS = {
    "nobody votes": ("- - -", {}, "not_cleared", None),
    "one of three": ("bad - -", {"quorum": 2}, "decided", "bad"),
    "fine, as far as heard": ("ok - -", {"quorum": 2}, "not_cleared", None),
    "cleared without quorum": ("ok ok", {"quorum": 3}, "no_quorum", None),
    "two needed, one has it": ("bad ok ok", {"share": "2/3"}, "decided", "ok"),
    "two needed, two have it": ("bad ok bad", {"share": "2/3"}, "decided", "bad"),
    "short of it and no quorum": ("bad - -", {"share": "2/3", "quorum": 2}, "not_cleared", None),
    "more flags than others": ("bad bad ok", {"share": "1"}, "decided", "ok"),
    "flags alone, too few": ("bad bad -", {"share": "1"}, "not_cleared", None),
    "a share of all requested": ("bad - - -", {"share": "1/2"}, "not_cleared", None),
}


@pytest.mark.parametrize(("labels", "terms", "status", "winner"), FLAGS.values(), ids=FLAGS)
def test_a_flag_needs_enough_votes_and_no_quorum(
    labels: str, terms: dict[str, Any], status: str, winner: str | None
) -> None:
    """A share is one of all requested votes; what stays short of it never wins."""
    votes = cast([None if label == "-" else label for label in labels.split()])
    decision = decided("any", votes, len(labels.split()), flag="bad", **terms)
    assert (decision.status, decision.winner) == (status, winner)


def test_how_a_flag_was_missed_is_told() -> None:
    """One vote is a vote, not votes."""
    one = decided("any", cast(["bad", "ok", "ok"]), flag="bad", share="2/3")
    assert one.how == "not flagged: 1 vote for 'bad', where 2 would be enough"
    none = decided("any", cast(["ok", "ok"]), flag="bad")
    assert none.how == "not flagged: 0 votes for 'bad', where 1 would be enough"


# --- weights and confidences ----------------------------------------------------------------------


def test_what_weighs_nothing_cannot_win() -> None:
    """However many of them there are, and not by way of a tie either."""
    weights = [Fraction(0), Fraction(0), Fraction(1, 1000)]
    assert decided("weighted", cast("AAB", weights)).winner == "B"
    nothing = decided("weighted", cast("AB", [Fraction(0)] * 2))
    assert (nothing.status, nothing.tied) == ("no_majority", ())


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.decimals(0, 1, places=2)), min_size=1, max_size=7)
)
def test_sums_of_weights_are_those_of_decimals(pairs: list[Any]) -> None:
    """A tie is a tie and a win a win, to the last digit."""
    sums: dict[str, Any] = {}
    for label, weight in pairs:
        sums[label] = sums.get(label, 0) + weight
    votes = cast([label for label, _ in pairs], [Fraction(weight) for _, weight in pairs])
    decision = decided("weighted", votes)
    top = {label for label, weight in sums.items() if weight == max(sums.values())}
    if not max(sums.values()):
        assert decision.status == "no_majority"
    elif len(top) > 1:
        assert (decision.status, set(decision.tied)) == ("tie", top)
    else:
        assert (decision.status, decision.winner) == ("decided", top.pop())


@pytest.mark.parametrize(
    "stated",
    ["1000%", "101", "-5", "NaN", "Infinity", "high", "true", "1e9", "95 of 10", ""],
)
def test_a_confidence_off_the_scale_never_wins(stated: str) -> None:
    """The vote is kept, the number dropped: it cannot win by its size."""
    texts = ["CONFIDENCE: 40\nANSWER: A", f"CONFIDENCE: {stated}\nANSWER: B"]
    records = [Record(at, f"v{at}", "ok", "m", text) for at, text in enumerate(texts)]
    read, ballots = count_ballots(records, AB, confident=True)
    votes = votes_of(read, ballots)
    assert [(vote.label, vote.confidence) for vote in votes] == [("A", 0.4), ("B", None)]
    assert decided("confidence", votes).winner == "A"


def test_the_highest_confidence_belongs_to_a_label() -> None:
    """Of equal ones the larger tally wins, votes counted that state less or nothing; then it is a tie."""
    stated = {0: 0.9, 1: 0.9, 2: 0.1}
    votes = [Vote(at, label, label, confidence=stated.get(at)) for at, label in enumerate("ABBABC")]
    assert decided("confidence", votes).winner == "B"
    tied = decided("confidence", votes[:4])
    assert (tied.status, set(tied.tied)) == ("tie", {"A", "B"})
    assert "overstate" in tied.how


@pytest.mark.parametrize("labels", ["A A B", "A B"])
def test_without_any_confidence_plurality_is_named(labels: str) -> None:
    """Whether it decides or ties."""
    decision = decided("confidence", cast(labels.split()))
    plain = decided("plurality", cast(labels.split()))
    assert (decision.status, decision.winner, decision.tied) == (
        plain.status,
        plain.winner,
        plain.tied,
    )
    assert "plurality" in decision.how


# --- numbers --------------------------------------------------------------------------------------

NUMBERS = {
    "a vote stays as it is": ("median", (12345678901.25,) * 3, 12345678901.25),
    "as it is written": ("mean", (12345678901.1,) * 3, 12345678901.1),
    "whole numbers of any size": ("median", (12345678901234567891,) * 3, 12345678901234567891),
    "between two large ones": (
        "median",
        (12345678901234567890, 12345678901234567892),
        12345678901234567891,
    ),
    "the mean of large ones": (
        "mean",
        (12345678901234567890, 12345678901234567892),
        12345678901234567891,
    ),
    "tenths are tenths": ("mean", (0.1, 0.2, 0.3), 0.2),
    "three tenths": ("mean", (0.1, 0.1, 0.7), 0.3),
    "without an end": ("mean", (1, 1, 2), 1.333333333),
    "numbers beyond a float's sum": ("mean", (1.5e308, 1.5e308), 1.5e308),
    "tiny": ("mean", (1e-300, 3e-300), 2e-300),
}


@pytest.mark.parametrize(("pick", "values", "winner"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_computed_exactly(pick: str, values: Any, winner: Any) -> None:
    """Nothing is lost that can be written down."""
    votes = [Vote(at, str(value), value) for at, value in enumerate(values)]
    assert decided(pick, votes).winner == winner


@pytest.mark.parametrize("pick", ["median", "mean"])
@given(values=st.lists(st.integers(-9, 9), min_size=1, max_size=9), data=st.data())
def test_numbers_have_no_order(pick: str, values: list[int], data: st.DataObject) -> None:
    """Who said which number does not matter; the result lies between the ends."""
    votes = [Vote(at, str(value), value) for at, value in enumerate(values)]
    mixed = data.draw(st.permutations(values))
    other = [Vote(at, str(value), value) for at, value in enumerate(mixed)]
    winner = decided(pick, votes).winner
    assert winner == decided(pick, other).winner
    assert isinstance(winner, int | float)
    assert min(values) <= winner <= max(values)


# --- a judge's fallback ---------------------------------------------------------------------------


@pytest.mark.parametrize("pick", ["judge", "best"])
@pytest.mark.parametrize("labels", ["A A B", "A B", ""])
def test_without_its_judge_a_rule_is_plurality(pick: str, labels: str) -> None:
    """The votes alone count the same as if no judge had been wanted; any open vote may still win."""
    votes = cast(labels.split())
    assert decided(pick, votes, 3, quorum=1) == decided("plurality", votes, 3, quorum=1)
    assert PICKS[pick].sure is None


@pytest.mark.parametrize(
    "case", [t for t in TALLIES if t["method"] == "confidence_weighted"], ids=lambda t: t["id"]
)
def test_the_tally_of_weighted_confidences(case: dict[str, Any]) -> None:
    """Confidences as weights: sums decide, not the single highest."""
    weights = [Fraction(str(weight)) for _, weight in case["votes"]]
    assert (
        decided("weighted", cast([label for label, _ in case["votes"]], weights)).winner
        == (case["expect"])
    )


# --- ties -----------------------------------------------------------------------------------------


def test_the_first_of_a_tie_is_so_by_its_index() -> None:
    """Not by its count either: a judge's tie is between labels with unequal counts."""
    votes = cast("BAA")
    tie = Decision("tie", tied=("A", "B"), how="the judge is inconsistent")
    first = break_tie(tie, votes, "first", 0)
    assert (first.status, first.winner) == ("decided", "B")
    assert first.how == (
        "the judge is inconsistent; the tie between 'B' and 'A' was broken by the lowest index"
    )


@pytest.mark.parametrize("ties", ["first", "random"])
@given(labels=st.lists(st.sampled_from("ABCD"), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_a_tie_is_broken_among_its_labels_alone(ties: Any, labels: list[str], seed: int) -> None:
    """Whatever the order in which votes and labels arrive; without a tie nothing changes."""
    votes = cast(labels)
    decision = decided("plurality", votes)
    ends = {
        break_tie(decision, mixed, ties, seed).winner
        for mixed in (votes, votes[::-1], sorted(votes, key=lambda vote: vote.label))
    }
    assert len(ends) == 1
    assert ends <= set(decision.tied or (decision.winner,))


def test_a_lot_depends_on_the_labels_and_the_seed_alone() -> None:
    """Fair among three, over seeds; the same for the same labels of another panel."""
    panels = [cast(order) for order in permutations("ABC")]
    drawn = []
    for seed in range(900):
        [winner] = {
            break_tie(decided("plurality", votes), votes, "random", seed).winner for votes in panels
        }
        drawn.append(winner)
    assert all(240 < count < 360 for count in Counter(drawn).values())
    assert len(Counter(drawn)) == 3


def test_a_tie_of_many_is_told_in_one_line() -> None:
    """Thousands of labels, or long ones, fill no page; a dozen times as many take no hundred times as long."""
    votes = cast([f"answer {at} {'x' * 500}\n\x1b[2J" for at in range(3000)])
    broken = break_tie(decided("plurality", votes), votes, "first", 0)
    assert broken.winner == votes[0].label
    assert len(broken.how) < 600
    assert "2995 more" in broken.how
    assert broken.how.isprintable()


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("safe", "safe"),
        ("  two\nlines ", "two lines"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("x " + " " * 500 + "y", "x…"),
    ],
    ids=["short", "lines", "just fits", "cut", "blanks"],
)
def test_a_label_in_a_sentence_is_short(label: str, shown: str) -> None:
    """What is left out is marked."""
    assert short(label) == shown


# --- certainty ------------------------------------------------------------------------------------

OPEN = ("A", "B", "C", None)


def completions(
    pick: str, seen: Sequence[str | None], weights: Sequence[Fraction], terms: Terms
) -> set[tuple[bool, Any]]:
    """Every way in which the vote can still end: whether somebody wins, and who."""
    left = len(weights) - len(seen)
    ends = (
        PICKS[pick].settle(cast([*seen, *rest], weights), terms)
        for rest in product(OPEN, repeat=left)
    )
    return {(end.status == "decided", end.winner) for end in ends}


def panels(size: int) -> Iterator[tuple[str | None, ...]]:
    """Every beginning of a panel of so many."""
    for seen in range(size + 1):
        yield from product(("A", "B", None), repeat=seen)


WEIGHTS = [
    pytest.param([Fraction(1)] * 4, id="equal"),
    pytest.param([Fraction(2), Fraction(1), Fraction(1), Fraction(1, 2)], id="falling"),
    pytest.param([Fraction(1, 10), Fraction(1, 5), Fraction(3, 10), Fraction(0)], id="tenths"),
    pytest.param([Fraction(0), Fraction(0), Fraction(1), Fraction(3)], id="the last decide"),
]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("quorum", [1, 3])
def test_a_weighted_winner_is_certain_exactly_when_it_is(
    weights: list[Fraction], quorum: int
) -> None:
    """A winner is named where every completion elects it, and nowhere else."""
    terms, found = Terms(4, quorum), 0
    sure = PICKS["weighted"].sure
    assert sure is not None
    for seen in panels(4):
        ends = completions("weighted", seen, weights, terms)
        told: Sure | None = sure(cast(seen, weights), weights[len(seen) :], terms)
        won = len(ends) == 1 and next(iter(ends))[0]
        found += won
        if won:
            assert told == ("winner", next(iter(ends))[1]), seen
        elif told is not None:
            assert told == ("no_winner", None), seen
            assert ends == {(False, None)}, seen
    assert found


@pytest.mark.parametrize("share", [None, "1/2", "3/4"])
@pytest.mark.parametrize("quorum", [1, 3])
def test_a_flag_is_certain_exactly_when_it_is(share: str | None, quorum: int) -> None:
    """Raised or out of reach: told as soon as no completion can change it, and never before."""
    terms = Terms(4, quorum, share, flag="A")
    equal = [Fraction(1)] * 4
    sure = PICKS["any"].sure
    assert sure is not None
    for seen in panels(4):
        ends = completions("any", seen, equal, terms)
        told = sure(cast(seen), equal[len(seen) :], terms)
        if ends == {(True, "A")}:
            assert told == ("winner", "A"), seen
        if told is not None:
            assert ends == {(told[0] == "winner", told[1])}, seen


TERMS = [
    pytest.param(pick, Terms(4, quorum, share, base, flag), id=f"{pick} {share} {base} {quorum}")
    for pick, share, flag in (
        ("plurality", None, None),
        ("majority", None, None),
        ("threshold", "1/3", None),
        ("threshold", "3/4", None),
        ("unanimous", None, None),
        ("any", None, "A"),
        ("any", "1/2", "A"),
        ("weighted", None, None),
    )
    for base in ("requested", "valid")
    for quorum in (1, 2, 3, 4)
]


@pytest.mark.parametrize(("pick", "terms"), TERMS)
def test_an_early_end_has_the_status_of_all_votes(pick: str, terms: Terms) -> None:
    """Not only the winner: why nobody has won does not depend on the votes that were stopped."""
    rule, equal = PICKS[pick], [Fraction(1)] * 4
    for seen in panels(4):
        votes = cast(seen)
        if rule.certain(votes, equal[len(seen) :], terms) is None:
            continue
        for rest in product(OPEN, repeat=4 - len(seen)):
            full = rule.decide(cast([*seen, *rest], equal), terms)
            assert full.status == rule.decide(votes, terms).status, (seen, rest)


# --- what a quorum that was not waited for means --------------------------------------------------


@pytest.mark.parametrize(
    ("valid", "stopped", "status"),
    [(3, 0, "decided"), (2, 0, "no_quorum"), (2, 1, "decided"), (1, 1, "no_quorum"), (0, 5, None)],
)
def test_stopped_votes_could_have_filled_the_quorum(
    valid: int, stopped: int, status: str | None
) -> None:
    """Those that we stopped ourselves are no reason against a winner; lost ones are."""
    rule = Rule(quorum=3)
    decision = rule.settled(cast("A" * valid), 5, stopped)
    assert decision.status == (status or "no_quorum")
    assert list(counts_of(cast("A" * valid)).values()) == ([valid] if valid else [])
