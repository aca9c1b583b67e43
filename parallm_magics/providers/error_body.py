"""What the body of an error says, in whatever form a server or gateway sends it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from parallm_magics.core.foreign_text import one_line
from parallm_magics.providers.json_values import mapping, parsed, string
from parallm_magics.providers.retry_after import span, span_in_words

MOST_WORDS = 2_000  # of a server's own message are looked at
DEEPEST = 10
# Where servers put their words, the most telling first; letter case does not matter.
WORDS = (
    "message",
    "detail",
    "msg",
    "error_description",
    "error_message",
    "error_msg",
    "error",
    "errors",
    "description",
    "title",
    "reason",
    "status_message",
    "statusmessage",
)
MARKUP = re.compile(r"(?is)<(script|style|title)\b.*?</\1\s*>|<[^<>]*>")
TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error in a server's own words.

    Attributes:
        words: what it says to a person.
        codes: its codes and types, in lower case.
        fields: the fields of the request that it names.
        reasons: why a moderation flags the request.
        status: the HTTP status that it holds; None where there is none.
        wait: seconds that it asks to wait, or None.
        page: whether it is a web page, by which a proxy and not the API speaks.
    """

    words: str = ""
    codes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    status: int | None = None
    wait: float | None = None
    page: bool = False


def read_error(body: object) -> ErrorBody:
    """What an error's body says; the SDKs hand it over in its envelope or out of it.

    >>> read_error([{"error": {"code": 400, "message": "API key not valid."}}]).words
    'API key not valid.'
    >>> read_error({"detail": [{"loc": ["body", "top_k"], "msg": "extra field"}]}).words
    'body.top_k: extra field'
    """
    if isinstance(body, str) and (told := parsed(body)) is not None and not isinstance(told, str):
        body = told
    error = _innermost(body)
    words = _words(body)
    more = mapping(error.get("metadata"))
    raw = _words(more.get("raw"))
    return ErrorBody(
        words=f"{words}: {raw}"[:MOST_WORDS] if raw and raw not in words else words[:MOST_WORDS],
        codes=tuple(dict.fromkeys(str(code).lower() for code in _codes(error) if code)),
        fields=tuple(dict.fromkeys(_fields(error))),
        reasons=tuple(str(reason) for reason in _list(more.get("reasons"))),
        status=_status(error),
        wait=_delay(error) or span_in_words(words),
        page=isinstance(body, str) and body.lstrip().startswith("<"),
    )


def _innermost(body: object) -> Mapping[str, Any]:
    """The object that tells most of the error: out of its list and its envelopes."""
    found = next(iter(_list(body)), body) if isinstance(body, list) else body
    for _ in range(DEEPEST):
        inner = mapping(found).get("error")
        if not isinstance(inner, dict):
            break
        found = inner
    return mapping(found)


def _words(value: object, depth: int = 0) -> str:
    """The words for a person, out of texts, lists and objects."""
    if isinstance(value, str):
        told = parsed(value) if value.lstrip()[:1] in ("{", "[") else None
        return _text(value) if told is None else _words(told, depth + 1)
    if depth > DEEPEST or not value or isinstance(value, bool | int | float):
        return ""
    if isinstance(value, list):
        return "; ".join(
            dict.fromkeys(said for each in value[:5] if (said := _words(each, depth + 1)))
        )
    if not isinstance(value, dict):
        return ""
    named = {str(name).lower(): held for name, held in value.items()}
    for name in WORDS:
        if said := _words(named.get(name), depth + 1):
            where = ".".join(str(step) for step in _list(named.get("loc")))
            return f"{where}: {said}" if where else said
    return "" if depth else json.dumps(value, ensure_ascii=False)


def _text(value: str) -> str:
    """A text in one line; of a web page its title, else what can be read on it."""
    if not value.lstrip().startswith("<"):
        return " ".join(value[: 2 * MOST_WORDS].split())
    page = value[: 4 * MOST_WORDS]
    title = TITLE.search(page)
    return one_line(title[1] if title else MARKUP.sub(" ", page))


def _codes(error: Mapping[str, Any]) -> Iterator[object]:
    details = error.get("details")
    if isinstance(details, dict):
        yield details.get("error_code")
    yield from (mapping(detail).get("reason") for detail in _list(details))
    inner = error.get("innererror", error.get("inner_error"))
    yield mapping(inner).get("code")
    yield from (error.get(name) for name in ("code", "type", "status", "error_type"))
    yield mapping(error.get("metadata")).get("error_type")
    said = error.get("error")
    yield said if isinstance(said, str) and " " not in said else None


def _fields(error: Mapping[str, Any]) -> Iterator[str]:
    """The last name of each path to a field: `body.max_tokens` is `max_tokens`."""
    listed = [
        error,
        *_list(error.get("detail")),
        *_list(error.get("errors")),
        *_list(error.get("details")),
    ]
    for each in map(mapping, listed):
        for name in (each.get("param"), each.get("field"), *_list(each.get("loc"))[-1:]):
            if isinstance(name, str) and name:
                yield name.rpartition(".")[2]


def _status(error: Mapping[str, Any]) -> int | None:
    """Gateways put the status that they got into the body."""
    for name in ("code", "status", "status_code"):
        value = error.get(name)
        number = (
            int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value) else value
        )
        if isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
            return number
    return None


def _delay(error: Mapping[str, Any]) -> float | None:
    """The wait that Google's errors carry among their details."""
    delays = (string(mapping(d).get("retryDelay")) for d in _list(error.get("details")))
    return next((seconds for delay in delays if (seconds := span(delay)) is not None), None)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
