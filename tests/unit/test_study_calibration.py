"""Studies of shares: which answers agreed votes and stated probabilities tell to be right."""

from __future__ import annotations

import asyncio
import json
from fractions import Fraction
from typing import Any

import pytest
from fakes import Act, Fake, run_context
from virtual_time import run_virtual

from parallm_magics import OptionError, StudyRun, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Task, Usage
from parallm_magics.study.learned_panels import halves
from parallm_magics.study.outcomes import rules_of
from parallm_magics.study.run_study import StudyPattern
from parallm_magics.voting import brier_score, sure_share, wilson

BODY = "Which is it?\n\n{{item.text}}"


def items(count: int) -> list[dict[str, Any]]:
    """Items of two labels in turn."""
    return [{"text": str(at), "label": "AB"[at % 2]} for at in range(count)]


def studied(line: str, act: Act, count: int, body: str = BODY) -> StudyRun:
    """A study over a fake provider on the virtual clock."""
    plan = make_plan(
        parse("vote", f"--each items --truth label --choices A,B {line}", body),
        {"items": items(count)},
        lambda text: Model(*text.split(":", 1)) if ":" in text else Model("fake", text),
        {"model": ("m",)},
    )
    rules_of(plan)
    return run_virtual(StudyPattern.run(plan, run_context(Fake(act)))).result


def words(run: StudyRun) -> str:
    """The report without its line ends."""
    return " ".join(str(run).split())


def at(task: Task) -> tuple[int, str, str]:
    """The place of an item from 0, its true label and the other one."""
    place = int(task.name.partition(".")[0]) - 1
    return place, "AB"[place % 2], "BA"[place % 2]


def states(probability_of: Any, is_right: Any) -> Act:
    """A model that states a probability for each item, and is right on some."""

    def act(task: Task, heard: Heard) -> Any:
        async def said() -> Reply:
            place, true, other = at(task)
            share = probability_of(place)
            label, rest = (true, other) if is_right(place) else (other, true)
            return Reply(
                f"ANSWER: {label}",
                usage=Usage(10, 0, 0, 1),
                probabilities={label: share, rest: 1 - share},
            )

        return said()

    return act


def votes(fell: Any) -> Act:
    """Voters of whom so many say the true label, by the item's place."""

    def act(task: Task, heard: Heard) -> Any:
        async def said() -> Reply:
            place, true, other = at(task)
            voter = int(task.name.rpartition(".v")[2] or 1)
            return Reply(f"ANSWER: {true if voter <= fell(place) else other}")

        return said()

    return act


def test_agreed_shares_are_held_against_what_is_right() -> None:
    """Five votes: 3, 4 or 5 of them agree; a bin each, the Brier score over both labels."""
    right = [5, 5, 5, 4, 4, 1, 3, 3, 2, 2]
    run = studied("-n 5", votes(lambda place: right[place % 10]), 60)
    found = run.calibration["vote"]
    assert list(run.calibration) == ["vote"]
    assert (found.kind, found.items, found.without, found.right) == ("agreed", 60, 0, 42)
    told = [(each.low, each.high, each.right, each.items) for each in found.bins]
    assert told == [(0.6, 0.6, 12, 24), (0.8, 0.8, 12, 18), (1.0, 1.0, 18, 18)]
    assert found.bins[0].interval == wilson(12, 24)
    shares = [{"a": each / 5, "b": 1 - each / 5} for each in right]
    assert found.brier == pytest.approx(brier_score(shares, ["a"] * 10))
    low, high = found.brier_interval
    assert low < found.brier < high
    assert found.stated == pytest.approx((24 * 0.6 + 18 * 0.8 + 18) / 60)
    assert found.log_score is not None


def test_a_share_of_none_leaves_the_log_score_out() -> None:
    """All voters were wrong on an item: -ln 0 is no number that JSON holds."""
    run = studied("-n 3", votes(lambda place: 0 if place == 4 else 3), 30)
    assert run.calibration["vote"].log_score is None
    json.dumps(run.to_dict()["calibration"], allow_nan=False)


def test_stated_probabilities_are_those_of_the_model() -> None:
    """A single call that states them: its share is that of its answer, not the agreement of one vote."""
    act = states(lambda place: 0.6 if place % 4 else 0.9, lambda place: place % 3 > 0)
    run = studied("-n 1", act, 60)
    found = run.calibration["vote"]
    assert (found.kind, found.items, found.right) == ("stated", 60, 40)
    assert [each.stated for each in found.bins] == [pytest.approx(0.6), pytest.approx(0.9)]
    loss = {True: {0.6: 0.32, 0.9: 0.02}, False: {0.6: 0.72, 0.9: 1.62}}
    losses = [loss[place % 3 > 0][0.6 if place % 4 else 0.9] for place in range(60)]
    assert found.brier == pytest.approx(sum(losses) / 60)


def leans(to_a: float, to_b: float) -> Act:
    """A model that always says A: with one probability where it is true, with another where B is."""

    def act(task: Task, heard: Heard) -> Any:
        async def said() -> Reply:
            share = to_a if at(task)[1] == "A" else to_b
            return Reply("ANSWER: A", probabilities={"A": share, "B": 1 - share})

        return said()

    return act


def test_a_threshold_removes_a_bias_that_a_vote_copies() -> None:
    """Half of the items are right by the label it always says, all by the probability from which on it counts."""
    run = studied("-n 3", leans(0.9, 0.7), 60)
    found = run.learned_threshold
    assert found is not None
    assert run.measures["vote"].right == run.measures["single"].right == 30
    assert (found.items, found.share, found.label, found.other) == (
        30,
        pytest.approx(0.8),
        "A",
        "B",
    )
    assert (found.tested.items, found.tested.right, found.tested.losses) == (30, 30, 0)
    assert "Best is A from 80.0 % on, else B. On the other 30, against a single call" in words(run)


def test_a_label_without_a_probability_has_none() -> None:
    """A provider of one's own may tell only those that it saw."""

    def act(task: Task, heard: Heard) -> Any:
        async def said() -> Reply:
            return Reply("ANSWER: A", probabilities={at(task)[1]: 1.0})

        return said()

    found = studied("-n 1", act, 60).learned_threshold
    assert found is not None
    assert (found.share, found.tested.right) == (0.5, 30)


def test_a_threshold_is_tested_on_the_other_half() -> None:
    """Probabilities that tell the truth of the items it is chosen on, and of no others, are found out."""
    learn = {*halves(60)[0]}

    def act(task: Task, heard: Heard) -> Any:
        place = at(task)[0]
        return leans(0.9, 0.7)(task, heard) if place in learn else leans(0.7, 0.7)(task, heard)

    found = studied("-n 1", act, 60).learned_threshold
    assert found is not None
    assert found.tested.right == sum(at % 2 for at in range(60) if at not in learn)


@pytest.mark.parametrize(
    ("act", "count"),
    [
        pytest.param(votes(lambda place: 2), 60, id="no probabilities"),
        pytest.param(leans(0.9, 0.7), 18, id="too few items"),
    ],
)
def test_without_enough_probabilities_there_is_no_threshold(act: Act, count: int) -> None:
    """Votes have thresholds of their own: see `learned_panel`."""
    run = studied("-n 3", act, count)
    assert run.learned_threshold is None
    assert "every probability" not in words(run)


def test_every_system_with_shares_has_an_entry() -> None:
    """The vote by agreement, single calls and other models by what they state; early stops by none."""
    act = states(lambda place: 0.8, lambda place: place % 5 > 0)
    run = studied("-n 3 --compare big,stop=clinch", act, 20)
    kinds = {name: found.kind for name, found in run.calibration.items()}
    assert kinds == {"single": "stated", "vote": "agreed", "big": "stated"}


def test_rules_that_compute_have_no_shares() -> None:
    """A median is nobody's vote; a single call that states nothing has none either."""
    run = asyncio.run(
        vote(
            "How many?\n\n{{item.text}}",
            each=[{"text": "t", "label": 3}] * 20,
            truth="label",
            number=True,
            n=3,
            pick="median",
            model="sim:?scale=0",
        )
    )
    assert isinstance(run, StudyRun)
    assert run.calibration == {}
    assert "Do the shares tell" not in words(run)
    assert "calibration" not in run.to_pandas().columns
    assert run.to_dict()["calibration"] == []
    assert len(run.to_pandas("reliability")) == 0


def test_items_without_an_answer_have_no_share() -> None:
    """A tie has shares of labels, and so a loss, but no answer whose share could be met."""
    run = studied("-n 2", votes(lambda place: 1 if place < 5 else 2), 30)
    found = run.calibration["vote"]
    assert (found.items, found.without, found.right) == (25, 5, 25)
    assert found.brier == pytest.approx(5 * 0.5 / 30)
    assert "5 items without an answer left out" in words(run)


# --- --sure ---------------------------------------------------------------------------------------


def sure_study(line: str = "-n 1 --sure 80%", count: int = 200) -> StudyRun:
    """Half of the items are stated to be sure and are right, the others are right every other time."""
    act = states(
        lambda place: 0.95 if place % 4 < 2 else 0.6, lambda place: place % 4 < 2 or place % 8 > 5
    )
    return studied(line, act, count)


def test_the_share_is_chosen_on_one_half_and_tested_on_the_other() -> None:
    """By lot, as everything that is learnt; what the other half says is what is told."""
    run = sure_study()
    sure = run.sure
    assert sure is not None
    learn, test = halves(200, 0)
    shares = [0.95 if place % 4 < 2 else 0.6 for place in range(200)]
    rights = [place % 4 < 2 or place % 8 > 5 for place in range(200)]
    chosen = sure_share([shares[at] for at in learn], [rights[at] for at in learn], 0.8)
    assert sure.share == chosen == 0.95
    answered = [at for at in test if shares[at] >= 0.95]
    assert (sure.chosen_on, sure.items) == (100, 100)
    assert (sure.answered, sure.right, sure.accuracy) == (len(answered), len(answered), 1.0)
    assert sure.interval == wilson(len(answered), len(answered))
    assert f"answers {len(answered)} of the other 100 at 100 % (95 % interval" in words(run)


def test_below_the_share_the_answer_is_none() -> None:
    """For every item, whichever half it is in; what was measured is as it was."""
    run, plain = sure_study(), sure_study("-n 1")
    assert [key for key, answer in run.items() if answer is None] == [
        str(place + 1) for place in range(200) if place % 4 > 1
    ]
    assert None not in plain.values()
    assert run.measures == plain.measures
    assert plain.sure is None


def test_without_a_share_nothing_is_sure() -> None:
    """Too few items: no answer is given, and the page says how many would be enough."""
    run = sure_study("-n 1 --sure 95%", 40)
    assert run.sure is not None
    assert (run.sure.share, run.sure.answered, run.sure.fewest) == (None, 0, 59)
    assert set(run.values()) == {None}
    assert (
        "one half of the items must have at least 59 answers, all right, and it has 20 items. "
        "That takes 118 labelled items or more." in words(run)
    )


def test_enough_items_without_a_share_are_not_called_too_few() -> None:
    """Where answers with any share are wrong too often, more items alone do not help."""
    always = states(lambda number: 0.9, lambda number: number % 4 > 1)
    run = studied("-n 1 --sure 95%", always, 200)
    assert run.sure is not None
    assert run.sure.share is None
    said = "in the 100 items of one half, no share shows that answers are right 95 % of the time"
    assert said in words(run)
    assert "labelled items or more" not in words(run)


def test_a_flag_below_the_share_is_unchecked() -> None:
    """An answer that is not sure neither flags nor clears."""
    run = sure_study("-n 1 --sure 80% --flag A")
    assert len(run.unchecked) == 100
    assert len(run.flagged) == 50
    assert run.clean is False


def test_one_vote_without_a_probability_is_never_sure() -> None:
    """It agrees with itself, which says nothing; the page says what would."""
    run = studied("-n 1 --sure 80%", votes(lambda place: 1), 40)
    assert set(run.values()) == {None}
    assert "one vote only agrees with itself: raise -n, or use a model that states" in words(run)


def test_a_rule_without_shares_cannot_be_sure() -> None:
    """Told before any call."""
    with pytest.raises(OptionError, match="--sure needs the votes for a label; use --pick plural"):
        asyncio.run(
            vote(
                BODY,
                each=items(9),
                truth=[1] * 9,
                number=True,
                n=3,
                pick="mean",
                sure="90%",
                model="sim",
            )
        )


def test_sure_reads_shares_as_people_write_them() -> None:
    """In a script as in a cell."""
    for given in ("80%", "0.8", 0.8, Fraction(4, 5), "4/5"):
        run = asyncio.run(
            vote(
                BODY,
                each=items(10),
                truth="label",
                choices="A,B",
                n=3,
                model="sim:?scale=0",
                sure=given,
            )
        )
        assert isinstance(run, StudyRun)
        assert run.sure is not None
        assert run.sure.asked == 0.8


# --- as other code takes it -----------------------------------------------------------------------


def test_frames_have_a_row_a_system_and_a_row_a_bin() -> None:
    """With everything that the dataclasses hold."""
    run = sure_study("-n 3 --sure 80% --compare big")
    found = run.to_pandas("calibration")
    assert list(found["system"]) == ["single", "vote", "big"]
    assert found.loc[1, "sure_answered"] == run.calibration["vote"].sure.answered
    bins = run.to_pandas("reliability")
    assert len(bins) == sum(len(each.bins) for each in run.calibration.values())
    assert set(bins["system"]) == {"single", "vote", "big"}
    assert "sure_share" not in sure_study("-n 3").to_pandas("calibration").columns


def test_simulated_probabilities_are_met() -> None:
    """A decision model of the simulation whose sharpness is 1 is right as often as it states."""
    run = asyncio.run(
        vote(
            BODY,
            each=items(600),
            truth="label",
            choices="A,B",
            n=3,
            model="sim:?accuracy=0.8&scale=0",
            compare="sim:decide?accuracy=0.85&sharpness=1&scale=0",
        )
    )
    assert isinstance(run, StudyRun)
    found = run.calibration["sim:decide"]
    assert found.kind == "stated"
    assert sum(each.met for each in found.bins) >= len(found.bins) - 2
    assert abs(found.stated - found.right / found.items) < 0.04
