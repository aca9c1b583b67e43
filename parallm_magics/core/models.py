"""A model as it is asked for."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Literal

Enforcement = Literal["none", "on request", "free"]
"""Whether a provider can hold answers to their form: not at all, where that is asked for, or at no cost."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as asked for: `provider:name?query`.

    Attributes:
        provider: the registered provider's name.
        name: the model's name as the provider knows it; may be empty for a simulated one.
        query: the simulation's parameters in the order given; empty for real providers.
        decides: whether it is a decision model, which gives each label a probability and writes no text.
        enforcement: whether its provider can hold answers to their form.
    """

    provider: str
    name: str = ""
    query: tuple[tuple[str, str], ...] = ()
    decides: bool = field(default=False, compare=False)
    enforcement: Enforcement = field(default="none", compare=False, repr=False)

    def __str__(self) -> str:
        return _written(self)


@functools.lru_cache(256)
def _written(model: Model) -> str:
    """Return one text a model, as a map's thousands of records all name it."""
    tail = "&".join(f"{key}={value}" for key, value in model.query)
    if not (model.name or tail):
        return model.provider
    return f"{model.provider}:{model.name}" + (f"?{tail}" if tail else "")
