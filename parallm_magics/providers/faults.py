"""What went wrong with a call, as plain data: foreign exceptions, statuses and codes, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from parallm_magics.errors import nearest
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.reading import count
from parallm_magics.providers.retry_after import retry_after
from parallm_magics.providers.texts import one_line
from parallm_magics.providers.well_known import WELL_KNOWN
from parallm_magics.types import Fault, FaultKind

# By the class's name or, where that is not here, by the nearest parent's; subclasses of
# APIStatusError are told apart by their status and code instead.
BY_CLASS: dict[str, FaultKind] = {
    # anthropic and openai
    "APIConnectionError": "connection",
    "APITimeoutError": "timeout",
    "APIResponseValidationError": "not_an_answer",
    "APIWebhookValidationError": "bug",
    "APIError": "server",
    "AnthropicError": "bug",
    "StreamAlreadyConsumed": "bug",
    "RetryableError": "server",
    "CredentialsError": "auth",
    "IdentityTokenFileError": "auth",
    "WorkloadIdentityError": "auth",
    "OpenAIError": "bug",
    "SubjectTokenProviderError": "auth",
    "LengthFinishReasonError": "length",
    "ContentFilterFinishReasonError": "refusal",
    "InvalidWebhookSignatureError": "bug",
    "WebSocketConnectionClosedError": "connection",
    "WebSocketQueueFullError": "connection",
    # httpx2
    "HTTPError": "connection",
    "StreamError": "bug",
    "CookieConflict": "bug",
    "TimeoutException": "timeout",
    "TransportError": "connection",
    "UnsupportedProtocol": "bad_request",
    "InvalidURL": "bad_request",
    "DecodingError": "not_an_answer",
    "TooManyRedirects": "bad_request",
    # aiohttp
    "ServerTimeoutError": "timeout",
    "ClientError": "connection",
    # Python
    "JSONDecodeError": "not_an_answer",
    "UnicodeDecodeError": "not_an_answer",
    "RecursionError": "not_an_answer",
    "UnicodeEncodeError": "bad_request",
    "TimeoutError": "timeout",
    "OSError": "connection",
}
BY_STATUS: dict[int, FaultKind] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "model",
    408: "server",
    409: "server",
    413: "too_large",
    429: "rate_limit",
    431: "too_large",
    499: "server",
}
# An error's code or type says more than its status: quota comes as 400, 402 and 429.
BY_CODE: dict[str, FaultKind] = {
    "insufficient_quota": "quota",
    "billing_error": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "contract_spend_limit_reached": "quota",
    "enforced_spend_limit_reached": "quota",
    "linked_organization_billing_unavailable": "quota",
    "linked_organization_spend_limit_reached": "quota",
    "organization_on_hold": "quota",
    "user_profile_not_billable": "quota",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "permission_error": "auth",
    "account_deactivated": "auth",
    "model_not_found": "model",
    "not_found_error": "model",
    "context_length_exceeded": "too_large",
    "request_too_large": "too_large",
    "request_body_too_large_after_decoding": "too_large",
    "string_above_max_length": "too_large",
    "content_filter": "refusal",
    "content_policy_violation": "refusal",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "ramp_limit_exceeded": "rate_limit",
    "overloaded_error": "server",
    "api_error": "server",
    "server_error": "server",
    "timeout_error": "server",
    "conflict_error": "server",
}
# A 400 that says only in words what it is about.
BY_WORDS: dict[str, FaultKind] = {
    "credit balance": "quota",
    "usage limits": "quota",
    "spend limit": "quota",
    "prompt is too long": "too_large",
    "context length": "too_large",
    "context window": "too_large",
}
# What ended a connection, by class name along the exception's chain of causes; first match wins.
CAUSES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"gaierror", "ClientConnectorDNSError"}), "no such host (DNS)"),
    (
        frozenset({"SSLError", "CertificateError", "ClientSSLError", "ServerFingerprintMismatch"}),
        "TLS failed",
    ),
    (frozenset({"ConnectionRefusedError"}), "connection refused"),
    (frozenset({"ProxyError", "ClientProxyConnectionError"}), "the proxy cannot be reached"),
    (
        frozenset({"ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError"}),
        "connection reset",
    ),
    (frozenset({"UnsupportedProtocol", "InvalidURL"}), "not an http address"),
    (
        frozenset({"ServerDisconnectedError", "RemoteProtocolError", "ReadError", "EndOfStream"}),
        "the connection was closed before the answer",
    ),
)

MOST_WORDS = 2_000  # of a provider's own message are looked at


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of whom, for a fault's message.

    Attributes:
        host: host and port, without credentials.
        model: the model's name.
        key_env: the variable that holds the key, or None.
    """

    host: str = "the provider"
    model: str = ""
    key_env: str | None = None


def fault_of(exc: BaseException, asked: Asked | None = None) -> Fault:
    """The fault that an exception of an SDK, its transport or Python stands for."""
    asked = asked or Asked()
    response = getattr(exc, "response", None)
    if response is not None and getattr(exc, "status_code", None):
        status = int(response.status_code)
        return fault_of_answer(status, response.headers, getattr(exc, "body", None), asked)
    if isinstance(body := getattr(exc, "body", None), dict):
        return fault_of_answer(200, {}, body, asked)
    kind = kind_of_class(type(exc))
    if kind in ("connection", "timeout"):
        return _connection_fault(kind, exc, asked)
    message = {
        "not_an_answer": f"{asked.host} sent what is not an answer of its API",
        "bad_request": f"the request cannot be sent to {asked.host} as it is ({_name(exc)})",
        "bug": f"unexpected {_name(exc)} in a call to {asked.host}",
    }.get(kind, f"{asked.host}: {_name(exc)}: {exc}")
    return Fault(kind, one_line(scrub(message)))


def kind_of_class(cls: type[BaseException]) -> FaultKind:
    """The kind of an exception class by its own name or its nearest parent's; "bug" for strangers."""
    return next((BY_CLASS[c.__name__] for c in cls.__mro__ if c.__name__ in BY_CLASS), "bug")


def kind_of_status(status: int) -> FaultKind:
    """The kind that an HTTP status stands for when the body says nothing better."""
    if status >= 500:
        return "server"
    return BY_STATUS.get(status, "bad_request" if status >= 300 else "server")


def fault_of_answer(status: int, headers: Mapping[str, str], body: object, asked: Asked) -> Fault:
    """The fault that an error answer stands for; status 200 where it came inside a stream."""
    error = _error_in(body)
    if status == 200 and (inner := count(error.get("code"))) and 400 <= inner < 600:
        status = inner  # gateways put the status that they got into the body
    words = str(error.get("message") or (body if isinstance(body, str) else ""))[:MOST_WORDS]
    codes = [str(code) for code in _codes(error)]
    kind = _kind(status, codes, words.lower())
    said = one_line(scrub(words))
    in_stream = 529 if "overloaded_error" in codes else None
    return Fault(
        kind,
        one_line(scrub(_message(kind, status, headers, said, error, asked)), 400),
        http=in_stream if status == 200 else status,
        retry_after=retry_after(headers),
        request_id=request_id(headers) or _text(body, "request_id"),
    )


def _kind(status: int, codes: list[str], words: str) -> FaultKind:
    """The kind of an error answer: by its words, else its codes, else its status."""
    if status >= 300 and (status < 400 or status >= 500):
        return kind_of_status(status)
    if status in (400, 402, 403):
        for phrase, kind in BY_WORDS.items():
            if phrase in words:
                return kind
    return next((BY_CODE[code] for code in codes if code in BY_CODE), kind_of_status(status))


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, fit to be shown."""
    found = headers.get("request-id") or headers.get("x-request-id")
    return one_line(scrub(found), 100) if found else None


def _message(
    kind: FaultKind,
    status: int,
    headers: Mapping[str, str],
    said: str,
    error: Mapping[str, Any],
    asked: Asked,
) -> str:
    """What to tell a person: who said what, and the way out where there is one."""
    where = f"{asked.host}: " + (f"HTTP {status}" if status != 200 else "error in the stream")
    because = f": {said}" if said else ""
    model = asked.model or "the model"
    if 300 <= status < 400:
        goal = one_line(headers.get("location", "?").partition("?")[0])
        return f"{where}: a redirect to {goal}, not followed; correct the base URL"
    if kind == "auth":
        key = f"check {asked.key_env}" if asked.key_env else "no key was sent (see --key-env)"
        return f"{where}, the key is not accepted or may not do this; {key}{because}"
    if kind == "quota":
        return f"{where}, the account is out of money or over its limit{because}"
    if kind == "model":
        near = nearest(model, WELL_KNOWN)
        return f"{where}, unknown model {model!r} (or a wrong base URL){because}{near}"
    if kind == "bad_request" and (param := _text(error, "param")):
        return f"{where}, {model} does not accept {param!r}{because}"
    if kind == "bad_request":
        return f"{where}, the request for {model} was refused{because}"
    if kind == "too_large":
        return f"{where}, the prompt is too large for {model}{because}"
    if kind == "rate_limit" and (pause := retry_after(headers)) is not None:
        return f"{where}, rate limit, asks to wait {pause:g} s{because}"
    return f"{where}, {_WORDS.get(kind, kind)}{because}"


_WORDS: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "server": "the provider failed or is overloaded",
    "refusal": "declined by a content filter",
}


def _connection_fault(kind: FaultKind, exc: BaseException, asked: Asked) -> Fault:
    """A fault of the connection, by its cause: one transport reports refused ones as time-outs."""
    chain = list(_causes(exc))
    for names, words in CAUSES:
        for cause in chain:
            if names & {c.__name__ for c in type(cause).__mro__} or _refused(cause, words):
                detail = getattr(cause, "verify_message", "") or getattr(cause, "reason", "")
                more = f" ({detail})" if words == "TLS failed" and detail else ""
                return Fault("connection", one_line(scrub(f"{asked.host}: {words}{more}")))
    if kind == "timeout":
        return Fault("timeout", f"{asked.host}: the connection timed out")
    return Fault("connection", one_line(scrub(f"{asked.host}: no connection ({chain[-1]})")))


def _refused(cause: BaseException, words: str) -> bool:
    # Where a name has several addresses, their refusals arrive as one OSError that only says so.
    return words == "connection refused" and isinstance(cause, OSError) and "refuse" in str(cause)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and all that led to it, groups opened."""
    seen: set[int] = set()
    open_ends: list[BaseException | None] = [exc]
    while open_ends:
        cause = open_ends.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        open_ends += [cause.__cause__, cause.__context__, getattr(cause, "os_error", None)]
        open_ends += getattr(cause, "exceptions", ())


def _error_in(body: object) -> Mapping[str, Any]:
    """The error object of an error body; the SDKs hand it over in its envelope or out of it."""
    if not isinstance(body, dict):
        return {}
    inner = body.get("error", body)
    return inner if isinstance(inner, dict) else {"message": inner}


def _codes(error: Mapping[str, Any]) -> Iterator[object]:
    details = error.get("details")
    if isinstance(details, dict):
        yield details.get("error_code")
    yield error.get("code")
    yield error.get("type")


def _text(body: object, name: str) -> str | None:
    found = body.get(name) if isinstance(body, dict) else None
    return one_line(scrub(found), 100) if isinstance(found, str) and found else None


def _name(exc: BaseException) -> str:
    return type(exc).__name__
