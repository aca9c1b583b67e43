"""Pictures of the lessons: matplotlib draws them, and beside each stand its numbers as a table.

Where there is no matplotlib, as in the browser, the table alone is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from IPython.display import display

Interval = tuple[float, float, float]
"""A value and the ends of its interval: (value, low, high)."""
WIDTH, HEIGHT, DPI = 7.0, 3.2, 100
COLOURS = ("#3b6fb6", "#c8553d", "#5b8e4c", "#8d6cab")
MARKERS = "osD^"


def lines(
    curves: Mapping[str, Mapping[float, float | Interval]],
    x: str,
    y: str,
    level: Mapping[str, float] | None = None,
) -> None:
    """Draw curves.

    Args:
        curves: a curve for each name; a curve gives a value, or (value, low, high), for each x.
        x: what stands below.
        y: what stands at the left.
        level: values that are the same for every x, as dashed lines.
    """
    table = _table(x, curves)
    table += "".join(f"{name}: {value:.3g}\n" for name, value in (level or {}).items())
    axes = _axes(x, y)
    if axes is not None:
        for place, (name, curve) in enumerate(curves.items()):
            middles, reach = _middles(list(curve.values()))
            look: dict[str, Any] = {"marker": MARKERS[place % 4], "color": COLOURS[place % 4]}
            axes.errorbar(list(curve), middles, reach, label=name, capsize=3, **look)
        for place, (name, value) in enumerate((level or {}).items(), start=len(curves)):
            axes.axhline(value, linestyle="--", color=COLOURS[place % 4], label=name)
        if all(place == int(place) for curve in curves.values() for place in curve):
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _show(axes, table)


def bars(values: Mapping[str, float | Interval], x: str) -> None:
    """Draw a bar for each name, with its interval if it has one; `x` says what is measured."""
    axes = _axes(x, "")
    if axes is not None:
        middles, reach = _middles(list(values.values()))
        rows = range(len(values))
        axes.barh(rows, middles, xerr=reach, color=COLOURS[0], capsize=3, height=0.6)
        axes.set_yticks(rows, list(values))
        axes.invert_yaxis()
    _show(axes, _table("", {x: values}))


def _middles(values: Sequence[float | Interval]) -> tuple[list[float], list[list[float]] | None]:
    """The values, and how far their intervals reach below and above; None without intervals."""
    middles = [value[0] if isinstance(value, tuple) else value for value in values]
    if not any(isinstance(value, tuple) for value in values):
        return middles, None
    ends = [value if isinstance(value, tuple) else (value,) * 3 for value in values]
    # An interval may begin at its value, but for the last digit: matplotlib refuses what reaches less than nowhere.
    below = [max(0.0, middle - low) for middle, low, _ in ends]
    return middles, [below, [max(0.0, high - middle) for middle, _, high in ends]]


def _table(corner: str, columns: Mapping[str, Mapping[Any, float | Interval]]) -> str:
    """The numbers, in columns of one width."""
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    rows = [[corner, *columns]]
    rows += [[str(key), *(_number(column.get(key)) for column in columns.values())] for key in keys]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        + "\n"
        for row in rows
    )


def _number(value: float | Interval | None) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "{:.3g} [{:.3g} .. {:.3g}]".format(*value)
    return f"{value:.3g}"


def _axes(x: str, y: str) -> Any:
    """Empty axes; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    axes = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained").subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _show(axes: Any, table: str) -> None:
    """Show the picture with its table behind it as text, or the table alone."""
    shown = {"text/plain": table.rstrip("\n")}
    if axes is not None:
        file = BytesIO()
        axes.figure.savefig(file, format="png", metadata={"Software": None})
        shown["image/png"] = file.getvalue()
    display(shown, raw=True)
