"""What `--schema` names: a class or dict of the notebook, or fields as they are typed."""

from __future__ import annotations

from functools import partial
from typing import Any

from parallm_magics.answers.schema_sources import schema_of
from parallm_magics.cell.option_layers import Layer
from parallm_magics.cell.option_values import key_quoted
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.variables import path, whole
from parallm_magics.errors import OptionError, VariableError, translated


def with_schema(layer: Layer, prompts: Prompts, line: int = 1) -> Layer:
    """Return a layer of options with the schema in place of what stands for it.

    Raises:
        OptionError: there is no such variable, or it is no schema that can be used; names the line.
        VariableError: likewise, of the variable's own.
    """
    wanted = layer.get("schema")
    if wanted is None:
        return layer
    where = f"line {line}: --schema"
    source = _named(wanted, prompts, where) if isinstance(wanted, str) else wanted
    schema = translated(
        lambda: schema_of(source), lambda error: OptionError(f"{where}: {error}"), ValueError
    )
    return {**layer, "schema": schema}


def _named(text: str, prompts: Prompts, where: str) -> Any:
    """Return what a variable of this name holds, or the text where it is no name."""
    ref = path(key_quoted(text)) or whole(text)
    if ref is None:
        return text
    hint = "" if whole(text) else f"; for an object with this one field, write '{text}: text'"
    return translated(
        partial(prompts.named, ref, where),
        lambda error: VariableError(f"{error}{hint}"),
        VariableError,
    )
