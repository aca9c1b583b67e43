"""Run LLM calls in parallel from a notebook cell: sections with %%fanout, votes with %%vote."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from parallm_magics.errors import (
    BudgetExceeded,
    CellSyntaxError,
    GuardrailBlocked,
    MissingKeyError,
    ModelError,
    OptionError,
    ParallmError,
    RecordingMissing,
    TooFewSucceeded,
    VariableError,
)

if TYPE_CHECKING:
    from parallm_magics.api import fanout, vote
    from parallm_magics.patterns.fanout_run import FanoutRun
    from parallm_magics.patterns.vote_run import VoteRun
    from parallm_magics.providers.registry import register_provider
    from parallm_magics.study.study_run import StudyRun

__all__ = [
    "BudgetExceeded",
    "CellSyntaxError",
    "FanoutRun",
    "GuardrailBlocked",
    "MissingKeyError",
    "ModelError",
    "OptionError",
    "ParallmError",
    "RecordingMissing",
    "StudyRun",
    "TooFewSucceeded",
    "VariableError",
    "VoteRun",
    "fanout",
    "register_provider",
    "vote",
]

# Imported when first asked for, so that %load_ext costs a notebook's start next to nothing.
_LATE = {
    "fanout": "parallm_magics.api",
    "vote": "parallm_magics.api",
    "FanoutRun": "parallm_magics.patterns.fanout_run",
    "StudyRun": "parallm_magics.study.study_run",
    "VoteRun": "parallm_magics.patterns.vote_run",
    "register_provider": "parallm_magics.providers.registry",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """Register the magics; called by `%load_ext parallm_magics`."""
    from parallm_magics.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take everything off again; called by `%unload_ext parallm_magics`."""
    from parallm_magics.notebook.extension import unload

    unload(shell)
