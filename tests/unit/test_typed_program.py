"""The program of `%parallm code` asks for objects and enforced labels with the SDK's own means, and decides alike."""

from __future__ import annotations

import asyncio
import json
import runpy
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider import Loopback
from provider_formats import asked_format
from pydantic import BaseModel, Field
from test_program import runs, source

from parallm_magics import fanout, vote
from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.export.class_code import Classes
from parallm_magics.export.inlining import free_names, import_lines
from parallm_magics.export.whole import _STANDARD
from parallm_magics.providers import registry

SHORT = "vendor, total: number, due?: date, tags: [text]"
MODELS = ("claude-haiku-5-5", "gpt-6-luna", "openai-responses:gpt-6-luna")


class Line(BaseModel):
    """One line."""

    item: str
    price: float = Field(ge=0)


class Invoice(BaseModel):
    """What somebody has to pay."""

    vendor: str = Field(description='who "wrote" it', max_length=50)
    due: date | None
    kind: Literal["bill", "reminder"] = "bill"
    lines: list[Line] = Field(min_length=1)
    no: int = Field(alias="class")


SAID = {
    "vendor": "Acme",
    "due": "2026-11-30",
    "kind": "bill",
    "lines": [{"item": "bolt", "price": 2.5}],
    "class": 7,
}


def answering(*objects: dict[str, Any] | str) -> Any:
    """What says these in turn, as JSON."""
    turns = iter(objects * 20)
    return lambda body: each if isinstance(each := next(turns), str) else json.dumps(each)


def both(server: Loopback, home: Path, magic: str, line: str, body: str, **variables: Any) -> Any:
    """The run of a cell, what its program prints, and the formats and prompts that either asks for."""
    function: Any = vote if magic == "vote" else fanout
    said = server.answers
    run = asyncio.run(function(f"%%{magic} {line}\n{body}", variables=variables, stream="off"))
    mine = [(call.prompt, asked_format(call.body)[0]) for call in server.log]
    server.clear()
    server.answers = said
    printed = runs(source(f"{magic} {line}", body, **variables), home)
    theirs = [(call.prompt, asked_format(call.body)[0]) for call in server.log]
    return run, printed, mine, theirs


@pytest.mark.parametrize("enforce", ["on", "off"])
@pytest.mark.parametrize("model", MODELS)
def test_a_program_asks_for_an_object_as_its_cell_does(
    server: Loopback, tmp_path: Path, model: str, enforce: str
) -> None:
    """By the SDK's own structured output, or in words; the same fields are read."""
    server.answers = lambda body: json.dumps(SAID)
    line = f"-m {model} --enforce {enforce}"
    run, printed, mine, theirs = both(
        server, tmp_path, "fanout", line, "%section a --schema Invoice\nRead it.", Invoice=Invoice
    )
    assert mine == theirs
    assert bool(mine[0][1]) is (enforce == "on")
    assert run["a"].lines[0].price == 2.5
    assert printed.startswith("a: vendor='Acme' due=datetime.date(2026, 11, 30) kind='bill'")
    assert "price=2.5" in printed


def test_an_answer_that_does_not_conform_is_asked_for_once_more(
    server: Loopback, tmp_path: Path
) -> None:
    """With the error; after that it has failed."""
    good, bad = {"vendor": "Acme", "total": 1}, {"vendor": "Acme", "total": "much"}
    server.answers = answering(bad, good)
    line = '-m gpt-6-luna --enforce off --schema "vendor, total: number"'
    text = source(f"fanout -n 1 {line}", "Read it.")
    assert "vendor='Acme' total=1.0" in runs(text, tmp_path)
    assert len(server.log) == 2
    assert server.log[1].prompt.startswith(server.log[0].prompt)
    assert "total" in server.log[1].prompt.partition("conform")[2]
    server.clear()
    server.answers = answering(bad)
    with pytest.raises(SystemExit, match="only 0 of 1"):
        runs(text, tmp_path)


VOTES = (
    {"vendor": "Acme", "total": 12, "due": "2026-11-30", "tags": ["a", "b"]},
    {"vendor": "ACME", "total": 12.0, "due": None, "tags": ["b", "a"]},
    {"vendor": "Bolt", "total": 13, "due": "2026-11-30", "tags": []},
)


@pytest.mark.parametrize(
    "rule",
    ["", "--pick median", "--threshold 3", "--pick majority --ties first", "--pick unanimous"],
)
def test_a_program_votes_on_each_field_as_its_cell_does(
    server: Loopback, tmp_path: Path, rule: str
) -> None:
    """Values that mean the same are one answer; a field that the rule cannot count has plurality."""
    server.answers = answering(*VOTES)
    line = f'-n 3 -m gpt-6-luna -c 1 --schema "{SHORT}" {rule}'
    run, printed, _, _ = both(server, tmp_path, "vote", line, "Read it.")
    for name, fell in run.fields.items():
        assert f"{name}: {fell.status}, {dict(fell.tally)}" in printed
    winners = {name: fell.plain for name, fell in run.fields.items()}
    assert f"winner: {winners}" in printed


def test_a_section_that_votes_on_objects_is_written_out(server: Loopback, tmp_path: Path) -> None:
    """Beside one that does not, and with a synthesis of both."""
    server.answers = lambda body: (
        "MERGED" if "<answer" in str(body["messages"]) else json.dumps(VOTES[0])
    )
    body = f'%section a -n 3 --schema "{SHORT}"\nA\n%section b\nB'
    run, printed, _, _ = both(server, tmp_path, "fanout", "-m gpt-6-luna", body)
    assert "vendor: decided, {'Acme': 3}" in printed
    assert "'tags': ['a', 'b']" in printed
    assert run["a"]["vendor"] == "Acme"
    server.clear()
    body = f'%section a --schema "{SHORT}"\nA\n%section b\nB\n%synthesis\nMerge.'
    assert runs(source("fanout -m gpt-6-luna", body), tmp_path).strip() == "MERGED"
    assert '"vendor": "Acme"' in server.log[-1].prompt


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("asks", ["--choices yes,no", "--score 1..5"])
def test_an_enforced_label_is_enforced_in_the_program(
    server: Loopback, tmp_path: Path, model: str, asks: str
) -> None:
    """By the same field of the request; what comes is read as the cell reads it."""
    said = "yes" if "choices" in asks else 3
    server.answers = lambda body: json.dumps({"answer": said})
    line = f"-n 3 -m {model} {asks} --enforce on"
    run, printed, mine, theirs = both(server, tmp_path, "vote", line, "Is it?")
    assert mine == theirs
    assert mine[0][1]
    assert f"winner: {run.winner}" in printed.replace(".0\n", "\n")
    assert "3 of 3 votes could be read" in printed


# --- classes --------------------------------------------------------------------------------------


def defined(home: Path, *schemas: Any) -> dict[str, Any]:
    """What the classes of these schemas define."""
    classes = Classes([schema_of(each) for each in schemas])
    used = {name: _STANDARD[name] for name in free_names(classes.source) & _STANDARD.keys()}
    path = home / "classes.py"
    path.write_text("\n".join([*import_lines(used), classes.source]))
    return runpy.run_path(str(path))


def test_the_classes_take_what_the_schema_takes(tmp_path: Path) -> None:
    """Names that Python or pydantic has already, limits, closed sets, what is nested and what may be left out."""
    made = defined(tmp_path, Invoice)["Invoice"]
    assert made.model_validate(SAID).model_dump(mode="json", by_alias=True) == SAID
    for wrong in (
        {"vendor": "x" * 51},
        {"kind": "letter"},
        {"lines": []},
        {"lines": [{"item": "bolt", "price": -1}]},
        {"due": "soon"},
    ):
        with pytest.raises(ValueError, match="validation error"):
            made.model_validate(SAID | wrong)


def test_checks_of_the_users_own_class_are_said_to_be_missing() -> None:
    """As a JSON Schema does not hold them; the short form has none."""
    note = "checks that it adds by itself are not in here"
    line = "fanout -n 1 -m gpt-6-luna --schema"
    assert note in source(f"{line} Invoice", "Read.", Invoice=Invoice)
    assert note not in source(f'{line} "vendor, total: number"', "Read.")


def test_odd_names_are_names(tmp_path: Path) -> None:
    """Two schemas of one name, and keys that no class may have."""
    odd = {"a b": 1, "class": 1, "model_x": 1, "date": 1, "json": 1, "1st": 1, "_x": 1, "Any": 1}
    node = {"type": "object", "properties": {name: {"type": "integer"} for name in odd}}
    once, twice = (
        {**node, "title": "same thing"},
        {**node, "title": "same thing", "maxProperties": 9},
    )
    made = defined(tmp_path, once, twice)
    for each in ("SameThing", "SameThing2"):
        assert made[each].model_validate(odd).model_dump(by_alias=True) == odd


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.sampled_from(
            [
                {"type": "string", "description": '"""\n\\ \u2028'},
                {"type": ["integer", "null"]},
                {"enum": ["a'b", 1, None]},
                {"type": "array"},
                {"type": "object"},
                {"const": '"'},
                {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"q": {}}}]},
            ]
        ),
        min_size=1,
        max_size=5,
    ),
    st.text(max_size=10),
)
def test_any_schema_is_a_class(
    tmp_path_factory: pytest.TempPathFactory, properties: dict[str, Any], title: str
) -> None:
    """Whatever its fields are called: what it says is never code."""
    home = tmp_path_factory.getbasetemp()
    assert defined(home, {"type": "object", "title": title, "properties": properties})


# --- decision models ------------------------------------------------------------------------------


@pytest.fixture(params=["decide:gpt-6-luna", "mine-decide:jev"])
def deciding(
    server: Loopback, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A decision model of each wire, by the name that a cell has for it."""
    registry.define("mine", f"{server.url}/v1")
    yield request.param
    registry.forget("mine")


def test_a_program_asks_a_decision_model(server: Loopback, tmp_path: Path, deciding: str) -> None:
    """Each question by itself, with the same words; labels, levels and probabilities are the same."""
    server.answers = lambda body: "4 0.6"  # of labels without a 4 the first has 0.75
    body = (
        "Acme owes 12.\n\n%section a --choices yes,no\nIs it?\n%section b --score 1..5\nHow good?"
    )
    run = asyncio.run(fanout(f"%%fanout -m {deciding}\n{body}"))
    mine = [call.body for call in server.log]
    server.clear()
    printed = runs(source(f"fanout -m {deciding}", body), tmp_path)
    theirs = [call.body for call in server.log]
    asked = [
        q if isinstance(each["questions"], list) else each["questions"][q]
        for each in (*mine, *theirs)
        for q in each["questions"]
    ]
    words = sorted(each["instructions"] for each in asked)
    assert words == ["How good?", "How good?", "Is it?", "Is it?"]
    assert {each.get("input", each.get("state")) for each in (*mine, *theirs)} == {"Acme owes 12."}
    for key, value in run.items():
        assert f"{key}: {value}\n" in f"{printed}\n"
    assert "yes 75%, no 25%" in printed
    assert run.results[0].probabilities == {"yes": 0.75, "no": 0.25}


@pytest.mark.parametrize("least", ["20%", "30%"])
def test_a_guard_by_a_decision_model_blocks_in_its_program_too(
    server: Loopback, tmp_path: Path, deciding: str, least: str
) -> None:
    """From the same probability on."""
    server.answers = lambda body: "ALLOW 0.75" if "questions" in body else "Said."
    body = f"Say it.\n%guardrail -m {deciding} --threshold {least}\nMay it not?"
    run = asyncio.run(fanout(f"%%fanout -n 1 -m gpt-6-luna\n{body}", stream="off"))
    printed = runs(source("fanout -n 1 -m gpt-6-luna", body), tmp_path)
    assert run.blocked is (least == "20%")
    assert run.text in printed
    assert ("Said." in printed) is not run.blocked


def test_a_simulated_decision_model_gives_a_program_for_a_real_one() -> None:
    """Of OpenAI's Decisions."""
    text = source("fanout -m sim:?sharpness=1", "Is it?\n%section a --choices yes,no\nSay.")
    assert "client.decisions.create" in text
    assert "the cell used a simulated model" in text
