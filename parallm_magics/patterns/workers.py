"""Ask the calls of a run: the same for every pattern."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Literal

from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.core.provider import Provider
from parallm_magics.core.tasks import Call, Event, Fault, Model, Record, Status, Task, Usage
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import MOST_SLOTS, RateLimit, Slots
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.opening import OpenModels
from parallm_magics.patterns.record_sink import RecordSink
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers import bill
from parallm_magics.recordings.replay import Source, looked_up, served

Read = Callable[[Record], Record]


class Workers:
    """Asks calls, takes what is recorded in their place, and keeps what they say.

    Attributes:
        notes: what the user should know of how they ran, one line each.
        models: who provides the models that they ask.
        sink: where their records are kept.
        clock: the run's clock.
        end: when all that others wait for had ended, in seconds of the records.
    """

    def __init__(self, plan: Plan, context: RunContext, further: int) -> None:
        """Refuse what a model cannot do, a cap that cannot be kept, a file that cannot be written.

        Args:
            further: how often the run has been taken up before.

        Raises:
            ParallmError: nothing has been asked by then.
        """
        self._calls, self._options = plan.calls, plan.options
        self._context, self._store, self._further = context, context.recordings, further
        auxiliary = plan.auxiliary
        self._follow_ups = [task for task in auxiliary if task.role != "guard"]
        self.models = OpenModels(plan.calls, auxiliary, context, plan.options.max_cost)
        self.notes: list[str] = []
        self.clock = self.models.clock()
        self._slots = Slots(plan.options.concurrency or MOST_SLOTS, self.clock)
        self._after = 0.0  # the end of the kept answers, as far as known before the first call
        self.end = 0.0
        self.sink = RecordSink(context, plan.options.out_file, further)

    async def open(self) -> None:
        """Open all models; where answers are recorded, those that are still to be asked come later.

        Raises:
            ParallmError: nothing has been asked by then.
        """
        if self._store is None:
            await self.models.open(self.models.models)

    def close(self) -> None:
        """Finish the file, and say what went wrong with what was to be kept."""
        self.notes += self.sink.close()

    async def run(
        self,
        read: Read,
        counted: Collection[Status],
        before: Sequence[Record] = (),
        stop: Stop | None = None,
    ) -> list[Record]:
        """One record for each call of the cell's workers, with its value, in the cell's order.

        Args:
            read: gives a record its value.
            counted: the statuses that are a success.
            before: the records of an earlier run, whose successes are kept.
            stop: stops these calls alone.
        """
        calls, kept = self._calls, {record.index: record for record in before if record.ok}
        if kept:
            self.keep_earlier([*kept.values()])
        enough = 0
        if calls.known is not None:
            enough = least_successes(self._options.min_success, calls.known) - len(kept)
        few = calls.rendered is not None
        rules = self._rules(
            least=max(enough, 0),
            counted=frozenset(counted),
            known=None if calls.known is None else calls.known - len(kept),
            drain=few,
            models=len(calls.models),
        )
        source: Source = calls.read(kept)
        if calls.asynchronous:
            source = self._checked(calls.read_async(kept))
        if self._store is not None:
            # Recorded as answers, these were none to whoever asks for a further try.
            anew = {record.index for record in before if record.status in CAME_BACK}
            source = self._served(source, few, anew)
        records = await self._schedule(source, rules, stop, read=read)
        late = max((r.end for r in records if r.replayed), default=0.0) - self._after
        if late > 0:  # known only now, as the items were not known before
            records = [record if record.replayed else _later(record, late) for record in records]
        if not kept:
            return records
        return sorted([*records, *kept.values()], key=lambda record: record.index)

    async def ask(
        self,
        calls: Sequence[Call],
        *,
        stop: Stop | None = None,
        heard: Callable[[Record], None] | None = None,
        least: int = 0,
        anew: Collection[int] = (),
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
        source: Source = calls
        if self._store is not None:
            source = self._served(calls, few=True, anew=anew, delays=not beside)
        return await self._schedule(source, rules, stop, heard=heard, beside=beside)

    async def follow(self, tasks: Sequence[Task], anew: Collection[int] = ()) -> list[Record]:
        """One record for each of a few calls that begin after all others, such as a synthesis."""
        since = round(self.end, 6)
        records = await self.ask(tasks, anew=anew)
        # Kept answers have taken none of this run's time.
        records = [replace(record, start=max(record.start, since)) for record in records]
        self.end = max([self.end, *(record.end for record in records)])
        return records

    def keep_earlier(self, records: Sequence[Record]) -> None:
        """Answers of an earlier run stand where they stood; new calls begin after them."""
        self._after = max([self._after, *(record.end for record in records)])
        for record in records:
            self.tell(Event("ended", record.index, 0.0, record=replace(record, replayed=True)))

    def release(self) -> None:
        """The guards have passed: what of the work was held back is kept, and may be shown."""
        for record in self.sink.release():
            self._forget(record)
        self.tell(Event("released", -1, 0.0))

    def tell(self, event: Event) -> None:
        """Tell whoever listens to the run."""
        if self._context.tell is not None:
            self._context.tell(event)

    async def recorded(self, tasks: Sequence[Task], anew: Collection[int] = ()) -> list[Record]:
        """The records that are kept of these calls, in the order in which they had ended."""
        if self._store is None:
            return []
        calls = looked_up(tasks, self._store, anew, self._further)
        found = [call async for call in calls if isinstance(call, Record)]
        # Cancelled at the moment at which others had ended, so after them.
        return sorted(found, key=lambda r: (r.status == "cancelled", r.end, r.index))

    def outcome(self, task: Task) -> Record | None:
        """How a call that is not needed now had ended when it was last made, if that is kept."""
        return None if self._store is None else self._store.outcome(task, self._further)

    def unasked(
        self, task: Task, kind: Literal["cancelled", "blocked"], why: str, at: float = 0.0
    ) -> Record:
        """The record of a call that was not made, as it was not needed, or not allowed, from then on."""
        return task.ended(
            kind,
            usage=Usage(),
            error=Fault(kind, why),
            simulated=self._provider(task.model).simulated,
            start=at,
            queued=at,
        )

    async def _schedule(
        self,
        source: Source,
        rules: Rules,
        stop: Stop | None,
        *,
        read: Read | None = None,
        heard: Callable[[Record], None] | None = None,
        beside: bool = False,
    ) -> list[Record]:
        def finish(task: Task | None, record: Record) -> Record:
            if task is not None:  # as it is recorded too, so that a replay is laid out alike
                address = self._provider(task.model).address
                record = replace(record, address=address) if address else record
                record = record if beside or not self._after else _later(record, self._after)
            record = record if read is None else read(record)
            if self.sink.keep(task, record):
                self._forget(record)
            if heard is not None:
                heard(record)
            return record

        scheduler = Scheduler(
            source,
            Routes(self._provider, self._limit_of),
            rules,
            Accounts(bill.price, finish, self.models.budget),
            self._context.tell,
            stop or self._context.stop,
            self._slots,
        )
        return await scheduler.run()

    def _forget(self, record: Record) -> None:
        """What has its answer need not be asked in a further try; blocked work may have to be."""
        if record.ok and not self._further and self._calls.once:
            self._calls.forget(record.index)

    def _provider(self, model: Model) -> Provider:
        return self.models.providers[model.provider]

    def _limit_of(self, provider: Provider) -> RateLimit:
        return self._context.rate_limits.of(provider, self.clock)

    def _rules(self, **more: Any) -> Rules:
        options = self._options
        asked = options.concurrency is not None
        return Rules(self._slots.most, asked=asked, rpm=options.rpm, tpm=options.tpm, **more)

    def _served(
        self, calls: Source, few: bool, anew: Collection[int], delays: bool = True
    ) -> Source:
        """The calls, with the record in place of one that has been answered before."""
        assert self._store is not None

        def found(record: Record) -> None:
            if few and delays:
                self._after = max(self._after, record.end)

        return served(
            calls,
            self._store,
            self._open_for,
            few=few,
            anew=anew,
            further=self._further,
            found=found,
        )

    async def _open_for(self, tasks: Sequence[Task]) -> None:
        """Open the models of these calls, and of those that will follow them."""
        if self._calls.rendered is None:
            await self.models.open(self.models.models)
        else:
            await self.models.open({task.model for task in (*tasks, *self._follow_ups)})

    async def _checked(self, calls: AsyncIterable[Call]) -> AsyncIterator[Call]:
        """The calls; those of the first round are checked before any of them is made."""
        first: list[Call] = []
        async for call in calls:
            first.append(call)
            if len(first) == self._calls.size:
                break
        for call in first:
            if isinstance(call, Task):
                self._provider(call.model).check(call)
        for call in first:
            yield call
        async for call in calls:
            yield call


def _later(record: Record, seconds: float) -> Record:
    """The record, begun so much later."""
    return replace(record, start=round(record.start + seconds, 6))
