"""Keys: nowhere in a fault, a text, a frame or a log, whatever a call ends in."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator
from dataclasses import fields

import pytest
from endpoints import Endpoint, each_endpoint, official
from paths import DATA
from provider import Act, Loopback

from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Fault
from parallm_magics.errors import MissingKeyError, ModelError
from parallm_magics.providers import keys
from parallm_magics.providers.faults import Asked, fault_of, fault_of_answer

BAD = {
    row["id"]: row
    for row in json.loads((DATA / "bad-inputs.json").read_text())["inputs"]
    if row["category"] == "secret"
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, and a key in the variable that the endpoints read."""
    monkeypatch.setenv("TEST_KEY", "sk-TEST-0123456789abcdef")
    with Loopback() as loopback:
        yield loopback


@pytest.mark.parametrize("name", ["key-plain", "key-newline", "key-space"])
@each_endpoint
def test_a_key_is_nowhere(
    endpoint: Endpoint,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """After success, 401, 429, a cut and a refused connection: no text, frame or log has it."""
    caplog.set_level(logging.DEBUG)
    for logger in ("anthropic", "openai", "httpx2", "httpcore2", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger)
    monkeypatch.setenv("TEST_KEY", BAD[name]["payload"])
    told: list[str] = []
    with Loopback() as server:
        for model in ("ok", "echo-key", "err-429", "cut", "html-200", "reset"):
            end = endpoint.ask(server, model)
            told += [repr(end), str(end)]
            if isinstance(end, CallFailed):
                told += [repr(end.fault), *traceback.format_exception(end)]
                told += [repr(frame.f_locals) for frame, _ in traceback.walk_tb(end.__traceback__)]
                assert end.__context__ is None
        assert server.log[0].headers["authorization"] == "Bearer sk-CANARY-0123456789abcdef"
        told.append(repr(vars(endpoint.open(server.url))))
    told += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    told += capfd.readouterr()
    assert "CANARY" not in "\n".join(told)
    assert any("[key]" in text for text in told)


@each_endpoint
def test_an_echoed_key_is_hidden_and_the_rest_is_shown(
    server: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known keys of any shape, and unknown ones that look like one."""
    monkeypatch.setenv("TEST_KEY", "an-unusual-key-of-ours")
    message = endpoint.failure(server, "echo-key").fault.message
    assert "an-unusual" not in message
    assert "Incorrect API key provided: [key]" in message
    server.script("m", Act(status=401, body={"error": {"message": BAD["key-echo-401"]["payload"]}}))
    assert "CANARY" not in endpoint.failure(server, "m").fault.message


@each_endpoint
def test_a_fault_is_plain_data(server: Loopback, endpoint: Endpoint) -> None:
    """Nothing of an SDK hangs on it, as the list demands (key-exc-object)."""
    for model in ("err-401", "err-500", "cut", "reset", "html-200"):
        failed = endpoint.failure(server, model)
        for field in fields(Fault):
            assert isinstance(getattr(failed.fault, field.name), str | int | float | None)
        assert failed.__cause__ is failed.__context__ is None


def test_a_key_that_cannot_be_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks inside would end in an SDK's error that shows the key."""
    for value in (
        "sk-CANARY 123",
        "sk-CANARY\n123",
        "sk-CANARY…",
        "sk-CANARY\x00".replace("\0", "\x7f"),
    ):
        monkeypatch.setenv("TEST_KEY", value)
        with pytest.raises(MissingKeyError, match="TEST_KEY contains") as caught:
            keys.read("TEST_KEY")
        assert "CANARY" not in str(caught.value)


def test_a_client_that_cannot_be_built_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that fails in its constructor, with the key in its frames, leaves one line."""
    openai = pytest.importorskip("openai")

    def broken(api_key: str, **options: object) -> None:
        raise ValueError(api_key)

    monkeypatch.setattr(openai, "AsyncOpenAI", broken)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-CANARY-0123456789abcdef")
    with pytest.raises(ModelError, match=r"cannot create a client for api\.openai\.com") as caught:
        asyncio.run(official("openai").prepare())
    assert caught.value.__context__ is None
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("provided: sk-abcdefgh12345678.", "provided: [key]."),
        ("sk-ab****************wxyz", "[key]"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [key]"),
        ("http://user:p4ss@host/v1", "http://[key]@host/v1"),
        ("a task-oriented risk-assessment", "a task-oriented risk-assessment"),
        ("the bearer of good news", "the bearer of good news"),
        ("at 12:30@home", "at 12:30@home"),
    ],
)
def test_scrub_takes_what_looks_like_a_key(text: str, scrubbed: str) -> None:
    """And leaves words alone."""
    assert keys.scrub(text) == scrubbed


def test_scrub_knows_keys_that_were_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was in use stays hidden after the variable has another; short ones are words."""
    monkeypatch.setenv("TEST_KEY", "first-secret")
    keys.read("TEST_KEY")
    monkeypatch.setenv("TEST_KEY", "none")
    assert keys.scrub("first-secret, none") == "[key], none"
    assert "first" not in repr(keys._VAULT)


ECHOED = "sk-TEST-0123456789abcdef"


@each_endpoint
def test_a_key_that_a_server_echoes_in_an_answer(endpoint: Endpoint, server: Loopback) -> None:
    """Not in the text, in no piece of it, not in the thinking and not as the model's name."""
    server.script(ECHOED, Act(text=f"your key is {ECHOED}, keep it", gap=0.001))
    heard: list[str] = []
    reply = endpoint.ask(server, ECHOED, lambda piece, *thinking: heard.extend([piece, *thinking]))
    assert not isinstance(reply, CallFailed), reply
    assert reply.text == "your key is [key], keep it"
    assert reply.model == "[key]"
    assert "TEST-0123" not in "".join(heard)


def test_what_only_looks_like_a_key_stays_in_an_answer(server: Loopback) -> None:
    """An answer may explain what a key looks like; it has been paid for as it is."""
    assert keys.without_keys("such as sk-abcdefgh12345678") == "such as sk-abcdefgh12345678"


@pytest.mark.parametrize(
    "exc",
    [
        ConnectionRefusedError(f"no way with {ECHOED}"),
        TimeoutError(f"no way with {ECHOED}"),
        OSError(f"proxy http://me:{ECHOED}@host refused"),
        ValueError(f"odd {ECHOED}"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_an_exception_that_holds_the_key(exc: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "No connection" and all other faults without an answer are scrubbed as a whole."""
    monkeypatch.setenv("TEST_KEY", ECHOED)
    keys.read("TEST_KEY")
    cause = type("APIConnectionError", (Exception,), {})(f"Connection error to {ECHOED}")
    cause.__cause__ = exc
    for each in (exc, cause):
        fault = fault_of(each, Asked(f"host-{ECHOED}"))
        assert "0123456789" not in fault.message


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 429, 500, 503, 529])
@pytest.mark.parametrize("field", ["message", "type", "code", "param"])
def test_an_error_answer_that_holds_the_key(
    status: int, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever field, and in the host's name: the message is scrubbed as a whole."""
    monkeypatch.setenv("TEST_KEY", ECHOED)
    keys.read("TEST_KEY")
    body = {"error": {"message": "no", "type": "odd", field: f"see {ECHOED}"}}
    headers = {"request-id": ECHOED, "x-request-id": ECHOED, "retry-after": "1"}
    fault = fault_of_answer(status, headers, body, Asked(f"host-{ECHOED}", f"model-{ECHOED}"))
    assert "0123456789" not in repr(fault)
