"""What a map is about stays in sight: its keys, its items, and how each call was asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from fakes import Fake, previewed, run_context
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, StudyRun, fanout, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.cell.rendering import ITEM_CHARS
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Task
from parallm_magics.patterns.fanout import FanoutPattern

CRITERIA = {"clarity": "Is it clear?", "tone": "Is it polite?", "facts": "Is it true?"}
SCORED = "--score 1..10"


def planned(docs: Any, line: str = "", body: str = "{{item}}", **variables: Any) -> Plan:
    """The plan of a map over these items."""
    cell = parse("fanout", f"--each docs {line}", body)
    known = {"docs": docs, **variables}
    return make_plan(cell, known, lambda text: Model("fake", text), {"model": ("m",)})


def mapped(
    docs: Any, said: Mapping[str, str], line: str = "", body: str = "{{item}}", **variables: Any
) -> FanoutRun:
    """A map whose workers say these words by name: "!" fails, others are fine."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        if said.get(task.name) == "!":
            raise CallFailed(Fault("bad_request", "no"))
        return Reply(said.get(task.name, "fine"))

    plan = planned(docs, f"--min-success 0 --retries 0 {line}", body, **variables)
    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(act))))
    return run


# --- keys and positions ---------------------------------------------------------------------------


class Lazy(Mapping[str, str]):
    """A mapping that makes its items when they are asked for, as a file of arrays does."""

    def __getitem__(self, key: str) -> str:
        return {"a": "x", "b": "y"}[key]

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    "docs",
    [
        pytest.param({"a": "x", "b": "y"}, id="dict"),
        pytest.param(MappingProxyType({"a": "x", "b": "y"}), id="proxy"),
        pytest.param(ChainMap({"b": "y"}, {"a": "x"}), id="chain"),
        pytest.param(Lazy(), id="a mapping of its own"),
        pytest.param({7: "x", 9: "y"}, id="whole numbers"),
        pytest.param({("a", 1): "x", ("b", 2): "y"}, id="tuples"),
        pytest.param({"a.b": "x", "ü ": "y"}, id="strange names"),
        pytest.param({True: "x", None: "y"}, id="singletons"),
    ],
)
def test_a_dict_gives_its_keys_to_the_run(docs: Mapping[Any, str]) -> None:
    """The keys themselves, in their order; records carry key and item in the same order."""
    run = mapped(docs, {})
    assert list(run) == list(docs)
    assert [run[key] for key in docs] == ["fine", "fine"]
    assert [record.item for record in run.results] == list(docs.values())
    assert [record.name for record in run.results] == [str(key) for key in docs]
    assert list(json.loads(json.dumps(run.to_dict()))["values"]) == [str(key) for key in docs]


def test_sections_of_a_dict_are_named_after_both() -> None:
    """KEY.SECTION, and a synthesis may name one of them."""
    body = '{{item}}\n%section a\nA\n%section b\nB\n%synthesis\nOnly {{outputs["tone.a"]}}'
    run = mapped(CRITERIA, {}, body=body)
    assert list(run) == [f"{key}.{name}" for key in CRITERIA for name in "ab"]
    assert run["facts.b"] == "fine"
    with pytest.raises(Exception, match="no section 'sound\\.a'"):
        planned(CRITERIA, body=body.replace("tone.a", "sound.a"))


@pytest.mark.parametrize(
    ("docs", "why"),
    [
        pytest.param({}, "docs is empty", id="empty"),
        pytest.param({1: "x", "1": "y"}, "the keys 1 and '1' of docs look the same", id="alike"),
    ],
)
def test_a_dict_without_usable_keys_is_an_error(docs: dict[Any, str], why: str) -> None:
    """Before any call."""
    with pytest.raises(OptionError, match=why):
        planned(docs)


@pytest.mark.parametrize("lost", ["!", "no idea", " "])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("kind", ["list", "dict", "generator"])
def test_one_lost_value_shifts_no_other(kind: str, at: int, lost: str) -> None:
    """Read by position or by key, each value is that of its own item, and the lost one is None."""
    docs: Any = {
        "list": [*CRITERIA.values()],
        "dict": CRITERIA,
        "generator": (each for each in CRITERIA.values()),
    }[kind]
    names = [*CRITERIA] if kind == "dict" else ["1", "2", "3"]
    said = {name: f"ANSWER: {number}" for number, name in enumerate(names, 3)} | {names[at]: lost}
    run = mapped(docs, said, SCORED)
    expected: list[float | None] = [3.0, 4.0, 5.0]
    expected[at] = None
    assert [*zip(CRITERIA, run.values(), strict=True)] == [*zip(CRITERIA, expected, strict=True)]
    assert dict(run) == dict(zip(names, expected, strict=True))
    assert [record.value for record in run.results] == expected
    assert len(run.failed) == 1


@given(st.lists(st.sampled_from(["yes", "no", "?", "!"]), min_size=1, max_size=12))
def test_keys_values_and_frames_agree(said: list[str]) -> None:
    """One row, one key and one value an item, in one order, whatever failed."""
    docs = [f"doc {at}" for at in range(len(said))]
    words = {"yes": "ANSWER: yes", "no": "ANSWER: no", "?": "hm", "!": "!"}
    names = [str(at) for at in range(1, len(said) + 1)]
    run = mapped(docs, {n: words[s] for n, s in zip(names, said, strict=True)}, "--choices yes,no")
    expected = [word if word in ("yes", "no") else None for word in said]
    rows = run.to_dict()["results"]
    assert [*run.items()] == [*zip(names, expected, strict=True)]
    assert [(row["item"], row["value"]) for row in rows] == [*zip(docs, expected, strict=True)]
    line = " · ".join(
        f"{label} {expected.count(word)}"
        for label, word in (("yes", "yes"), ("no", "no"), ("without an answer", None))
        if word or None in expected
    )
    assert (line in str(run)) == (len(said) > 1)


def test_repeats_keep_their_places_too() -> None:
    """Values of -n or of several models can be read beside the models."""
    cell = parse("fanout", "-m a,b,c --min-success 0 --retries 0", "ask")
    plan = make_plan(cell, {}, lambda text: Model("fake", text))

    async def act(task: Task, heard: Heard) -> Reply:
        if task.model.name == "b":
            raise CallFailed(Fault("bad_request", "no"))
        return Reply(task.model.name)

    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(act))))
    assert [*zip("abc", run.values(), strict=True)] == [("a", "a"), ("b", None), ("c", "c")]


def test_a_written_section_without_an_answer_says_why() -> None:
    """It is read by its name, so that an error is of more use than None."""
    cell = parse("fanout", "--min-success 0 --retries 0", "%section a\nA\n%section b\nB")
    plan = make_plan(cell, {}, lambda text: Model("fake", text), {"model": ("m",)})

    async def act(task: Task, heard: Heard) -> Reply:
        if task.name == "b":
            raise CallFailed(Fault("bad_request", "no"))
        return Reply("fine")

    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(act))))
    assert list(run) == ["a"]
    with pytest.raises(KeyError, match=r"section 'b' has no answer .1 failed.; see run.failed"):
        run["b"]


# --- studies --------------------------------------------------------------------------------------


def studied(docs: Any, truth: Any, **options: Any) -> StudyRun:
    """A study over a simulated panel that knows the truth."""
    body = "Is it good? {{item}}"
    variables = {"docs": docs, "truth": truth}
    run = asyncio.run(
        vote(
            body,
            each="docs",
            n=3,
            choices="good,bad",
            truth="truth",
            model="sim:?accuracy=1",
            variables=variables,
            **options,
        )
    )
    assert isinstance(run, StudyRun)
    return run


DOCS = {"one": "a", "two": "b", "three": "c"}


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(["good", "bad", "good"], id="a list in their order"),
        pytest.param({"three": "good", "one": "good", "two": "bad"}, id="a dict in another order"),
    ],
)
def test_a_study_of_a_dict_has_its_keys(truth: Any) -> None:
    """Labels go by key where they have keys, else by place."""
    run = studied(DOCS, truth)
    assert dict(run) == {"one": "good", "two": "bad", "three": "good"}
    assert [row["key"] for row in run.to_dict()["items"]] == [*DOCS]


@pytest.mark.parametrize(
    ("docs", "truth", "why"),
    [
        (
            DOCS,
            {"one": "good", "tow": "bad"},
            "has the key 'tow', which docs does not have; did you mean 'two'",
        ),
        ([*DOCS.values()], {"one": "good"}, "truth is a dict; use list"),
        (DOCS, {"one": "fair"}, "item 1, --truth: 'fair' is not one of"),
    ],
)
def test_labels_with_other_keys_are_refused(docs: Any, truth: Any, why: str) -> None:
    """Nobody can say which item they belong to."""
    with pytest.raises(Exception, match=why):
        studied(docs, truth)


def test_a_label_that_is_left_out_is_none() -> None:
    """The item is asked all the same."""
    run = studied(DOCS, {"one": "good"})
    assert [item.truth for item in run.measured] == ["good", None, None]


# --- items ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "body", "shown"),
    [
        pytest.param("a text", "{{item}}", "a text", id="text"),
        pytest.param(7, "{{item}}", 7, id="whole number"),
        pytest.param(0.5, "{{item}}", 0.5, id="number"),
        pytest.param(
            {"text": "t", "label": "l"}, "{{item.text}}", "t", id="the part that is asked"
        ),
        pytest.param({"a": 1, "b": 2}, "{{item.a}}: {{item.b}}", "1 · 2", id="parts"),
        pytest.param(["x", "y"], "{{item}}", '["x", "y"]', id="list"),
        pytest.param("a text", "{{index}}", "a text", id="its number alone"),
        pytest.param("x" * 9_999, "{{item}}", "x" * (ITEM_CHARS - 1) + "…", id="long"),
    ],
)
def test_a_record_tells_its_item(item: Any, body: str, shown: Any) -> None:
    """What the prompt says of it, clipped; a number as it is."""
    [record] = mapped([item], {}, body=body).results
    assert (record.key, record.item) == ("1", shown)


def test_an_item_without_a_text_is_told_all_the_same() -> None:
    """The record that says why it was not asked."""
    docs = [*["x"] * 1_001, b"bytes"]
    [lost] = mapped(docs, {}).failed
    assert (lost.key, lost.item) == ("1002", "bytes")


REVIEWS = [f"review number {at}: {'good' if at % 4 else 'bad'}" for at in range(40)]


def rated() -> FanoutRun:
    """Forty short reviews, each rated; the first one cannot be read."""
    said = {str(at): f"ANSWER: {'positive' if at % 4 else 'negative'}" for at in range(2, 41)}
    return mapped(REVIEWS, {**said, "1": "hm"}, "--choices positive,negative")


def test_a_map_shows_item_and_counts() -> None:
    """The item is the first column, and a line tells how often each label was read."""
    run = rated()
    page = run._repr_mimebundle_()
    for shown in page.values():
        assert "review number 17" in shown
    assert "positive 29 · negative 10 · without an answer 1" in page["text/plain"]
    html = page["text/html"]
    assert html.index(">Item<") < html.index(">Worker<")
    assert html.index("positive") < html.index(">Item<")
    lines = [line for line in page["text/plain"].split("\n") if line.startswith("review number 17")]
    assert any(" ok " in line and " positive " in line for line in lines)


def test_counts_are_told_by_section() -> None:
    """Each section that has labels has its line."""
    body = "{{item}}\n%section a --choices yes,no\nA\n%section b --choices on,off\nB\n%section c\nC"
    said = {"1.a": "yes", "2.a": "no", "1.b": "on", "2.b": "on"}
    plain = str(mapped(["x", "y"], said, body=body))
    assert "a: yes 1 · no 1" in plain
    assert "b: on 2 · off 0" in plain
    assert "c:" not in plain


def test_one_item_needs_no_counts() -> None:
    """Nor do sections without items."""
    assert "yes 1 · no 0" not in str(mapped(["x"], {"1": "yes"}, "--choices yes,no"))


def test_a_frame_has_the_items() -> None:
    """A row an item, beside what was said of it; without items there is no such column."""
    pandas = pytest.importorskip("pandas")
    frame = rated().to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert [*frame["item"]] == REVIEWS
    assert [*frame["key"]] == [str(at) for at in range(1, 41)]
    assert frame.loc[frame["item"] == REVIEWS[8], "value"].item() == "positive"
    plain = asyncio.run(fanout("%section a\nx", model="sim")).to_pandas()
    assert not {"item", "key"} & {*plain.columns}


def test_votes_of_items_are_named_after_them() -> None:
    """Each vote is a row that begins with its item."""
    run = mapped(["first text", "second text"], {"1.s1": "yes"}, "-n 3 --choices yes,no")
    assert re.search("first text +1.s1 ", str(run))


# --- how each was asked ---------------------------------------------------------------------------


UNLIKE = (
    '%section a -t 0.2 --effort low --system "You are A."\nA\n'
    "%section b -t 0.9\n%system\nYou are B.\n%prompt\nB\n%section c\nC"
)


def test_settings_that_differ_are_shown() -> None:
    """In the records, the frame's rows, and a column each; alike ones need none."""
    run = asyncio.run(fanout(UNLIKE, model="sim"))
    asked = [(r.temperature, r.effort, r.system) for r in run.results]
    assert asked == [(0.2, "low", "You are A."), (0.9, None, "You are B."), (None, None, None)]
    rows = run.to_dict()["results"]
    assert [(row["temperature"], row["effort"], row["system"]) for row in rows] == asked
    for page in run._repr_mimebundle_().values():
        for word in ("Temp.", "Effort", "System", "You are A.", "0.9"):
            assert word in page
    alike = asyncio.run(fanout("%section a\nA\n%section b\nB", model="sim", temperature=0.2))
    for page in alike._repr_mimebundle_().values():
        assert not any(word in page for word in ("Temp.", "Effort", "System"))


def test_a_dry_run_tells_how_each_is_asked() -> None:
    """Temperature and effort beside the model, the system prompt above the prompt."""
    cell = parse("vote", "-n 2 -t 0..1 --effort high", "ask")
    shown = repr(
        previewed(make_plan(cell, {}, lambda text: Model("fake", text), {"model": ("m",)}))
    )
    assert "v1 (fake:m, temperature 0, effort high)" in shown
    assert "v2 (fake:m, temperature 1, effort high)" in shown
    assert "2 · second" in repr(previewed(planned(["first", "second"])))


def test_a_system_prompt_with_the_item_is_told_as_typed() -> None:
    """It is sent with the item in it; what sets the calls apart is their item."""
    docs, body = ["x", "y"], "ask {{index}}\n%section a\n%system\nYou know {{item}}.\n%prompt\nA"
    assert [task.system for task in planned(docs, body=body).tasks] == [
        "You know x.",
        "You know y.",
    ]
    run = mapped(docs, {}, body=body)
    assert {record.system for record in run.results} == {"You know {{item}}."}
    assert "System" not in str(run)


def test_every_record_has_its_role() -> None:
    """Workers, guards, judge and synthesis are told apart in the records and as plain data."""
    run = asyncio.run(fanout("%section a\nA\n%guardrail g\nok?\n%synthesis\nMerge.", model="sim"))
    assert run.guard is not None
    assert run.synthesis is not None
    roles = [r.role for r in (*run.results, *run.guard.records, run.synthesis)]
    assert roles == ["worker", "guard", "synthesis"]
    data = run.to_dict()
    assert [data["results"][0]["role"], data["synthesis"]["role"]] == ["worker", "synthesis"]
    judged = asyncio.run(vote("Which?\n%judge\nPick.", model="sim", n=3))
    assert {record.role for record in judged.judgments} <= {"judge"}
    assert {record.role for record in judged.results} == {"worker"}
