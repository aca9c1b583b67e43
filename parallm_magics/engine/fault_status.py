"""The status of a record whose call ended in a fault."""

from __future__ import annotations

from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.tasks import Status

STATUS: dict[FaultKind, Status] = {
    "timeout": "timed_out",
    "cancelled": "cancelled",
    "not_an_answer": "invalid",
    "empty": "invalid",
    "unreadable": "invalid",
    "refusal": "refused",
    "length": "truncated",
}
"""By the kind of the fault; what is not here has failed."""
