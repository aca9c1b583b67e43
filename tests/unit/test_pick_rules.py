"""The rules of `--pick`, one by one on plain votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA

from parallm_magics.voting.pick_rules import PICKS
from parallm_magics.voting.rule_entry import Decision, Terms, Vote, counts_of
from parallm_magics.voting.ties import break_tie

TALLIES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["tallies"]


def votes(labels: str, **fields: list[Any]) -> list[Vote]:
    """One vote a label, with further fields vote by vote."""
    return [
        Vote(at, label, label, **{name: values[at] for name, values in fields.items()})
        for at, label in enumerate(labels.split())
    ]


def numbers(*values: float) -> list[Vote]:
    """One vote a number."""
    return [Vote(at, f"{value:g}", value) for at, value in enumerate(values)]


def settled(pick: str, cast: list[Vote], requested: int | None = None, **terms: Any) -> Decision:
    """How a panel of so many decides."""
    return PICKS[pick].settle(cast, Terms(requested or len(cast), **terms))


@pytest.mark.parametrize(
    ("pick", "labels", "terms", "ends"),
    [
        ("plurality", "A A B C", {}, ("decided", "A")),
        ("plurality", "A A B B", {}, ("tie", None)),
        ("majority", "A A B B", {}, ("no_majority", None)),
        ("majority", "A A B", {"requested": 4}, ("no_majority", None)),
        ("majority", "A A B", {"requested": 4, "base": "valid"}, ("decided", "A")),
        ("threshold", "A A B", {"share": "2/3"}, ("decided", "A")),
        ("threshold", "A A B", {"share": "0.67"}, ("no_majority", None)),
        ("unanimous", "A A A", {}, ("decided", "A")),
        ("unanimous", "A A A", {"requested": 4}, ("no_majority", None)),
        ("plurality", "A", {"requested": 5, "quorum": 3}, ("no_quorum", None)),
    ],
)
def test_rules_that_count(
    pick: str, labels: str, terms: dict[str, Any], ends: tuple[str, str | None]
) -> None:
    """What is asked for decides; a vote that could not be read stays in the base unless told."""
    decision = settled(pick, votes(labels), **terms)
    assert (decision.status, decision.winner) == ends


@pytest.mark.parametrize(
    ("labels", "terms", "ends"),
    [
        pytest.param("ok ok bad ok", {}, ("decided", "bad"), id="one is enough"),
        pytest.param("ok ok ok", {}, ("decided", "ok"), id="none"),
        pytest.param(
            "bad", {"requested": 5, "quorum": 3}, ("decided", "bad"), id="no quorum needed"
        ),
        pytest.param(
            "ok", {"requested": 5, "quorum": 3}, ("not_cleared", None), id="lost ones could flag"
        ),
        pytest.param("ok ok", {"requested": 3}, ("not_cleared", None), id="one lost could flag"),
        pytest.param(
            "ok",
            {"requested": 5, "quorum": 3, "share": 1},
            ("no_quorum", None),
            id="quorum for fine",
        ),
        pytest.param(
            "bad ok",
            {"requested": 3, "share": "2/3"},
            ("not_cleared", None),
            id="with the lost one",
        ),
        pytest.param(
            "bad ok ok", {"requested": 4, "share": "3/4"}, ("decided", "ok"), id="lost ones too few"
        ),
        pytest.param(
            "bad ok ok",
            {"requested": 6, "share": "1/2", "base": "valid"},
            ("not_cleared", None),
            id="the base of valid votes counts the missing ones",
        ),
        pytest.param("bad ok ok ok", {"share": "1/2"}, ("decided", "ok"), id="too few"),
        pytest.param("bad bad ok ok", {"share": "1/2"}, ("decided", "bad"), id="at least half"),
        pytest.param(
            "bad", {"requested": 4, "share": "1/2", "quorum": 1}, ("not_cleared", None), id="alone"
        ),
        pytest.param("a b", {}, ("tie", None), id="the others tie"),
    ],
)
def test_a_flag_is_raised_by_any(
    labels: str, terms: dict[str, Any], ends: tuple[str, str | None]
) -> None:
    """One vote, or as many as asked for, whatever the others say; else the others decide."""
    decision = settled("any", votes(labels), flag="bad", **terms)
    assert (decision.status, decision.winner) == ends


def test_weights_are_exact() -> None:
    """0.1 and 0.2 are 0.3: a tie and no win by rounding."""
    weight = [Fraction("0.1"), Fraction("0.2"), Fraction("0.3")]
    tied = settled("weighted", votes("A A B", weight=weight))
    assert (tied.status, tied.tied) == ("tie", ("A", "B"))
    won = settled("weighted", votes("A A B", weight=[Fraction(1), Fraction(1), Fraction("2.5")]))
    assert (won.winner, won.how) == ("B", "weights: 2.5 of 4.5")
    assert settled("weighted", votes("A B", weight=[Fraction(0)] * 2)).status == "no_majority"


@pytest.mark.parametrize(
    ("labels", "stated", "ends"),
    [
        pytest.param("A B A", [0.6, 0.9, 0.7], ("decided", "B"), id="highest"),
        pytest.param("A B A", [0.9, 0.9, 0.5], ("decided", "A"), id="larger tally"),
        pytest.param("A B", [0.8, 0.8], ("tie", None), id="tie"),
        pytest.param("A A B", [None, None, None], ("decided", "A"), id="none stated"),
        pytest.param("A A B", [None, None, 0.1], ("decided", "B"), id="only one states it"),
    ],
)
def test_stated_confidence(
    labels: str, stated: list[float | None], ends: tuple[str, str | None]
) -> None:
    """The highest wins, equals go to the larger tally; without any the fallback is named."""
    decision = settled("confidence", votes(labels, confidence=stated))
    assert (decision.status, decision.winner) == ends
    assert ("plurality" in decision.how) == (not any(stated))


@pytest.mark.parametrize(
    "tally", [t for t in TALLIES if t["method"] == "highest_confidence"], ids=lambda t: t["id"]
)
def test_the_tallies_of_stated_confidence(tally: dict[str, Any]) -> None:
    """Each case of the list comes out."""
    labels = " ".join(label for label, _ in tally["votes"])
    decision = settled("confidence", votes(labels, confidence=[c for _, c in tally["votes"]]))
    assert decision.winner == tally["expect"]
    assert sorted(decision.tied) == tally.get("tie", [])


@pytest.mark.parametrize(
    ("pick", "values", "winner"),
    [
        ("median", (7, 3, 9), 7),
        ("median", (7, 8), 7.5),
        ("mean", (1, 2, 2), 1.666666667),
        ("mean", (0.1, 0.2), 0.15),
        ("mean", (4, 6), 5),
    ],
)
def test_numbers_are_computed(pick: str, values: tuple[float, ...], winner: float) -> None:
    """Whole numbers stay whole, others have ten figures."""
    decision = settled(pick, numbers(*values))
    assert (decision.status, decision.winner) == ("decided", winner)
    assert isinstance(decision.winner, int) == isinstance(winner, int)
    assert settled(pick, [], 3, quorum=2).status == "no_quorum"


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ABC"), st.sampled_from([0.2, 0.5, 0.9, None]), st.integers(0, 3)
        ),
        max_size=7,
    ),
    st.sampled_from(sorted(name for name, rule in PICKS.items() if not rule.computes)),
    st.sampled_from(["report", "first", "random"]),
    st.randoms(use_true_random=False),
)
def test_who_came_first_never_matters(cast: Any, pick: str, ties: Any, rng: Any) -> None:
    """Votes keep their places; whatever the order they arrive in, the decision is the same."""
    ordered = [Vote(at, label, label, Fraction(w), c) for at, (label, c, w) in enumerate(cast)]
    shuffled = rng.sample(ordered, len(ordered))
    terms = Terms(max(len(cast), 1), 1, "1/2", flag="A")
    ends = [break_tie(PICKS[pick].settle(v, terms), v, ties, 3) for v in (ordered, shuffled)]
    assert ends[0] == ends[1]
    assert list(counts_of(ordered).items()) == list(counts_of(shuffled).items())


def test_ties_are_broken_as_asked() -> None:
    """By the lowest index, or by a lot that is fair over seeds and the same for one seed."""
    cast = votes("B A A B")
    tie = settled("plurality", cast)
    assert break_tie(tie, cast, "report", 0) == tie
    first = break_tie(tie, cast, "first", 0)
    assert (first.status, first.winner) == ("decided", "B")
    assert first.how == "the tie between 'B' and 'A' was broken by the lowest index"
    drawn = [break_tie(tie, cast, "random", seed).winner for seed in range(1000)]
    assert drawn == [break_tie(tie, cast, "random", seed).winner for seed in range(1000)]
    assert 400 < drawn.count("A") < 600


@pytest.mark.parametrize("pick", ["any", "weighted"])
@pytest.mark.parametrize("quorum", [1, 2])
def test_certainty_agrees_with_every_completion(pick: str, quorum: int) -> None:
    """A winner is certain exactly where each way to fill the open votes elects it."""
    weights = [Fraction(2), Fraction(1), Fraction(1), Fraction(1, 2)]
    terms = Terms(4, quorum, flag="A")
    entry = PICKS[pick]
    assert entry.sure is not None

    def cast(labels: Sequence[str | None], since: int = 0) -> list[Vote]:
        return [
            Vote(since + at, label, label, weights[since + at])
            for at, label in enumerate(labels)
            if label
        ]

    for seen in range(5):
        for labels in product(["A", "B", None], repeat=seen):
            so_far = cast(labels)
            completions = product(["A", "B", "C", None], repeat=4 - seen)
            ends = {
                entry.settle([*so_far, *cast(rest, seen)], terms).winner for rest in completions
            }
            sure = entry.sure(so_far, weights[seen:], terms)
            assert sure is None or ends == {sure[1]}
            if pick == "any" and "A" in labels:
                assert sure == ("winner", "A")
