"""Turn what a user gave an option, typed text or a Python value, into the option's value.

Each reader raises ValueError with what is wrong and what is possible.
"""

from __future__ import annotations

import builtins
import json
import keyword
import math
import pathlib
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from parallm_magics.cell.option_lists import listed, shown
from parallm_magics.cell.typography import DASHES
from parallm_magics.cell.variables import path, whole
from parallm_magics.errors import nearest, translated

# More workers of one prompt than this are a slip; --each has no such limit.
MOST_WORKERS = 100_000
# What a request says elsewhere: given twice, one of the two would silently lose.
_ELSEWHERE = {
    "model": "-m",
    "messages": "the prompt in the cell",
    "stream": "--stream",
    "n": "-n",
}
_SHADOWS = frozenset({*dir(builtins), "In", "Out", "exit", "quit", "get_ipython", "display"})
_IPYTHONS = re.compile(r"__\w*|_|_i+|_i?\d+|_[doi]h")


def text(value: Any) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {shown(value)}")
    if not value.strip():
        raise ValueError("it is empty")
    if re.search("[\ud800-\udfff]", value):
        raise ValueError(
            "it contains half a surrogate pair, which cannot be sent; retype that character"
        )
    return value


def word(value: Any) -> str:
    """Read one word."""
    found = text(value).strip()
    if len(found.split()) != 1 or not found.isprintable():
        raise ValueError(f"expected one word, got {found[:40]!r}")
    return found


def identifier(value: Any) -> str:
    """Read a name that a run can be stored under without breaking the notebook."""
    name = text(value).strip()
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(
            f"{name[:40]!r} is not a valid variable name; use letters, digits and _, such as result"
        )
    if name in _SHADOWS or _IPYTHONS.fullmatch(name):
        raise ValueError(f"{name!r} would replace Python's own {name}; choose another name")
    return name


def switch(value: Any) -> bool:
    """Read on or off."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"expected True or False, got {shown(value)}")


def whole_number(value: Any) -> int:
    """Read a whole number, of either sign."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        return int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"expected a whole number, got {shown(value)}")
    return int(value)


def _bounded(
    reader: Callable[[Any], int], fits: Callable[[int], bool], needed: str
) -> Callable[[Any], int]:
    """Make a reader of whole numbers of which not all fit."""

    def read(value: Any) -> int:
        found = reader(value)
        if not fits(found):
            raise ValueError(f"expected {needed}, got {found}")
        return found

    return read


count = _bounded(whole_number, lambda found: found >= 1, "at least 1")
count_or_none = _bounded(whole_number, lambda found: found >= 0, "0 or more")
concurrency = _bounded(count, lambda found: found <= 200, "at most 200 at once")
workers = _bounded(
    count, lambda found: found <= MOST_WORKERS, f"at most {MOST_WORKERS} workers per cell"
)


def dollars(value: Any) -> Decimal:
    """Read an amount of US dollars above 0; a dollar sign may lead it."""
    shown = value.strip().removeprefix("$") if isinstance(value, str) else value
    if not _number(shown) > 0:
        raise ValueError(
            f"expected an amount in US dollars above 0 (None for no cap), got {str(shown)[:40]}"
        )
    return Decimal(str(shown))


def file_path(value: Any) -> str:
    """Read the path of a file, `~` for the home folder."""
    found = any_path(value)
    if found.endswith(("/", "\\")):
        raise ValueError(f"expected the path of a file, got {found[:60]!r}")
    return found


def any_path(value: Any) -> str:
    """Read the path of a file, or of a folder, which may end in a slash; `~` for the home folder."""
    found = str(value) if isinstance(value, pathlib.PurePath) else text(value).strip()
    if "\0" in found:
        raise ValueError(f"expected a path, got {found[:60]!r}")
    return found


def seconds(value: Any) -> float:
    """Read a finite number of seconds above 0; a unit `s` may follow."""
    found = _number(value.strip().removesuffix("s") if isinstance(value, str) else value)
    if not found > 0:
        raise ValueError(f"expected a number of seconds above 0, got {found:g}")
    return found


def temperature(value: Any) -> tuple[float, float]:
    """Read one temperature or a range, as its two ends; from 0 to 2."""
    if isinstance(value, tuple | list) or (
        isinstance(value, str) and (".." in value or _as_range(value))
    ):
        low, high = span(value, least_width=0, such_as="0..1")
    else:
        low = high = _number(value)
    if low < 0 or high > 2:
        raise ValueError("expected a temperature from 0 to 2, or a range such as 0..1")
    return low, high


def span(value: Any, least_width: float = 1e-9, such_as: str = "1..10") -> tuple[float, float]:
    """Read two ends, the lower first."""
    parts = re.split(r"(?<!\.)\.\.(?!\.)", value) if isinstance(value, str) else value
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise ValueError(
            f"expected a range such as {such_as}, got {shown(value)}{_as_range(value)}"
        )
    low, high = (_number(part) for part in parts)
    if high - low < least_width:
        raise ValueError(f"the range {low:g}..{high:g} is empty; put the lower end first")
    return low, high


_RANGE = re.compile(
    rf"\s*(-?\d*\.?\d+)\s*(?:[-{DASHES}:…]|\.{{3}}|to)\s*(-?\d*\.?\d+)\s*", re.ASCII
)


def _as_range(value: Any) -> str:
    """Tell how a range in another notation is written here, as a hint; "" for what is none."""
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    return f"; write {match[1]}..{match[2]}" if match else ""


def items(value: Any) -> Any:
    """Read the path of a variable, as text, or the items themselves."""
    if isinstance(value, str):
        found = key_quoted(value.strip())
        if path(found) is None and whole(found) is None:
            raise ValueError(f"expected the name of a variable, got {found[:40]!r}")
        return found
    return value


def truth(value: Any) -> Any:
    """Read where the true labels are: the name of a variable or a column, or the labels themselves."""
    return key_quoted(text(value).strip()) if isinstance(value, str) else value


def schema(value: Any) -> Any:
    """Read the name of a variable, fields or JSON, as text; or the class or dict itself."""
    return text(value).strip() if isinstance(value, str) else value


def key_quoted(typed: str) -> str:
    """Return a path as it was meant: quotes around a key, as in `table["text"]`, are gone once it is cut."""
    return re.sub(r"\[([^\W\d][^\]\[\"']*)\]", r'["\1"]', typed)


def comparisons(value: Any) -> tuple[str, ...]:
    """Read systems to compare with: `single`, models, names of panels, `stop=clinch`."""
    found = listed(value, "a system") if value != () else ()
    if len(set(found)) < len(found):
        raise ValueError("the same system is named twice")
    for each in found:
        name, equals, how = each.partition("=")
        if name == "stop" and equals and stop(how) != "clinch":
            raise ValueError(
                "only stop=clinch can be computed from a full set of votes; to try another rule, "
                "run a cell with that --stop"
            )
    return found


def parameter(value: Any) -> tuple[tuple[str, Any], ...]:
    """Read KEY=JSON as typed, or a dict from a script; what is no JSON is taken as text."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, list | tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 for pair in pairs
    ):
        return tuple((str(key), _sendable(str(key), item)) for key, item in pairs)
    key, equals, shown = text(value).partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", key.strip()):
        raise ValueError(
            """expected KEY=JSON, such as top_p=0.9 or 'thinking={"type": "disabled"}'"""
        )

    def told(error: Exception) -> Exception:
        if isinstance(error, _UnsendableError):
            return error
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return ValueError(
            f"{shown[:40]!r} is not valid JSON ({problem}); put all of it in single quotes: "
            f"'{key}=…'"
        )

    def loaded() -> Any:
        try:
            return json.loads(shown, parse_constant=_no_constant)
        except json.JSONDecodeError:
            if re.fullmatch(r"[A-Za-z][\w.-]*", shown):
                return shown
            raise

    found = translated(loaded, told, ValueError, RecursionError)
    return ((key.strip(), _sendable(key.strip(), found)),)


class _UnsendableError(ValueError):
    """A request field that cannot, or must not, be sent."""


def _sendable(key: str, value: Any) -> Any:
    translated(
        lambda: json.dumps(value, allow_nan=False, ensure_ascii=False).encode(),
        lambda error: _UnsendableError(
            f"{key}: the value cannot be sent as JSON ({type(error).__name__})"
        ),
        *(TypeError, ValueError, RecursionError),
    )
    if key in _ELSEWHERE:
        raise _UnsendableError(f"{key} is already set by {_ELSEWHERE[key]}; remove it here")
    return value


def _no_constant(name: str) -> Any:
    raise _UnsendableError(f"{name} is not valid JSON")


def threshold(value: Any) -> str:
    """Read a share as 0.6, 2/3 or 60%, or a count of at least 2; kept as exact text."""
    shown = str(value).strip()
    share = _fraction(shown)
    if share is None:
        raise ValueError(
            f"expected a share such as 0.6, 2/3 or 60%, or a count, got {shown[:40]!r}"
        )
    if shown == "1":
        raise ValueError(
            "1 is ambiguous: write 100% for all votes, or use --pick any for one vote (1% in a guard)"
        )
    if share <= 0:
        raise ValueError("expected a share above 0")
    if share > 1 and (share.denominator != 1 or "%" in shown):
        raise ValueError(f"{shown} is more than all votes")
    return shown


def sureness(value: Any) -> Fraction:
    """Read how often answers are to be right: a share between 0 and 1, such as 95% or 0.95."""
    found = None if isinstance(value, bool) else _fraction(str(value).strip())
    if found is None or not 0 < found < 1:
        bare = found is not None and 1 < found < 100 and "%" not in str(value)
        hint = f"; write {str(value).strip()}%" if bare else ""
        raise ValueError(
            f"expected a share between 0% and 100%, such as 95% or 0.95, got {shown(value)}{hint}"
        )
    return found


def weight(value: Any) -> Fraction:
    """Read a number of at least 0, exact as it is written."""
    found = None if isinstance(value, bool) else _fraction(str(value).strip())
    if found is None or found < 0:
        raise ValueError(f"expected a weight of 0 or more, such as 1.5, got {shown(value)}")
    return found


def stop(value: Any) -> str:
    """Read when a vote ends: `all`, `clinch`, or `beta:LEVEL` with a level between 0.5 and 1."""
    shown = str(value).strip()
    if shown in ("all", "clinch"):
        return shown
    name, _, level = shown.partition(":")
    if name != "beta":
        raise _unknown(shown, ("all", "clinch", "beta:0.95"))
    share = _fraction(level.strip())
    if share is None or not Fraction(1, 2) < share < 1:
        raise ValueError(
            f"expected a level between 0.5 and 1, such as beta:0.95, got {shown[:40]!r}"
        )
    return f"beta:{share}"


def minimum(value: Any) -> str:
    """Read a count of workers, or a share in percent; kept as text."""
    shown = str(value).strip()
    if isinstance(value, float) and not 0 <= value <= 1:
        raise ValueError("expected a whole number of workers or a percentage, such as 3 or 50%")
    if isinstance(value, float) or re.fullmatch(r"0?\.\d+", shown):
        raise ValueError(
            f"expected a count or a percentage; for this share, write {float(value) * 100:g}%"
        )
    if match := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", shown):
        if float(match[1]) > 100:
            raise ValueError("at most 100% can succeed")
        return f"{match[1]}%"
    return str(count_or_none(value))


def one_of(known: Collection[str]) -> Callable[[Any], str]:
    """Make a reader of one of these words."""

    def read(value: Any) -> str:
        found = value.strip() if isinstance(value, str) else str(value)
        if found not in known:
            raise _unknown(found, known)
        return found

    return read


def _unknown(found: str, known: Collection[str]) -> ValueError:
    hint = nearest(found, known)
    return ValueError(f"unknown value {found[:40]!r}; possible: {', '.join(known)}{hint}")


def _fraction(shown: str) -> Fraction | None:
    """Return a decimal, a fraction or a percentage, exactly; None for anything else."""
    # No exponents: 1e999999999 would be written out digit by digit.
    match = re.fullmatch(
        r"[+-]?(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})(/\d{1,12})?(%?)", shown, re.ASCII
    )
    if match is None or ("/" in shown and "." in shown) or not int((match[2] or "/1")[1:]):
        return None
    return Fraction(shown.removesuffix("%").removesuffix(".")) / (100 if match[3] else 1)


def _number(value: Any) -> float:
    found = translated(
        lambda: float(value),
        lambda _: ValueError(f"expected a number, got {shown(value)}"),
        *(TypeError, ValueError),
    )
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError(f"expected a finite number, got {shown(value)}")
    return found
