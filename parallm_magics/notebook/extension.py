"""Put the magics into a shell, and take them out without a trace."""

from __future__ import annotations

import contextlib
from typing import Any

from parallm_magics.core import host
from parallm_magics.notebook.cells import AwaitCells, CallCells
from parallm_magics.notebook.completion import matcher
from parallm_magics.notebook.magics import ParallmMagics
from parallm_magics.notebook.preloading import Preloading

_ATTRIBUTE = "_parallm_loaded"


def _magics(shell: Any) -> ParallmMagics:
    """Return the magics with the configured settings, one of which may be bad: then nothing stays behind."""
    before = list(shell.configurables)
    try:
        return ParallmMagics(shell)
    except Exception:
        shell.configurables[:] = before
        raise


class Loaded:
    """What one load put into the shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.magics = _magics(shell)
        self.transformer = CallCells()
        self.awaiting = AwaitCells(shell, self.magics.cells)
        self.matcher = matcher(shell)
        self.preloading = Preloading(self.magics.to_preload)

    def put_in(self) -> None:
        """Register everything."""
        self.shell.register_magics(self.magics)
        self.shell.input_transformers_cleanup.insert(0, self.transformer)
        self.shell.ast_transformers.append(self.awaiting)
        self.shell.should_run_async = self.awaiting.should_run_async
        self.shell.events.register("pre_execute", self.magics.cells.enter)
        self.shell.events.register("pre_run_cell", self.preloading.hold)
        self.shell.events.register("post_execute", self.magics.cells.leave)
        self.shell.events.register("post_execute", self.preloading.begin)
        if self.matcher is not None:
            self.shell.Completer.custom_matchers.append(self.matcher)
        host.enter(self.magics)

    def take_out(self) -> None:
        """Unregister everything, stop what runs and give back the clients."""
        shell = self.shell
        host.leave(self.magics)
        for kind in ("cell", "line"):
            table = shell.magics_manager.magics[kind]
            for name in [
                n for n, f in table.items() if getattr(f, "__self__", None) is self.magics
            ]:
                del table[name]
        shell.magics_manager.registry.pop(type(self.magics).__name__, None)
        if self.magics in shell.configurables:
            shell.configurables.remove(self.magics)
        if self.transformer in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(self.transformer)
        if self.awaiting in shell.ast_transformers:
            shell.ast_transformers.remove(self.awaiting)
        if vars(shell).get("should_run_async") == self.awaiting.should_run_async:
            del shell.should_run_async
        for event, callback in (
            ("pre_execute", self.magics.cells.enter),
            ("pre_run_cell", self.preloading.hold),
            ("post_execute", self.magics.cells.leave),
            ("post_execute", self.preloading.begin),
        ):
            with contextlib.suppress(ValueError):
                shell.events.unregister(event, callback)
        if self.matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self.matcher)
        # A session that no cell has asked for is not made now.
        if (session := vars(self.magics).get("session")) is not None:
            session.close()


def load(shell: Any) -> None:
    """Register the magics once, however often it is called."""
    if getattr(shell, _ATTRIBUTE, None) is None:
        loaded = Loaded(shell)
        loaded.put_in()
        setattr(shell, _ATTRIBUTE, loaded)


def unload(shell: Any) -> None:
    """Take the magics off again."""
    loaded = getattr(shell, _ATTRIBUTE, None)
    if loaded is not None:
        loaded.take_out()
        delattr(shell, _ATTRIBUTE)
