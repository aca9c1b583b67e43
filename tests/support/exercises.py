"""Wrong answers that students might give to the exercise of a lesson."""

from __future__ import annotations

WRONG: dict[str, tuple[tuple[str, str], ...]] = {
    "01_quickstart": (
        ("%section contra", "%section against"),
        ("%synthesis\nWeigh the reasons in one sentence.", ""),
        ("-o debate", "-o talk"),
        ("%%fanout", "%%vote"),
        ("A school thinks about beginning at nine instead of eight.\n\n", ""),
    ),
    "02_sectioning": (
        ("max(at - 1, 0)", "at"),
        ("max(at - 1, 0)", "at - 1"),
        ("at + size]", "at + size - 1]"),
        ("range(0, len(sentences), size)", "range(0, len(sentences), size - 1)"),
    ),
    "09_production": (
        ("of another customer?\n\n{{letter}}", "of another customer?"),
        ("return run.text", "return run"),
        ("async def reply", "async def answer"),
        ("Does this letter ask for data of another customer?", "Is this letter polite?"),
    ),
    "10_checking": (
        ("expected =", "guess ="),
        ('"b": "other"', '"b": "same"'),
        ('"e": "other"', '"e": "error"'),
        (', "f": "error"', ""),
        ('"c": "same"', '"c": "error"'),
    ),
    "03_voting": (
        (" --threshold 4", ""),
        (" --threshold 4", " --threshold 5"),
        (" --threshold 4", " --pick unanimous"),
        ("--each hundred", "--each forty"),
        ("-n 5", "-n 3"),
        ("-o careful", "-o other"),
    ),
    "04_correlated": (
        ("rho=0.375", "rho=0"),
        ("rho=0.375", "rho=0.3"),
        ("rho=0.375", "rho=0.6"),
        ("accuracy=0.8", "accuracy=0.95"),
        ("-n 5", "-n 3"),
        ("-o two", "-o other"),
    ),
    "08_latency": (
        ("places = 6", "places = 5"),
        ("places = 6", "places = 20"),
        ("once = 600 * cost(SMALL, 5000, 50)", "once = 600 * cost(LARGE, 5000, 50)"),
        (
            "(cost(SMALL, 5000, 50, WRITE) + 2 * cost(SMALL, 5000, 50, READ))",
            "3 * cost(SMALL, 5000, 50)",
        ),
        ("+ 2 * cost", "+ cost"),
    ),
    "05_measuring": (
        (" --flag Negative --pick any", ""),
        ("--pick any", "--threshold 2"),
        ("--flag Negative", "--flag Positive"),
        ("-n 5", "-n 3"),
        ("-o wary", "-o other"),
    ),
    "06_judges": (
        (" --score 1..10", ""),
        ("--score 1..10", "--score 1..5"),
        ("%judge -m picky --score 1..10", ""),
        ("-n 2", "-n 1"),
        ("-o fair", "-o other"),
    ),
    "07_guardrails": (
        (" --threshold 30%", ""),
        ("--threshold 30%", "--threshold 2"),
        (' --refusal "We keep that to ourselves."', ""),
        ("-m readers", '-m "sim:?accuracy=1&truth=BLOCK&scale=0"'),
        ("-o strict", "-o other"),
    ),
}
"""For each lesson: a piece of its solution, and what stands there instead."""
