"""From a cell to calls: who asks what, of which model, under which name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, least_successes, make_plan
from parallm_magics.core.tasks import Model
from parallm_magics.errors import (
    CellSyntaxError,
    ModelError,
    OptionError,
    ParallmError,
    VariableError,
)


def model_of(text: str) -> Model:
    """Any text is a model here."""
    return Model("p", text)


def planned(
    magic: str, line: str, body: str, variables: Mapping[str, Any] | None = None, **settings: Any
) -> Plan:
    """The plan of a cell."""
    return make_plan(
        parse(magic, line, body), variables or {}, model_of, {"model": ("m",), **settings}
    )


def prompts(plan: Plan) -> dict[str, str]:
    """Each worker's prompt."""
    return {task.name: task.prompt for task in plan.tasks}


def dealt(plan: Plan) -> list[tuple[str, str]]:
    """Each worker with its model."""
    return [(task.name, task.model.name) for task in plan.tasks]


def test_the_preamble_comes_first_in_every_prompt() -> None:
    """A blank line stands between it and the section's own text."""
    plan = planned("fanout", "", "pre {{x}}\n\n%section a\none\n%section\ntwo", {"x": 1})
    assert prompts(plan) == {"a": "pre 1\n\none", "s2": "pre 1\n\ntwo"}
    assert plan.shared == "pre 1"
    assert all(task.shared == "pre 1" for task in plan.tasks)


@pytest.mark.parametrize(
    ("line", "body", "expected"),
    [
        pytest.param("-n 3", "x", [("s1", "m"), ("s2", "m"), ("s3", "m")], id="-n"),
        pytest.param("-m a,b", "x", [("s1", "a"), ("s2", "b")], id="models"),
        pytest.param("-n 3 -m a,b", "x", [("s1", "a"), ("s2", "b"), ("s3", "a")], id="both"),
        pytest.param("", "%section q -n 2\nx", [("q.1", "m"), ("q.2", "m")], id="-n on a block"),
        pytest.param(
            "",
            "%section q -m a,b\nx\n%section r\ny",
            [("q.1", "a"), ("q.2", "b"), ("r", "m")],
            id="models on a block",
        ),
        pytest.param(
            "-m z",
            "%section q -m a\nx\n%section r\ny",
            [("q", "a"), ("r", "z")],
            id="block over cell",
        ),
    ],
)
def test_sections_multiply(line: str, body: str, expected: list[tuple[str, str]]) -> None:
    """-n and models make workers, models dealt in turn."""
    assert dealt(planned("fanout", line, body)) == expected


@pytest.mark.parametrize(
    ("line", "body", "expected"),
    [
        pytest.param("", "x", [("v1", "m"), ("v2", "m"), ("v3", "m")], id="three by default"),
        pytest.param(
            "-n 5 -m a,b",
            "x",
            [("v1", "a"), ("v2", "b"), ("v3", "a"), ("v4", "b"), ("v5", "a")],
            id="dealt",
        ),
        pytest.param("-m a,b", "x", [("v1", "a"), ("v2", "b")], id="one each"),
        pytest.param("", "%voter p\nx\n%voter -m z\ny", [("p", "m"), ("v2", "z")], id="voters"),
        pytest.param(
            "-n 3",
            "%voter p\nx\n%voter q\ny",
            [("p.1", "m"), ("q", "m"), ("p.2", "m")],
            id="voters in turn",
        ),
        pytest.param(
            "-m a,b", "%voter p\nx\n%voter q\ny", [("p", "a"), ("q", "b")], id="models over voters"
        ),
    ],
)
def test_voters_multiply(line: str, body: str, expected: list[tuple[str, str]]) -> None:
    """-n is the total; models and voters are dealt in turn."""
    assert dealt(planned("vote", line, body)) == expected


@pytest.mark.parametrize(
    ("magic", "line", "body", "says"),
    [
        pytest.param("fanout", "", " \n\t\n", "has no prompt", id="blank cell"),
        pytest.param("vote", "", "", "has no prompt", id="empty cell"),
        pytest.param("fanout", "-n 2", "%section a\nx", "put it on a block", id="-n with blocks"),
        pytest.param(
            "fanout", "-m a,b", "%section a\nx", "put them on a block", id="models with blocks"
        ),
        pytest.param("fanout", "-n 1 -m a,b", "x", "is too few", id="too few for the models"),
        pytest.param(
            "vote", "-n 1", "%voter\nx\n%voter\ny", "is too few", id="too few for the voters"
        ),
        pytest.param(
            "fanout",
            "",
            "%section a\n\n%section b\nx",
            "line 2: %section a is empty and the cell has no text above",
            id="empty section",
        ),
        pytest.param("vote", "", "%voter a\n", "line 2: %voter a is empty", id="empty voter"),
        pytest.param("vote", "", "%voter a -m x,y\nq", "give it one model", id="voter with models"),
        pytest.param(
            "fanout",
            "",
            "%section s2\nx\n%section\ny",
            "line 4: .*'s2'",
            id="number runs into a name",
        ),
        pytest.param(
            "fanout", "", "%section S2\nx\n%section\ny", "line 4: .*'s2'", id="but for its case"
        ),
        pytest.param(
            "fanout",
            "--system a",
            "%system\nb\n%prompt\nc\n%section q\nx",
            "cannot be combined",
            id="two systems",
        ),
        pytest.param(
            "fanout",
            "",
            "%section a --system b\n%system\nc\n%prompt\nx",
            "line 2: .*keep one",
            id="two systems in a block",
        ),
        pytest.param(
            "fanout",
            "--aggregate join",
            "%section a\nx\n%synthesis\ny",
            "cannot be combined",
            id="join and synthesis",
        ),
        pytest.param(
            "fanout", "--min-success 3", "%section a\nx", "only 1 workers", id="more than there are"
        ),
        pytest.param("fanout", "--each docs", "%section a\nx", "{{item}}", id="item never named"),
        pytest.param(
            "fanout", "--each none", "{{item}}", "none is empty; a generator", id="no items"
        ),
        pytest.param("fanout", "--each text", "{{item}}", "a single text", id="a text for items"),
        pytest.param(
            "fanout",
            "--flag x",
            "%section a --choices y,z\nq",
            "no section has that label",
            id="flag off every menu",
        ),
        pytest.param(
            "fanout",
            "--flag x",
            "%section a\nq",
            "no section has that label",
            id="flag without labels",
        ),
        pytest.param(
            "fanout",
            "",
            "%section a --flag x --choices y,z\nq",
            "a has no such choice",
            id="flag off the menu",
        ),
        pytest.param(
            "fanout",
            "",
            "%section a\nq\n%synthesis\n{{outputs.b}}",
            "no section 'b'",
            id="unknown output",
        ),
        pytest.param(
            "vote",
            "",
            "q\n%panel big\nsafe?",
            "line 3: %panel big compares panels over many items; add --each ITEMS",
            id="panel",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused(magic: str, line: str, body: str, says: str) -> None:
    """Before any call, in one line."""
    variables = {"docs": [1], "none": [], "text": "abc"}
    with pytest.raises(ParallmError, match=says) as error:
        planned(magic, line, body, variables)
    assert isinstance(error.value, CellSyntaxError | OptionError | VariableError)
    assert "\n" not in str(error.value)


def test_without_a_model_the_ways_out_are_named() -> None:
    """The error says how to choose one, the simulation among them."""
    with pytest.raises(ModelError, match=r"-m MODEL.*%config.*PARALLM_MODEL.*sim"):
        planned("vote", "", "x", model=())


def test_each_runs_every_section_for_every_item() -> None:
    """One worker an item and section, keys numbered from 1."""
    plan = planned(
        "fanout",
        "--each docs",
        "{{index}}: {{item.t}}\n%section a\nA\n%section b\nB",
        {"docs": [{"t": "x"}, {"t": "y"}]},
    )
    assert prompts(plan) == {
        "1.a": "1: x\n\nA",
        "1.b": "1: x\n\nB",
        "2.a": "2: y\n\nA",
        "2.b": "2: y\n\nB",
    }
    assert [section.key for section in plan.calls.sections(4)] == ["1.a", "1.b", "2.a", "2.b"]


@pytest.mark.parametrize(
    "docs",
    [
        pytest.param(["x", "y"], id="list"),
        pytest.param(("x", "y"), id="tuple"),
        pytest.param((c for c in "xy"), id="generator"),
        pytest.param({"x": 1, "y": 2}.keys(), id="keys"),
    ],
)
def test_each_takes_any_ordered_items(docs: object) -> None:
    """Without sections the keys are the numbers."""
    assert prompts(planned("fanout", "--each docs", "{{item}}", {"docs": docs})) == {
        "1": "x",
        "2": "y",
    }


def test_choices_add_one_closing_line() -> None:
    """It names the labels; --no-ask leaves it out."""
    asked = planned("vote", "--choices safe,unsafe", "x").tasks[0]
    assert asked.prompt == "x\n\nEnd with one line: ANSWER: <one of safe, unsafe>"
    assert planned("vote", "--choices safe,unsafe --no-ask", "x").tasks[0].prompt == "x"


def test_repeats_of_one_request_are_numbered() -> None:
    """The sample index counts identical requests only."""
    plan = planned("vote", "-n 4 -m a,b", "x")
    assert [task.sample for task in plan.tasks] == [0, 0, 1, 1]


def test_a_temperature_range_is_spread() -> None:
    """In equal steps from the low to the high end, in the cell's order."""
    plan = planned("vote", "-n 3 -t 0..1", "x")
    assert [task.temperature for task in plan.tasks] == [0.0, 0.5, 1.0]
    own = planned("fanout", "-t 0.5", "%section a -t 0..1 -n 2\nx\n%section b\ny")
    assert [task.temperature for task in own.tasks] == [0.0, 1.0, 0.5]


def test_system_prompts_follow_the_nearest() -> None:
    """A block's own wins over the shared one."""
    body = (
        "%system\nshared {{x}}\n%prompt\npre\n%section a\none\n%section b --system own\ntwo\n"
        "%section c\n%system\nlong\n%prompt\nthree"
    )
    plan = planned("fanout", "", body, {"x": 1})
    assert [task.system for task in plan.tasks] == ["shared 1", "own", "long"]


def test_limits_follow_the_options() -> None:
    """15 s of silence, 60 s for the first token; an explicit time-out bounds both."""
    plain, timed = (
        planned("vote", line, "x").tasks[0] for line in ("", "--timeout 3 --deadline 9")
    )
    assert (plain.silence, plain.first, plain.deadline) == (15.0, 60.0, 120.0)
    assert (timed.silence, timed.first, timed.deadline) == (3.0, 3.0, 9.0)


def test_a_blocks_options_reach_its_call() -> None:
    """Each option of a block is in its call and in no other."""
    own = "--effort low --max-tokens 9 --param a=1 --timeout 3 --deadline 8 --retries 7 --retry-timeouts"
    changed, other = planned("fanout", "", f"%section a {own}\nx\n%section b\ny").tasks
    fields = ("effort", "max_tokens", "params", "silence", "deadline", "retries", "retry_timeouts")
    assert [getattr(changed, name) for name in fields] == ["low", 9, {"a": 1}, 3.0, 8.0, 7, True]
    assert [getattr(other, name) for name in fields] == [None, 4096, {}, 15.0, 120.0, 2, False]


def test_large_maps_are_not_streamed() -> None:
    """Streaming is for panels that a person watches; the choice can be forced."""
    assert planned("vote", "-n 200", "x").tasks[0].stream
    assert not planned("vote", "-n 201", "x").tasks[0].stream
    assert planned("vote", "-n 201 --stream on", "x").tasks[0].stream
    assert not planned("vote", "-n 2 --stream off", "x").tasks[0].stream


def test_sections_with_labels_share_a_key() -> None:
    """Several workers of one labelled section are a vote; free texts keep keys of their own."""
    plan = planned("fanout", "", "%section t -n 3 --choices a,b\nx\n%section f -n 2\ny")
    assert [(s.key, s.tasks) for s in plan.calls.sections(5)] == [
        ("t", (0, 1, 2)),
        ("f.1", (3,)),
        ("f.2", (4,)),
    ]


@pytest.mark.parametrize(
    ("minimum", "workers", "least"),
    [
        ("50%", 3, 2),
        ("50%", 4, 2),
        ("100%", 5, 5),
        ("0%", 5, 0),
        ("1", 5, 1),
        ("33.4%", 3, 2),
        ("0", 3, 0),
    ],
)
def test_the_least_successes_are_whole(minimum: str, workers: int, least: int) -> None:
    """A share is rounded up, exactly."""
    assert least_successes(minimum, workers) == least


@pytest.mark.parametrize(
    ("magic", "body"),
    [
        ("fanout", "%section a\nx\n%section b\ny\n%synthesis -t 0..1\nz"),
        ("vote", "x\n%judge -t 0..1\nz"),
        ("vote", "x\n%guardrail -t 0..1\nz"),
        ("fanout", "%section a\nx\n%guardrail -n 1 -t 0..1\nz"),
    ],
)
def test_a_range_for_one_call_is_an_error(magic: str, body: str) -> None:
    """A block that makes one call has nothing to spread a range over; a guard of several has."""
    with pytest.raises(OptionError, match=r"line \d: %\w+: -t 0..1 is a range for several calls"):
        planned(magic, "", body)
    assert planned(magic, "", body.replace("0..1", "0.5"))
    [guard] = planned("vote", "", "x\n%guardrail -n 3 -t 0..1\nz").guards
    assert [task.temperature for task in guard.tasks] == [0.0, 0.5, 1.0]


def test_a_voters_range_is_spread_over_its_votes() -> None:
    """-t LO..HI on a block: its own votes, from the low end to the high one."""
    plan = planned("vote", "-n 6", "q\n%voter a -t 0..1\n%voter b")
    assert [t.temperature for t in plan.tasks if t.name.startswith("a.")] == [0.0, 0.5, 1.0]
    assert [t.temperature for t in plan.tasks if t.name.startswith("b.")] == [None] * 3


def test_a_voter_with_a_model_takes_no_other_ones_turn() -> None:
    """The cell's models are dealt to the voters that have none."""
    plan = planned("vote", "-m x,y", "q\n%voter a\n%voter b -m z\n%voter c")
    assert dealt(plan) == [("a", "x"), ("b", "z"), ("c", "y")]
    with pytest.raises(OptionError, match="only 1 votes are left for 2 models"):
        planned("vote", "-m x,y", "q\n%voter a\n%voter b -m z")


def test_a_variable_on_a_blocks_line_is_missed_on_that_line() -> None:
    """The error names the line on which the variable stands."""
    with pytest.raises(VariableError, match="line 4: there is no variable 'nope'"):
        planned("fanout", "", "%section a\nx\n%section b --system {{nope}}\ny")


def test_a_scripts_system_prompt_is_never_silently_dropped() -> None:
    """A keyword beside a %system text is the same mistake as an option beside it."""
    cell = parse("fanout", "", "%system\nb\n%prompt\n%section q\nx")
    with pytest.raises(CellSyntaxError, match="cannot be combined"):
        make_plan(cell, {}, model_of, {"model": ("m",)}, {"system": "a"})


def test_the_synthesis_of_a_map_knows_the_task_that_all_share() -> None:
    """Where no item is in the preamble, it is the task of the whole."""
    body = "Summarise.\n%section a\n{{item}}\n%synthesis\n{{task}} {{outputs}}"
    assert planned("fanout", "--each d", body, {"d": [1, 2]}).shared == "Summarise."
    assert planned("fanout", "--each d", f"{{{{item}}}} {body}", {"d": [1, 2]}).shared == ""


def _breaking() -> Iterator[int]:
    yield from (_fail() for _ in "x")


def _fail() -> int:
    raise ZeroDivisionError("a\nb")


@pytest.mark.parametrize(
    ("docs", "says"),
    [
        pytest.param(_breaking(), "ZeroDivisionError: a b", id="generator that breaks"),
        pytest.param(np.array(3), "needs a list of items", id="array without a dimension"),
        pytest.param(
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "two columns with the same name",
            id="columns",
        ),
        pytest.param(["x", None], "^item 2, line 2, .*item is None", id="one bad item"),
    ],
)
def test_items_that_cannot_be_run_over_are_refused(docs: object, says: str) -> None:
    """No item is lost in silence, and nothing of the user's code ends as a stack."""
    with pytest.raises(ParallmError, match=says) as error:
        planned("fanout", "--each docs", "{{item}}", {"docs": docs})
    assert error.value.__context__ is None
    assert "\n" not in str(error.value)


def test_fields_may_have_any_keys() -> None:
    """What a script gives as pairs is sorted by the names as they are sent."""
    cell = parse("fanout", "", "%section q\nx")
    plan = make_plan(cell, {}, model_of, {"model": ("m",)}, {"param": [(1, 2), ("a", 3)]})
    assert plan.tasks[0].params == {"1": 2, "a": 3}


def test_a_synthesis_takes_the_cells_options() -> None:
    """The shared system prompt and one temperature, but no range; its own win."""
    body = "%system\nshared\n%prompt\npre\n%section a\nx\n%synthesis"
    ranged = planned("fanout", "-t 0..1", body).synthesis
    single = planned("fanout", "-t 0.5", f"{body} --system own").synthesis
    assert ranged is not None
    assert single is not None
    assert (ranged.task.system, ranged.task.temperature) == ("shared", None)
    assert (single.task.system, single.task.temperature) == ("own", 0.5)


def test_a_fanout_of_one_prompt_has_three_workers() -> None:
    """As a vote has, unless the cell says otherwise: each way to say so, and each with the others."""
    three = ["s1", "s2", "s3"]
    for line, body, names in (
        ("", "x", three),
        ("", "x\n%synthesis", three),
        ("-n 2", "x\n%synthesis", three[:2]),
        ("-n 1", "x", three[:1]),
        ("-m a,b", "x", three[:2]),
        ("-n 4 -m a,b", "x", [*three, "s4"]),
        ("", "x\n%guardrail\nsafe?", three[:1]),
        ("-n 2", "x\n%guardrail\nsafe?", three[:2]),
        ("", "x\n%guardrail\nsafe?\n%synthesis", three[:1]),
        ("--each docs", "{{item}}", ["1", "2"]),
        ("--each docs -n 2", "{{item}}", ["1.s1", "1.s2", "2.s1", "2.s2"]),
    ):
        plan = planned("fanout", line, body, {"docs": ["p", "q"]})
        assert [task.name for task in plan.tasks] == names, (line, body)


def test_an_empty_section_asks_what_stands_above_it() -> None:
    """A system prompt of its own is enough to make a worker under a shared preamble."""
    body = (
        "Rate this.\n\n%section a --system 'Be kind.'\n\n%section b\n%system\nBe strict.\n%prompt\n"
    )
    plan = planned("fanout", "", body)
    assert [(task.name, task.prompt, task.system) for task in plan.tasks] == [
        ("a", "Rate this.", "Be kind."),
        ("b", "Rate this.", "Be strict."),
    ]
    assert prompts(planned("vote", "", "q\n%voter a\n%voter b\nr")) == {"a": "q", "b": "q\n\nr"}


@pytest.mark.parametrize("magic", ["fanout", "vote"])
def test_an_empty_guard_is_an_error(magic: str) -> None:
    """It never sees the preamble, so it would have nothing to check."""
    with pytest.raises(CellSyntaxError, match=r"line 3: %guardrail is empty; .* only its own text"):
        planned(magic, "", "pre\n%guardrail\n\n")


def test_an_empty_judge_or_synthesis_uses_the_built_in_words() -> None:
    """Both have an instruction of their own."""
    assert planned("fanout", "", "%section a\nx\n%synthesis").synthesis is not None
    assert planned("vote", "", "x\n%judge").judge is not None


def test_a_typed_indentation_changes_no_plan() -> None:
    """An editor that indents swallows no section, and the block's lines lose what it put there."""
    plan = planned("fanout", "", "pre\n  %section a\n  x\n    y\n z\n    %section b\n    w")
    assert prompts(plan) == {"a": "pre\n\nx\n  y\n z", "b": "pre\n\nw"}
    assert plan.notes == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param(" \n\u200b\u00a0", "is empty", id="blanks"),
        pytest.param([], "is empty", id="no items"),
        pytest.param(pd.DataFrame({"a": []}), "is empty", id="no rows"),
    ],
)
def test_an_empty_variable_is_told(text: object, shown: str) -> None:
    """The prompt is sent as it is, and a note names the line; each variable once."""
    plan = planned("vote", "", "q\n\n{{text}}{{text}}", {"text": text})
    [note] = plan.notes
    assert note == f"line 4, the text above the first block: {{{{text}}}} {shown}"
    assert planned("vote", "", "{{text}}", {"text": "0"}).notes == ()
    assert planned("vote", "", "{{text}}", {"text": 0}).notes == ()


def test_an_empty_item_is_told() -> None:
    """With its number, so that it can be found."""
    plan = planned("fanout", "--each docs", "%section a\n{{item}}", {"docs": ["x", " ", ""]})
    assert plan.notes == ("item 2, line 3, %section a: {{item}} is empty",)


@pytest.mark.parametrize(
    ("magic", "body", "says"),
    [
        pytest.param(
            "fanout",
            "%section a\nx\n%section b\n{{outputs.a}}",
            "line 5, .*second cell",
            id="outputs",
        ),
        pytest.param(
            "fanout",
            "%section a\nx\n%section b\n{{outputs}}",
            "works only in %synthesis",
            id="all outputs",
        ),
        pytest.param(
            "fanout", "%section a\nx\n%section b\n{{a}}", "runs at the same time", id="a section"
        ),
        pytest.param(
            "fanout", "{{task}}\n%section b\nx", "line 2, .*%synthesis and %judge", id="task"
        ),
        pytest.param("vote", "{{candidates}}", "works only in %judge", id="candidates"),
        pytest.param(
            "vote",
            "%voter a\nx\n%judge\n{{outputs}}",
            "works only in %synthesis",
            id="outputs in a judge",
        ),
    ],
)
def test_no_prompt_sees_the_answers_of_its_own_cell(magic: str, body: str, says: str) -> None:
    """Sections run at the same time; the error names the way out, a second cell."""
    with pytest.raises(VariableError, match=says) as error:
        planned(magic, "", body)
    assert "to keep it as text" in str(error.value)


def test_a_variable_of_that_name_is_the_users() -> None:
    """A notebook may have a value called outputs."""
    assert prompts(planned("vote", "-n 1", "{{outputs.a}}", {"outputs": {"a": "A"}})) == {"v1": "A"}


def test_items_may_have_a_private_name() -> None:
    """An option asks for the user's own variable by its name; in a template it cannot be reached."""
    variables = {"_docs": ["p", "q"], "_labels": ["x", "y"]}
    assert prompts(planned("fanout", "--each _docs", "{{item}}", variables)) == {"1": "p", "2": "q"}
    line = "--each _docs --truth _labels --choices x,y"
    assert planned("vote", line, "{{item}}", variables).study is not None
    with pytest.raises(OptionError, match="no variable '_dosc'"):
        planned("fanout", "--each _dosc", "{{item}}", variables)
    with pytest.raises(VariableError, match="start with _"):
        planned("fanout", "--each docs._x", "{{item}}", {"docs": 1})


@pytest.mark.parametrize(
    ("line", "path"),
    [
        pytest.param("--each docs.nope", "docs.nope", id="no attribute of the items"),
        pytest.param("--each docs._nope", "docs._nope", id="private attribute of the items"),
        pytest.param('--each docs["nope"]', 'docs["nope"]', id="no index of the items"),
        pytest.param("--each docs --truth labels.nope", "labels.nope", id="no part of the labels"),
        pytest.param("--each docs --truth {{item.nope}}", "item.nope", id="no part of an item"),
    ],
)
def test_what_is_no_text_is_not_offered_as_text(line: str, path: str) -> None:
    """An option that asks for a name has no text to keep, so its error tells of no backslash."""
    with pytest.raises(VariableError) as error:
        planned("vote", f"{line} --choices x,y", "{{item}}", {"docs": ["p", "q"], "labels": ["x"]})
    assert path in str(error.value)
    assert "\\" not in str(error.value)
    assert "{{" not in str(error.value)


def test_an_unknown_variable_is_told_before_a_missing_model() -> None:
    """Alone: the error of the model is no part of it, not even as its context."""
    with pytest.raises(VariableError, match="no variable 'nix'") as error:
        make_plan(parse("fanout", "", "{{nix}}"), {}, model_of)
    assert error.value.__context__ is None
