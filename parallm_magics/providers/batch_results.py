"""What became of the requests of a batch, read line by line out of files that may hold anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from parallm_magics.core.batches import AT_BATCH_PRICE, BatchRequest, BatchResult
from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.models import Model
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Fault, Task, Usage
from parallm_magics.providers.batch_lines import Line, lines_of
from parallm_magics.providers.body import Body
from parallm_magics.providers.error_body import read_error
from parallm_magics.providers.faults import fault_of_answer
from parallm_magics.providers.json_values import mapping, string
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.receiving import instead
from parallm_magics.providers.speech import Speech

GOOD = frozenset({200, 201, 203})
TURN_SECONDS = 0.02
"""How long results are read, with all that their reader does with them, before others may run."""
_EXPIRED: tuple[FaultKind, str] = ("timeout", "the batch expired before this request was done")
_CANCELLED: tuple[FaultKind, str] = (
    "cancelled",
    "the batch was cancelled before this request was done",
)
NEVER = {
    "expired": _EXPIRED,
    "batch_expired": _EXPIRED,
    "canceled": _CANCELLED,
    "batch_cancelled": _CANCELLED,
}
"""Why requests are not done, by the words of both SDKs; nothing is paid for them."""


def never(kind: str, host: str) -> Fault:
    """Why a request has never been done, by a word of `NEVER`."""
    why, words = NEVER[kind]
    return Fault(why, f"{host}: {words}")


NOBODY = Task(0, "", Model("", ""), "", stream=False)
"""Stands for what was asked where nobody knows it."""


class Told(NamedTuple):
    """What a line of the results says of one request.

    Attributes:
        body: the answer, or the error in its place.
        status: the HTTP status that it has, or stands for.
        request_id: the provider's id of the request.
        fault: why it was never asked; None where it was.
    """

    body: Any = None
    status: int = 200
    request_id: str | None = None
    fault: Fault | None = None


class ResultReader:
    """Reads the files of results of one batch."""

    def __init__(
        self,
        speech: Speech,
        told: Callable[[Mapping[str, Any]], Told | None],
        fault_of: Callable[[BaseException], Fault],
    ) -> None:
        """Take how the provider is spoken to.

        Args:
            told: what a line says of one request; None where it says nothing of any.
            fault_of: the fault that an exception stands for while a file is read.
        """
        self._speech, self._told, self._fault_of = speech, told, fault_of
        self._host = speech.asked.host
        self._known: dict[str, Task] = {}

    async def read(
        self, files: Sequence[Any], tasks: Sequence[BatchRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results in these files, each a call of the SDK's with a streaming response.

        Raises:
            CallFailed: after all that could be read, where some of it could not.
        """
        self._known = {request.id: request.task for request in tasks}
        faults: list[Fault] = []
        bad, now = _Unreadable(self._host), asyncio.get_running_loop().time
        turn = now()
        for file in files:
            try:
                async with contextlib.aclosing(self._lines(file)) as lines:
                    async for line in lines:
                        if (result := self._result(line)) is None:
                            bad.add(line)
                        else:
                            yield result
                        if now() - turn > TURN_SECONDS:
                            await asyncio.sleep(0)
                            turn = now()
            except CallFailed as failed:  # another file may still be read
                faults.append(failed.fault)
        if faults := [*faults, *bad.faults()]:
            raise CallFailed(faults[0])

    async def _lines(self, call: Any) -> AsyncGenerator[Line]:
        """The lines of a file of results.

        Raises:
            CallFailed: it cannot be read, or not to its end.
        """
        try:
            async with call as opened:
                response = opened.http_response
                body = Body(response, most=None)
                if response.status_code in GOOD:
                    async for line in lines_of(body):
                        yield line
                    return
                what = instead("results", body, response.status_code)
                fault = Fault("not_an_answer", f"{self._host}: {what}")
        except Exception as exc:
            fault = self._fault_of(exc)
        raise CallFailed(fault)

    def _result(self, line: Line) -> BatchResult | None:
        """What a line says of one request; None where it says nothing of any."""
        if line.long and line.id:
            why = f"{self._host}: the answer in the batch is larger than any answer may be"
            return BatchResult(
                line.id, CallFailed(Fault("not_an_answer", why), terms=AT_BATCH_PRICE)
            )
        data = mapping(line.value)
        name, told = string(data.get("custom_id")), self._told(data)
        if not name or told is None:
            return None
        return BatchResult(name, self._end(self._known.get(name, NOBODY), told))

    def _end(self, task: Task, told: Told) -> Reply | CallFailed:
        """What one request comes to, read as an answer by itself."""
        if told.fault is not None:
            return CallFailed(told.fault, usage=Usage())
        draft = self._speech.request(task)
        draft.request_id = told.request_id and one_line(scrub(told.request_id), 100)
        body, fault = told.body, None
        if told.status >= 300 or _is_error(body):
            status = told.status if told.status >= 300 else 200
            fault = fault_of_answer(status, {}, body, draft.asked)
            # What is not taken is left out of the next try.
            self._speech.refusals.judged(task, draft, fault, body)
        elif not isinstance(body, dict) or not self._speech.take(body, draft):
            fault = Fault("not_an_answer", f"{self._host}: a result of the batch is no API answer")
        else:
            draft.ended = True
            self._speech.refusals.accepted(draft)
        # Whatever tier it names itself.
        named = (term for term in draft.terms if term[0] != AT_BATCH_PRICE[0][0])
        draft.terms = (*named, *AT_BATCH_PRICE)
        end = draft.outcome(task, fault)
        if isinstance(end, CallFailed) and told.status >= 300:
            end.usage = Usage()  # a request that ends in an error is not paid
        return end


def _is_error(body: object) -> bool:
    """Whether an error stands in the place of an answer."""
    data = mapping(body)
    return data.get("type") == "error" or (bool(data.get("error")) and "id" not in data)


class _Unreadable:
    """The lines of results that say nothing of any request.

    Attributes:
        lines: how many.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self.lines = 0
        self._first = ""

    def add(self, line: Line) -> None:
        """Count one."""
        self.lines += 1
        said = line.head or read_error(line.value).words or one_line(scrub(repr(line.value)), 120)
        self._first = self._first or said

    def faults(self) -> list[Fault]:
        """What to say of them; nothing where there is none."""
        if not self.lines:
            return []
        many = "1 line" if self.lines == 1 else f"{self.lines:,} lines"
        what = (
            f"{self._host}: {many} of the batch's results cannot be read; the first: {self._first}"
        )
        return [Fault("not_an_answer", one_line(what, 400))]
