"""The Python functions tell every option that they take."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from parallm_magics import fanout, vote
from parallm_magics.cell.options import TABLE

BOTH = pytest.mark.parametrize(
    ("function", "magic"), [pytest.param(fanout, "fanout"), pytest.param(vote, "vote")]
)


@BOTH
def test_the_signature_names_every_option(function: Callable[..., Any], magic: str) -> None:
    """Each of the magic's options by keyword with its default, `-o` aside, and no other."""
    parameters = inspect.signature(function).parameters
    assert [*parameters][:2] == ["text", "variables"]
    options = {name: each.default for name, each in [*parameters.items()][2:]}
    assert options == {
        option.name: option.default
        for option in TABLE.values()
        if magic in option.where and option.name != "out"
    }


@BOTH
def test_the_docstring_tells_every_option(function: Callable[..., Any], magic: str) -> None:
    """With what it takes and what it does, so that `fanout?` is all that one needs."""
    doc = inspect.getdoc(function) or ""
    assert "\nArgs:\n    text: " in doc
    for option in TABLE.values():
        told = f"    {option.name} ({option.metavar or 'True'}): {option.help}"
        assert (told in doc) == (magic in option.where and option.name != "out")


@BOTH
def test_every_default_may_be_given(function: Callable[..., Any], magic: str) -> None:
    """What the signature shows can be typed, and changes nothing."""
    given = {
        name: each.default
        for name, each in inspect.signature(function).parameters.items()
        if name not in ("text", "variables", "model", "dry_run")
    }
    text = "%section a\nx" if magic == "fanout" else "x"
    shown = asyncio.run(function(text, model="sim", dry_run=True, **given))
    assert str(shown) == str(asyncio.run(function(text, model="sim", dry_run=True)))
