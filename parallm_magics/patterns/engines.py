"""Which engine makes the calls of a cell's workers."""

from __future__ import annotations

from parallm_magics.cell.plan import Plan
from parallm_magics.cluster.connection import client_of
from parallm_magics.engine.jobs import Engine, LocalEngine
from parallm_magics.errors import OptionError
from parallm_magics.patterns.opening import worst_of_try
from parallm_magics.patterns.run_context import RunContext

LOCAL = LocalEngine()
"""Makes what is asked beside and after the work: guards, judges, syntheses."""


def engine_of(plan: Plan, context: RunContext) -> Engine:
    """The engine that the cell's options name.

    Raises:
        OptionError: it cannot make such calls, or something that it needs is missing.
    """
    if plan.options.batch:
        return _in_batches(plan, context)
    if context.collects:
        raise OptionError(
            "run.collect(): the run was not made with --batch; await run.retry() to continue it"
        )
    if plan.options.engine == "dask":
        return _on_a_cluster(plan, context)
    return LOCAL


def _in_batches(plan: Plan, context: RunContext) -> Engine:
    # Imported where a cell asks for it: a plain cell has no use for all of it.
    from parallm_magics.engine.batch_engine import BatchEngine
    from parallm_magics.patterns.batch_checks import refuse_unbatchable
    from parallm_magics.patterns.batch_strays import stray_of
    from parallm_magics.recordings.batch_ledger import FileLedger

    refuse_unbatchable(plan, context)
    ledger = FileLedger(context.recordings)
    return BatchEngine(ledger, stray_of(ledger, context.count_paid), sends=not context.collects)


def _on_a_cluster(plan: Plan, context: RunContext) -> Engine:
    options = plan.options
    for flag, value in (("--stop", options.stop), ("--launch", options.launch)):
        if value != "all":
            raise OptionError(
                f"{flag} {value} cannot be combined with --engine dask: votes come back from a cluster in no order "
                f"that an early end could go by; use {flag} all, or --engine local"
            )
    store = context.recordings
    if context.offline or (store is not None and store.replays):
        return LOCAL  # nothing is asked, so that a replay needs no cluster and no Dask
    client = client_of(context.dask)
    # Imported where Dask is: it takes its time.
    from parallm_magics.cluster.dask_engine import DaskEngine

    return DaskEngine(client, worst_of_try)
