"""Values of any type as what JSON holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain_value(value: Any) -> Any:
    """Return a value as what JSON holds: objects as dicts by their fields, dates and decimals as text.

    Raises:
        ValueError: something in it has no such form.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)
