"""A guard with a threshold blocks from so many votes on, and passes only what no vote could block."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest
from fakes import previewed

from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.tasks import Model
from parallm_magics.errors import OptionError
from parallm_magics.export.program import _OBJECTION
from parallm_magics.patterns.guard_verdicts import Verdict, verdict_of
from parallm_magics.voting import leaders


def plan_of(options: str) -> Plan:
    """The plan of a cell with this guard."""
    body = f"Write a reply.\n\n%guardrail {options}\nIs it fine?"
    return make_plan(
        parse("fanout", "", body), {}, lambda name: Model("sim", name), {"model": ("m",)}
    )


def verdict(votes: tuple[str, ...], options: str) -> Verdict:
    """What a guard's answers come to; "-" is a call that was stopped."""
    (guard,) = plan_of(f"-n {len(votes)} {options}").guards
    records = [
        task.ended("cancelled") if text == "-" else task.ended("ok", text=text)
        for task, text in zip(guard.tasks, votes, strict=True)
    ]
    return verdict_of(guard, records)


@pytest.mark.parametrize(
    ("threshold", "least"), [("2", 2), ("2/3", 2), ("60%", 2), ("100%", 3), ("0.1", 1)]
)
@pytest.mark.parametrize("votes", [*itertools.product(("ALLOW", "BLOCK", "hmm", "-"), repeat=3)])
def test_it_blocks_from_so_many_votes_and_passes_only_where_none_could_block(
    threshold: str, least: int, votes: tuple[str, ...]
) -> None:
    """Votes that are missing count as votes that block; what was stopped passes nothing."""
    found = verdict(votes, f"--threshold {threshold}")
    assert (found.verdict == "BLOCK") == (votes.count("BLOCK") >= least)
    assert found.passed == (len(votes) - votes.count("ALLOW") < least and "-" not in votes)


def test_a_guard_that_passes_on_error_still_blocks_by_its_threshold() -> None:
    """`--on-error pass` is for guards without a verdict alone."""
    assert not verdict(("BLOCK", "BLOCK", "hmm"), "--threshold 2 --on-error pass").passed
    assert verdict(("ALLOW", "BLOCK", "hmm"), "--threshold 2 --on-error pass").passed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--threshold 0.8", "add votes with -n"),
        ("--threshold 2", "add votes with -n"),
        ("-n 1 --threshold 60%", "add votes with -n"),
        ("-n 3 --threshold 4", "there are only 3 votes"),
        ("-n 3 --threshold 1", "100%"),
    ],
)
def test_a_threshold_that_counts_nothing_is_refused(options: str, words: str) -> None:
    """One line names the guard and the way out before any call."""
    with pytest.raises(OptionError, match=words) as raised:
        plan_of(options)
    assert "line 4" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_dry_run_says_how_many_votes_block() -> None:
    """The rule of a guard can be read before it costs anything."""
    plan = plan_of("-n 3 --threshold 2")
    assert set(previewed(plan).blocks.values()) == {"2 of 3 BLOCK"}


@pytest.mark.parametrize("votes", [*itertools.product(("ALLOW", "BLOCK", None), repeat=3)])
def test_the_printed_program_decides_as_the_cell(votes: tuple[str | None, ...]) -> None:
    """What %parallm code writes has the same rule."""

    async def at_once(calls: Any) -> Any:
        return dict(enumerate(calls))

    names: dict[str, Any] = {
        "at_once": at_once,
        "read": lambda text, choices: text,
        "Counter": Counter,
        "leaders": leaders,
    }
    exec(_OBJECTION, names)  # noqa: S102 - our own text
    for least in (1, 2, 3):
        said = asyncio.run(
            names["objection"](votes, ["ALLOW", "BLOCK"], "BLOCK", "no", least=least)
        )
        assert (said is None) == (3 - votes.count("ALLOW") < least)
