"""Faults of a provider, met by whole runs through the real SDKs: what is asked, kept and said."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from typing import Any

import pytest
from asking import MODELS, Stalls, bad_inputs, each_dialect, fanned, sections, voted
from fakes import Fake, price, tasks
from provider import KEY, Act, Call, Loopback
from provider_acts import NAMED, act_of
from slack import with_slack
from virtual_time import run_virtual

from parallm_magics import FanoutRun, ParallmError, TooFewSucceeded, fanout
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, Record, Task
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits, Slots
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.providers.registry import define_simulated, forget

SOON = 0.3  # after its deadline a worker has ended, on a quiet machine that does not stall


def scheduled(
    fake: Fake, todo: list[Task], **rules: Any
) -> tuple[list[Record], float, list[Event]]:
    """Records, virtual seconds and events of a run over a fake provider."""
    events: list[Event] = []

    async def main() -> list[Record]:
        routes, held = Routes(lambda model: fake, RateLimits().of), Rules(**rules)
        shared = Slots(held.concurrency)
        return await Scheduler(
            todo, routes, held, Accounts(price), events.append, Stop(), shared
        ).run()

    records, seconds = run_virtual(main())
    return records, seconds, events


# Rate limits and quotas.


@each_dialect
def test_one_refusal_holds_all_workers_back(server: Loopback, dialect: str) -> None:
    """After a 429 that asks for a second, nobody is sent for that second; then all succeed."""
    refused: list[float] = []

    def first_is_refused(call: Call) -> Act:
        if call.number == 0:
            refused.append(call.at)
            return Act(status=429, headers={"retry-after": "1"})
        return Act(delay=0.4)

    server.script("m", first_is_refused)
    run = asyncio.run(fanned("hello", n=32, model=f"{dialect}:m"))
    assert len(run.succeeded) == 32
    arrivals = sorted(call.at - refused[0] for call in server.log)
    begun = [at for at in arrivals if at < 0.95]
    assert len(arrivals) == 33
    assert len(begun) <= 20, "those that were in flight"
    assert max(begun) < 0.4, "nobody took a place that became free"
    assert [r.attempts[0].outcome for r in run.results].count("rate_limit") == 1


HINTS = [
    "3600",
    "inf",
    "1" + "0" * 34,
    "nan",
    "-5",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "soon",
    "0.0.1",
]


def test_an_odd_hint_never_holds_a_worker_past_its_deadline(server: Loopback) -> None:
    """Endless, absurd and unreadable waits: all workers end in time, and an honest one is told."""
    for at, hint in enumerate(HINTS):
        server.script(f"m{at}", Act(status=429, headers={"retry-after": hint}))

    async def all_of_them() -> list[FanoutRun]:
        runs = [
            fanned(sections(f"{dialect}:m{at}"), deadline=3)
            for dialect in MODELS
            for at in range(len(HINTS))
        ]
        return await asyncio.gather(*runs)

    with Stalls() as stalls:
        runs = asyncio.run(all_of_them())
    for run, hint in zip(runs, HINTS * 2, strict=True):
        [record] = run.results
        assert run.seconds <= 3 + with_slack(SOON) + stalls.seconds, hint
        assert record.error is not None
        assert (record.status, record.error.kind) == ("failed", "rate_limit")
        assert ("wait of 3600 s" in record.error.message) == (hint == "3600")


QUOTAS = {
    "insufficient quota": (429, {"type": "insufficient_quota", "code": "insufficient_quota"}),
    "spend limit": (429, {"details": {"error_code": "enforced_spend_limit_reached"}}),
    "limit in words": (400, {"message": "You have reached your specified API usage limits."}),
    "payment required": (402, {"type": "billing_error"}),
}


@each_dialect
@pytest.mark.parametrize("name", QUOTAS)
def test_an_empty_account_is_asked_no_more(server: Loopback, dialect: str, name: str) -> None:
    """Of a hundred workers at most those in flight are sent, none of them twice."""
    status, error = QUOTAS[name]
    server.script("m", Act(status=status, body={"error": error}, delay=0.02))
    run = asyncio.run(fanned("hello", n=100, concurrency=8, model=f"{dialect}:m"))
    assert 1 <= len(server.log) <= 8
    assert len(run.failed) == 100
    assert {record.error.kind for record in run.failed if record.error} == {"quota"}
    assert max(len(record.attempts) for record in run.results) == 1
    assert sum(bool(record.attempts) for record in run.results) == len(server.log)


# Passing faults.


def test_a_passing_fault_gets_three_attempts(server: Loopback) -> None:
    """500, 502, 503, 504 and 529 are asked three times, then the worker has failed."""
    names = [f"{d}:err-{status}" for d in MODELS for status in (500, 502, 503, 504, 529)]

    async def each_alone() -> list[FanoutRun]:
        return await asyncio.gather(*(fanned(sections(name)) for name in names))

    runs = asyncio.run(each_alone())
    for name, run in zip(names, runs, strict=True):
        model = name.partition(":")[2]
        assert [a.outcome for a in run.results[0].attempts] == ["server"] * 3
        assert sum(call.model == model for call in server.log) == 3 * len(MODELS)


def test_a_dead_provider_costs_few_calls(server: Loopback) -> None:
    """Where every call fails there are at most 1.2 a worker and ten."""

    async def both() -> list[FanoutRun]:
        return await asyncio.gather(
            *(fanned("hello", n=40, deadline=1, model=f"{d}:err-503") for d in MODELS)
        )

    for run, dialect in zip(asyncio.run(both()), MODELS, strict=True):
        assert len(run.failed) == 40
        assert sum(call.dialect == dialect for call in server.log) <= 1.2 * 40 + 10


@each_dialect
def test_a_dead_provider_ends_the_run_at_the_deadline(server: Loopback, dialect: str) -> None:
    """Workers that never got their turn do not wait for the next probe beyond it."""

    async def timed() -> float:
        began = asyncio.get_running_loop().time()
        await fanned("hello", n=40, deadline=2, model=f"{dialect}:err-503")
        return asyncio.get_running_loop().time() - began

    asyncio.run(fanned(sections(f"{dialect}:ok")))  # the SDK's import is nobody's time
    with Stalls() as stalls:
        seconds = asyncio.run(timed())
    assert seconds <= 2 + with_slack(SOON) + stalls.seconds


def test_most_succeed_where_a_fifth_of_the_calls_fail() -> None:
    """Of a thousand workers at least 98 %, as each may try three times."""
    chance = random.Random(4)

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.5)
        if chance.random() < 0.2:
            raise CallFailed(Fault("server", "HTTP 503", http=503))
        return Reply("fine")

    fake = Fake(act)
    records, _, _ = scheduled(fake, tasks(1000))
    assert sum(record.ok for record in records) >= 980


def test_pauses_are_drawn_from_the_whole_span() -> None:
    """Workers that failed together do not come back together."""

    async def once(task: Task, heard: Heard) -> Reply:
        if fake.calls.count(task.name) == 1:
            raise CallFailed(Fault("server", "HTTP 503", http=503))
        return Reply("fine")

    pauses = []
    for _ in range(100):
        fake = Fake(once)
        pauses.append(scheduled(fake, tasks(1))[1])
    assert min(pauses) < 0.1
    assert 0.4 < max(pauses) <= 1.0


def test_each_lost_connection_names_its_host_and_cause(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, no such host, TLS, reset and closed: five texts in the run's records."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    here = server.url.removeprefix("http://")
    cases = {
        "refused": (f"http://{nobody}/v1", "ok", nobody),
        "TLS": (f"https://{here}/v1", "ok", here),
        "reset": (f"http://{here}/v1", "reset", here),
        "closed": (f"http://{here}/v1", "close", here),
        "no such host": ("http://no-such-host.invalid/v1", "ok", "no-such-host.invalid"),
    }
    lookup = socket.getaddrinfo

    def looked_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if "no-such-host" in str(host):
            raise socket.gaierror(-2, "Name or service not known")
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    said = set()
    for cause, (url, model, host) in cases.items():
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        run = asyncio.run(fanned(sections(f"openai:{model}"), retries=0))
        error = run.results[0].error
        assert error is not None
        assert (error.kind, host in error.message) == ("connection", True), error
        assert cause in error.message
        said.add(error.message)
    assert len(said) == 5


def test_a_worker_is_asked_again_when_the_provider_is_back() -> None:
    """After an outage of minutes one probe at a time finds out, within one pause of its end."""
    began: list[float] = []
    back, longest = 300.0, 15.0

    async def act(task: Task, heard: Heard) -> Reply:
        loop = asyncio.get_running_loop()
        began.append(loop.time())
        await asyncio.sleep(0.1)
        if loop.time() < back:
            raise CallFailed(Fault("server", "HTTP 503", http=503))
        return Reply("fine")

    fake = Fake(act)
    records, seconds, _ = scheduled(fake, tasks(50, deadline=900.0))
    assert all(record.ok for record in records)
    assert seconds <= back + longest + 5
    probes = [at for at in began if 30 <= at < back]
    assert all(later - at >= 1 for at, later in itertools.pairwise(probes))
    first = min(at for at in began if at >= back - 0.1)
    assert first <= back + longest
    assert sum(at == first for at in began) == 1, "half open: one call, not fifty"


# Silence.


@each_dialect
def test_hanging_workers_hold_up_nobody(server: Loopback, dialect: str) -> None:
    """Ten of twenty hang: the others are done at once, the run ends at the deadline."""
    text = sections(*[f"{dialect}:hang", f"{dialect}:ok"] * 10)
    ended: list[float] = []

    def answered(call: Call) -> Act:
        ended.append(call.at)
        return Act()

    server.script("ok", answered)
    with Stalls() as stalls:
        run = asyncio.run(fanned(text, deadline=3))
    assert run.seconds <= 3 + with_slack(SOON + 0.2) + stalls.seconds
    assert (len(run.succeeded), len(run.timed_out)) == (10, 10)
    assert all(record.end < 2.7 for record in run.succeeded)
    assert all("deadline of 3 s" in str(record.error) for record in run.timed_out)


@each_dialect
@pytest.mark.parametrize("stream", ["on", "off"])
def test_a_drip_ends_at_the_deadline(server: Loopback, dialect: str, stream: str) -> None:
    """A byte now and then is a sign of life, but no answer."""
    with Stalls() as stalls:
        run = asyncio.run(fanned(sections(f"{dialect}:drip"), deadline=0.8, stream=stream))
    assert run.seconds <= 0.8 + with_slack(SOON) + stalls.seconds
    assert run.results[0].status == "timed_out"


# Answers that are none.


@each_dialect
@pytest.mark.parametrize("then", ["abort", "eof"])
def test_a_stream_without_its_end_is_no_success_and_no_vote(
    server: Loopback, dialect: str, then: Any
) -> None:
    """Broken off or ended without a stop: a hundred of a hundred keep their text and count nothing."""
    server.script("m", Act(text="ANSWER: safe", then=then))
    model = f"{dialect}:m"
    run = asyncio.run(fanned("hello", n=100, model=model))
    assert (list(run.values()), len(run.failed), len(server.log)) == ([None] * 100, 100, 100)
    assert {record.error.kind for record in run.failed if record.error} == {"cut"}
    assert {record.text for record in run.failed} == {"ANSWER: safe"}
    counted = asyncio.run(voted("which", n=100, choices=["safe", "unsafe"], model=model))
    assert (counted.winner, sum(counted.tally.values())) == (None, 0)
    assert {ballot.state for ballot in counted.ballots} == {"failed"}


@each_dialect
def test_an_error_in_the_stream_is_tried_again_from_the_start(
    server: Loopback, dialect: str
) -> None:
    """The second answer stands alone: nothing of the first is before it."""
    server.script("m", Act(text="The whole ", then="error"), Act(text="The whole answer"))
    run = asyncio.run(fanned(sections(f"{dialect}:m")))
    assert run["s0"] == "The whole answer"
    assert [a.outcome for a in run.results[0].attempts] == ["server", "ok"]


NO_ANSWERS = ["html-200", "empty-200", "badjson-200", "null-200", "list-200", "obj-200"]
NO_TEXTS = ["no-content", "null-content", "empty-text", "blank-text"]


@each_dialect
@pytest.mark.parametrize("stream", ["on", "off"])
def test_what_is_no_answer_is_invalid_and_shown_harmless(
    server: Loopback, dialect: str, stream: str
) -> None:
    """HTML, nothing, broken JSON, null, [] and {}: one call each, one short line, no element of it."""
    run = asyncio.run(fanned(sections(*(f"{dialect}:{m}" for m in NO_ANSWERS)), stream=stream))
    assert [record.status for record in run.results] == ["invalid"] * 6
    assert {record.error.kind for record in run.results if record.error} == {"not_an_answer"}
    assert len(server.log) == 6
    page = run._repr_mimebundle_()["text/html"]
    assert "proxy login" in page
    assert "<img" not in page
    server.script("long", Act(headers={"content-type": "text/html"}, body="<p>" * 9999))
    run = asyncio.run(fanned(sections(f"{dialect}:long"), stream=stream))
    assert str(run.results[0].error).count("<p>") <= 200 // 3


@each_dialect
@pytest.mark.parametrize("stream", ["on", "off"])
def test_an_answer_without_text_is_invalid_and_no_vote(
    server: Loopback, dialect: str, stream: str
) -> None:
    """No content, null, "" and blanks: asked once, and never counted."""
    models = [f"{dialect}:{m}" for m in NO_TEXTS]
    run = asyncio.run(fanned(sections(*models), stream=stream))
    assert [record.status for record in run.results] == ["invalid"] * 4
    assert len(server.log) == 4
    voters = "\n".join(f"%voter v{at} -m {model}" for at, model in enumerate(models))
    counted = asyncio.run(voted(f"which\n{voters}", choices=["safe", "unsafe"], stream=stream))
    assert {ballot.state for ballot in counted.ballots} == {"invalid"}
    assert counted.winner is None


@each_dialect
@pytest.mark.parametrize("stream", ["on", "off"])
def test_a_usage_that_cannot_be_true_costs_an_unknown_amount(
    server: Loopback, dialect: str, stream: str
) -> None:
    """Missing, null, negative or absurd: the answer stands, its cost is None and never nothing."""
    names = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens")
    acts = [Act(patch={f"usage.{name}": value for name in names}) for value in (10**30, -5, "9")]
    acts += [Act(usage=False), Act(patch={"usage": None}), NAMED["absurd-usage"]]
    server.script(MODELS[dialect], *acts)
    run = asyncio.run(fanned("hello", n=6, model=MODELS[dialect], stream=stream, concurrency=1))
    assert [record.status for record in run.results] == ["ok"] * 6
    assert [(record.usage, record.cost) for record in run.results] == [(None, None)] * 6
    assert (run.usage, run.cost, run.cost_complete) == (None, None, False)


# Answers that are no success.


@each_dialect
@pytest.mark.parametrize("model", ["refusal", "filter"])
def test_a_refusal_is_shown_and_asked_once(server: Loopback, dialect: str, model: str) -> None:
    """By the model or by a filter: a status of its own, no retry, no vote."""
    run = asyncio.run(fanned(sections(f"{dialect}:{model}")))
    assert [record.status for record in run.results] == ["refused"]
    assert "refused" in str(run)
    counted = asyncio.run(voted("which", n=3, choices="a,b", model=f"{dialect}:{model}"))
    assert {ballot.state for ballot in counted.ballots} == {"abstain"}
    assert (counted.winner, len(server.log)) == (None, 4)


@each_dialect
def test_a_cut_answer_is_marked_everywhere(server: Loopback, dialect: str) -> None:
    """Cut at max_tokens: no vote, no success, joined with its mark."""
    server.script("short", Act(text="ANSWER: a", stop="max_tokens"))
    text = sections(*[f"{dialect}:short", f"{dialect}:ok"] * 5)
    run = asyncio.run(fanned(text))
    assert [record.status for record in run.results] == ["truncated", "ok"] * 5
    assert run.text is not None
    assert run.text.count("[cut off]") == 5
    assert run._repr_mimebundle_()["text/html"].count("cut off at max_tokens") >= 5
    with pytest.raises(TooFewSucceeded, match="5 of 10 workers succeeded"):
        asyncio.run(fanout(text, min_success=6))
    counted = asyncio.run(voted("which", n=3, choices="a,b", model=f"{dialect}:short"))
    assert {ballot.state for ballot in counted.ballots} == {"invalid"}
    assert counted.winner is None


# Requests that can never succeed.


@each_dialect
@pytest.mark.parametrize("model", ["too-long", "err-413"])
def test_a_prompt_too_large_is_asked_once(server: Loopback, dialect: str, model: str) -> None:
    """The provider's own sizes are told."""
    run = asyncio.run(fanned(sections(f"{dialect}:{model}")))
    [record] = run.results
    assert record.error is not None
    assert (record.error.kind, len(server.log)) == ("too_large", 1)
    assert f"the prompt is too large for {model}" in record.error.message
    assert model != "too-long" or "250000 tokens > 200000" in record.error.message


def test_a_prompt_over_a_known_limit_is_not_sent(server: Loopback) -> None:
    """Anthropic takes 32 MB in one request: more is refused before any call, with the sizes."""
    with pytest.raises(ParallmError, match="MB"):
        asyncio.run(
            fanned("%section a\n{{v}}", model="claude-x", variables={"v": "x" * 34_000_000})
        )
    assert server.log == []


@each_dialect
def test_an_unknown_model_is_told_with_near_names(server: Loopback, dialect: str) -> None:
    """A slip in a model's name is seen at once."""
    name = MODELS[dialect]
    server.script(f"{name}x", NAMED["no-model"])
    run = asyncio.run(fanned(sections(f"{dialect}:{name}x")))
    assert f"did you mean {name!r}?" in str(run.results[0].error)


@each_dialect
@pytest.mark.parametrize("model", ["echo-key", "err-403", "no-model"])
def test_a_wrong_key_or_model_is_asked_by_those_in_flight_only(
    server: Loopback, dialect: str, model: str
) -> None:
    """Of a hundred workers at most eight; the others say why they were not; the key is not shown."""
    run = asyncio.run(fanned("hello", n=100, concurrency=8, model=f"{dialect}:{model}"))
    assert 1 <= len(server.log) <= 8
    unasked = [record for record in run.failed if not record.attempts]
    assert len(unasked) == 100 - len(server.log)
    way_out = "unknown model 'no-model'" if model == "no-model" else f"{dialect.upper()}_API_KEY"
    assert all(way_out in str(record.error) for record in run.failed)
    assert all(str(r.error and r.error.message).startswith("not asked: ") for r in unasked)
    shown = [str(run), repr(run.results), *run._repr_mimebundle_().values()]
    assert not [text for text in shown if "CANARY" in text]
    assert KEY in str(server.log[0].headers), "the key did reach the provider"


@each_dialect
def test_a_parameter_that_a_model_does_not_take_is_named(server: Loopback, dialect: str) -> None:
    """With the model; asked once."""
    run = asyncio.run(fanned(sections(f"{dialect}:bad-param")))
    assert "bad-param does not accept 'temperature'" in str(run.results[0].error)
    assert len(server.log) == 1


@each_dialect
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_sends_no_byte_elsewhere(server: Loopback, dialect: str, status: int) -> None:
    """The second listener is not even connected to."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}/stolen"
        server.script("m", Act(status=status, headers={"location": url}))
        run = asyncio.run(fanned(sections(f"{dialect}:m")))
        other.settimeout(0.05)
        with pytest.raises(TimeoutError):
            other.accept()
    assert "the address redirects to" in str(run.results[0].error)


# What is kept.


@each_dialect
def test_a_second_try_asks_only_for_the_synthesis(server: Loopback, dialect: str) -> None:
    """Where the merging call failed the sections are kept and joined; again, it alone is made."""
    server.script("judge", Act(status=400), Act(text="MERGED"))
    text = f"%section a\none\n%section b\ntwo\n%synthesis -m {dialect}:judge\nmerge"

    async def twice() -> tuple[FanoutRun, int, FanoutRun]:
        run = await fanned(text, model=f"{dialect}:ok")
        before = len(server.log)
        return run, before, await run.retry()

    run, before, again = asyncio.run(twice())
    assert (list(run), run.aggregate) == (["a", "b"], "join")
    assert (before, len(server.log)) == (3, 4)
    assert (again.text, again.aggregate) == ("MERGED", "synthesis")
    assert again.results == run.results


def test_no_finished_answer_is_lost_in_random_runs() -> None:
    """Of 500 runs with random ends and minimums: each answer given is in the run, or in its error."""
    chance = random.Random(26)
    kinds = ["server", "timeout", "cut", "quota", "bad_request", "not_an_answer"]
    given: dict[str, str] = {}

    async def answer(task: Task, index: int) -> str:
        await asyncio.sleep(0)
        if chance.random() < 0.4:
            raise CallFailed(Fault(chance.choice(kinds), "random"))  # type: ignore[arg-type]
        return given.setdefault(task.name, f"answer {chance.random()}")

    async def one() -> None:
        given.clear()
        total = chance.randint(1, 8)
        least = chance.choice([chance.randint(0, total), f"{chance.randint(0, 100)}%"])
        text = "\n".join(f"%section n{at}\nask {at}" for at in range(total))
        concurrency = chance.randint(1, 8)
        problem: TooFewSucceeded | None = None
        try:
            run = await fanout(
                text, model="random:?scale=0", min_success=least, concurrency=concurrency
            )
        except TooFewSucceeded as error:
            run, problem = error.run, error
        assert isinstance(run, FanoutRun)
        assert problem is None or problem.records == run.results
        assert dict(run) == given
        assert [r.index for r in sorted((*run.succeeded, *run.failed), key=_index)] == [
            *range(total)
        ]
        share = int(least[:-1]) * total / 100 if isinstance(least, str) else least
        assert (problem is None) == (len(given) >= share)

    async def five_hundred() -> None:
        for _ in range(500):
            await one()

    define_simulated("random", answer)
    try:
        asyncio.run(five_hundred())
    finally:
        forget("random")


def _index(record: Record) -> int:
    return record.index


# The whole list.

ENDS = {
    "http-html-200": ("invalid", "not_an_answer"),
    "http-empty-200": ("invalid", "not_an_answer"),
    "http-badjson-200": ("invalid", "not_an_answer"),
    "http-null-200": ("invalid", "not_an_answer"),
    "http-emptyobj-200": ("invalid", "not_an_answer"),
    "http-nocontent": ("invalid", "empty"),
    "http-nullcontent": ("invalid", "empty"),
    "http-usage-none": ("ok", None),
    "http-usage-absurd": ("ok", None),
    "http-retry-after-3600": ("failed", "rate_limit"),
    "http-retry-after-inf": ("failed", "rate_limit"),
    "http-quota-429": ("failed", "quota"),
    "http-redirect-foreign": ("failed", "bad_request"),
    "http-drip": ("timed_out", "timeout"),
    "http-hang": ("timed_out", "timeout"),
    "http-stream-cut-chunked": ("failed", "cut"),
    "http-stream-clean-eof": ("failed", "cut"),
    "http-stream-error-event": ("ok", None),
}


@each_dialect
@pytest.mark.parametrize("stream", ["on", "off"])
def test_every_bad_answer_of_the_list_ends_a_worker_as_it_must(
    server: Loopback, dialect: str, stream: str
) -> None:
    """In time, with a status and a reason of ours; only passing faults are asked again."""
    faults = {
        name: row["gen"]["fault"]
        for name, row in bad_inputs("http").items()
        if stream == "on" or "stream" not in row["gen"]["fault"]
    }
    # Short only where the time-out is what is told: on a busy machine an answer can take a second.
    limits = {name: 0.8 if ENDS[name][0] == "timed_out" else 5.0 for name in faults}

    async def each_alone() -> list[FanoutRun]:
        runs = [
            fanned(sections(f"{dialect}:{name}"), deadline=limits[name], stream=stream)
            for name in faults
        ]
        return await asyncio.gather(*runs)

    with Loopback() as other, Stalls() as stalls:
        for name, fault in faults.items():
            server.script(name, act_of(fault, other.url))
        error_event = "http-stream-error-event"
        if error_event in faults:
            server.script(error_event, act_of(faults[error_event], ""), Act())
        runs = asyncio.run(each_alone())
        assert other.log == []
    for name, run in zip(faults, runs, strict=True):
        [record] = run.results
        assert (record.status, record.error and record.error.kind) == ENDS[name], name
        assert run.seconds <= limits[name] + with_slack(SOON) + stalls.seconds, name
        calls = sum(call.model == name for call in server.log)
        # On a busy machine its time can be over before the request has reached the server.
        calls += int(record.status == "timed_out" and not calls)
        assert len(record.attempts) == calls
        assert calls == 1 or name in ("http-retry-after-inf", error_event), name
        assert calls > 1 or name != error_event
        assert (record.text.strip() == "partial") == (
            record.error is not None and "cut" in record.error.kind
        )
