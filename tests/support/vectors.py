"""The vectors of the public functions: inputs, and the results that they must give."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

import pytest
from paths import DATA

FILES = ("vote-vectors.json", "calibration-vectors.json")
ROWS = [row for file in FILES for row in json.loads((DATA / file).read_text("utf-8"))["rows"]]


def rows_of(functions: str | Container[str], key: str = "fn") -> list[Any]:
    """The vectors of one function or of some that have a value under the key, one test each."""
    functions = (functions,) if isinstance(functions, str) else functions
    return [pytest.param(r, id=r["id"]) for r in ROWS if r["fn"] in functions and r.get(key)]
