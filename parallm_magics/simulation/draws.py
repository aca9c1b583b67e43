"""What a simulated model does with a task, by draws that anyone can repeat.

Every draw comes from a hash of what it may depend on, and only through `Random.random()`, the one
method whose numbers Python promises to keep: the same call gives the same answer in every process.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from parallm_magics.answers.label_probabilities import has_levels
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.errors import ModelError
from parallm_magics.simulation.sim_settings import SHAPES, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallm_magics.core.tasks import Reading, Task
    from parallm_magics.simulation.sim_settings import Settings

MARK = "[SIMULATED]"
_JUDGED = {"index": "winner", "score": "score"}


# --- draws ----------------------------------------------------------------------------------------


def stream(*key: str | int | None) -> random.Random:
    """Random numbers that depend on the key and on nothing else."""
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def item_stream(task: Task, purpose: str) -> random.Random:
    """Random numbers that all voters on one item share, whatever their model or system prompt."""
    return stream("item", purpose, task.shared or task.prompt, task.seed)


def sample_stream(task: Task, purpose: str) -> random.Random:
    """Random numbers of one call alone."""
    key = (str(task.model), task.system, task.prompt, task.sample, task.seed)
    return stream("sample", purpose, *key)


def _unit(numbers: random.Random) -> float:
    """A number between 0 and 1, neither included."""
    return numbers.random() or 2.0**-54


def _log_gamma_variate(shape: float, numbers: random.Random) -> float:
    """The logarithm of a gamma variate, by Marsaglia and Tsang's method.

    Not `random.betavariate`: at rho = 0.999 its gamma variates underflow to 0 for most items, and
    the mean falls far below the accuracy. Its numbers may also change with Python.
    """
    if shape < 1:
        return _log_gamma_variate(shape + 1, numbers) + math.log(_unit(numbers)) / shape
    d = shape - 1 / 3
    while True:
        x = NormalDist().inv_cdf(_unit(numbers))
        v = (1 + x / math.sqrt(9 * d)) ** 3
        if v > 0 and math.log(_unit(numbers)) < x * x / 2 + d - d * v + d * math.log(v):
            return math.log(d * v)


def chance_of_right(accuracy: float, rho: float, numbers: random.Random) -> float:
    """One item's chance of a right answer: a Beta draw with this mean and this share of variance.

    `rho` is the intra-class correlation of right and wrong: 0 gives every item the same chance,
    1 makes every item either always right or always wrong.
    """
    if rho < 1e-9 or accuracy in (0, 1):  # 1/rho must stay a number
        return accuracy
    if rho == 1:
        return float(numbers.random() < accuracy)
    weight = 1 / rho - 1
    right = _log_gamma_variate(accuracy * weight, numbers)
    wrong = _log_gamma_variate((1 - accuracy) * weight, numbers)
    return 1 / (1 + math.exp(min(wrong - right, 700)))


def is_right(task: Task, settings: Settings) -> bool:
    """Whether this call gives the right answer."""
    item = item_stream(task, "difficulty")
    chance = chance_of_right(settings.accuracy, settings.rho, item)
    return sample_stream(task, "right").random() < chance


def fate(task: Task, settings: Settings) -> Literal["answer", "fail", "refuse"]:
    """How this call ends; asking again changes nothing."""
    u = sample_stream(task, "fate").random()
    if u < settings.fail:
        return "fail"
    return "refuse" if u < settings.fail + settings.refuse else "answer"


def latency(task: Task, settings: Settings) -> float:
    """How long this call takes, in simulated seconds."""
    drawn, share = settings.latency, _unit(sample_stream(task, "latency"))
    return round(SHAPES[drawn.shape].quantile(share, *drawn.numbers), 6)


# --- answers --------------------------------------------------------------------------------------


def _shown(value: float) -> str:
    return f"{value:.15g}"


def _whole_range(reading: Reading) -> range:
    low = math.ceil(1 if reading.low is None else reading.low)
    high = len(reading.choices) if reading.high is None else math.floor(reading.high)
    return range(low, max(low, high) + 1)


def _score_range(reading: Reading) -> tuple[float, float]:
    low = 0.0 if reading.low is None else reading.low
    return low, low + 10 if reading.high is None else reading.high


def _has_whole_steps(low: float, high: float) -> bool:
    """Whether a range holds enough whole numbers (three) for a score to be one of them."""
    return math.floor(high) - math.ceil(low) >= 2


def right_answer(task: Task, settings: Settings) -> str:
    """The answer that counts as right for this task; "" for free text.

    Raises:
        ModelError: the parameter `truth` is not an answer that the task can take.
    """
    reading = task.reading
    if reading is None or KINDS[reading.kind].is_text:
        return ""
    if task.role == "worker":
        return _right(task, reading, settings.truth or task.truth or "")
    # A guard or a judge is asked with the workers' model: their answer is no mistake here.
    try:
        return _right(task, reading, settings.truth)
    except ModelError:
        return _right(task, reading, "")


def _right(task: Task, reading: Reading, truth: str) -> str:
    def misfit(expected: str) -> ModelError:
        return ModelError(
            f"{task.model.provider}: 'truth' is {truth!r}, but the answer of {task.name!r} is {expected}; give it "
            f"its own model, for example -m {task.model.provider}:"
        )

    if answers := KINDS[reading.kind].all_answers(reading):
        if not truth:
            return answers[0]
        label, wanted = KINDS[reading.kind].label, truth.strip().casefold()
        same = [each for each in answers if wanted in (each.casefold(), label(each).casefold())]
        if same:
            return truth if truth in same else same[0]
        raise misfit(f"one of {', '.join(answers)}")
    if KINDS[reading.kind].is_place:
        known = [str(index) for index in _whole_range(reading)]
        # Among candidates the truth is what one of them says, even where it is a number.
        is_place = truth in known and not reading.choices
        return truth if is_place else known[_best_of(reading.choices, truth)]
    low, high = _score_range(reading) if has_levels(reading) else (-math.inf, math.inf)
    if truth:
        span = f" from {_shown(low)} to {_shown(high)}" if has_levels(reading) else ""
        try:
            return _shown(number(truth, low, high, ""))
        except ValueError:
            raise misfit(f"a number{span}") from None
    if not has_levels(reading):
        return str(1 + int(item_stream(task, "truth").random() * 100))
    middle = (low + high) / 2
    if task.role == "judge":  # its scores tell its candidates apart
        middle = low + (high - low) * item_stream(task, "quality").random()
    return _shown(math.floor(middle) if _has_whole_steps(low, high) else middle)


def _best_of(candidates: Sequence[str], truth: str) -> int:
    """The place of the candidate that a judge should choose: the same one in whatever order."""
    if not candidates:
        return 0
    said = [text.rpartition("ANSWER:")[2].strip().casefold() for text in candidates]
    right = [at for at, text in enumerate(said) if text == truth.strip().casefold()]
    if truth and right:
        return right[0]
    return min(range(len(candidates)), key=lambda at: stream("best", candidates[at]).random())


def wrong_answers(reading: Reading, right: str) -> dict[str, float]:
    """The wrong answers to draw from, with weights: labels alike, numbers by nearness."""
    if answers := KINDS[reading.kind].all_answers(reading):
        return {answer: 1.0 for answer in answers if answer != right}
    if KINDS[reading.kind].is_place:
        return {str(index): 1.0 for index in _whole_range(reading) if str(index) != right}
    truth = float(right)
    low, high = _score_range(reading) if has_levels(reading) else (truth - 10, truth + 10)
    if _has_whole_steps(low, high):
        near = range(math.ceil(max(low, truth - 10)), math.floor(min(high, truth + 10)) + 1)
        numbers = [float(whole) for whole in near]
    else:
        numbers = [low + (high - low) * tenth / 10 for tenth in range(11)]
    return {_shown(n): 1 / abs(n - truth) for n in numbers if abs(n - truth) > 1e-9}


def pick(weights: dict[str, float], numbers: random.Random) -> str:
    """One of these by weight, whatever their order: a race of exponential times."""
    salt = numbers.random().hex()
    return min(weights, key=lambda key: -math.log(_unit(stream(salt, key))) / weights[key])


def answer(task: Task, settings: Settings) -> str:
    """The text that the simulated model answers with.

    Wrong voters tend to agree: with probability rho an item has one wrong answer that all its
    wrong voters give; else each draws its own. Two wrong voters among K labels thus agree with
    probability rho + (1 - rho)/(K - 1).
    """
    reading = task.reading
    if reading is None or KINDS[reading.kind].is_text:
        return f"{MARK} no model was asked; the prompt had {len(task.prompt):,} characters."
    value = right_answer(task, settings)
    wrong = wrong_answers(reading, value)
    if wrong and not is_right(task, settings):
        item = item_stream(task, "wrong")
        shared = item.random() < settings.rho
        value = pick(wrong, item if shared else sample_stream(task, "wrong"))
    if key := _verdict_key(task):
        return f'Simulated verdict.\n{{"{key}": {value}}}'
    sure = f"CONFIDENCE: {_stated(task)}\n" if "CONFIDENCE: <" in task.prompt else ""
    return f"Simulated {KINDS[reading.kind].noun}.\n{sure}ANSWER: {value}"


def _verdict_key(task: Task) -> str:
    """The field of the JSON object that a judge's prompt asks for; "" where it asks for none."""
    key = _JUDGED.get(task.reading.kind, "") if task.reading else ""
    return key if f'{{"{key}": <' in task.prompt else ""


def _stated(task: Task) -> int:
    """A stated confidence, high and worth nothing: it does not depend on being right."""
    return 70 + int(30 * sample_stream(task, "confidence").random())
