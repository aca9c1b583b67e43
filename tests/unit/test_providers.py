"""The two real SDKs against a scripted server: answers, refusals, and everything that is neither."""

from __future__ import annotations

import asyncio
import gc
import gzip
import tracemalloc
import warnings
from collections.abc import Iterator
from functools import cache

import pytest
from endpoints import ENDPOINTS, Endpoint, each_endpoint, each_stream, endpoint_name, official
from provider import KEY, Act, Loopback

from parallm_magics.core.provider import CallFailed
from parallm_magics.core.tasks import Usage

HOSTILE = "<html><img src=x: onerror=alert(1)>proxy login</html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server, and a key in the variable that the endpoints read."""
    monkeypatch.setenv("TEST_KEY", f"  {KEY}\n")
    with Loopback() as loopback:
        yield loopback


@each_endpoint
def test_a_call_gives_text_usage_model_and_request_id(server: Loopback, endpoint: Endpoint) -> None:
    """A good answer comes back whole, with what the provider says about it."""
    reply = endpoint.reply(server, "ok")
    assert (reply.text, reply.finish, reply.model) == ("echo: hello there", "stop", "ok")
    assert reply.usage == Usage(11, 0, 0, 4)
    assert reply.request_id == "req_0"
    assert server.log[0].stream is endpoint.stream


@each_stream
def test_what_is_heard_of_a_stream_is_its_text(server: Loopback, endpoint: Endpoint) -> None:
    """However the network cuts it; thinking is not heard."""
    pieces: list[str] = []
    reply = endpoint.reply(server, "thinking", heard=pieces.append)
    assert "".join(pieces) == reply.text == "echo: hello there"


@each_endpoint
def test_thinking_is_not_the_answer(server: Loopback, endpoint: Endpoint) -> None:
    """Thinking blocks and reasoning fields stay out of the text."""
    assert endpoint.reply(server, "thinking").text == "echo: hello there"


@each_endpoint
def test_only_what_was_asked_for_is_sent(server: Loopback, endpoint: Endpoint) -> None:
    """No temperature, effort, system prompt or seed unless the task has one."""
    endpoint.reply(server, "ok")
    limit = {"anthropic": "max_tokens", "openai": "max_tokens"}[endpoint.name]
    streaming = {"stream", "stream_options"} if endpoint.name == "openai" else {"stream"}
    assert set(server.log[0].body) == {"model", "messages", limit} | (
        streaming if endpoint.stream else set()
    )


@each_endpoint
def test_all_that_was_asked_for_is_sent(server: Loopback, endpoint: Endpoint) -> None:
    """System prompt, temperature, effort and limit reach the provider under its own names."""
    endpoint.reply(server, "ok", system="be brief", temperature=0.3, effort="low", max_tokens=77)
    body = server.log[0].body
    assert (body["temperature"], body["max_tokens"]) == (0.3, 77)
    if endpoint.name == "anthropic":
        assert body["system"] == "be brief"
        assert body["output_config"] == {"effort": "low"}
    else:
        assert body["messages"][0] == {"role": "system", "content": "be brief"}
        assert body["reasoning_effort"] == "low"


@each_endpoint
def test_parameters_go_as_given_and_win(server: Loopback, endpoint: Endpoint) -> None:
    """The user's JSON is sent as it is, over our own fields, objects joined one level deep."""
    params = {"max_tokens": 5, "output_config": {"format": {"a": [1]}}, "top_k": None}
    endpoint.reply(server, "ok", effort="low", params=params)
    body = server.log[0].body
    assert body["max_tokens"] == 5
    assert body["top_k"] is None
    assert body["output_config"]["format"] == {"a": [1]}
    if endpoint.name == "anthropic":
        assert body["output_config"]["effort"] == "low"


def test_openai_itself_gets_its_own_name_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """api.openai.com takes max_completion_tokens, any other server max_tokens."""
    task = Endpoint("openai", False).task("gpt-6-luna", max_tokens=9)
    assert official("openai")._request(task)["max_completion_tokens"] == 9
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert official("openai")._request(task)["max_tokens"] == 9


@pytest.mark.parametrize(
    ("model", "text"),
    [
        pytest.param("no-content", "", id="no content"),
        pytest.param("null-content", "", id="null content"),
        pytest.param("empty-text", "", id="empty text"),
        pytest.param("blank-text", " \n ", id="blank text"),
    ],
)
@each_endpoint
def test_an_answer_without_text_is_a_reply(
    server: Loopback, endpoint: Endpoint, model: str, text: str
) -> None:
    """Nothing said is for the engine to judge: the text is what was said."""
    reply = endpoint.reply(server, model)
    assert (reply.text, reply.finish) == (text, "stop")


@pytest.mark.parametrize(
    ("model", "text", "finish"),
    [
        pytest.param("refusal", "I cannot help with that.", "refusal", id="refusal"),
        pytest.param("filter", "", "refusal", id="content filter"),
        pytest.param("length", "partial answer", "length", id="max tokens"),
        pytest.param("tool-use", "let me look", "stop", id="tool use"),
    ],
)
@each_endpoint
def test_the_reason_of_the_stop_is_kept(
    server: Loopback, endpoint: Endpoint, model: str, text: str, finish: str
) -> None:
    """Refused and cut off answers say so; a tool call is taken as the text that it has."""
    reply = endpoint.reply(server, model)
    assert (reply.text, reply.finish) == (text, finish)


@pytest.mark.parametrize("stop", ["model_context_window_exceeded", "pause_turn"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_unfinished_turn_is_cut_off(server: Loopback, stop: str, stream: bool) -> None:
    """A full context window and a paused turn leave an answer that is not whole."""
    server.script("m", Act(stop=stop))
    assert Endpoint("anthropic", stream).reply(server, "m").finish == "length"


def test_a_filter_that_answers_400_is_a_refusal(server: Loopback) -> None:
    """A content filter in front of the model declines as the model does."""
    server.script("m", Act(status=400, body={"error": {"code": "content_filter", "message": "no"}}))
    fault = Endpoint("openai", False).failure(server, "m").fault
    assert fault.kind == "refusal"
    assert fault.message.endswith(": no")


@pytest.mark.parametrize("model", ["no-usage", "null-usage", "absurd-usage"])
@each_endpoint
def test_a_usage_that_cannot_be_true_is_none(
    server: Loopback, endpoint: Endpoint, model: str
) -> None:
    """Missing, null, negative or absurd counts are unknown, and the answer stays."""
    reply = endpoint.reply(server, model)
    assert reply.usage is None
    assert reply.text == "echo: hello there"


@pytest.mark.parametrize(
    ("endpoint", "patch", "usage"),
    [
        pytest.param(
            Endpoint("anthropic", False),
            {"usage.cache_read_input_tokens": 100, "usage.cache_creation_input_tokens": 30},
            Usage(11, 100, 30, 4),
            id="anthropic counts the uncached remainder",
        ),
        pytest.param(
            Endpoint("anthropic", True),
            {"usage.cache_read_input_tokens": 100},
            Usage(11, 100, 0, 4),
            id="anthropic streamed",
        ),
        pytest.param(
            Endpoint("openai", False),
            {"usage.prompt_tokens": 50, "usage.prompt_tokens_details.cached_tokens": 40},
            Usage(10, 40, 0, 4),
            id="openai counts the cached ones in",
        ),
        pytest.param(
            Endpoint("openai", True),
            {"usage.prompt_tokens_details": None},
            Usage(11, 0, 0, 4),
            id="openai without details",
        ),
        pytest.param(
            Endpoint("openai", False),
            {"usage.prompt_tokens_details.cached_tokens": 40},
            None,
            id="more cached than sent",
        ),
    ],
)
def test_usage_is_in_four_classes_that_do_not_overlap(
    server: Loopback, endpoint: Endpoint, patch: dict[str, object], usage: Usage | None
) -> None:
    """Cached tokens are counted once, whichever way the provider counts them."""
    server.script("m", Act(patch=patch))
    assert endpoint.reply(server, "m").usage == usage


@each_stream
def test_a_cut_stream_keeps_its_text_and_is_no_answer(server: Loopback, endpoint: Endpoint) -> None:
    """A connection that breaks in the middle is a fault that has the text so far."""
    failed = endpoint.failure(server, "cut")
    assert (failed.fault.kind, failed.text) == ("cut", "partial answer")
    assert "14 characters had arrived" in failed.fault.message


@each_stream
def test_a_stream_without_a_stop_event_is_cut(server: Loopback, endpoint: Endpoint) -> None:
    """A clean end of the connection is not an end of the answer."""
    failed = endpoint.failure(server, "no-stop")
    assert (failed.fault.kind, failed.text) == ("cut", "partial answer")


def test_an_unstreamed_answer_that_breaks_off_has_no_text(server: Loopback) -> None:
    """Half of a JSON body is a broken connection."""
    for name in ("anthropic", "openai"):
        failed = Endpoint(name, False).failure(server, "cut")
        assert (failed.fault.kind, failed.text) == ("connection", "")


@each_stream
def test_an_error_in_the_stream_is_told_by_its_type(server: Loopback, endpoint: Endpoint) -> None:
    """An overloaded provider is a 529, though the status was 200; the text so far is kept."""
    failed = endpoint.failure(server, "error-event")
    assert (failed.fault.kind, failed.fault.http) == ("server", 529)
    assert failed.text == "partial answer"
    assert failed.fault.request_id == "req_0"


@each_stream
def test_a_break_after_the_stop_loses_nothing(server: Loopback, endpoint: Endpoint) -> None:
    """Once the model has stopped, the answer is whole, whatever the connection does."""
    end = {
        "anthropic": 'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}\n\n'
        'data: {"type": "message_stop"}\n\n',
        "openai": 'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n',
    }[endpoint.name]
    headers = {"content-type": "text/event-stream", "content-length": "9999"}
    server.script("m", Act(headers=headers, body=end))

    async def call() -> str:
        provider = endpoint.open(server.url)
        await provider.prepare()
        stopped = asyncio.Event()
        heard = lambda *_: stopped.set()  # noqa: E731
        waiting = asyncio.create_task(provider.complete(endpoint.task("m"), heard))
        await stopped.wait()
        await asyncio.to_thread(server.__exit__)
        reply = await asyncio.wait_for(waiting, 5)
        await provider.close()
        return reply.finish

    assert asyncio.run(call()) == "stop"


@pytest.mark.parametrize(
    "model", ["html-200", "empty-200", "badjson-200", "null-200", "list-200", "obj-200"]
)
@each_endpoint
def test_a_200_that_is_no_answer_is_not_an_answer(
    server: Loopback, endpoint: Endpoint, model: str
) -> None:
    """HTML, nothing, broken JSON, null, [] and {} are one kind of fault, in one line."""
    fault = endpoint.failure(server, model).fault
    assert fault.kind == "not_an_answer"
    assert "\n" not in fault.message
    if model == "html-200":
        assert "text/html" in fault.message
        assert HOSTILE in fault.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"content": 3, "choices": {}}', id="wrong types"),
        pytest.param('{"content": "text", "choices": "text"}', id="text for a list"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"content": ' + "9" * 5000, id="endless number"),
        pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
        pytest.param('"just text"', id="a string"),
    ],
)
@each_endpoint
def test_strange_json_is_not_an_answer(server: Loopback, endpoint: Endpoint, body: object) -> None:
    """No shape of a body is an exception of its own."""
    server.script("m", Act(body=body))
    assert endpoint.failure(server, "m").fault.kind == "not_an_answer"


@each_endpoint
def test_what_came_instead_is_shown_short_and_harmless(
    server: Loopback, endpoint: Endpoint
) -> None:
    """At most 200 characters of it, without control characters."""
    server.script("m", Act(headers={"content-type": "text/html"}, body="\x1b[2J\x07<b>" * 400))
    message = endpoint.failure(server, "m").fault.message
    assert len(message) < 300
    assert message.isprintable()


@each_stream
@pytest.mark.parametrize("data", ["nonsense", "null", "[1]"])
def test_events_that_are_no_objects_are_not_an_answer(
    server: Loopback, endpoint: Endpoint, data: str
) -> None:
    """A stream of something else is not an API stream."""
    server.script("m", Act(headers={"content-type": "text/event-stream"}, body=f"data: {data}\n\n"))
    assert endpoint.failure(server, "m").fault.kind == "not_an_answer"


@each_endpoint
def test_an_error_with_status_200_is_an_error(server: Loopback, endpoint: Endpoint) -> None:
    """Gateways that put an error and its status into a good answer are understood."""
    server.script("m", Act(body={"error": {"code": 429, "message": "slow down"}}))
    fault = endpoint.failure(server, "m").fault
    assert (fault.kind, fault.http) == ("rate_limit", 429)


@each_endpoint
def test_compressed_answers_are_read(server: Loopback, endpoint: Endpoint) -> None:
    """gzip is no obstacle."""
    assert endpoint.reply(server, "gzip").text == "echo: hello there"


@cache
def bomb() -> bytes:
    """300 MB in 300 kB."""
    return gzip.compress(b"\0" * 300_000_000, 9)


@pytest.mark.parametrize("status", [200, 500])
@each_endpoint
def test_a_bomb_does_not_fill_the_memory(server: Loopback, endpoint: Endpoint, status: int) -> None:
    """A small compressed body that stands for 300 MB is given up early."""
    server.script("m", Act(status=status, headers={"content-encoding": "gzip"}, body=bomb()))
    bomb()  # made once, and not what is measured
    tracemalloc.start()
    try:
        fault = endpoint.failure(server, "m").fault
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fault.kind == ("not_an_answer" if status == 200 else "server")
    assert most < 100_000_000


@each_endpoint
def test_a_redirect_elsewhere_is_not_followed(server: Loopback, endpoint: Endpoint) -> None:
    """Neither the prompt nor the key reaches the other host."""
    with Loopback() as other:
        server.script("m", Act(status=307, headers={"location": f"{other.url}/stolen?a=b"}))
        fault = endpoint.failure(server, "m").fault
        assert fault.kind == "bad_request"
        assert "redirect" in fault.message
        assert other.log == []


@each_endpoint
def test_half_characters_never_leave(server: Loopback, endpoint: Endpoint) -> None:
    """Lone surrogates become U+FFFD; two halves in two pieces become the character."""
    server.script("m", Act(text="a\ud800b 😀", pieces=8))
    pieces: list[str] = []
    reply = endpoint.reply(server, "m", heard=pieces.append)
    assert reply.text == "a\ufffdb 😀"
    "".join(pieces).encode()


def test_a_prompt_with_half_a_character_is_a_bad_request(server: Loopback) -> None:
    """What cannot be sent is said to be so, and nothing is sent."""
    failed = Endpoint("openai", False).failure(server, "ok", prompt="a\ud800")
    assert failed.fault.kind == "bad_request"
    assert server.log == []


@each_endpoint
def test_prompts_arrive_byte_for_byte(server: Loopback, endpoint: Endpoint) -> None:
    """Nothing is trimmed, escaped or normalised on the way."""
    prompt = "  {x} %s \u0000\u200b\u202e é é 😀\r\n\ttail  "
    endpoint.reply(server, "ok", prompt=prompt)
    assert server.log[0].prompt == prompt


@each_endpoint
def test_a_hanging_call_ends_when_it_is_cancelled(server: Loopback, endpoint: Endpoint) -> None:
    """The provider itself has no time limit, and a cancelled call leaves nothing behind."""
    provider = endpoint.open(server.url)

    async def call() -> None:
        await provider.prepare()
        for model in ("hang", "hang-mid", "drip"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await provider.complete(endpoint.task(model), lambda piece: None)
        await provider.close()

    asyncio.run(call())
    gc.collect()
    assert server.becomes_idle()


def test_hundreds_of_calls_are_open_at_once(server: Loopback) -> None:
    """The SDK's pool is never the narrow place, and connections are used again."""
    endpoint = Endpoint("openai", True)
    provider = endpoint.open(server.url)

    async def call() -> None:
        await provider.prepare()
        task = endpoint.task("slow-500ms")
        await asyncio.gather(*(provider.complete(task, lambda piece: None) for _ in range(300)))
        await provider.close()

    asyncio.run(call())
    assert server.max_in_flight == 300


def test_one_call_is_one_request(server: Loopback) -> None:
    """The SDKs do not retry: there is one retry layer, and it is not theirs."""
    for endpoint in ENDPOINTS:
        server.clear()
        endpoint.failure(server, "err-503")
        endpoint.failure(server, "err-429-ra-0")
        assert len(server.log) == 2, endpoint_name(endpoint)


def test_deprecated_models_warn_nobody(server: Loopback) -> None:
    """What an SDK has to say about a model's age does not reach the notebook."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for endpoint in ENDPOINTS:
            endpoint.reply(server, "claude-3-opus-20240229")
    assert [w for w in caught if issubclass(w.category, DeprecationWarning)] == []


def test_the_default_transport_serves_where_aiohttp_is_missing(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without aiohttp the SDK's own transport is taken; cuts and refusals look the same."""
    import anthropic
    import openai

    def missing(**options: object) -> None:
        raise RuntimeError("aiohttp is not installed")

    monkeypatch.setattr(anthropic, "DefaultAioHttpClient", missing)
    monkeypatch.setattr(openai, "DefaultAioHttpClient", missing)
    for endpoint in ENDPOINTS:
        assert endpoint.reply(server, "ok").text == "echo: hello there"
        assert isinstance(endpoint.failure(server, "reset"), CallFailed)
        assert endpoint.failure(server, "cut").fault.kind == (
            "cut" if endpoint.stream else "connection"
        )
