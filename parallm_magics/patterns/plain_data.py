"""Records as plain JSON types."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from parallm_magics.core.tasks import Record


def record_dict(record: Record) -> dict[str, Any]:
    """A record as plain JSON types."""
    return {
        "name": record.name,
        "role": record.role,
        "key": record.key,
        "item": record.item,
        "status": record.status,
        "text": record.text,
        "thinking": record.thinking,
        "thinking_tokens": record.thinking_tokens,
        "value": record.value,
        "model": record.model,
        "model_answered": record.model_answered,
        "temperature": record.temperature,
        "effort": record.effort,
        "system": record.system,
        "usage": record.usage.to_dict() if record.usage else None,
        "cost": money(record.cost),
        "saved": money(record.saved),
        "start": record.start,
        "queued": record.queued,
        "seconds": record.seconds,
        "attempts": [{"outcome": a.outcome, "seconds": a.seconds} for a in record.attempts],
        "finish": record.finish,
        "request_id": record.request_id,
        "error": {"kind": record.error.kind, "message": record.error.message}
        if record.error
        else None,
        "simulated": record.simulated,
    }


def money(amount: Decimal | None) -> float | None:
    """US dollars as a plain number."""
    return None if amount is None else float(amount)
