"""What the report of a study says of its shares: which answers they tell to be right, and from which on."""

from __future__ import annotations

from parallm_magics import display
from parallm_magics.study.calibrations import Calibration, Sure
from parallm_magics.study.field_findings import ObjectFindings
from parallm_magics.study.findings import Findings
from parallm_magics.study.report_numbers import between

TITLE = "Do the shares tell which answers are right?"
NOTE = (
    "The dot is how many of the items with such a share are right, its line the 95 % interval, the upright line how "
    "many would be if the share were the chance of being right. A line that misses the upright one: it is not."
)
_SHARES = {"agreed": "Share of votes", "stated": "Stated probability"}


def calibrated(run: ObjectFindings) -> list[display.Block]:
    """A reliability picture for each system with shares, of objects also for the vote on each field."""
    told = [(each.system, each) for each in run.calibration.values()]
    told += [
        (f"{name}, {run.vote}", found.calibration[run.vote])
        for name, found in run.fields.items()
        if run.vote in found.calibration
    ]
    blocks: list[display.Block] = []
    pictures = [each for _, each in told if each.bins]
    for name, found in told:
        said = [f"{name}: {_scores(found)}"]
        if found.sure is not None:
            said.append(sure_words(found.sure))
        lines = tuple(display.isolated(line, 1_000) for line in said)
        blocks.append(display.Says(lines, "small"))
        if found.bins:
            blocks.append(_picture(found, NOTE if found is pictures[-1] else ""))
    return blocks


def _picture(found: Calibration, note: str) -> display.Block:
    rows = [
        display.StatedShare(each.low, each.high, each.stated, each.right, each.items, each.interval)
        for each in found.bins
    ]
    return display.reliability(rows, name=_SHARES[found.kind], note=note)


def _scores(found: Calibration) -> str:
    """How many are right against the mean share, and the Brier score."""
    low, high = found.brier_interval
    told = []
    if found.items:
        says = {"agreed": "the mean share of votes is", "stated": "it states a mean of"}[found.kind]
        right = display.percent(found.right / found.items)
        told.append(f"{says} {display.percent(found.stated)} %, right are {right} %")
    told.append(
        f"Brier score {found.brier:.3f} (95 % interval {low:.3f} to {high:.3f}; 0 is perfect)"
    )
    if found.without:
        told.append(
            f"{display.count(found.without, 'item')} without an answer left out of the picture"
        )
    return f"{'; '.join(told)}."


def sure_words(found: Sure) -> str:
    """From which share on answers are right as often as asked, and what the other half says of that."""
    asked = _exact(found.asked)
    if found.share is None:
        return _without_a_share(found, asked)
    chosen = f"From a share of {_exact(found.share)} on, chosen on one half of the items: "
    if found.interval is None:
        return f"{chosen}answers none of the other {found.items:,}."
    return (
        f"{chosen}answers {found.answered:,} of the other {found.items:,} at "
        f"{display.percent(found.accuracy or 0.0)} % (95 % interval {between(found.interval)}; asked for {asked})."
    )


def _without_a_share(found: Sure, asked: str) -> str:
    """That no answer is given, and what it would have taken."""
    said = "No answer is given (--sure)"
    if found.fewest > found.chosen_on:
        return (
            f"{said}: to show that answers are right {asked} of the time, one half of the items must have at least "
            f"{found.fewest:,} answers, all right, and it has {display.count(found.chosen_on, 'item')}. "
            f"That takes {found.fewest * 2:,} labelled items or more."
        )
    return (
        f"{said}: in the {found.chosen_on:,} items of one half, no share shows that answers are right {asked} of "
        f"the time. {found.fewest:,} answers that are all right would show it; each wrong one takes more."
    )


def sure_lead(run: Findings) -> str:
    """What `--sure` comes to for the cell's own vote; "" where nobody asks for it."""
    if run.sure is not None:
        return sure_words(run.sure)
    if not run.asks_for_sureness:
        return ""
    return (
        "No answer is given, because none has a share (--sure): one vote only agrees with itself: raise -n, or use "
        "a model that states probabilities."
    )


def _exact(share: float) -> str:
    """A share in percent, to a tenth where it is not whole."""
    return f"{share * 100:.1f}".removesuffix(".0") + " %"
