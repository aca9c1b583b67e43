"""The numbers of the exam are right: each is found again in another way."""

from __future__ import annotations

import random
import re
from itertools import product
from statistics import mean

import exam
import pytest
from make import ROOT

NUMBERS = exam.numbers()


def share_of_votes(n: int, p: float, least: float) -> float:
    """The chance that at least so many of n are right, over every possible panel; half at an exact tie."""
    total = 0.0
    for votes in product((True, False), repeat=n):
        chance = 1.0
        for right in votes:
            chance *= p if right else 1 - p
        total += chance * (1 if sum(votes) > least else 0.5 if sum(votes) == least else 0)
    return total


def told(name: str) -> float:
    """A number as the page tells it; of a percentage, the share."""
    value = str(NUMBERS[name])
    return float(value.removesuffix(" %")) / (100 if "%" in value else 1)


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("good", share_of_votes(5, 0.7, 2.5)),
        ("bad", share_of_votes(5, 0.45, 2.5)),
        ("four", share_of_votes(4, 0.6, 2)),
        ("three", share_of_votes(3, 0.6, 1.5)),
        ("alone", share_of_votes(5, 0.8, 2.5)),
        *[(f"bad{k}", share_of_votes(5, 0.6, k - 0.5)) for k in (3, 4, 5)],
        *[(f"good{k}", share_of_votes(5, 0.9, k - 0.5)) for k in (3, 4, 5)],
        ("coin", mean(max(sum(t), 5 - sum(t)) / 5 for t in product((0, 1), repeat=5))),
        ("tie", mean(sum(v) == 2 for v in product((1, 1, 1, 0, 0), repeat=4))),
        ("many", 2.5),
        ("missed", 0.008),
        ("alarmed", 0.142625),
        ("plain", 5 * (2100 * 1e-6 + 100 * 5e-6)),
        ("warm", 2000 * 1.25e-6 + 4 * 2000 * 0.1e-6 + 5 * (100 * 1e-6 + 100 * 5e-6)),
        ("changed", mean(abs(sum(t) - 6) >= 3 for t in product((0, 1), repeat=12))),
    ],
)
def test_a_number_is_found_again_by_counting(name: str, again: float) -> None:
    """Over all possible panels, throws or changes."""
    assert told(name) == pytest.approx(again, abs=0.006 if name == "many" else 0.0006)


def test_numbers_are_found_again_by_simulation() -> None:
    """Within four standard errors."""
    draw = random.Random(22)
    trials = 20_000
    assert mean(max(draw.expovariate(1) for _ in range(5)) for _ in range(trials)) == pytest.approx(
        told("longest"), abs=0.04
    )
    assert mean(max(draw.gauss() for _ in range(10)) for _ in range(trials)) == pytest.approx(
        told("curse"), abs=0.02
    )
    assert mean(arrivals(draw) for _ in range(trials)) == pytest.approx(told("arrivals"), abs=0.03)
    assert mean(shared(draw) for _ in range(trials)) == pytest.approx(told("shared"), abs=0.012)


def arrivals(draw: random.Random) -> int:
    """How many of five votes arrive until one label has three."""
    votes = [draw.random() < 0.8 for _ in range(5)]
    return next(n for n in (3, 4, 5) if max(sum(votes[:n]), n - sum(votes[:n])) >= 3)


def shared(draw: random.Random) -> bool:
    """Whether three of five are right on an item whose chance is drawn, with correlation 0.4."""
    chance = draw.betavariate(0.8 * (1 / 0.4 - 1), 0.2 * (1 / 0.4 - 1))
    return sum(draw.random() < chance for _ in range(5)) >= 3


def test_every_number_is_used_and_every_question_has_a_solution() -> None:
    """At least twelve questions, numbered, with points."""
    source = exam.QUESTIONS.read_text("utf-8")
    assert set(re.findall(r"\{(\w+)", source)) == NUMBERS.keys()
    heads = re.findall(r"^### (\d+)\. .+ \(\d points\)$", source, re.MULTILINE)
    assert [int(head) for head in heads] == list(range(1, len(heads) + 1))
    assert source.count("<summary>Solution</summary>") == len(heads) >= 12


def test_a_sheet_has_questions_without_solutions() -> None:
    """Those that are chosen, numbered anew."""
    sheet = exam.sheet([9, 3])
    assert re.findall(r"^### .*", sheet, re.MULTILINE) == [
        "### 1. A biased guard (4 points)",
        "### 2. Better together, worse together (3 points)",
    ]
    assert "Solution" not in exam.sheet()
    assert "{" not in exam.sheet()
    assert exam.sheet().count("### ") == exam.text().count("### ")
    with pytest.raises(SystemExit, match="no question 99: there are"):
        exam.sheet([99])


def test_the_page_has_them() -> None:
    """`docs/generated.py` wrote them."""
    page = (ROOT / "docs" / "lecturers.md").read_text("utf-8")
    assert exam.text() in page
    named = re.findall(r"questions? (\d+)(?: and (\d+))?", page)
    assert {int(each) for pair in named for each in pair if each} <= set(range(1, 20))


def test_what_is_no_number_gets_one_line() -> None:
    """Instead of a traceback."""
    with pytest.raises(SystemExit, match="no question x: give their numbers"):
        exam.main(["x"])
