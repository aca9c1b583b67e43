"""A provider that asks no model: its answers, times and failures are simulated or given."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from parallm_magics.answers.label_probabilities import refuse_undecidable
from parallm_magics.answers.questions import sent_texts
from parallm_magics.core.foreign_text import mended
from parallm_magics.core.models import Model
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import CHARS_PER_TOKEN, Fault, Task, Usage
from parallm_magics.engine.clock import running_clock
from parallm_magics.simulation import draws as simulation
from parallm_magics.simulation.objects import check_object, object_answer
from parallm_magics.simulation.sim_settings import Settings, read_settings
from parallm_magics.simulation.simulated_batches import SimulatedBatches
from parallm_magics.simulation.simulated_decisions import check_decision, decided
from parallm_magics.simulation.user_answers import (
    Answers,
    check_answers,
    find_answer,
    user_answer,
)

MOST_PIECES = 20  # so that a thousand streaming workers stay cheap
BATCH_PACE = 600  # simulated seconds of a batch in one of a single call
FIRST_TOKEN = 0.3  # of the latency
REFUSED = f"{simulation.MARK} refused"


class SimulatedProvider:
    """A simulated model for teaching and tests.

    The same task gives the same answer, latency and fate in every process. Times are simulated:
    a call sleeps latency times `scale` and reports the latency, and the task's limits are compared
    with the latency. A call that `fail` picks fails however often it is tried: its fault is that
    of an overloaded provider, yet trying again is pointless.
    """

    simulated = True
    local = False
    address = ""

    def __init__(self, answers: Answers | None = None) -> None:
        """Take the answers to give: a dict or a function; without an answer one is simulated.

        Raises:
            ModelError: the answers hold something else than texts; names the key.
        """
        check_answers(answers)
        self._answers = answers
        self._batches = SimulatedBatches(self._batched)

    def check(self, task: Task) -> None:
        """Refuse parameters that cannot be used, before any call.

        Raises:
            ModelError: names the parameter, the nearest known one and the form.
        """
        settings = read_settings(task.model)
        if settings.sharpness is not None:
            refuse_undecidable(task)
            check_decision(task, settings)
        if task.reading is None or task.reading.schema is None:
            simulation.right_answer(task, settings)
        elif self._answers is None:
            check_object(task, settings)
        if isinstance(self._answers, Mapping):
            find_answer(self._answers, task)

    @property
    def account(self) -> str:
        """Nobody shares a simulation's limits: it has none."""
        return f"simulated {id(self)}"

    def caches(self, task: Task) -> bool:
        """Nothing is cached."""
        return False

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def complete(self, task: Task, heard: Heard) -> Reply:
        """Answer after the simulated time.

        Raises:
            CallFailed: the call was drawn to fail, a limit of the task passed in simulated time,
                or the function of given answers failed.
        """
        settings = read_settings(task.model)
        if task.questions:
            return await self._answers_of(task, settings, heard)
        seconds = simulation.latency(task, settings)
        end = await self._end(task, settings)
        time = _SimulatedTime(task, settings.scale)
        if isinstance(end, CallFailed) and end.seconds is not None:
            if time.virtual:  # in real time the user's function has taken it already
                await time.reach(end.seconds)
            raise end
        text = "" if isinstance(end, CallFailed) else end.text
        await _say(task, text, seconds, time, heard)
        name = str(task.model)
        if isinstance(end, CallFailed):
            usage = end.usage or Usage()
            raise CallFailed(end.fault, text=end.text, usage=usage, model=name, seconds=seconds)
        return replace(end, usage=_usage(task, text), model=name, seconds=seconds)

    async def _answers_of(self, task: Task, settings: Settings, heard: Heard) -> Reply:
        """Answer all questions of one request, after the time that its first one takes."""
        seconds, time = simulation.latency(task, settings), _SimulatedTime(task, settings.scale)
        fails = simulation.fate(task, settings) == "fail"  # what fails is the request
        settings = settings if fails else replace(settings, fail=0.0)
        ends = [await self._end(each, settings) for each in task.questions]
        await _say(replace(task, stream=False), "", seconds, time, heard)
        usage, name = _usage(task, ""), str(task.model)
        if fails and isinstance(ends[0], CallFailed):
            raise CallFailed(ends[0].fault, usage=usage, model=name, seconds=seconds)
        answers = tuple(end.fault if isinstance(end, CallFailed) else end for end in ends)
        return Reply("", usage=usage, model=name, seconds=seconds, answers=answers)

    async def _end(self, task: Task, settings: Settings) -> Reply | CallFailed:
        """How the call is to end, as soon as its time is over."""
        fate = simulation.fate(task, settings)
        if fate == "fail":
            return CallFailed(Fault("server", "simulated failure (HTTP 500)", http=500))
        if fate == "refuse":
            return Reply(REFUSED, "refusal")
        try:
            said = None if self._answers is None else await user_answer(self._answers, task)
        except CallFailed as error:
            return error
        if said is not None:
            return Reply(mended(said))
        if settings.sharpness is not None:
            text, probabilities = decided(task, settings)
            return Reply(text, probabilities=probabilities)
        return Reply(_made_up(task, settings))

    def batches(self) -> SimulatedBatches:
        """Its batches, all of them as long as it lives."""
        return self._batches

    async def _batched(self, task: Task) -> Reply | CallFailed:
        """How a call within a batch ends, which has no time of its own."""
        end = await self._end(task, read_settings(task.model))
        usage, name = _usage(task, end.text), str(task.model)
        if isinstance(end, Reply):
            return replace(end, usage=usage, model=name)
        return CallFailed(end.fault, text=end.text, usage=Usage(), model=name)

    async def close(self) -> None:
        """Nothing is held."""


def _made_up(task: Task, settings: Settings) -> str:
    """The text of an answer that nobody has given."""
    is_object = task.reading is not None and task.reading.schema is not None
    return object_answer(task, settings) if is_object else simulation.answer(task, settings)


def scale_of(models: Iterable[Model], *, batched: bool = False) -> float:
    """The real seconds that a simulated one takes in a run of these models: the most that one asks for.

    Args:
        batched: whether the run is made of batches: nobody waits an hour to see one.
    """
    scale = max((read_settings(model).scale for model in models), default=0.0)
    return scale / BATCH_PACE if batched else scale


class _SimulatedTime:
    """The moments of one call, counted from its beginning on the clock of its run.

    Attributes:
        virtual: whether that clock is.
    """

    def __init__(self, task: Task, scale: float) -> None:
        self._clock = running_clock()
        self.virtual = self._clock.virtual
        self._scale = 1.0 if self.virtual else scale
        self._began = self._clock.now()
        self._place = task.index

    async def reach(self, moment: float) -> None:
        """Sleep until the moment; beside real calls with scale 0 every moment has come."""
        if self._scale:
            await self._clock.sleep_until(self._began + moment * self._scale, self._place)
        else:
            await asyncio.sleep(0)  # even an answer that takes no time lets others run


@dataclass(frozen=True, slots=True)
class _Course:
    """What becomes of a call in simulated time.

    Attributes:
        pieces: what is heard, each with its moment.
        end: when the call ends.
        late: why it has timed out; "" where it has not.
    """

    pieces: tuple[tuple[float, str], ...]
    end: float
    late: str = ""


def _course(task: Task, text: str, seconds: float) -> _Course:
    """How an answer that takes so long comes under the task's limits."""
    heard: list[tuple[float, str]] = []
    now, limit, silent = 0.0, task.first, f"no answer within {task.first:g} s (simulated)"
    for moment, piece in (*(_moments(text, seconds) if task.stream else ()), (seconds, "")):
        limit, why = min(
            (now + limit, silent),
            (task.deadline, f"no answer within {task.deadline:g} s (simulated)"),
        )
        if moment > limit:
            return _Course(tuple(heard), round(limit, 6), why)
        now = moment
        if piece:
            heard.append((moment, piece))
            limit, silent = task.silence, f"silent for {task.silence:g} s (simulated)"
    return _Course(tuple(heard), seconds)


async def _say(task: Task, text: str, seconds: float, time: _SimulatedTime, heard: Heard) -> None:
    """Let the answer's pieces be heard at their moments, and its end come at `seconds`.

    Raises:
        CallFailed: a limit of the task passes first.
    """
    course = _course(task, text, seconds)
    for moment, piece in course.pieces:
        await time.reach(moment)
        heard(piece)
    await time.reach(course.end)
    if course.late:
        said = "".join(piece for _, piece in course.pieces)
        raise CallFailed(
            Fault("timeout", course.late),
            text=said,
            usage=_usage(task, said),
            model=str(task.model),
            seconds=course.end,
        )


def _moments(text: str, seconds: float) -> Iterator[tuple[float, str]]:
    """The pieces of an answer with their moments: the first early, the last at the end."""
    words = re.findall(r"\S+\s*|\s+", text)
    step = math.ceil(len(words) / MOST_PIECES) or 1
    pieces = ["".join(words[at : at + step]) for at in range(0, len(words), step)]
    for place, piece in enumerate(pieces):
        share = place / (len(pieces) - 1) if place else 0.0
        yield seconds * (FIRST_TOKEN + (1 - FIRST_TOKEN) * share), piece


def _usage(task: Task, text: str) -> Usage:
    """The tokens of prompt and answer, estimated."""
    took = math.ceil(sum(map(len, sent_texts(task))) / CHARS_PER_TOKEN)
    return Usage(took, output_tokens=math.ceil(len(text) / CHARS_PER_TOKEN))
