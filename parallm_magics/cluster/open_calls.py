"""The calls of a job that are under way on a cluster, and the records that have come of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from parallm_magics.answers.read_answer import read_whole
from parallm_magics.answers.reading_kinds import KINDS
from parallm_magics.cluster.simulated_order import SimulatedOrder
from parallm_magics.core.cluster_workers import ClusterWorker
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Event, Fault, Record, Task
from parallm_magics.engine.jobs import Job
from parallm_magics.engine.question_records import question_records
from parallm_magics.engine.retries import UNPAID_CALLS
from parallm_magics.engine.worker import Worker


class OpenCalls:
    """Every call comes to one record: the first that arrives.

    Attributes:
        deadline: seconds that a call of the job has as a whole.
        models: the models that were asked.
        sent, came: how many calls were sent, and how many records have come of them.
    """

    def __init__(self, job: Job) -> None:
        """Take whose records they are."""
        self.deadline = 0.0
        self.sent = self.came = 0
        self._job, self._clock = job, job.slots.clock
        self._tasks: dict[int, Task] = {}  # by the place of each record that is still to come
        self._chunks: dict[int, dict[int, Task]] = {}
        self.models: dict[Model, None] = {}
        self._lost = self._unpaid = 0
        self._hopeless: Fault | None = None
        self._order = SimulatedOrder(job.rules, self._finish_all) if self._clock.virtual else None

    @property
    def under_way(self) -> int:
        """How many records are still to come of calls that were sent."""
        return len(self._tasks)

    def model_of(self, provider: str) -> Model:
        """A model of this provider that was asked."""
        return next(model for model in self.models if model.provider == provider)

    @property
    def knows_all_models(self) -> bool:
        """Whether each model of the job was asked."""
        return len(self.models) >= self._job.rules.models

    def out_of_reach(self) -> Fault | None:
        """Why no further call is wanted; None where it may be."""
        if self._hopeless is not None:
            return self._hopeless
        rules = self._job.rules
        if rules.known is not None and self._lost > rules.known - rules.least:
            return Fault("cancelled", "not asked: too many workers failed")
        return None

    def give_up(self, why: Fault) -> None:
        """No further call can be made."""
        self._hopeless = self._hopeless or why

    def send(self, number: int, tasks: Sequence[Task]) -> None:
        """These calls are a chunk of this number."""
        self._chunks[number] = {task.asked[0].index: task for task in tasks}
        for task in tasks:
            if task.asked[0].index in self._tasks:
                continue  # it was a call of another chunk before
            self.sent += 1
            self.models[task.model] = None
            self.deadline = max(self.deadline, task.deadline)
            self._tasks.update({each.index: task for each in task.asked})
            if self._order is not None:
                self._order.expect(task)

    def done(self, number: int) -> list[int]:
        """The places of a chunk's calls that have their records."""
        chunk = self._chunks.get(number, {})
        return [index for index in chunk if index not in self._tasks]

    def take_back(self, number: int) -> list[Task]:
        """The calls of a chunk that have no record, to be sent once more; none where nothing has come of it."""
        chunk = self._chunks.get(number, {})
        left = [task for index, task in chunk.items() if index in self._tasks]
        if len(left) == len(chunk):
            return []
        del self._chunks[number]
        return left

    def known(self, record: Record) -> None:
        """A call is not made, as its record is there."""
        self._finish(None, record)

    def refuse(self, task: Task, fault: Fault) -> None:
        """A call is not made."""
        self._finish_request(task, self._stopped(task, fault, asked=False))

    def take(self, record: Record) -> None:
        """A record has come; one that came before it counts."""
        task = self._tasks.pop(record.index, None)
        if task is None:
            return
        self.came += 1
        if self._order is not None:
            self._order.take(task, record)
        else:
            self._finish(_question(task, record.index), record)

    def close(self, number: int, fault: Fault | None, *, left_out: bool) -> None:
        """A chunk is over: its calls without a record get one that says why, or are left out."""
        for index, task in self._chunks.pop(number, {}).items():
            if index not in self._tasks:
                continue
            for each in task.asked:
                self._tasks.pop(each.index, None)
            if self._order is not None:
                self._order.drop(task)
            if not left_out:
                why = fault or Fault("cancelled", "not asked")
                self._finish_request(task, self._stopped(task, why, asked=fault is not None))

    def stop_all(self, fault: Fault) -> None:
        """No further record is waited for."""
        for number in list(self._chunks):
            self.close(number, fault, left_out=False)

    def tell(self, event: Event) -> None:
        """Something has happened to a call."""
        task = self._tasks.get(event.index)
        if task is None or self._job.tell is None:
            return
        if event.kind == "started":
            asked = _question(task, event.index)
            event = Event("started", event.index, event.at, task=asked)
        with contextlib.suppress(Exception):  # a listener's mistake must not lose answers
            self._job.tell(event)

    def show(self, workers: Sequence[ClusterWorker]) -> None:
        """Tell how the workers stand."""
        if self._job.tell is not None:
            with contextlib.suppress(Exception):
                self._job.tell(Event("cluster", -1, 0.0, cluster=tuple(workers)))

    def say(self, text: str) -> None:
        """Tell the user a line about the run."""
        if self._job.tell is not None:
            with contextlib.suppress(Exception):
                self._job.tell(Event("said", -1, 0.0, text))

    def _stopped(self, task: Task, fault: Fault, *, asked: bool) -> Record:
        """The record of a call that was not let finish, or not let begin."""
        now, slots = self._clock.now(), self._job.slots
        began = now if slots.began is None else slots.began
        provider = self._job.routes.provider(task.model)
        worker = Worker(task, provider, self._clock, began, 0.0)
        return self._job.accounts.stopped(worker, fault, now, asked=asked)

    def _finish_request(self, task: Task, record: Record) -> None:
        if not task.questions:
            self._finish(task, record)
            return
        for question, own in question_records(task, record, None):
            self._finish(question, own)

    def _finish_all(self, task: Task, records: Iterable[Record]) -> None:
        for record in records:
            self._finish(_question(task, record.index), record)

    def _finish(self, task: Task | None, record: Record) -> None:
        """Give a record its last form, and keep it."""
        if task is not None:
            record = _with_object(task, record)
        with contextlib.suppress(Exception):  # a reader's mistake must not lose an answer
            record = self._job.accounts.finish(task, record)
        self._job.collector.add(record)
        if record.status not in self._job.rules.counted:
            self._lost += 1
        fault = record.error
        self._unpaid = self._unpaid + 1 if fault is not None and fault.kind == "budget" else 0
        if fault is not None and self._unpaid >= UNPAID_CALLS:
            self.give_up(fault)
        if self._job.tell is not None:
            with contextlib.suppress(Exception):
                self._job.tell(Event("ended", record.index, record.end, record=record))


def _question(task: Task, index: int) -> Task:
    """Which of the tasks that a call answers stands at this place."""
    if not task.questions:
        return task
    return next(each for each in task.asked if each.index == index)


def _with_object(task: Task, record: Record) -> Record:
    """The record with the object of its answer: the user's class is here, and not on the workers."""
    reading = task.reading
    if reading is None or KINDS[reading.kind].whole is None:
        return record
    unread = record.error is not None and record.error.kind == "unreadable"
    if not (record.ok or unread):
        return record
    answer = read_whole(record.text, reading)
    if answer.state == "valid":
        return replace(record, status="ok", error=None, value=answer.value)
    if record.ok and answer.state == "invalid":
        return replace(record, status="invalid", error=Fault("unreadable", answer.problem))
    return record
