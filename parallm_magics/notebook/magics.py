"""The magics: `%%fanout`, `%%vote` and `%parallm`, thin over the session."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from parallm_magics.notebook.settings import settings_traits, spoken_settings

if TYPE_CHECKING:
    from parallm_magics.notebook.session import Outcome, Session


@magics_class
class ParallmMagics(Magics):
    """Run LLM calls in parallel. Each setting is the default of the option of the same name."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.add_traits(**settings_traits())

    @cached_property
    def session(self) -> Session:
        """What the cells share; imported with the first of them, so that loading stays cheap."""
        from parallm_magics.notebook.session import Session

        return Session(self.shell)

    @no_var_expand
    @cell_magic
    def fanout(self, line: str, cell: str) -> Any:
        """Run independent prompts at once and merge their answers; see `%parallm` for settings."""
        return self._nested("fanout", line, cell)

    @no_var_expand
    @cell_magic
    def vote(self, line: str, cell: str) -> Any:
        """Ask the same several times and let the answers vote; see `%parallm` for settings."""
        return self._nested("vote", line, cell)

    @no_var_expand
    @line_magic
    def parallm(self, line: str) -> None:
        """Show the settings in force, or run a command: models, usage, provider."""
        from parallm_magics.notebook import commands

        commands.run(self, line)

    async def awaited(self, magic: str, line: str, cell: str) -> Any:
        """What a top-level cell awaits."""
        return _given_out(await self._execute(magic, line, cell))

    def _nested(self, magic: str, line: str, cell: str) -> Any:
        from parallm_magics.notebook.loop import wait

        return _given_out(wait(self._execute(magic, line, cell)))

    async def _execute(self, magic: str, line: str, cell: str) -> Outcome:
        return await self.session.execute(magic, line, cell, spoken_settings(self))


def _given_out(outcome: Outcome) -> Any:
    if outcome.problem is not None:
        raise outcome.problem
    return outcome.shown
