"""A simulated decision model: a probability for each label, which is true at sharpness 1."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallm_magics import fanout, vote
from parallm_magics.answers.label_probabilities import (
    expected_level,
    labels_of_reading,
    most_probable,
)
from parallm_magics.answers.questions import WHOLE
from parallm_magics.answers.score_levels import levels_of
from parallm_magics.core.tasks import Model, Reading, Task
from parallm_magics.errors import ModelError
from parallm_magics.recordings.codec import Front, entry_of, front_of, line_of, record_of
from parallm_magics.simulation.sim_settings import read_settings
from parallm_magics.simulation.simulated import SimulatedProvider
from parallm_magics.simulation.simulated_decisions import decided

TWO = Reading("choice", ("spam", "ham"))
FOUR = Reading("choice", ("a", "b", "c", "d"))
LEVELS = Reading("score", low=1, high=5)


def do(pattern):
    """The same function, run to its end."""
    return lambda *args, **options: asyncio.run(pattern(*args, variables={}, **options))


def task(query="sharpness=1", prompt="Is it spam?", **fields):
    """A worker's task for a simulated decision model."""
    pairs = tuple(tuple(pair.split("=", 1)) for pair in query.split("&"))
    known = {"index": 0, "name": "v1", "prompt": prompt, "reading": TWO}
    return Task(**{**known, "model": Model("sim", "jev", pairs, decides=True), **fields})


def drawn(query, items, reading):
    """For many items: the stated probability of the answer, and whether it is right."""
    found = []
    for item in range(items):
        asked = task(query, f"item {item}", reading=reading)
        right = "3" if reading.kind == "score" else reading.choices[0]
        _, stated = decided(asked, read_settings(asked.model))
        label = most_probable(stated)
        found.append((stated[label], label == right))
    return found


@pytest.mark.parametrize("reading", [TWO, FOUR, LEVELS])
def test_at_sharpness_1_the_stated_probability_is_the_share_of_right_answers(reading):
    """In every tenth of the stated probabilities, within four standard errors; accuracy is the mean."""
    found = drawn("sharpness=1&accuracy=0.7", 6000, reading)
    assert abs(statistics.fmean(right for _, right in found) - 0.7) < 0.025
    for tenth in range(10):
        inside = [(p, right) for p, right in found if tenth <= p * 10 < tenth + 1]
        if len(inside) < 100:
            continue
        said = statistics.fmean(p for p, _ in inside)
        error = 4 * math.sqrt(said * (1 - said) / len(inside)) + 1e-3
        assert abs(said - statistics.fmean(right for _, right in inside)) < error, tenth


@pytest.mark.parametrize("reading", [TWO, FOUR])
def test_sharpness_changes_what_is_stated_and_never_the_answer(reading):
    """The same answers at any sharpness, each surer than at a lower one; the sum stays 1."""
    for item in range(100):
        says = []
        for sharp in ("0.5", "1", "4"):
            asked = task(f"accuracy=0.7&sharpness={sharp}", f"item {item}", reading=reading)
            says.append(decided(asked, read_settings(asked.model)))
        assert len({label for label, _ in says}) == 1
        tops = [stated[label] for label, stated in says]
        assert tops == sorted(tops)
        assert all(sum(stated.values()) == pytest.approx(1, abs=1e-5) for _, stated in says)


def test_rho_is_the_correlation_of_right_and_wrong():
    """At rho 1 all voters on an item say the same, at rho 0 each says its own."""
    for rho, distinct in (("1", {1}), ("0", {1, 2})):
        seen = set()
        for item in range(40):
            asked = task(f"sharpness=1&accuracy=0.6&rho={rho}", f"item {item}")
            settings = read_settings(asked.model)
            labels = {decided(replace(asked, sample=n), settings)[0] for n in range(5)}
            seen.add(len(labels))
        assert seen == distinct


@pytest.mark.parametrize(
    ("length", "levels"),
    [
        (2, 3),
        (9, 10),
        (10, 6),
        (12, 7),
        (16, 9),
        (27, 10),
        (28, 8),
        (100, 6),
        (11, 6),
        (1, 6),
        (0.5, 6),
    ],
)
def test_levels_are_whole_numbers_wherever_ten_of_them_can_divide_the_range(length, levels):
    """The finest steps of whole numbers that ten levels can take; where none divides it, five steps."""
    assert len(levels_of(Reading("score", low=1, high=1 + length))) == levels


@given(
    st.integers(-100, 100), st.integers(1, 300), st.lists(st.floats(0, 1), min_size=2, max_size=300)
)
def test_levels_are_evenly_spaced_and_their_mean_stays_in_the_range(low, length, weights):
    """At most ten of them; from the low end to the high one."""
    reading = Reading("score", low=low, high=low + length)
    levels = levels_of(reading)
    assert levels[0] == low
    assert levels[-1] == low + length
    steps = [b - a for a, b in itertools.pairwise(levels)]
    assert max(steps) - min(steps) < 1e-9
    assert len(levels) <= 10
    shares = dict(zip(labels_of_reading(reading), [*weights, *[0.0] * 26], strict=False))
    if sum(shares.values()) > 0:
        assert low - 1e-6 <= expected_level(shares) <= low + length + 1e-6


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"reading": None}, "answers only --choices and --score"),
        ({"reading": Reading("number")}, "answers only --choices and --score"),
        ({"reading": Reading("open")}, "answers only --choices and --score"),
        ({"reading": Reading("choice", ("one",))}, "at least 2 choices"),
        ({"reading": Reading("choice", ("a", " "))}, "no empty choice"),
        ({"reading": Reading("choice", ("a", "a"))}, "each choice only once"),
        (
            {"reading": Reading("choice", tuple(f"c{n}" for n in range(256)))},
            "at most 255 choices, not 256",
        ),
        ({"role": "judge"}, "writes no text"),
        ({"system": "Be kind."}, "takes no system prompt"),
    ],
)
def test_what_it_cannot_answer_is_refused_before_any_call(fields, why):
    """In one line that names the way out."""
    with pytest.raises(ModelError, match=why):
        SimulatedProvider().check(task(**fields))


@pytest.mark.parametrize("query", ["sharpness=0", "sharpness=-1", "sharpness=x"])
def test_a_sharpness_that_is_none_is_refused(query):
    """It must be a number above 0."""
    with pytest.raises(ModelError, match="above 0"):
        SimulatedProvider().check(task(query))


def test_an_accuracy_that_no_calibrated_model_can_have_is_refused():
    """Who guesses is right more often."""
    with pytest.raises(ModelError, match=r"accuracy must be above 0\.5"):
        SimulatedProvider().check(task("sharpness=1&accuracy=0.5"))


def test_probabilities_stand_in_records_dicts_and_frames():
    """In columns of their own, and only where there are any."""
    run = do(vote)("Is it spam?", model="sim:jev?scale=0&sharpness=1", n=3, choices="spam,ham")
    for record in run.results:
        assert record.probabilities is not None
        assert record.value == most_probable(record.probabilities)
        assert record.to_dict()["probabilities"] == record.probabilities
    frame = run.to_pandas()
    assert list(frame.columns[-2:]) == ["p_spam", "p_ham"]
    plain = do(vote)("Is it spam?", model="sim", n=3, choices="spam,ham")
    assert "probabilities" not in plain.results[0].to_dict()
    assert not [name for name in plain.to_pandas() if name.startswith("p_")]


def test_a_score_is_the_expected_level_in_the_range_that_was_asked_for():
    """The mean of the levels by their probabilities."""
    cell = (
        "Text.\n\n%section tone --score 1..5\nHow kind?\n\n%section share --score 0..1\nHow much?"
    )
    run = do(fanout)(cell, model="sim:jev?scale=0&sharpness=1&accuracy=0.6")
    for record in run.results:
        assert record.value == pytest.approx(expected_level(record.probabilities), abs=1e-6)
    assert list(run.results[0].probabilities) == ["1", "2", "3", "4", "5"]
    assert 1 <= run["tone"] <= 5
    assert 0 <= run["share"] <= 1


def test_a_recording_keeps_the_probabilities():
    """Written as a line and read again."""
    run = do(vote)("Is it spam?", model="sim:jev?scale=0&sharpness=1", n=1, choices="spam,ham")
    [record] = run.results
    asked, front = task(), Front("0" * 32, 0, "ok")
    line = line_of(entry_of(asked, record, front, {}))
    assert front_of(line) == front
    found = record_of(line, asked, front)
    assert found is not None
    assert found.probabilities == record.probabilities


def test_a_label_that_reads_like_a_refusal_is_a_vote_all_the_same():
    """There are no words to read anything else from."""
    run = do(vote)("Which?", model="sim:jev?scale=0&sharpness=1&truth=N/A", n=3, choices="N/A,none")
    assert {ballot.state for ballot in run.ballots} == {"valid"}


def test_the_prompt_of_a_decision_model_asks_for_no_form():
    """Its answer needs none."""
    run = do(vote)("Is it?", model="sim:jev?scale=0&sharpness=1", n=1, choices="spam,ham")
    read = f"Is it?{WHOLE}spamham"
    assert run.usage is not None
    assert run.usage.input_tokens == math.ceil(len(read) / 4)


SURE = "sim:{name}?truth=ham&accuracy=1&sharpness=1&scale=0&latency={seconds}"
FIVE = "\n".join(["Is it spam?", *(f"%voter v{n}\nReason {n}." for n in range(5))])


def test_votes_of_one_request_are_all_counted():
    """They came together: the first three decide, and nothing of the other two was stopped."""
    run = do(vote)(FIVE, choices="spam,ham", model=SURE.format(name="a", seconds=1), stop="clinch")
    assert [ballot.state for ballot in run.ballots] == ["valid"] * 5
    assert (run.winner, run.decided_after, run.tally["ham"]) == ("ham", None, 5)
    assert "cancelled" not in str(run)


def test_a_request_that_has_not_come_is_stopped_whole():
    """The first request decides with all of its votes; the second would have come later."""
    slow = SURE.format(name="b", seconds=2)
    text = "\n".join(
        ["Is it spam?"]
        + [f"%voter v{n}\nReason {n}." for n in range(5)]
        + [f'%voter w{n} -m "{slow}"\nReason {n}.' for n in range(2)]
    )
    first = SURE.format(name="a", seconds=1)
    run = do(vote)(text, choices="spam,ham", model=first, stop="clinch", quorum=1)
    assert [b.state for b in run.ballots] == ["valid"] * 5 + ["cancelled"] * 2
    assert (run.winner, run.decided_after, run.seconds) == ("ham", 5, 1.0)
