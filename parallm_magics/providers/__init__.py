"""The providers: how a model is reached, and what a package needs to add one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parallm_magics.core.provider import CallFailed, Heard, Reply
    from parallm_magics.core.tasks import Fault, Task, Usage
    from parallm_magics.providers.base import BaseProvider
    from parallm_magics.providers.dialects import CHAT, MESSAGES, RESPONSES, Dialect
    from parallm_magics.providers.entry import ProviderEntry
    from parallm_magics.providers.registry import register_provider

__all__ = [
    "CHAT",
    "MESSAGES",
    "RESPONSES",
    "BaseProvider",
    "CallFailed",
    "Dialect",
    "Fault",
    "Heard",
    "ProviderEntry",
    "Reply",
    "Task",
    "Usage",
    "register_provider",
]

# Imported when first asked for: the modules of this folder are imported by its way.
_LATE = {
    "parallm_magics.core.provider": ("CallFailed", "Heard", "Reply"),
    "parallm_magics.core.tasks": ("Fault", "Task", "Usage"),
    "parallm_magics.providers.base": ("BaseProvider",),
    "parallm_magics.providers.dialects": ("CHAT", "MESSAGES", "RESPONSES", "Dialect"),
    "parallm_magics.providers.entry": ("ProviderEntry",),
    "parallm_magics.providers.registry": ("register_provider",),
}
_MODULE_OF = {name: module for module, names in _LATE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
