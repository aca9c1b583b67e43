"""What must hold before the calls of a cell go out in batches."""

from __future__ import annotations

from parallm_magics.cell.plan import Plan
from parallm_magics.errors import OptionError
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers import registry


def refuse_unbatchable(plan: Plan, context: RunContext) -> None:
    """Refuse providers without a batch API, and real ones where no file says what was sent.

    Raises:
        OptionError: nothing has been asked by then.
    """
    for model in plan.calls.models:
        if not registry.entry_of(model.provider).batches:
            having = ", ".join(each.name for each in registry.entries() if each.batches)
            raise OptionError(
                f"--batch: {model.provider} has no batch API that is known here; these have one: {having}"
            )
    real = [m for m in plan.calls.models if not registry.entry_of(m.provider).simulated]
    if real and context.recordings is None:
        raise OptionError(
            "--batch needs a file of recordings, so that a batch is found again and not paid twice: run "
            "%parallm recordings PATH first, or set PARALLM_RECORDINGS"
        )
