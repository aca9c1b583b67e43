"""The stated confidence: the vectors, each way to write one, and whatever else a model says."""

import json
from collections import defaultdict
from fractions import Fraction

import pytest
from growth import assert_in_proportion
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA
from vectors import rows_of

from parallm_magics.voting import parse_confidence

TALLIES = json.loads((DATA / "vote-cases.json").read_text(encoding="utf-8"))["tallies"]
BAD_INPUTS = (DATA / "bad-inputs.json").read_text(encoding="utf-8")

words = st.sampled_from(["confidence", "Confidence", "85", "0.9", "10", "e9", "nan", "out of"])
tags = st.sampled_from(["<think>", "</think>"])
marks = st.sampled_from([*":= \n*\"'.,%/-()[{\\~_"])
likely_texts = st.lists(words | tags | marks, max_size=30).map("".join)


def entry_with(data, name):
    """The entry of that id, wherever it stands in a tree of lists and objects."""
    if isinstance(data, dict) and data.get("id") == name:
        return data
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return next(filter(None, (entry_with(value, name) for value in inner)), None)


@pytest.mark.parametrize("row", rows_of("parse_confidence"))
def test_a_stated_confidence_is_read(row):
    """Every vector's confidence comes out."""
    assert parse_confidence(**row["inputs"]) == row["expected"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Confidence: 85", id="plain"),
        pytest.param("confidence=85", id="equals"),
        pytest.param("CONFIDENCE: 85%", id="percent sign"),
        pytest.param("Confidence: 85 %.", id="spaced percent sign"),
        pytest.param("Confidence: 85 percent", id="percent in words"),
        pytest.param("Confidence: 85 per cent, I think", id="per cent in words"),
        pytest.param("Confidence: 8.5/10", id="of ten"),
        pytest.param("Confidence: 17 / 20", id="of twenty"),
        pytest.param("Confidence: 8.5 out of 10", id="out of ten"),
        pytest.param("Confidence: 85 (out of 100)", id="in brackets"),
        pytest.param("**Confidence:** 85", id="bold marker"),
        pytest.param("**Confidence**: **85**%", id="bold both"),
        pytest.param("## Confidence:\n\n**85**", id="on the next line"),
        pytest.param("Confidence (0-100): 85", id="with its range"),
        pytest.param("Confidence level: 85", id="level"),
        pytest.param("My final confidence score = ~85", id="score"),
        pytest.param("Confidence: $85\\%$", id="LaTeX"),
        pytest.param("Confidence: 8.5e1", id="exponent"),
        pytest.param("Confidence： ８５％", id="full-width"),
        pytest.param('{"answer": "B", "confidence": 85}', id="JSON number"),
        pytest.param('{"answer": "B", "confidence": "85"}', id="JSON string"),
        pytest.param("{'confidence_score': 85, 'why': 3}", id="Python"),
        pytest.param('{"confidence": 85, "confidence_reason": "2 of 3"}', id="a key like it"),
        pytest.param("Confidence: 20\nOn reflection, confidence: 85", id="the last one"),
        pytest.param("<think>Confidence: 20</think>Confidence: 85", id="after thinking"),
        pytest.param("Confidence: 85\n<think>Confidence: 20", id="before thinking"),
        pytest.param("Answer: B Confidence: 85 Reason: 3 sources", id="one line"),
        pytest.param("Confidence: 85 - quite sure", id="a reason after a dash"),
        pytest.param("Confidence: 85\n- 2 sources", id="a list after it"),
    ],
)
def test_each_way_to_state_85_of_100_is_read(text):
    """Marks, scales and wrapping do not change the number."""
    assert parse_confidence(text) == 0.85


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("I am 85% sure", id="no marker"),
        pytest.param("Confidence 85", id="no colon"),
        pytest.param("Overconfidence: 85", id="another word"),
        pytest.param("Confidence: high", id="word"),
        pytest.param("Confidence: high (95%)", id="word first"),
        pytest.param('{"confidence": true}', id="true"),
        pytest.param('{"confidence": null}', id="null"),
        pytest.param('{"confidence": NaN}', id="nan"),
        pytest.param('{"confidence": Infinity}', id="inf"),
        pytest.param('{"confidence": "1000%"}', id="1000 %"),
        pytest.param("Confidence: 101", id="above the scale"),
        pytest.param("Confidence: 11/10", id="above its own scale"),
        pytest.param("Confidence: -5", id="negative"),
        pytest.param("Confidence: 1e999", id="more than a float"),
        pytest.param("Confidence: 8/0", id="of nothing"),
        pytest.param("Confidence: 80-90", id="range"),
        pytest.param("Confidence: 80% – 90%", id="range of percentages"),
        pytest.param("Confidence: 80 to 90", id="range in words"),
        pytest.param("Confidence: 8/10 - 9/10", id="range on a scale"),
        pytest.param("Confidence: 80..90", id="dotted range"),
        pytest.param("Confidence: 85 ± 5", id="tolerance"),
        pytest.param("Confidence: > 90", id="bound"),
        pytest.param("Confidence: 90+", id="bound after it"),
        pytest.param("Confidence: 0,85", id="decimal comma"),
        pytest.param("Confidence: 8/10/2025", id="date"),
        pytest.param("Confidence: 85ish", id="part of a word"),
        pytest.param("Confidence: 85²", id="power"),
        pytest.param("Confidence: 9 out of ten", id="a scale in words"),
        pytest.param("Confidence: 7 on a scale of 10", id="a scale in a sentence"),
        pytest.param("Confidence:\n1. The sources agree.", id="a list"),
        pytest.param("Confidence: 85\nFinal confidence: high", id="the last one is a word"),
        pytest.param("<think>Confidence: 85</think>", id="only in thought"),
        pytest.param("<think>Confidence: 85", id="unfinished thought"),
        pytest.param("Confidence: " + 50 * "1", id="too many digits"),
    ],
)
def test_what_states_no_usable_confidence_is_none(text):
    """A word, a range, a bound or a number off the scale is no confidence."""
    assert parse_confidence(text) is None


def test_the_payload_that_wants_to_win_by_size_has_no_confidence():
    """A stated 1000 % is dropped, not cut down to 1."""
    payload = entry_with(json.loads(BAD_INPUTS), "vote-confidence-bad")["payload"]
    assert parse_confidence(payload) is None
    assert parse_confidence(payload.replace("1000%", "100%")) == 1.0


def test_the_scale_is_the_one_that_was_asked_for():
    """A bare 1 is 1 % of 100 and all of 1; a percentage or a "/10" says its own scale."""
    assert parse_confidence("Confidence: 1") == 0.01
    assert parse_confidence("Confidence: 1", scale=1) == 1.0
    assert parse_confidence("Confidence: 1%", scale=1) == 0.01
    assert parse_confidence("Confidence: 1/10", scale=1) == 0.1
    assert parse_confidence("Confidence: 4", scale=5) == 0.8
    assert parse_confidence("Confidence: 85", scale=1) is None


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), "ten"])
def test_a_scale_that_cannot_be_is_named(scale):
    """A scale without room is an ValueError, whatever the text."""
    with pytest.raises(ValueError, match="scale"):
        parse_confidence("", scale)


@pytest.mark.parametrize(
    "tally",
    [pytest.param(t, id=t["id"]) for t in TALLIES if t["method"] == "highest_confidence"],
)
def test_the_most_confident_votes_are_the_same_in_any_notation(tally):
    """The label with the largest confidence leads, and ties stay ties between notations."""
    found = defaultdict(set)
    for place, (label, stated) in enumerate(tally["votes"]):
        per_cent = round(100 * stated)
        notations = [f"{per_cent}%", f"{per_cent}", f"{per_cent / 10}/10"]
        found[parse_confidence(f"Confidence: {notations[place % 3]}")].add(label)
    assert sorted(found[max(found)]) == tally.get("tie", [tally["expect"]])


@given(st.integers(0, 1000))
def test_every_notation_gives_the_same_float(per_mille):
    """A share read from a percentage, a fraction and a decimal is one number, never two."""
    share = float(Fraction(per_mille, 1000))
    for text, scale in [
        (f"{per_mille / 10}%", 1),
        (f"{per_mille}/1000", 100),
        (f"{per_mille / 1000:.3f}", 1),
        # Of 100 a decimal as small as a share is one: nobody is 0.9 % sure.
        (f"{per_mille / 1000:.3f}" if per_mille <= 10 else f"{per_mille / 10}", 100),
    ]:
        assert parse_confidence(f"Confidence: {text}", scale) == share


@given(st.decimals(0, 1, places=3), st.integers(0, 100))
def test_a_decimal_from_0_to_1_is_a_share_and_a_whole_number_is_of_100(share, whole):
    """Beside each other "0.95" and "60" are 95 % and 60 %; "1" is one per cent, "1.0" is all."""
    assert parse_confidence(f"CONFIDENCE: {share:.3f}") == float(share)
    assert parse_confidence(f"CONFIDENCE: {whole}") == whole / 100
    assert parse_confidence(f"CONFIDENCE: {share:.3f}%") == float(Fraction(share) / 100)
    assert parse_confidence(f"CONFIDENCE: {share:.3f}", 10) == float(Fraction(share) / 10)


@given(st.text() | likely_texts)
def test_no_text_raises(text):
    """Any text gives None or a number from 0 to 1."""
    for given_text in (text, f"Confidence: {text}"):
        found = parse_confidence(given_text)
        assert found is None or 0 <= found <= 1


@pytest.mark.parametrize(
    "piece",
    [
        "confidence: ",
        "confidence",
        "confidence (",
        "confidence: 1 of ",
        "confidence:\n",
        "confidence: 1/1",
        "<think>confidence: 1</think>",
        "1",
        " ",
        "(",
        "*",
    ],
)
def test_a_huge_text_is_read_in_linear_time(piece):
    """Eight times the text takes about eight times as long, not sixty-four."""

    def read(length):
        parse_confidence("confidence:" + piece * (length // len(piece)))

    assert_in_proportion(read, 300_000)
