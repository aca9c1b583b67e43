"""Panels: rules that cannot be kept are refused before any call, and what a panel is worth is said."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import Fake, answer, by_name, run_context
from virtual_time import run_virtual

from parallm_magics import OptionError, VoteRun, fanout, vote
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Task
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.patterns.panel import rule_of
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import define_simulated, forget

AB = "--choices a,b"
TWO = "%voter x\nask\n%voter y\nask otherwise"


def planned(line: str, body: str = "which?", **settings: Any) -> Plan:
    """A vote's plan, for the fake provider."""
    cell = parse("vote", line, body)
    return make_plan(cell, {}, lambda text: Model("fake", text), {"model": ("m",), **settings})


def ran(line: str, body: str = "which?", act: Any = None, **settings: Any) -> VoteRun:
    """A vote over the fake provider; everybody says a."""
    plan = planned(line, body, **settings)
    found: VoteRun = run_virtual(
        VotePattern.run(plan, run_context(Fake(act or answer(text="a"))))
    ).result
    return found


def answering(*texts: str) -> Any:
    """Each voter's answer, by place."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        return Reply(texts[task.index])

    return act


# --- what is refused ------------------------------------------------------------------------------

NEEDS_ALL = [("judge", AB), ("best", AB), ("confidence", AB), ("median", "--number")]
NEEDS_ALL += [("mean", "--score 1..10")]

WRONG = [
    *(
        pytest.param(
            f"--stop clinch --pick {pick} {reading}",
            "which?",
            f"--stop clinch cannot be used with --pick {pick}.*use --stop all",
            id=f"clinch and {pick}",
        )
        for pick, reading in NEEDS_ALL
    ),
    *(
        pytest.param(
            f"--launch lazy --pick {pick} {reading}",
            "which?",
            f"--launch lazy cannot be used with --pick {pick}.*use --launch all",
            id=f"lazy and {pick}",
        )
        for pick, reading in NEEDS_ALL
    ),
    pytest.param(
        f"--stop all --launch lazy {AB}",
        "which?",
        "--stop all and --launch lazy cannot be combined.*remove one of them",
        id="all and lazy",
    ),
    pytest.param(
        f"--stop beta:0.95 --pick majority {AB}",
        "which?",
        "--stop beta works with --pick plurality, not with majority; use --stop clinch",
        id="beta and majority",
    ),
    pytest.param(
        f"--stop beta:0.95 --threshold 60% {AB}",
        "which?",
        "--stop beta works with --pick plurality, not with threshold",
        id="beta and threshold",
    ),
    pytest.param(f"--stop beta:0.5 {AB}", "which?", "between 0.5 and 1", id="level too low"),
    pytest.param(f"--stop beta:1 {AB}", "which?", "between 0.5 and 1", id="level too high"),
    pytest.param(f"--stop beta {AB}", "which?", "such as beta:0.95", id="no level"),
    pytest.param(f"--stop clinsh {AB}", "which?", "did you mean 'clinch'", id="misspelt"),
    pytest.param(
        f"--pick any {AB}", "which?", "--pick any needs --flag LABEL, one of", id="any of what"
    ),
    pytest.param(
        f"--pick any --flag c {AB}",
        "which?",
        "--flag: no section has that label",
        id="no such flag",
    ),
    pytest.param(
        "--pick any --flag a --open", "which?", "--flag: no section has that label", id="open flag"
    ),
    pytest.param(
        f"--threshold 1 {AB}", "which?", "1 is ambiguous: write 100% .* --pick any", id="one"
    ),
    pytest.param(f"--threshold 120% {AB}", "which?", "120% is more than all", id="120 %"),
    pytest.param(f"--threshold 0 {AB}", "which?", "--threshold", id="none"),
    pytest.param(
        f"--threshold 4 {AB}", "which?", "--threshold 4: there are only 3 votes; lower", id="count"
    ),
    pytest.param(
        f"--quorum 4 {AB}", "which?", "--quorum 4: there are only 3 votes; lower", id="quorum"
    ),
    pytest.param(
        f"-n 1 --quorum 2 {AB}",
        "which?",
        "only 1 vote; lower the quorum, or raise -n",
        id="quorum of one",
    ),
    pytest.param(
        f"--threshold 2 --pick judge {AB}",
        "which?",
        "--threshold cannot be combined with --pick judge",
        id="two rules",
    ),
    pytest.param(
        f"--pick threshold {AB}", "which?", "--pick threshold needs --threshold", id="no share"
    ),
    pytest.param(
        f"--pick median {AB}",
        "which?",
        "--pick median works on numbers: add --score LO..HI or --number",
        id="median of labels",
    ),
    pytest.param(
        "--pick mean --open", "which?", "--pick mean works on numbers", id="mean of texts"
    ),
    pytest.param(
        "",
        "%voter --choices a,b\nx\n%voter --choices a,b,c\ny",
        "different kinds of answers; give all of them the same --choices or --schema",
        id="other choices",
    ),
    pytest.param(
        AB, "%voter\nx\n%voter --score 1..3\ny", "different kinds of answers", id="label and score"
    ),
    pytest.param(
        f"--pick majority {AB}",
        "%voter --weight 2\nx\n%voter\ny",
        "--weight is not used by --pick majority; use --pick weighted",
        id="weight and majority",
    ),
    pytest.param(
        f"--shuffle-choices --no-ask {AB}",
        "which?",
        "--shuffle-choices reorders the closing line of --choices",
        id="shuffled and unasked",
    ),
    *(
        pytest.param(
            f"--shuffle-choices {reading}",
            "which?",
            "so it needs --choices",
            id=f"shuffled{reading}",
        )
        for reading in ("", "--open", "--score 1..3")
    ),
]


@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
@pytest.mark.parametrize(("line", "body", "says"), WRONG)
def test_rules_that_cannot_be_kept_are_refused(line: str, body: str, says: str, dry: bool) -> None:
    """In one line with the option and the way out, before any call, and before a preview."""
    asked = []

    def answers(task: Task, sample: int) -> str:
        asked.append(task)
        return "a"

    define_simulated("panel", answers)
    try:
        with pytest.raises(OptionError, match=says) as error:
            asyncio.run(vote(f"%%vote {line}\n{body}", model="panel", dry_run=dry))
    finally:
        forget("panel")
    assert "\n" not in str(error.value)
    assert asked == []


@pytest.mark.parametrize("line", ["", "--stop clinch", "--launch lazy", "--stop beta:0.9"])
def test_a_rule_that_can_be_kept_is_previewed(line: str) -> None:
    """A dry run asks nobody."""
    found = asyncio.run(vote(f"%%vote {line} {AB}\nwhich?", model="sim", dry_run=True))
    assert isinstance(found, Preview)


def test_a_typed_stop_wins_over_a_setting() -> None:
    """Who asks for all votes gets them, whatever is set; where both are typed it is an error."""
    assert planned(f"--stop all {AB}", launch="lazy").options.launch == "all"
    assert ran(f"--stop all -n 5 {AB}", launch="lazy").decided_after is None
    assert ran(f"-n 5 {AB}", launch="lazy").decided_after == 3
    assert ran(f"-n 5 {AB}", stop="clinch").decided_after == 3
    with pytest.raises(OptionError, match="cannot be used with --pick confidence"):
        VotePattern.check(planned(f"--pick confidence {AB}", stop="clinch"))
    VotePattern.check(planned(f"--pick confidence {AB} --stop all", stop="clinch"))


@pytest.mark.parametrize(
    "settings",
    [
        {"stop": "clinch"},
        {"launch": "lazy"},
        {"pick": "judge"},
        {"pick": "confidence"},
        {"pick": "any"},
        {"ties": "judge"},
        {"quorum": 3},
        {"threshold": "3"},
        {"shuffle_choices": True},
    ],
    ids=str,
)
def test_how_votes_are_set_is_no_default_of_sections(settings: dict[str, Any]) -> None:
    """A section says itself how its votes are picked; plain sections have none."""
    body = "%section a\nx\n%section b -n 2 --score 1..10\ny\n%section c --choices a,b\nz"
    base = {"model": ("m",)}
    cell = parse("fanout", "", body)
    plan = make_plan(cell, {}, lambda text: Model("fake", text), {**base, **settings})
    PATTERNS[plan.pattern].check(plan)
    bare = make_plan(cell, {}, lambda text: Model("fake", text), base)
    assert [task.prompt for task in plan.tasks] == [task.prompt for task in bare.tasks]
    assert plan.options == bare.options


def test_what_is_set_for_guards_holds_in_both_magics() -> None:
    """They stand in either."""
    assert planned(AB, refusal="No.").options.refusal == "No."
    settings = {"model": ("m",), "refusal": "No."}
    cell = parse("fanout", "-n 2", "x")
    plan = make_plan(cell, {}, lambda text: Model("fake", text), settings)
    assert plan.options.refusal == "No."


@pytest.mark.parametrize(
    ("line", "votes", "pick", "share", "base", "quorum"),
    [
        pytest.param("", 3, "plurality", None, "requested", 2, id="default"),
        pytest.param("", 4, "plurality", None, "requested", 2, id="half of four"),
        pytest.param("--threshold 2/3", 3, "threshold", "2/3", "requested", 2, id="a fraction"),
        pytest.param("--threshold 60%", 5, "threshold", "3/5", "requested", 3, id="a percentage"),
        pytest.param("--threshold 4", 5, "threshold", "4/5", "requested", 3, id="a count"),
        pytest.param(
            "--threshold 4 --base valid", 5, "threshold", "4/5", "requested", 3, id="count, valid"
        ),
        pytest.param(
            "--threshold 0.6 --base valid", 5, "threshold", "3/5", "valid", 3, id="share, valid"
        ),
        pytest.param("--quorum 1", 5, "plurality", None, "requested", 1, id="own quorum"),
    ],
)
def test_options_become_a_rule(
    line: str, votes: int, pick: str, share: str | None, base: str, quorum: int
) -> None:
    """Exactly, in fractions; a count of votes is one of those asked for."""
    rule = rule_of(planned(f"{line} {AB}").options, votes, planned(AB).tasks[0].reading)
    assert (rule.pick, rule.base, rule.quorum) == (pick, base, quorum)
    assert (str(rule.share) if rule.share is not None else None) == share


# --- who votes, and what each is asked ------------------------------------------------------------


def turns(plan: Plan, choices: Sequence[str]) -> list[int]:
    """By how many places each voter's choices are turned."""
    lines = [task.prompt.rpartition("<one of ")[2].rstrip(">") for task in plan.tasks]
    orders = [", ".join([*choices[at:], *choices[:at]]) for at in range(len(choices))]
    return [orders.index(line) for line in lines]


@pytest.mark.parametrize("models", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_choices_are_turned_evenly(models: int, size: int) -> None:
    """Every order is met by as many voters, in all and of each model, give or take one."""
    choices, names = "wxyz"[:size], "klmnop"[:models]
    for votes in range(models, 25):
        line = f"-n {votes} -m {','.join(names)} --choices {','.join(choices)} --shuffle-choices"
        plan = planned(line)
        found = turns(plan, choices)
        whole = Counter(found)
        assert max(whole.values()) - min(whole[at] for at in range(size)) <= (
            1 if votes >= size else votes
        )
        if votes % (models * size) == 0:
            pairs = Counter(zip([t.model for t in plan.tasks], found, strict=True))
            assert {*pairs.values()} == {votes // (models * size)}
            assert len(pairs) == models * size


def test_turned_choices_are_read_alike() -> None:
    """Only the closing line differs; labels, tally and flag are those of the cell."""
    shuffled = planned("-n 3 --choices red,green,blue --shuffle-choices --flag green")
    assert {task.reading for task in shuffled.tasks} == {
        planned("--choices red,green,blue").tasks[0].reading
    }
    assert len({task.prompt for task in shuffled.tasks}) == 3
    assert len({task.prompt.rpartition("\n")[0] for task in shuffled.tasks}) == 1
    run = ran(
        "-n 3 --choices red,green,blue --shuffle-choices --flag green",
        act=answering("ANSWER: green", "ANSWER: Green", "blue"),
    )
    assert (run.winner, dict(run.tally), run.flagged) == ("green", {"green": 2, "blue": 1}, True)


def test_turned_choices_decide_early_too() -> None:
    """They are votes like others."""
    run = ran(f"-n 5 {AB} --shuffle-choices --stop clinch")
    assert (run.winner, run.decided_after) == ("a", 3)


DIVERSE = """About {{x}}.

%voter strict -m k --system "You are strict." --weight 2
Be strict.

%voter kind -m l
Be kind.

%voter plain -t 0.2
%system
You are plain.
%prompt
Be plain.
"""


def test_a_diverse_panel() -> None:
    """Each voter has a prompt, a model, a system prompt and a weight of its own."""
    cell = parse("vote", AB, DIVERSE)
    plan = make_plan(cell, {"x": "it"}, lambda text: Model("fake", text), {"model": ("m",)})
    assert [(t.name, t.model.name, t.system, t.temperature) for t in plan.tasks] == [
        ("strict", "k", "You are strict.", None),
        ("kind", "l", None, None),
        ("plain", "m", "You are plain.", 0.2),
    ]
    assert all(task.prompt.startswith("About it.\n\nBe ") for task in plan.tasks)
    assert [int(weight) for weight in plan.calls.weights] == [2, 1, 1]
    assert plan.options.pick == "weighted"
    act = by_name({"strict": answer(text="a")}, answer(text="b"))
    run = run_virtual(VotePattern.run(plan, run_context(Fake(act)))).result
    assert (run.status, run.winner, {*run.tied}) == ("tie", None, {"a", "b"})
    assert run.p_mode is None


def test_models_are_dealt_in_turn() -> None:
    """-n is the total; without it each model has one vote."""
    assert [t.model.name for t in planned(f"-m k,l,m {AB}").tasks] == ["k", "l", "m"]
    assert [t.model.name for t in planned(f"-m k,l -n 5 {AB}").tasks] == list("klklk")
    two = planned(f"-m k,l -n 4 {AB}", TWO)
    assert [(t.name, t.model.name) for t in two.tasks] == [
        ("x.1", "k"),
        ("y.1", "l"),
        ("x.2", "k"),
        ("y.2", "l"),
    ]


@pytest.mark.parametrize(
    ("line", "body", "repeated"),
    [
        pytest.param(f"-n 3 {AB}", "x", True, id="one prompt, one model"),
        pytest.param(f"-m k,l,m {AB}", "x", False, id="three models"),
        pytest.param(AB, TWO, False, id="two prompts"),
        pytest.param(f"-n 3 -t 0..1 {AB}", "x", False, id="three temperatures"),
        pytest.param(f"-n 3 --shuffle-choices {AB}", "x", False, id="turned choices"),
        pytest.param(AB, "%voter\nx\n%voter --effort low\nx", False, id="two efforts"),
        pytest.param(
            AB, "%voter\nx\n%voter --param top_p=0.5\nx", False, id="two kinds of drawing"
        ),
        pytest.param(AB, "%voter\nx\n%voter\nx", True, id="the same twice"),
    ],
)
def test_only_repeats_are_said_to_repeat(line: str, body: str, repeated: bool) -> None:
    """What a repeat would do means nothing where no prompt is repeated."""
    run = ran(line, body)
    assert (run.p_mode is not None) is repeated
    for shown in run._repr_mimebundle_().values():
        assert ("a repeat of this prompt would agree" in " ".join(shown.split())) is repeated
        assert ("flat prior" in " ".join(shown.split())) is repeated


def test_a_fan_out_knows_no_voting_options_of_its_own() -> None:
    """They stand on the sections that vote."""
    with pytest.raises(
        OptionError, match="--stop is not allowed on %%fanout; it is allowed on %%vote"
    ):
        asyncio.run(fanout("%%fanout --stop clinch\n%section a -n 3 --choices a,b\nx", model="sim"))
