"""What of a run may be drawn where a guardrail has not let it pass."""

from __future__ import annotations

from dataclasses import replace

from parallm_magics.core.tasks import Record
from parallm_magics.display.view import View

_OURS = ("blocked", "cancelled")


def drawable(view: View) -> View:
    """The view without anything that a guard withholds, however the records came to hold it."""
    if not view.blocked and all(r.status != "blocked" for r in (*view.records, *view.extra)):
        return view
    return replace(
        view,
        records=tuple(
            _bare(r) if view.blocked or r.status == "blocked" else r for r in view.records
        ),
        extra=tuple(
            _bare(r) if r.status == "blocked" or (view.blocked and r.role != "guard") else r
            for r in view.extra
        ),
        tally=None if view.blocked else view.tally,
        polls=() if view.blocked else view.polls,
        counts=() if view.blocked else view.counts,
        ballots=() if view.blocked else view.ballots,
    )


def _bare(record: Record) -> Record:
    # An error may quote the answer that it is about; only those of our own making cannot.
    error = record.error if record.error and record.error.kind in _OURS else None
    return replace(record, text="", thinking=None, value=None, error=error)
