"""How often the intervals of a study's shares hold what is known of a simulated model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from bench import Figure, table

from parallm_magics import StudyRun, vote
from parallm_magics.study.learned_panels import halves
from parallm_magics.voting import brier_loss

STUDIES, ITEMS = 2_000, 120
LABELS = ("A", "B", "C")
ACCURACY, ASKED = 0.8, 0.9
CALIBRATED = 1.0
SHARPNESS = (0.5, CALIBRATED, 2.0, 4.0)
ABOUT = (
    f"{STUDIES:,} simulated studies of {ITEMS} items, {len(LABELS)} labels, one call of a decision model "
    f"(`sim:?accuracy={ACCURACY}&sharpness=S`) on each item, `--sure {ASKED:.0%}`, through the public "
    f"function; {STUDIES // len(SHARPNESS)} for each S of {', '.join(f'{s:g}' for s in SHARPNESS)}. At S = 1 what "
    "is stated is the chance of being right, above it the model claims too much; the answers of a seed are the same "
    "at S = 1, so that their chances are known. `Bins`: the share "
    "of all bins whose interval holds the mean chance in it. `Brier`: the share of studies whose interval "
    "holds the model's Brier score, taken over all studies. `Other half`: of the studies with a share, how many "
    "whose interval holds the mean chance of the answers from that share on. `Too low`: of all studies, those "
    "with a share from which on the mean chance, over all studies, is below what was asked for. In percent."
)


@dataclass
class Held:
    """What intervals held, of the studies of one sharpness.

    Attributes:
        bins, tested: of each, whether its interval held what is known.
        brier: each study's interval.
        losses: the expected loss of each study's items, its mean.
        shares: the share chosen in each study; None where there was none.
        chances: of every item, what is stated and how likely it is to be right.
    """

    bins: list[bool] = field(default_factory=list)
    tested: list[bool] = field(default_factory=list)
    brier: list[tuple[float, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    shares: list[float | None] = field(default_factory=list)
    chances: list[tuple[float, float]] = field(default_factory=list)

    @property
    def brier_held(self) -> list[bool]:
        """Whether each study's interval holds the mean over all of them."""
        known = fmean(self.losses)
        return [low <= known <= high for low, high in self.brier]

    @property
    def too_low(self) -> list[bool]:
        """Whether the share chosen in each study promises too much."""
        ordered, above, sums = sorted(self.chances, reverse=True), [], 0.0
        for count, (stated, chance) in enumerate(ordered, 1):
            sums += chance
            above.append((stated, sums / count))
        return [share is not None and _mean_from(share, above) < ASKED for share in self.shares]


def _mean_from(share: float, above: Sequence[tuple[float, float]]) -> float:
    """The mean chance of all answers that are stated with at least this share."""
    low, high = 0, len(above)
    while low < high:
        middle = (low + high) // 2
        if above[middle][0] >= share:
            low = middle + 1
        else:
            high = middle
    return above[max(low - 1, 0)][1]


def expected_loss(shares: Mapping[str, float], chance: float) -> float:
    """The Brier loss to be expected of an item whose most probable label is right with this chance."""
    own = max(shares, key=shares.__getitem__)
    wrong = fmean(brier_loss(shares, label) for label in shares if label != own)
    return chance * brier_loss(shares, own) + (1 - chance) * wrong


async def study(seed: int, sharpness: float) -> StudyRun:
    """One simulated study."""
    run = await vote(
        "Which is it?\n\n{{item.text}}",
        each=[{"text": f"item {at}", "label": LABELS[at % 3]} for at in range(ITEMS)],
        truth="label",
        choices=",".join(LABELS),
        model=f"sim:?accuracy={ACCURACY}&sharpness={sharpness:g}&scale=0",
        n=1,
        sure=ASKED,
        seed=seed,
    )
    assert isinstance(run, StudyRun)
    return run


def stated(run: StudyRun) -> list[float]:
    """What is stated of the answer to each item."""
    return [item.outcomes[run.vote].share or 0.0 for item in run.labelled]


def look(run: StudyRun, chances: Sequence[float], held: Held) -> None:
    """Hold a study's intervals against the chance with which each of its answers is right."""
    found, shares = run.calibration[run.vote], stated(run)
    for each in found.bins:
        known = fmean(
            chance
            for chance, share in zip(chances, shares, strict=True)
            if each.low <= share <= each.high
        )
        held.bins.append(each.interval[0] <= known <= each.interval[1])
    sure = found.sure
    assert sure is not None
    held.shares.append(sure.share)
    if sure.share is not None and sure.interval is not None:
        _, test = halves(ITEMS, run._plan.options.seed)
        known = fmean(chances[at] for at in test if shares[at] >= sure.share)
        held.tested.append(sure.interval[0] <= known <= sure.interval[1])
    held.brier.append(found.brier_interval)
    told = [item.outcomes[run.vote].shares or {} for item in run.labelled]
    held.losses.append(fmean(map(expected_loss, told, chances)))
    held.chances += zip(shares, chances, strict=True)


def percent(found: Sequence[bool]) -> list[float]:
    """How many of these are so."""
    return [100 * sum(found) / len(found)] if found else [float("nan")]


def main(studies: int = STUDIES) -> str:
    """Measure and give out the table."""
    lines: list[Figure] = []
    every: list[Held] = []
    for at, sharpness in enumerate(SHARPNESS):
        held = Held()
        for seed in range(at, studies, len(SHARPNESS)):
            run = asyncio.run(study(seed, sharpness))
            same = run if sharpness == CALIBRATED else asyncio.run(study(seed, CALIBRATED))
            look(run, stated(same), held)
        every.append(held)
        name = f"S = {sharpness:g}"
        lines += [
            Figure(f"{name}: bins", percent(held.bins), digits=1),
            Figure(f"{name}: Brier", percent(held.brier_held), digits=1),
            Figure(f"{name}: other half", percent(held.tested), digits=1),
            Figure(f"{name}: too low", percent(held.too_low), digits=1),
        ]
    total = {
        "bins": [each for held in every for each in held.bins],
        "Brier": [each for held in every for each in held.brier_held],
        "other half": [each for held in every for each in held.tested],
    }
    lines += [
        Figure(f"all: {name}", percent(found), 93.0, least=True, digits=1)
        for name, found in total.items()
    ]
    return table("What studies say of shares", ABOUT, lines)


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES))
