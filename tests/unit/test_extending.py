"""What a user or a package adds works wherever our own entries do; each example of the page is run."""

from __future__ import annotations

import asyncio
import importlib
import linecache
import re
import sys
import types
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from fakes import previewed
from paths import PACKAGE

from parallm_magics import OptionError, StudyRun, VoteRun, fanout, vote
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.api import plan_cell
from parallm_magics.cell.help import help_of
from parallm_magics.cell.suggestions import suggest
from parallm_magics.core import entry_table
from parallm_magics.export.program import program
from parallm_magics.voting import (
    Decision,
    PickRule,
    ReadingKind,
    Terms,
    Vote,
    counting_rule,
    number_rule,
    register_reading,
    register_rule,
)
from parallm_magics.voting.pick_rules import PICKS
from parallm_magics.voting.ties import break_tie

PAGE = (PACKAGE.parent / "docs" / "extending.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NUMBER_RULE = next(block for block in BLOCKS if "number_rule(" in block)
RANK_RULE = next(block for block in BLOCKS if "register_reading(" in block)
SIM: dict[str, Any] = {"model": "sim:?scale=0", "seed": 3}
TEA = ("tea", "coffee", "water")


@pytest.fixture(autouse=True)
def _only_for_a_test() -> Iterator[None]:
    """What a test adds is gone after it."""
    kinds, rules = dict(KINDS), dict(PICKS._entries)
    yield
    KINDS.clear()
    KINDS.update(kinds)
    PICKS._entries.clear()
    PICKS._entries.update(rules)
    sys.modules.pop("example", None)


def run(block: str) -> dict[str, Any]:
    """What an example of the page defines, in a module without a file, as a notebook is."""
    module = sys.modules.setdefault("example", types.ModuleType("example"))
    file = f"<cell {len(linecache.cache)}>"
    linecache.cache[file] = (len(block), None, block.splitlines(keepends=True), file)
    exec(compile(block, file, "exec"), vars(module))  # noqa: S102 - this repository's page
    return vars(module)


def held(text: str = "Which one?", **options: Any) -> VoteRun:
    """A simulated vote."""
    found = asyncio.run(vote(text, **{**SIM, **options}))
    assert isinstance(found, VoteRun)
    return found


def result_of_program(line: str, answers: dict[str, str]) -> str:
    """What the program of a vote makes of these answers, without this package and without a provider."""
    text = program(plan_cell("vote", f"-m sim {line}", "Which one?", {}))
    names: dict[str, Any] = {"AsyncAnthropic": lambda **_: None, "__name__": "program"}
    text = text.rpartition("asyncio.run(main())")[0].replace("from anthropic", "# from anthropic")
    assert "import parallm" not in text
    assert "from parallm" not in text
    sys.modules["program"] = types.ModuleType("program")
    exec(compile(text, "program", "exec"), names)  # noqa: S102 - what we have written ourselves
    return str(names["result"](answers))


def failing(votes: Any, terms: Terms) -> Decision:
    """A rule with an error in it."""
    raise ZeroDivisionError("division by zero")


# --- the page ------------------------------------------------------------------------------------


def test_the_examples_are_as_short_as_promised() -> None:
    """A rule over numbers is one place and at most 15 lines; one over ranks two and at most 40."""
    lines = [len([*filter(str.strip, block.splitlines())]) for block in (NUMBER_RULE, RANK_RULE)]
    assert lines[0] <= 15
    assert lines[1] <= 40
    assert NUMBER_RULE.count("register_") == 2  # its import, and its one call
    assert RANK_RULE.count("register_") == 4


def test_a_rule_over_numbers_works_everywhere() -> None:
    """On the line, in help and completion, in a dry run, in the report, on sections, in a study."""
    run(NUMBER_RULE)
    found = held(
        "How clear?", pick="trimmed", score="1..10", n=5, model="sim:?scale=0&accuracy=0.4"
    )
    numbers = sorted(Fraction(repr(r.value)) for r in found.results if r.value is not None)
    assert found.winner == pytest.approx(float(sum(numbers[1:-1]) / 3))
    assert found.status == "decided"
    assert found.confidence is None
    assert "the trimmed of 5 votes" in str(found)
    assert "trimmed" in help_of("vote", "--")
    suggested = suggest("%%vote --pick tri", {}, ())
    assert suggested is not None
    assert suggested.texts == ("trimmed",)
    plan = plan_cell("vote", "-m sim --score 1..10 --pick trimmed -n 3 --dry-run", "How clear?", {})
    assert previewed(plan).calls == 3
    with pytest.raises(OptionError, match=r"--pick trimmed works on numbers: add"):
        held(pick="trimmed", choices=TEA)
    with pytest.raises(OptionError, match=r"--stop clinch cannot be used with --pick trimmed"):
        held(pick="trimmed", score="1..10", stop="clinch")
    cell = "%section a -n 3 --score 1..10 --pick trimmed\nHow clear?"
    assert asyncio.run(fanout(cell, **SIM))["a"] is not None
    study = held_on_items("How clear is {{item}}?", pick="trimmed", score="1..10")
    assert study.measures["vote"].unanswered == 0


def held_on_items(text: str, **options: Any) -> StudyRun:
    """A study of two items whose truth is 5, or tea."""
    truth = ["tea"] * 2 if "choices" in options else [5, 5]
    found = asyncio.run(vote(text, n=3, each=["x", "y"], truth=truth, **{**SIM, **options}))
    assert isinstance(found, StudyRun)
    return found


def test_a_rule_over_ranks_works_everywhere() -> None:
    """The prompt asks for an order, the votes are counted by who comes first, the points decide."""
    run(RANK_RULE)
    found = held(pick="borda", choices=TEA, n=5, model="sim:?scale=0&accuracy=0.3")
    points = dict.fromkeys(TEA, 0)
    for record in found.results:
        for place, label in enumerate(reversed(str(record.value).split(" > "))):
            points[label] += place
    assert found.winner == max(points, key=points.__getitem__)
    assert sum(found.tally.values()) == 5
    assert set(found.tally) <= {*TEA}
    assert "Borda points: tea" in str(found)
    plan = plan_cell("vote", f"-m sim --choices {','.join(TEA)} --pick borda", "Which?", {})
    assert plan.tasks[0].prompt.endswith("ANSWER: <tea > coffee > water, the best first>")
    with pytest.raises(OptionError, match=r"^--pick borda needs --choices to rank$"):
        held(pick="borda")
    study = held_on_items("Which for {{item}}?", pick="borda", choices=TEA)
    assert {*study.values()} <= {*TEA}
    assert study.measures["vote"].labelled == 2


def test_a_program_holds_the_source_of_a_rule() -> None:
    """`%parallm code` needs neither this package nor the notebook in which the rule was written."""
    run(NUMBER_RULE)
    run(RANK_RULE)
    said = {f"v{n}": f"ANSWER: {score}" for n, score in enumerate([1, 4, 5, 6, 10], 1)}
    assert "winner: 5\n" in result_of_program("--pick trimmed --score 1..10 -n 5", said)
    orders = ["tea > coffee > water", "water > coffee > tea.", "coffee > tea > water"]
    said = {f"v{n}": f"ANSWER: {order}" for n, order in enumerate(orders, 1)}
    told = result_of_program(f"--pick borda --choices {','.join(TEA)} -n 3", said)
    assert "winner: coffee\ntally: {'tea': 1, 'water': 1, 'coffee': 1}" in told


def test_a_rule_of_a_module_is_written_out_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that needs this package is in the program by its source; any other is imported.

    What it calls as we call something else has another name there; a name of a function's own stays.
    """
    (tmp_path / "plain_helpers.py").write_text("def halved(number):\n    return number / 2\n")
    (tmp_path / "my_rules.py").write_text(
        "import parallm_magics\nfrom plain_helpers import halved as half\n\n"
        "plurality = Vote = 4\n\n\ndef read(number):\n    return half(number) + plurality\n\n\n"
        "def odd(numbers, Terms=Vote):\n    try:\n        [read(plurality) for plurality in "
        "numbers]\n"
        "        return read(max(numbers)) + Vote / (Terms - 4)\n"
        "    except ZeroDivisionError as computed:\n        return read(max(numbers)) * "
        "bool(computed)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    register_rule(number_rule("odd", "an odd rule", importlib.import_module("my_rules").odd))
    said = {f"v{n}": f"ANSWER: {n}" for n in (1, 2, 3)}
    found = held(pick="odd", score="1..10", model="sim:?scale=0")
    assert found.winner == max(float(record.value or 0) for record in found.results) / 2 + 4
    assert "winner: 5.5\n" in result_of_program("--pick odd --score 1..10 -n 3", said)


def test_a_rule_whose_source_nobody_can_tell_is_not_written_out() -> None:
    """A lambda, or what was defined in a console; the error says the way out."""
    odd = counting_rule("odd", "an odd rule", lambda first, second, base, share: "tie")
    register_rule(odd)
    with pytest.raises(
        OptionError, match=r"^%parallm code: .* a lambda.*define the rule with def$"
    ):
        result_of_program("--pick odd --choices a,b", {})
    names: dict[str, Any] = {"__name__": "example"}
    exec("def lost(numbers):\n    return 0", names)  # noqa: S102
    sys.modules["example"] = types.ModuleType("example")
    register_rule(number_rule("odd", "an odd rule", names["lost"]))
    with pytest.raises(
        OptionError, match=r"^%parallm code: the source of lost cannot be found; move"
    ):
        result_of_program("--pick odd --score 1..10", {})


def test_a_choice_that_nobody_ranks_first_may_win() -> None:
    """The winner needs no vote of its own where the rule looks further."""
    run(RANK_RULE)
    said = ["tea > coffee > water", "water > coffee > tea", "tea > coffee > water"]
    ranked = [Vote(at, text.split(" > ")[0], text) for at, text in enumerate(said)]
    terms = Terms(3, choices=TEA)
    assert PICKS["borda"].decide(ranked, terms).winner == "tea"
    two = [Vote(0, "tea", said[0]), Vote(1, "water", said[1])]
    tie = PICKS["borda"].decide(two, terms)
    assert tie.tied == TEA
    winners = {break_tie(tie, two, "random", seed).winner for seed in range(50)}
    assert winners == {*TEA}
    register_rule(
        PickRule("odd", "an odd rule", lambda votes, terms: Decision("decided", terms.choices[-1]))
    )
    found = held(choices=TEA, pick="odd", model="sim:?scale=0&accuracy=1&truth=tea")
    assert (found.winner, found.confidence, found.text) == ("water", 0.0, "water")
    assert "water" in str(found)


def test_a_counting_rule_can_end_a_vote_early() -> None:
    """What needs the counts alone brings its certainty along."""
    two_more = counting_rule(
        "two_more",
        "two votes more than any other",
        lambda first, second, base, share: "decided" if first > second + 1 else "no_majority",
    )
    register_rule(two_more)
    found = held(choices=TEA, pick="two_more", n=9, stop="clinch", model="sim:?scale=0&accuracy=1")
    assert (found.winner, found.decided_after) == ("tea", 6)


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settle", "why"),
    [
        (failing, "ZeroDivisionError: division by zero"),
        (lambda votes, terms: "tea", "it gave 'tea', which is not a Decision"),
        (lambda votes, terms: Decision("decided", "tea", how=5), "it gave Decision"),  # type: ignore[arg-type]
        (lambda votes, terms: Decision("won"), "'won' is not a status"),  # type: ignore[arg-type]
        (lambda votes, terms: Decision("decided"), "status decided with the winner None"),
        (lambda votes, terms: Decision("decided", "milk"), "'milk' is not a label of any vote"),
        (lambda votes, terms: Decision("tie"), r"the tied labels are not valid: \(\)"),
        (lambda votes, terms: Decision("tie", tied=("tea", [])), "TypeError"),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_fails_loses_nothing(settle: Any, why: str) -> None:
    """The run is kept with every answer, its status says so, and the report why."""
    register_rule(PickRule("odd", "an odd rule", settle, sure=failing))  # type: ignore[arg-type]
    found = held(choices=TEA, pick="odd", n=3, stop="clinch", ties="first")
    assert (found.status, found.winner, found.valid) == ("rule_failed", None, 3)
    assert re.search(f"^the rule 'odd' failed: {why}", found.how)
    assert re.search(rf"no decision.*the rule 'odd' failed: {why}", str(found), re.IGNORECASE)
    assert found.to_dict()["status"] == "rule_failed"
    study = held_on_items("Which for {{item}}?", pick="odd", choices=TEA)
    assert study.measures["vote"].unanswered == 1
    assert re.search(f"the rule 'odd' failed: {why}", str(study))


def test_a_number_that_is_none_is_told() -> None:
    """Not a number, or a text, is no winner."""
    for wrong in (float("nan"), "5"):
        register_rule(number_rule("odd", "odd", lambda numbers, wrong=wrong: wrong))  # type: ignore[misc]
        found = held(score="1..10", pick="odd", n=3)
        assert (
            found.how == f"the rule 'odd' failed: ValueError: it gave {wrong!r}, which is not a "
            f"number"
        )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (failing, "expected a PickRule, got function; number_rule and counting_rule make one"),
        (PickRule("mean", "", failing), "mean is a built-in rule; choose another name"),
        (PickRule("two words", "", failing), "'two words' is not a valid rule name"),
        (PickRule(None, "", failing), "None is not a valid rule name"),  # type: ignore[arg-type]
        (PickRule("odd", "", failing, with_share="x"), "rule odd: with_share names 'x', which"),
        (PickRule("odd", "", failing, reads="ranks"), "rule odd: unknown kind of answers 'ranks'"),
    ],
)
def test_what_can_be_no_rule_is_refused(rule: Any, message: str) -> None:
    """In one line, before anything is asked."""
    with pytest.raises(OptionError, match=message):
        register_rule(rule)


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    """One that was added counts among the known."""
    run(NUMBER_RULE)
    with pytest.raises(
        OptionError, match=r"unknown value 'trimed'.*trimmed.*did you mean 'trimmed'"
    ):
        held(pick="trimed", score="1..10")


def test_a_kind_of_our_own_is_not_replaced() -> None:
    """Nor is anything else taken for a kind."""
    with pytest.raises(OptionError, match="'choice' is a built-in kind"):
        register_reading("choice", ReadingKind(lambda *_: None))
    with pytest.raises(OptionError, match="expected a ReadingKind, got str"):
        register_reading("ranks", "x")  # type: ignore[arg-type]


def test_a_rule_may_be_registered_again() -> None:
    """As a cell of a notebook that is run a second time does."""
    run(NUMBER_RULE)
    run(NUMBER_RULE)
    assert [*PICKS].count("trimmed") == 1
    assert repr(PICKS["trimmed"]) == "<pick rule trimmed: the mean of all but the two ends>"


class Point:
    """An entry point as an installed package declares it."""

    def __init__(self, name: str, entry: Any) -> None:
        self.name, self._entry = name, entry

    def load(self) -> Any:
        """What it names."""
        if isinstance(self._entry, Exception):
            raise self._entry
        return self._entry


def test_installed_packages_add_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an entry point, found when the name is first wanted; a broken one costs no other."""
    points = {
        "parallm_magics.rules": [
            Point("broken", ImportError("no such thing")),
            Point("trimmed", number_rule("trimmed", "trimmed", max)),
        ]
    }
    monkeypatch.setattr(entry_table, "entry_points", lambda group: points[group])
    monkeypatch.setattr(PICKS, "_is_complete", False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert held(pick="trimmed", score="1..10").status == "decided"
    assert [str(each.message) for each in told] == [
        "parallm_magics.rules: broken was skipped: ImportError: no such thing"
    ]
