"""The magics: `%%fanout`, `%%vote` and `%parallm`, thin over the session."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from parallm_magics.cell.help import help_of
from parallm_magics.cell.option_layers import of_environment
from parallm_magics.notebook.cells import Cells
from parallm_magics.notebook.interrupt import InterruptibleWait, Interrupts
from parallm_magics.notebook.settings import Settings, spoken_settings
from parallm_magics.recordings.modes import offline

if TYPE_CHECKING:
    from parallm_magics.notebook.session import Outcome, Session


@magics_class
class ParallmMagics(Settings, Magics):
    """Run LLM calls in parallel. Each setting sets the default of the option with the same name."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.cells = Cells()
        self._interrupts = Interrupts(self.cells)

    @cached_property
    def session(self) -> Session:
        """What the cells share; imported with the first of them, so that loading stays cheap."""
        from parallm_magics.notebook.session import Session

        return Session(self.shell, lambda: self.session_max_cost, self._interrupts, self.cells)

    def to_preload(self) -> tuple[str, ...]:
        """Return the chosen models; none for a replay, or where the setting is off."""
        session = vars(self).get("session")
        store = None if session is None else session.recordings
        if not self.preload or offline() or (store is not None and store.replays):
            return ()
        chosen: tuple[str, ...] = self.model or of_environment().get("model", ())
        return chosen

    @no_var_expand
    @cell_magic
    def fanout(self, line: str, cell: str) -> Any:
        """Run independent prompts in parallel and merge their answers."""
        return self._nested("fanout", line, cell)

    @no_var_expand
    @cell_magic
    def vote(self, line: str, cell: str) -> Any:
        """Ask the same question several times and let the answers vote."""
        return self._nested("vote", line, cell)

    @no_var_expand
    @line_magic
    def parallm(self, line: str) -> None:
        """Show the current settings, or run a command: models, usage, recordings, provider, dask, code."""
        from parallm_magics.notebook import commands

        commands.run(self, line)

    async def awaited(self, magic: str, line: str, cell: str, first: int = 2) -> Any:
        """Return what a top-level cell awaits, whose text below the magic begins with this line."""
        wait = InterruptibleWait()
        with self._interrupts.end(wait):
            outcome = await self.session.execute(
                magic, line, cell, spoken_settings(self), wait, first
            )
        return _evaluated(outcome)

    def _nested(self, magic: str, line: str, cell: str) -> Any:
        from parallm_magics.notebook.loop import run_to_end

        wait = InterruptibleWait(awaited=False)
        with self._interrupts.end(wait):
            run = self.session.execute(magic, line, cell, spoken_settings(self), wait)
            outcome = run_to_end(run, self.session.clients.close)
        return _evaluated(outcome)

    def settings(self) -> dict[str, Any]:
        """Return the settings that were made, which hold for `await vote(…)` too."""
        return dict(spoken_settings(self))

    async def run(self, plan: Any, runner: Any) -> Any:
        """Return the run of a plan that code of the notebook awaits."""
        return await self.session.run_code(plan, runner)


for _magic in (ParallmMagics.fanout, ParallmMagics.vote):
    _magic.__doc__ = help_of(_magic.__name__, _magic.__doc__ or "")


def _evaluated(outcome: Outcome) -> Any:
    """Return what the cell evaluates to; a run that ends in an error is shown first."""
    if outcome.problem is None:
        return outcome.shown
    if outcome.shown is not None:
        display(outcome.shown)
    raise outcome.problem
