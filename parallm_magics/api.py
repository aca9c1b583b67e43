"""Run the text of a cell anywhere, without a notebook."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from parallm_magics.cell.blanks import BLANK
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.head import head
from parallm_magics.cell.keywords import keywords_of, with_options
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core import host
from parallm_magics.errors import CellSyntaxError, OptionError
from parallm_magics.patterns.dry_run import Preview, preview
from parallm_magics.patterns.fanout import FanoutRun, run_fanout
from parallm_magics.patterns.panel import check_rules
from parallm_magics.patterns.pending import Pending
from parallm_magics.patterns.run import Run
from parallm_magics.patterns.run_context import RunContext, of_its_own
from parallm_magics.patterns.vote import run_vote
from parallm_magics.patterns.vote_run import VoteRun
from parallm_magics.providers.registry import parse_model
from parallm_magics.study.outcomes import rules_of
from parallm_magics.study.run_study import run_study
from parallm_magics.study.study_run import StudyRun

Runner = Callable[[Plan, RunContext], Coroutine[Any, Any, Run]]
_OTHER_MAGIC = re.compile(rf"[{BLANK}]*(%%\S+)")
RUNNERS: Mapping[str, Runner] = {"fanout": run_fanout, "vote": run_vote, "study": run_study}


def fanout(
    text: str, /, *, variables: Mapping[str, Any] | None = None, **options: Any
) -> Pending[FanoutRun | Preview]:
    """Run independent prompts at once and merge their answers.

    Args:
        text: the cell's text, as it stands below `%%fanout`; the `%%fanout` line may lead it.
        variables: what `{{name}}` in it stands for.
        options: any option of the magic by its long name; see below.

    Returns:
        The run, to be awaited; with `dry_run=True` a preview of it.

    Raises:
        ParallmError: bad input before any call; TooFewSucceeded, BudgetExceeded or GuardrailBlocked
            with every record after them.
    """
    return Pending(lambda: _run("fanout", text, variables, options), "fanout(…)")


def vote(
    text: str, /, *, variables: Mapping[str, Any] | None = None, **options: Any
) -> Pending[VoteRun | StudyRun | Preview]:
    """Ask the same several times and let the answers vote.

    Args:
        text: the cell's text, as it stands below `%%vote`; the `%%vote` line may lead it.
        variables: what `{{name}}` in it stands for.
        options: any option of the magic by its long name; see below.

    Returns:
        The run, to be awaited; with `each=ITEMS` a study of votes on all of them; with
        `dry_run=True` a preview.

    Raises:
        ParallmError: bad input before any call; TooFewSucceeded, BudgetExceeded or GuardrailBlocked
            with every record after them.
    """
    return Pending(lambda: _run("vote", text, variables, options), "vote(…)")


for _function in (fanout, vote):
    # What an editor shows and completes: every option with its default.
    _function.__dict__["__signature__"] = with_options(_function, _function.__name__)
    _function.__doc__ = f"{inspect.getdoc(_function)}\n\n{keywords_of(_function.__name__)}"


async def _run(magic: str, text: Any, variables: Any, options: Mapping[str, Any]) -> Any:
    if not isinstance(variables, Mapping | None):
        raise OptionError(
            f"variables: a dict of names and values is needed, not {type(variables).__name__}"
        )
    if "out" in options:
        raise OptionError(f"{magic}() has no option 'out': keep what it returns")
    line, body, first = _head(magic, text)
    here = host.current()
    settings = None if here is None else here.settings()
    names = variables or {}
    plan = plan_cell(magic, line, body, names, first=first, settings=settings, keywords=options)
    if plan.options.dry_run:
        return preview(plan)
    if here is not None:
        return await here.run(plan, RUNNERS[plan.pattern])
    async with of_its_own(plan) as around:
        return await RUNNERS[plan.pattern](plan, around)


def plan_cell(
    magic: str,
    line: str,
    body: str,
    variables: Mapping[str, Any],
    *,
    first: int = 2,
    settings: Mapping[str, Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a cell, with PARALLM_MODEL as the model that nobody chose."""
    model = default_model()
    base = {"model": (model,)} if model else {}
    cell = parse(magic, line, body, first)
    plan = make_plan(cell, variables, parse_model, {**base, **(settings or {})}, keywords)
    (rules_of if plan.study is not None else check_rules)(plan)
    return plan


def default_model() -> str:
    """The model of PARALLM_MODEL, or "" where that is not set."""
    return os.environ.get("PARALLM_MODEL", "").strip()


def _head(magic: str, text: Any) -> tuple[str, str, int]:
    """The options' line, the body and the number of its first line."""
    if not isinstance(text, str):
        raise CellSyntaxError(f"{magic}() takes the cell's text, not {type(text).__name__}")
    begun = head(text)
    if begun is not None and begun.magic == magic:
        return begun.line, begun.body, begun.first
    if begun is not None:
        raise CellSyntaxError(
            f"line {begun.first - 1}: the text begins with %%{begun.magic}, but {magic}() was called"
        )
    other = _OTHER_MAGIC.match(text)
    if other is not None:
        number = text.count("\n", 0, other.end()) + 1
        raise CellSyntaxError(
            f"line {number}: the text begins with {other[1][:22]}, which is not %%{magic}"
        )
    return "", text, 1
