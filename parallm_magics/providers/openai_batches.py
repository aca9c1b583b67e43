"""OpenAI's Batch API for chat completions and Responses, by its SDK."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from parallm_magics.core.batches import (
    BatchLimits,
    BatchRequest,
    BatchState,
    BatchStatus,
    BatchUnsentError,
)
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault
from parallm_magics.providers.batch_lines import encoded
from parallm_magics.providers.batch_results import NEVER, Told, never
from parallm_magics.providers.faults import fault_of_answer
from parallm_magics.providers.json_values import count, mapping, string
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.sdk_batches import (
    SECONDS,
    SENDING_SECONDS,
    SdkBatches,
    certain,
)

NONCE = "parallm_nonce"
"""The name of the nonce in a batch's metadata."""
STATUS: Mapping[str, BatchStatus] = {
    "validating": "under way",
    "in_progress": "under way",
    "finalizing": "under way",
    "cancelling": "cancelling",
    "completed": "ended",
    "expired": "ended",
    "cancelled": "ended",
    "failed": "refused",
}
ENDED_AT = ("completed_at", "expired_at", "cancelled_at", "failed_at")
CUT_SHORT = {"expired": "the batch expired", "cancelled": "the batch was cancelled"}
PASSING = frozenset({"token_limit_exceeded"})
"""Codes of errors by which a batch is refused that may be taken later."""
LATEST = 2**40  # no clock shows more seconds


class OpenAIBatches(SdkBatches):
    """The Batch API: a file of requests to one model is uploaded, then a batch is made of it.

    What became of the requests stands in two files, one of them for errors.
    """

    limits = BatchLimits(50_000, 200_000_000, models=1)
    keeps_nonce = True

    @property
    def _resource(self) -> Any:
        return self._speech.client.batches.with_streaming_response

    @property
    def _store(self) -> Any:
        return self._speech.client.files.with_streaming_response

    @property
    def _url(self) -> str:
        """The endpoint of each request; at any address it is named as OpenAI does."""
        return f"/v1{self._speech.path}"

    async def create(self, requests: Sequence[BatchRequest], nonce: str) -> BatchState:
        """Upload the requests, and send a batch of them; the nonce goes into its metadata."""
        file = await self._uploaded(requests, nonce)
        try:
            data = await self._value(
                self._resource.create(
                    completion_window="24h",
                    endpoint=self._url,
                    input_file_id=file,
                    metadata={NONCE: nonce},
                    timeout=SECONDS,
                )
            )
        except CallFailed as failed:
            if not certain(failed):
                raise
            fault = failed.fault
        else:
            return self._state(data)
        with contextlib.suppress(CallFailed):
            await self._value(self._store.delete(file, timeout=SECONDS))
        raise BatchUnsentError(fault)

    async def state(self, batch: str) -> BatchState:
        """How far a batch is."""
        return self._state(await self._batch(batch))

    async def cancel(self, batch: str) -> BatchState:
        """Ask for an early end; of a batch that has ended, only its state is told."""
        try:
            data = await self._value(self._resource.cancel(batch, timeout=SECONDS), batch)
        except CallFailed:
            if (now := await self.state(batch)).status not in ("ended", "refused"):
                raise
            return now
        return self._state(data)

    async def _uploaded(self, requests: Sequence[BatchRequest], nonce: str) -> str:
        """The id of a file of the requests.

        Raises:
            BatchUnsentError: it could not be uploaded; no batch comes of that.
        """
        held = await self._written(map(self._line, requests))
        named = (f"parallm-{nonce}.jsonl", held, "application/jsonl")
        create = self._store.create
        try:
            with held:
                data = await self._value(
                    create(file=named, purpose="batch", timeout=SENDING_SECONDS)
                )
        except CallFailed as failed:
            raise BatchUnsentError(failed.fault) from None
        if file := string(data.get("id")):
            return file
        raise BatchUnsentError(Fault("not_an_answer", f"{self._host}: no file came of an upload"))

    async def _batch(self, batch: str) -> Mapping[str, Any]:
        return await self._value(self._resource.retrieve(batch, timeout=SECONDS), batch)

    async def _page(self, query: Mapping[str, Any]) -> tuple[list[BatchState], dict[str, Any]]:
        data = await self._value(self._resource.list(**query, timeout=SECONDS))
        batches = self._listed(data)
        last = string(data.get("last_id")) or (batches[-1].id if batches else "")
        return batches, {"after": last} if data.get("has_more") and last else {}

    async def _files(self, batch: str) -> Sequence[Any]:
        data = await self._batch(batch)
        # The one with answers first, so that of two results for a request the answer counts.
        files = [string(data.get(name)) for name in ("output_file_id", "error_file_id")]
        done = self._state_of(data)
        if not any(files) and (done.succeeded or done.failed):
            why = f"{self._host}: the batch {one_line(scrub(batch), 80)} names no file of results"
            raise CallFailed(Fault("not_an_answer", why))
        content = self._store.content
        return [content(file, timeout=SECONDS) for file in files if file]

    def _line(self, request: BatchRequest) -> bytes:
        body = self._body(request)
        line = {"custom_id": request.id, "method": "POST", "url": self._url, "body": body}
        return encoded(line) + b"\n"

    def _told(self, data: Mapping[str, Any]) -> Told | None:
        error, response = mapping(data.get("error")), mapping(data.get("response"))
        if response:
            status = count(response.get("status_code"))
            named = string(response.get("request_id")) or None
            return Told(response.get("body"), 200 if status is None else status, named)
        code = string(error.get("code"))
        if code in NEVER:
            return Told(fault=never(code, self._host))
        # Without a status: the request was not answered.
        said = {"error": error} if error else {"error": {"message": "no response, and no error"}}
        return Told(fault=fault_of_answer(500, {}, said, self._speech.asked)) if data else None

    def _state_of(self, data: Mapping[str, Any]) -> BatchState:
        counts = mapping(data.get("request_counts"))
        word = string(data.get("status"))
        status = STATUS.get(word, "under way")
        # Whatever it is called: what names results has results.
        if status == "refused" and (data.get("output_file_id") or data.get("error_file_id")):
            status = "ended"
        errors = _errors(data) if status == "refused" else []
        return BatchState(
            string(data.get("id")),
            status,
            count(counts.get("total")) or None,  # 0 until it has been validated
            count(counts.get("completed")) or 0,
            count(counts.get("failed")) or 0,
            _moment(data.get("created_at")),
            _moment(data.get("expires_at")),
            next(filter(None, (_moment(data.get(name)) for name in ENDED_AT)), None),
            nonce=string(mapping(data.get("metadata")).get(NONCE)),
            why=_why(errors) if status == "refused" else CUT_SHORT.get(word, ""),
            passing=bool(errors) and all(string(each.get("code")) in PASSING for each in errors),
        )


def _errors(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is wrong with a batch that was refused."""
    listed = mapping(data.get("errors")).get("data")
    return [each for each in map(mapping, listed) if each] if isinstance(listed, list) else []


def _why(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of these errors in one line."""
    if not errors:
        return "the provider does not say why"
    first = errors[0]
    said = string(first.get("message")) or string(first.get("code")) or "no message"
    line = first.get("line")
    where = f" (line {line})" if isinstance(line, int) else ""
    more = f"; {len(errors) - 1} more" if len(errors) > 1 else ""
    return one_line(scrub(f"{said}{where}{more}"), 400)


def _moment(value: object) -> float | None:
    """A moment by the provider's clock; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 < value < LATEST else None
