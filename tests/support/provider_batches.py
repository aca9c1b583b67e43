"""The batch APIs of a scripted provider: Anthropic's Message Batches, and OpenAI's files and batches.

    server.batches.seconds = None          # a batch is under way until `server.batches.finish()`
    server.batches.fate = lambda at, name: "expired" if at % 10 == 0 else ""
    server.batches.script("create", Act(status=500), Act())      # as `Loopback.script`, for an operation
    server.batches.script("create", Accepted(Act(reset="close")))  # the batch is made, and nobody hears of it
    server.batches.patch = {"request_counts.succeeded": -5}       # in whatever is told of a batch
    server.batches.rewrite = lambda lines: lines[:3]              # of each file of results

What a request in a batch gets is chosen by its model's name, as for a single call. Batches are kept as long as
the server runs, whoever asks for them. All times are real ones; `skew` moves the clock that is told.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from provider_acts import Act
from provider_dialects import DIALECTS, Call, patched

if TYPE_CHECKING:
    from provider import Loopback

Fate = Literal["", "expired", "canceled", "missing", "duplicate"]
"""What becomes of a request besides its act: "" is answered; "missing" has no result at all."""
Operation = Literal["upload", "delete", "create", "list", "retrieve", "cancel", "results", "errors"]
DAY = 24 * 3600
ANTHROPIC = re.compile(r"/v1/messages/batches(?:/(?P<id>[^/]+)(?:/(?P<what>results|cancel))?)?$")
OPENAI = re.compile(r"/batches(?:/(?P<id>[^/]+)(?:/(?P<what>cancel))?)?$")
FILES = re.compile(r"/files(?:/(?P<id>[^/]+)(?P<what>/content)?)?$")
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
ENDS = ("succeeded", "errored", "canceled", "expired")
NEVER = {
    "expired": ("batch_expired", "This request could not be executed before the window expired."),
    "canceled": ("batch_cancelled", "This request was not executed as the batch was cancelled."),
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """An act that comes after the server has done what it was asked for."""

    act: Act


@dataclass(slots=True)
class Batch:
    """One batch.

    Attributes:
        id: by which it is asked for.
        requests: the body of each by its custom id, in order.
        endpoint: where each would be posted by itself.
        created: by the server's own clock, as all moments here.
        seconds: after which it ends; None where it waits to be told.
        metadata: as sent with it.
        input_file: where its requests came from.
        headers: of the request that created it.
        ended: when it ended; None before.
        cancelled: when that was asked for.
        errors: why it was refused; empty for a good one.
        lines: of both files of results, once it has ended and somebody has asked.
        counts: how many of its requests ended how, likewise.
    """

    id: str
    requests: dict[str, dict[str, Any]]
    endpoint: str
    created: float
    seconds: float | None
    metadata: dict[str, str] | None = None
    input_file: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    ended: float | None = None
    cancelled: float | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    lines: tuple[list[bytes], list[bytes]] | None = None
    counts: Counter[str] = field(default_factory=Counter)


class Batches:
    """All batches of a server.

    Attributes:
        made: every batch by its id, in order.
        files: what was uploaded.
        seconds: how long a batch takes; None: until `finish`.
        cancelling: how long a cancelled one takes to end.
        fate: of each request, by its place and custom id.
        refusal: errors by which batches fail at their validation (OpenAI).
        refusals: how many of the next batches do.
        patch: dotted paths replaced in whatever is told of a batch.
        rewrite: changes the lines of a file of results.
        skew: seconds by which the clock that is told is wrong.
        page: the most batches in a page of a list.
    """

    def __init__(self, server: Loopback) -> None:
        self._server = server
        self.made: dict[str, Batch] = {}
        self.files: dict[str, bytes] = {}
        self.seconds: float | None = 0.0
        self.cancelling = 0.0
        self.fate: Callable[[int, str], Fate] = lambda at, name: ""
        self.refusal: list[dict[str, Any]] = []
        self.refusals = 10**9
        self.patch: Mapping[str, Any] = {}
        self.rewrite: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
        self.skew = 0.0
        self.page = 1000
        self._scripts: dict[str, list[Act | Accepted]] = {}

    def script(self, operation: Operation, *acts: Act | Accepted) -> None:
        """Make this operation get these acts in turn, the last one for good."""
        self._scripts[operation] = list(acts)

    def finish(self) -> None:
        """Let all batches end that are under way."""
        for batch in self.made.values():
            batch.seconds = 0.0

    def names(self) -> list[str]:
        """The custom ids of all requests that were ever sent, in order."""
        return [name for batch in self.made.values() for name in batch.requests]

    def act_for(self, call: Call, raw: bytes) -> Act | None:
        """What a request about batches gets; None where it is no such request."""
        path = call.endpoint
        if found := ANTHROPIC.search(path):
            return self._played(call, raw, found, self._anthropic)
        if (found := FILES.search(path)) and "/v1/" in path:
            return self._played(call, raw, found, self._store)
        if (found := OPENAI.search(path)) and "/v1/" in path:
            return self._played(call, raw, found, self._openai)
        return None

    def _played(self, call: Call, raw: bytes, found: re.Match[str], do: Callable[..., Act]) -> Act:
        """The scripted act, before or after what was asked for; else what comes of that."""
        operation = self._operation(call, found)
        acts = self._scripts.get(operation)
        act = None if not acts else acts.pop(0) if len(acts) > 1 else acts[0]
        if isinstance(act, Act) and act != Act():
            if act.then == "stop" and not act.gzip:
                return act
            whole = do(call, raw, found, operation)  # good in itself, but not how it is sent
            return Act(body=whole.body, then=act.then, gzip=act.gzip, headers=whole.headers)
        done = do(call, raw, found, operation)
        return act.act if isinstance(act, Accepted) else done

    def _operation(self, call: Call, found: re.Match[str]) -> Operation:
        what = (found["what"] or "").removeprefix("/")
        if found.re is FILES:
            if what and "_errors" in found["id"]:
                return "errors"
            return "results" if what else "delete" if call.method == "DELETE" else "upload"
        if what:
            return "cancel" if what == "cancel" else "results"
        if found["id"]:
            return "retrieve"
        return "create" if call.method == "POST" else "list"

    def _anthropic(self, call: Call, raw: bytes, found: re.Match[str], operation: str) -> Act:
        if operation == "create":
            requests = {each["custom_id"]: each["params"] for each in call.body["requests"]}
            if len(requests) < len(call.body["requests"]):
                return _error(400, "custom_id must be unique")
            batch = self._make("msgbatch", requests, "/v1/messages", call)
            return Act(body=self._as_anthropic(batch))
        if operation == "list":
            return Act(body=self._page(call, self._as_anthropic, "before_id", "after_id"))
        if (batch := self._find(found["id"])) is None:
            return _error(404, f"batch {found['id']} not found")
        if operation == "cancel":
            if batch.ended is not None:
                return _error(400, "the batch has ended")
            self._cancel(batch)
        elif operation == "results":
            if batch.ended is None:
                return _error(400, "the batch has not ended")
            return _file(self.rewrite(self._lines(batch)[0]))
        return Act(body=self._as_anthropic(batch))

    def _store(self, call: Call, raw: bytes, found: re.Match[str], operation: str) -> Act:
        if operation == "upload":
            name, held = _uploaded(call.headers["content-type"], raw)
            file = f"file-{len(self.files)}"
            self.files[file] = held
            told = {"id": file, "object": "file", "filename": name, "purpose": "batch"}
            return Act(body={**told, "bytes": len(held), "created_at": 1, "status": "processed"})
        file = found["id"]
        if operation == "delete":
            known = self.files.pop(file, None) is not None
            told = {"id": file, "object": "file", "deleted": True}
            return Act(body=told) if known else _error(404, "no such file")
        kind, _, name = file.partition("-of-")
        batch = self._find(name)
        if batch is None or batch.ended is None:
            return _error(404, f"no such file: {file}")
        return _file(self.rewrite(self._lines(batch)[kind == "file_errors"]))

    def _openai(self, call: Call, raw: bytes, found: re.Match[str], operation: str) -> Act:
        if operation == "create":
            held = self.files.get(call.body["input_file_id"])
            if held is None:
                return _error(404, "no such file")
            listed = [json.loads(line) for line in held.splitlines() if line.strip()]
            requests = {each["custom_id"]: each["body"] for each in listed}
            batch = self._make("batch", requests, call.body["endpoint"], call)
            batch.input_file = call.body["input_file_id"]
            batch.metadata = call.body.get("metadata")
            if self.refusal and self.refusals:
                self.refusals -= 1
                batch.errors, batch.ended = self.refusal, batch.created
            return Act(body=self._as_openai(batch))
        if operation == "list":
            return Act(body=self._page(call, self._as_openai, "", "after"))
        if (batch := self._find(found["id"])) is None:
            return _error(404, f"No batch found with id '{found['id']}'.")
        if operation == "cancel":
            if batch.ended is not None:
                return _error(409, "Cannot cancel a batch that has ended.")
            self._cancel(batch)
        return Act(body=self._as_openai(batch))

    def _make(
        self, kind: str, requests: dict[str, dict[str, Any]], endpoint: str, call: Call
    ) -> Batch:
        name = f"{kind}_{len(self.made):06}"
        now = time.time()
        batch = Batch(name, requests, endpoint, now, self.seconds, headers=call.headers)
        self.made[name] = batch
        return batch

    def _find(self, name: str) -> Batch | None:
        batch = self.made.get(name)
        if batch is not None:
            self._move_on(batch)
        return batch

    def _cancel(self, batch: Batch) -> None:
        batch.cancelled = batch.cancelled or time.time()

    def _move_on(self, batch: Batch) -> None:
        """Let a batch end whose time is over."""
        if batch.ended is not None:
            return
        ends = [] if batch.seconds is None else [batch.created + batch.seconds]
        ends += [] if batch.cancelled is None else [batch.cancelled + self.cancelling]
        if ends and min(ends) <= time.time():
            batch.ended = max(min(ends), batch.created)

    def _fates(self, batch: Batch) -> dict[str, Fate]:
        """What becomes of each request; of a cancelled batch nothing more is done than by its fate."""
        early = batch.cancelled is not None
        found = {name: self.fate(at, name) for at, name in enumerate(batch.requests)}
        return {name: fate or ("canceled" if early else "") for name, fate in found.items()}

    def _page(
        self, call: Call, told: Callable[[Batch], dict[str, Any]], before: str, after: str
    ) -> dict[str, Any]:
        """A page of the list, the newest first."""
        query = {name: each[-1] for name, each in parse_qs(urlsplit(call.path).query).items()}
        mine = "batch_" if after == "after" else "msgbatch_"
        listed = [batch for batch in reversed(self.made.values()) if batch.id.startswith(mine)]
        places = {batch.id: at for at, batch in enumerate(listed)}
        limit = min(int(query.get("limit", 20)), self.page)
        if before and before in query:
            end = places.get(query[before], 0)
            chosen, more = listed[max(0, end - limit) : end], end > limit
        else:
            begin = places.get(query.get(after, ""), -1) + 1
            chosen, more = listed[begin : begin + limit], len(listed) > begin + limit
        for batch in chosen:
            self._move_on(batch)
        ends = {"first_id": chosen[0].id, "last_id": chosen[-1].id} if chosen else {}
        rows = [told(batch) for batch in chosen]
        return {"object": "list", "data": rows, "has_more": more, **ends}

    def _as_anthropic(self, batch: Batch) -> dict[str, Any]:
        """What is told of a batch."""
        if over := batch.ended is not None:
            self._lines(batch)
        counts = {word: batch.counts[word] for word in ENDS}
        status = "ended" if over else "canceling" if batch.cancelled else "in_progress"
        told = {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": {"processing": 0 if over else len(batch.requests), **counts},
            "created_at": self._shown(batch.created),
            "expires_at": self._shown(batch.created + DAY),
            "ended_at": self._shown(batch.ended),
            "cancel_initiated_at": self._shown(batch.cancelled),
            "archived_at": None,
            "results_url": f"{self._server.url}/v1/messages/batches/{batch.id}/results"
            if over
            else None,
        }
        return patched(told, self.patch)

    def _as_openai(self, batch: Batch) -> dict[str, Any]:
        """What is told of a batch."""
        over, total = batch.ended is not None, len(batch.requests)
        counts = {"completed": 0, "failed": 0}
        files = {"output_file_id": None, "error_file_id": None}
        status, ended = "in_progress", ""
        if batch.errors:
            status, ended, total = "failed", "failed_at", 0
        elif over:
            good, bad = self._lines(batch)
            counts = {"completed": batch.counts["succeeded"]}
            counts["failed"] = batch.counts.total() - counts["completed"]
            files["output_file_id"] = f"file_output-of-{batch.id}" if good else None
            files["error_file_id"] = f"file_errors-of-{batch.id}" if bad else None
            cut = "cancelled" if batch.cancelled else ""
            status = cut or ("expired" if batch.counts["expired"] else "completed")
            ended = f"{status}_at"
        elif batch.cancelled:
            status = "cancelling"
        told = {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "input_file_id": batch.input_file,
            "completion_window": "24h",
            "status": status,
            **files,
            "created_at": int(batch.created + self.skew),
            "expires_at": int(batch.created + self.skew + DAY),
            **({ended: int((batch.ended or 0) + self.skew)} if ended else {}),
            "request_counts": {"total": total, **counts},
            "metadata": batch.metadata,
        }
        return patched(told, self.patch)

    def _shown(self, moment: float | None) -> str | None:
        if moment is None:
            return None
        return datetime.fromtimestamp(moment + self.skew, UTC).isoformat()

    def _lines(self, batch: Batch) -> tuple[list[bytes], list[bytes]]:
        """The lines of both files; the same whoever reads them."""
        if batch.lines is None:
            good: list[bytes] = []
            bad: list[bytes] = []
            for at, (name, fate) in enumerate(self._fates(batch).items()):
                end, line = self._line(batch, at, name, fate)
                batch.counts[end] += 1
                times = {"missing": 0, "duplicate": 2}.get(fate, 1)
                apart = end != "succeeded" and not batch.id.startswith("msg")
                (bad if apart else good).extend([line] * times)
            if batch.id.startswith("msg"):  # in any order
                good.reverse()
            batch.lines = good, bad
        return batch.lines

    def _line(self, batch: Batch, at: int, name: str, fate: Fate) -> tuple[str, bytes]:
        """How one request ended, and its result."""
        status, said = 0, {}
        if fate not in NEVER:
            status, said = self._answer(batch, at, batch.requests[name])
        end = "succeeded" if status == 200 else "errored" if status else str(fate)
        if batch.id.startswith("msg"):
            result: dict[str, Any] = {"type": end}
            if status == 200:
                result["message"] = said
            elif status:
                result["error"] = {"type": "error", **said}
            return end, _as_line({"custom_id": name, "result": result})
        line: dict[str, Any] = {"id": f"batch_req_{at}", "custom_id": name}
        if status:
            response = {"status_code": status, "request_id": f"req_{name}", "body": said}
            return end, _as_line({**line, "response": response, "error": None})
        code, words = NEVER[fate]
        error = {"code": code, "message": words}
        return end, _as_line({**line, "response": None, "error": error})

    def _answer(self, batch: Batch, at: int, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body that a request by itself would get."""
        call = Call(batch.endpoint, batch.headers, body, at, 0.0, 1)
        act = self._server.act_for(call)
        if act.status == 200 and act.body is None:
            text = self._server.answer(call) if act.text is None else act.text
            said = DIALECTS[call.dialect](call, act, text).message()
            if isinstance(said.get("usage"), dict) and call.dialect == "anthropic":
                said["usage"]["service_tier"] = "batch"
            return 200, said
        said = act.body
        if isinstance(said, str):
            with contextlib.suppress(ValueError):
                said = json.loads(said)
        if act.status != 200 and not isinstance(said, dict):
            words = said if isinstance(said, str) else f"scripted status {act.status}"
            kind = TYPES.get(
                act.status, "invalid_request_error" if act.status < 500 else "api_error"
            )
            said = {"error": {"type": kind, "code": None, "param": None, "message": words}}
        return act.status, said


def _as_line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _file(lines: list[bytes]) -> Act:
    return Act(body=b"".join(lines), headers={"content-type": "application/binary"})


def _error(status: int, words: str) -> Act:
    return Act(
        status=status, body={"error": {"type": TYPES.get(status, "error"), "message": words}}
    )


def _uploaded(kind: str, raw: bytes) -> tuple[str, bytes]:
    """The name and the bytes of the file in a form."""
    boundary = b"--" + re.findall(r'boundary="?([^";]+)', kind)[0].encode()
    for part in raw.split(boundary):
        head, _, held = part.partition(b"\r\n\r\n")
        said = BytesParser(policy=HTTP).parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        if (name := said.get_filename()) is not None:
            return str(name), held.removesuffix(b"\r\n")
    return "", b""
