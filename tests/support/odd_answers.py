"""Answers as servers and gateways were seen to send them, byte for byte, and how each must end.

Each case is one act for one dialect, streamed or not; every text of a good one says ANSWER: unsafe, so
that a case that loses a piece, or counts where it must not, shows in a vote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from provider import Act, Wire

Dialect = Literal["anthropic", "openai"]
TEXT = "ANSWER: unsafe"
PIECES = ("ANSWER: un", "safe")
FED, GAVE = 10, 3
MODEL = "odd"
END: Mapping[str, str] = {"openai": "stop", "anthropic": "end_turn"}


class Way(NamedTuple):
    """A dialect, and whether a stream is asked for."""

    dialect: Dialect
    stream: bool


WAYS = tuple(Way(d, s) for d in ("anthropic", "openai") for s in (True, False))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Odd:
    """One kind of odd answer.

    Attributes:
        name: its id in the tests.
        act: what the server does; None where this way cannot have it.
        status: how the worker must end.
        text: the text that must be kept; None where it does not matter.
        says: what the error's message must hold.
        attempts: the outcomes of its tries; after the first one the server answers well.
        fed, gave: tokens that the server bills for it; None where it tells no usage.
    """

    name: str
    act: Callable[[Way], Act | None]
    status: str = "ok"
    text: str | None = TEXT
    says: str = ""
    attempts: tuple[str, ...] = ("ok",)
    billed: tuple[int, int] | None = (FED, GAVE)


# What is said, by dialect.


def usage(dialect: str) -> dict[str, int]:
    """The usage of every answer here."""
    if dialect == "anthropic":
        return {"input_tokens": FED, "output_tokens": GAVE}
    return {"prompt_tokens": FED, "completion_tokens": GAVE, "total_tokens": FED + GAVE}


def whole(
    dialect: str, content: Any = TEXT, stop: str | None = None, **choice: Any
) -> dict[str, Any]:
    """An answer as one object; `choice` changes its choice, where the dialect has one."""
    stop = END[dialect] if stop is None else stop
    if dialect == "anthropic":
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        head = {"id": "m", "type": "message", "role": "assistant", "model": MODEL}
        return {**head, "content": blocks, "stop_reason": stop, "usage": usage(dialect)}
    message = {"role": "assistant", "content": content}
    first = {"index": 0, "message": message, "finish_reason": stop, **choice}
    head = {"id": "c", "object": "chat.completion", "model": MODEL}
    return {**head, "choices": [first], "usage": usage(dialect)}


def events(
    dialect: str, *pieces: Any, stop: str | None = None, **choice: Any
) -> list[dict[str, Any]]:
    """The events of a stream, from its opening to its stop and usage; `choice` changes the last one."""
    stop = END[dialect] if stop is None else stop
    return [
        *opening(dialect),
        *(delta(dialect, p) for p in pieces),
        *ending(dialect, stop, **choice),
    ]


def opening(dialect: str) -> list[dict[str, Any]]:
    """What comes before the text."""
    if dialect == "openai":
        return [part({"role": "assistant", "content": ""})]
    message = {**whole(dialect, []), "stop_reason": None}
    block = {"type": "text", "text": ""}
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
    ]


def delta(dialect: str, piece: Any) -> dict[str, Any]:
    """A piece of the text."""
    if dialect == "openai":
        return part({"content": piece})
    moved = {"type": "text_delta", "text": piece} if isinstance(piece, str) else piece
    return {"type": "content_block_delta", "index": 0, "delta": moved}


def ending(dialect: str, stop: str, **choice: Any) -> list[dict[str, Any]]:
    """The stop and the usage."""
    if dialect == "openai":
        last = part({}, finish_reason=stop, **choice)
        return [last, {"object": "chat.completion.chunk", "choices": [], "usage": usage(dialect)}]
    return [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop},
            "usage": {"output_tokens": GAVE},
        },
    ]


def part(said: Mapping[str, Any], **choice: Any) -> dict[str, Any]:
    """One chunk of a chat completion."""
    first = {"index": 0, "delta": said, "finish_reason": None, **choice}
    return {"object": "chat.completion.chunk", "model": MODEL, "choices": [first]}


LAST: Mapping[str, bytes] = {
    "openai": b"data: [DONE]\n\n",
    "anthropic": b'event: message_stop\ndata: {"type": "message_stop"}\n\n',
}


def sse(said: list[dict[str, Any]], gap: str = "\n\n", line: str = "data: ") -> tuple[bytes, ...]:
    """Events as bytes, each a piece of its own."""
    return tuple(f"{line}{json.dumps(each, ensure_ascii=False)}{gap}".encode() for each in said)


def body(data: Any, kind: str | None = "application/json", status: int = 200, **more: Any) -> Act:
    """A whole body, of any type."""
    sent = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Act(status=status, wire=Wire((sent,), kind=kind), **more)


def streamed(
    *pieces: bytes | float, end: Any = "end", kind: str | None = "text/event-stream"
) -> Act:
    """A stream of exactly these pieces."""
    return Act(wire=Wire(pieces, end, kind))


def good(way: Way) -> Act:
    """The answer as it should be."""
    if way.stream:
        return streamed(*sse(events(way.dialect, *PIECES)), LAST[way.dialect])
    return body(whole(way.dialect))


# How it is made odd.


def by_stream(make: Callable[[str], Act]) -> Callable[[Way], Act | None]:
    """A kind that only a stream can be."""
    return lambda way: make(way.dialect) if way.stream else None


def by_whole(make: Callable[[str], Act]) -> Callable[[Way], Act | None]:
    """A kind that only an unstreamed answer can be."""
    return lambda way: None if way.stream else make(way.dialect)


def of(dialect: str, make: Callable[[Way], Act | None]) -> Callable[[Way], Act | None]:
    """A kind that only one dialect knows."""
    return lambda way: make(way) if way.dialect == dialect else None


def both(dialect: str, **changes: Any) -> Callable[[Way], Act | None]:
    """An answer that stops otherwise, streamed or not."""
    return of(dialect, lambda way: stopped(way, **changes))


def stopped(way: Way, stop: str, **choice: Any) -> Act:
    """An answer with another reason for its end."""
    if way.stream:
        return streamed(*sse(events(way.dialect, *PIECES, stop=stop, **choice)), LAST[way.dialect])
    return body(whole(way.dialect, stop=stop, **choice))


def refused(status: int, data: Any, **headers: str) -> Callable[[Way], Act]:
    """An error instead of an answer."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda way: Act(status=status, headers=sent, body=data)


def _events_of(dialect: str) -> tuple[bytes, ...]:
    return sse(events(dialect, *PIECES))


BOM = b"\xef\xbb\xbf"
ERROR = {"code": 502, "message": "upstream died"}
FILTERED = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "Output blocked by content filtering policy",
    },
}
THINKS = [{"type": "thinking", "thinking": [{"type": "text", "text": "ANSWER: safe"}]}]
TOO_MUCH = {
    "error": {
        "message": "Request too large for model `m` on tokens per minute (TPM): Limit 6000, "
        "Requested 10543, please reduce your message size and try again.",
        "type": "tokens",
        "code": "rate_limit_exceeded",
    }
}
IN_USE = {
    "error": {
        "message": "Rate limit reached for model `o3` on tokens per minute (TPM): Limit 6000, "
        "Used 5900, Requested 400. Please try again in 20ms.",
        "type": "tokens",
        "code": "rate_limit_exceeded",
    }
}


def _late_bytes(dialect: str) -> Act:
    """Every byte a chunk of its own, characters cut in the middle."""
    sent = b"".join(sse(events(dialect, "é – ", *PIECES))) + LAST[dialect]
    return streamed(*(sent[at : at + 1] for at in range(len(sent))))


def _numbered() -> Act:
    """Choices that are numbered by token."""
    sent = events("openai", *PIECES)
    for at, each in enumerate(sent):
        for choice in each["choices"]:
            choice["index"] = at
    return streamed(*sse(sent), LAST["openai"])


def _parts(way: Way) -> Act:
    """Thinking and text as parts of the content."""
    text = [{"type": "text", "text": piece} for piece in PIECES]
    if not way.stream:
        return body(whole("openai", [*THINKS, *text]))
    return streamed(*sse(events("openai", THINKS, *([each] for each in text))), LAST["openai"])


def _unknown_part(way: Way) -> Act:
    """A part of a type that nobody knows beside the text."""
    odd = {"type": "hologram", "data": "x"}
    if not way.stream:
        return body(whole(way.dialect, [{"type": "text", "text": TEXT}, odd]))
    if way.dialect == "openai":
        return streamed(*sse(events("openai", *PIECES, [odd])), LAST["openai"])
    sent = events("anthropic", *PIECES)
    sent.insert(-2, {"type": "content_block_start", "index": 1, "content_block": odd})
    return streamed(*sse(sent), LAST["anthropic"])


def _plain_labels() -> Iterator[Odd]:
    """A stream, or a whole answer, under every label but its own."""
    for kind in ("application/json", "text/plain", "application/octet-stream", "text/html", None):
        name = str(kind).rpartition("/")[2]
        yield Odd(
            f"stream labelled {name}",
            by_stream(lambda d, kind=kind: streamed(*_events_of(d), LAST[d], kind=kind)),  # type: ignore[misc]
        )
        yield Odd(
            f"streamed unasked as {name}",
            by_whole(lambda d, kind=kind: streamed(*_events_of(d), LAST[d], kind=kind)),  # type: ignore[misc]
        )
    for kind in ("text/event-stream", "text/plain", "application/json; charset=utf-8", None):
        name = str(kind).rpartition("/")[2]
        yield Odd(
            f"whole answer labelled {name}", lambda way, kind=kind: body(whole(way.dialect), kind)
        )  # type: ignore[misc]


def _line_ends() -> Iterator[Odd]:
    """Every way of ending lines and events that was seen."""
    for name, gap in {"CRLF": "\r\n\r\n", "CR": "\r\r", "mixed": "\r\n\n", "one": "\n"}.items():
        yield Odd(
            f"events ended by {name}",
            by_stream(lambda d, gap=gap: streamed(*sse(events(d, *PIECES), gap), LAST[d])),  # type: ignore[misc]
        )
    yield Odd(
        "no blank behind data:",
        by_stream(lambda d: streamed(*sse(events(d, *PIECES), line="data:"), LAST[d])),
    )


def _reasons() -> Iterator[Odd]:
    """Words for why a model stopped."""
    kinds = {
        "ok": "stop STOP eos EOS_TOKEN end_turn stop_sequence tool_calls tool_use COMPLETE",
        "truncated": "length MAX_TOKENS model_length max_output_tokens",
        "refused": "content_filter SAFETY RECITATION PROHIBITED_CONTENT sensitive",
        "invalid": "spleen OTHER MALFORMED_FUNCTION_CALL FINISH_REASON_UNSPECIFIED",
    }
    outcomes = {"truncated": "length", "refused": "refusal", "invalid": "not_an_answer"}
    for status, words in kinds.items():
        for word in words.split():
            says = f"for an unknown reason ({word!r})" if status == "invalid" else ""
            yield Odd(
                f"stops with {word}",
                lambda way, word=word: stopped(way, word),
                status,
                says=says,
                attempts=(outcomes.get(status, status),),
            )  # type: ignore[misc]
    for word in ("error", "network_error", "insufficient_system_resource", "abort"):
        yield Odd(
            f"stops with {word}",
            lambda way, word=word: stopped(way, word),
            attempts=("server", "ok"),
            billed=(2 * FED, 2 * GAVE),
        )  # type: ignore[misc]


def _errors() -> Iterator[Odd]:
    """Error bodies in all their forms; the words must reach the user."""
    said = "the frobnicator is upside down"
    bodies: dict[str, Any] = {
        "list": [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}],
        "detail": {"detail": said},
        "detail list": {"detail": [{"loc": ["body", "x"], "msg": said, "type": "value_error"}]},
        "message": {"message": said},
        "error text": {"error": said},
        "errors": {"errors": [{"message": said}]},
        "nested": {"error": {"error": {"message": said}}},
        "JSON in a text": {"error": {"message": json.dumps({"error": {"message": said}})}},
        "raw": {"error": {"message": "Provider returned error", "metadata": {"raw": said}}},
        "plain text": said,
        "own names": {"fault": {"faultstring": said}},
        "web page": f"<html><head><title>{said}</title></head><body>x</body></html>",
    }
    for name, data in bodies.items():
        for status in (400, 422):
            yield Odd(
                f"{status} {name}",
                refused(status, data),
                "failed",
                None,
                said,
                ("bad_request",),
                (0, 0),
            )


ODD: tuple[Odd, ...] = (
    Odd("good", good),
    # The beginning.
    Odd(
        "mark before the stream",
        by_stream(lambda d: streamed(BOM + _events_of(d)[0], *_events_of(d)[1:], LAST[d])),
    ),
    Odd("mark in pieces", by_stream(lambda d: streamed(BOM[:1], BOM[1:], *_events_of(d), LAST[d]))),
    Odd("mark before the answer", by_whole(lambda d: body(BOM + json.dumps(whole(d)).encode()))),
    Odd(
        "mark alone before an event of its own",
        by_stream(lambda d: streamed(BOM + b"\n\n", *_events_of(d), LAST[d])),
    ),
    Odd(
        "blank lines keep the connection alive",
        by_whole(
            lambda d: streamed(
                b"\n", b"\n\n", json.dumps(whole(d)).encode(), kind="application/json"
            )
        ),
    ),
    Odd(
        "comments keep the stream alive",
        by_stream(lambda d: streamed(b": hello\n\n", *_events_of(d), b": hello\n\n", LAST[d])),
    ),
    Odd("every byte alone", by_stream(_late_bytes), text=f"é – {TEXT}"),
    *_line_ends(),
    # The label.
    *_plain_labels(),
    # The form.
    Odd("thinking and text as parts", of("openai", _parts)),
    Odd(
        "a part of unknown type",
        _unknown_part,
        "invalid",
        says="'hologram'",
        attempts=("not_an_answer",),
    ),
    Odd("choices numbered by token", of("openai", by_stream(lambda _: _numbered()))),
    Odd("a whole message in a stream", by_stream(lambda d: streamed(*sse([whole(d)]), LAST[d]))),
    Odd(
        "null for a reason until the end",
        of(
            "openai",
            by_stream(
                lambda d: streamed(
                    *sse([part({"content": TEXT}, finish_reason="null"), *ending(d, "stop")]),
                    LAST[d],
                )
            ),
        ),
    ),
    Odd(
        "a long line in the head",
        lambda way: Act(headers={"x-flags": "x" * 9_000}, wire=(good(way).wire)),
    ),
    # The end.
    Odd("silence behind the end", by_stream(lambda d: streamed(*_events_of(d), end="open"))),
    Odd("heartbeats behind the end", by_stream(lambda d: streamed(*_events_of(d), end="beat"))),
    Odd(
        "silence behind the answer",
        by_whole(
            lambda d: streamed(json.dumps(whole(d)).encode(), end="open", kind="application/json")
        ),
    ),
    Odd("no end of the stream", by_stream(lambda d: streamed(*_events_of(d)))),
    Odd("no end, only the connection's", by_stream(lambda d: streamed(*_events_of(d), end="eof"))),
    Odd("broken behind the end", by_stream(lambda d: streamed(*_events_of(d), 0.02, end="break"))),
    Odd(
        "broken behind the answer",
        by_whole(
            lambda d: streamed(
                json.dumps(whole(d)).encode(), 0.02, end="break", kind="application/json"
            )
        ),
    ),
    Odd(
        "nothing ends the last event",
        by_stream(lambda d: streamed(*_events_of(d)[:-1], _events_of(d)[-1].rstrip(), end="eof")),
    ),
    Odd(
        "nothing ends the last event, broken",
        by_stream(
            lambda d: streamed(*_events_of(d)[:-1], _events_of(d)[-1].rstrip(), 0.02, end="break")
        ),
    ),
    Odd(
        "the end of a stream behind an answer",
        by_whole(
            lambda d: streamed(
                json.dumps(whole(d)).encode() + b"\n\n",
                b"data: [DONE]\n\n",
                kind="application/json",
            )
        ),
    ),
    # What is cut.
    Odd(
        "cut in the first event",
        by_stream(lambda d: streamed(_events_of(d)[0][:30], end="eof")),
        "failed",
        "",
        "without a stop",
        ("cut",),
        None,
    ),
    Odd(
        "cut in the last event",
        by_stream(
            lambda d: streamed(
                *sse([*opening(d), *(delta(d, p) for p in PIECES)]),
                sse(ending(d, END[d]))[0 if d == "openai" else 1][:40],
                end="eof",
            )
        ),
        "failed",
        TEXT,
        "without a stop",
        ("cut",),
        None,
    ),
    Odd(
        "cut between two pieces",
        by_stream(lambda d: streamed(*sse([*opening(d), delta(d, TEXT)]), end="eof")),
        "failed",
        TEXT,
        "without a stop",
        ("cut",),
        None,
    ),
    Odd(
        "half an answer",
        by_whole(lambda d: body(json.dumps(whole(d)).encode()[:-9])),
        "invalid",
        None,
        "not an API answer",
        ("not_an_answer",),
        None,
    ),
    # Why it stopped.
    *_reasons(),
    Odd(
        "an error in the choice",
        both("openai", stop="error", error=ERROR),
        attempts=("server", "ok"),
        billed=(2 * FED, 2 * GAVE),
    ),
    Odd(
        "an error in a choice that stopped well",
        both("openai", stop="stop", error=ERROR),
        attempts=("server", "ok"),
        billed=(2 * FED, 2 * GAVE),
    ),
    Odd(
        "a key's error in the choice",
        both("openai", stop="error", error={"code": 401, "message": "bad key"}),
        attempts=("server", "ok"),
        billed=(2 * FED, 2 * GAVE),
    ),
    Odd(
        "an event that is named an error",
        by_stream(
            lambda d: streamed(
                *sse(opening(d)), b'event: error\ndata: {"message": "over", "code": 503}\n\n'
            )
        ),
        attempts=("server", "ok"),
    ),
    # Filters.
    Odd(
        "output filtered",
        refused(400, FILTERED),
        "refused",
        None,
        "filtering policy",
        ("refusal",),
        None,
    ),
    Odd(
        "output filtered in the stream",
        by_stream(lambda d: streamed(*sse([*opening(d), delta(d, "ANSWER: s"), FILTERED]))),
        "refused",
        None,
        "filtering policy",
        ("refusal",),
        None,
    ),
    Odd(
        "prompt flagged",
        refused(
            403,
            {
                "error": {
                    "code": 403,
                    "message": "Input flagged",
                    "metadata": {"reasons": ["violence"]},
                }
            },
        ),
        "refused",
        None,
        "violence",
        ("refusal",),
        (0, 0),
    ),
    Odd(
        "against the guidelines",
        refused(403, {"error": {"message": "Content violates usage guidelines."}}),
        "refused",
        None,
        "usage guidelines",
        ("refusal",),
        (0, 0),
    ),
    # Limits and overload.
    Odd(
        "too large for a minute, 413",
        refused(413, TOO_MUCH, retry_after="5"),
        "failed",
        None,
        "--max-tokens",
        ("too_large",),
        (0, 0),
    ),
    Odd(
        "too large for a minute, 429",
        refused(429, TOO_MUCH, retry_after="5"),
        "failed",
        None,
        "--max-tokens",
        ("too_large",),
        (0, 0),
    ),
    Odd("room in a moment", refused(429, IN_USE), attempts=("rate_limit", "ok")),
    Odd(
        "529",
        refused(529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
        attempts=("server", "ok"),
    ),
    Odd(
        "498",
        refused(498, {"error": {"message": "flex capacity exceeded"}}),
        attempts=("rate_limit", "ok"),
    ),
    Odd(
        "503 as a web page",
        refused(503, "<html><title>503</title><body>no</body></html>"),
        attempts=("server", "ok"),
    ),
    Odd(
        "told to ask again",
        refused(400, {"error": {"message": "odd"}}, x_should_retry="true"),
        attempts=("server", "ok"),
    ),
    Odd(
        "told not to ask again",
        refused(503, {"error": {"message": "odd"}}, x_should_retry="false"),
        "failed",
        None,
        "odd",
        ("server",),
        (0, 0),
    ),
    Odd(
        "limited, told not to ask again",
        refused(429, {"error": {"message": "odd"}}, x_should_retry="false", retry_after="1"),
        "failed",
        None,
        "odd",
        ("rate_limit",),
        (0, 0),
    ),
    Odd(
        "a day to wait",
        refused(429, {"error": {"message": "odd"}}, retry_after="86400"),
        "failed",
        None,
        "86400 s",
        ("rate_limit",),
        (0, 0),
    ),
    # Other statuses.
    Odd(
        "206",
        lambda way: Act(status=206, wire=good(way).wire),
        "invalid",
        None,
        "status 206",
        ("not_an_answer",),
        None,
    ),
    Odd(
        "202 queued",
        lambda way: body({"status": "queued"}, status=202),
        "invalid",
        None,
        "status 202",
        ("not_an_answer",),
        None,
    ),
    Odd("a bare 403", refused(403, "<html>blocked</html>"), attempts=("forbidden", "ok")),
    # Words.
    *_errors(),
    Odd(
        "a wrong key as 400 in a list",
        refused(
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": "API key not valid. Please pass a valid API key.",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
        ),
        "failed",
        None,
        "API key not valid",
        ("auth",),
        (0, 0),
    ),
)

CASES = [(way, odd) for odd in ODD for way in WAYS if odd.act(way) is not None]
