"""An answer's body taken in, whole or event by event; waiting for it has an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from parallm_magics.core.foreign_text import mended, one_line
from parallm_magics.core.provider import CallFailed, Heard
from parallm_magics.providers import keys
from parallm_magics.providers.body import BOM, Body, TooMuchError
from parallm_magics.providers.draft import Draft
from parallm_magics.providers.events import DONE
from parallm_magics.providers.faults import fault_of_answer
from parallm_magics.providers.json_values import parsed, parsed_start

# What may still come once the model has said why it stopped: the usage, and behind that nothing that
# anybody needs. Servers leave out the end of the stream, or keep the connection open for ever.
USAGE_SECONDS = 2.0
END_SECONDS = 0.5
# The first events of a stream are read as they come. Of one that comes fast, what comes within a while is
# then read at once: to wake up for each event costs more than all that is done with it.
FIRST_EVENTS = 16
GATHER_SECONDS = 0.04

TakeWhole = Callable[[Mapping[str, Any], Draft], bool]
"""Takes in an unstreamed answer; False where it is none."""
TakeEvent = Callable[[Mapping[str, Any], Draft], None]
"""Takes in one event of a stream."""


class NotAnAnswerError(Exception):
    """What came is not an API answer; says what it is instead."""


async def receive_whole(body: Body, draft: Draft, take: TakeWhole) -> None:
    """Read a body that is one value, and take it in.

    Raises:
        CallFailed: it is an error.
        NotAnAnswerError: it is no answer of this API.
    """
    data = await value_of(body)
    _raise_error(data, draft)
    if not isinstance(data, dict) or not take(data, draft):
        raise NotAnAnswerError(instead("an API answer", body))
    draft.ended = True


async def receive_events(
    body: Body, stream: AsyncGenerator[list[str]], heard: Heard, draft: Draft, take: TakeEvent
) -> None:
    """Read a body that is a stream; what comes at once is taken in and told at once.

    Args:
        stream: the data of the events that came at once; "" for another sign of life.

    Raises:
        CallFailed: an event is an error.
        NotAnAnswerError: it is no stream of this API.
    """
    came, teller = 0, _Teller(heard, draft)
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(None) as limit, contextlib.aclosing(stream):
            async for events in stream:
                came += len(events) - events.count("")
                try:
                    _take_events(events, body, draft, take)
                finally:
                    teller.tell()
                if draft.over:
                    await body.drain()
                    return
                if draft.ended:
                    _shorten(limit, USAGE_SECONDS if draft.usage is None else END_SECONDS)
                elif came > FIRST_EVENTS > len(events) and now() - began < came * GATHER_SECONDS:
                    await body.gather(GATHER_SECONDS)
    except TimeoutError:
        if not limit.expired():
            raise
    if body.head.strip() and not came and not _half_an_event(body.head):
        raise NotAnAnswerError(instead("a stream", body))


def _take_events(events: list[str], body: Body, draft: Draft, take: TakeEvent) -> None:
    for event in filter(None, events):
        if event == DONE:
            draft.over = True
        else:
            data = parsed(event)
            _raise_error(data, draft)
            if not isinstance(data, dict):
                raise NotAnAnswerError(instead("an API stream", body))
            take(data, draft)
        if draft.over:
            return


class _Teller:
    """Tells what has been added to a draft since the last time."""

    def __init__(self, heard: Heard, draft: Draft) -> None:
        self._heard, self._draft = heard, draft
        self._parts = self._thoughts = 0
        self._text, self._thinking = keys.KeyFilter(), keys.KeyFilter()

    def tell(self) -> None:
        """Tell it; nothing new is a sign of life."""
        parts, thoughts = self._draft.parts, self._draft.thinking
        text = self._text.passed(mended("".join(parts[self._parts :])))
        self._parts = len(parts)
        if len(thoughts) == self._thoughts:
            self._heard(text)
            return
        thinking = self._thinking.passed("".join(thoughts[self._thoughts :]))
        self._thoughts = len(thoughts)
        self._heard(text, thinking)


def instead(wanted: str, body: Body, status: int = 200) -> str:
    """What came in the place of what was wanted, in words."""
    start = one_line(keys.scrub(body.head.decode("utf-8", "replace")))
    kind = one_line(body.kind, 60) or "no content type"
    return f"status {status}, but not {wanted} ({kind}): {start or 'empty'}"


def _raise_error(data: object, draft: Draft) -> None:
    if error := _error_in(data):
        raise CallFailed(fault_of_answer(200, {}, error, draft.asked))


def _error_in(data: object) -> object:
    """The error body that came with a good status; None where it is something else."""
    if isinstance(data, list):
        return next((each for each in map(_error_in, data) if each), None)
    if not isinstance(data, dict):
        return None
    said = data.get("error") or data.get("type") == "error" or data.get("object") == "error"
    return data if said else None


def _half_an_event(head: bytes) -> bool:
    """Whether a stream had begun that broke off in its first event."""
    return head.lstrip().removeprefix(BOM).lstrip().startswith((b"data:", b"event:", b":"))


def _shorten(limit: asyncio.Timeout, seconds: float) -> None:
    """Wait no longer than so many seconds from now."""
    at = asyncio.get_running_loop().time() + seconds
    if (when := limit.when()) is None or at < when:
        limit.reschedule(at)


async def value_of(body: Body) -> Any:
    """The JSON value of a body, also where the body never ends behind it, or breaks off there."""
    if body.whole is not None:
        return parsed_start(body.whole)
    sent, value = bytearray(), None
    try:
        async with asyncio.timeout(None) as limit:
            async for chunk in body:
                sent += chunk
                if value is not None or chunk.rstrip().endswith((b"}", b"]")):
                    value = parsed_start(sent)
                if value is None:
                    limit.reschedule(None)
                else:
                    _shorten(limit, END_SECONDS)
    except TooMuchError:
        raise
    except Exception:
        if value is None:
            raise
    return parsed_start(sent) if value is None else value
