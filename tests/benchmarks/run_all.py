"""All benchmarks one after the other, into RESULTS.md beside this file."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import cpu_per_call
import hanging
import interrupt
import kills
import load_ext
import scale
import streams
import wall_time
from bench import PACKAGES, load, processor

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run, print and write."""
    parts = []
    for each in (load_ext, wall_time, cpu_per_call, streams, interrupt, hanging, kills, scale):
        before = load()
        found = each.main()
        parts.append(f"{found}\nLoad average before {before}, after {load()}.\n")
        print(parts[-1], flush=True)
    words = "\n".join(parts)
    met, missed = words.count("| meets |"), words.count("| misses |")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    head = (
        "# What parallm_magics costs, measured\n\n"
        "Written by `python tests/benchmarks/run_all.py`: no address but loopback, no key, no model. "
        "Ratios are taken round by round within one run, so that a busy machine slows both sides; "
        "the median is what the target is for, unless it says all.\n\n"
        f"{met} of {met + missed} targets met. {datetime.now(UTC):%Y-%m-%d}, Python "
        f"{platform.python_version()}, {versions}; {os.cpu_count()} CPUs ({processor()}), "
        f"{platform.system()}.\n\n"
    )
    RESULTS.write_text(head + words)


if __name__ == "__main__":
    main()
