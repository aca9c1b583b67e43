"""What calls of the chosen model need, imported in a thread once a cell has ended, so that the first waits less."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from parallm_magics.cell.directives import head
from parallm_magics.core.browser import IN_BROWSER
from parallm_magics.core.models import Model
from parallm_magics.errors import ParallmError

LONGEST_WAIT = 10.0
"""Seconds that a fork, or a cell that imports, waits for an import at most.

A forked child would find the locks of its modules held for ever. A cell that imports a module within a package
takes the locks of the two in the other order than the package that imports it: both imports may fail.
"""

_IMPORTS = re.compile(r"import|^\s*%(?:run|(?:re)?load_ext|autoreload)\b", re.MULTILINE)
"""What a cell imports with, as it is written."""

_threads: list[threading.Thread] = []


class Preloading:
    """Begins an import for each model that is chosen while the setting is on."""

    def __init__(self, chosen: Callable[[], tuple[str, ...]]) -> None:
        """Take what gives the chosen models, as they are written; none where nothing is to be imported."""
        self._chosen = chosen
        self._seen: tuple[str, ...] = ()

    def begin(self) -> None:
        """Begin, where other models are chosen than last time."""
        chosen = self._chosen()
        if chosen == self._seen or IN_BROWSER:
            return
        self._seen = chosen
        if models := _askable(chosen):
            _begin(models)

    def hold(self, cell: Any) -> None:
        """Let the import end before a cell that imports as well; a cell of ours waits by itself."""
        code = getattr(cell, "raw_cell", None)
        if isinstance(code, str) and _IMPORTS.search(code) and head(code) is None:
            _wait()


def _askable(chosen: Sequence[str]) -> list[Model]:
    """Return the models, one a provider, that are no simulations and whose keys are set."""
    from parallm_magics.providers import keys, registry

    found: dict[str, Model] = {}
    for text in chosen:
        with contextlib.suppress(ParallmError):  # told by the cell that uses it
            model = registry.parse_model(text)
            entry = registry.entry_of(model.provider)
            if not entry.simulated and all(map(keys.is_set, entry.variables)):
                found.setdefault(model.provider, model)
    return [*found.values()]


def _begin(models: Sequence[Model]) -> None:
    if not _threads:
        os.register_at_fork(before=_wait)
    # No daemon: the interpreter's end would stop it in the middle of a foreign module.
    thread = threading.Thread(target=_load, args=(models,), name="parallm_magics preload")
    _threads[:] = [thread, *(each for each in _threads if each.is_alive())]
    thread.start()


def _wait() -> None:
    """Let imports end; they take no longer than the import that a first call would wait for."""
    for thread in _threads:
        if thread is not threading.current_thread():
            thread.join(LONGEST_WAIT)


def _load(models: Sequence[Model]) -> None:
    from parallm_magics.core import prices
    from parallm_magics.display.markdown import markdown
    from parallm_magics.notebook import session  # noqa: F401
    from parallm_magics.providers import bill, registry

    markdown("")
    for model in models:
        with contextlib.suppress(Exception):  # told by the run that needs it
            provider = registry.make(registry.entry_of(model.provider))
            getattr(provider, "load", bool)()
            if (tariff := bill.tariff(model)) is not None:
                prices.prepare(tariff)
