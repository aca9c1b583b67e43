"""How calls become jobs of an engine: what is recorded is served in their place, and each record is kept."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import cached_property

from parallm_magics.answers.questions import gathered
from parallm_magics.cell.plan import Plan
from parallm_magics.core.tasks import Record, Task
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.collectors import Collector, InMemory
from parallm_magics.engine.garbage import FEWER_COLLECTIONS
from parallm_magics.engine.jobs import Engine, Job
from parallm_magics.engine.rate_limits import Slots
from parallm_magics.engine.retries import Rules
from parallm_magics.patterns.engines import LOCAL
from parallm_magics.patterns.opening import OpenModels
from parallm_magics.patterns.record_sink import RecordSink
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.patterns.work_records import later
from parallm_magics.providers import bill
from parallm_magics.recordings.replay import Replay, Source

Read = Callable[[Record], Record]


class CallJobs:
    """Has the calls of one run made, whichever engine makes them.

    Attributes:
        after: the end of the kept answers, as far as it is known: new calls begin after them.
        lazily: whether answers are recorded, so that models are opened only for calls that are made.
    """

    def __init__(
        self,
        plan: Plan,
        context: RunContext,
        further: int,
        models: OpenModels,
        sink: RecordSink,
        notes: list[str],
        most: int,
    ) -> None:
        """Take what the calls of a run have in common.

        Args:
            further: how often the run has been taken up before.
            notes: takes what the user should know of how they were asked.
            most: calls at once.
        """
        self._calls, self._context, self._further = plan.calls, context, further
        self._models, self._sink, self._notes = models, sink, notes
        self._slots = Slots(most, models.clock)
        self._forgets = plan.calls.once and not further
        self._follow_ups = [task.model for task in plan.auxiliary if task.role != "guard"]
        self.after, self.lazily = 0.0, context.recordings is not None

    @cached_property
    def replay(self) -> Replay:
        """What is recorded of the calls."""
        return Replay(self._context.recordings, self._further)

    def forget(self, record: Record) -> None:
        """Keep no call for a further try that has its answer; blocked work may have to be tried."""
        if self._forgets and record.ok:
            self._calls.forget(record.index)

    async def make(
        self,
        source: Source,
        rules: Rules,
        stop: Stop | None,
        *,
        few: bool,
        anew: Container[int],
        read: Read | None = None,
        heard: Callable[[Record], None] | None = None,
        beside: bool = False,
        engine: Engine = LOCAL,
        collector: Collector | None = None,
    ) -> Sequence[Record]:
        """One record a call; see `Workers.run` and `Workers.ask`."""

        def found(record: Record) -> None:
            if few and not beside:
                self.after = max(self.after, record.end)

        def finish(task: Task | None, record: Record) -> Record:
            if task is not None and self.after and not beside:
                # As it is recorded too, so that a replay is laid out alike.
                record = later(record, self.after)
            record = record if read is None else read(record)
            if self._sink.keep(task, record):
                self.forget(record)
            if heard is not None:
                heard(record)
            return record

        if self.lazily:
            source = self.replay.served(source, self._open, few=few, anew=anew, found=found)
        if self._models.decide:
            source = gathered(source, 0 if read is None else self._calls.size, self._notes.append)
        job = Job(
            source,
            Routes(
                lambda model: self._models.providers[model.provider],
                lambda provider: self._context.rate_limits.of(provider, self._models.clock),
            ),
            rules,
            Accounts(bill.price, finish, self._models.budget),
            self._context.tell,
            stop or self._context.stop,
            self._slots,
            collector or InMemory(),
        )
        with FEWER_COLLECTIONS:
            return await engine.run(job)

    async def _open(self, tasks: Sequence[Task]) -> None:
        """Open the models of these calls, and of those that will follow them."""
        if self._calls.rendered is None:
            await self._models.open(self._models.real)
        else:
            await self._models.open({*(task.model for task in tasks), *self._follow_ups})
