"""Tables of pandas, polars and pyarrow: their rows are items, and a cell without a value is refused."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from fakes import Fake, run_context
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import OptionError, ParallmError, VariableError
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.items import ITEMS_AHEAD, items_of
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.cell.tables import is_missing
from parallm_magics.cell.true_labels import labels_of
from parallm_magics.cell.variables import as_text
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Reading, Task
from parallm_magics.patterns.fanout import FanoutPattern

NOTHING = [
    None,
    math.nan,
    np.float32("nan"),
    np.datetime64("NaT", "ns"),
    np.timedelta64("NaT", "ns"),
    pd.NA,
    pd.NaT,
    decimal.Decimal("nan"),
    decimal.Decimal("sNaN"),
    complex(math.nan, 0),
    pa.scalar(None, pa.string()),
]
SOMETHING = [0, "", "nan", "None", False, math.inf, 0j, [], {}, [None], datetime.date.min]
TABLES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "pandas-object": lambda columns: pd.DataFrame(columns, dtype=object),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "pyarrow": pa.table,
    "pyarrow-batch": pa.RecordBatch.from_pydict,
}
each_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


def planned(docs: Any, body: str = "{{item.text}}", line: str = "") -> Plan:
    """The plan of a map."""
    cell = parse("fanout", f"--each docs {line}", body)
    parse_model = lambda text: Model("fake", text)  # noqa: E731
    return make_plan(cell, {"docs": docs}, parse_model, {"model": ("m",)})


def prompts(docs: Any, body: str = "{{item.text}}") -> list[str]:
    """The prompts of a map, as they are sent."""

    async def echo(task: Task, heard: Heard) -> Reply:
        return Reply(task.prompt)

    run, _ = run_virtual(FanoutPattern.run(planned(docs, body), run_context(Fake(echo))))
    return [str(value) for value in run.values()]


@pytest.mark.parametrize("value", NOTHING, ids=repr)
def test_what_stands_for_no_value(value: object) -> None:
    """In Python and in all three packages."""
    assert is_missing(value)


@pytest.mark.parametrize("value", SOMETHING, ids=repr)
def test_what_is_a_value(value: object) -> None:
    """An empty one too, and a text that looks like none."""
    assert not is_missing(value)


@each_table
@pytest.mark.parametrize("rows", [1, 3, ITEMS_AHEAD + 3])
def test_rows_are_items(table: Callable[..., Any], rows: int) -> None:
    """In order, each with its columns by name."""
    docs = table({"text": [f"t{n}" for n in range(rows)], "n": list(range(rows))})
    assert prompts(docs, "{{item.text}} {{item.n}}") == [f"t{n} {n}" for n in range(rows)]


@each_table
@pytest.mark.parametrize("body", ["{{item.text}}", "{{item}}", '{{item["text"]}}'])
@pytest.mark.parametrize(
    ("rows", "at"), [(3, 2), (ITEMS_AHEAD + 5, 3), (ITEMS_AHEAD + 5, ITEMS_AHEAD + 2)]
)
def test_a_cell_without_a_value_is_refused(
    table: Callable[..., Any], body: str, rows: int, at: int
) -> None:
    """Before any call, with item and column and the way out; a whole row likewise."""
    texts: list[str | None] = [f"t{n}" for n in range(rows)]
    texts[at - 1] = None
    with pytest.raises(VariableError) as error:
        planned(table({"n": list(range(rows)), "text": texts}), body)
    said = str(error.value)
    assert said.startswith(f"item {at}")
    assert "text" in said
    assert "(a missing value); drop or fill such items: " in said


@each_table
def test_the_way_out_is_one(table: Callable[..., Any]) -> None:
    """The code that the error gives makes a source that runs."""
    for gap, body in ((None, "{{item.text}}"), (math.nan, "{{item.n}}"), (math.nan, "{{item}}")):
        texts = ["a", "b" if gap else None, "c"]
        docs = table({"text": texts, "n": [1.0, gap if gap else 2.0, 3.0]})
        with pytest.raises(VariableError) as error:
            planned(docs, body)
        code = str(error.value).partition("fill such items: ")[2]
        assert len(prompts(eval(code, {"docs": docs}), body)) == 2  # noqa: S307


@each_table
def test_a_column_that_no_prompt_needs_may_have_gaps(table: Callable[..., Any]) -> None:
    """Labels and notes often have."""
    for rows in (3, ITEMS_AHEAD + 3):
        docs = table({"text": ["x"] * rows, "note": [None, *["y"] * (rows - 1)]})
        assert prompts(docs) == ["x"] * rows


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_infinity=False)), min_size=1, max_size=6),
    st.sampled_from(sorted(TABLES)),
)
def test_all_three_agree(values: list[float | None], name: str) -> None:
    """A column of numbers is refused in one exactly where it is in all, at the same item."""
    docs = TABLES[name]({"text": ["x"] * len(values), "n": values})
    gap = next((n for n, v in enumerate(values, 1) if v is None or math.isnan(v)), None)
    if gap is None:
        assert len(prompts(docs, "{{item.n}}")) == len(values)
        return
    with pytest.raises(
        VariableError, match=rf"^item {gap}, .*item.n is (None|nan|<NA>) \(a missing"
    ):
        planned(docs, "{{item.n}}")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["a", None]),
        pd.Series([1.0, None]),
        pd.Series(pd.to_datetime(["2026-01-01", None])),
        pd.Series([1, None], dtype="Int64"),
        pl.Series(["a", None]),
        pl.Series([1.0, math.nan]),
        pa.array(["a", None]),
        pa.chunked_array([["a"], [None]]),
        ["a", None],
        [1.0, math.nan],
        np.array([1.0, math.nan]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_values_are_items_and_none_is_refused(column: Any) -> None:
    """A column alone, and a list, as much as a table."""
    assert len(prompts(column[:1], "{{item}}")) == 1
    with pytest.raises(VariableError, match=r"^item 2, .*item is .* \(a missing value\)"):
        planned(column, "{{item}}")


def test_labels_have_the_same_gaps() -> None:
    """An item whose label is missing, in any of its kinds, is one without a label."""
    items = items_of(["x"] * len(NOTHING), "docs")
    labels = labels_of(NOTHING, items, {}, Reading("open"))
    assert [labels.label(at, None) for at in range(1, len(NOTHING) + 1)] == [None] * len(NOTHING)


@pytest.mark.parametrize(
    ("docs", "says"),
    [
        (pl.LazyFrame({"text": ["x"]}), r"docs is a LazyFrame, .*docs\.collect\(\)"),
        (
            pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]),
            "two columns with the same name",
        ),
        (pa.scalar(1), "needs a list of items"),
    ],
    ids=["lazy", "twins", "scalar"],
)
def test_what_has_no_rows_says_the_way_out(docs: Any, says: str) -> None:
    """In one line."""
    with pytest.raises(OptionError, match=says):
        planned(docs)


def test_other_readers_of_pyarrow() -> None:
    """A reader of batches is read once; a data set as often as it is wanted."""
    table = pa.table({"text": ["a", "b", "c"]})
    for docs in (table.to_reader(max_chunksize=2), pyarrow.dataset.dataset(table)):
        assert prompts(docs) == ["a", "b", "c"]


def test_a_subclass_of_another_package_is_a_table_too() -> None:
    """Geographic frames, for one."""

    class GeoFrame(pd.DataFrame):
        pass

    GeoFrame.__module__ = "geo"
    assert prompts(GeoFrame({"text": ["a", "b"]})) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pd.DataFrame({"a": [1.5, None], "b": ["x", None]}), "a,b\n1.5,x\n,\n"),
        (pl.DataFrame({"a": [1.5, math.nan], "b": ["x", None]}), "a,b\n1.5,x\n,\n"),
    ],
    ids=["pandas", "polars"],
)
def test_a_table_as_text_leaves_gaps_empty(value: Any, text: str) -> None:
    """In both packages alike, as CSV has it."""
    assert as_text(value, "df") == text


@pytest.mark.parametrize(
    ("value", "way"),
    [
        (pa.table({"a": [1]}), r"df\.to_pylist\(\)"),
        (pa.array([1]), r"df\.to_pylist\(\)"),
        (pl.LazyFrame({"a": [1]}), r"df\.collect\(\)"),
        (pd.NaT, "it is a missing value"),
        (pd.NA, "it is a missing value"),
        (np.datetime64("NaT", "ns"), "it is a missing value"),
        (None, "was a cell skipped"),
    ],
    ids=["table", "array", "lazy", "NaT", "NA", "datetime64", "None"],
)
def test_what_has_no_text_says_the_way_out(value: Any, way: str) -> None:
    """Never `str(…)`, which would leave the middle out."""
    with pytest.raises(ParallmError, match=way):
        as_text(value, "df")
