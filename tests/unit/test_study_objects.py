"""Studies of objects: right as a whole and in each field, against counting by hand."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import random
import re
from collections import Counter
from typing import Any

import pydantic
import pytest
from fakes import Fake, run_context
from virtual_time import run_virtual

from parallm_magics import StudyRun, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Task
from parallm_magics.errors import ParallmError
from parallm_magics.study.outcomes import rules_of
from parallm_magics.study.run_study import StudyPattern

FORM = "vendor, total: number, kind: a|b"
BODY = "Read this.\n\n{{item.text}}"
VENDORS, TOTALS, KINDS = ("Acme", "Bolt", "Coil"), (1, 2.5, 30), ("a", "b")
SPELT = {"Acme": ("Acme", "acme", "ACME."), 1: (1, 1.0), 30: (30, 30.0)}


def thing(lot: random.Random) -> dict[str, Any]:
    """An object by lot."""
    return {"vendor": lot.choice(VENDORS), "total": lot.choice(TOTALS), "kind": lot.choice(KINDS)}


def answers(count: int, voters: int, seed: int = 1) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """The true objects of so many items, and what each voter says; None for what is no object."""
    lot = random.Random(seed)
    truths = [thing(lot) for _ in range(count)]
    said = []
    for true in truths:
        row: list[Any] = []
        for _ in range(voters):
            other = thing(lot)
            mixed = {name: true[name] if lot.random() < 0.6 else other[name] for name in true}
            row.append(None if lot.random() < 0.05 else mixed)
        said.append(row)
    return truths, said


def spelt(answer: dict[str, Any], lot: random.Random) -> dict[str, Any]:
    """The same object, written in another way."""
    return {name: lot.choice(SPELT.get(value, (value,))) for name, value in answer.items()}


def studied(line: str, truths: list[Any], said: list[list[Any]], form: str = FORM) -> StudyRun:
    """A study over a fake provider on the virtual clock, in which voters say so."""
    lot = random.Random(7)

    def act(task: Task, heard: Heard) -> Any:
        async def found() -> Reply:
            item, _, name = task.name.partition(".v")
            voter = int(name or 1) - 1
            await asyncio.sleep(1 + voter)
            answer = said[int(item.partition(".")[0]) - 1][voter]
            return Reply("I cannot say" if answer is None else json.dumps(spelt(answer, lot)))

        return found()

    items = [{"text": f"t{at}", "true": true} for at, true in enumerate(truths)]
    plan = make_plan(
        parse("vote", f"--each items --truth true --schema '{form}' --retries 0 {line}", BODY),
        {"items": items},
        lambda text: Model(*text.split(":", 1)) if ":" in text else Model("fake", text),
        {"model": ("m",)},
    )
    rules_of(plan)
    return run_virtual(StudyPattern.run(plan, run_context(Fake(act)))).result


def leader(row: list[Any], name: str) -> Any:
    """The only value with the most votes in a field; None in a tie."""
    counts = Counter(answer[name] for answer in row if answer is not None).most_common()
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def test_each_field_is_right_as_often_as_by_hand() -> None:
    """The vote by its winners, the single call by all its draws, comparisons by the first one."""
    truths, said = answers(60, 5)
    run = studied("-n 5", truths, said)
    assert list(run.fields) == ["vendor", "total", "kind"]
    for name, found in run.fields.items():
        winners = [leader(row, name) for row in said]
        right = [won == true[name] for won, true in zip(winners, truths, strict=True)]
        assert found.measures["vote"].right == sum(right)
        draws = [
            [answer is not None and answer[name] == true[name] for answer in row]
            for row, true in zip(said, truths, strict=True)
        ]
        assert found.measures["single"].right == pytest.approx(sum(map(sum, draws)) / 5)
        [pair] = found.comparisons
        first = [row[0] for row in draws]
        assert pair.gains == sum(won and not one for won, one in zip(right, first, strict=True))
        assert pair.losses == sum(one and not won for won, one in zip(right, first, strict=True))
        shares = found.calibration["vote"]
        agreed = [won for won in winners if won is not None]
        assert (shares.items, shares.right) == (len(agreed), sum(right))


def test_an_object_is_right_if_all_of_its_fields_are() -> None:
    """Of the vote that is the object of the winners, which no voter need have given."""
    truths, said = answers(60, 5)
    run = studied("-n 5", truths, said)
    whole = [
        {name: leader(row, name) for name in true} for row, true in zip(said, truths, strict=True)
    ]
    assert run.measures["vote"].right == sum(map(lambda won, true: won == true, whole, truths))
    alone = [[answer == true for answer in row] for row, true in zip(said, truths, strict=True)]
    assert run.measures["single"].right == pytest.approx(sum(map(sum, alone)) / 5)
    for key, won in zip(run, whole, strict=True):
        if None in won.values():
            assert run[key] is None
        else:
            assert str(run[key]["vendor"]).strip(".").casefold() == won["vendor"].casefold()
            assert (run[key]["total"], run[key]["kind"]) == (won["total"], won["kind"])
    composed = [
        won
        for won, row in zip(whole, said, strict=True)
        if None not in won.values() and won not in row
    ]
    assert composed


def test_an_early_stop_has_the_winners_of_the_vote_in_each_field() -> None:
    """It ends only once every field is decided."""
    truths, said = answers(40, 5)
    run = studied("-n 5 --compare stop=clinch", truths, said)
    for found in (run, *run.fields.values()):
        for item in found.measured:
            assert item.outcomes["stop=clinch"].right == item.outcomes["vote"].right
    assert run.measures["stop=clinch"].calls < 5
    assert "stop=clinch" not in run.fields["kind"].calibration


def test_another_model_is_measured_in_each_field() -> None:
    """Asked once, as the first voter."""
    truths, said = answers(30, 3)
    run = studied("-n 3 --compare big", truths, said)
    for name, found in run.fields.items():
        first = [
            row[0] is not None and row[0][name] == true[name]
            for row, true in zip(said, truths, strict=True)
        ]
        assert found.measures["big"].right == sum(first)


def test_voters_make_the_same_mistakes_field_by_field() -> None:
    """What is known of voters of labels is known of each field."""
    truths, said = answers(60, 3)
    run = studied("-n 3", truths, said)
    found = run.fields["kind"].diagnostics
    rights = [
        [answer is not None and answer["kind"] == true["kind"] for answer in row]
        for row, true in zip(said, truths, strict=True)
    ]
    assert found["mean_single"] == pytest.approx(sum(map(sum, rights)) / 180)
    assert run.fields["kind"].label_count == 2
    assert run.fields["kind"].learned_panel is not None
    assert run.learned_panel is None


def test_a_median_decides_the_fields_that_are_numbers() -> None:
    """It is right where it equals the true number, and has no share of votes."""
    truths = [{"vendor": "Acme", "total": 2, "kind": "a"}] * 20
    row = [{"vendor": "Acme", "total": each, "kind": "a"} for each in (1, 2, 30)]
    run = studied("-n 3 --pick median", truths, [row] * 20)
    assert run.fields["total"].measures["vote"].right == 20
    assert run.fields["total"].calibration == {}
    assert run.fields["vendor"].calibration["vote"].right == 20


def test_the_report_says_what_is_right_in_each_field() -> None:
    """And what is wrong of each object; studies of labels say nothing of fields."""
    truths, said = answers(40, 5)
    run = studied("-n 5", truths, said)
    words = " ".join(str(run).split())
    assert "Right in each field" in words
    right = run.fields["vendor"].measures["vote"].right
    assert f"{right:g} of 40" in words
    assert "Wrong fields" in words
    assert "but nobody won" in words or "is a, not b" in words or "is b, not a" in words
    assert "vendor, vote: the mean share of votes" in words
    html = run._repr_mimebundle_()["text/html"]
    assert "Right in each field" in html
    assert "Accuracy by the number of votes" not in words
    labels = asyncio.run(
        vote(
            BODY,
            each=[{"text": "t", "l": "A"}] * 20,
            truth="l",
            choices="A,B",
            n=3,
            model="sim:?scale=0",
        )
    )
    assert isinstance(labels, StudyRun)
    assert labels.fields == {}
    assert "each field" not in str(labels)


def test_frames_have_columns_for_each_field() -> None:
    """One frame: a column a field with its agreement beside it, and a row a field and system."""
    truths, said = answers(30, 5)
    run = studied("-n 5", truths, said)
    items = run.to_pandas("items")
    assert [*items.columns[-9:]] == [
        f"{name}{what}"
        for name in ("vendor", "total", "kind")
        for what in ("", "_agreement", "_right")
    ]
    assert items["kind_right"].sum() == run.fields["kind"].measures["vote"].right
    rows = run.to_pandas("fields")
    assert len(rows) == 6
    assert set(rows["field"]) == {"vendor", "total", "kind"}
    found = json.loads(json.dumps(run.to_dict()))
    assert (
        found["fields"]["total"]["systems"][1]["right"]
        == run.fields["total"].measures["vote"].right
    )


def test_without_labels_the_agreement_of_each_field_is_shown() -> None:
    """Nobody knows what is right, but which field is in doubt."""
    run = asyncio.run(
        vote(BODY, each=[{"text": "t"}] * 6, schema=FORM, n=3, model="sim:?accuracy=0.6&scale=0")
    )
    assert isinstance(run, StudyRun)
    assert "How far the votes agree in each field" in str(run)
    assert "vendor_right" not in run.to_pandas("items").columns
    in_doubt = str(run).partition("Least agreement first")[2].partition("18 calls")[0]
    assert re.search(r"vendor: [^{}]* \([123] of 3\); ", in_doubt)
    assert "{" not in in_doubt, "nobody reads JSON"
    with pytest.raises(
        KeyError, match="there is no key '7'; the keys are '1', '2', '3', '4', '5', '6'"
    ):
        run["7"]
    with pytest.raises(KeyError, match=r"there is no field 'vendr'; .* did you mean 'vendor'"):
        run.fields["vendr"]
    assert run._ipython_key_completions_() == [*"123456"]


# --- the truth ------------------------------------------------------------------------------------


class Bill(pydantic.BaseModel):
    """As a notebook would have it."""

    vendor: str
    due: datetime.date
    note: str | None = None


@dataclasses.dataclass
class Due:
    """The same as a dataclass."""

    vendor: str
    due: datetime.date


DAY = datetime.date(2026, 12, 1)


@pytest.mark.parametrize(
    ("schema", "true"),
    [
        (Bill, Bill(vendor="Acme", due=DAY)),
        (Bill, {"vendor": "Acme", "due": DAY}),
        (Bill, {"vendor": "Acme", "due": "2026-12-01", "note": None}),
        (Bill, '{"vendor": "Acme", "due": "2026-12-01"}'),
        (Due, Due("Acme", DAY)),
        ("vendor, due: date", {"vendor": "Acme", "due": DAY}),
    ],
)
def test_a_true_object_is_an_object_a_dict_or_json(schema: Any, true: Any) -> None:
    """A simulated model that is always right is right on each of them."""
    run = asyncio.run(
        vote(
            BODY,
            each=[{"text": "t"}] * 4,
            truth=[true] * 4,
            schema=schema,
            n=3,
            model="sim:?accuracy=1&scale=0",
        )
    )
    assert isinstance(run, StudyRun)
    assert run.measures["vote"].right == 4
    assert [found.measures["vote"].right for found in run.fields.values()] == [4] * len(run.fields)


@pytest.mark.parametrize(
    ("true", "told"),
    [
        ({"vendor": "Acme"}, "item 1, --truth: it is no valid Bill: due: field required"),
        ({"vendor": "Acme", "due": "soon"}, "item 1, --truth: it is no valid Bill: due: "),
        ("Acme", "item 1, --truth: expected an object of Bill: a dict, a Bill or JSON"),
        (7, "item 1, --truth: expected an object of Bill: a dict, a Bill or JSON"),
    ],
)
def test_a_true_object_that_cannot_be_is_told_before_any_call(true: Any, told: str) -> None:
    """In one line that names the item."""
    with pytest.raises(ParallmError, match=told):
        asyncio.run(
            vote(BODY, each=[{"text": "t"}], truth=[true], schema=Bill, n=3, model="sim:?scale=0")
        )


def test_a_field_that_the_true_object_lacks_is_not_scored() -> None:
    """The whole object is: who gives the field is wrong there."""
    form = {
        "title": "Bill",
        "type": "object",
        "properties": {"vendor": {"type": "string"}, "note": {"type": "string"}},
        "required": ["vendor"],
    }
    truths = [{"vendor": "Acme"}, {"vendor": "Acme", "note": "late"}] * 10
    said = [[{"vendor": "Acme", "note": "late"}] * 3] * 20
    run = studied("-n 3", truths, said, json.dumps(form))
    assert run.fields["note"].measures["vote"].labelled == 10
    assert run.fields["note"].measures["vote"].right == 10
    assert run.measures["vote"].right == 10
    assert "note has no value, not late" in " ".join(str(run).split())


def test_sure_holds_for_whole_objects_and_for_each_field() -> None:
    """Below the share of the whole object the answer is None."""
    truths = [{"vendor": "Acme", "total": 1, "kind": "a"}] * 120
    right, wrong = truths[0], {"vendor": "Acme", "total": 2, "kind": "a"}
    said = [[right] * 5 if at % 2 else [right, right, wrong, wrong, wrong] for at in range(120)]
    run = studied("-n 5 --sure 90%", truths, said)
    assert run.sure is not None
    assert run.sure.share == 1.0
    assert [run[str(at + 1)] is None for at in range(120)] == [at % 2 == 0 for at in range(120)]
    assert run.fields["vendor"].sure.share == 1.0
    assert run.fields["total"].sure.share == 1.0
