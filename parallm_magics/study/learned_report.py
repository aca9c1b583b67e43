"""What the report of a study says of what one half of its items has taught."""

from __future__ import annotations

from parallm_magics import display
from parallm_magics.study.advice import shown
from parallm_magics.study.findings import Findings
from parallm_magics.study.voter_findings import (
    LEAST_TO_LEARN,
    LearnedPanel,
    LearnedThreshold,
    LearnedWeights,
)


def learned(run: Findings) -> list[display.Block]:
    """A sentence on the weights and one on the panel; nothing where there are too few items."""
    lines = []
    if (weights := run.learned_weights) is not None:
        lines.append(_weights(run, weights))
    elif run.asks_for_weights:
        lines.append(
            f"No weights were learned: this needs {LEAST_TO_LEARN} labelled items, a closed set of labels "
            f"(--choices) and two voters."
        )
    if (panel := run.learned_panel) is not None:
        lines.append(_panel(run, panel))
    if (threshold := run.learned_threshold) is not None:
        lines.append(_threshold(run, threshold))
    return (
        [display.Says(tuple(display.isolated(line, 1_000) for line in lines), "small")]
        if lines
        else []
    )


def _weights(run: Findings, found: LearnedWeights) -> str:
    voters = run.diagnostics["voters"]
    each = ", ".join(
        f"{name} {weight:.2f}" + ("" if weight else " (no better than chance)")
        for name, weight in zip(voters, found.weights, strict=True)
    )
    return (
        f"Weights by their log-odds on {found.items:,} items: {each}. On the other "
        f"{found.tested.items:,}, against equal weights: {shown(found.tested)}."
    )


def _panel(run: Findings, found: LearnedPanel) -> str:
    panel, names = found.panel, run.diagnostics["voters"]
    thresholds = ", every threshold" if run.label_count == 2 else ""
    tried = f"Tried on {found.items:,} items: each voter alone, the first two, three and so on{thresholds}."
    if len(panel.voters) == len(names) and panel.need is None:
        return f"{tried} Best is the plurality of all {len(names)}."
    count = len(panel.voters)
    who = f"{names[panel.voters[0]]} alone" if count == 1 else f"the first {count} voters"
    if panel.need is not None:
        who += f", {panel.label} where {panel.need} or more say so, else {panel.other}"
    return (
        f"{tried} Best is {who}. On the other {found.tested.items:,}, against a plurality of all "
        f"{len(names)}: {shown(found.tested)}."
    )


def _threshold(run: Findings, found: LearnedThreshold) -> str:
    return (
        f"Tried on {found.items:,} items: every probability from which on a single call counts as "
        f"{found.label}. Best is {found.label} from {display.points(found.share)} on, else {found.other}. On the "
        f"other {found.tested.items:,}, against a single call as it answers: {shown(found.tested)}."
    )
