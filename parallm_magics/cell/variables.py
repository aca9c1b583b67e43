"""Put the notebook's variables into prompt text, once.

`{{name}}`, `{{name.attr}}`, `{{name["key"]}}`, `{{name[0]}}`; blanks inside the braces do not count,
and names are Python's. Everything else between braces is text (or, where it names a variable, an error:
see `near_misses`). A value that was put in is never read again.
"""

from __future__ import annotations

import datetime
import decimal
import json
import numbers
import pathlib
import re
import types
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from parallm_magics.cell.directives import BLANK_CHARS
from parallm_magics.cell.tables import is_missing, package_of
from parallm_magics.errors import VariableError, nearest, then, translated

# Wider than Python's identifiers, of which no regular expression knows all; `found` looks closer.
IDENTIFIER = rf"[^\x00-@\[-^`{{-\x7f{BLANK_CHARS}][^\x00-/:-@\[-^`{{-\x7f{BLANK_CHARS}]*"
_STEP = rf"""\.{IDENTIFIER}|\[(?:"[^"\n]*"|'[^'\n]*'|-?\d{{1,9}})\]"""
_GAP = rf"(?:(?!\n)[{BLANK_CHARS}])*"
_VARIABLE = re.compile(
    rf"(?<!\\)(?P<escape>\\*)(?<![{{$])\{{\{{{_GAP}(?P<name>{IDENTIFIER})(?P<steps>(?:{_STEP})*)"
    rf"{_GAP}\}}\}}(?!\}})"
)
# Names of blocks may hold "-", so outputs.NAME does where it is allowed at all.
_OUTPUT = re.compile(
    rf"(?<!\\)(?P<escape>\\*)(?<![{{$])\{{\{{{_GAP}(?P<name>outputs)(?P<steps>\.[^\W\d][\w-]*)"
    rf"{_GAP}\}}\}}(?!\}})"
)
_STEPS = re.compile(
    rf"""\.(?P<attr>{IDENTIFIER}(?:-[\w-]*)?)|\["(?P<dq>[^"]*)"\]|\['(?P<sq>[^']*)'\]|\[(?P<at>-?\d+)\]"""
)


@dataclass(frozen=True, slots=True)
class Ref:
    """A variable in a template: its name, the steps from it, where it stands."""

    name: str
    steps: tuple[tuple[str, str | int], ...]
    source: str
    position: int

    @property
    def shown(self) -> str:
        """What stands between the braces."""
        return self.source.strip("{} \t")


Part = str | Ref
Lookup = Callable[[Ref], Any]


def split(text: str, *, outputs: bool = False) -> tuple[Part, ...]:
    """Split a text into alternating literal pieces and variables, escapes resolved.

    Args:
        text: the text as typed.
        outputs: whether `{{outputs.NAME}}` may name a block with `-` in it.
    """
    parts: list[Part] = []
    end = 0
    for match in matches(text, outputs=outputs):
        parts.append(text[end : match.start()])
        end = match.end()
        if match["escape"]:
            parts.append(match[0][1:])
        else:
            name = normal(match["name"])
            parts.append(Ref(name, _steps(match["steps"]), match[0], match.start()))
    parts.append(text[end:])
    return tuple(part for part in parts if part != "")


def matches(text: str, *, outputs: bool) -> list[re.Match[str]]:
    """Return the variables in a text, the escaped ones included, by their places; see `split`."""
    if "{{" not in text:
        return []
    by_end = {match.end(): match for match in found(text)}
    if outputs:
        by_end |= {match.end(): match for match in _OUTPUT.finditer(text)}
    return [by_end[end] for end in sorted(by_end)]


def found(text: str) -> Iterator[re.Match[str]]:
    """Return the variables in a text, the escaped ones included; groups: escape, name, steps."""
    for match in _VARIABLE.finditer(text):
        attributes = (step for kind, step in _steps(match["steps"]) if kind == "attr")
        if all(normal(str(name)).isidentifier() for name in (match["name"], *attributes)):
            yield match


def normal(name: str) -> str:
    """Return a name as Python knows it: one spelling for all ways to write its characters."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def _steps(text: str) -> tuple[tuple[str, str | int], ...]:
    steps: list[tuple[str, str | int]] = []
    for match in _STEPS.finditer(text):
        if match["attr"] is not None:
            steps.append(("attr", match["attr"]))
        elif match["at"] is not None:
            steps.append(("item", int(match["at"])))
        else:
            steps.append(("item", match["dq"] if match["dq"] is not None else match["sq"]))
    return tuple(steps)


def whole(text: str) -> Ref | None:
    """Return the variable that this text consists of, or None."""
    parts = split(text)
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Ref) else None


def path(text: str) -> Ref | None:
    """Return the variable that a bare path such as `docs` or `data["docs"]` names, or None."""
    return whole("{{" + text + "}}")


def spelling_of(name: str, variables: Mapping[str, Any]) -> str | None:
    """Return the variable of this name, as the mapping spells it; None where there is none."""
    if name in variables:
        return name
    if name.isascii():
        return None
    return next((known for known in variables if normal(str(known)) == name), None)


def public_names(variables: Mapping[str, Any]) -> list[str]:
    """Return the names that a template can reach."""
    return [str(name) for name in variables if not str(name).startswith("_")]


def value_of(
    ref: Ref, variables: Mapping[str, Any], where: str = "", *, named: bool = False
) -> Any:
    """Return what a variable stands for.

    Args:
        named: whether an option asks for a name, and not for a text that variables stand in: it
            may begin with `_`, and there is no text to keep.

    Raises:
        VariableError: an unknown name, a private one, or a step that cannot be taken.
    """
    shown = ref.shown[:100]
    lead = f"{where}: " if where else ""
    asked = shown if named else f"{{{{{shown}}}}}"
    keep = "" if named else f"to keep it as text, write \\{asked}"
    if (ref.name.startswith("_") and not named) or any(
        str(step).startswith("_") and kind == "attr" for kind, step in ref.steps
    ):
        keep = "" if named else ", or write \\{{…}} to keep it as text"
        raise VariableError(
            f"{lead}{asked}: names that start with _ are not allowed; store the value under "
            f"another name{keep}"
        )
    spelt = spelling_of(ref.name, variables)
    if spelt is None:
        hint = nearest(ref.name, public_names(variables))
        raise VariableError(then(f"{lead}there is no variable {ref.name[:60]!r}{hint}", keep))
    value = variables[spelt]
    taken = ref.name
    for kind, step in ref.steps:
        form = f".{step}" if kind == "attr" else f"[{step!r}]"
        told = partial(_untaken, value, step, f"{lead}{taken} has no {form}", asked, keep)
        # A property or __getitem__ of the user's may raise anything; it becomes one line.
        value = translated(partial(_take, value, kind, step), told, Exception)
        taken += form
    return value


def _untaken(
    value: Any, step: str | int, problem: str, asked: str, keep: str, error: Exception
) -> VariableError:
    name, hint = type(error).__name__, _near_step(value, step)
    return VariableError(then(f"{problem} ({name}), used by {asked}{hint}", keep))


def _take(value: Any, kind: str, step: str | int) -> Any:
    if kind == "item":
        return value[step]
    if isinstance(value, Mapping):
        if step in value:
            return value[step]
        if (spelt := spelling_of(normal(str(step)), value)) is not None:
            return value[spelt]
    return getattr(value, normal(str(step)))


def _near_step(value: Any, step: str | int) -> str:
    try:
        known = value if isinstance(value, Mapping) else dir(value)
        return nearest(str(step), [str(key) for key in known if not str(key).startswith("_")])
    # An object of the user's may raise anything; then there is no hint.
    except Exception:
        return ""


def fill(parts: tuple[Part, ...], lookup: Lookup) -> str:
    """Replace each variable of a text by what `lookup` says of it."""
    return "".join(part if isinstance(part, str) else lookup(part) for part in parts)


def as_text(value: Any, name: str) -> str:
    """Write a value as prompt text, whole: nothing is ever shortened on the way to a model.

    Raises:
        VariableError: a kind of value that has no faithful text, with the way out.
    """
    if type(value) is str and value.isascii():  # most values are, and there are thousands
        return value

    def told(error: Exception) -> Exception:
        if isinstance(error, VariableError):
            return error
        problem = f"{type(error).__name__}: {str(error)[:200]}"
        return VariableError(
            f"{name} could not be turned into text ({problem}); convert it yourself and use the "
            f"result"
        )

    # Whatever an object of the user's or a table's own writer raises becomes one line.
    return translated(lambda: _encodable(_faithful(value, name)), told, Exception)


def _faithful(value: Any, name: str) -> str:
    if issubclass(type(value), str):
        # The characters themselves: an enum's, not its name, whatever a subclass prints.
        return str.__str__(value)
    if is_missing(value) and not isinstance(value, numbers.Number):
        raise VariableError(f"{name} is {_kind(value)}; {_way_out(value, name)}")
    if isinstance(
        value,
        numbers.Number | datetime.date | datetime.time | datetime.timedelta | pathlib.PurePath,
    ) or _numpy_bool(value):
        return str(value)
    if (table := _table(value)) is not None:
        return table
    if isinstance(value, Mapping | list | tuple):
        return _json(value, name)
    raise VariableError(f"{name} is {_kind(value)}; {_way_out(value, name)}")


def _numpy_bool(value: Any) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")


def _table(value: Any) -> str | None:
    """Return a DataFrame or Series as CSV with all its rows, a cell without a value empty; else None."""
    package = package_of(value)
    if package == "pandas" and hasattr(value, "to_csv"):
        default_index = type(value.index).__name__ == "RangeIndex"
        return str(value.to_csv(index=not default_index))
    if package == "polars" and not hasattr(value, "collect"):
        frame = value if hasattr(value, "write_csv") else value.to_frame()
        return str(frame.fill_nan(None).write_csv())
    return None


def _json(value: Any, name: str) -> str:
    def told(error: Exception) -> VariableError:
        nested = isinstance(error, RecursionError)
        problem = "it contains itself, or is nested too deeply" if nested else str(error)
        return VariableError(
            f"{name} cannot be written as JSON ({problem}); convert it to text yourself and use "
            f"the result"
        )

    return translated(
        lambda: json.dumps(
            _plain(value), ensure_ascii=False, allow_nan=False, default=_json_default
        ),
        told,
        *(RecursionError, TypeError, ValueError),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _json_default(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | pathlib.PurePath):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if _numpy_bool(value):
        return bool(value)
    if isinstance(value, decimal.Decimal | numbers.Real) and _is_float(value):
        return float(str(value))
    raise TypeError(f"it contains {_kind(value)}")


def _is_float(value: Any) -> bool:
    """Tell whether a JSON number says the same; a long Decimal would lose its last digits."""
    try:
        found = float(str(value))
    except ValueError:
        return False
    return not isinstance(value, decimal.Decimal) or decimal.Decimal(repr(found)) == value


def _kind(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def _way_out(value: Any, name: str) -> str:
    if value is None:
        return "was a cell skipped, or did a function return nothing?"
    if is_missing(value):
        return "it is a missing value: fill it, or leave it out"
    if isinstance(value, bytes | bytearray):
        return f"decode it first: {name}.decode()"
    if package_of(value):
        for method, word in _ROWS.items():
            if hasattr(value, method):
                return f"{word}: {name}.{method}()"
    if isinstance(value, types.ModuleType):
        return "use a value from the module instead"
    if isinstance(value, set | frozenset):
        return f"its order is not fixed: use sorted({name})"
    if hasattr(value, "tolist"):
        return f"convert it to text first: {name}.tolist(), or your own text"
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        return f"it can be read only once: make a list of it first, list({name})"
    if callable(value):
        return f"call it first and use the result: result = {name}(…)"
    return f"convert it to text yourself and use the result; str({name}) may shorten it"


# How the rows of a table that has no text of its own are had.
_ROWS = {"to_pylist": "take its rows", "collect": "it has no rows yet", "read_all": "read it first"}


def _encodable(text: str) -> str:
    """Put U+FFFD in place of half surrogate pairs, which cannot be sent as UTF-8."""
    return (
        text
        if text.isascii()
        else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
