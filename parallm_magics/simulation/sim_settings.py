"""What can follow the `?` of a simulated model: `sim:NAME?accuracy=0.8&rho=0.3`."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from parallm_magics.core.models import Model
from parallm_magics.errors import ModelError, nearest


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution of latencies: how it is written, when it makes sense, and its quantiles."""

    form: str
    fits: Callable[..., bool]
    quantile: Callable[..., float]


SHAPES = {
    "lognormal": Shape(
        "lognormal(MEDIAN,SIGMA)",
        lambda median, sigma: median > 0,
        lambda u, median, sigma: median * math.exp(min(sigma * NormalDist().inv_cdf(u), 50)),
    ),
    "exp": Shape("exp(MEAN)", lambda mean: mean > 0, lambda u, mean: -mean * math.log1p(-u)),
    "uniform": Shape(
        "uniform(LO,HI)",
        lambda low, high: low <= high,
        lambda u, low, high: low + (high - low) * u,
    ),
    "": Shape("a number of seconds", lambda seconds: True, lambda _, seconds: seconds),
}


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls take: a shape of `SHAPES` and its numbers, in seconds."""

    shape: str
    numbers: tuple[float, ...]


def number(text: str, low: float, high: float, expected: str) -> float:
    """A finite number in a range, both ends included.

    Raises:
        ValueError: it is none; the message is `expected`.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or math.isinf(value):
        raise ValueError(expected)
    return value


def _share(text: str) -> float:
    return number(text, 0, 1, "a number from 0 to 1")


def _scale(text: str) -> float:
    return number(text, 0, math.inf, "a number of 0 or more")


def _sharpness(text: str) -> float | None:
    """Return the power; None for a model that answers in words."""
    if not text:
        return None
    expected = "a number above 0"
    value = number(text, 0, 1000, expected)
    if not value:
        raise ValueError(expected)
    return value


def _latency(text: str) -> Latency:
    expected = " or ".join(shape.form for shape in SHAPES.values())
    match = re.fullmatch(r"\s*(?:(\w+)\s*\((.*)\)|(.*?))\s*", text)
    try:
        if match is None:
            raise ValueError(expected)
        name, inside, bare = match.groups()
        values = inside.split(",") if name else [bare]
        numbers = tuple(number(value, 0, 1e6, expected) for value in values)
        if not SHAPES[name or ""].fits(*numbers):
            raise ValueError(expected)
    except (KeyError, TypeError):  # no such shape, or another count of numbers
        raise ValueError(expected) from None
    return Latency(name or "", numbers)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its reader says what it expects by a ValueError; the default is read too."""

    name: str
    read: Callable[[str], Any]
    default: str
    help: str


PARAMETERS = {
    entry.name: entry
    for entry in (
        Parameter("accuracy", _share, "0.8", "the share of correct answers"),
        Parameter(
            "rho",
            _share,
            "0",
            "how strongly the voters share their errors: 0 not at all, 1 completely",
        ),
        Parameter(
            "truth",
            str,
            "",
            "the correct answer; default: the first choice, or the middle of the score range",
        ),
        Parameter("latency", _latency, "lognormal(1,0.5)", "how long calls take, in seconds"),
        Parameter("scale", _scale, "1", "real seconds per simulated second"),
        Parameter("fail", _share, "0", "the share of calls that fail, retries included"),
        Parameter("refuse", _share, "0", "the share of calls that are refused"),
        Parameter(
            "sharpness",
            _sharpness,
            "",
            "makes it a decision model, which gives each label a probability: 1 is calibrated, above 1 "
            "claims too much; default: it answers in words",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all `PARAMETERS` for one model."""

    accuracy: float
    rho: float
    truth: str
    latency: Latency
    scale: float
    fail: float
    refuse: float
    sharpness: float | None = None


@functools.lru_cache(256)
def read_settings(model: Model) -> Settings:
    """What a simulated model's query asks for, defaults filled in.

    Raises:
        ModelError: a parameter is unknown, given twice, or has a value that it cannot take.
    """
    found: dict[str, Any] = {}

    def refused(why: str, hint: str = "") -> ModelError:
        form = f"{model.provider}:NAME?accuracy=0.8&rho=0.3&latency=lognormal(1,0.5)"
        name = f"{model.provider}:{model.name}".removesuffix(":")
        return ModelError(f"{name}: {why}; the form is {form}{hint}")

    for name, value in model.query:
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise refused(f"unknown parameter {name!r}; known: {known}", nearest(name, PARAMETERS))
        if name in found:
            raise refused(f"parameter {name!r} is set twice")
        try:
            found[name] = PARAMETERS[name].read(value)
        except ValueError as expected:
            raise refused(f"{name!r} must be {expected}, not {value!r}") from None
    defaults = {name: entry.read(entry.default) for name, entry in PARAMETERS.items()}
    settings = Settings(**{**defaults, **found})
    if settings.fail + settings.refuse > 1:
        raise refused("'fail' and 'refuse' are together more than 1")
    return settings
