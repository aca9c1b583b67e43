"""What stands for "no value" in Python and in the packages that hold tables."""

from __future__ import annotations

from numbers import Number
from typing import Any


def is_missing(value: Any) -> bool:
    """Whether this is None, NaN of any kind, NaT, NA, or a null of pyarrow.

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
    """As only NaN and NaT do; a signalling NaN does not even compare."""
    try:
        return bool(value != value)
    except Exception:
        return True
