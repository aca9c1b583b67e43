"""One recorded outcome as one line of text: written, told from a damaged one, and read again.

A line is a JSON object. Its first fields stand at fixed places, so that a large file is indexed
without reading its JSON; its last one is a checksum over the bytes before it. Both hold in every
version of the format.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from typing import Any, NamedTuple, get_args

from parallm_magics.answers.thinking import ONLY_THINKING, split_thinking
from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.tasks import Attempt, Fault, Record, Status, Task, Usage

SCHEMA = 1
UNREADABLE = "unreadable"  # the kind of fault of an answer in which nothing could be read
OPENING = b'{"schema":'
_VERSION = re.compile(re.escape(OPENING) + rb"(\d{1,9})(?=[,}])")
_FRONT = re.compile(
    re.escape(OPENING)
    + rb'(\d{1,9}),"key":"([0-9a-f]{32})","sample":(\d{1,9}),"status":"([a-z_]{1,20})",'
    + rb'(?:"further":(\d{1,9}),)?'
)
_SEAL = ',"sum":"%s"}'
_SEAL_LENGTH = len(_SEAL % ("0" * 16))
BATCH = "batch_"
"""With this the status begins of a line that tells of a batch, and of no request's outcome."""
_BOM = "\ufeff".encode()
# Valid JSON, but some tools break lines at them, hide them, turn text around at them or cannot
# read the file at all. A high surrogate before a low one stays: escaped, the two would be read as
# one character.
_UNSEEN = re.compile(
    "[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|[\udc00-\udfff]"
)
_MONEY = re.compile(r"-?\d{1,15}(\.\d{1,60})?")
_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Front(NamedTuple):
    """What a line says in its first fields.

    Attributes:
        key: of the request.
        sample: ordinal among identical requests of one cell.
        status: how it ended.
        further: how often its run had been taken up before, by `retry()`.
    """

    key: str
    sample: int
    status: str
    further: int = 0


class NewerSchemaError(Exception):
    """The line was written by a later version, in a form that this one does not know."""


# --- writing --------------------------------------------------------------------------------------


def entry_of(task: Task, record: Record, front: Front, request: dict[str, Any]) -> dict[str, Any]:
    """Everything that a line says, but for its checksum; withheld text is left out."""
    said = record.to_dict() | {
        "cost": None if record.cost is None else f"{record.cost:f}",
        "saved": None if record.saved is None else f"{record.saved:f}",
        "address": record.address or None,
        "adapted": record.adapted or None,
    }
    if record.status == "blocked":
        said |= {"text": "", "thinking": None, "probabilities": None}
    if record.error is not None and record.error.http is not None:
        said["error"]["http"] = record.error.http
    outcome = {name: said[name] for name in OUTCOME if said.get(name) is not None}
    if record.cost is not None:
        outcome["priced"] = datetime.now(UTC).date().isoformat()
    return {
        "schema": SCHEMA,
        "key": front.key,
        "sample": front.sample,
        "status": front.status,
        **({"further": front.further} if front.further else {}),
        "worker": task.name,
        **stamp(),
        "request": request,
        "outcome": outcome,
    }


def stamp() -> dict[str, str]:
    """When and by which version a line is written."""
    return {
        "recorded": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "parallm_magics": package_version(),
    }


def line_of(entry: dict[str, Any]) -> bytes:
    """The entry as one line with its checksum, the newline included."""
    body = _dump(entry)[:-1]
    return body + (_SEAL % _checksum(body)).encode() + b"\n"


def _dump(value: Any) -> bytes:
    text = _WRITER.encode(value)
    if not text.isascii():
        text = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode("utf-8", "surrogatepass")


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


@functools.cache
def package_version() -> str:
    """The installed version; "" where this is run from its source."""
    try:
        return metadata.version("parallm_magics")
    except metadata.PackageNotFoundError:  # run from its source
        return ""


# --- telling a whole line from a damaged one ------------------------------------------------------


def front_of(line: bytes) -> Front | None:
    """The first fields of a line, read without its JSON; None for a damaged one.

    Raises:
        NewerSchemaError: the line is whole, as far as can be told, and of a later version.
    """
    return _front(_as_written(line))


def _front(line: bytes) -> Front | None:
    version = _VERSION.match(line)
    if version and int(version[1]) > SCHEMA:
        # A damaged digit must not make a later version of a line of ours.
        ours = _VERSION.sub(OPENING + str(SCHEMA).encode(), line, count=1)
        if not _is_whole(ours):
            raise NewerSchemaError
    front = _FRONT.match(line)
    if front is None or int(front[1]) != SCHEMA or not _is_whole(line):
        return None
    return Front(front[2].decode(), int(front[3]), front[4].decode(), int(front[5] or 0))


def _is_whole(line: bytes) -> bool:
    body = line[:-_SEAL_LENGTH]
    return line[-_SEAL_LENGTH:] == (_SEAL % _checksum(body)).encode()


def _as_written(line: bytes) -> bytes:
    """The line as it left us, whatever an editor did to its ends and blanks; b"" if it is no JSON."""
    line = line.removeprefix(_BOM).strip()
    if _is_whole(line):
        return line
    try:
        return _dump(json.loads(line.decode("utf-8", "surrogatepass")))
    except (ValueError, RecursionError):
        return b""


# --- reading --------------------------------------------------------------------------------------


def record_of(line: bytes, task: Task, front: Front) -> Record | None:
    """The outcome that a line holds, as the record of this task; None where it holds another.

    The file may be anybody's: a field of another type than ours makes the line a damaged one.
    """
    try:
        entry = _entry(line, front)
        return None if entry is None else _record(task, front.status, entry["outcome"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def asked_in(line: bytes, front: Front) -> tuple[str, dict[str, Any]] | None:
    """The worker and the request of a line; None for a damaged one, or where the line does not say it."""
    entry = _entry(line, front) or {}
    worker, request = entry.get("worker"), entry.get("request")
    if not isinstance(worker, str) or not isinstance(request, dict) or not request:
        return None
    return worker, request


def _entry(line: bytes, front: Front) -> dict[str, Any] | None:
    written = _as_written(line)
    try:
        if _front(written) != front:
            return None
        entry = json.loads(written.decode("utf-8", "surrogatepass"))
    except (NewerSchemaError, ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _record(task: Task, status: str, outcome: dict[str, Any]) -> Record:
    fields = {name: read(outcome.get(name)) for name, read in OUTCOME.items()}
    error = fields["error"]
    if status == "invalid" and error is not None and error.kind == UNREADABLE:
        # The answer came; how it is read may have changed since.
        status, fields["error"] = "ok", None
    if fields["thinking"] is None:  # a recording of before thinking was kept apart
        inline, fields["text"] = split_thinking(fields["text"])
        fields["thinking"] = inline or None
        if status == "ok" and inline and not fields["text"]:
            status, fields["error"] = "invalid", Fault("empty", ONLY_THINKING)
    return task.ended(_one_of(get_args(Status), status), **fields, replayed=True)


def _one_of(known: tuple[str, ...], value: Any) -> Any:
    """The value, as one of those that there are."""
    if value not in known:
        raise ValueError
    return value


def _fault(value: Any) -> Fault:
    """The recorded reason for which there is no success."""
    kind = _one_of(get_args(FaultKind), value["kind"])
    return Fault(kind, _text(value["message"]), _or_none(_count)(value.get("http")))


def _usage(value: Any) -> Usage:
    return Usage(**{name: _count(tokens) for name, tokens in value.items()})


def _attempts(value: Any) -> tuple[Attempt, ...]:
    return tuple(Attempt(_text(each["outcome"]), _seconds(each["seconds"])) for each in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1e9:
        raise ValueError
    return float(value)


def _probabilities(value: Any) -> dict[str, float]:
    if not value or any(type(share) not in (int, float) for share in value.values()):
        raise TypeError
    if not all(0 <= share <= 1 for share in value.values()):
        raise ValueError
    return {_text(label): float(share) for label, share in value.items()}


def _money(value: Any) -> Decimal:
    if not _MONEY.fullmatch(_text(value)):
        raise ValueError
    return Decimal(value)


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same reader, for a field that may be missing."""
    return lambda value: None if value is None else read(value)


OUTCOME: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "thinking": _or_none(_text),
    "thinking_tokens": _or_none(_count),
    "probabilities": _or_none(_probabilities),
    "finish": _or_none(_text),
    "error": _or_none(_fault),
    "usage": _or_none(_usage),
    "cost": _or_none(_money),
    "saved": _or_none(_money),
    "start": _seconds,
    "queued": _seconds,
    "seconds": _seconds,
    "attempts": _attempts,
    "model_answered": _or_none(_text),
    "request_id": _or_none(_text),
    "batch": lambda value: _text(value or ""),
    "address": lambda value: _text(value or ""),
    "adapted": lambda value: _text(value or ""),
    "simulated": lambda value: value is True,
}
"""The fields of a record that a line holds, and how each is read again."""
