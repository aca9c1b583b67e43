"""Tables of pandas, polars or pyarrow: their rows, and what stands for "no value"; none is imported for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Number
from operator import methodcaller
from typing import Any, NamedTuple

from parallm_magics.errors import OptionError

# Rows that are turned into Python's own values at a time.
ROWS_AT_A_TIME = 500
_PACKAGES = ("pandas", "polars", "pyarrow")


class Gap(NamedTuple):
    """A cell of a table that holds no value.

    Attributes:
        row: its row, from 1.
        column: its column; "" in a table of one column without a name.
        value: what stands for "no value" there.
    """

    row: int
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are items.

    Attributes:
        package: the package that it is of.
        length: how many rows there are; None where only reading them tells.
        once: whether they can be read only once.
        rows: reads them: each a dict by column, or the value where there is one column without a name.
        columns: the names of its columns; None where its rows are values.
        index: the labels of a pandas table's rows; else None.
    """

    package: str
    length: int | None
    once: bool
    rows: Callable[[], Iterator[Any]]
    columns: tuple[Any, ...] | None
    index: Any = None

    def gap(self, columns: Sequence[str] | None) -> Gap | None:
        """Return the first cell without a value in these columns, None for any; None where there is none."""
        for number, row in enumerate(self.rows(), 1):
            if (found := gap_in(row, columns)) is not None:
                return found._replace(row=number)
        return None


def gap_in(row: Any, columns: Iterable[str] | None = None) -> Gap | None:
    """Return the first cell of a row without a value, in these columns or in any."""
    if not isinstance(row, dict):
        return Gap(0, "", row) if is_missing(row) else None
    wanted = row if columns is None else columns
    return next((Gap(0, str(c), row[c]) for c in wanted if c in row and is_missing(row[c])), None)


def way_out(package: str, name: str, gap: Gap) -> str:
    """Tell how to leave the rows without a value out, as code."""
    column = gap.column
    if package == "pandas":
        return f"{name}.dropna({f'subset=[{column!r}]' if column else ''})"
    if package == "polars":
        drop = "drop_nans" if isinstance(gap.value, float) else "drop_nulls"
        return f"{name}.{drop}({repr(column) if column else ''})"
    value = f"x[{column!r}]" if column else "x"
    source = f"{name}.to_pylist()" if package == "pyarrow" else name
    holds = f"{value} == {value}" if isinstance(gap.value, float) else f"{value} is not None"
    return f"[x for x in {source} if {holds}]"


def package_of(value: Any) -> str:
    """Return the package that a table is of, also where a subclass of another package stands for it."""
    roots = [kind.__module__.partition(".")[0] for kind in type(value).__mro__]
    return next((root for root in roots if root in _PACKAGES), "")


def table_of(value: Any, name: str) -> Table | None:
    """Return the rows of a table, or the values of a column, as Python's own types; None for anything else.

    Raises:
        OptionError: a table that has no rows yet, or two columns of one name.
    """
    match package_of(value):
        case "pandas":
            return _pandas(value, name)
        case "polars":
            return _polars(value, name)
        case "pyarrow":
            return _pyarrow(value, name)
    return None


def _pandas(value: Any, name: str) -> Table | None:
    if not hasattr(value, "iloc") or not hasattr(value, "index"):
        return None
    if not hasattr(value, "columns"):
        read = lambda part: part.tolist()  # noqa: E731
        return Table("pandas", len(value), False, _sliced(value, read), None, value.index)
    _refuse_twins(name, list(value.columns))
    rows = _sliced(value, lambda part: part.to_dict("records"))
    return Table("pandas", len(value), False, rows, tuple(value.columns), value.index)


def _sliced(value: Any, read: Callable[[Any], Iterable[Any]]) -> Callable[[], Iterator[Any]]:
    def rows() -> Iterator[Any]:
        for at in range(0, len(value), ROWS_AT_A_TIME):
            yield from read(value.iloc[at : at + ROWS_AT_A_TIME])

    return rows


def _polars(value: Any, name: str) -> Table | None:
    if hasattr(value, "collect"):
        raise OptionError(f"--each: {name} is a LazyFrame, which has no rows yet: {name}.collect()")
    if hasattr(value, "iter_rows"):
        rows = lambda: value.iter_rows(named=True)  # noqa: E731
        return Table("polars", len(value), False, rows, tuple(value.columns))
    if hasattr(value, "to_list"):
        return Table("polars", len(value), False, lambda: iter(value), None)
    return None


def _pyarrow(value: Any, name: str) -> Table | None:
    columns = tuple(value.schema.names) if hasattr(value, "schema") else None
    if columns is not None:
        _refuse_twins(name, columns)
    if hasattr(value, "slice") and hasattr(value, "to_pylist"):

        def rows() -> Iterator[Any]:
            for at in range(0, len(value), ROWS_AT_A_TIME):
                yield from value.slice(at, ROWS_AT_A_TIME).to_pylist()

        return Table("pyarrow", len(value), False, rows, columns)
    if hasattr(value, "read_next_batch"):
        batches = itertools.chain.from_iterable(map(methodcaller("to_pylist"), value))
        return Table("pyarrow", None, True, lambda: batches, columns)
    if hasattr(value, "to_batches"):

        def scanned() -> Iterator[Any]:
            return itertools.chain.from_iterable(map(methodcaller("to_pylist"), value.to_batches()))

        return Table("pyarrow", None, False, scanned, columns)
    return None


def _refuse_twins(name: str, columns: Sequence[Any]) -> None:
    if len({*columns}) < len(columns):
        raise OptionError(f"--each: {name} has two columns with the same name; rename one")


def is_missing(value: Any) -> bool:
    """Tell whether this is None, NaN of any kind, NaT, NA, or a null of pyarrow.

    >>> is_missing(None), is_missing(float("nan")), is_missing(""), is_missing(0)
    (True, True, False, False)
    """
    if value is None:
        return True
    kind = type(value)
    if kind.__name__ in ("NAType", "NaTType"):
        return True
    package = kind.__module__.partition(".")[0]
    if package == "pyarrow" and hasattr(value, "as_py"):
        return is_missing(value.as_py())
    if isinstance(value, Number) or (package == "numpy" and getattr(value, "shape", None) == ()):
        return _differs_from_itself(value)
    return False


def _differs_from_itself(value: Any) -> bool:
    """Tell NaN and NaT, which alone differ from themselves; a signalling NaN does not even compare."""
    try:
        return bool(value != value)
    except Exception:
        return True
