"""Forty schemas: read, refused, simulated, and on both wires natively, in words, asked again and broken."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from collections.abc import Callable

import pytest
from asking import MODELS, fanned, served
from many_schemas import REFUSED, SUPPORTED, Case
from provider import Act
from provider_dialects import Call
from provider_formats import asked_format
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, fanout
from parallm_magics.answers.object_forms import asking_for_object, object_text
from parallm_magics.answers.object_in_text import NoObjectError, read_object
from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.core.plain_values import plain_value

each_case = pytest.mark.parametrize("case", SUPPORTED, ids=lambda case: case.name)
SECTIONS = "\n".join(
    f"%section s{at} --schema source{at}\nRead case {at:02}." for at in range(len(SUPPORTED))
)
SOURCES = {f"source{at}": case.source for at, case in enumerate(SUPPORTED)}


def test_there_are_forty() -> None:
    """Every kind that the documentation names is among them."""
    assert len(SUPPORTED) + len(REFUSED) >= 40


@each_case
def test_a_conforming_answer_is_read_and_another_is_not(case: Case) -> None:
    """The object can be written as JSON and read again; a mistake is told in one line."""
    schema = schema_of(case.source)
    made = read_object(json.dumps(case.good), schema)
    assert schema.make(schema.plain(made)) == made
    assert json.dumps(plain_value(made))
    assert "{" not in object_text(made)
    with pytest.raises(NoObjectError) as error:
        read_object(json.dumps(case.bad), schema)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)
    assert pickle.loads(pickle.dumps(schema)).make(case.good) == made  # noqa: S301 - our own


@each_case
def test_the_closing_words_show_every_field(case: Case) -> None:
    """In the schema's order, and without JSON Schema's own words."""
    schema = schema_of(case.source)
    words = asking_for_object(schema)
    places = [words.index(json.dumps(each.name, ensure_ascii=False)) for each in schema.fields]
    assert places == sorted(places)
    for word in ("$ref", "anyOf", "properties"):
        assert word not in words


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_is_not_supported_is_refused_before_any_call(case: Case) -> None:
    """In one line that names the reason."""
    with pytest.raises(OptionError) as error:
        run_virtual(fanout("Read.", model="sim", schema=case.source))
    assert case.bad in str(error.value)
    assert str(error.value).startswith("line 1: --schema: ")


def test_simulated_objects_conform() -> None:
    """Right ones and wrong ones, in ten seeds; the same seed gives the same."""
    for seed in random.Random(1).sample(range(1000), 10):
        options = {"model": "sim:?accuracy=0.5", "seed": seed, "variables": SOURCES}
        run, again = (run_virtual(fanout(SECTIONS, **options))[0] for _ in range(2))
        assert isinstance(run, FanoutRun)
        assert len(run.succeeded) == len(SUPPORTED)
        assert [record.value for record in run.results] == [r.value for r in again.results]
        assert run.simulated


Way = Callable[[Case, Call, int], Act]
"""What a server answers for a case to a call, of which so many came before for this case."""


def _native(case: Case, call: Call, before: int) -> Act:
    return Act(text=json.dumps(case.good))


def _in_words(case: Case, call: Call, before: int) -> Act:
    name, asked = asked_format(call.body)
    if asked is not None:
        words = {"message": f"{name} is not supported by this model", "type": "error", "code": None}
        return Act(status=400, body={"error": words})
    return Act(text=f"Certainly:\n```json\n{json.dumps(case.good, indent=1)}\n```\nAnything else?")


def _asked_again(case: Case, call: Call, before: int) -> Act:
    return Act(text=json.dumps(case.good if "It is not valid: " in call.prompt else case.bad))


def _broken(case: Case, call: Call, before: int) -> Act:
    return Act(text=json.dumps(case.bad))


def _case_of(call: Call) -> int:
    return int(call.prompt.partition("Read case ")[2][:2])


WAYS: dict[str, Way] = {
    "native": _native,
    "in words": _in_words,
    "asked again": _asked_again,
    "broken": _broken,
}


@pytest.mark.wire
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dialect", MODELS)
def test_all_are_classified_on_both_wires(dialect: str, way: str) -> None:
    """Each worker ends as the object, or as invalid with the reason; nothing ends in any other way."""
    counts: dict[int, int] = {}

    def act(call: Call) -> Act:
        at = _case_of(call)
        before, counts[at] = counts.get(at, 0), counts.get(at, 0) + 1
        return WAYS[way](SUPPORTED[at], call, before)

    with served() as server:
        server.script(MODELS[dialect], act)
        run = asyncio.run(fanned(SECTIONS, model=MODELS[dialect], variables=SOURCES))
        held = {_case_of(call) for call in server.log if asked_format(call.body)[1] is not None}
    for at, (case, record) in enumerate(zip(SUPPORTED, run.results, strict=True)):
        outcomes = [each.outcome for each in record.attempts]
        if way == "broken":
            assert record.status == "invalid", case.name
            assert record.error is not None
            assert "\n" not in record.error.message
            assert outcomes == ["unreadable", "unreadable"], case.name
            continue
        assert record.status == "ok", (case.name, record.error)
        assert run[f"s{at}"] == schema_of(case.source).make(case.good)
        expected = {"native": ["ok"], "asked again": ["unreadable", "ok"]}
        assert outcomes == expected.get(way, outcomes), case.name
        assert bool(record.adapted) == (way == "in words" or at not in held)
    # A few hold what a wire's own form cannot say, such as an object whose keys nobody knows.
    assert len(held) >= len(SUPPORTED) - 5
