"""All benchmarks one after the other, into RESULTS.md beside this file."""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import at_scale
import batch_deaths
import calibrations
import clusters
import cpu_per_call
import figures
import hanging
import interrupt
import kills
import lessons
import load_ext
import million
import odd_mixture
import page
import random_cells
import recordings
import scale
import studies
import votes
import wall_time
from bench import PACKAGES, load, processor

RESULTS = Path(__file__).with_name("RESULTS.md")
ALL = (
    figures,
    load_ext,
    wall_time,
    cpu_per_call,
    interrupt,
    hanging,
    kills,
    batch_deaths,
    scale,
    at_scale,
    million,
    clusters,
    votes,
    studies,
    calibrations,
    random_cells,
    odd_mixture,
    page,
    recordings,
    lessons,
)
MARK = "<!-- {} -->\n"


def main() -> None:
    """Run those that the command names, or all; what the others gave before stays."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="the benchmarks to run")
    options.add_argument("--missing", action="store_true", help="those that have no figures yet")
    options.add_argument("--list", action="store_true", help="say what each is about, run none")
    given = options.parse_args()
    if given.list:
        print(listed())
        return
    for each in chosen(given.names, missing=given.missing):
        before = load()
        found = each.main()
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        parts = kept()
        parts[each.__name__] = f"{found}\n{day}, load average before {before}, after {load()}.\n"
        print(parts[each.__name__], flush=True)
        write(parts)


def listed() -> str:
    """What each benchmark is about."""
    return "\n".join(f"{each.__name__:14} {(each.__doc__ or '').splitlines()[0]}" for each in ALL)


def chosen(names: Sequence[str], *, missing: bool) -> list[Any]:
    """The benchmarks to run.

    Raises:
        SystemExit: there is none of that name.
    """
    if unknown := {*names} - {each.__name__ for each in ALL}:
        raise SystemExit(f"no benchmark {', '.join(sorted(unknown))}; there are:\n{listed()}")
    there = kept() if missing else {}
    return [
        each for each in ALL if (not names or each.__name__ in names) and each.__name__ not in there
    ]


def kept() -> dict[str, str]:
    """The parts of the last runs, by the benchmark's name."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    found = re.split(r"<!-- (\w+) -->\n", text)[1:]
    return {
        name: part.strip("\n") + "\n" for name, part in zip(found[::2], found[1::2], strict=True)
    }


def write(parts: Mapping[str, str]) -> None:
    """All parts in their order, below how many targets they meet."""
    names = [each.__name__ for each in ALL if each.__name__ in parts]
    words = "\n".join(MARK.format(name) + parts[name] for name in names)
    met, missed = words.count("| meets |"), words.count("| misses |")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    head = (
        "# What parallm_magics costs, measured\n\n"
        "Written by `python tests/benchmarks/run_all.py`: no address but loopback, no key, no model. "
        "Ratios are taken round by round within one run, so that a busy machine slows both sides; "
        "the median is what the target is for, unless it says all.\n\n"
        f"{met} of {met + missed} targets met. Python "
        f"{platform.python_version()}, {versions}; {os.cpu_count()} CPUs ({processor()}), "
        f"{platform.system()}.\n\n"
    )
    RESULTS.write_text(head + words)


if __name__ == "__main__":
    main()
