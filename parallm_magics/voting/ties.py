"""What becomes of a tie."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from parallm_magics.voting.rule_entry import Decision, Vote

DEFAULT_TIES = "report"
"""What becomes of a tie where nobody says."""

_LABEL_SHOWN = 60
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class TieRule:
    """What becomes of a tie.

    Attributes:
        asks: whether a judge is asked.
        broken: from the tied labels, in the order of the panel, and a seed to who wins, and how that
            is told; None to report the tie.
    """

    asks: bool = False
    broken: Callable[[Sequence[str], int], tuple[str, str]] | None = None


def _first(labels: Sequence[str], seed: int) -> tuple[str, str]:
    return labels[0], "by the lowest index"


def _by_lot(labels: Sequence[str], seed: int) -> tuple[str, str]:
    lot = random.Random("\0".join([str(seed), *sorted(labels)]))
    return sorted(labels)[int(lot.random() * len(labels))], f"at random (seed {seed})"


TIES: Mapping[str, TieRule] = {
    DEFAULT_TIES: TieRule(),
    "first": TieRule(broken=_first),
    "random": TieRule(broken=_by_lot),
    "judge": TieRule(asks=True),
}


def break_tie(decision: Decision, votes: Sequence[Vote], ties: str, seed: int) -> Decision:
    """The decision, with a tie broken by lowest index or by lot where that is asked for.

    Neither depends on who came first: the lot is drawn over the labels in the order of the panel.
    """
    broken = TIES[ties].broken
    if decision.status != "tie" or broken is None:
        return decision
    tied = frozenset(decision.tied)
    panel = (vote.label for vote in sorted(votes, key=lambda vote: vote.index))
    # A label may share the lead without a vote of its own, by a rule that looks further.
    labels = list(dict.fromkeys([*(each for each in panel if each in tied), *decision.tied]))
    winner, by = broken(labels, seed)
    among = f"the tie between {listed(labels)} was broken {by}"
    how = f"{decision.how}; {among}" if decision.how else among
    return Decision("decided", winner, how=how)


def listed(labels: Sequence[str]) -> str:
    """Name the first few labels, and how many more there are."""
    shown = [f"'{short(label)}'" for label in labels[:5]]
    more = [f"{len(labels) - 5} more"] if len(labels) > 5 else []
    *most, last = [*shown, *more]
    return f"{', '.join(most)} and {last}" if most else last


def short(label: str) -> str:
    """A label as it stands in a sentence: an open answer is one too, and may be a whole text."""
    line = _BLANK.sub(" ", label[: 4 * _LABEL_SHOWN]).strip()
    whole = len(line) <= _LABEL_SHOWN and len(label) <= 4 * _LABEL_SHOWN
    return line if whole else f"{line[: _LABEL_SHOWN - 1]}…"
