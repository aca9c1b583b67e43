"""Wrong answers that students might give to the exercise of a lesson."""

from __future__ import annotations

WRONG: dict[str, tuple[tuple[str, str], ...]] = {
    "03_voting": (
        (" --flag remove --threshold 2 --stop clinch", ""),
        (" --stop clinch", ""),
        (" --threshold 2", ""),
        ("-n 5", "-n 3"),
        ("-o careful", "-o other"),
    ),
}
"""For each lesson: a piece of its solution, and what stands there instead."""
