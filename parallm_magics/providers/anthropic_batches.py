"""Anthropic's Message Batches, by its SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from parallm_magics.core.batches import (
    BatchLimits,
    BatchRequest,
    BatchState,
    BatchStatus,
    BatchUnsentError,
)
from parallm_magics.core.provider import CallFailed
from parallm_magics.providers.batch_lines import encoded, pieces_of
from parallm_magics.providers.batch_results import NEVER, Told, never
from parallm_magics.providers.json_values import count, mapping, string
from parallm_magics.providers.sdk_batches import (
    SECONDS,
    SENDING_SECONDS,
    Posted,
    SdkBatches,
    certain,
    unread,
)

HEAD, BETWEEN, TAIL = b'{"requests":[', b",", b"]}"
PATH = "/v1/messages/batches"
STATUS: Mapping[str, BatchStatus] = {
    "in_progress": "under way",
    "canceling": "cancelling",
    "ended": "ended",
}
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
# What the types of errors stand for where they come with a status.
STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicBatches(SdkBatches):
    """Message Batches: requests go in with the batch, and one file holds what became of each."""

    limits = BatchLimits(100_000, 256_000_000)
    keeps_nonce = False

    @property
    def _resource(self) -> Any:
        return self._speech.client.messages.batches.with_streaming_response

    async def create(self, requests: Sequence[BatchRequest], nonce: str) -> BatchState:
        """Send a batch; the nonce is not sent, as there is no place for it but the requests' ids."""
        file = await self._written(self._pieces(requests))
        with file:
            length = file.seek(0, 2)
            file.seek(0)
            headers = {"content-length": str(length), "content-type": "application/json"}
            options = {"headers": headers, "timeout": SENDING_SECONDS}
            # The resource would hold all of it several times over.
            content, post = pieces_of(file), self._speech.client.post
            call = Posted(post(PATH, content=content, options=options, **unread()))
            try:
                return self._state(await self._value(call))
            except CallFailed as failed:
                if not certain(failed):
                    raise
                fault = failed.fault
        raise BatchUnsentError(fault)

    async def state(self, batch: str) -> BatchState:
        """How far a batch is."""
        return self._state(
            await self._value(self._resource.retrieve(batch, timeout=SECONDS), batch)
        )

    async def cancel(self, batch: str) -> BatchState:
        """Ask for an early end; of a batch that has ended, only its state is told."""
        try:
            data = await self._value(self._resource.cancel(batch, timeout=SECONDS), batch)
        except CallFailed:
            if (now := await self.state(batch)).status != "ended":
                raise
            return now
        return self._state(data)

    async def _page(self, query: Mapping[str, Any]) -> tuple[list[BatchState], dict[str, Any]]:
        data = await self._value(self._resource.list(**query, timeout=SECONDS))
        batches, last = self._listed(data), string(data.get("last_id"))
        return batches, {"after_id": last} if data.get("has_more") and last else {}

    async def _files(self, batch: str) -> Sequence[Any]:
        # The resource would send the key wherever the batch says that its results are.
        where = f"{PATH}/{quote(batch, safe='')}/results"
        get, options = self._speech.client.get, {"timeout": SECONDS}
        return [Posted(get(where, options=options, **unread()))]

    def _line(self, request: BatchRequest) -> bytes:
        return encoded({"custom_id": request.id, "params": self._body(request)})

    def _pieces(self, requests: Sequence[BatchRequest]) -> Iterator[bytes]:
        """The body that creates a batch."""
        yield HEAD
        for place, request in enumerate(requests):
            yield (BETWEEN if place else b"") + self._line(request)
        yield TAIL

    def _told(self, data: Mapping[str, Any]) -> Told | None:
        result = mapping(data.get("result"))
        kind = result.get("type")
        if kind == "succeeded":
            return Told(result.get("message"))
        if kind == "errored":
            error = mapping(result.get("error"))
            inner = mapping(error.get("error")) or error
            status = STATUS_OF.get(string(inner.get("type")), 400)
            return Told(error, status, string(error.get("request_id")) or None)
        return Told(fault=never(string(kind), self._host)) if kind in NEVER else None

    def _state_of(self, data: Mapping[str, Any]) -> BatchState:
        counts = mapping(data.get("request_counts"))
        told = {name: count(counts.get(name)) for name in COUNTS}
        ended = [told[name] or 0 for name in ("errored", "canceled", "expired")]
        status = STATUS.get(string(data.get("processing_status")), "under way")
        return BatchState(
            string(data.get("id")),
            status,
            None if None in told.values() else sum(number or 0 for number in told.values()),
            told["succeeded"] or 0,
            sum(ended),
            _moment(data.get("created_at")),
            _moment(data.get("expires_at")),
            _moment(data.get("ended_at")),
            why=_cut_short(told) if status == "ended" else "",
        )


def _cut_short(told: Mapping[str, int | None]) -> str:
    """Why a batch ended before all was done; "" where all was."""
    if told["expired"]:
        return "the batch expired"
    return "the batch was cancelled" if told["canceled"] else ""


def _moment(text: object) -> float | None:
    """A moment by the provider's clock, in seconds since 1970; None where it is none."""
    try:
        moment = datetime.fromisoformat(string(text))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
