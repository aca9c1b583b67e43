"""`--truth`: where labels come from, how they are read, and what is said where they do not fit."""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from parallm_magics import OptionError, VariableError
from parallm_magics.cell.items import items_of
from parallm_magics.cell.true_labels import SHOWN_CHARS, Labels, labels_of
from parallm_magics.core.tasks import Reading
from parallm_magics.errors import ParallmError

CHOICES = Reading("choice", ("safe", "unsafe"))
SCORES = Reading("score", low=1.0, high=10.0)
TEXTS = ["a", "b", "c"]
LABELS = ["safe", "unsafe", None]
ROWS = [{"text": "a", "label": "safe"}, {"text": "b", "label": "unsafe"}, {"text": "c"}]
TABLE = pd.DataFrame({"text": TEXTS, "label": LABELS})


class Part:
    """An item with an attribute, and one whose attribute raises."""

    def __init__(self, label: str) -> None:
        self.label = label

    @property
    def broken(self) -> str:
        """What a property of a user's may do."""
        raise RuntimeError("no")


class Broken:
    """Labels that cannot be read."""

    def __iter__(self) -> Iterator[str]:
        return (str(1 / 0) for _ in range(1))


class Colour(enum.StrEnum):
    """A label that is no plain text."""

    SAFE = "safe"


def noted(truth: Any, items: Any, reading: Reading = CHOICES, **variables: Any) -> dict[int, str]:
    """The true labels of all items."""
    found = labels_of(truth, items_of(items, "items"), variables, reading)
    for at, item in enumerate(items, 1):
        found.note(at, item, "")
    assert found.known
    return found.truth


@pytest.mark.parametrize(
    ("truth", "items", "variables"),
    [
        pytest.param("labels", TEXTS, {"labels": LABELS}, id="a list"),
        pytest.param("{{labels}}", TEXTS, {"labels": LABELS}, id="in braces"),
        pytest.param("labels", TEXTS, {"labels": tuple(LABELS)}, id="a tuple"),
        pytest.param("labels", TEXTS, {"labels": iter(LABELS)}, id="what can be read once"),
        pytest.param("table.label", TEXTS, {"table": TABLE}, id="a column of its own"),
        pytest.param('table["label"]', TEXTS, {"table": TABLE}, id="by key"),
        pytest.param("label", ROWS, {}, id="a key of dicts"),
        pytest.param("label", ROWS, {"label": ["unsafe"] * 3}, id="before a variable of that name"),
        pytest.param("{{item.label}}", ROWS, {}, id="a path into dicts"),
        pytest.param('{{item["label"]}}', ROWS, {}, id="a path by key"),
        pytest.param("item.label", ROWS, {}, id="a path without braces"),
        pytest.param("{{item[1]}}", [*zip(TEXTS, LABELS, strict=True)], {}, id="a place of tuples"),
        pytest.param(LABELS, TEXTS, {}, id="a script's list"),
        pytest.param(TABLE[["label"]], TEXTS, {}, id="a table of one column"),
        pytest.param(
            "label", [ROWS[0], ROWS[1], ROWS[2]][::1], {"label": ["x"] * 3}, id="rows first"
        ),
        pytest.param("5", [{5: "safe"}, {5: "unsafe"}], {}, id="a column called by a number"),
        pytest.param(TABLE["label"], TEXTS, {}, id="a script's column"),
    ],
)
def test_labels_come_from_where_they_are(truth: Any, items: Any, variables: Any) -> None:
    """A list, a column or a part of each item; an item without one is left out."""
    assert noted(truth, items, **variables) == {1: "safe", 2: "unsafe"}


def test_a_table_s_rows_have_columns() -> None:
    """As the items themselves are its rows."""
    found = labels_of("label", items_of(TABLE, "table"), {}, CHOICES)
    assert [found.note(at, row, "") for at, row in enumerate(TABLE.to_dict("records"), 1)] == LABELS


def test_an_object_has_attributes() -> None:
    """Of any class."""
    assert noted("{{item.label}}", [Part("safe"), Part("unsafe")]) == {1: "safe", 2: "unsafe"}


@pytest.mark.parametrize(
    ("value", "reading", "label"),
    [
        (None, CHOICES, None),
        (math.nan, CHOICES, None),
        (float("nan"), SCORES, None),
        (pd.NA, CHOICES, None),
        (pd.NaT, CHOICES, None),
        ("", CHOICES, None),
        ("  ", SCORES, None),
        (" SAFE ", CHOICES, "safe"),
        ("Ｓａｆｅ", CHOICES, "safe"),
        (Colour.SAFE, CHOICES, "safe"),
        (1, Reading("choice", ("0", "1")), "1"),
        (1.0, Reading("choice", ("0", "1")), "1"),
        (True, Reading("choice", ("true", "false")), "true"),
        (7, SCORES, "7"),
        (7.0, SCORES, "7"),
        ("7.5", SCORES, "7.5"),
        (Decimal("7"), SCORES, "7"),
        (0.1 * 3, Reading("number"), "0.3"),
        (1 / 3, Reading("number"), "0.333333333333333"),
        (np.float32(1), Reading("choice", ("1", "2")), "1"),
        (np.float32("nan"), CHOICES, None),
        (np.int64(2), Reading("open"), "2"),
        (Decimal("1.0"), Reading("choice", ("1", "2")), "1"),
        (Decimal("NaN"), Reading("open"), None),
        ("?", Reading("open"), "?"),
        (-3, Reading("number"), "-3"),
        (" Paris. ", Reading("open"), "paris"),
        (datetime.date(2026, 1, 2), Reading("open"), "2026-01-02"),
    ],
)
def test_a_label_is_read_as_answers_are(value: Any, reading: Reading, label: str | None) -> None:
    """So that the same thing written in another way is the same label."""
    found = Labels(reading, lambda at, item: value)
    assert found.note(1, "x", "") == label
    assert found.truth == ({} if label is None else {1: label})


@pytest.mark.parametrize(
    ("truth", "items", "variables", "says"),
    [
        ("labels", TEXTS, {"labels": ["safe"]}, "labels has 1 label for the 3 items of items"),
        ("labels", TEXTS, {"labels": ["safe"] * 4}, "has more than 3 labels for the 3 items"),
        (
            "labels",
            TEXTS,
            {"labels": ["safe", "maybe", None]},
            "item 2, --truth: 'maybe' is not one of",
        ),
        (
            "lables",
            TEXTS,
            {"labels": LABELS},
            "no variable is called 'lables'; did you mean 'labels'",
        ),
        ("lable", ROWS, {}, "no column of the items and no variable .* 'label'"),
        ("labels", TEXTS, {"labels": "safe"}, "labels is a single text"),
        ("labels", TEXTS, {"labels": {"a": "safe"}}, "labels is a dict; use list"),
        ("labels", TEXTS, {"labels": {"safe"}}, "labels is a set, which has no order"),
        (5, TEXTS, {}, "--truth: truth is of type int; --each needs a list of items"),
        ("{{item.lable}}", ROWS, {}, "item 1, --truth: item has no .lable .* did you mean 'label'"),
        ("{{item.broken}}", [Part("safe")], {}, "item has no .broken .RuntimeError."),
        ("{{item._x}}", ROWS, {}, "names that start with _"),
        (Broken(), TEXTS, {}, "--truth: truth failed at item 1 with ZeroDivisionError"),
        (
            [{"a": 1, "b": 2}] * 3,
            TEXTS,
            {},
            "item 1, --truth: a label must be one word or number, not a dict",
        ),
        (TABLE["label"][::-1], TABLE["text"], {}, "different index labels"),
        ("a b", ROWS, {}, "no column of the items and no variable is called 'a b'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    truth: Any, items: Any, variables: Any, says: str
) -> None:
    """Before any call, with the item and the way out, in one line."""
    with pytest.raises(ParallmError, match=says) as caught:
        labels_of(truth, items_of(items, "items"), variables, CHOICES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"), [("high", "'high' is not a number"), (11, "11 is outside 1..10")]
)
def test_a_number_that_no_answer_can_be(value: Any, says: str) -> None:
    """Where scores are asked for."""
    with pytest.raises(VariableError, match=says):
        labels_of([value], items_of(["a"], "items"), {}, SCORES)


def test_the_first_item_may_be_one_without_a_label() -> None:
    """A variable of the column's name is then no better a guess."""
    rows = [ROWS[2], ROWS[0], ROWS[1]]
    assert noted("label", rows, label=["unsafe"] * 3) == {2: "safe", 3: "unsafe"}


def test_items_that_come_one_by_one_are_labelled_as_they_come() -> None:
    """A generator cannot be looked at before; a list of labels ends where it ends."""

    def rows() -> Iterator[dict[str, str]]:
        yield from ROWS

    found = labels_of("label", items_of(rows(), "rows"), {}, CHOICES)
    assert [found.note(at, row, "") for at, row in enumerate(ROWS, 1)] == LABELS
    short = labels_of(["safe"], items_of((t for t in TEXTS), "texts"), {}, CHOICES)
    assert [short.note(at, text, "") for at, text in enumerate(TEXTS, 1)] == ["safe", None, None]
    with pytest.raises(OptionError, match="labels must be a list with one label per item"):
        labels_of("labels", items_of((t for t in TEXTS), "t"), {"labels": iter(LABELS)}, CHOICES)


def test_without_truth_the_words_are_kept() -> None:
    """Of long items the beginning, so that a study of many stays small."""
    found = labels_of(None, items_of(TEXTS, "items"), {}, CHOICES)
    assert not found.known
    assert found.note(1, "a", "w" * 10 * SHOWN_CHARS) is None
    assert found.words == {1: "w" * SHOWN_CHARS}
    assert found.truth == {}
