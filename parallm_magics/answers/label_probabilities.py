"""What the probability of each label comes to: the labels that a reading has, and the answer they give."""

from __future__ import annotations

import math
from collections.abc import Mapping

from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.core.tasks import Reading, Task
from parallm_magics.errors import ModelError

MOST_LABELS = 255
"""Most labels of one question."""


def has_levels(reading: Reading) -> bool:
    """Return whether answers are levels, of which a mean can be taken, and not choices."""
    return KINDS[reading.kind].levels is not None


def labels_of_reading(reading: Reading) -> tuple[str, ...]:
    """Return what a probability is given for: the choices, or the levels of a score as they are written."""
    levels = KINDS[reading.kind].levels
    return reading.choices if levels is None else tuple(f"{each:.15g}" for each in levels(reading))


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


def answer_of_probabilities(probabilities: Mapping[str, float], *, levels: bool) -> str:
    """Return the answer in words: the most probable choice, or of levels the expected one."""
    if levels:
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
    if reading is None or not (KINDS[reading.kind].is_label or has_levels(reading)):
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
