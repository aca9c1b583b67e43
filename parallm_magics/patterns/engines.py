"""Which engine makes the calls of a cell's workers."""

from __future__ import annotations

from parallm_magics.cell.plan import Plan
from parallm_magics.engine.jobs import Engine, LocalEngine
from parallm_magics.patterns.batch_checks import refuse_unbatchable
from parallm_magics.patterns.run_context import RunContext

LOCAL = LocalEngine()
"""Makes what is asked beside and after the work: guards, judges, syntheses."""


def engine_of(plan: Plan, context: RunContext) -> Engine:
    """The engine that the cell's options name.

    Raises:
        OptionError: it cannot make such calls, or something that it needs is missing.
    """
    if plan.options.batch:
        refuse_unbatchable(plan, context)
    return LOCAL
