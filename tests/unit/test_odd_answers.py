"""What servers and gateways really send, byte for byte: each case through the real SDKs, to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asking import each_dialect, fanned, served, voted
from endpoints import Endpoint
from fakes import Fake, tasks
from hypothesis import given
from hypothesis import strategies as st
from odd_answers import (
    CASES,
    LAST,
    MODEL,
    ODD,
    PIECES,
    TEXT,
    TOO_MUCH,
    WAYS,
    Odd,
    Way,
    delta,
    events,
    good,
    opening,
    part,
    sse,
    streamed,
)
from odd_runs import differences, mixed_run, mixture
from provider import KEY, Act, Call, Loopback
from virtual_time import run_virtual

from parallm_magics import VoteRun
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Task
from parallm_magics.engine.worker import attempt

KEY_ENV = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
THINKING = {"type": "thinking", "thinking": "", "signature": ""}
TEN: dict[str, Any] = {
    "each": "items",
    "variables": {"items": [f"item {at}" for at in range(10)]},
}
Key = tuple[Way, str]


@pytest.fixture(scope="module")
def ends() -> Iterator[dict[Key, VoteRun]]:
    """A vote of one voter for each case, all at once; what follows a first try is good."""
    with served() as server:
        for at, (way, odd) in enumerate(CASES):
            act = odd.act(way)
            assert act is not None
            server.script(f"{MODEL}-{at}", act, good(way))

        async def all_of_them() -> list[VoteRun]:
            return await asyncio.gather(*(ask(at, way) for at, (way, _) in enumerate(CASES)))

        runs = asyncio.run(all_of_them())
        yield {(way, odd.name): run for (way, odd), run in zip(CASES, runs, strict=True)}


async def ask(at: int, way: Way) -> VoteRun:
    """One voter of the case."""
    return await voted(
        "is it safe or unsafe?",
        n=1,
        choices=["safe", "unsafe"],
        model=f"{way.dialect}:{MODEL}-{at}",
        stream="on" if way.stream else "off",
    )


def case_name(case: tuple[Way, Odd]) -> str:
    """The case's id."""
    way, odd = case
    return f"{odd.name}-{way.dialect}-{'stream' if way.stream else 'whole'}"


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_an_odd_answer_ends_as_it_must(ends: dict[Key, VoteRun], case: tuple[Way, Odd]) -> None:
    """What came whole is a vote with its text and tokens; what did not is none, and says why."""
    way, odd = case
    run = ends[way, odd.name]
    [record] = run.results
    assert (record.status, [a.outcome for a in record.attempts]) == (odd.status, [*odd.attempts]), (
        record.error
    )
    assert sum(run.tally.values()) == (1 if odd.status == "ok" else 0)
    assert run.winner == ("unsafe" if odd.status == "ok" else None)
    if odd.text is not None:
        assert record.text == odd.text
    assert odd.says in str(record.error and record.error.message)
    used = record.usage and (record.usage.input_tokens, record.usage.output_tokens)
    assert used == odd.billed


# A fault of one prompt is not a fault of the account.

FLAGGED = {"error": {"code": 403, "message": "not today", "metadata": {"reasons": ["violence"]}}}
BARE = Act(status=403, body="<html>Forbidden</html>")


@each_dialect
def test_a_flagged_prompt_costs_no_other(server: Loopback, dialect: str) -> None:
    """The first of ten items is refused, and nine are asked; one request each."""
    server.script("m", Act(status=403, body=FLAGGED), Act(text="fine"))
    run = asyncio.run(fanned("{{item}}", model=f"{dialect}:m", concurrency=2, **TEN))
    assert [record.status for record in run.results].count("refused") == 1
    assert (len(run.succeeded), len(server.log)) == (9, 10)


@each_dialect
def test_bare_refusals_in_a_burst_end_no_run(server: Loopback, dialect: str) -> None:
    """A relay that says 403 for a while, after it has answered: all are asked again and succeed."""
    server.script("m", Act(), *[BARE] * 6, Act())
    run = asyncio.run(fanned("{{item}}", model=f"{dialect}:m", concurrency=1, retries=8, **TEN))
    assert (len(run.succeeded), len(server.log)) == (10, 16)


@each_dialect
def test_many_refused_prompts_are_no_outage(server: Loopback, dialect: str) -> None:
    """Each of a dozen in a row is asked once more and then refused: nobody waits for the provider."""
    server.script("m", *[Act()] * 3, BARE)
    items = {"each": "items", "variables": {"items": [f"item {at}" for at in range(15)]}}
    run = asyncio.run(
        fanned("{{item}}", model=f"{dialect}:m", concurrency=1, retries=1, deadline=20, **items)
    )
    assert [record.status for record in run.results] == ["ok"] * 3 + ["refused"] * 12
    assert {len(record.attempts) for record in run.failed} == {2}


@each_dialect
def test_a_prompt_that_stays_refused_is_refused(server: Loopback, dialect: str) -> None:
    """Asked `--retries` times more and no longer; the others are untouched."""

    def bad_item(call: Call) -> Act:
        return BARE if call.prompt.endswith("item 4") else Act()

    server.script("m", bad_item)
    run = asyncio.run(fanned("{{item}}", model=f"{dialect}:m", concurrency=2, retries=2, **TEN))
    [lost] = run.failed
    assert (lost.name, lost.status, len(lost.attempts)) == ("5", "refused", 3)
    assert "HTTP 403" in str(lost.error and lost.error.message)
    assert (len(run.succeeded), len(server.log)) == (9, 12)


@each_dialect
@pytest.mark.parametrize(
    "act",
    [
        BARE,
        Act(status=403, body={"error": {"type": "permission_error", "message": "no"}}),
        Act(status=403, body={"error": {"message": "This API key may not use the model"}}),
        Act(status=403, body={"detail": "You do not have permission to do this"}),
        Act(status=400, body=[{"error": {"code": 400, "message": "API key not valid."}}]),
        Act(status=422, body={"detail": "Invalid API key"}),
    ],
    ids=["bare", "permission", "key", "detail", "list", "422"],
)
def test_a_key_that_may_nothing_stops_the_run(server: Loopback, dialect: str, act: Act) -> None:
    """Said so, or bare on the first five calls: the others are not asked, and the variable is named."""
    server.script("m", act)
    run = asyncio.run(fanned("hello", n=60, model=f"{dialect}:m", concurrency=4))
    assert len(server.log) <= 5 + 4
    assert len(run.failed) == 60
    last = run.results[-1]
    assert last.error is not None
    assert last.error.kind == "auth"
    assert f"check {dialect.upper()}_API_KEY" in last.error.message


@each_dialect
@pytest.mark.parametrize(
    "body",
    [
        {"detail": "what is {key}?"},
        {"detail": [{"loc": ["header"], "msg": "what is {key}?", "input": "{key}"}]},
        [{"error": {"message": "what is {key}?"}}],
        {"error": {"message": "no", "metadata": {"raw": "what is {key}?", "reasons": ["{key}"]}}},
        {"strange": "what is {key}?"},
        "what is {key}?",
    ],
)
def test_the_servers_words_never_show_the_key(server: Loopback, dialect: str, body: Any) -> None:
    """In whatever form it is quoted back."""
    server.script("m", Act(status=400, body=body))
    run = asyncio.run(fanned("hello", n=1, model=f"{dialect}:m"))
    error = run.results[0].error
    assert error is not None
    assert "what is" in error.message
    shown = [error.message, str(run), *run._repr_mimebundle_().values()]
    assert not [text for text in shown if KEY in text]


# A request that can never fit holds nobody.


@each_dialect
@pytest.mark.parametrize("status", [413, 429])
def test_a_request_larger_than_a_minute_is_asked_once(
    server: Loopback, dialect: str, status: int
) -> None:
    """One of sixteen: it says so at once, and nobody waits for the hint that came with it."""

    def one_is_large(call: Call) -> Act:
        large = call.prompt.endswith("item 3")
        return Act(status=status, headers={"retry-after": "600"}, body=TOO_MUCH) if large else Act()

    server.script("m", one_is_large)
    items = {"each": "items", "variables": {"items": [f"item {at}" for at in range(16)]}}
    run = asyncio.run(fanned("{{item}}", model=f"{dialect}:m", concurrency=4, deadline=60, **items))
    [lost] = run.failed
    assert lost.error is not None
    assert (lost.name, lost.error.kind) == ("4", "too_large")
    assert "--max-tokens" in lost.error.message
    assert (len(run.succeeded), len(server.log)) == (15, 16)
    assert run.seconds < 600


# Fields that an endpoint does not take.


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("max_tokens", {"error": {"param": "max_tokens", "message": "Unsupported parameter"}}),
        ("stream_options", {"detail": [{"loc": ["body", "stream_options"], "msg": "extra"}]}),
        ("stream_options", {"error": {"message": "Unrecognized argument: stream_options"}}),
    ],
)
def test_a_field_that_is_refused_is_left_out_from_then_on(
    server: Loopback, status: int, field: str, error: Any
) -> None:
    """One call more, then the endpoint is known; every worker succeeds, and the page says so."""

    def strict(call: Call) -> Act:
        return Act(status=status, body=error) if field in call.body else Act(text="fine")

    server.script("m", strict)
    run = asyncio.run(
        fanned("hello", n=8, model="openai:m", concurrency=1, stream="on", max_tokens=7)
    )
    assert (len(run.succeeded), len(server.log)) == (8, 9)
    assert [a.outcome for a in run.results[0].attempts] == ["parameter", "ok"]
    last = server.log[-1].body
    assert (last.get("max_tokens"), last.get("max_completion_tokens")) == (
        (None, 7) if field == "max_tokens" else (7, None)
    )
    page = run._repr_mimebundle_()
    assert all(f"{field} is not taken" in page[kind] for kind in ("text/html", "text/plain"))


def test_a_field_that_the_user_asked_for_is_never_left_out(server: Loopback) -> None:
    """It is named, and asked once."""
    server.script("m", Act(status=400, body={"error": {"param": "temperature", "message": "no"}}))
    run = asyncio.run(fanned("hello", n=1, model="openai:m", temperature=0.5))
    assert "m does not accept 'temperature'" in str(run.results[0].error)
    assert len(server.log) == 1


# A limit between tokens starts with a token.

NO_TOKEN = {
    "anthropic": [
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": THINKING},
        {"type": "ping"},
    ],
    "openai": [
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        part({"role": "assistant", "content": ""}),
        part({"role": "assistant", "content": None, "reasoning_content": ""}),
    ],
}
TOKEN = {
    "anthropic": {"type": "thinking_delta", "thinking": "hm"},
    "openai": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}],
}


def limited(server: Loopback, way: Way, act: Act) -> Reply | CallFailed:
    """How one call ends under a first limit of a minute and a later one of a moment."""
    server.script("m", act)
    endpoint = Endpoint(way.dialect, way.stream)
    provider = endpoint.open(server.url, KEY_ENV[way.dialect])
    task = endpoint.task("m", silence=0.4, first=60.0)

    async def call() -> Reply | CallFailed:
        await provider.prepare()
        try:
            return await attempt(provider, task, lambda piece, thinking="": None, [], 100.0)
        except CallFailed as failed:
            return failed
        finally:
            await provider.close()

    return asyncio.run(call())


@each_dialect
def test_what_is_no_token_starts_no_short_limit(server: Loopback, dialect: Any) -> None:
    """Pings, empty thinking, filter results and roles: the wait goes on as for a first token."""
    said = [*opening(dialect)[:1], *NO_TOKEN[dialect]]
    pieces = [*sse(said), 1.2, *sse(events(dialect, *PIECES)[1:]), LAST[dialect]]
    end = limited(server, Way(dialect, stream=True), streamed(*pieces))
    assert isinstance(end, Reply), end
    assert end.text == TEXT


@each_dialect
@pytest.mark.parametrize("token", ["text", "thinking"])
def test_silence_behind_a_token_is_short(server: Loopback, dialect: Any, token: str) -> None:
    """Of the answer or of thinking."""
    said = delta(dialect, "ANSWER: s" if token == "text" else TOKEN[dialect])
    act = streamed(*sse([*opening(dialect), *NO_TOKEN[dialect], said]), end="open")
    end = limited(server, Way(dialect, stream=True), act)
    assert isinstance(end, CallFailed)
    assert end.fault.kind == "timeout"
    assert end.fault.message.startswith("silent for 0.4 s")


SIGNS = {"life": ("", ""), "text": ("piece", ""), "thinking": ("", "piece"), "both": ("a", "b")}


@given(
    st.lists(st.tuples(st.sampled_from([*SIGNS]), st.integers(1, 80)), max_size=8),
    st.integers(1, 80),
)
def test_the_limits_follow_the_signs(signs: list[tuple[str, int]], rest: int) -> None:
    """In any order of signs: the long limit until the first token, the short one behind it."""
    first, silence = 50.5, 20.5

    async def act(task: Task, heard: Heard) -> Reply:
        for sign, pause in signs:
            await asyncio.sleep(pause)
            heard(*SIGNS[sign])
        await asyncio.sleep(rest)
        return Reply("fine")

    async def main() -> str:
        [task] = tasks(1, first=first, silence=silence)
        try:
            reply = await attempt(Fake(act), task, lambda piece, thinking="": None, [], 10_000.0)
        except CallFailed as failed:
            return failed.fault.kind
        return reply.text

    limit, late = first, False
    for sign, pause in [*signs, ("life", rest)]:
        late = late or pause > limit
        limit = silence if sign != "life" else limit
    assert run_virtual(main()).result == ("timeout" if late else "fine")


@each_dialect
@pytest.mark.parametrize("end", ["open", "beat"])
def test_an_answer_that_is_whole_outlives_its_limits(
    server: Loopback, dialect: Any, end: Any
) -> None:
    """Where the limit on silence, or the deadline, is shorter than the grace, it is kept all the same."""
    pieces = events(dialect, *PIECES) if dialect == "anthropic" else events(dialect, *PIECES)[:-1]
    act = streamed(*sse(pieces), end=end)
    reply = limited(server, Way(dialect, stream=True), act)
    assert isinstance(reply, Reply), reply
    assert reply.text == TEXT


# All at once.


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.dialect}-{way.stream}")
def test_the_sums_of_odd_answers_are_those_of_the_servers_log(server: Loopback, way: Way) -> None:
    """Twenty kinds mixed at random: calls, statuses, tokens and cost are the server's, votes only of whole ones."""
    mixed = mixture(way, 250, seed=16)
    run = asyncio.run(mixed_run(server, mixed))
    assert differences(run, mixed, len(server.log)) == {}


@pytest.mark.parametrize("stream", ["on", "off"])
def test_thinking_that_comes_as_parts_stands_apart(server: Loopback, stream: str) -> None:
    """Its verdict is no vote; it is kept in the record."""
    [odd] = [each for each in ODD if each.name == "thinking and text as parts"]
    act = odd.act(Way("openai", stream == "on"))
    assert act is not None
    server.script("m", act)
    run = asyncio.run(voted("which", n=1, choices="safe,unsafe", model="openai:m", stream=stream))
    [record] = run.results
    assert (record.text, record.thinking, run.winner) == (TEXT, "ANSWER: safe", "unsafe")
