"""Ask the calls of a run: the same for every pattern."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal

from parallm_magics.cell.plan import Plan, least_successes
from parallm_magics.core.tasks import Call, Event, Fault, Listener, Record, Status, Task, Usage
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.jobs import Engine
from parallm_magics.engine.rate_limits import MOST_SLOTS
from parallm_magics.engine.retries import Rules
from parallm_magics.patterns.ballots import CAME_BACK
from parallm_magics.patterns.call_jobs import CallJobs, Read
from parallm_magics.patterns.engines import LOCAL, engine_of
from parallm_magics.patterns.opening import OpenModels
from parallm_magics.patterns.record_sink import RecordSink
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.work_records import AtHand, OnDisk
from parallm_magics.recordings.replay import Replay, Source


class Workers:
    """Asks calls, takes what is recorded in their place, and keeps what they say.

    Attributes:
        tell: tells whoever listens to the run.
        notes: what the user should know of how they ran, one line each.
        models: who provides the models that they ask.
        sink: where their records are kept.
        end: when all that others wait for had ended, in seconds of the records.
        work_engine: makes the calls of the cell's workers.
    """

    def __init__(
        self, plan: Plan, context: RunContext, further: int, earlier: Sequence[Record] = ()
    ) -> None:
        """Refuse what a model cannot do, a cap that cannot be kept, a file that cannot be written.

        Args:
            further: how often the run has been taken up before.
            earlier: the records of the run that is taken up.

        Raises:
            ParallmError: nothing has been asked by then.
        """
        options, auxiliary = plan.options, plan.auxiliary
        self._calls, self._min_success = plan.calls, options.min_success
        self.work_engine = engine_of(plan, context)
        elsewhere = options.engine == "dask"
        self.models = OpenModels(
            plan.calls, auxiliary, context, options.max_cost, elsewhere=elsewhere
        )
        self.notes = list[str]()
        self.tell: Listener = context.tell or (lambda event: None)
        wanted, rpm, tpm = options.concurrency, options.rpm, options.tpm
        self._rules = Rules(wanted or MOST_SLOTS, asked=wanted is not None, rpm=rpm, tpm=tpm)
        self.end = 0.0
        self.sink = RecordSink(context, options.out_file, further, earlier)
        most = self._rules.concurrency
        self._jobs = CallJobs(plan, context, further, self.models, self.sink, self.notes, most)

    @property
    def replay(self) -> Replay:
        """What is recorded of their calls."""
        return self._jobs.replay

    async def open(self) -> None:
        """Open all models; where answers are recorded, those that are still to be asked come later."""
        if self.models.real and not self._jobs.lazily:
            await self.models.open(self.models.real)

    async def run(
        self,
        read: Read,
        counted: Collection[Status],
        before: Sequence[Record] = (),
        stop: Stop | None = None,
        *,
        on_disk: bool = False,
    ) -> Sequence[Record]:
        """One record for each call of the cell's workers, with its value, in the cell's order.

        Args:
            read: gives a record its value.
            counted: the statuses that are a success.
            before: the records of an earlier run, whose successes are kept.
            stop: stops these calls alone.
            on_disk: whether the records may lie in the folder that the out-file is, where it is one.
        """
        calls, parts = self._calls, self.sink.parts
        collector = (
            OnDisk(parts, calls, before) if on_disk and parts is not None else AtHand(before)
        )
        kept = collector.kept
        for earlier in collector.earlier():
            self.keep_earlier(earlier)
            await asyncio.sleep(0)
        known, least = None, 0
        if calls.known is not None:
            known = calls.known - len(kept)
            least = least_successes(self._min_success, calls.known) - len(kept)
        few = calls.rendered is not None
        rules = replace(
            self._rules,
            least=max(least, 0),
            counted=frozenset(counted),
            known=known,
            drain=few,
            models=len(calls.models),
        )
        source: Source = calls.read(kept)
        if calls.asynchronous:
            source = _checked(calls.read_async(kept), calls.size, self.models.check)
        await self._jobs.make(
            source,
            rules,
            stop,
            few=few,
            # Recorded as answers, these were none to whoever asks for a further try.
            anew=collector.came_back,
            read=read,
            engine=self.work_engine,
            collector=collector,
        )
        return collector.all(self._jobs.after if self._jobs.lazily else None)

    async def ask(
        self,
        calls: Sequence[Call],
        *,
        stop: Stop | None = None,
        heard: Callable[[Record], None] | None = None,
        least: int = 0,
        anew: Collection[int] = (),
        beside: bool = False,
        engine: Engine = LOCAL,
    ) -> list[Record]:
        """One record for each of a few calls, in their order.

        Args:
            calls: what is to be asked; a record is taken as it is.
            stop: stops these calls alone.
            heard: hears each record as soon as it is there.
            least: how many must come back; once out of reach nothing more is begun.
            anew: the places of those that are not to be served from a recording.
            beside: whether the calls are beside the work, so that kept answers do not delay them.
            engine: what makes the calls; see `work_engine`.
        """
        if not calls:
            return []
        rules = replace(
            self._rules,
            least=least,
            counted=frozenset(CAME_BACK),
            known=len(calls),
            models=len({str(call.model) for call in calls}),
        )
        return [
            *await self._jobs.make(
                calls, rules, stop, few=True, anew=anew, heard=heard, beside=beside, engine=engine
            )
        ]

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
        self._jobs.after = max([self._jobs.after, *(record.end for record in records)])
        for record in records:
            self.tell(Event("ended", record.index, 0.0, record=replace(record, replayed=True)))

    def release(self) -> None:
        """The guards have passed: what of the work was held back is kept, and may be shown."""
        for record in self.sink.release():
            self._jobs.forget(record)
        self.tell(Event("released", -1, 0.0))

    def unasked(
        self, task: Task, kind: Literal["cancelled", "blocked"], why: str, at: float = 0.0
    ) -> Record:
        """The record of a call that was not made, as it was not needed, or not allowed, from then on."""
        simulated = self.models.providers[task.model.provider].simulated
        times = {"start": at, "queued": at}
        return task.ended(kind, usage=Usage(), error=Fault(kind, why), simulated=simulated, **times)


async def _checked(
    calls: AsyncIterator[Call], size: int, check: Callable[[Task], None]
) -> AsyncIterator[Call]:
    """The calls; those of the first round are checked before any of them is made."""
    first: list[Call] = []
    async for call in calls:
        first.append(call)
        if len(first) == size:
            break
    for call in first:
        if isinstance(call, Task):
            check(call)
    for call in first:
        yield call
    async for call in calls:
        yield call
