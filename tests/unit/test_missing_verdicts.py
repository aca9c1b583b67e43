"""Every place where a verdict may be missing, and every way in which it may be: never a pass, always said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakes import USED, Fake, run_context
from paths import DATA
from virtual_time import run_virtual

from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, FaultKind, Finish, Model, Task
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.study.run_study import StudyPattern

PLACES = json.loads((DATA / "missing-verdicts.json").read_text(encoding="utf-8"))
"""A row a place.

place: its name. magic, line, body: the cell, with `items` of three words. says: what each worker
says whose verdict is there. missing: the workers whose verdict is not. looks: what a verdict of these
would have been, so that a cut or conflicting answer looks like a pass. ends: attributes of the run and
their values, a dot before a part. said: what stands on the page.
"""
RUNNERS: Mapping[str, Any] = {
    "fanout": FanoutPattern.run,
    "vote": VotePattern.run,
    "study": StudyPattern.run,
}
INTERRUPT = 5.0

Missing = Callable[[Task, str], Reply]
"""From a task and what would have been a verdict to how the call ends without one."""


def failed(kind: FaultKind, text: bool = False) -> Missing:
    """A call that fails, perhaps after it had written what would be a verdict."""

    def end(task: Task, looks: str) -> Reply:
        raise CallFailed(Fault(kind, f"{kind} says no"), text=looks if text else "")

    return end


def replied(words: str, finish: Finish = "stop") -> Missing:
    """A reply that holds no verdict; `@` stands for what would have been one."""
    return lambda task, looks: Reply(words.replace("@", looks), finish, usage=USED)


def denied(task: Task, looks: str) -> Reply:
    """A reply that names what would be a verdict and takes it back."""
    said = "candidate 1" if looks.startswith("{") else looks
    return Reply(f"I would not say {said}.", usage=USED)


def contradicted(task: Task, looks: str) -> Reply:
    """A reply that says two things at once."""
    reading = task.reading
    if looks.startswith("{"):
        other = looks.replace("1", "2").replace("9", "3")
        return Reply(f"{looks} or {other}", usage=USED)
    if reading is not None and reading.choices:
        return Reply(f"It is {reading.choices[0]}. It is {reading.choices[1]}.", usage=USED)
    return Reply("It is 3. It is 7.", usage=USED)


HAPPENINGS: Mapping[str, Missing | None] = {
    "error": failed("bad_request"),
    "server error": failed("server"),
    "time-out": failed("timeout"),
    "time-out in the middle": failed("timeout", text=True),
    "stream that broke off": failed("cut", text=True),
    "no answer of this API": failed("not_an_answer"),
    "quota": failed("quota"),
    "refusal": replied("@", "refusal"),
    "refusal in words": replied("I'm sorry, but I can't help with that."),
    "cut at max_tokens": replied("@", "length"),
    "unreadable": replied("hm"),
    "empty": replied(" \n"),
    "denied": denied,
    "only reasoning": replied("<think>@</think>"),
    "two verdicts": contradicted,
    "cancelled": None,
}


def planned(place: Mapping[str, Any]) -> Plan:
    """The cell of a row, for the fake provider."""
    cell = parse(place["magic"], place["line"], place["body"])
    settings = {"model": ("m",), "retries": 0}
    words = {"items": ["one", "two", "three"]}
    plan = make_plan(cell, words, lambda text: Model("fake", text), settings)
    PATTERNS[plan.pattern].check(plan)
    return plan


def ran(place: Mapping[str, Any], missing: Missing | None) -> Any:
    """The run of a row where what is missing is so in this way; None: by an interrupt."""
    stop = Stop()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        if task.name not in place["missing"]:
            return Reply(place["says"].get(task.name, "ok"), usage=USED)
        if missing is None:
            await asyncio.sleep(3600)
        assert missing is not None
        return missing(task, place["looks"])

    async def run() -> Any:
        plan = planned(place)
        if missing is None:
            asyncio.get_running_loop().call_later(INTERRUPT, stop, "interrupted")
        return await RUNNERS[plan.pattern](plan, run_context(Fake(act), stop))

    return run_virtual(run())[0]


def found(run: Any, path: str) -> Any:
    """An attribute of a run, or a part of it; a study's or a fan-out's values by `values`."""
    value: Any = run
    for step in path.split("."):
        value = dict(value) if step == "values" else _part(value, step)
    return list(value) if isinstance(value, tuple) else value


def _part(value: Any, step: str) -> Any:
    return value[step] if isinstance(value, dict) else getattr(value, step)


ROWS = [
    pytest.param(place, happening, id=f"{place['place']}: {happening}")
    for place in PLACES
    for happening in HAPPENINGS
    if not (happening == "cancelled" and "values.2" in place["ends"])
]
"""All of the table, but for items of a study of which a call was cancelled: they are not measured."""


@pytest.mark.parametrize(("place", "happening"), ROWS)
def test_a_missing_verdict_never_passes(place: dict[str, Any], happening: str) -> None:
    """Whatever is missing and however: nothing is let through by it, and the page says so."""
    run = ran(place, HAPPENINGS[happening])
    ends = {path: found(run, path) for path in place["ends"]}
    assert ends == place["ends"]
    page = " ".join(str(run).split())
    assert [words for words in place["said"] if words not in page] == []
    json.dumps(run.to_dict())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place["place"])
def test_the_same_places_pass_where_nothing_is_missing(place: dict[str, Any]) -> None:
    """The rows are no cells that could never pass: with every verdict there, none is told to lack."""
    run = ran(place, replied("@"))
    page = " ".join(str(run).split())
    for words in ("no verdict", "not cleared", "No quorum", "Unanimity", "not reached"):
        assert words not in page
    assert not run.blocked


@pytest.mark.parametrize(
    "place", [p for p in PLACES if "values.2" in p["ends"]], ids=lambda p: p["place"]
)
def test_an_item_of_a_study_that_was_interrupted_is_not_measured(place: dict[str, Any]) -> None:
    """It has no winner, is told as not measured, and a search for a flag is not clean without it."""
    run = ran(place, None)
    assert (dict(run), run.unmeasured) == ({"1": "ok", "2": None, "3": "ok"}, 1)
    assert "1 more could not be measured" in " ".join(str(run).split())
    assert run.clean is (None if "clean" not in place["ends"] else False)
