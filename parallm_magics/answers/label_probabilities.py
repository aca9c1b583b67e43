"""What the probability of each label comes to: the labels that a reading has, and the answer they give."""

from __future__ import annotations

import math
from collections.abc import Mapping

from parallm_magics.core.tasks import Reading, Task
from parallm_magics.errors import ModelError

MOST_STEPS = 9
"""Most steps from the lowest level of a score to the highest: servers take ten levels at most."""
LEAST_STEPS = 4
"""Fewest steps of a range that has more whole numbers than there can be levels."""
STEPS = 5
"""Steps of any other range."""

MOST_LABELS = 255
"""Most labels of one question."""


def levels_of(reading: Reading) -> tuple[float, ...]:
    """Return the levels of a score, from low to high and evenly spaced.

    Each whole number of the range is a level, where those are at most ten; else every second, third
    … one is, where they divide the range; else it is cut into five steps.

    >>> levels_of(Reading("score", low=1, high=5))
    (1.0, 2.0, 3.0, 4.0, 5.0)
    >>> levels_of(Reading("score", low=0, high=10))
    (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    >>> levels_of(Reading("score", low=0, high=1))
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    low = float(reading.low or 0)
    high = 1.0 if reading.high is None else float(reading.high)
    steps = _steps(int(high - low)) if low.is_integer() and high.is_integer() else STEPS
    return tuple(round(low + (high - low) * step / steps, 12) for step in range(steps + 1))


def _steps(length: int) -> int:
    """Return into how many steps a range between two whole numbers is cut."""
    if 2 <= length <= MOST_STEPS:
        return length
    whole = (steps for steps in range(MOST_STEPS, LEAST_STEPS - 1, -1) if length % steps == 0)
    return STEPS if length < LEAST_STEPS else next(whole, STEPS)


def labels_of_reading(reading: Reading) -> tuple[str, ...]:
    """Return what a probability is given for: the choices, or the levels of a score as they are written."""
    if reading.kind == "score":
        return tuple(f"{level:.15g}" for level in levels_of(reading))
    return reading.choices


def most_probable(probabilities: Mapping[str, float]) -> str:
    """Return the most probable label; of several the first."""
    return max(probabilities, key=probabilities.__getitem__)


def expected_level(probabilities: Mapping[str, float]) -> float:
    """Return the mean of the levels, each weighted by its probability.

    >>> expected_level({"1": 0.5, "2": 0.5})
    1.5
    """
    total = math.fsum(probabilities.values())
    mean = math.fsum(float(level) * share for level, share in probabilities.items()) / total
    return round(mean, 6)


def answer_of_probabilities(reading: Reading, probabilities: Mapping[str, float]) -> str:
    """Return the answer in words: the most probable choice, or the expected level of a score."""
    if reading.kind == "score":
        return f"{expected_level(probabilities):.15g}"
    return most_probable(probabilities)


def refuse_undecidable(task: Task) -> None:
    """Refuse what a decision model cannot answer.

    Raises:
        ModelError: names the model, what is wrong and the way out.
    """
    if why := _undecidable(task):
        raise ModelError(f"{task.name}: {task.model} is a decision model, which {why}")


def _undecidable(task: Task) -> str:
    """Return what of a task no decision model takes; "" where it can answer."""
    reading = task.reading
    if task.role in ("judge", "synthesis"):
        return f"writes no text; give %{task.role} another model with -m"
    if reading is None or reading.kind not in ("choice", "score"):
        return "answers only --choices and --score; add one of them, or choose another model"
    labels = labels_of_reading(reading)
    if len(labels) < 2:
        return f"needs at least 2 choices, not {len(labels)}"
    if len(labels) > MOST_LABELS:
        return f"takes at most {MOST_LABELS} choices, not {len(labels)}"
    if any(not label.strip() for label in labels):
        return "takes no empty choice"
    if len(set(labels)) < len(labels):
        return "takes each choice only once"
    if task.system is not None:
        return "takes no system prompt; write it into the prompt"
    return ""
