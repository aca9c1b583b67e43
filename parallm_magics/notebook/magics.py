"""The magics: `%%fanout`, `%%vote` and `%parallm`, thin over the patterns."""

from __future__ import annotations

import contextlib
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets.config import Configurable

from parallm_magics.cell.plan import Plan
from parallm_magics.errors import TooFewSucceeded
from parallm_magics.notebook import commands
from parallm_magics.notebook.loop import RunInterrupted, interruptible, wait
from parallm_magics.notebook.settings import settings_traits, spoken_settings
from parallm_magics.notebook.table import LiveTable, wanted
from parallm_magics.patterns.api import RUNNERS, plan_cell
from parallm_magics.patterns.live import board_of
from parallm_magics.patterns.preview import preview
from parallm_magics.patterns.run import Run
from parallm_magics.patterns.workers import Surroundings
from parallm_magics.providers.registry import Clients

Settings = type("Settings", (Configurable,), settings_traits())


@magics_class
class ParallmMagics(Magics, Settings):
    """Run LLM calls in parallel. Each setting is the default of the option of the same name."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.clients = Clients()
        self.runs: list[Run] = []
        self._stops: set[Any] = set()

    @no_var_expand
    @cell_magic
    def fanout(self, line: str, cell: str) -> Any:
        """Run independent prompts at once and merge their answers; see `%parallm` for settings."""
        return wait_for(self.execute("fanout", line, cell))

    @no_var_expand
    @cell_magic
    def vote(self, line: str, cell: str) -> Any:
        """Ask the same several times and let the answers vote; see `%parallm` for settings."""
        return wait_for(self.execute("vote", line, cell))

    @no_var_expand
    @line_magic
    def parallm(self, line: str) -> None:
        """Show the settings in force, or run a command: models, usage, provider."""
        commands.run(self, line)

    async def awaited(self, magic: str, line: str, cell: str) -> Any:
        """What a top-level cell awaits."""
        shown, problem = await self.execute(magic, line, cell)
        if problem is not None:
            raise problem
        return shown

    async def execute(self, magic: str, line: str, cell: str) -> tuple[Any, BaseException | None]:
        """Run a cell; an interrupt and too few successes are handed back, to be raised by the cell.

        Raising them here would end the kernel's loop where this runs as a task of its own.
        """
        plan = plan_cell(
            magic, line, cell, self.shell.user_ns, settings=spoken_settings(self)
        )
        if plan.options.dry_run:
            return preview(plan), None
        around = Surroundings(self.clients)
        self._stops.add(around.stop)
        problem: BaseException | None = None
        run: Run | None = None
        try:
            async with self._watched(plan, around):
                run = await interruptible(RUNNERS[magic](plan, around), around.stop)
        except TooFewSucceeded as error:
            problem, run = error.with_traceback(None), error.run
        finally:
            self._stops.discard(around.stop)
        if run is not None:
            self.runs.append(run)
            if plan.options.out:
                self.shell.user_ns[plan.options.out] = run
        if isinstance(problem, TooFewSucceeded):
            problem = _with_way_back(problem, plan.options.out)
        if around.stop.reason:
            problem = RunInterrupted(_interrupted(run, plan.options.out))
        return (None if plan.options.quiet else run), problem

    @contextlib.asynccontextmanager
    async def _watched(self, plan: Plan, around: Surroundings) -> Any:
        if plan.options.quiet or not wanted(self.shell):
            yield
            return
        table = LiveTable(board_of(plan))
        around.tell = table.tell
        async with table.shown():
            yield

    def stop_all(self, reason: str) -> None:
        """Stop every run that is under way."""
        for stop in list(self._stops):
            stop(reason)


def wait_for(execution: Any) -> Any:
    """Wait for a cell that cannot be awaited, and raise what it hands back."""
    shown, problem = wait(execution)
    if problem is not None:
        raise problem
    return shown


def _with_way_back(problem: TooFewSucceeded, out: str | None) -> TooFewSucceeded:
    where = out or "sys.last_value.run"
    told = TooFewSucceeded(f"{problem}; {where} holds every record", problem.records, problem.run)
    return told


def _interrupted(run: Run | None, out: str | None) -> str:
    if run is None:
        return "the run was left before its workers had ended"
    kept = f"; {out} holds the records" if out else "; give the cell -o NAME to keep them"
    return f"{len(run.succeeded)} of {len(run.results)} workers were done{kept}"


