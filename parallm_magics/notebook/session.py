"""What the cells of one notebook share, and how each of them runs."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, TypeVar

from parallm_magics.api import PATTERNS, plan_cell
from parallm_magics.cell.plan import Plan
from parallm_magics.cluster.connection import Connection
from parallm_magics.core import user_code
from parallm_magics.core.tasks import Record, Usage
from parallm_magics.core.user_code import UserCodeInterrupted
from parallm_magics.engine.accounts import Ledger
from parallm_magics.engine.cancel_token import unless_stopped
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.errors import UnfinishedError
from parallm_magics.notebook.cells import Cells
from parallm_magics.notebook.interrupt import InterruptibleWait, Interrupts
from parallm_magics.notebook.live_table import (
    APPEARS_AFTER,
    LiveTable,
    Surface,
    in_terminal,
    surface_for,
)
from parallm_magics.notebook.loop import run_to_end
from parallm_magics.notebook.settings import names_of
from parallm_magics.notebook.under_way import UnderWay
from parallm_magics.patterns.run import Run
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.tallies import open_in_batches
from parallm_magics.providers.registry import Clients
from parallm_magics.recordings.modes import Mode
from parallm_magics.recordings.store import from_environment, reopened

T = TypeVar("T")
IN_CODE = "sys.last_value.run"
BEFORE_ANY_CALL = "interrupted before any call was made"


class Outcome(NamedTuple):
    """What a cell shows, and what it raises after that."""

    shown: Any
    problem: BaseException | None = None


@dataclass(slots=True)
class Spend:
    """Sums over all records of a session; cells of several threads may add to them.

    Attributes:
        runs: runs begun, further tries included.
        calls: tries of calls.
        usage: tokens, as far as known.
        cost: US dollars, as far as known; None where no call's cost is known.
        complete: whether `cost` counts every call; else it is a least amount.
    """

    runs: int = 0
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    complete: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ran(self) -> None:
        """Count one run."""
        with self._lock:
            self.runs += 1

    def add(self, record: Record) -> None:
        """Count one record."""
        with self._lock:
            self.calls += len(record.attempts)
            if record.usage is not None:
                self.usage += record.usage
            if record.cost is not None:
                self.cost = (self.cost or Decimal(0)) + record.cost
            elif not record.simulated:
                self.complete = False


class Session:
    """What the cells share: clients, caps, recordings, and the sum of what was spent.

    Attributes:
        clients: open clients, kept from cell to cell.
        rate_limits: how fast each provider may be used, shared by cells that run at the same time.
        ledger: what was spent, and the cap that `session_max_cost` sets on it.
        spend: the calls so far.
        recordings: where answers are kept, or None.
        dask: the Dask cluster that `%parallm dask` has connected.
        last: the plan of the last cell, whatever became of it; None before the first.
    """

    def __init__(
        self,
        shell: Any,
        cap: Callable[[], Decimal | None],
        interrupts: Interrupts,
        cells: Cells,
    ) -> None:
        self._shell, self._cap = shell, cap
        self._interrupts, self._cells = interrupts, cells
        self.clients = Clients()
        self.rate_limits = RateLimits()
        self.ledger = Ledger("session_max_cost", lasting=True)
        self.spend = Spend()
        self.recordings = from_environment()
        self.dask = Connection()
        self.last: Plan | None = None
        self._under_way = UnderWay()
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    async def execute(
        self,
        magic: str,
        line: str,
        cell: str,
        settings: Mapping[str, Any],
        wait: InterruptibleWait,
        first: int = 2,
    ) -> Outcome:
        """Run a cell; an interrupt and too few successes are handed back, to be raised by the cell.

        Raised here they would end the kernel's loop where this runs as a task of its own.

        Args:
            first: the number of the line in the cell with which the text below the magic begins.
        """
        names = names_of(self._shell)
        try:
            plan = user_code.call(
                plan_cell, magic, line, cell, names, first=first, settings=settings
            )
        except UserCodeInterrupted:  # nobody wanted to wait for slow items
            return Outcome(None, wait.interruption(BEFORE_ANY_CALL))
        self.last = plan
        if plan.options.dry_run:
            return Outcome(PATTERNS[plan.pattern].preview(plan))
        self._loops.add(asyncio.get_running_loop())
        run: Run | None = None
        problem: UnfinishedError | None = None
        with self._under_way.one(wait):
            try:
                async with self._watched(plan, wait, followed=wait.awaited) as context:
                    run = await wait.wait_for(PATTERNS[plan.pattern].run(plan, context))
            except UnfinishedError as error:
                run, problem = error.run, error
        if run is not None and plan.options.out:
            self._shell.user_ns[plan.options.out] = run
        shown = None if plan.options.quiet else run
        if shown is not None and wait.awaited:
            await shown.draw_soon()
        fine = problem is None and not wait.asked
        return Outcome(shown, None if fine else _told(problem, run, wait, plan, plan.options.out))

    async def run_code(
        self, plan: Plan, runner: Callable[[Plan, RunContext], Awaitable[Run]]
    ) -> Run:
        """Return the run of a plan that code of the notebook awaits: what holds for cells holds for it.

        It is not shown while it runs: code may run hundreds at once.

        Raises:
            KeyboardInterrupt: the user interrupted it; its `.run` holds what was done.
        """
        run: Run | None = None
        problem: UnfinishedError | None = None
        wait = InterruptibleWait()
        with self._listening(wait):
            async with self._beside(wait) as context:
                try:
                    run = await runner(plan, context)
                except UnfinishedError as error:
                    run, problem = error.run, error
                except asyncio.CancelledError:
                    if not wait.asked:
                        raise
        if problem is not None or wait.asked:
            raise _told(problem, run, wait, plan, IN_CODE)
        assert run is not None
        return run

    def waited(self, asking: Coroutine[Any, Any, T]) -> T:
        """Return what a command asks of a provider, which cannot be awaited there.

        Raises:
            KeyboardInterrupt: the user interrupted it.
        """
        wait = InterruptibleWait(awaited=False)

        with self._interrupts.end(wait):
            found = run_to_end(wait.wait_for(unless_stopped(asking, wait.stop)), self.clients.close)
        if found is None:
            raise wait.interruption(wait.asked)
        return found

    @contextlib.asynccontextmanager
    async def _beside(self, wait: InterruptibleWait) -> AsyncIterator[RunContext]:
        """Return what a run of code needs: on a loop that no cell runs on, clients of its own."""
        context = self._context(wait)
        if self._cells.tasks:
            yield context
            return
        context = replace(context, clients=Clients(), rate_limits=RateLimits())
        try:
            yield context
        finally:
            await context.clients.close()

    def record(self, path: str | None, mode: Mode, *, anew: bool = True) -> None:
        """Keep the answers of the cells to come in this file, or in the one of the cells before.

        Args:
            anew: whether a file that is named again forgets what cells have used of it.
        """
        self.recordings = reopened(self.recordings, path, mode, anew=anew)

    def close(self) -> None:
        """Stop what runs, then give the clients back, each loop's own on that loop."""
        self._under_way.end("the extension was unloaded")
        running = [loop for loop in list(self._loops) if loop.is_running()]
        for loop in running:
            asyncio.run_coroutine_threadsafe(self._give_back(loop), loop)
        if not running:
            self.dask.close()
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            return
        self.clients.close_at_exit()  # no loop runs here, such as between a terminal's cells

    async def _give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        await self._under_way.over(loop)
        await self.clients.close()
        await asyncio.to_thread(self.dask.close)  # takes a moment; no loop waits for it

    @contextlib.asynccontextmanager
    async def _again(self, plan: Plan) -> AsyncIterator[RunContext]:
        """Return what a further try needs, which user code awaits: an interrupt stops its workers."""
        wait = InterruptibleWait()
        with self._listening(wait):
            async with self._watched(plan, wait) as context:
                yield context

    @contextlib.contextmanager
    def _listening(self, wait: InterruptibleWait) -> Iterator[None]:
        """Let interrupts, and the end of the extension, stop a run that user code awaits."""
        wait.loop = asyncio.get_running_loop()
        with self._under_way.one(wait), self._interrupts.end(wait):
            yield

    def _context(self, wait: InterruptibleWait) -> RunContext:
        """Return what every run of the notebook needs."""
        self.ledger.allow(self._cap())
        self.spend.ran()
        return RunContext(
            self.clients,
            self.rate_limits,
            stop=wait.stop,
            ledgers=(self.ledger,),
            spent=self.spend.add,
            recordings=self.recordings,
            dask=self.dask,
            renew=self._again,
        )

    @contextlib.asynccontextmanager
    async def _watched(
        self, plan: Plan, wait: InterruptibleWait, *, followed: bool = False
    ) -> AsyncIterator[RunContext]:
        """Return what a run needs, watched on a live table where somebody can see one; see `LiveTable`."""
        context = self._context(wait)
        _say_notes(plan, self._shell)
        surface = _surface(plan, wait, self._shell)
        if surface is None:
            yield context
            return
        self._cells.finish()  # a table at a time
        later = operator.call if wait.beside else self._cells.at_end
        async with _table(plan, self.clients, surface, later, followed).shown() as context.tell:
            yield context


def _surface(plan: Plan, wait: InterruptibleWait, shell: Any) -> Surface | None:
    """Return what somebody sees this run on; None where nobody looks."""
    cancel = partial(wait.end, "cancelled") if wait.awaited else None
    return None if plan.options.quiet else surface_for(shell, cancel)


def _table(
    plan: Plan,
    clients: Clients,
    surface: Surface,
    later: Callable[[Callable[[], None]], None],
    followed: bool,
) -> LiveTable:
    """Return what shows a plan's run on this surface."""
    after = 0.0 if plan.notes else APPEARS_AFTER  # notes are there before the calls
    board = PATTERNS[plan.pattern].board(plan, clients)
    return LiveTable(board, surface, after, later, followed=followed)


def _say_notes(plan: Plan, shell: Any) -> None:
    """Print a plan's notes in a terminal, where nothing else shows them before the calls."""
    if plan.notes and not plan.options.quiet and in_terminal(shell):
        print("\n".join(f"Note: {note}" for note in plan.notes), file=sys.stderr)


def _told(
    problem: UnfinishedError | None,
    run: Run | None,
    wait: InterruptibleWait,
    plan: Plan,
    out: str | None,
) -> BaseException:
    """Return what the run ends in, with where its records are: an interruption goes before all else."""
    if problem is None or wait.asked:
        interruption = wait.interruption(_interrupted(run, wait.asked, plan.calls.known, out))
        interruption.run = run
        return interruption
    text = f"{problem}; {out or IN_CODE} holds every record"
    return type(problem)(text, problem.records, problem.run)


def _interrupted(run: Run | None, reason: str, known: int | None, out: str | None) -> str:
    """What is done; `known` is how many calls there would have been, those that never began too."""
    if run is None:
        return f"{reason}; the run stopped before its workers finished"
    kept = f"{out} holds the records" if out else "add -o NAME to the cell to keep them"
    total = max(known or 0, len(run.results))
    done = f"{len(run.succeeded):,} of {total:,} workers were done"
    if inside := sum(open_in_batches(run.results).values()):
        done, kept = f"{done}, {inside:,} go on in a batch", "run the cell again for their answers"
    return f"{reason}; {done}; {kept}"
