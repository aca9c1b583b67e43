"""AWS's binary event stream, in which Bedrock sends the events of Anthropic's."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from parallm_magics.providers.json_values import mapping, parsed, string

KIND = "application/vnd.amazon.eventstream"
# Total length, length of the headers and a checksum of both; at the end a checksum of all.
PRELUDE, CHECK = 12, 4
MOST = 16 * 2**20  # bytes of one frame; AWS sends no larger ones
# The values of headers by their type: the bytes of a number, or None for a length before the bytes.
SIZES: dict[int, int | None] = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: None, 7: None, 8: 8, 9: 16}
# What an exception between the events is in Anthropic's own words.
EXCEPTIONS = {
    "throttlingException": "rate_limit_error",
    "serviceQuotaExceededException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
    "modelNotReadyException": "overloaded_error",
    "validationException": "invalid_request_error",
    "accessDeniedException": "permission_error",
    "resourceNotFoundException": "not_found_error",
}


class BrokenFrameError(ValueError):
    """The bytes are no frame of such a stream."""


async def framed(chunks: AsyncIterator[bytes]) -> AsyncGenerator[list[str]]:
    """The data of the events that a chunk ends; an exception comes out as an event of the type "error".

    Raises:
        BrokenFrameError: a checksum or a length is wrong; half a frame at the end is left out.
    """
    left = bytearray()
    async for chunk in chunks:
        left += chunk
        found: list[str] = []
        try:
            while len(left) >= PRELUDE:
                size = _size(left)
                if len(left) < size:
                    break
                if data := _data(bytes(left[:size])):
                    found.append(data)
                del left[:size]
        except BrokenFrameError:
            if found:
                yield found
            raise
        if found:
            yield found


def _size(left: bytearray) -> int:
    size, headers, check = struct.unpack(">III", left[:PRELUDE])
    if (
        zlib.crc32(left[: PRELUDE - CHECK]) != check
        or not PRELUDE + CHECK + headers <= size <= MOST
    ):
        raise BrokenFrameError
    return int(size)


def _data(frame: bytes) -> str:
    """The data of one frame; "" for a frame that holds none."""
    (check,) = struct.unpack(">I", frame[-CHECK:])
    if zlib.crc32(frame[:-CHECK]) != check:
        raise BrokenFrameError
    end = PRELUDE + struct.unpack(">I", frame[4:8])[0]
    headers = _headers(frame[PRELUDE:end])
    body = mapping(parsed(frame[end:-CHECK]))
    if headers.get(":message-type", "event") != "event":
        name = headers.get(":exception-type") or headers.get(":error-code", "")
        words = string(body.get("message")) or headers.get(":error-message", "") or name
        return _error(name, words)
    if (sent := body.get("bytes")) is None:
        return ""
    try:
        return base64.b64decode(string(sent), validate=True).decode()
    except ValueError:
        raise BrokenFrameError from None


def _headers(block: bytes) -> dict[str, str]:
    """The headers that hold a text."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(block):
            name = block[at + 1 : at + 1 + block[at]].decode()
            at += 1 + block[at]
            kind, at = block[at], at + 1
            size = SIZES[kind]
            if size is None:
                size, at = struct.unpack(">H", block[at : at + 2])[0], at + 2
            if kind == 7:
                found[name] = block[at : at + size].decode()
            at += size
    except (KeyError, IndexError, struct.error, UnicodeDecodeError):
        raise BrokenFrameError from None
    return found


def _error(name: str, words: str) -> str:
    error: dict[str, Any] = {"type": EXCEPTIONS.get(name, "api_error"), "message": words}
    return json.dumps({"type": "error", "error": error})
