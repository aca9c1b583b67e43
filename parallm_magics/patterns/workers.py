"""Run the calls of a plan: the same for every pattern."""

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
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.core import prices
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Call, Event, Fault, Model, Record, Task, Usage
from parallm_magics.engine.budget import Budget, Ledger
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.clock import Clock, VirtualClock
from parallm_magics.engine.rate_limits import MOST, RateLimit
from parallm_magics.engine.scheduler import Books, Doors, Finish, Rules, Scheduler
from parallm_magics.engine.slots import Slots
from parallm_magics.errors import OptionError, RecordingMissing
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.out_file import OutFile
from parallm_magics.patterns.record_sink import RecordSink
from parallm_magics.patterns.record_values import read_record
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers import bill
from parallm_magics.recordings.modes import VARIABLE
from parallm_magics.recordings.replay import Source, looked_up, served
from parallm_magics.simulation.simulated import scale_of

Heard = Callable[[Record], None]
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""Fields by which a server is told how long an answer may be."""
SEVERAL = ("n", "best_of")
"""Fields by which it is told to write several."""


class Workers:
    """A plan's workers, with the doors to their models.

    Attributes:
        notes: what the user should know of how they ran, one line each.
        keeper: where their records are kept.
        clock: the run's clock.
        end: when the last of them ended, in seconds of the records.
    """

    def __init__(
        self, plan: Plan, around: RunContext, providers: Mapping[str, Provider], further: int
    ) -> None:
        """Refuse what a model cannot do, a cap that cannot be kept, a file that cannot be written.

        Raises:
            ParallmError: nothing has been asked by then.
        """
        options = plan.options
        self._plan, self._around, self._providers = plan, around, providers
        self._further = further
        self.notes: list[str] = []
        self.clock = _clock_of(plan, around, providers)
        self._shared = Slots(options.concurrency or MOST, self.clock)
        self._after = 0.0  # the end of the kept answers, as far as known before the first call
        self.end = 0.0
        own = [Ledger("--max-cost", options.max_cost)] if options.max_cost is not None else []
        self._budget = Budget((*own, *around.ledgers), self._worst)
        for task in (*(plan.calls.rendered or plan.calls.head), *asides(plan)):
            self._check(task)
        if around.recordings is None:
            self._check_prices(plan_models(plan))
        out = self._out_file(options.out_file) if options.out_file else None
        self.keeper = RecordSink(around.recordings, out, around.spent, further)

    def _out_file(self, path: str) -> OutFile:
        store = self._around.recordings
        if store is not None and Path(path).expanduser().absolute() == store.path.absolute():
            raise OptionError(
                f"--out-file {path}: the recordings are in this file; choose another name"
            )
        return OutFile(path, goes_on=self._further > 0)

    @property
    def places(self) -> int:
        """How many calls may be under way at once."""
        return self._shared.most

    async def open(self, models: Iterable[Model]) -> None:
        """Import and build what calls of these models need.

        Raises:
            ParallmError: a key is missing, a cap cannot be kept, or nothing may be asked at all.
        """
        models = tuple(models)
        if self.replays:
            return
        self._check_offline(models)
        self._check_prices(models)
        for model in {model.provider: model for model in models}.values():
            await _unless_stopped(self._around.clients.get(model), self._around.stop)
            if bill.tariff(model) is not None and not self._around.stop.reason:
                prices.prepare()

    async def run(
        self,
        before: Sequence[Record] = (),
        stop: Stop | None = None,
        votes: Callable[[Record], Record] | None = None,
    ) -> list[Record]:
        """One record for each call of a map, with its value, in the cell's order.

        Args:
            before: the records of an earlier run, whose successes are kept.
            stop: stops these calls alone.
            votes: reads an answer that is a vote: such a call has succeeded once it came back,
                whatever it says. None where only a complete and readable answer will do.
        """
        calls = self._plan.calls
        read = votes or (lambda record: read_record(record, calls.reading(record.index)))
        kept = {record.index: record for record in before if record.ok}
        self.kept(kept.values())
        enough = (
            0
            if calls.known is None
            else least_successes(self._plan.options.min_success, calls.known) - len(kept)
        )
        rules = self._rules(
            least=max(enough, 0),
            counted=frozenset(CAME_BACK) if votes is not None else frozenset({"ok"}),
            known=None if calls.known is None else calls.known - len(kept),
            drain=calls.rendered is not None,
            models=len(calls.models),
        )

        def finish(task: Task | None, record: Record) -> Record:
            record = read(record)
            if task is not None:  # as it is recorded too, so that a replay is laid out alike
                record = later(self._asked_at(task, record), self._after)
            if not self.keeper.holds:
                self._forget(record)
            self.keeper.keep(task, record)
            return record

        source: Source = calls.read(kept)
        if calls.asynchronous:
            source = self._checked(calls.read_async(kept))
        # Recorded as answers, these were none to whoever asks for a further try.
        anew = {record.index for record in before if record.status in CAME_BACK}
        source = self._served(source, few=calls.rendered is not None, anew=anew)
        records = self._laid_out(await self._pump(source, rules, finish, stop), kept)
        self.ended(records)
        return records

    def kept(self, records: Iterable[Record]) -> None:
        """Answers of an earlier run stand where they stood; new calls begin after them."""
        records = tuple(records)
        self._after = max(self._after, latest(records))
        for record in records:
            self.tell(Event("ended", record.index, 0.0, record=replace(record, replayed=True)))

    def release(self) -> None:
        """The guards have passed: what of the work was held back is kept, and may be shown."""
        for record in self.keeper.release():
            self._forget(record)
        self.tell(Event("released", -1, 0.0))

    def _forget(self, record: Record) -> None:
        """What has its answer need not be asked in a further try; blocked work may have to be."""
        if record.ok and not self._further and self._plan.calls.once:
            self._plan.calls.forget(record.index)

    def tell(self, event: Event) -> None:
        """Tell whoever listens to the run."""
        if self._around.tell is not None:
            self._around.tell(event)

    async def recorded(self, tasks: Sequence[Task], anew: Container[int] = ()) -> list[Record]:
        """The records that are kept of these calls, in the order in which they had ended."""
        store = self._around.recordings
        if store is None:
            return []
        calls = looked_up(tasks, store, anew, self._further)
        found = [call async for call in calls if isinstance(call, Record)]
        # Cancelled at the moment at which others had ended, so after them.
        return sorted(found, key=lambda r: (r.status == "cancelled", r.end, r.index))

    def outcome(self, task: Task) -> Record | None:
        """How a call that is not needed now had ended when it was last made, if that is kept."""
        store = self._around.recordings
        return None if store is None else store.outcome(task, self._further)

    @property
    def replays(self) -> bool:
        """Whether nothing may be asked of anybody."""
        store = self._around.recordings
        return store is not None and store.replays

    async def ask(
        self,
        calls: Sequence[Call],
        *,
        stop: Stop | None = None,
        heard: Heard | None = None,
        least: int = 0,
        anew: Container[int] = (),
        beside: bool = False,
    ) -> list[Record]:
        """One record for each of a few calls, in their order.

        Args:
            calls: what is to be asked; a record is taken as it is.
            stop: stops these calls alone.
            heard: hears each record as soon as it is there.
            least: how many must come back; once out of reach nothing more is begun.
            anew: the places of those that are not to be served from a recording.
            beside: whether the calls are beside the work, so that kept answers do not delay them.
        """
        if not calls:
            return []
        rules = self._rules(
            least=least,
            counted=frozenset(CAME_BACK),
            known=len(calls),
            models=len({str(call.model) for call in calls}),
        )

        def finish(task: Task | None, record: Record) -> Record:
            if task is not None:
                record = self._asked_at(task, record)
            if task is not None and not beside:
                record = later(record, self._after)
            self.keeper.keep(task, record)
            if heard is not None:
                heard(record)
            return record

        source = self._served(calls, few=True, anew=anew, delays=not beside)
        return await self._pump(source, rules, finish, stop)

    def unasked(
        self, task: Task, kind: Literal["cancelled", "blocked"], why: str, at: float = 0.0
    ) -> Record:
        """The record of a call that was not made, as it was not needed, or not allowed, from then on."""
        return task.ended(
            kind,
            usage=Usage(),
            error=Fault(kind, why),
            simulated=self._providers[task.model.provider].simulated,
            start=at,
            queued=at,
        )

    def _asked_at(self, task: Task, record: Record) -> Record:
        """The record with the host of a server that is not the provider's own."""
        address = self._providers[task.model.provider].address
        return replace(record, address=address) if address else record

    async def follow(self, tasks: Sequence[Task], anew: Container[int] = ()) -> list[Record]:
        """One record for each of a few calls that begin after all others, such as a synthesis."""
        since = round(self.end, 6)
        records = await self.ask(tasks, anew=anew)
        # Kept answers have taken none of this run's time.
        records = [replace(record, start=max(record.start, since)) for record in records]
        records = [
            replace(record, queued=round(record.start - since, 6)) if record.simulated else record
            for record in records
        ]
        self.ended(records)
        return records

    def ended(self, records: Iterable[Record]) -> None:
        """What follows begins after these records."""
        self.end = max(self.end, latest(records))

    def close(self) -> None:
        """Finish the file, and say what went wrong with what was to be kept."""
        self.notes += self.keeper.close()

    def _rules(self, **more: Any) -> Rules:
        options = self._plan.options
        asked = options.concurrency is not None
        return Rules(self.places, asked=asked, rpm=options.rpm, tpm=options.tpm, **more)

    async def _pump(
        self, source: Source, rules: Rules, finish: Finish, stop: Stop | None
    ) -> list[Record]:
        around = self._around
        doors = Doors(lambda model: self._providers[model.provider], self._limit_of)
        books = Books(bill.price, finish, self._budget)
        pump = Scheduler(
            source, doors, rules, books, around.tell, stop or around.stop, self._shared
        )
        return await pump.run()

    def _limit_of(self, provider: Provider) -> RateLimit:
        return self._around.pools.of(provider, self.clock)

    def _served(
        self, calls: Source, *, few: bool, anew: Container[int] = (), delays: bool = True
    ) -> Source:
        """The calls, with the record in place of one that has been answered before."""
        store = self._around.recordings
        if store is None:
            return calls

        def found(record: Record) -> None:
            if few and delays:
                self._after = max(self._after, record.end)

        return served(
            calls, store, self._open_for, few=few, anew=anew, further=self._further, found=found
        )

    async def _open_for(self, tasks: Sequence[Task]) -> None:
        """Open the doors of these calls, and of those that will follow them."""
        if self._plan.calls.rendered is None:
            await self.open(plan_models(self._plan))
        else:
            await self.open({task.model for task in (*tasks, *follow_ups(self._plan))})

    async def _checked(self, calls: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """The calls; those of the first round are checked before any of them is made."""
        head: list[Any] | None = []
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

    def _check_offline(self, models: Iterable[Model]) -> None:
        real = [model for model in models if not self._providers[model.provider].simulated]
        if real and self._around.offline:
            raise RecordingMissing(
                f"{real[0]}: nothing may be asked of it, as {VARIABLE}=replay, and no file of "
                "recordings is named: %parallm recordings PATH, in the notebook"
            )

    def _check_prices(self, models: Iterable[Model]) -> None:
        if not self._budget.capped:
            return
        asked = set(models)
        for task in kinds(self._plan):
            real = task.model in asked and not self._providers[task.model.provider].simulated
            if real and (why := bill.unbounded(task)):
                raise OptionError(f"{self._budget.name}: {why}")

    def _worst(self, task: Task) -> Decimal:
        """The most that one try can cost; a model without a price was refused before."""
        simulated = self._providers[task.model.provider].simulated
        return Decimal(0) if simulated else most_of_try(task) or Decimal(0)

    def _laid_out(self, records: list[Record], kept: Mapping[int, Record]) -> list[Record]:
        """All records on one time axis, in the cell's order; new calls began after kept answers."""
        late = latest(record for record in records if record.replayed) - self._after
        if late > 0:  # known only now, as the items were not known before
            records = [record if record.replayed else later(record, late) for record in records]
        return sorted([*records, *kept.values()], key=lambda record: record.index)


def _clock_of(plan: Plan, around: RunContext, providers: Mapping[str, Provider]) -> Clock:
    """A virtual clock where no call takes real time, or none is made at all; else the loop's."""
    if around.recordings is not None and around.recordings.replays:
        return VirtualClock()
    if all(provider.simulated for provider in providers.values()):
        return VirtualClock(scale_of(plan_models(plan)))
    return Clock()


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def most_of_try(task: Task) -> Decimal | None:
    """US dollars that one try of a call can cost at most; None where no price is known."""
    params = task.params
    parts = [task.prompt, task.system or ""]
    if params:  # tools, schemas and further messages are read by the model as well
        parts.append(json.dumps(dict(params), default=str))
    size = sum(
        len(part) if part.isascii() else len(part.encode("utf-8", "replace")) for part in parts
    )
    most = max(task.max_tokens, *(_whole(params.get(name)) for name in LIMITS))
    most *= max(1, *(_whole(params.get(name)) for name in SEVERAL))
    return bill.worst(task.model, size, most, bill.asked_terms(task))


def follow_ups(plan: Plan) -> tuple[Task, ...]:
    """The calls that may follow the workers, their prompts still empty."""
    return tuple(each.task for each in (plan.judge, plan.synthesis) if each is not None)


def asides(plan: Plan) -> tuple[Task, ...]:
    """The calls that are no worker's."""
    return (*(task for guard in plan.guards for task in guard.tasks), *follow_ups(plan))


def kinds(plan: Plan) -> tuple[Task, ...]:
    """A call of every kind that the plan makes, its prompt perhaps still open."""
    return (*plan.calls.kinds, *asides(plan))


def plan_models(plan: Plan) -> tuple[Model, ...]:
    """Every model that the plan asks."""
    return tuple(dict.fromkeys([*plan.calls.models, *(task.model for task in asides(plan))]))


@contextlib.asynccontextmanager
async def open_workers(
    plan: Plan, around: RunContext, *, further: int = 0
) -> AsyncIterator[Workers]:
    """A plan's workers, ready to run.

    Args:
        further: how often the run has been taken up before.

    Raises:
        ParallmError: before any call, what cannot be done as it is asked for.
    """
    names = dict.fromkeys(model.provider for model in plan_models(plan))
    providers = {name: around.clients.provider(name) for name in names}
    workers = Workers(plan, around, providers, further)
    try:
        if around.recordings is None:
            await workers.open(plan_models(plan))
        yield workers
    finally:
        workers.close()


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
