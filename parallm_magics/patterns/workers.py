"""Run the workers of a plan: the same for every pattern."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Container,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from parallm_magics import prices
from parallm_magics.cell.plan import Plan
from parallm_magics.engine.budget import Budget, Ledger
from parallm_magics.engine.pool import MOST, Pools
from parallm_magics.engine.pump import Books, Doors, Finish, Pump, Rules
from parallm_magics.engine.simulated_time import lay_out
from parallm_magics.engine.stop import Stop
from parallm_magics.errors import OptionError
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.out_file import OutFile
from parallm_magics.patterns.reading import read_record
from parallm_magics.providers.recording import Recordings, from_environment
from parallm_magics.providers.registry import Clients
from parallm_magics.types import Call, Event, Listener, Model, Provider, Record, Status, Task

# Seconds for which recorded answers are looked up before others may run.
AT_A_STRETCH = 0.01

Source = Iterable[Call] | AsyncIterable[Call]


@contextlib.asynccontextmanager
async def of_its_own(plan: Plan) -> AsyncIterator[Surroundings]:
    """What a run needs where nobody keeps it from run to run."""
    clients = Clients()
    recordings = from_environment()
    try:
        yield Surroundings(clients, recordings=recordings)
    finally:
        if recordings is not None:
            recordings.close()
        await clients.close()


@dataclass(slots=True, eq=False)
class Surroundings:
    """What a run needs from where it runs.

    Attributes:
        clients: the doors to the models, kept by whoever opened them.
        pools: what is known of how fast each may be asked.
        tell: hears every event.
        stop: stops the run from outside.
        ledgers: caps on cost besides the cell's own.
        spent: hears every record that something may have been spent on.
        recordings: where answers are kept, or None.
        renew: surroundings for another run of a plan, for as long as that runs.
    """

    clients: Clients
    pools: Pools = field(default_factory=Pools)
    tell: Listener | None = None
    stop: Stop = field(default_factory=Stop)
    ledgers: tuple[Ledger, ...] = ()
    spent: Callable[[Record], None] | None = None
    recordings: Recordings | None = None
    renew: Callable[[Plan], AbstractAsyncContextManager[Surroundings]] = of_its_own


class Workers:
    """A plan's workers, with the doors to their models.

    Attributes:
        notes: what the user should know of how they ran, one line each.
    """

    def __init__(
        self, plan: Plan, around: Surroundings, providers: Mapping[str, Provider], goes_on: bool
    ) -> None:
        """Refuse what a model cannot do, a cap that cannot be kept, a file that cannot be written.

        Raises:
            ParallmError: nothing has been asked by then.
        """
        options = plan.options
        self._plan, self._around, self._providers = plan, around, providers
        self.notes: list[str] = []
        self._began: float | None = None
        self._after = 0.0  # the end of the kept answers, as far as known before the first call
        self._end = 0.0  # of the last worker, in the records
        self._tellings = around.recordings.tellings if around.recordings else 0
        own = [Ledger("--max-cost", options.max_cost)] if options.max_cost is not None else []
        self._budget = Budget((*own, *around.ledgers), self._worst)
        for task in plan.calls.rendered or plan.calls.head:
            self._check(task)
        if plan.synthesis is not None:
            self._check(plan.synthesis.task)
        if around.recordings is None:
            self._check_prices(plan_models(plan))
        self._out = self._out_file(options.out_file, goes_on) if options.out_file else None

    def _out_file(self, path: str, goes_on: bool) -> OutFile:
        store = self._around.recordings
        if store is not None and Path(path).expanduser().absolute() == store.path.absolute():
            raise OptionError(
                f"--out-file {path}: the recordings are in this file; choose another name"
            )
        return OutFile(path, goes_on=goes_on)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where calls go, if not to a provider's usual address."""
        return tuple(dict.fromkeys(p.address for p in self._providers.values() if p.address))

    async def open(self, models: Iterable[Model]) -> None:
        """Import and build what calls of these models need.

        Raises:
            ParallmError: a key is missing, or a cap cannot be kept.
        """
        models = tuple(models)
        self._check_prices(models)
        for model in {model.provider: model for model in models}.values():
            await _unless_stopped(self._around.clients.get(model), self._around.stop)
            if model.provider in prices.PRICED and not self._around.stop.reason:
                prices.prepare()

    async def run(
        self,
        before: Sequence[Record] = (),
        counted: Iterable[Status] = ("ok",),
        *,
        read: bool = False,
    ) -> list[Record]:
        """One record a call, in the cell's order; simulated ones on the simulation's own time.

        Args:
            before: the records of an earlier run, whose successes are kept.
            counted: the statuses that are a success.
            read: whether values are read off the records as they come.
        """
        calls, kept = self._plan.calls, {record.index: record for record in before if record.ok}
        self._after = latest(kept.values())
        enough = 0 if calls.known is None else self._plan.least(calls.known) - len(kept)
        rules = self._rules(
            least=max(enough, 0),
            counted=frozenset(counted),
            known=None if calls.known is None else calls.known - len(kept),
            drain=calls.rendered is not None,
            models=len(calls.models),
        )

        def finish(task: Task | None, record: Record) -> Record:
            record = read_record(record, calls.reading(record.index)) if read else record
            if task is not None:  # as it is recorded too, so that a replay is laid out alike
                record = later(record, self._after)
            if record.ok and not before:
                calls.forget(record.index)
            return self._finish(task, record)

        source: Source = calls.read(kept)
        if calls.asynchronous:
            source = self._checked(calls.read_async(kept))
        if self._around.tell is not None:
            for record in kept.values():
                told = replace(record, replayed=True)
                self._around.tell(Event("ended", record.index, 0.0, record=told))
        if self._around.recordings is not None:
            # Recorded as answers, these were none to whoever asks for a further try.
            anew = {record.index for record in before if record.status in CAME_BACK}
            source = self._served(source, few=calls.rendered is not None, anew=anew)
        records = self._laid_out(await self._pump(source, rules, finish), kept)
        self._end = latest(records)
        return records

    async def one(self, task: Task) -> Record:
        """The record of one more call, such as a synthesis; it begins after all others."""
        source: Source = [task]
        if self._around.recordings is not None:
            source = self._served(source, few=True)
        [record] = await self._pump(source, self._rules(), self._finish)
        if record.simulated:  # its measured offset depends on the machine
            return replace(record, start=self._end, queued=0.0)
        # Kept answers have taken none of this run's time.
        return replace(record, start=max(record.start, self._end))

    def close(self) -> None:
        """Finish the file, and say what went wrong with what was to be kept."""
        if self._out is not None:
            self._out.close()
            self.notes += [self._out.problem] if self._out.problem else []
        if self._around.recordings is not None:
            self.notes += self._around.recordings.warnings_since(self._tellings)

    def _rules(self, **more: Any) -> Rules:
        options = self._plan.options
        asked = options.concurrency is not None
        return Rules(
            options.concurrency or MOST, asked=asked, rpm=options.rpm, tpm=options.tpm, **more
        )

    async def _pump(self, source: Source, rules: Rules, finish: Finish) -> list[Record]:
        around = self._around
        doors = Doors(lambda model: self._providers[model.provider], around.pools.of)
        books = Books(prices.pricing(), finish, self._budget)
        pump = Pump(source, doors, rules, books, around.tell, around.stop, self._began)
        try:
            return await pump.run()
        finally:
            self._began = pump.began

    def _finish(self, task: Task | None, record: Record) -> Record:
        """Write a record down wherever it is to be kept."""
        if task is not None and self._around.recordings is not None:
            self._around.recordings.add(task, record)
        if self._out is not None:
            self._out.write(record)
        if task is not None and self._around.spent is not None:
            self._around.spent(record)
        return record

    async def _served(
        self, calls: Source, *, few: bool, anew: Container[int] = ()
    ) -> AsyncIterator[Call]:
        """The calls, with the record in place of one that has been answered before.

        The doors are opened before the first call that is to be made: a cell whose answers are all
        recorded needs no key and no SDK, and a missing key is told before anything is spent.

        Args:
            few: whether all may be looked up before, so that no door is opened in vain.
            anew: the places of the calls that are to be made in any case.
        """
        missing: list[Task] = []
        opened = False
        async for call in self._looked_up(calls, anew):
            if isinstance(call, Record) and few:
                self._after = max(self._after, call.end)
            if isinstance(call, Record) or opened:
                yield call
            elif few:
                missing.append(call)
            else:
                await self.open(plan_models(self._plan))
                opened = True
                yield call
        if missing:
            await self.open(self._needed(missing))
        for task in missing:
            yield task

    async def _looked_up(self, calls: Source, anew: Container[int]) -> AsyncIterator[Call]:
        """The calls, or the records that are kept of them; no loop is held up for long."""
        store, loop = self._around.recordings, asyncio.get_running_loop()
        assert store is not None
        more, since = True, loop.time()
        async for call in _awaited(calls):
            while more:
                more = store.catch_up()
                await asyncio.sleep(0)
            if loop.time() - since > AT_A_STRETCH:
                await asyncio.sleep(0)
                since = loop.time()
            if isinstance(call, Record) or call.index in anew:
                yield call
            else:
                yield store.find(call) or call

    def _needed(self, missing: Iterable[Task]) -> set[Model]:
        """The models of these calls, and that of the call which will follow them."""
        merging = [self._plan.synthesis.task] if self._plan.synthesis else []
        return {task.model for task in (*missing, *merging)}

    async def _checked(self, calls: AsyncIterable[Call]) -> AsyncIterator[Call]:
        """The calls; those of the first round are checked before any of them is made."""
        head: list[Call] | None = []
        async for call in calls:
            if head is None:
                yield call
                continue
            head.append(call)
            if len(head) == self._plan.calls.size:
                for first in head:
                    if isinstance(first, Task):
                        self._check(first)
                for first in head:
                    yield first
                head = None

    def _check(self, task: Task) -> None:
        self._providers[task.model.provider].check(task)

    def _check_prices(self, models: Iterable[Model]) -> None:
        for model in models if self._budget.capped else ():
            simulated = self._providers[model.provider].simulated
            if not simulated and prices.worst(model, 1, 1) is None:
                raise OptionError(
                    f"{self._budget.name}: no price is known for {model}, so that no cap can be kept; take the "
                    "cap off, or choose a model whose price is known"
                )

    def _worst(self, task: Task) -> Decimal:
        """The most that one try can cost; a model without a price was refused before."""
        if self._providers[task.model.provider].simulated:
            return Decimal(0)
        params = task.params
        parts = [task.prompt, task.system or ""]
        if params:  # tools, schemas and further messages are read by the model as well
            parts.append(json.dumps(dict(params), default=str))
        size = sum(
            len(part) if part.isascii() else len(part.encode("utf-8", "replace")) for part in parts
        )
        asked = (params.get(name) for name in ("max_tokens", "max_completion_tokens"))
        most = max([task.max_tokens, *(number for number in asked if isinstance(number, int))])
        return prices.worst(task.model, size, most) or Decimal(0)

    def _laid_out(self, records: list[Record], kept: Mapping[int, Record]) -> list[Record]:
        """All records on one time axis, in the cell's order; new calls began after kept answers."""
        providers = {self._providers[model.provider] for model in self._plan.calls.models}
        late = latest(record for record in records if record.replayed) - self._after
        if records and all(provider.keeps_time for provider in providers):
            laid = lay_out(records, self._plan.options.concurrency or MOST)
            records = [later(record, self._after if kept else 0.0) for record in laid]
        elif late > 0:  # known only now, as the items were not known before
            records = [record if record.replayed else later(record, late) for record in records]
        return sorted([*records, *kept.values()], key=lambda record: record.index)


def plan_models(plan: Plan) -> tuple[Model, ...]:
    """Every model that the plan asks, that of a synthesis included."""
    merging = [plan.synthesis.task.model] if plan.synthesis else []
    return tuple(dict.fromkeys([*plan.calls.models, *merging]))


@contextlib.asynccontextmanager
async def open_workers(
    plan: Plan, around: Surroundings, *, goes_on: bool = False
) -> AsyncIterator[Workers]:
    """A plan's workers, ready to run.

    Args:
        goes_on: whether an earlier run of the plan is taken up.

    Raises:
        ParallmError: before any call, what cannot be done as it is asked for.
    """
    names = dict.fromkeys(model.provider for model in plan_models(plan))
    providers = {name: around.clients.provider(name) for name in names}
    workers = Workers(plan, around, providers, goes_on)
    try:
        if around.recordings is None:
            await workers.open(plan_models(plan))
        yield workers
    finally:
        workers.close()


async def _awaited(calls: Source) -> AsyncIterator[Call]:
    """The calls of either kind of source."""
    if isinstance(calls, AsyncIterable):
        async for call in calls:
            yield call
        return
    for call in calls:
        yield call


async def _unless_stopped(opening: Coroutine[Any, Any, object], stop: Stop) -> None:
    """Wait for a door to open, but not once the run is stopped: an SDK's import takes a second."""
    task = asyncio.ensure_future(opening)

    def cancel() -> None:
        task.cancel()

    off = stop.on_stop(cancel)
    try:
        if stop.reason:
            cancel()
        await asyncio.wait({task})
    finally:
        off()
        cancel()
    if not (task.cancelled() and stop.reason):
        task.result()


def latest(records: Iterable[Record]) -> float:
    """When the last of them ended."""
    return max((record.end for record in records), default=0.0)


def later(record: Record, seconds: float) -> Record:
    """The record, begun so much later."""
    return replace(record, start=round(record.start + seconds, 6)) if seconds else record
