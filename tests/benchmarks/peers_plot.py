"""Draws what peers.py measured, for light and for dark pages; run by it with the Python that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

INCHES, HIGH, DOTS = 9.0, 2.8, 160
"""Of a picture's width and of one row. Pages show it 900 pixels wide; sharp screens have more dots."""


class Theme(NamedTuple):
    """The colours of one picture; ours and the others' for each dialect."""

    file: str
    page: str
    text: str
    lines: str
    ours: dict[str, str]
    others: dict[str, str]


THEMES = (
    Theme(
        "peers.png",
        "#ffffff",
        "#1f2328",
        "#8c959f",
        {"anthropic": "#1a7f5a", "openai": "#5fbf97"},
        {"anthropic": "#6e7f93", "openai": "#aab7c4"},
    ),
    Theme(
        "peers-dark.png",
        "#0d1117",
        "#e6edf3",
        "#7d8590",
        {"anthropic": "#3fb98a", "openai": "#1f7a58"},
        {"anthropic": "#8b9bb0", "openai": "#56657a"},
    ),
)


def draw(axes: Any, work: dict[str, Any], theme: Theme) -> None:
    """One kind of work: a bar for each system and dialect."""
    bars = work["bars"]
    systems = list(dict.fromkeys(bar["system"] for bar in bars))
    dialects = list(theme.ours)
    high = 0.84 / len(dialects)
    longest = max(bar["ratio"] for bar in bars)
    for bar in bars:
        ours = bar["system"] == systems[0]
        whole = bar["kept"] >= 1
        colour = (theme.ours if ours else theme.others)[bar["dialect"]]
        row = systems.index(bar["system"]) + (dialects.index(bar["dialect"]) - 0.5) * high
        axes.barh(
            row,
            bar["ratio"],
            high * 0.9,
            color=colour if whole else "none",
            edgecolor=colour,
            hatch=None if whole else "////",
            linewidth=0.8,
        )
        lost = "" if whole else f", {bar['kept']:.0%} kept"
        axes.text(
            bar["ratio"] + longest * 0.02,
            row,
            f"{bar['ratio']:.2f}{lost}",
            va="center",
            fontsize=7.5,
            fontweight="bold" if ours else "normal",
            color=theme.text,
        )
    axes.axvline(1, color=theme.text, linewidth=0.9, linestyle=":")
    axes.set_yticks(range(len(systems)), systems, fontsize=8.5, color=theme.text)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.invert_yaxis()
    axes.set_xlim(0, longest * (1.45 if any(bar["kept"] < 1 for bar in bars) else 1.2))
    axes.set_facecolor(theme.page)
    axes.tick_params(axis="x", labelsize=7.5, colors=theme.text)
    axes.tick_params(axis="y", length=0)
    axes.set_title(work["title"], fontsize=9.5, fontweight="bold", loc="left", color=theme.text)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.lines)


def picture(works: list[dict[str, Any]], theme: Theme, path: Path) -> None:
    """All works in two columns, below a legend."""
    columns = 2 if len(works) > 1 else 1
    rows = -(-len(works) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(INCHES, HIGH * rows + 0.7), squeeze=False, facecolor=theme.page
    )
    places = list(grid.flat)
    for axes, work in zip(places, works, strict=False):
        draw(axes, work, theme)
    for axes in places[len(works) :]:
        axes.set_visible(False)
    top = 1 - 0.62 / (HIGH * rows + 0.7)
    edge = figure.get_figheight()
    figure.text(
        0.01,
        1 - 0.2 / edge,
        "Seconds over the ideal, which is what the server alone takes (dotted): shorter is better",
        fontsize=10.5,
        fontweight="bold",
        color=theme.text,
        va="center",
    )
    handles = [Patch(color=theme.ours[name], label=f"ours, {name} SDK") for name in theme.ours]
    handles += [
        Patch(color=theme.others[name], label=f"others, {name} SDK") for name in theme.others
    ]
    handles.append(
        Patch(facecolor="none", edgecolor=theme.lines, hatch="////", label="answers were lost")
    )
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.002, 1 - 0.3 / edge),
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        labelcolor=theme.text,
        handlelength=1.2,
        columnspacing=1.2,
    )
    figure.tight_layout(rect=(0, 0, 1, top), w_pad=1.5, h_pad=1.2)
    figure.savefig(path, dpi=DOTS, facecolor=theme.page)
    plt.close(figure)


def main(folder: str) -> None:
    """From the JSON on standard input to a picture for each theme."""
    works = json.load(sys.stdin)
    for theme in THEMES:
        picture(works, theme, Path(folder) / theme.file)


if __name__ == "__main__":
    main(sys.argv[1])
