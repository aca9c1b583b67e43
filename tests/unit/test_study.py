"""Studies: one vote an item through the same engine, and every system measured on the same items."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fakes import Act, Fake, FakeClients, run_context
from live_views import live_html
from virtual_time import run_virtual

from parallm_magics import (
    BudgetExceeded,
    CellSyntaxError,
    GuardrailBlocked,
    OptionError,
    RecordingMissing,
    StudyRun,
    TooFewSucceeded,
    VoteRun,
    vote,
)
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, Model, Task, Usage
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.errors import ParallmError
from parallm_magics.providers import bill
from parallm_magics.recordings.modes import Mode
from parallm_magics.recordings.store import Recordings
from parallm_magics.study.learned_panels import halves
from parallm_magics.study.outcomes import rules_of
from parallm_magics.study.run_study import StudyPattern
from parallm_magics.voting import error_diagnostics, mcnemar_exact, wilson

# What each voter says of each item; the truth is A, A, B, B, and nobody knows of the last.
SAID = {
    "1": "AAAAA",
    "2": "AABAB",
    "3": "AAAAA",
    "4": "BBB?X",
    "5": "ABABA",
}
TRUTH = ["A", "A", "B", "B", None]
ITEMS = [{"text": f"text {key}", "label": label} for key, label in zip(SAID, TRUTH, strict=True)]
LINE = "-n 5 --each items --truth label --choices A,B"
BODY = "Which is it?\n\n{{item.text}}"


def planned(line: str = LINE, body: str = BODY, **variables: Any) -> Plan:
    """The plan of a study whose models are fakes."""
    cell = parse("vote", line, body)
    plan = make_plan(
        cell,
        {
            "items": ITEMS,
            "pairs": [("t", "A"), ("u", "B")],
            "keyed": [{0: "t", 1: "A"}, {0: "u", 1: "B"}],
            **variables,
        },
        lambda text: Model(*text.split(":", 1)) if ":" in text else Model("fake", text),
        {"model": ("m",)},
    )
    rules_of(plan)
    return plan


def says(task: Task, heard: Heard) -> Any:
    """As SAID; `?` cannot be read, `X` is a failure; voter n takes n seconds."""

    async def said() -> Reply:
        item, _, name = task.name.partition(".")
        if name and not name.startswith("v"):
            await asyncio.sleep(0.5)
            return Reply(f"ANSWER: {'AABBA'[int(item) - 1]}", usage=Usage(100, 0, 0, 10))
        voter = int(name.removeprefix("v") or 1)
        await asyncio.sleep(voter)
        letter = SAID[item][voter - 1]
        if letter == "X":
            raise CallFailed(Fault("auth", "no"))
        return Reply(
            "who knows" if letter == "?" else f"ANSWER: {letter}", usage=Usage(100, 0, 0, 10)
        )

    return said()


def studied(line: str = LINE, body: str = BODY, act: Act = says, **around: Any) -> StudyRun:
    """A study over a fake provider on the virtual clock."""
    return run_virtual(
        StudyPattern.run(planned(line, body), run_context(Fake(act), **around))
    ).result


# --- what is measured -----------------------------------------------------------------------------


def test_each_item_has_its_vote() -> None:
    """A mapping of item number to winner, one record a call, votes by every state."""
    run = studied()
    assert dict(run) == {"1": "A", "2": "A", "3": "A", "4": "B", "5": "A"}
    assert [record.name for record in run.results[:6]] == [
        "1.v1",
        "1.v2",
        "1.v3",
        "1.v4",
        "1.v5",
        "2.v1",
    ]
    assert [ballot.state for ballot in run.measured[3].ballots] == ["valid"] * 3 + [
        "invalid",
        "failed",
    ]
    assert run.measured[3].words == "text 4"
    assert (len(run), len(run.labelled), run.unmeasured) == (5, 4, 0)


def test_accuracy_counts_the_labelled_items() -> None:
    """The vote by its winners; the single call by the mean of its draws, an unread one being wrong."""
    run = studied()
    voted, single = run.measures["vote"], run.measures["single"]
    assert (voted.items, voted.labelled, voted.right) == (5, 4, 3)
    assert voted.interval == wilson(3, 4)
    assert single.right == pytest.approx((5 + 3 + 0 + 3) / 5)
    assert single.interval == wilson(single.right, 4)
    assert voted.invalid == pytest.approx(1 / 25)
    assert single.invalid == pytest.approx(1 / 25)
    assert (voted.calls, single.calls) == (5.0, 1.0)
    assert (voted.unanswered, single.unanswered) == (0.0, pytest.approx(2 / 25))


def test_a_vote_takes_as_long_as_its_longest_call() -> None:
    """A single call as long as each of its draws."""
    run = studied()
    assert (run.measures["vote"].median, run.measures["vote"].p95) == (5.0, 5.0)
    assert (run.measures["single"].median, run.measures["single"].p95) == (3.0, 5.0)


def test_the_first_vote_stands_for_the_single_call() -> None:
    """In the paired comparison, where an item is right or wrong and nothing between."""
    run = studied()
    [found] = run.comparisons
    assert (found.alternative, found.base, found.primary) == ("vote", "single", True)
    assert (found.right, found.base_right, found.items) == (3, 3, 4)
    assert (found.gains, found.losses, found.verdict) == (0, 0, "same")
    assert run.verdict == "same"
    assert run.recommendation == "undecided"  # four items can show nothing
    assert "3 against 3 of 4 right: not one item differs" in run.reason


def test_the_voters_errors_are_held_against_each_other() -> None:
    """The table of right and wrong is what the pure functions are given."""
    run = studied()
    correct = [
        [letter == truth for letter in said]
        for said, truth in zip(SAID.values(), TRUTH, strict=True)
        if truth
    ]
    found = run.diagnostics
    assert {name: found[name] for name in error_diagnostics(correct)} == error_diagnostics(correct)
    assert found["voters"] == ["v1", "v2", "v3", "v4", "v5"]
    assert found["fleiss_kappa"] is None  # a vote is missing
    assert found["krippendorff_alpha"] is not None
    assert run.curve[0][-1] == pytest.approx(3 / 4)


def test_where_the_vote_was_surest_and_wrong_comes_first() -> None:
    """These items teach most."""
    truth = ["B", "B", "B", "A", None]
    run = run_virtual(
        StudyPattern.run(
            planned(LINE.replace("--truth label", "--truth labels"), labels=truth),
            run_context(Fake(says)),
        )
    ).result
    assert [item.number for item in run.wrong] == [1, 3, 2, 4]
    assert "What the vote got wrong: 4 items, most agreement first" in str(run)


def test_a_study_without_labels_says_so() -> None:
    """Votes all the same; nothing is said of who is right, and what to label first is shown."""
    run = studied(LINE.replace("--truth label", ""))
    assert dict(run) == {"1": "A", "2": "A", "3": "A", "4": "B", "5": "A"}
    assert (run.verdict, run.recommendation) == ("no_items", "undecided")
    assert "so they share errors" in str(run)
    assert run.measures["vote"].accuracy is None
    shown = str(run)
    assert "without labels nobody knows which answers are right" in shown
    assert "Least agreement first" in shown
    assert "Right" not in shown.partition("\n\n")[2].partition("Note")[0]


# --- what it is compared with ---------------------------------------------------------------------


def test_a_bigger_model_is_asked_once_an_item() -> None:
    """The same prompt, and a comparison with the vote that is primary."""
    run = studied(f"{LINE} --compare single,fake:big")
    assert len(run.results) == 30
    assert [record.name for record in run.results[:6]][-1] == "1.fake:big"
    assert run.measures["fake:big"].right == 4
    assert run.bigger == "fake:big"
    assert [(each.alternative, each.base, each.primary) for each in run.comparisons] == [
        ("vote", "single", True),
        ("fake:big", "single", False),
        ("fake:big", "vote", True),
    ]


def test_a_simulated_model_is_not_called_as_the_voters_are() -> None:
    """Without its parameters it would be, where only they differ."""
    each = [{"text": "t", "topic": "A"}] * 4
    options = {"each": each, "truth": "topic", "choices": "A,B", "n": 3}
    run = asyncio.run(
        vote("{{item.text}}", **options, model="sim:?scale=0", compare="sim:?scale=0&sharpness=1")
    )
    assert [*run.measures] == ["single", "vote", "sim:?scale=0&sharpness=1"]
    other = asyncio.run(
        vote("{{item.text}}", **options, model="sim:?scale=0", compare="sim:big?scale=0")
    )
    assert [*other.measures] == ["single", "vote", "sim:big"]


def test_a_panel_has_voters_of_its_own() -> None:
    """By their texts, models, number and rule; the cell's voters stay what they are."""
    prompts: dict[str, str] = {}

    async def act(task: Task, heard: Heard) -> Reply:
        prompts[task.name] = f"{task.model.name}|{task.system}|{task.prompt}"
        return Reply("ANSWER: A")

    run = studied(
        LINE,
        f"{BODY}\n%panel diverse --pick unanimous --system S\nBe brief.\n%voter a -m fake:x\nAs "
        f"a.\n"
        "%voter b --system T\n%panel -m fake:p,fake:q -n 3\n%system\nLong.\n%prompt\n%panel same",
        act,
    )
    asked = "\n\nEnd with one line: ANSWER: <one of A, B>"
    start = "Which is it?\n\ntext 1"
    own = {name: text for name, text in prompts.items() if name.startswith("1.")}
    assert {name: text for name, text in own.items() if name.startswith("1.v")} == {
        f"1.v{at}": f"m|None|{start}{asked}" for at in range(1, 6)
    }
    assert own["1.diverse.a"] == f"x|S|{start}\n\nBe brief.\n\nAs a.{asked}"
    assert own["1.diverse.b"] == f"m|T|{start}\n\nBe brief.{asked}"
    assert [own[f"1.panel2.v{at}"].partition("|")[0] for at in (1, 2, 3)] == ["p", "q", "p"]
    assert own["1.panel2.v1"] == f"p|Long.|{start}{asked}"
    assert len([name for name in own if name.startswith("1.same.")]) == 5
    by_name = {system.name: system for system in run.systems}
    assert [*by_name] == ["single", "vote", "diverse", "panel2", "same"]
    assert by_name["diverse"].options.pick == "unanimous"


def test_the_rule_of_the_vote_is_not_that_of_one_call() -> None:
    """A quorum, a threshold or a stated confidence has no part in what is asked once."""
    run = studied(f"{LINE} --quorum 3 --threshold 4 --compare fake:big")
    assert run.measures["fake:big"].right == 4
    assert [run[key] for key in "12345"] == ["A", None, "A", None, None]

    async def sure(task: Task, heard: Heard) -> Reply:
        assert "CONFIDENCE: <" in task.prompt
        return Reply("CONFIDENCE: 90\nANSWER: A")

    stated = studied(f"{LINE} --pick confidence --compare fake:big", act=sure)
    assert [each.right for each in stated.measures.values()] == [2, 2, 2]


def test_another_panel_is_held_against_the_vote_in_a_sentence() -> None:
    """It is no part of the recommendation, and what it shows is said all the same."""
    run = studied(LINE, f"{BODY}\n%panel p -m fake:big -n 1", says)
    assert "p against vote: 4 against 3 of 4 right" in str(run)


def test_what_does_better_beside_the_advice_is_named() -> None:
    """A panel or a further model that is better than a single call, and one voter alone."""
    line = "-n 3 --each items --truth label --choices A,B"

    async def act(task: Task, heard: Heard) -> Reply:
        number, _, name = task.name.partition(".")
        right, wrong = "AB" if int(number) % 2 else "BA"
        good = name.startswith(("p.", "fake:y")) or (name == "v3" and int(number) % 3)
        return Reply(f"ANSWER: {right if good else wrong}")

    def of(line: str, body: str = BODY) -> StudyRun:
        return run_virtual(
            StudyPattern.run(planned(line, body, items=many()), run_context(Fake(act)))
        ).result

    panel = of(line, f"{BODY}\n%panel p")
    assert (
        "Look at p as well. Compared with a single call: 60 against 0 of 60 right" in panel.reason
    )
    models = of(f"{line} --compare fake:x,fake:y")
    assert (
        "Look at fake:y as well. Compared with a single call: 60 against 0 of 60 right"
        in models.reason
    )
    unlike = of(f"{line} -m fake:a,fake:b,fake:c")
    assert unlike.best_alone == ("v3", 40)
    assert "v3 alone has 40 right, the vote 0" in unlike.reason


@pytest.mark.parametrize(
    ("single", "vote", "big", "title"),
    [
        pytest.param(
            20,
            50,
            51,
            "Voting pays: 50 of 60 right, a single call 20; one call of fake:big does as well (51)",
            id="both better, level",
        ),
        pytest.param(
            20,
            40,
            60,
            "Voting pays: 40 of 60 right, a single call 20; one call of fake:big does better (60)",
            id="both better, the bigger one most",
        ),
        pytest.param(
            40,
            20,
            42,
            "Voting does harm: 20 of 60 right, a single call 40; whether one call of fake:big does better "
            "than a single call is not clear (42)",
            id="worse, and no word of the bigger one",
        ),
        pytest.param(
            20,
            40,
            23,
            "Voting pays: 40 of 60 right, a single call 20; one call of fake:big does less well than the vote (23)",
            id="better, and the bigger one worse than the vote",
        ),
        pytest.param(
            30,
            32,
            33,
            "It is not clear whether voting pays: 32 of 60 right, a single call 30; nor whether one call of "
            "fake:big does (33)",
            id="nothing shown",
        ),
    ],
)
def test_the_heading_begins_with_what_is_shown(
    single: int, vote: int, big: int, title: str
) -> None:
    """Where nobody can say what to take, it still says whether voting pays."""

    async def act(task: Task, heard: Heard) -> Reply:
        number, _, name = task.name.partition(".")
        right, wrong = "AB" if int(number) % 2 else "BA"
        good = {"v1": single, "v2": vote, "v3": vote}.get(name, big)
        return Reply(f"ANSWER: {right if int(number) <= good else wrong}")

    line = "-m fake:a,fake:b,fake:c --each items --truth label --choices A,B --compare fake:big"
    run = run_virtual(
        StudyPattern.run(planned(line, BODY, items=many()), run_context(Fake(act)))
    ).result
    assert run.recommendation == ("vote" if "less well than the vote" in title else "undecided")
    assert " ".join(str(run).split()).startswith(title)
    assert title in repr(run)


def test_a_heading_counts_whole_answers() -> None:
    """A single call is its first draw there, as it is compared; the picture has the mean of all draws."""

    async def act(task: Task, heard: Heard) -> Reply:
        number, _, name = task.name.partition(".")
        right, wrong = "AB" if int(number) % 2 else "BA"
        # Each item has one draw of five wrong, and a third of them two more.
        bad = {int(number) % 5 + 1, *((int(number) + 1) % 5 + 1 for _ in [0] if int(number) % 3)}
        good = not name.startswith("v") or int(name[1:]) not in bad
        return Reply(f"ANSWER: {right if good else wrong}")

    line = f"{LINE} --compare fake:big"
    run = run_virtual(
        StudyPattern.run(planned(line, BODY, items=many()[:59]), run_context(Fake(act)))
    ).result
    mean, first = run.measures["single"].right, run.comparisons[0].base_right
    assert mean != round(mean)
    title = f"Voting pays: 59 of 59 right, a single call {first}; one call of fake:big does as well (59)"
    assert str(run).startswith(title)
    assert f"{mean:.1f} (" in str(run)


def test_of_one_call_and_a_panel_the_panel_is_the_vote() -> None:
    """The cell's own call is then what it is compared with."""

    async def act(task: Task, heard: Heard) -> Reply:
        number, _, name = task.name.partition(".")
        right, wrong = "AB" if int(number) % 2 else "BA"
        return Reply(f"ANSWER: {wrong if name == 'v1' else right}")

    line = "-n 1 --each items --truth label --choices A,B"

    def of(line: str) -> StudyRun:
        plan = planned(line, f"{BODY}\n%panel p -n 3", items=many())
        return run_virtual(StudyPattern.run(plan, run_context(Fake(act)))).result

    run = of(line)
    assert [(each.alternative, each.base) for each in run.comparisons] == [("p", "vote")]
    assert (run.recommendation, run.verdict) == ("vote", "better")
    assert str(run).startswith("Voting pays: 60 of 60 right, a single call 0")
    both = of(f"{line} --compare fake:big")
    assert [(each.alternative, each.base, each.primary) for each in both.comparisons] == [
        ("p", "vote", True),
        ("fake:big", "vote", False),
        ("fake:big", "p", True),
    ]


def test_numbers_have_no_plurality_in_the_sentence() -> None:
    """It is told of right and wrong there, and near is not right."""
    run = simulated("n {{item}}", each=range(30), truth=[3] * 30, choices=None, score="1..5")
    told = " ".join(str(run).split())
    assert "More than half of them are right on" in told
    assert "plurality of all of them" not in told
    assert "an answer is right only if it equals its label; a close one is wrong" in run.notes


def test_weights_within_a_panel_count() -> None:
    """Its rule is then weighted, the cell's own is not."""

    async def act(task: Task, heard: Heard) -> Reply:
        return Reply(f"ANSWER: {'B' if task.name.endswith('.heavy') else 'A'}")

    run = studied(LINE, f"{BODY}\n%panel p\n%voter heavy --weight 3\n%voter x\n%voter y", act)
    assert run.measured[0].outcomes["p"].answer == "B"
    assert run.measured[0].outcomes["vote"].answer == "A"


def test_an_early_end_is_told_from_the_same_votes() -> None:
    """No call more; the winner is the vote's own, after as many votes as decide."""
    run = studied(f"{LINE} --compare stop=clinch")
    assert len(run.results) == 25
    early = run.measures["stop=clinch"]
    # 1: AAA of 5; 2: AABA; 3: AAA; 4: BBB; 5: ABABA
    assert early.calls == pytest.approx((3 + 4 + 3 + 3 + 5) / 5)
    assert [item.outcomes["stop=clinch"].seconds for item in run.measured] == [
        (3.0,),
        (4.0,),
        (3.0,),
        (3.0,),
        (5.0,),
    ]
    for item in run.measured:
        assert item.outcomes["stop=clinch"].answer == item.outcomes["vote"].answer
    assert "the same winners after 3.6 of its 5 calls" in " ".join(str(run).split())


def test_unlike_voters_have_the_first_one_as_their_single_call() -> None:
    """A draw of another prompt or model is no draw of it."""
    run = studied(f"{LINE} -m fake:m,fake:o")
    assert run.measures["single"].right == 3  # AAA? of v1: A, A, A, B
    assert run.measures["single"].median == 1.0
    assert "single: the call of the first voter" in " ".join(str(run).split())


def test_a_panel_of_one_is_its_own_single_call() -> None:
    """Nothing is compared with itself; another model is."""
    alone = studied(LINE.replace("-n 5", "-n 1"))
    assert [*alone.measures] == ["vote"]
    assert (alone.comparisons, alone.recommendation, alone.verdict) == ((), None, None)
    assert "A single call: 3 of 4 right" in str(alone)
    with_big = studied(LINE.replace("-n 5", "-n 1") + " --compare fake:big")
    assert [(each.alternative, each.base) for each in with_big.comparisons] == [
        ("fake:big", "vote")
    ]


# --- what is learnt -------------------------------------------------------------------------------


def many(count: int = 60) -> list[dict[str, str]]:
    """Items of alternating truth."""
    return [{"text": f"t{at}", "label": "AB"[at % 2]} for at in range(count)]


async def one_good(task: Task, heard: Heard) -> Reply:
    """The first of three voters is always right, the others never agree with it on half of them."""
    number, _, name = task.name.partition(".v")
    right = "AB"[(int(number) - 1) % 2]
    wrong = {"A": "B", "B": "A"}[right]
    return Reply(f"ANSWER: {right if name == '1' or int(number) % 4 < 2 else wrong}")


def test_weights_are_tested_on_other_items() -> None:
    """A voter that is always right outweighs two that are right half of the time."""
    items = many()
    line = "-n 3 --each items --truth label --choices A,B --weights learned"
    run = run_virtual(
        StudyPattern.run(planned(line, items=items), run_context(Fake(one_good)))
    ).result
    found = run.learned_weights
    assert found is not None
    assert found.items + found.tested.items == 60
    assert found.weights[0] > found.weights[1] + found.weights[2]
    assert (found.tested.right, found.tested.losses) == (30, 0)
    assert found.tested.gains > 10
    assert "Weights by their log-odds on 30 items: v1" in str(run)


def test_the_number_of_votes_is_chosen_on_one_half() -> None:
    """One vote is enough where the first voter is always right."""
    run = run_virtual(
        StudyPattern.run(
            planned("-n 3 --each items --truth label --choices A,B", items=many()),
            run_context(Fake(one_good)),
        )
    ).result
    found = run.learned_panel
    assert found is not None
    assert (found.panel.voters, found.panel.need) == ((0,), None)
    assert found.items + found.tested.items == 60
    assert run.learned_weights is None  # not asked for
    told = " ".join(str(run).split())
    assert "three and so on, every threshold. Best is v1 alone. On the other 30" in told


def test_what_is_chosen_is_tested_on_the_other_half() -> None:
    """A voter that is right on the items it is chosen by, and on no other, is found out."""
    learn = {at + 1 for at in halves(60)[0]}

    async def act(task: Task, heard: Heard) -> Reply:
        number, _, name = task.name.partition(".")
        right, wrong = "AB" if int(number) % 2 else "BA"
        return Reply(f"ANSWER: {right if (int(number) in learn) == (name == 'v1') else wrong}")

    run = run_virtual(
        StudyPattern.run(
            planned(
                "-n 3 --each items --truth label --choices A,B --weights learned", items=many()
            ),
            run_context(Fake(act)),
        )
    ).result
    panel, weights = run.learned_panel, run.learned_weights
    assert panel is not None
    assert weights is not None
    assert panel.panel.voters == (0,)
    assert (panel.tested.items, panel.tested.right, panel.tested.base_right) == (30, 0, 30)
    assert weights.weights[1:] == (0.0, 0.0)
    assert (weights.tested.items, weights.tested.right) == (30, 0)


def test_few_items_teach_nothing() -> None:
    """Below 20 labelled ones no half is worth anything."""
    run = studied(f"{LINE} --weights learned")
    assert (run.learned_weights, run.learned_panel) == (None, None)


def test_what_is_learnt_is_held_against_equal_weights() -> None:
    """A vote with weights or a rule of its own is another matter, and no base to be beaten."""
    line = "--each items --truth label --choices A,B --weights learned"
    body = f"{BODY}\n%voter v1\n%voter v2 --weight 9\n%voter v3"
    run = run_virtual(
        StudyPattern.run(planned(line, body, items=many()), run_context(Fake(one_good)))
    ).result
    found = run.learned_weights
    assert found is not None
    assert run.measures["vote"].right == 30  # the second voter decides
    # A plurality of all three: the first is right, the others on half of the items, both together.
    assert found.tested.base_right == sum(at % 4 < 2 for at in _test_half())
    assert found.tested.more_calls == 0.0


def _test_half() -> list[int]:
    """The items, counted from 1, that many() is tested on."""
    return [at + 1 for at in halves(60)[1]]


# --- through the engine ---------------------------------------------------------------------------


def priced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millionth of a dollar a token; a call can cost a hundredth at most."""
    monkeypatch.setattr(
        bill, "price", lambda task, usage, said: Decimal(usage.total_tokens) / 1_000_000
    )
    monkeypatch.setattr(bill, "worst", lambda model, size, most, terms=(): Decimal("0.01"))


def test_cost_is_that_of_what_would_be_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All votes of a vote, the mean of them for a single call; an early end costs at least so much."""
    priced(monkeypatch)
    run = studied(f"{LINE} --compare stop=clinch,fake:big")
    voted, single = run.measures["vote"], run.measures["single"]
    assert voted.cost_complete  # a call that was refused costs nothing
    assert voted.cost == Decimal(24 * 110) / 1_000_000 / 5
    assert single.cost == pytest.approx(voted.cost / 5)
    assert run.measures["fake:big"].cost == Decimal("0.00011")
    assert run.measures["fake:big"].cost_complete
    early = run.measures["stop=clinch"]
    assert early.cost == Decimal(18 * 110) / 1_000_000 / 5
    assert not early.cost_complete


def test_a_cap_leaves_items_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured is measured, the rest is counted, and nothing paid for is lost."""
    priced(monkeypatch)
    with pytest.raises(BudgetExceeded) as caught:
        studied(f"{LINE} --max-cost 0.0105 --concurrency 1")
    run = caught.value.run
    assert isinstance(run, StudyRun)
    assert 0 < len(run.measured) < 5
    assert run.unmeasured == 5 - len(run.measured)
    assert "could not be measured" in str(run)
    assert len(run.results) >= 5 * len(run.measured)


def test_an_interrupt_keeps_what_is_done_and_retry_goes_on() -> None:
    """Items with all their calls are measured; the others are when they are asked again."""
    stop = Stop()
    told: list[str] = []

    def tell(event: Event) -> None:
        if event.kind == "ended":
            told.append("")
            if len(told) == 12:
                stop("interrupted")

    fake = Fake(says)

    async def study() -> tuple[StudyRun, StudyRun]:
        around = run_context(fake, stop, tell=tell)
        run = await StudyPattern.run(planned(f"{LINE} -c 5"), around)
        around.stop = Stop()
        return run, await run.retry()

    # The run_context of a further try hear no more of the stop.
    run, again = run_virtual(study()).result
    assert [item.number for item in run.measured] == [1]
    assert run.unmeasured == 4
    assert len(again.measured) == 5
    done = {record.name for record in run.succeeded}
    assert all(fake.calls.count(name) == 1 for name in done)
    assert len(done) >= 12
    assert dict(again) == dict(studied())


def test_too_few_calls_back_are_an_error() -> None:
    """An answer that cannot be read came back; a failed call did not."""

    async def act(task: Task, heard: Heard) -> Reply:
        raise CallFailed(Fault("auth", "no"))

    with pytest.raises(TooFewSucceeded, match="0 of 25 calls returned an answer, 13 required"):
        studied(act=act)

    async def unread(task: Task, heard: Heard) -> Reply:
        return Reply("who knows")

    run = studied(act=unread)
    assert run.measures["vote"].invalid == 1.0
    assert run.measures["vote"].unanswered == 1.0
    assert dict(run)["1"] is None


def test_a_refusal_came_back_too() -> None:
    """It is an abstention, counted as that, and no reason to leave the rest unasked."""

    async def act(task: Task, heard: Heard) -> Reply:
        return Reply("I cannot help with that.", "refusal")

    run = studied(f"{LINE} -c 1", act=act)
    assert len(run.measured) == 5
    assert {ballot.state for item in run.measured for ballot in item.ballots} == {"abstain"}
    assert run.measures["vote"].invalid == 0.0


def test_a_guard_withholds_the_study() -> None:
    """Nothing is measured of what may not be seen; with `--on-block raise` it is an error."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1 if task.name == "g" else 1)
        return Reply("BLOCK" if task.name == "g" else "ANSWER: A")

    async def passing(task: Task, heard: Heard) -> Reply:
        return Reply("ALLOW" if task.name == "g" else "ANSWER: A")

    passed = studied(LINE, f"{BODY}\n%guardrail g\nmay it?", passing)
    assert not passed.blocked
    assert "Guardrail 'g' passed: ALLOW" in str(passed)
    html = passed._repr_mimebundle_()["text/html"]
    assert "ALLOW" in html
    run = studied(LINE, f"{BODY}\n%guardrail g\nmay it?", act)
    assert run.blocked
    assert run.measured == ()
    assert "Blocked by the guardrail." in str(run)
    assert "ANSWER: A" not in json.dumps(run.to_dict())
    with pytest.raises(GuardrailBlocked):
        studied(LINE, f"{BODY}\n%guardrail g --on-block raise\nmay it?", act)


def test_what_is_recorded_is_measured_again_without_a_call(tmp_path: Path) -> None:
    """The same report, word for word; a label that changes is no other request."""
    line = f"{LINE} --compare single,stop=clinch,fake:big"

    def run(plan: Plan, act: Act, mode: Mode) -> StudyRun:
        store = Recordings(tmp_path / "r.jsonl", mode)
        try:
            return run_virtual(
                StudyPattern.run(plan, run_context(Fake(act), recordings=store))
            ).result
        finally:
            store.close()

    def nobody(task: Task, heard: Heard) -> Any:
        raise AssertionError(f"{task.name} was asked")

    first = run(planned(line), says, "auto")
    again = run(planned(line), nobody, "replay")
    assert str(again) == str(first)
    assert again._repr_mimebundle_() == first._repr_mimebundle_()
    turned = [{**item, "label": {"A": "B", "B": "A"}.get(item["label"])} for item in ITEMS]
    other = run(planned(line, items=turned), nobody, "replay")
    assert other.measures["vote"].right == 1
    with pytest.raises(RecordingMissing, match=r"5\.v6|1\.v6"):
        run(planned(line.replace("-n 5", "-n 6")), nobody, "replay")


def test_the_live_table_counts_calls() -> None:
    """A row a call with its label; no tally, as each item has its own."""
    plan = planned()
    fake = Fake(says)
    board = PATTERNS[plan.pattern].board(plan, FakeClients(fake))
    run_virtual(StudyPattern.run(plan, run_context(fake, tell=board.tell)))
    page = live_html(board, 5.0)
    assert "25 of 25 done" in page
    assert "Read as" in page
    assert "unreadable" in page
    assert "lead" not in page


# --- as a script ----------------------------------------------------------------------------------


def simulated(text: str = "", **options: Any) -> StudyRun:
    """A study of simulated voters."""
    items = [{"text": f"t{at}", "label": "AB"[at % 2]} for at in range(30)]
    given = {"n": 5, "each": items, "truth": "label", "choices": "A,B", "model": "sim:?scale=0"}
    found = asyncio.run(vote(text or BODY, **{**given, **options}))
    assert isinstance(found, StudyRun)
    return found


def test_simulated_voters_know_each_item_s_truth() -> None:
    """Accuracy is that of the query, errors are shared as rho says, and it is marked as simulated."""
    items = [{"text": f"t{at}", "label": "AB"[at % 2]} for at in range(400)]
    run = simulated(each=items, model="sim:?accuracy=0.8&rho=0.6&scale=0")
    assert run.measures["single"].accuracy == pytest.approx(0.8, abs=0.04)
    assert run.diagnostics["mean_error_correlation"] == pytest.approx(0.6, abs=0.08)
    assert repr(run).startswith("<SIMULATED StudyRun: ")
    assert "[SIMULATED]" in str(run)
    assert ">SIMULATED<" in run._repr_mimebundle_()["text/html"]
    perfect = simulated(model="sim:?accuracy=1&scale=0")
    assert perfect.measures["vote"].right == 30


def test_a_study_is_the_same_every_time() -> None:
    """Report, html and frames do not depend on the machine."""
    one, other = simulated(compare="stop=clinch"), simulated(compare="stop=clinch")
    assert one._repr_mimebundle_() == other._repr_mimebundle_()
    assert one.to_dict() == other.to_dict()
    assert simulated(seed=1).to_dict() != one.to_dict()


def test_frames_have_a_row_each() -> None:
    """Systems first; comparisons, items and calls by name; another name is refused."""
    run = simulated(compare="stop=clinch")
    systems = run.to_pandas()
    assert list(systems["system"]) == ["single", "vote", "stop=clinch"]
    assert systems.loc[1, "right"] == run.measures["vote"].right
    assert list(run.to_pandas("comparisons")["verdict"]) == [c.verdict for c in run.comparisons]
    items = run.to_pandas("items")
    assert (len(items), list(items["truth"][:3])) == (30, ["A", "B", "A"])
    assert len(run.to_pandas("calls")) == 150
    with pytest.raises(
        OptionError,
        match="'rows' is not one of systems, fields, items, comparisons, calibration, reliability, calls",
    ):
        run.to_pandas("rows")


def test_everything_is_plain_json() -> None:
    """So that a study can be kept."""
    found = json.loads(json.dumps(simulated(compare="stop=clinch,sim:big?scale=0").to_dict()))
    assert found["pattern"] == "study"
    assert found["recommendation"] in ("single", "vote", "bigger_model", "undecided")
    assert [row["system"] for row in found["systems"]] == [
        "single",
        "vote",
        "stop=clinch",
        "sim:big",
    ]
    assert found["comparisons"][0]["p"] == mcnemar_exact(
        found["comparisons"][0]["gains"], found["comparisons"][0]["losses"]
    )


def test_items_come_from_a_table() -> None:
    """Rows with a label column, or two columns beside each other."""
    table = pd.DataFrame({"text": ["a", "b", "c"], "label": ["A", None, "B"]})
    rows = simulated(each=table)
    columns = simulated("Which?\n{{item}}", each=table["text"], truth=table["label"])
    for run in (rows, columns):
        assert (len(run.measured), len(run.labelled)) == (3, 2)
    typed = asyncio.run(
        vote(
            '%%vote --each table["text"] --truth table["label"] --choices A,B -m sim:?scale=0\n{{item}}',
            variables={"table": table},
        )
    )
    assert isinstance(typed, StudyRun)
    assert [item.truth for item in typed.measured] == ["A", None, "B"]


def test_items_may_come_one_by_one() -> None:
    """From a generator or an asynchronous one: read once, measured like a list."""
    items = [{"text": f"t{at}", "label": "AB"[at % 2]} for at in range(30)]

    async def arriving() -> Any:
        for item in items:
            yield item

    whole = dict(simulated())
    assert dict(simulated(each=iter(items))) == whole
    assert dict(simulated(each=arriving(), truth="{{item.label}}")) == whole
    odd = [*items[:2], {"text": "x", "label": "C"}, *items[3:]]
    run = simulated(each=iter(odd))
    assert (len(run.measured), run.unmeasured) == (29, 1)
    assert "'C' is not one of the --choices" in str(run.results[10].error)


def test_numbers_are_true_as_precisely_as_they_are_read() -> None:
    """What a computer makes of a third is the third that a model writes."""
    truth = [at * 0.1 * 3 for at in range(1, 30)] + [1 / 3]
    run = simulated(
        "n {{item}}",
        each=range(30),
        truth=truth,
        choices=None,
        number=True,
        model="sim:?accuracy=1&scale=0",
    )
    assert run.measures["vote"].right == 30
    whole = simulated(
        "n {{item}}",
        each=range(30),
        truth=[2.0000000000000004] * 30,
        choices=None,
        score="1..5",
        model="sim:?accuracy=1&scale=0",
    )
    assert whole.measures["vote"].right == 30


def test_free_answers_need_labels_to_be_named() -> None:
    """Where only a whole text can be right the reader is told, with the choices to give."""
    run = simulated(choices=None)
    assert any("name them: --choices a,b" in note for note in run.notes)
    odd = simulated(choices=None, truth=["?"] * 30)
    assert len(odd.labelled) == odd.measures["vote"].labelled == 30


def test_labels_that_may_not_belong_are_told_of() -> None:
    """A list of another length than what a generator gave."""
    run = simulated("n {{item}}", each=iter(range(30)), truth=["A"] * 5)
    assert "--truth has 5 labels, but there were 30 items: do they belong together?" in run.notes


def test_all_failures_are_no_reason_for_a_single_call() -> None:
    """Nothing is advised where nobody answered."""
    with pytest.raises(TooFewSucceeded) as caught:
        simulated(model="sim:?fail=1&scale=0")
    run = caught.value.run
    assert isinstance(run, StudyRun)
    assert run.recommendation == "undecided"
    assert "no answer could be counted" in run.reason


def test_a_vote_without_items_is_a_vote() -> None:
    """As ever."""
    run = asyncio.run(vote("Is it?", n=3, choices="A,B", model="sim:?scale=0"))
    assert isinstance(run, VoteRun)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "body", "says_"),
    [
        ("--truth items", "q", "--truth measures votes over many items; add --each"),
        ("--compare single", "q", "--compare measures votes over many items; add --each"),
        ("--weights learned", "q", "--weights measures votes over many items; add --each"),
        ("--sure 95%", "q", "--sure measures votes over many items; add --each"),
        ("--each items --sure 95%", BODY, "--sure needs labels .* add --truth LABELS"),
        ("--each items --truth label --sure 95", BODY, "such as 95% or 0.95, got '95'; write 95%"),
        ("--each items --truth label --sure 101%", BODY, "such as 95% or 0.95, got '101%'$"),
        ("--each items --truth label --sure 1", BODY, "between 0% and 100%"),
        ("--each items --truth label --sure much", BODY, "between 0% and 100%"),
        ("", "q\n%panel x\nr", "line 3: %panel x compares .* add --each"),
        ("--each items", "no item", "no prompt contains {{item}} or {{index}}"),
        ("--each items --weights learned", BODY, "--weights learned needs labels"),
        ("--each items --stop clinch", BODY, "--compare stop=clinch computes from the same votes"),
        ("--each items --launch lazy", BODY, "--launch lazy cannot be used with it"),
        ("--each items --pick judge", BODY, "a judge runs once per cell"),
        ("--each items --ties judge", BODY, "a judge runs once per cell"),
        ("--each items", f"{BODY}\n%judge\nbest?", "a judge runs once per cell"),
        ("--each items --compare", BODY, "--compare needs a value"),
        ("--each items --compare single,single", BODY, "the same system is named twice"),
        ("--each items --compare stop=beta:0.9", BODY, "only stop=clinch can be computed"),
        ("--each items --compare stop=soon", BODY, "unknown value 'soon'"),
        ("--each items", f"{BODY}\n%panel vote", "cannot be called 'vote'"),
        ("--each items", f"{BODY}\n%panel p -n 1 -m a:b,c:d", "line 5: %panel p: -n 1 is too few"),
        ("--each items", f"{BODY}\n%panel p\n%panel p", "the name 'p' is used twice"),
        (
            "--each items --choices A,B",
            f"{BODY}\n%panel p --score 1..5",
            "different kinds of answers",
        ),
        ("--each items -n 3 --quorum 4 --choices A,B", BODY, "--quorum 4: there are only 3 votes"),
        (
            "--each items -n 5 --quorum 4 --choices A,B",
            f"{BODY}\n%panel p -n 3",
            "p: --quorum 4: there",
        ),
        (
            "--each items --compare stop=clinch --score 1..5 --pick median",
            BODY,
            "stop=clinch: --stop",
        ),
        (
            "--each items --choices A,B",
            f"{BODY}\n%panel p --pick judge",
            "a judge runs once per cell",
        ),
        (
            "--each items --choices A,B",
            f"{BODY}\n%panel p --ties judge",
            "a judge runs once per cell",
        ),
        (
            "--each pairs --truth {{item[1]}}",
            "{{item[0]}} {{item[-1]}}",
            "would show the model",
        ),
        (
            "--each pairs --truth {{item[-1]}}",
            "{{item[0]}} {{item[1]}}",
            "would show the model",
        ),
        ("--each keyed --truth 1", "{{item[0]}} {{item[1]}}", "would show the model"),
        (
            "--each items",
            "Q?\n%panel w\n{{item.text}}",
            "the prompt of v1 contains no {{item}} or",
        ),
        (
            "--each items",
            "Q\n%voter a\n{{item.text}}\n%voter b\nB",
            "the prompt of b contains no",
        ),
        (
            "--each items --truth label",
            "q {{item}}",
            "line 2, .*: {{item}} would show the model the true",
        ),
        (
            "--each items --truth {{item.label}}",
            'q {{item["label"]}}',
            "would show the model the true",
        ),
        (
            "--each items --truth label",
            f"{BODY}\n%voter a\n{{{{item.label}}}}",
            "line 6, %voter a: ",
        ),
        ("--each items --compare single, stop=clinch", BODY, "write no space after a comma"),
        ("--each items --pick median --choices A,B", BODY, "--pick median works on numbers"),
    ],
)
def test_what_cannot_be_measured_is_refused(line: str, body: str, says_: str) -> None:
    """Before any call, in one line with the way out."""
    with pytest.raises(ParallmError, match=says_) as caught:
        planned(line, body)
    assert "\n" not in str(caught.value)


def test_a_system_that_is_none_is_named() -> None:
    """A slip in the name of a panel is told as that, not as an unknown model alone."""
    with pytest.raises(
        OptionError, match=r"not single, not stop=clinch and not .*did you mean 'divers'"
    ):
        asyncio.run(
            vote(
                f"{BODY}\n%panel divers", each=ITEMS, compare="diverse", model="sim", choices="A,B"
            )
        )


def test_errors_and_runs_are_of_their_kinds() -> None:
    """A misplaced block is a matter of syntax."""
    with pytest.raises(CellSyntaxError, match="%panel belongs to %%vote"):
        parse("fanout", "", "%panel x")
