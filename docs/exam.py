"""The exam questions, with the numbers of their solutions.

    python docs/exam.py         all questions without solutions, as Markdown
    python docs/exam.py 3 7 9   only these

`exam.in` has the questions as text; `docs/generated.py` writes them into `docs/lecturers.md` with these numbers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from math import ceil, comb, fsum
from pathlib import Path
from statistics import NormalDist

from parallm_magics.voting import (
    beta_binomial_majority,
    clinch_expected_arrivals,
    effective_votes,
    majority_accuracy,
    mcnemar_exact,
    wilson,
)

QUESTIONS = Path(__file__).with_suffix(".in")


def text() -> str:
    """All questions with their solutions, as Markdown."""
    return "\n" + QUESTIONS.read_text("utf-8").format(**numbers()) + "\n"


def sheet(chosen: Sequence[int] = ()) -> str:
    """These questions, or all, numbered anew and without solutions."""
    asked = re.sub(r"<details>.*?</details>\n", "", QUESTIONS.read_text("utf-8"), flags=re.DOTALL)
    every = re.findall(r"### \d+\. (.*?)(?=### |\Z)", asked, re.DOTALL)
    if strange := sorted(set(chosen) - set(range(1, len(every) + 1))):
        raise SystemExit(f"no question {strange[0]}: there are {len(every)}")
    kept = [every[number - 1] for number in chosen or range(1, len(every) + 1)]
    return "\n".join(f"### {at}. {each.strip()}\n" for at, each in enumerate(kept, start=1))


def numbers() -> dict[str, float | str]:
    """What the solutions tell, by name."""
    agree = 2 * 0.7 * 0.3
    plain, warm = cost(2000, 100, 100, 5), cost(2000, 100, 100, 5, cached=0.1)
    return {
        "longest": slowest_of(5),
        "faster": 5 / slowest_of(5),
        "good": majority_accuracy([0.7] * 5),
        "bad": majority_accuracy([0.45] * 5),
        "tie": comb(4, 2) * 0.6**2 * 0.4**2,
        "four": percent(majority_accuracy([0.6] * 4)),
        "three": percent(majority_accuracy([0.6] * 3)),
        "four_of_five": interval(4, 5),
        "coin": percent(coin_agreement(5)),
        "few": effective_votes(5, 0.4),
        "many": effective_votes(1000, 0.4),
        "shared": percent(beta_binomial_majority(5, 0.8, 0.4)),
        "alone": percent(majority_accuracy([0.8] * 5)),
        **{f"bad{k}": percent(at_least(k, 5, 0.6)) for k in (3, 4, 5)},
        **{f"good{k}": percent(at_least(k, 5, 0.9)) for k in (3, 4, 5)},
        "changed": mcnemar_exact(9, 3),
        "needed": ceil(0.25 * (NormalDist().inv_cdf(0.975) / 0.05) ** 2),
        "few_items": interval(32, 40),
        "agree": agree,
        "differ": percent(1 - agree, 0),
        "curse": best_of(10),
        "missed": percent(0.2**3),
        "alarmed": percent(1 - 0.95**3),
        "plain": plain,
        "warm": warm,
        "saved": percent(1 - warm / plain, 0),
        "arrivals": clinch_expected_arrivals(5, 0.8),
    }


def at_least(k: int, n: int, p: float) -> float:
    """The chance of at least k of n, each with chance p."""
    return fsum(comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1))


def coin_agreement(n: int) -> float:
    """The mean agreement of n throws of a fair coin."""
    return fsum(comb(n, k) * max(k, n - k) for k in range(n + 1)) / n / float(2**n)


def best_of(n: int, steps: int = 4000) -> float:
    """The mean of the largest of n standard normal scores: the integral of x times its density."""
    normal, reach = NormalDist(), 8.0
    width = 2 * reach / steps
    places = (-reach + (step + 0.5) * width for step in range(steps))
    return fsum(x * n * normal.cdf(x) ** (n - 1) * normal.pdf(x) * width for x in places)


def slowest_of(n: int) -> float:
    """The mean of the longest of n calls whose seconds are exponential with mean 1."""
    return fsum(1 / k for k in range(1, n + 1))


def cost(shared: int, own: int, out: int, calls: int, cached: float | None = None) -> float:
    """US dollars of calls at $1 a million tokens in and $5 out.

    With `cached`, the first call pays 1.25 times for the shared tokens, the others this share.
    """
    read = calls * shared if cached is None else shared * (1.25 + (calls - 1) * cached)
    return (read + calls * (own + 5 * out)) / 1e6


def percent(share: float, places: int = 1) -> str:
    """A share as text."""
    return f"{100 * share:.{places}f} %"


def interval(right: int, n: int) -> str:
    """Wilson's 95 % interval of a share as text."""
    low, high = wilson(right, n) or (0.0, 1.0)
    return f"{100 * low:.0f} to {percent(high, 0)}"


def main(arguments: Sequence[str]) -> None:
    """Print the questions that are named, else all."""
    if strange := [each for each in arguments if not each.isdecimal()]:
        raise SystemExit(f"no question {strange[0]}: give their numbers, such as 3 7 9")
    print(sheet([int(each) for each in arguments]))


if __name__ == "__main__":
    main(sys.argv[1:])
