"""What a simulated decision model says: a probability for each label, calibrated where it is asked to be.

A model is calibrated where, of the answers that it gives with probability q, the share q is right
(Dawid 1982, The well-calibrated Bayesian). So the chance q comes first, and the answer is right with
that chance. `sharpness` then changes what is stated, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from parallm_magics.answers.label_probabilities import (
    answer_of_probabilities,
    has_levels,
    labels_of_reading,
)
from parallm_magics.errors import ModelError
from parallm_magics.simulation import draws

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from parallm_magics.core.tasks import Reading, Task
    from parallm_magics.simulation.sim_settings import Settings

SPREAD = 2.0
"""Of the Beta distribution of the chances: the sum of its two parameters; a mean of 1/2 is uniform."""
SURE = 1 - 1e-9
"""Most that is ever stated, so that every label keeps a probability."""


def check_decision(task: Task, settings: Settings) -> None:
    """Refuse an accuracy that no calibrated model can have.

    Raises:
        ModelError: it is below that of guessing.
    """
    count = len(labels_of_reading(task.reading)) if task.reading is not None else 0
    if count and settings.accuracy <= 1 / count:
        raise ModelError(
            f"{task.model.provider}: with sharpness, accuracy must be above {1 / count:.3g}, the chance of guessing "
            f"right among {count} labels, not {settings.accuracy:g}"
        )


def decided(task: Task, settings: Settings) -> tuple[str, dict[str, float]]:
    """Return the answer of a simulated decision model and the probability of each label.

    The chance q that the most probable label is right has mean `accuracy`: with K labels
    `q = 1/K + (1 - 1/K) * Beta(a, b)`, `a + b = 2`. The other labels share 1 - q: choices equally,
    levels by nearness. With chance `rho` all voters on an item share their draws, so `rho` is the
    correlation of right and wrong between them.

    What is stated is `p ** sharpness`, scaled to the sum 1: temperature scaling with temperature
    1/sharpness (Guo et al. 2017, On calibration of modern neural networks, section 4.2). So at
    `sharpness=1` the stated probability is the chance of being right, above 1 the model claims too
    much, below 1 too little.
    """
    reading = task.reading
    assert reading is not None
    labels = labels_of_reading(reading)
    task = _unsharpened(task)
    shared = draws.item_stream(task, "shared decision").random() < settings.rho

    def numbers(purpose: str) -> random.Random:
        return (draws.item_stream if shared else draws.sample_stream)(task, purpose)

    chance = _chance(settings.accuracy, len(labels), numbers("chance"))
    right = draws.right_answer(task, settings)
    right = right if right in labels else min(labels, key=lambda each: _apart(each, right))
    label = right
    if numbers("right").random() >= chance:
        label = draws.pick(_others(reading, labels, right), numbers("wrong"))
    stated = _stated(_shares(reading, labels, label, chance), settings.sharpness or 1.0)
    return answer_of_probabilities(stated, levels=has_levels(reading)), stated


def _unsharpened(task: Task) -> Task:
    """Return the task without the sharpness, which changes no draw."""
    query = tuple(pair for pair in task.model.query if pair[0] != "sharpness")
    return replace(task, model=replace(task.model, query=query))


def _chance(accuracy: float, labels: int, numbers: random.Random) -> float:
    """Return the chance that the most probable of so many labels is right; its mean is the accuracy."""
    least = 1 / labels
    mean = (accuracy - least) / (1 - least) if labels > 1 else 1.0
    share = draws.chance_of_right(min(max(mean, 0.0), 1.0), 1 / (SPREAD + 1), numbers)
    return least + (1 - least) * share


def _apart(label: str, right: str) -> float:
    """Return how far a level is from the right number."""
    return abs(float(label) - float(right))


def _others(reading: Reading, labels: Sequence[str], label: str) -> dict[str, float]:
    """Return all other labels with weights: choices alike, levels by nearness."""
    near = has_levels(reading)
    return {each: 1 / _apart(each, label) if near else 1.0 for each in labels if each != label}


def _shares(reading: Reading, labels: Sequence[str], label: str, chance: float) -> dict[str, float]:
    """Return the probability of each label, that of the most probable one given; none exceeds it."""
    weights = _others(reading, labels, label)
    total, rest = math.fsum(weights.values()), 1 - chance
    equal = rest / len(weights) if weights else 0.0
    most = max((weight / total * rest for weight in weights.values()), default=0.0)
    blend = 1.0 if most <= chance or most == equal else (chance - equal) / (most - equal)
    shares = {
        each: blend * weight / total * rest + (1 - blend) * equal
        for each, weight in weights.items()
    }
    return {each: chance if each == label else shares[each] for each in labels}


def _stated(shares: Mapping[str, float], sharpness: float) -> dict[str, float]:
    """Return the shares raised to this power and scaled to the sum 1, in six decimals."""
    logs = {each: sharpness * math.log(max(share, 1 - SURE)) for each, share in shares.items()}
    top = max(logs.values())
    powers = {each: math.exp(log - top) for each, log in logs.items()}
    total = math.fsum(powers.values())
    return {each: round(power / total, 6) for each, power in powers.items()}
