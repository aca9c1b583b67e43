"""Faults: foreign exceptions, statuses and headers become plain data, and no key is in it."""

from __future__ import annotations

import asyncio
import email.utils
import inspect
import json
import socket
import ssl
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from endpoints import ENDPOINTS, Endpoint, each_endpoint
from paths import DATA
from provider import Act, Loopback
from provider_acts import act_of

from parallm_magics.core.foreign_text import mended, one_line
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.providers.faults import (
    BY_CLASS,
    BY_CODE,
    Asked,
    fault_of,
    kind_of_class,
    kind_of_status,
)
from parallm_magics.providers.retry_after import retry_after, span_in_words

BAD = {
    row["id"]: row
    for row in json.loads((DATA / "bad-inputs.json").read_text())["inputs"]
    if row["category"] == "http"
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, and a key in the variable that the endpoints read."""
    monkeypatch.setenv("TEST_KEY", "sk-TEST-0123456789abcdef")
    with Loopback() as loopback:
        yield loopback


# Retry-After.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 1.5 ", 1.5),
        ("3600", 3600.0),
        ("-5", None),
        ("0", None),
        ("0.0", None),
        ("inf", None),
        ("1e400", None),
        ("1e3", None),
        ("nan", None),
        ("10^34", None),
        ("1" * 34, None),
        ("1_000", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("Fri, 99 Foo 9999", None),
    ],
)
def test_retry_after_is_seconds_or_nothing(value: str, seconds: float | None) -> None:
    """Only a finite, positive number of sane size is a hint."""
    assert retry_after({"Retry-After": value}) == seconds


@pytest.mark.parametrize("zone", [" GMT", " +0000", " -0000", ""], ids=["GMT", "+0", "-0", "none"])
def test_an_http_date_is_counted_from_now(zone: str) -> None:
    """A date 45 s ahead is 45 s, with a zone or without one."""
    date = email.utils.formatdate(time.time() + 45, usegmt=True).removesuffix(" GMT")
    assert retry_after({"retry-after": date + zone}) == pytest.approx(45, abs=1.5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"RETRY-AFTER": "2"}, 2.0, id="upper case"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after-ms": "x", "retry-after": "9"}, 9.0, id="broken milliseconds"),
        pytest.param({"X-RateLimit-Reset-Requests": "500ms"}, 0.5, id="reset in ms"),
        pytest.param({"x-ratelimit-reset-tokens": "1m30s"}, 90.0, id="reset in minutes"),
        pytest.param({"x-ratelimit-reset-tokens": "12"}, 12.0, id="reset as a number"),
        pytest.param({"x-ratelimit-reset-tokens": "1x"}, None, id="reset garbage"),
        pytest.param(
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "999",
            },
            1.0,
            id="the exhausted limit counts",
        ),
        pytest.param({"retry-after": "inf", "x-ratelimit-reset-tokens": "5"}, None, id="no guess"),
        pytest.param({"retry-after": "500ms"}, 0.5, id="with its unit"),
        pytest.param({"retry-after": "1m30s"}, 90.0, id="with its units"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_all_headers_with_a_hint_are_read(headers: dict[str, str], seconds: float | None) -> None:
    """Names in any letter case, the more exact one first."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 7.66s. Visit …", 7.66),
        ("Please try again in 20ms.", 0.02),
        ("try again in 1m2.5s", 62.5),
        ("Please retry after 26 seconds.", 26.0),
        ("Please wait for 2 minutes and try again", 120.0),
        ("Retry in 250 milliseconds", 0.25),
        ("try again in 1 hour", 3600.0),
        ("Please try again later; limit 6000, used 5900", None),
        ("try again in a moment", None),
        ("in 7s", None),
        ("", None),
    ],
)
def test_a_wait_that_is_asked_for_in_words_is_read(words: str, seconds: float | None) -> None:
    """With its unit; a number that asks for no wait is none."""
    assert span_in_words(words) == seconds


# The table is complete.


def exceptions_of(module: ModuleType) -> set[type[BaseException]]:
    """The exceptions that the module offers."""
    names = [*vars(module), *getattr(module, "__all__", ())]
    items = [getattr(module, name) for name in names if not name.startswith("_")]
    items += vars(getattr(module, "_exceptions", module)).values()
    return {i for i in items if inspect.isclass(i) and issubclass(i, Exception)} - {Exception}


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_every_exception_of_an_sdk_is_known(name: str) -> None:
    """Each class is in the table by its own name, or is told by its HTTP status."""
    module = pytest.importorskip(name)
    found = exceptions_of(module)
    assert len(found) > 10
    for cls in found:
        assert cls.__name__ in BY_CLASS or issubclass(cls, module.APIStatusError), cls


@pytest.mark.parametrize("name", ["httpx2.HTTPError", "httpx2.InvalidURL", "aiohttp.ClientError"])
def test_every_exception_of_a_transport_is_known(name: str) -> None:
    """No failure of the network is called a bug of ours."""
    module, _, base = name.partition(".")
    parent = getattr(pytest.importorskip(module), base)
    for cls in exceptions_of(pytest.importorskip(module)):
        assert not issubclass(cls, parent) or kind_of_class(cls) != "bug", cls


def test_every_limit_of_an_account_is_quota() -> None:
    """Whatever anthropic's SDK knows as 402 or 429 with a code of its own is money, ramps aside."""
    import anthropic

    coded = [
        cls
        for cls in anthropic.RateLimitError.__subclasses__()
        + anthropic.PaymentRequiredError.__subclasses__()
        if getattr(cls, "status_code", None) in (402, 429) and "error_code" in cls.__annotations__
    ]
    assert coded
    for cls in coded:
        code = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__)
        code = code.removeprefix("_").removesuffix("_error")
        wanted = "rate_limit" if code == "ramp_limit_exceeded" else "quota"
        assert BY_CODE[code] == wanted, cls


def test_a_stranger_is_a_bug_with_its_name() -> None:
    """An exception that no table knows is named and shows nothing else."""

    class Odd(Exception):
        pass

    fault = fault_of(Odd("secret detail"))
    assert fault.kind == "bug"
    assert "Odd" in fault.message
    assert "secret" not in fault.message


# Statuses and codes, through the SDKs.


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, "bad_request"),
        (400, "bad_request"),
        (401, "auth"),
        (402, "quota"),
        (403, "forbidden"),
        (404, "model"),
        (408, "server"),
        (409, "server"),
        (413, "too_large"),
        (418, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limit"),
        (431, "too_large"),
        (451, "refusal"),
        (498, "rate_limit"),
        (500, "server"),
        (502, "server"),
        (503, "server"),
        (504, "server"),
        (529, "server"),
    ],
)
def test_a_status_has_a_kind(server: Loopback, status: int, kind: str) -> None:
    """With and without a body in the provider's form, in both dialects."""
    assert kind_of_status(status) == kind
    server.script("m", Act(status=status, body="<h1>no</h1>"))
    for endpoint in (Endpoint("anthropic", False), Endpoint("openai", True)):
        for model in (f"err-{status}", "m"):
            end = endpoint.failure(server, model)
            said = "auth" if (model, status) == ("err-403", 403) else kind  # "permission_error"
            number = f"req_{len(server.log) - 1}"
            assert (end.fault.kind, end.fault.http, end.fault.request_id) == (said, status, number)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        pytest.param(429, {"code": "insufficient_quota"}, "quota", id="openai quota"),
        pytest.param(429, {"type": "insufficient_quota"}, "quota", id="openai quota by type"),
        pytest.param(
            429,
            {
                "type": "rate_limit_error",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
            "quota",
            id="anthropic spend limit",
        ),
        pytest.param(
            429,
            {"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}},
            "rate_limit",
            id="anthropic ramp",
        ),
        pytest.param(
            400,
            {
                "type": "invalid_request_error",
                "message": "You have reached your specified API usage limits.",
            },
            "quota",
            id="usage limits in words",
        ),
        pytest.param(
            400, {"message": "Your credit balance is too low"}, "quota", id="credit in words"
        ),
        pytest.param(400, {"code": "context_length_exceeded"}, "too_large", id="context"),
        pytest.param(
            400, {"message": "prompt is too long: 9 > 8"}, "too_large", id="context in words"
        ),
        pytest.param(403, {"code": "model_not_found"}, "model", id="no access to the model"),
        pytest.param(400, {"code": 17, "message": ["?"]}, "bad_request", id="odd types"),
        pytest.param(500, {"code": "insufficient_quota"}, "server", id="status 500 is the server"),
    ],
)
def test_a_code_says_more_than_a_status(
    server: Loopback, status: int, error: dict[str, Any], kind: str
) -> None:
    """Money, context and access are told from mere rate limits and bad requests."""
    server.script("m", Act(status=status, body={"type": "error", "error": error}))
    for endpoint in (Endpoint("anthropic", False), Endpoint("openai", False)):
        assert endpoint.failure(server, "m").fault.kind == kind


@each_endpoint
def test_messages_name_the_way_out(server: Loopback, endpoint: Endpoint) -> None:
    """The variable of the key, the model, the parameter, the wait."""
    assert "check TEST_KEY" in endpoint.failure(server, "err-401").fault.message
    assert "check TEST_KEY" in endpoint.failure(server, "err-403").fault.message
    assert "unknown model 'no-model'" in endpoint.failure(server, "no-model").fault.message
    message = endpoint.failure(server, "bad-param").fault.message
    assert "bad-param does not accept 'temperature'" in message
    assert "250000 tokens" in endpoint.failure(server, "too-long").fault.message
    assert "retry after 1 s" in endpoint.failure(server, "err-429-ra-1").fault.message


@each_endpoint
def test_a_fault_is_one_short_line(server: Loopback, endpoint: Endpoint) -> None:
    """However long and wild the provider's own message is."""
    server.script("m", Act(status=400, body={"error": {"message": "a\n\x1b]0;x\x07" * 9999}}))
    message = endpoint.failure(server, "m").fault.message
    assert len(message) <= 400
    assert message.isprintable()


# Connections: the cause is told, on both transports.


@pytest.fixture(params=["aiohttp", "httpx2"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which library opens the connections."""
    if request.param == "httpx2":
        for name in ("anthropic", "openai"):
            module = pytest.importorskip(name)
            monkeypatch.setattr(module, "DefaultAioHttpClient", module.DefaultAsyncHttpxClient)
    return str(request.param)


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_each_cause_of_a_lost_connection_is_told(
    server: Loopback, transport: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, unknown host, TLS, reset and closed are five different texts with the host."""
    endpoint = Endpoint(name, False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{free.getsockname()[1]}"
    ends = {
        "refused": endpoint.failure(refused, "ok"),
        "TLS": endpoint.failure(server.url.replace("http:", "https:"), "ok"),
        "reset": endpoint.failure(server, "reset"),
        "closed": endpoint.failure(server, "close"),
    }

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    ends["DNS"] = endpoint.failure("http://no-such-host.invalid", "ok")
    for word, failed in ends.items():
        assert failed.fault.kind == "connection", word
        assert word in failed.fault.message
    assert ends["DNS"].fault.message.startswith("no-such-host.invalid: ")
    assert len({failed.fault.message for failed in ends.values()}) == 5


def test_the_cause_is_found_wherever_it_hides() -> None:
    """In groups, behind contexts, and in texts of several refused addresses."""
    several = OSError("Multiple exceptions: [Errno 111] Connection refused, [Errno 111] …")
    grouped = OSError("All connection attempts failed")
    grouped.__cause__ = ExceptionGroup("all", [ConnectionRefusedError(111, "no")])
    loop = OSError("odd")
    loop.__context__ = ConnectionResetError()
    loop.__context__.__context__ = loop
    cases = {"refused": [several, grouped], "reset": [loop], "TLS": [ssl.SSLError(1, "bad cert")]}
    for word, errors in cases.items():
        for error in errors:
            assert word in fault_of(error, Asked("host")).message
    assert fault_of(TimeoutError()).kind == "timeout"


# The inputs of the list.

DOOR_KINDS: dict[str, str | None] = {
    "http-html-200": "not_an_answer",
    "http-empty-200": "not_an_answer",
    "http-badjson-200": "not_an_answer",
    "http-null-200": "not_an_answer",
    "http-emptyobj-200": "not_an_answer",
    "http-nocontent": None,
    "http-nullcontent": None,
    "http-usage-none": None,
    "http-usage-absurd": None,
    "http-retry-after-3600": "rate_limit",
    "http-retry-after-inf": "rate_limit",
    "http-quota-429": "quota",
    "http-redirect-foreign": "bad_request",
    "http-drip": "timeout",
    "http-hang": "timeout",
    "http-stream-cut-chunked": "cut",
    "http-stream-clean-eof": "cut",
    "http-stream-error-event": "server",
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_answers_of_the_list_are_told_apart(server: Loopback, name: str) -> None:
    """Each ends at the endpoint as the list wants, in both dialects."""
    fault = BAD[name]["gen"]["fault"]
    with Loopback() as other:
        server.script("m", act_of(fault, other.url))
        for endpoint in [
            endpoint for endpoint in ENDPOINTS if endpoint.stream or "stream" not in fault
        ]:
            kind = DOOR_KINDS[name]
            if kind == "timeout":
                with pytest.raises(TimeoutError):
                    ask_for(0.3, server, endpoint)
                continue
            end = endpoint.ask(server, "m")
            if kind is None:
                assert isinstance(end, Reply)
                assert end.text == ("" if "content" in name else "echo: hello there")
                assert end.usage is None or "usage" not in name
            else:
                assert isinstance(end, CallFailed)
                assert end.fault.kind == kind
                asked = fault.get("headers", {}).get("retry-after")
                assert end.fault.retry_after == (3600 if asked == "3600" else None)
        assert other.log == []


def ask_for(seconds: float, server: Loopback, endpoint: Endpoint) -> None:
    """One call under a time limit, as the engine makes it."""
    provider = endpoint.open(server.url)

    async def call() -> None:
        await provider.prepare()
        try:
            async with asyncio.timeout(seconds):
                await provider.complete(endpoint.task("m"), lambda piece: None)
        finally:
            await provider.close()

    asyncio.run(call())


# Texts.


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n\n b\t\u2028c", "a b c"),
        ("\x1b[31m\x07\x9b", "\ufffd[31m\ufffd\ufffd"),
        ("\u202e\ud800", "\ufffd\ufffd"),
        ("x" * 300, "x" * 199 + "…"),
        ("é 😀", "é 😀"),
    ],
)
def test_one_line_is_one_printable_line(text: str, line: str) -> None:
    """Control characters, direction marks and half characters never pass."""
    assert one_line(text) == line


def test_mended_text_can_be_encoded() -> None:
    """Halves that meet are joined, lone ones replaced, the rest is untouched."""
    assert mended("\ud83d" + "\ude00" + "\ud800a") == "😀\ufffda"
    assert mended("plain") == "plain"
