"""What the batch APIs of both SDKs have in common: a request to them, and how a result is read."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import replace
from functools import partial
from typing import IO, Any, Self

from parallm_magics.core.batches import (
    BatchLimits,
    BatchRequest,
    BatchResult,
    BatchState,
    BatchUnsentError,
)
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault
from parallm_magics.providers.batch_lines import written
from parallm_magics.providers.batch_results import GOOD, ResultReader, Told
from parallm_magics.providers.body import Body
from parallm_magics.providers.error_body import read_error
from parallm_magics.providers.faults import fault_of
from parallm_magics.providers.json_values import mapping
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.receiving import instead, value_of
from parallm_magics.providers.speech import Speech

SECONDS = 60.0  # of silence, of a request about a batch
SENDING_SECONDS = 600.0  # of silence, once all requests have been sent
STREAMING = ("stream", "stream_options")
"""Fields of requests whose answers come as streams."""
PAGE = 100  # batches of a list at once
NO_SUCH = frozenset({404, 405, 501})
# Statuses below 500 by which a server may have taken what it was sent.
UNCLEAR = frozenset({408, 409, 499})


class Posted:
    """A call by the client itself, used as one of its resources with a streaming response.

    Attributes:
        http_response: what came, unread.
    """

    def __init__(self, call: Awaitable[Any]) -> None:
        """Take the call, which gives an unread response."""
        self._call = call

    async def __aenter__(self) -> Self:
        self.http_response = await self._call
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http_response.aclose()


def unread() -> dict[str, Any]:
    """The arguments by which the SDK's client gives the response as it came."""
    from httpx2 import Response

    return {"cast_to": Response, "stream": True, "stream_cls": object}


class SdkBatches:
    """A batch API by an SDK's client; the dialects differ in their words.

    Attributes:
        limits: what one batch may hold.
        keeps_nonce: whether a batch can be known by its nonce in the list.
    """

    limits: BatchLimits
    keeps_nonce: bool

    def __init__(self, speech: Speech) -> None:
        """Take how its provider is spoken to."""
        self._speech = speech
        self._host = speech.asked.host

    def size(self, request: BatchRequest) -> int:
        """Bytes of one request as it is sent."""
        try:
            return len(self._line(request))
        except (ValueError, TypeError, RecursionError) as error:
            why = type(error).__name__
        raise CallFailed(
            Fault("bad_request", f"the request cannot be sent to {self._host} ({why})")
        )

    async def create(self, requests: Sequence[BatchRequest], nonce: str) -> BatchState:
        """Send a batch.

        Raises:
            BatchUnsentError: the provider has taken nothing.
            CallFailed: it is unknown whether the batch was taken.
        """
        raise NotImplementedError

    async def state(self, batch: str) -> BatchState:
        """How far a batch is."""
        raise NotImplementedError

    async def cancel(self, batch: str) -> BatchState:
        """Ask for an early end; of a batch that has ended, only its state is told."""
        raise NotImplementedError

    async def newest(self) -> str | None:
        """The id of the newest batch that the provider lists; None where there is none."""
        batches, _ = await self._page({"limit": 1})
        return next((batch.id for batch in batches), None)

    async def listed(self, after: str | None) -> AsyncIterator[BatchState]:
        """The batches that were made after this one, the newest first; all where it is None or gone."""
        seen: set[str] = set()
        place: dict[str, Any] = {}
        while True:
            batches, on = await self._page({"limit": PAGE, **place})
            for batch in batches:
                if batch.id == after:
                    return
                if batch.id not in seen:
                    yield batch
            new = {batch.id for batch in batches} - seen
            if not (on and new):  # a list that turns in a circle ends too
                return
            seen |= new
            place = on

    async def results(
        self, batch: BatchState, tasks: Sequence[BatchRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results of a batch that has ended, line by line."""
        reader = ResultReader(self._speech, self._told, partial(self._fault, about=batch.id))
        async for result in reader.read(await self._files(batch.id), tasks):
            yield result

    def _state(self, data: Mapping[str, Any]) -> BatchState:
        """The state of the batch that came as an answer.

        Raises:
            CallFailed: it is none.
        """
        if (state := self._state_of(data)).id:
            return state
        raise CallFailed(Fault("not_an_answer", f"{self._host}: the answer is not a batch"))

    def _listed(self, data: Mapping[str, Any]) -> list[BatchState]:
        """The batches of a page.

        Raises:
            CallFailed: it is none.
        """
        rows = data.get("data")
        if not isinstance(rows, list):
            raise CallFailed(Fault("not_an_answer", f"{self._host}: not a list of batches"))
        return [state for state in map(self._state_of, map(mapping, rows)) if state.id]

    async def _page(self, query: Mapping[str, Any]) -> tuple[list[BatchState], dict[str, Any]]:
        """A page of the list, and where the next one is; {} where there is none."""
        raise NotImplementedError

    async def _files(self, batch: str) -> Sequence[Any]:
        """Each file of results, as a call of the SDK's with a streaming response."""
        raise NotImplementedError

    def _state_of(self, data: Mapping[str, Any]) -> BatchState:
        """The state of a batch as it is sent; without an id where it is none."""
        raise NotImplementedError

    def _line(self, request: BatchRequest) -> bytes:
        """A request as it is sent."""
        raise NotImplementedError

    def _told(self, data: Mapping[str, Any]) -> Told | None:
        """What a line of the results says; None where it is none."""
        raise NotImplementedError

    def _body(self, request: BatchRequest) -> Mapping[str, Any]:
        """The body of one call, as it would be posted by itself to be answered whole."""
        sent = self._speech.request(request.task).sent
        return {name: value for name, value in sent.items() if name not in STREAMING}

    async def _written(self, pieces: Iterator[bytes]) -> IO[bytes]:
        """A file of what is sent, made beside the loop.

        Raises:
            BatchUnsentError: it cannot be made.
        """
        try:
            return await asyncio.to_thread(written, pieces)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            why = one_line(scrub(f"{type(error).__name__}: {error}"))
        raise BatchUnsentError(Fault("bug", f"the batch for {self._host} cannot be written: {why}"))

    async def _value(self, call: Any, about: str = "") -> Mapping[str, Any]:
        """The object that answers a request by the SDK's resource.

        Args:
            call: the resource's method with a streaming response, called.
            about: the batch that it is about; "" where it is about none.

        Raises:
            CallFailed: none came.
        """
        try:
            async with call as response:
                return await self._read(response.http_response)
        except CallFailed as failed:
            fault = failed.fault
        except Exception as exc:  # no exception of an SDK leaves, as it holds the key
            fault = self._fault(exc, about)
        raise CallFailed(fault)

    async def _read(self, response: Any) -> Mapping[str, Any]:
        """The object that a response holds."""
        body = Body(response)
        data = await value_of(body)
        if isinstance(data, dict) and data.get("error"):
            said = read_error(data).words
        elif response.status_code in GOOD and isinstance(data, dict):
            return data
        else:
            said = instead("an API answer", body, response.status_code)
        why = f"{self._host} does not seem to have a batch API: {one_line(scrub(said))}"
        raise CallFailed(Fault("not_an_answer", one_line(why, 400)))

    def _fault(self, exc: BaseException, about: str = "") -> Fault:
        """The fault of a request about batches."""
        fault = fault_of(exc, self._speech.asked)
        said = one_line(scrub(read_error(getattr(exc, "body", None)).words))
        because = f": {said}" if said else ""
        where = f"{self._host}: HTTP {fault.http}"
        if fault.http in NO_SUCH and about:
            what = f"{where}, there is no batch {one_line(scrub(about), 80)}, or not any more"
            return replace(fault, kind="bad_request", message=one_line(f"{what}{because}", 400))
        if fault.http in NO_SUCH:
            what = (
                f"{self._host} has no batch API (HTTP {fault.http}); run the cell without --batch"
            )
            return replace(fault, kind="bad_request", message=one_line(f"{what}{because}", 400))
        if fault.kind == "too_large":
            what = f"{where}, the batch is larger than it takes{because}"
            return replace(fault, message=one_line(what, 400))
        return fault


def certain(failed: CallFailed) -> bool:
    """Whether an attempt to create a batch has certainly come to nothing."""
    status = failed.fault.http
    return status is not None and 300 <= status < 500 and status not in UNCLEAR
