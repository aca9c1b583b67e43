"""What a decision model's answer to one question comes to, whatever stands in its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from parallm_magics.answers.label_probabilities import answer_of_probabilities
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Fault
from parallm_magics.providers import keys

REFUSED = Reply("", "refusal")
TOLERANCE = 0.05
"""How far from 1 the probabilities of a question may sum up, as servers round each of them."""
MOST_SHOWN = 40


def no_answer(why: str) -> Fault:
    """Return why there is no answer to a question that was asked."""
    said = one_line(keys.scrub(why), 200)
    return Fault("not_an_answer", f"no usable answer to this question: {said}")


MISSING = no_answer("the model left it out")


def probable_answer(
    labels: Sequence[str], shares: Mapping[str, object], *, levels: bool
) -> Reply | Fault:
    """Return the answer that these probabilities give; a fault where they can be none.

    A label that is not mentioned has the probability 0. Where all are good, they are scaled to the
    sum 1.

    Args:
        labels: those that were asked for.
        shares: by label, as they were sent.
        levels: whether the labels are the levels of a score.
    """
    unknown = [label for label in shares if label not in labels]
    if unknown:
        return no_answer(f"{one_line(repr(unknown[0]), MOST_SHOWN)} is none of its labels")
    found: dict[str, float] = {}
    for label in labels:
        share = shares.get(label, 0.0)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            said = one_line(str(share), MOST_SHOWN)
            return no_answer(f"the probability of {one_line(label, MOST_SHOWN)} is {said}")
        found[label] = float(share)
    total = math.fsum(found.values())
    if not abs(total - 1) <= TOLERANCE:
        return no_answer(
            f"its probabilities sum up to {total:.3g}" if shares else "no probabilities"
        )
    scaled = {label: share if total == 1 else share / total for label, share in found.items()}
    return Reply(answer_of_probabilities(scaled, levels=levels), probabilities=scaled)
