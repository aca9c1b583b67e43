"""Draws what peers.py measured; run by it with the Python that has matplotlib."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"anthropic": "#c96442", "openai": "#3b7f6d"}
OURS = "parallm_magics"


def draw(axes: Any, work: dict[str, Any]) -> None:
    """One kind of work: a bar for each system and dialect."""
    bars = work["bars"]
    systems = list(dict.fromkeys(bar["system"] for bar in bars))
    dialects = list(dict.fromkeys(bar["dialect"] for bar in bars))
    high = 0.8 / len(dialects)
    longest = max(bar["ratio"] for bar in bars)
    for bar in bars:
        row = systems.index(bar["system"]) + (dialects.index(bar["dialect"]) - 0.5) * high
        whole = bar["kept"] >= 1
        axes.barh(
            row,
            bar["ratio"],
            high * 0.92,
            color=COLOURS[bar["dialect"]],
            alpha=1 if whole else 0.35,
            hatch=None if whole else "///",
        )
        lost = "" if whole else f", {bar['kept']:.0%} kept"
        axes.text(
            bar["ratio"] + longest * 0.015,
            row,
            f"{bar['ratio']:.2f}{lost}",
            va="center",
            fontsize=7,
        )
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(systems)), systems, fontsize=8)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.3)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(work["title"].capitalize(), fontsize=10, fontweight="bold", loc="left")
    axes.set_xlabel(work["about"], fontsize=7, wrap=True)
    axes.spines[["top", "right"]].set_visible(False)


def main(path: str) -> None:
    """From the JSON on standard input to a picture."""
    works = json.load(sys.stdin)
    columns = 2 if len(works) > 1 else 1
    rows = -(-len(works) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(6.2 * columns, 3.0 * rows + 0.6), squeeze=False
    )
    places = list(grid.flat)
    for axes, work in zip(places, works, strict=False):
        draw(axes, work)
    for axes in places[len(works) :]:
        axes.set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(
        handles, [f"{name} SDK" for name in COLOURS], loc="upper right", fontsize=8, ncols=2
    )
    figure.suptitle(
        "Seconds over the physical limit (dotted): shorter is better; hatched: answers were lost",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(sys.argv[1])
