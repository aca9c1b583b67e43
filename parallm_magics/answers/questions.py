"""What a decision model is asked: questions about one state, many of them in one request."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import overload

from parallm_magics.answers.label_probabilities import labels_of_reading
from parallm_magics.core.tasks import Call, Record, Task

MOST_QUESTIONS = 400
"""Most questions of one request."""
WHOLE = "Give the answer that the text asks for."
"""The instructions of a task whose prompt is one text: that is the state, and holds the question."""
WRAPPING_BYTES = 64
"""Most bytes that names and punctuation add to each text of a request, as the model reads it."""


def split_prompt(task: Task) -> tuple[str, str]:
    """Return the state that a task is about, and its instructions.

    The state is the rendered preamble and the instructions are the text below it. Where there is no
    text below it, or no preamble, the whole prompt is the state.
    """
    shared = task.shared
    if shared and task.prompt.startswith(shared):
        own = task.prompt[len(shared) :].strip("\n")
        if own:
            return shared, own
    return task.prompt, WHOLE


def sent_texts(task: Task) -> list[str]:
    """Return the texts of a request that its model reads, and so what its tokens are counted of."""
    if not task.model.decides:
        return [task.prompt, task.system or ""]
    texts = [split_prompt(task)[0]]
    for each in task.asked:
        labels = labels_of_reading(each.reading) if each.reading is not None else ()
        texts += [split_prompt(each)[1], *labels]
    return texts


@overload
def gathered(calls: Iterable[Call], size: int, tell: Callable[[str], None]) -> Iterable[Call]: ...
@overload
def gathered(
    calls: Iterable[Call] | AsyncIterable[Call], size: int, tell: Callable[[str], None]
) -> Iterable[Call] | AsyncIterable[Call]: ...
def gathered(
    calls: Iterable[Call] | AsyncIterable[Call], size: int, tell: Callable[[str], None]
) -> Iterable[Call] | AsyncIterable[Call]:
    """Return the calls, those of one decision model about one state as one call.

    Args:
        size: how many calls a round has; calls of two rounds are never one request. 0 for one round.
        tell: told in a line where a request would be too large.
    """
    requests = _Requests(size, tell)
    if isinstance(calls, AsyncIterable):
        return _gathered_later(calls, requests)
    return _gathered_now(calls, requests)


def requests_of(tasks: Iterable[Task]) -> dict[int, frozenset[int]]:
    """Return for each place that is asked in one request with others all places of that request."""
    asked = [
        call.questions for call in gathered(tasks, 0, lambda told: None) if isinstance(call, Task)
    ]
    found = [frozenset(each.index for each in questions) for questions in asked]
    return {place: places for places in found for place in places}


def _gathered_now(calls: Iterable[Call], requests: _Requests) -> Iterator[Call]:
    for call in calls:
        yield from requests.take(call)
    yield from requests.rest()


async def _gathered_later(calls: AsyncIterable[Call], requests: _Requests) -> AsyncIterator[Call]:
    async for call in calls:
        for ready in requests.take(call):
            yield ready
    for ready in requests.rest():
        yield ready


class _Requests:
    """The requests of the round that is being read."""

    def __init__(self, size: int, tell: Callable[[str], None]) -> None:
        self._size, self._tell = size, tell
        self._round = -1
        self._open: dict[Hashable, list[Task]] = {}

    def take(self, call: Call) -> list[Call]:
        """Take in a call, and return those that may begin."""
        now = call.index // self._size if self._size else 0
        ready = self.rest() if now != self._round else []
        self._round = now
        if isinstance(call, Record) or not call.model.decides:
            ready.append(call)
        else:
            self._open.setdefault(_request(call), []).append(call)
        if self._size and call.index % self._size == self._size - 1:
            ready += self.rest()
        return ready

    def rest(self) -> list[Call]:
        """Return the requests that are open."""
        ready: list[Call] = []
        for tasks in self._open.values():
            parts = range(0, len(tasks), MOST_QUESTIONS)
            if len(parts) > 1:
                self._tell(
                    f"{tasks[0].model}: {len(tasks):,} questions about one text are asked in {len(parts)} requests, "
                    f"as one takes at most {MOST_QUESTIONS}"
                )
            for at in parts:
                part = tuple(tasks[at : at + MOST_QUESTIONS])
                ready.append(replace(part[0], questions=part))
        self._open.clear()
        return ready


def _request(task: Task) -> Hashable:
    """Return the same for questions that can be asked in one request."""
    state, _ = split_prompt(task)
    limits = (task.silence, task.first, task.deadline, task.retries, task.retry_timeouts)
    params = repr(sorted(task.params.items()))
    return (task.model, task.role, state, params, task.seed, limits)
