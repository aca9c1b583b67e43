"""Files of results with bytes changed at random: nothing but a fault ever comes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
from batches_asked import MODELS, requests
from hypothesis import given, settings
from hypothesis import strategies as st

from parallm_magics.core.batches import BatchResult, batches_of
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.providers import batch_results
from parallm_magics.providers.batch_results import ResultReader
from parallm_magics.providers.registry import entry_of, make
from parallm_magics.providers.sdk_batches import SdkBatches

COUNT = 4


class File:
    """An opened file of results, as the SDK gives it."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, held: bytes) -> None:
        self._held = held
        self.http_response = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Its bytes, in two pieces."""
        half = len(self._held) // 2
        for piece in (self._held[:half], self._held[half:]):
            yield piece


def good_lines(dialect: str) -> list[bytes]:
    """The results of all requests, as each dialect writes them."""
    found: list[Any] = []
    for request in requests(dialect, ["m"] * COUNT):
        text = f"answer to {request.task.prompt}"
        used = {"input_tokens": 7, "output_tokens": 3}
        message: dict[str, Any] = {
            "anthropic": {
                "type": "message",
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "usage": used,
            },
            "openai": {
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": text}}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            },
            "openai-responses": {
                "status": "completed",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}],
                "usage": used,
            },
        }[dialect]
        if dialect == "anthropic":
            result = {"type": "succeeded", "message": message}
            found.append({"custom_id": request.id, "result": result})
        else:
            response = {"status_code": 200, "request_id": "r", "body": message}
            found.append({"custom_id": request.id, "response": response, "error": None})
    return [json.dumps(each).encode() + b"\n" for each in found]


def read(dialect: str, held: bytes) -> tuple[list[BatchResult], bool]:
    """What is read of a file, and whether there was more that could not be."""
    api = batches_of(make(entry_of(dialect)))
    assert isinstance(api, SdkBatches)
    reader = ResultReader(api._speech, api._told, api._fault)
    found: list[BatchResult] = []

    async def main() -> bool:
        try:
            async for result in reader.read([File(held)], requests(dialect, ["m"] * COUNT)):
                found.append(result)  # noqa: PERF401  what came before a fault counts
        except CallFailed:
            return True
        return False

    return found, asyncio.run(main())


each = pytest.mark.parametrize("dialect", MODELS)
changes = st.lists(
    st.tuples(
        st.sampled_from(["cut", "put", "drop", "swap"]),
        st.integers(0, 10**6),
        st.binary(max_size=3),
    ),
    min_size=1,
    max_size=4,
)


@each
@settings(max_examples=150)
@given(changes=changes)
def test_changed_bytes_end_in_results_or_a_fault(
    dialect: str, changes: list[tuple[str, int, bytes]]
) -> None:
    """No other exception, no half character in a text, and no line feed in what is told."""
    held = b"".join(good_lines(dialect))
    for how, place, put in changes:
        at = place % (len(held) + 1)
        left = {"cut": len(held), "put": at, "drop": at + 1, "swap": at + len(put)}[how]
        held = held[:at] + (b"" if how in ("cut", "drop") else put) + held[left:]
    found, _ = read(dialect, held)
    for result in found:
        result.id.encode("utf-8", "surrogatepass")
        result.end.text.encode()
        assert isinstance(result.end, Reply) or result.end.fault.message.isprintable()


@each
def test_a_file_cut_anywhere_keeps_every_whole_line(dialect: str) -> None:
    """Wherever it breaks off, what stands before is read; the rest is known to be missing."""
    lines = good_lines(dialect)
    held = b"".join(lines)
    for at in range(0, len(held) + 1, 3):
        found, more = read(dialect, held[:at])
        whole = sum(len(b"".join(lines[: n + 1])) - 1 <= at for n in range(COUNT))
        assert len(found) == whole
        assert all(isinstance(result.end, Reply) for result in found)
        ends = [len(b"".join(lines[:n])) for n in range(COUNT + 1)]
        assert more == (at not in ends and at + 1 not in ends)


@each
def test_others_have_their_turn_while_results_are_read(
    dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many results came at once, the loop is not kept from what else it has to do."""
    monkeypatch.setattr(batch_results, "TURN_SECONDS", -1.0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        reader = ResultReader(api._speech, api._told, api._fault)
        held = b"".join(good_lines(dialect)) * 25
        async for _ in reader.read([File(held)], requests(dialect, ["m"] * COUNT)):
            pass
        task.cancel()

    api = batches_of(make(entry_of(dialect)))
    assert isinstance(api, SdkBatches)
    asyncio.run(main())
    assert turns >= 25 * COUNT
