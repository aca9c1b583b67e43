"""What went wrong with a call, as plain data: foreign exceptions, statuses and codes, in one table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.foreign_text import one_line
from parallm_magics.core.prices import TIER
from parallm_magics.core.tasks import Fault, Tier
from parallm_magics.errors import nearest
from parallm_magics.providers.connecting import refused, why
from parallm_magics.providers.entries import WELL_KNOWN
from parallm_magics.providers.error_body import ErrorBody, read_error
from parallm_magics.providers.keys import scrub
from parallm_magics.providers.retry_after import retry_after


def _kinds(words: Mapping[FaultKind, str]) -> dict[str, FaultKind]:
    """The kind that each word stands for."""
    return {word: kind for kind, said in words.items() for word in said.split()}


# Of the SDKs, their transports and Python, by the class's name or, where that is not here, by the nearest
# parent's; subclasses of APIStatusError are told apart by their status and code instead.
BY_CLASS: dict[str, FaultKind] = _kinds(
    {
        "connection": "APIConnectionError WebSocketConnectionClosedError WebSocketQueueFullError "
        "HTTPError TransportError ClientError OSError",
        "timeout": "APITimeoutError TimeoutException ServerTimeoutError TimeoutError",
        "not_an_answer": "APIResponseValidationError DecodingError JSONDecodeError "
        "UnicodeDecodeError RecursionError BrokenFrameError",
        "bug": "APIWebhookValidationError AnthropicError StreamAlreadyConsumed OpenAIError "
        "InvalidWebhookSignatureError StreamError CookieConflict",
        "server": "APIError RetryableError",
        "auth": "CredentialsError IdentityTokenFileError WorkloadIdentityError "
        "SubjectTokenProviderError GoogleAuthError BotoCoreError",
        "length": "LengthFinishReasonError",
        "refusal": "ContentFilterFinishReasonError",
        "bad_request": "UnsupportedProtocol InvalidURL TooManyRedirects UnicodeEncodeError",
    }
)
BY_STATUS: dict[int, FaultKind] = {
    401: "auth",
    402: "quota",
    403: "forbidden",
    404: "model",
    408: "server",
    409: "server",
    413: "too_large",
    429: "rate_limit",
    431: "too_large",
    451: "refusal",
    498: "rate_limit",  # the capacity of a cheaper tier is used up
    499: "server",
}
# An error's code or type says more than its status: quota comes as 400, 402 and 429.
BY_CODE: dict[str, FaultKind] = _kinds(
    {
        "quota": "insufficient_quota billing_error billing_hard_limit_reached billing_not_active "
        "contract_spend_limit_reached enforced_spend_limit_reached "
        "linked_organization_billing_unavailable linked_organization_spend_limit_reached "
        "organization_on_hold user_profile_not_billable",
        "auth": "invalid_api_key authentication_error permission_error account_deactivated "
        "api_key_invalid permission_denied unauthenticated unauthorized "
        "unsupported_country_region_territory",
        "model": "model_not_found not_found_error",
        "too_large": "context_length_exceeded request_too_large "
        "request_body_too_large_after_decoding string_above_max_length",
        "refusal": "content_filter content_policy_violation invalid_prompt bio_policy "
        "misalignment_policy_violation image_content_policy_violation "
        "data_inspection_failed responsibleaipolicyviolation",
        "rate_limit": "rate_limit_error rate_limit_exceeded ramp_limit_exceeded resource_exhausted "
        "too_many_requests resource_unavailable capacity_exceeded",
        "server": "overloaded_error api_error server_error timeout_error conflict_error",
    }
)
# Whoever speaks of these in an error's code has filtered the prompt or the answer.
REFUSING = re.compile(
    r"content_?filter|content_?policy|moderation|safety|policy_?violation|guardrail|sensitive"
)
# What is said beside any status, so that only an error in a stream, which has none, is told by it.
BY_CODE_ALONE: dict[str, FaultKind] = {"invalid_request_error": "bad_request"}
# What an error says only in words; the first that matches holds.
_MONEY = r"credit balance|usage limits|spend(?:ing)? limit|insufficient (?:balance|funds|credit)"
_LENGTH = r"prompt is too long|context length|context window"
_CLOSED = (
    r"(?:account|organi[sz]ation|project|api[ _-]?key)\b.{0,60}"
    r"(?:suspend|disabled|deactivat|banned|terminat|revoked|expired)"
)
_FILTERED = (
    r"content[ _-]?(?:filter|(?:management |usage )?polic|moderation|safety)|acceptable use|"
    r"usage (?:guideline|polic)|moderation|\bflagged\b|responsible ai|"
    r"safety (?:system|filter|polic|setting|check|guideline)|"
    r"(?:inappropriate|harmful|prohibited|sensitive|unsafe|risky) content"
)
_NO_KEY = (
    r"(?:invalid|incorrect|missing|wrong|expired|unknown|no|bad) (?:x-)?(?:api|access|auth\w*)"
    r"[ _-]?(?:key|token|credential)|(?:api|access)[ _-]?(?:key|token)\b.{0,20}\b"
    r"(?:not valid|invalid|missing|incorrect|required|not found|not provided)"
)
BY_WORDS: tuple[tuple[FaultKind, re.Pattern[str]], ...] = (
    ("quota", re.compile(_MONEY)),
    ("too_large", re.compile(_LENGTH)),
    ("auth", re.compile(_CLOSED)),
    ("refusal", re.compile(_FILTERED)),
    ("auth", re.compile(_NO_KEY)),
)
# A 403 of the account, and not of the prompt.
OF_THE_ACCOUNT = re.compile(
    r"api[ _-]?key|credential|permission|permitted to|authori[sz]|authenticat|account|billing|"
    r"(?:invalid|expired|bearer|access|security) token|access ?denied|(?:no|not have) access|access to|"
    r"organi[sz]ation|project|subscription|country|region|territory|not allowed to"
)
# A request that is larger than what a whole minute allows.
LIMIT = re.compile(r"\blimit(?: is| of)?[:=]? ?([0-9][0-9,_]*)")
REQUESTED = re.compile(r"\brequested(?: tokens| about)?[:=]? ?([0-9][0-9,_]*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of whom, for a fault's message.

    Attributes:
        host: host and port, without credentials.
        model: the model's name.
        key_env: the variable that holds the key, or None.
        proxy: the proxy between here and there, in words; "" for none.
        tier: the tier that was asked for.
        prompt: what was asked; errors quote it, and its words are none of the server's.
    """

    host: str = "the provider"
    model: str = ""
    key_env: str | None = None
    proxy: str = ""
    tier: Tier = ""
    prompt: str = field(default="", repr=False)


def fault_of(exc: BaseException, asked: Asked | None = None) -> Fault:
    """The fault that an exception of an SDK, its transport or Python stands for."""
    asked = asked or Asked()
    response = getattr(exc, "response", None)
    if response is not None and (status := getattr(response, "status_code", None)):
        return fault_of_answer(status, response.headers, getattr(exc, "body", None), asked)
    if isinstance(body := getattr(exc, "body", None), dict):
        return fault_of_answer(200, {}, body, asked)
    kind = kind_of_class(type(exc))
    if kind in ("connection", "timeout"):
        words, silent = why(exc, kind == "timeout", asked.host, asked.proxy)
        kind = "timeout" if silent else "connection"
        return Fault(kind, one_line(scrub(words), 400), refused=not asked.proxy and refused(exc))
    message = {
        "not_an_answer": f"{asked.host} sent something that is not a valid API answer",
        "bad_request": f"the request cannot be sent to {asked.host} ({_name(exc)})",
        "bug": f"unexpected {_name(exc)} in a call to {asked.host}",
    }.get(kind, f"{asked.host}: {_name(exc)}: {exc}")
    return Fault(kind, one_line(scrub(message)))


def kind_of_class(cls: type[BaseException]) -> FaultKind:
    """The kind of an exception class by its own name or its nearest parent's; "bug" for strangers."""
    return next((BY_CLASS[c.__name__] for c in cls.__mro__ if c.__name__ in BY_CLASS), "bug")


def kind_of_status(status: int) -> FaultKind:
    """The kind that an HTTP status stands for when the body says nothing better."""
    if status >= 600:
        return "not_an_answer"
    if status >= 500:
        return "server"
    return BY_STATUS.get(status, "bad_request" if status >= 300 else "server")


def fault_of_answer(status: int, headers: Mapping[str, str], body: object, asked: Asked) -> Fault:
    """The fault that an error answer stands for; status 200 where it came inside a stream."""
    error = read_error(body)
    if status == 200 and error.status is not None:
        status = error.status
    kind = _kind(status, error, asked.prompt.lower())
    again = headers.get("x-should-retry", "").strip().lower()
    if again == "true" and kind in OF_THE_REQUEST:
        kind = "server"
    wait = retry_after(headers)
    if wait is None and kind in ("rate_limit", "server") and "retry-after" not in headers:
        wait = error.wait
    in_stream = 529 if "overloaded_error" in error.codes else None
    return Fault(
        kind,
        one_line(scrub(_message(kind, status, headers, error, wait, asked)), 400),
        http=in_stream if status == 200 else status,
        retry_after=wait,
        request_id=request_id(headers) or _text(body, "request_id"),
        final=again == "false",
    )


def fault_in_answer(error: object, asked: Asked) -> Fault:
    """The fault of an error that stands in an answer: whoever answered for us broke down there.

    What it says of keys and money is not of ours.
    """
    fault = fault_of_answer(200, {}, {"error": error}, asked)
    if fault.kind in ("server", "rate_limit", "refusal", "too_large"):
        return fault
    said = one_line(scrub(read_error({"error": error}).words))
    because = f": {said}" if said else ""
    return replace(fault, kind="server", message=f"{asked.host}: error in the answer{because}")


# Faults of a request as it stands, which a server may still call passing.
OF_THE_REQUEST = frozenset({"bad_request", "auth", "forbidden", "model", "too_large"})


def _kind(status: int, error: ErrorBody, prompt: str) -> FaultKind:
    """The kind of an error answer: by its words, else its codes, else its status."""
    if status >= 300 and (status < 400 or status >= 500):
        return kind_of_status(status)
    words = error.words.lower()
    if status in (200, 413, 429) and _never_fits(words):
        return "too_large"
    if status != 429 and error.reasons:
        return "refusal"
    if status in (200, 400, 402, 403, 422) and not error.page:
        for kind, said in BY_WORDS:
            if _says(words, said, prompt):
                return kind
    known = BY_CODE | BY_CODE_ALONE if status == 200 else BY_CODE
    kind = next((known[code] for code in error.codes if code in known), kind_of_status(status))
    if kind in ("bad_request", "forbidden") and any(map(REFUSING.search, error.codes)):
        return "refusal"
    if status == 413 and kind == "rate_limit" and "used" not in words:
        return "too_large"
    if kind == "forbidden" and _says(words, OF_THE_ACCOUNT, prompt) and not error.page:
        return "auth"
    return kind


def _says(words: str, what: re.Pattern[str], prompt: str) -> bool:
    """Whether the server says this, and does not only quote the prompt."""
    return any(found[0] not in prompt for found in what.finditer(words))


def _never_fits(words: str) -> bool:
    """Whether one request asks for more than the limit of a whole minute."""
    limit, requested = LIMIT.search(words), REQUESTED.search(words)
    if limit is None or requested is None:
        return words.startswith("request too large")
    return _number(requested[1]) > _number(limit[1])


def _number(text: str) -> int:
    return int(text.replace(",", "").replace("_", ""))


REQUEST_IDS = ("request-id", "x-request-id", "apim-request-id", "x-amzn-requestid")


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, fit to be shown."""
    found = next(filter(None, map(headers.get, REQUEST_IDS)), None)
    return one_line(scrub(found), 100) if found else None


def _message(
    kind: FaultKind,
    status: int,
    headers: Mapping[str, str],
    error: ErrorBody,
    wait: float | None,
    asked: Asked,
) -> str:
    """What to tell a person: who said what, and the way out where there is one."""
    where = f"{asked.host}: " + (f"HTTP {status}" if status != 200 else "error in the stream")
    said = one_line(scrub("; ".join([error.words, *error.reasons]).strip("; ")))
    because = f": {said}" if said else ""
    model = asked.model or "the model"
    key = (
        f"check {asked.key_env}"
        if asked.key_env
        else "no key was sent; name its variable with --key-env"
    )
    if 300 <= status < 400:
        goal = one_line(headers.get("location", "?").partition("?")[0])
        return f"{where}: the address redirects to {goal}; correct the base URL"
    if kind == "auth":
        return f"{where}, the key is wrong or lacks permission; {key}{because}"
    if kind == "forbidden":
        return f"{where} without a reason: either the prompt or the key is not allowed ({key}){because}"
    if status == 407:
        return f"{where}, {asked.proxy or 'a proxy'} asks for a user name and a password{because}"
    if kind == "quota":
        return f"{where}, the account is out of money or over its limit{because}"
    if kind == "model":
        near = nearest(model, WELL_KNOWN)
        return f"{where}, unknown model {model!r}, or wrong base URL{because}{near}"
    if asked.tier == "flex" and (told := _of_the_tier(kind, status, error)):
        return f"{where}, {told.format(model)}{because}"
    if kind == "bad_request" and error.fields:
        return f"{where}, {model} does not accept {one_line(scrub(error.fields[0]), 60)!r}{because}"
    if kind == "bad_request":
        return f"{where}, the request for {model} was refused{because}"
    if kind == "too_large" and status in (200, 413, 429) and _never_fits(error.words.lower()):
        return (
            f"{where}, the request is larger than the limit per minute for {model}, which counts --max-tokens too: "
            f"lower it, or shorten the prompt{because}"
        )
    if kind == "too_large":
        return f"{where}, the prompt is too large for {model}{because}"
    if kind == "rate_limit" and wait is not None:
        return f"{where}, rate limit, retry after {wait:g} s{because}"
    return f"{where}, {_WORDS.get(kind, kind)}{because}"


NO_ROOM = frozenset({"resource_unavailable", "capacity_exceeded"})
"""Codes by which a cheaper tier says that its capacity is used up."""


def _of_the_tier(kind: FaultKind, status: int, error: ErrorBody) -> str:
    """What an error says of the tier that was asked for, and the way out; `{}` is the model's place."""
    words = error.words.lower()
    full = status == 498 or NO_ROOM & {*error.codes} or "resource unavailable" in words
    if kind == "rate_limit" and full:
        return (
            "the flex tier has no room for {} now; wait longer with --deadline, or ask at the usual price with "
            "--tier default"
        )
    if kind == "bad_request" and (TIER in error.fields or TIER in words or "flex" in words):
        return "{} has no flex tier here; ask at the usual price with --tier default"
    return ""


_WORDS: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "server": "the provider failed or is overloaded",
    "refusal": "declined by a content filter",
    "not_an_answer": "unexpected status",
}


def _text(body: object, name: str) -> str | None:
    found = body.get(name) if isinstance(body, dict) else None
    return one_line(scrub(found), 100) if isinstance(found, str) and found else None


def _name(exc: BaseException) -> str:
    return type(exc).__name__
