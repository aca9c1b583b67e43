"""What can be wrong with a batch, as tables: its results, what is told of it, and the way to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from provider_acts import HTML, Act, Wire

from parallm_magics.core.tasks import FaultKind

Rewrite = Callable[[list[bytes]], list[bytes]]
ALL = ("0", "1", "2", "3")
LONG = 9 * 2**20


@dataclass(frozen=True, slots=True)
class Results:
    """A file of the results of four requests, numbered from 0 in the order in which they come.

    Attributes:
        rewrite: what is sent in the place of the good lines.
        read: the requests whose answers are read, in order; "?" stands for an id that nobody knows.
        fault: what is told after that; None for nothing.
        says: what that says, among other things.
        failed: the requests that have come with a fault.
    """

    rewrite: Rewrite
    read: tuple[str, ...] = ALL
    fault: FaultKind | None = None
    says: str = ""
    failed: tuple[str, ...] = ()


def changed(line: bytes, **fields: Any) -> bytes:
    """A line with other fields."""
    return json.dumps(json.loads(line) | fields).encode() + b"\n"


def grown(line: bytes) -> bytes:
    """A line that is too long to be an answer."""
    return line.rstrip()[:-1] + b', "more": "' + b"x" * LONG + b'"}\n'


def put(at: int, line: bytes) -> Rewrite:
    """Another line in this place."""
    return lambda lines: [*lines[:at], line, *lines[at + 1 :]]


def told(at: int, **fields: Any) -> Rewrite:
    """Other fields in the line in this place."""
    return lambda lines: [*lines[:at], changed(lines[at], **fields), *lines[at + 1 :]]


UNREADABLE: FaultKind = "not_an_answer"
ONE_GONE = ("0", "2", "3")
RESULTS: dict[str, Results] = {
    "as they should be": Results(lambda lines: lines),
    "in another order": Results(lambda lines: lines[::-1], ALL[::-1]),
    "blank lines between": Results(lambda lines: [b"\n", b"  \n", *lines, b"\r\n"]),
    "lines end with CRLF": Results(lambda lines: [line[:-1] + b"\r\n" for line in lines]),
    "a byte order mark": Results(lambda lines: [b"\xef\xbb\xbf" + lines[0], *lines[1:]]),
    "no end of the last line": Results(lambda lines: [*lines[:-1], lines[-1].rstrip()]),
    "one is missing": Results(lambda lines: [lines[0], *lines[2:]], ONE_GONE),
    "all are missing": Results(lambda lines: [], ()),
    "one comes twice": Results(lambda lines: [*lines, lines[0]], (*ALL, "0")),
    "one that nobody sent": Results(
        lambda lines: [*lines, changed(lines[0], custom_id="gone-7")], (*ALL, "?")
    ),
    "cut in a line": Results(
        lambda lines: [*lines[:3], lines[3][:40]], ALL[:3], UNREADABLE, "1 line "
    ),
    "cut in its first line": Results(lambda lines: [lines[0][:40]], (), UNREADABLE, "1 line "),
    "a line that is no JSON": Results(
        put(1, b"upstream reset\n"), ONE_GONE, UNREADABLE, "upstream reset"
    ),
    "bytes that are no text": Results(put(1, b"\xff\xfe\x00{\n"), ONE_GONE, UNREADABLE),
    "a line that is null": Results(put(1, b"null\n"), ONE_GONE, UNREADABLE),
    "a line that is a list": Results(put(1, b"[1, 2]\n"), ONE_GONE, UNREADABLE),
    "a line that is too deep": Results(put(1, b"[" * 99_999 + b"\n"), ONE_GONE, UNREADABLE),
    "an empty object": Results(put(1, b"{}\n"), ONE_GONE, UNREADABLE),
    "an error in a line's place": Results(
        put(1, b'{"error": {"type": "api_error", "message": "file store is down"}}\n'),
        ONE_GONE,
        UNREADABLE,
        "file store is down",
    ),
    "no id": Results(told(1, custom_id=None), ONE_GONE, UNREADABLE),
    "an id that is a number": Results(told(1, custom_id=7), ONE_GONE, UNREADABLE),
    "a line of nine megabytes": Results(
        lambda lines: [lines[0], grown(lines[1]), *lines[2:]], ALL, failed=("1",)
    ),
    "nine megabytes of nothing": Results(
        put(1, b"x" * LONG + b"\n"), ONE_GONE, UNREADABLE, "1 line "
    ),
    "a web page": Results(lambda lines: [HTML.encode()], (), UNREADABLE, "proxy login"),
    "the key in an answer": Results(
        lambda lines: [line.replace(b"echo", b"sk-CANARY-0123456789abcdef") for line in lines]
    ),
    "half a character in an answer": Results(
        lambda lines: [line.replace(b"echo", b"\\ud83d") for line in lines]
    ),
}

# Of the line of one request alone, by the dialect: its other fields, and the fault that it ends in.
ANSWERS: dict[str, dict[str, tuple[dict[str, Any], FaultKind]]] = {
    "anthropic": {
        "no message": ({"result": {"type": "succeeded"}}, "not_an_answer"),
        "a text as message": ({"result": {"type": "succeeded", "message": "hi"}}, "not_an_answer"),
        "an error as message": (
            {"result": {"type": "succeeded", "message": {"type": "error", "error": {}}}},
            "server",
        ),
        "an error without words": ({"result": {"type": "errored"}}, "bad_request"),
        "an older error": (
            {"result": {"type": "errored", "error": {"type": "overloaded_error", "message": "x"}}},
            "server",
        ),
        "expired": ({"result": {"type": "expired"}}, "timeout"),
        "canceled": ({"result": {"type": "canceled"}}, "cancelled"),
    },
    "openai": {
        "no body": ({"response": {"status_code": 200}}, "not_an_answer"),
        "a text as body": ({"response": {"status_code": 200, "body": "hi"}}, "not_an_answer"),
        "an error as body": (
            {"response": {"status_code": 200, "body": {"error": {"message": "overloaded"}}}},
            "server",
        ),
        "a text as error": ({"response": {"status_code": 502, "body": "Bad Gateway"}}, "server"),
        "a status that is a text": (
            {"response": {"status_code": "200", "body": None}},
            "not_an_answer",
        ),
        "neither": ({"response": None, "error": None}, "server"),
        "timed out": (
            {"response": None, "error": {"code": "request_timeout", "message": "slow"}},
            "server",
        ),
        "expired": ({"response": None, "error": {"code": "batch_expired"}}, "timeout"),
        "cancelled": ({"response": None, "error": {"code": "batch_cancelled"}}, "cancelled"),
    },
}
ANSWERS["openai-responses"] = ANSWERS["openai"]
FREE = frozenset({"expired", "canceled", "cancelled"})

LM_STUDIO = {"error": "Unexpected endpoint or method. (POST /v1/files)"}


@dataclass(frozen=True, slots=True)
class Way:
    """What happens to a request about a batch.

    Attributes:
        act: what the server does with it.
        fault: what is told.
        certain: whether a batch has certainly not been made by it.
        says: what the fault says, among other things.
    """

    act: Act
    fault: FaultKind
    certain: bool = False
    says: str = ""


def status(number: int, **more: Any) -> Act:
    """An error with this status."""
    return Act(status=number, **more)


WAYS: dict[str, Way] = {
    "400": Way(status(400), "bad_request", certain=True),
    "401": Way(status(401, body={"error": {"message": "wrong key {key}"}}), "auth", certain=True),
    "403": Way(status(403), "auth", certain=True),
    "404": Way(status(404), "bad_request", certain=True),
    "405": Way(status(405, body="Method Not Allowed"), "bad_request", certain=True),
    "413": Way(status(413), "too_large", certain=True, says="larger than it takes"),
    "429": Way(status(429, headers={"retry-after": "3"}), "rate_limit", certain=True),
    "out of money": Way(
        status(429, body={"error": {"code": "insufficient_quota", "message": "no money"}}),
        "quota",
        certain=True,
    ),
    "redirect": Way(
        status(307, headers={"location": "http://127.0.0.1:9/x"}, body=""),
        "bad_request",
        certain=True,
        says="redirects",
    ),
    "408": Way(status(408), "server"),
    "409": Way(status(409), "server"),
    "500": Way(status(500), "server"),
    "503 with a page": Way(status(503, body=HTML), "server"),
    "529": Way(status(529), "server"),
    "reset": Way(Act(reset="before"), "connection"),
    "close": Way(Act(reset="close"), "connection"),
    "cut": Way(Act(wire=Wire((b'{"id": "msgb',), "break", "application/json")), "connection"),
    "silence": Way(Act(hang=True), "timeout"),
    "html": Way(
        Act(body=HTML, headers={"content-type": "text/html"}),
        "not_an_answer",
        says="does not seem to have a batch API",
    ),
    "empty": Way(Act(body=""), "not_an_answer"),
    "half": Way(Act(body='{"id": '), "not_an_answer"),
    "null": Way(Act(body="null"), "not_an_answer"),
    "list": Way(Act(body="[]"), "not_an_answer"),
    "object": Way(Act(body="{}"), "not_an_answer"),
    "an id that is a number": Way(Act(body='{"id": 7}'), "not_an_answer"),
    "an error with status 200": Way(
        Act(body=LM_STUDIO), "not_an_answer", says="Unexpected endpoint"
    ),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a batch that has ended, and what is made of it.

    Attributes:
        patch: dotted paths replaced in what is told.
        expected: fields of its state.
    """

    patch: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


STATES: dict[str, dict[str, Told]] = {
    "anthropic": {
        "counts below zero": Told(
            {"request_counts.succeeded": -5}, {"succeeded": 0, "total": None}
        ),
        "counts of text": Told({"request_counts.errored": "2"}, {"failed": 0, "total": None}),
        "counts that cannot be": Told({"request_counts.expired": 10**30}, {"total": None}),
        "counts that add up to more": Told(
            {"request_counts.succeeded": 99}, {"succeeded": 99, "total": 99}
        ),
        "no counts": Told({"request_counts": None}, {"total": None, "succeeded": 0, "failed": 0}),
        "no times": Told(
            {"created_at": None, "expires_at": "soon", "ended_at": 7},
            {"created": None, "expires": None, "ended": None},
        ),
        "a time without zone": Told(
            {"created_at": "2026-11-30T00:00:00"}, {"created": 1795996800.0}
        ),
        "a time before all": Told({"created_at": "0001-01-01T00:00:00+23:59"}),
        "no address of results": Told({"results_url": None}, {"status": "ended"}),
        "results elsewhere": Told({"results_url": "http://127.0.0.1:9/steal"}, {"status": "ended"}),
        "a new status": Told({"processing_status": "paused"}, {"status": "under way"}),
        "no status": Told({"processing_status": None}, {"status": "under way"}),
    },
    "openai": {
        "counts below zero": Told({"request_counts.completed": -5}, {"succeeded": 0}),
        "counts of text": Told({"request_counts.total": "2"}, {"total": None}),
        "counts that cannot be": Told({"request_counts.total": 10**30}, {"total": None}),
        "no counts": Told({"request_counts": None}, {"total": None, "succeeded": 0, "failed": 0}),
        "no times": Told(
            {"created_at": None, "expires_at": "soon", "completed_at": True},
            {"created": None, "expires": None, "ended": None},
        ),
        "times that are none": Told({"created_at": -1, "expires_at": 10**30}, {"created": None}),
        "no metadata": Told({"metadata": None}, {"nonce": ""}),
        "metadata of text": Told({"metadata": "parallm"}, {"nonce": ""}),
        "another's metadata": Told({"metadata": {"parallm_nonce": 7}}, {"nonce": ""}),
        "a new status": Told({"status": "paused"}, {"status": "under way"}),
        "no status": Told({"status": None}, {"status": "under way"}),
        "failed, but with results": Told({"status": "failed"}, {"status": "ended", "why": ""}),
        "expired": Told({"status": "expired"}, {"status": "ended", "why": "the batch expired"}),
        "errors of text": Told(
            {"status": "failed", "output_file_id": None, "errors": "no"},
            {"status": "refused", "why": "the provider does not say why", "passing": False},
        ),
    },
}
STATES["openai-responses"] = STATES["openai"]
