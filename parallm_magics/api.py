"""Run the text of a cell anywhere, without a notebook."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parallm_magics.cell.blocks import parse
from parallm_magics.cell.directives import BLANK_CHARS, head
from parallm_magics.cell.help import keywords_of, with_options
from parallm_magics.cell.option_layers import of_environment
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core import host
from parallm_magics.errors import CellSyntaxError, OptionError
from parallm_magics.patterns.dry_run import Preview
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.fanout_run import FanoutRun
from parallm_magics.patterns.pending import Pending
from parallm_magics.patterns.run_context import of_its_own
from parallm_magics.patterns.runner import Pattern
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.patterns.vote_run import VoteRun
from parallm_magics.providers.registry import parse_model
from parallm_magics.study.run_study import StudyPattern
from parallm_magics.study.study_run import StudyRun

_OTHER_MAGIC = re.compile(rf"[{BLANK_CHARS}]*(%%\S+)")
PATTERNS: dict[str, type[Pattern[Any]]] = {
    pattern.name: pattern for pattern in (FanoutPattern, VotePattern, StudyPattern)
}
"""What a cell can be a run of; another pattern is a class and an entry here."""


def fanout(
    text: str, /, *, variables: Mapping[str, Any] | None = None, **options: Any
) -> Pending[FanoutRun | Preview]:
    """Run independent prompts in parallel and merge their answers.

    Args:
        text: the text of the cell below `%%fanout`; it may start with the `%%fanout` line
            itself.
        variables: the values for `{{name}}` in the text, by name.
        options: any option of the magic by its long name; see below.

    Returns:
        The run, to be awaited; with `dry_run=True` a preview instead.

    Raises:
        ParallmError: the input is wrong; raised before any call. TooFewSucceeded,
            BudgetExceeded and GuardrailBlocked are raised after calls and carry every record.
    """
    return Pending(lambda: run_cell("fanout", text, variables, options), "fanout(…)")


def vote(
    text: str, /, *, variables: Mapping[str, Any] | None = None, **options: Any
) -> Pending[VoteRun | StudyRun | Preview]:
    """Ask the same question several times and let the answers vote.

    Args:
        text: the text of the cell below `%%vote`; it may start with the `%%vote` line itself.
        variables: the values for `{{name}}` in the text, by name.
        options: any option of the magic by its long name; see below.

    Returns:
        The run, to be awaited; with `each=ITEMS` a study of one vote per item; with
        `dry_run=True` a preview.

    Raises:
        ParallmError: the input is wrong; raised before any call. TooFewSucceeded,
            BudgetExceeded and GuardrailBlocked are raised after calls and carry every record.
    """
    return Pending(lambda: run_cell("vote", text, variables, options), "vote(…)")


for _function in (fanout, vote):
    # What an editor shows and completes: every option with its default.
    _function.__dict__["__signature__"] = with_options(_function, _function.__name__)
    _function.__doc__ = f"{inspect.getdoc(_function)}\n\n{keywords_of(_function.__name__)}"


async def run_cell(name: str, text: Any, variables: Any, options: Mapping[str, Any]) -> Any:
    """Return the run of a cell's text by a pattern; with `dry_run` a preview of it."""
    magic = PATTERNS[name].grammar
    if not isinstance(variables, Mapping | None):
        raise OptionError(
            f"variables: expected a dict of names and values, got {type(variables).__name__}"
        )
    if "out" in options:
        raise OptionError(f"{name}() has no option 'out': store the returned run instead")
    line, body, first = _head(magic, text)
    here = host.current()
    settings = None if here is None else here.settings()
    names = variables or {}
    plan = plan_cell(name, line, body, names, first=first, settings=settings, keywords=options)
    if plan.options.dry_run:
        return PATTERNS[plan.pattern].preview(plan)
    if here is not None:
        return await here.run(plan, PATTERNS[plan.pattern].run)
    async with of_its_own(plan) as context:
        return await PATTERNS[plan.pattern].run(plan, context)


def plan_cell(
    name: str,
    line: str,
    body: str,
    variables: Mapping[str, Any],
    *,
    first: int = 2,
    settings: Mapping[str, Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the plan of a cell of that pattern, with PARALLM_MODEL as the model that nobody chose."""
    grammar = PATTERNS[name].grammar
    cell = parse(grammar, line, body, first)
    settings = {**of_environment(), **(settings or {})}
    plan = make_plan(cell, variables, parse_model, settings, keywords)
    if name != grammar:
        plan = replace(plan, pattern=name)
    PATTERNS[plan.pattern].check(plan)
    return plan


def _head(magic: str, text: Any) -> tuple[str, str, int]:
    """Return the options' line, the body and the number of its first line."""
    if not isinstance(text, str):
        raise CellSyntaxError(f"{magic}() takes the text of a cell, not {type(text).__name__}")
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
