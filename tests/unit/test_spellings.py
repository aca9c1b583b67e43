"""Open answers that are the same are counted as one, under the spelling that is most usual."""

from __future__ import annotations

import json

import pytest
from display_samples import record
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA

from parallm_magics import VoteRun
from parallm_magics.answers.cleaning import usual_spelling
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.tasks import Model, Reading
from parallm_magics.display.votes import ballot
from parallm_magics.patterns.ballots import count_ballots
from parallm_magics.patterns.panel import Rule
from parallm_magics.patterns.plan_board import label_reader
from parallm_magics.voting import same_answer_key

OPEN = Reading("open")
TA_19 = next(
    case
    for case in json.loads((DATA / "vote-cases.json").read_text("utf-8"))["tallies"]
    if case["id"] == "ta-19"
)


def voted(*answers: str) -> VoteRun:
    """A vote in which these were said, read as they stand."""
    records = [record(at, f"v{at + 1}", text=text) for at, text in enumerate(answers)]
    return VoteRun(records, Rule(), OPEN)


@pytest.mark.parametrize(
    ("answers", "winner", "votes"),
    [
        pytest.param(["Unsafe", "unsafe", "unsafe."], "unsafe", 3, id="the most frequent"),
        pytest.param(["Unsafe", "Unsafe.", "unsafe"], "Unsafe", 3, id="with capitals if so"),
        pytest.param(["Unsafe", "unsafe"], "unsafe", 2, id="lower case where equal"),
        pytest.param(["unsafe", "Unsafe"], "unsafe", 2, id="in any order"),
        pytest.param(["UNSAFE", "Unsafe"], "Unsafe", 2, id="else the last"),
        pytest.param(["Unsafe", "UNSAFE"], "UNSAFE", 2, id="whichever it is"),
        pytest.param(["**Paris**", "Paris.", "PARIS"], "Paris", 3, id="marks left off"),
        pytest.param([" yes ", "'yes'", "YES", "YES"], "yes", 4, id="lower case of two and two"),
        pytest.param(["C++", "c++", "C"], "c++", 2, id="a mark that is the answer"),
        pytest.param(["-5", "-5.", "5"], "-5", 2, id="a sign"),
        pytest.param(["Straße", "STRASSE"], "STRASSE", 2, id="folded alike"),
        pytest.param(["東京。", "東京", "大阪"], "東京", 2, id="no case at all"),
        pytest.param(TA_19["votes"], TA_19["expect"], 2, id="ta-19"),
    ],
)
def test_the_usual_spelling_wins(answers: list[str], winner: str, votes: int) -> None:
    """Run, tally, plain data and page have one name for it; the answer in full is one of those."""
    run = voted(*answers)
    assert run.winner == winner
    assert run.tally[winner] == votes
    assert run.to_dict()["tally"][winner] == votes
    assert f"{winner}: {votes} of {len(answers)} votes" in str(run)
    assert run.text is not None
    assert same_answer_key(run.text) == same_answer_key(winner)
    assert run.confidence == run.agreement == votes / len(answers)


WORDS = st.sampled_from(["safe", "Safe", "SAFE", "safe.", " safe", "unsafe", "Unsafe", "no"])


@given(st.lists(WORDS, min_size=1, max_size=9))
def test_a_spelling_neither_adds_nor_moves_a_vote(answers: list[str]) -> None:
    """As many labels as different answers, with as many votes; each label is one that was cast."""
    records = [record(at, text=text) for at, text in enumerate(answers)]
    _, ballots = count_ballots(records, OPEN)
    labels = [each.label for each in ballots]
    assert None not in labels
    keys = [same_answer_key(text) for text in answers]
    assert [same_answer_key(str(label)) for label in labels] == keys
    assert len(set(labels)) == len(set(keys))
    assert {str(label) for label in labels} <= {text.strip(" .") for text in answers}


@given(st.lists(WORDS, min_size=1, max_size=9))
def test_no_other_spelling_is_more_frequent(answers: list[str]) -> None:
    """Of those that are the same answer."""
    same = [text for text in answers if same_answer_key(text) == same_answer_key(answers[0])]
    bare = [text.strip(" .") for text in same]
    usual = usual_spelling(same)
    assert bare.count(usual) == max(map(bare.count, bare))
    lower = [each for each in bare if bare.count(each) == bare.count(usual) and each.islower()]
    assert usual in lower or not lower


def test_the_live_table_counts_them_as_one() -> None:
    """While votes come in nobody knows which spelling will be usual: the first one stands."""
    cell = parse("vote", "-n 3", "Is it?")
    reader = label_reader(make_plan(cell, {}, lambda text: Model("m", text), {"model": ("m",)}))
    labels = [
        ballot(record(at, text=text), reader) for at, text in enumerate(["Unsafe", "unsafe.", "no"])
    ]
    assert labels == [("valid", "Unsafe"), ("valid", "Unsafe"), ("valid", "no")]
