"""What of a worker's options a decision model does not take: it samples nothing and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from parallm_magics.cell.options import Options
from parallm_magics.cell.worker_specs import WorkerSpec
from parallm_magics.core.models import Model
from parallm_magics.errors import OptionError

_USUAL = Options()


def as_decided(worker: WorkerSpec, model: Model, notes: list[str]) -> WorkerSpec:
    """Return the worker without the options that its decision model has no use for, which is noted."""
    if not model.decides:
        return worker
    options = worker.options
    left_out = {
        "-t": options.temperature is not None,
        "--effort": options.effort is not None,
        "--shuffle-choices": options.shuffle_choices,
        "--tier": options.tier != _USUAL.tier,
        "--max-tokens": options.max_tokens != _USUAL.max_tokens,
    }
    if flags := [flag for flag, is_set in left_out.items() if is_set]:
        note = f"{model}: a decision model samples and writes nothing, so it does not use {', '.join(flags)}"
        notes += [] if note in notes else [note]
    plain = replace(
        options, temperature=None, effort=None, tier=_USUAL.tier, max_tokens=_USUAL.max_tokens
    )
    return replace(worker, options=plain, temperature=None, span=None)


def least_probability(threshold: str | None, model: Model, at: str) -> float | None:
    """Return the probability from which on a guard of one call blocks; None where votes are counted.

    Raises:
        OptionError: the threshold is no probability, or the model gives none; says the way out.
    """
    if threshold is None:
        return None
    if not model.decides:
        raise OptionError(
            f"{at}: --threshold {threshold} counts votes, but this guard has only one; add votes with -n, give it a "
            f"decision model, such as -m decide:gpt-6-luna, or remove --threshold"
        )
    share = Fraction(threshold.removesuffix("%")) / (100 if threshold.endswith("%") else 1)
    if share > 1:
        raise OptionError(
            f"{at}: --threshold {threshold} is no probability; write one such as 0.7 or 70%"
        )
    return float(share)
