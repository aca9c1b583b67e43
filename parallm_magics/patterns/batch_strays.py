"""Answers of a batch that no call of the run asks for: they are paid for, so they are kept."""

from __future__ import annotations

from collections.abc import Callable

from parallm_magics.core.batch_entries import Asked, BatchEntry
from parallm_magics.core.models import Model
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Attempt, Record, Said, Task
from parallm_magics.engine.batch_reading import Stray
from parallm_magics.engine.fault_status import STATUS
from parallm_magics.engine.worker import fault_of, thinking_apart
from parallm_magics.errors import ParallmError
from parallm_magics.providers import bill, registry
from parallm_magics.recordings.batch_ledger import FileLedger


def stray_of(ledger: FileLedger, count_paid: Callable[[Record], None] | None = None) -> Stray:
    """What keeps such an answer under its request's key, so that a cell that asks for it is served.

    Args:
        count_paid: hears the record of each that was not recorded before.
    """

    def keep(batch: BatchEntry, asked: Asked, reply: Reply) -> None:
        task = Task(0, f"batch {batch.named}", _model(batch, reply), "", tier="batch")
        end = thinking_apart(reply)
        assert isinstance(end, Reply)
        fault, said = fault_of(end), Said(end.terms, end.model)
        record = task.ended(
            STATUS.get(fault.kind, "failed") if fault else "ok",
            text=end.text,
            thinking=end.thinking or None,
            thinking_tokens=end.thinking_tokens,
            usage=end.usage,
            cost=None if end.usage is None else bill.price(task, end.usage, said),
            attempts=(Attempt(fault.kind if fault else "ok", 0.0),),
            model_answered=end.model,
            finish=end.finish,
            request_id=end.request_id,
            error=fault,
            adapted=end.adapted,
            batch=batch.id,
        )
        if ledger.keep(batch, asked, task, record) and count_paid is not None:
            count_paid(record)

    return keep


def _model(batch: BatchEntry, reply: Reply) -> Model:
    """Which of the batch's models has answered; without a name where nobody can tell."""
    try:
        models = [registry.parse_model(name) for name in batch.models]
    except ParallmError:  # a provider of a notebook that is not there
        return Model(batch.provider)
    said = reply.model or ""
    alike = [model for model in models if said.startswith(model.name)] or models
    return alike[0] if len(alike) == 1 else Model(batch.provider)
