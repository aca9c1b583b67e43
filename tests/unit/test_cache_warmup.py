"""Prompt caching: one worker writes what all share, the rest is released at its first event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from display_samples import static_plain
from fakes import USED, Act, Fake, answer, by_name, failing, price, run_context, tasks
from provider import KEY, Loopback, PromptCache
from provider import Act as Deed
from virtual_time import run_virtual

from parallm_magics import FanoutRun, fanout, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Record, Task, Usage
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.patterns.fanout import FanoutPattern

SHARED = "The contract.\n" + "clause. " * 700
HAIKU = "claude-haiku-5-5"


@dataclass
class Clock:
    """A provider that notes when each call began; its first event comes after `first` seconds."""

    first: float = 1.0
    rest: float = 2.0
    began: list[tuple[str, float]] = field(default_factory=list)

    async def act(self, task: Task, heard: Heard) -> Reply:
        """Begin to answer after `first`, end after `rest` more."""
        self.note(task)
        await asyncio.sleep(self.first)
        heard("")
        await asyncio.sleep(self.rest)
        return Reply("fine", usage=USED)

    def note(self, task: Task) -> None:
        """A call begins."""
        self.began.append((task.name, round(asyncio.get_running_loop().time(), 6)))

    def noting(self, act: Act) -> Act:
        """Another act, noted as well."""

        async def noted(task: Task, heard: Heard) -> Reply:
            self.note(task)
            reply: Reply = await act(task, heard)
            return reply

        return noted

    @property
    def times(self) -> list[float]:
        """When calls began, in order."""
        return [at for _, at in self.began]


def ran(
    act: Act,
    todo: list[Task],
    caching: bool = True,
    stop: Stop | None = None,
    stop_at: float | None = None,
    concurrency: int = 20,
) -> tuple[list[Record], float]:
    """The records and the virtual seconds of a run over a provider with a prompt cache."""
    fake, stop = Fake(act, caching=caching), stop or Stop()
    pools = RateLimits()

    async def main() -> list[Record]:
        if stop_at is not None:
            asyncio.get_running_loop().call_later(stop_at, stop, "interrupted")
        routes = Routes(lambda model: fake, pools.of)
        rules = Rules(concurrency, known=len(todo))
        return await Scheduler(todo, routes, rules, Accounts(price), None, stop).run()

    records, seconds = run_virtual(main())
    assert [record.name for record in records] == [task.name for task in todo]
    return records, seconds


async def hangs(task: Task, heard: Heard) -> Reply:
    """Never a sign of life."""
    await asyncio.sleep(1e6)
    raise AssertionError


async def raises_cancelled(task: Task, heard: Heard) -> Reply:
    """A cancellation that nobody asked for."""
    await asyncio.sleep(0.1)
    raise asyncio.CancelledError


@pytest.mark.parametrize("count", [2, 3, 20, 150])
def test_one_call_warms_and_the_rest_begins_at_its_first_event(count: int) -> None:
    """Exactly one request before the first event, all others in the same instant after it."""
    clock = Clock()
    records, seconds = ran(clock.act, tasks(count, cache_key="k"), concurrency=200)
    assert clock.began[0] == ("w0", 0.0)
    assert clock.times[1:20] == [1.0] * min(count - 1, 19)
    assert len([at for at in clock.times if at < 1.0]) == 1
    if count <= 20:
        assert seconds == 4.0
    assert all(record.ok for record in records)


def test_a_whole_answer_is_a_first_event() -> None:
    """Where nothing is streamed, the first answer releases all others, not only the next."""
    clock = Clock()

    async def act(task: Task, heard: Heard) -> Reply:
        clock.note(task)
        await asyncio.sleep(1)
        return Reply("fine", usage=USED)

    _, seconds = ran(act, tasks(10, cache_key="k"))
    assert clock.times == [0.0] + [1.0] * 9
    assert seconds == 2.0


@pytest.mark.parametrize(
    ("first", "begins", "status"),
    [
        pytest.param(failing("auth", 1), None, "failed", id="a wrong key"),
        pytest.param(failing("server", 9), 0.1, "failed", id="fails"),
        pytest.param(failing("bad_request", 9), 0.1, "failed", id="is refused"),
        pytest.param(hangs, 60.0, "timed_out", id="hangs"),
        pytest.param(raises_cancelled, 0.1, "failed", id="is cancelled"),
        pytest.param(failing("rate_limit", 1), 0.1, "ok", id="is rate limited"),
        pytest.param(failing("rate_limit", 1, 7.0), 7.1, "ok", id="must wait"),
        pytest.param(answer(1.0, usage=None), 1.0, "ok", id="has no usage"),
    ],
)
def test_where_the_first_comes_to_nothing_another_warms(
    first: Act, begins: float | None, status: str
) -> None:
    """The next one in line, alone; then the rest. Nobody waits for ever."""
    clock = Clock()
    act = by_name({"w0": clock.noting(first)}, clock.act)
    records, _ = ran(act, tasks(6, cache_key="k", retries=0))
    assert records[0].status == status
    others = [at for name, at in clock.began if name != "w0"]
    if begins is None:
        assert others == []
        assert all(record.error and record.error.kind == "auth" for record in records)
        return
    assert all(record.ok for record in records[1:])
    assert others[0] == begins
    if "rate_limit" in [attempt.outcome for attempt in records[0].attempts]:
        assert others[1] > others[0]  # and the pool lets few begin for a while
    elif status == "ok":
        assert others == [begins] * 5
    else:
        assert others[1:] == [begins + 1.0] * 4


def test_a_provider_that_is_silent_holds_nobody_for_long() -> None:
    """After two calls that came to nothing nobody waits for a third: a run must not become a queue."""
    records, seconds = ran(hangs, tasks(20, cache_key="k"))
    assert [record.status for record in records] == ["timed_out"] * 20
    assert seconds == 180.0


def test_one_that_tries_again_is_not_held_beyond_its_deadline() -> None:
    """Its deadline runs while another one warms; what it ends with says so."""
    clock = Clock(first=50.0)
    first = failing("rate_limit", 1, 0.5)
    act = by_name({"w0": clock.noting(first)}, clock.act)
    records, _ = ran(act, tasks(3, cache_key="k", deadline=20.0))
    assert [name for name, _ in clock.began].count("w0") == 1
    assert records[0].error is not None
    assert records[0].error.kind == "rate_limit"
    assert "before the deadline of 20 s" in records[0].error.message
    assert records[0].end == 20.0


def test_groups_warm_independently() -> None:
    """Each beginning has a writer of its own, whatever their order."""
    clock = Clock()
    todo = [replace(task, cache_key=f"k{task.index % 3}") for task in tasks(12)]
    ran(clock.act, todo)
    assert clock.times == [0.0] * 3 + [1.0] * 9
    assert {name for name, at in clock.began if at == 0.0} == {"w0", "w1", "w2"}


def test_without_a_cache_all_begin_at_once() -> None:
    """Whether nobody wants one, or the provider says that this is too short."""
    for caching, key in ((False, "k"), (True, "")):
        clock = Clock()
        _, seconds = ran(clock.act, tasks(10, cache_key=key), caching=caching)
        assert clock.times == [0.0] * 10
        assert seconds == 3.0


def test_one_at_a_time_needs_no_warming() -> None:
    """With `-c 1` each begins when the one before has ended."""
    clock = Clock()
    _, seconds = ran(clock.act, tasks(4, cache_key="k"), concurrency=1)
    assert clock.times == [0.0, 3.0, 6.0, 9.0]
    assert seconds == 12.0


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0, 1.5])
def test_an_interrupt_while_others_are_held(at: float) -> None:
    """Every held worker has its record, and none of them is asked."""
    clock = Clock()
    records, seconds = ran(clock.act, tasks(30, cache_key="k"), stop_at=at)
    assert [record.status for record in records] == ["cancelled"] * 30
    assert seconds == at
    if at < 1.0:
        assert len(clock.began) <= 1
        assert all(record.cost == 0 for record in records[1:])


def test_a_beginning_that_is_warm_stays_warm() -> None:
    """A try that fails later, or a worker that comes later, needs no new warming."""
    clock = Clock()
    act = by_name({"w0": clock.act}, clock.noting(failing("server", 1)))
    records, _ = ran(act, tasks(5, cache_key="k"))
    assert all(record.ok for record in records)
    # Four fail together; their next tries begin as their pauses end, each on its own.
    assert clock.times[:5] == [0.0] + [1.0] * 4
    assert len(set(clock.times[5:])) == 4


# Through cells.


def planned(line: str, body: str, caching: bool = True, **variables: Any) -> tuple[Any, Clock]:
    """A cell's run over a provider with a prompt cache, and when its calls began."""
    clock = Clock()
    plan = make_plan(
        parse("fanout", f"-m m {line}", body), variables, lambda name: Model("fake", name)
    )
    run, _ = run_virtual(FanoutPattern.run(plan, run_context(Fake(clock.act, caching=caching))))
    return run, clock


SECTIONS = "\n%section a\nA\n%section b\nB\n%section c\nC"


def test_sections_of_a_preamble_wait_for_the_first() -> None:
    """And `--cache off` lets them all begin at once."""
    _, clock = planned("", SHARED + SECTIONS)
    assert clock.times == [0.0, 1.0, 1.0]
    _, clock = planned("--cache off", SHARED + SECTIONS)
    assert clock.times == [0.0] * 3


def test_each_item_in_the_preamble_is_a_group() -> None:
    """Three sections of four items: four writers at once, eight readers after them."""
    run, clock = planned("--each docs", "{{item}}" + SECTIONS, docs=["v", "x", "y", "z"])
    assert clock.times == [0.0] * 4 + [1.0] * 8
    assert {name for name, at in clock.began if not at} == {f"{n}.a" for n in range(1, 5)}
    assert len(run) == 12


def test_one_beginning_for_all_items_is_one_group() -> None:
    """The item stands in the section: one writer for the whole map, read or generated."""
    for docs in (list("vwxyz"), iter("vwxyz")):
        _, clock = planned("--each docs", SHARED + "\n%section a\n{{item}}", docs=docs)
        assert clock.times == [0.0] + [1.0] * 4


def test_alone_nobody_waits() -> None:
    """One worker, or one section an item: there is nothing to share."""
    _, clock = planned("", SHARED + "\n%section a\nA")
    assert clock.times == [0.0]
    _, clock = planned("--each docs", "{{item}}\n%section a\nA", docs=["v", "x", "y"])
    assert clock.times == [0.0] * 3


# Through the SDKs.


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A scripted server with a prompt cache, where the official providers are looked for."""
    with Loopback() as loopback:
        loopback.cache = PromptCache(512)
        for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
            monkeypatch.setenv(name, KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", loopback.url)
        monkeypatch.setenv("OPENAI_BASE_URL", loopback.url + "/v1")
        yield loopback


def sections(count: int) -> str:
    """A cell of so many sections."""
    return SHARED + "".join(f"\n%section s{n}\nPoint {n}" for n in range(count))


def asked(body: str, **options: Any) -> FanoutRun:
    """A run through the real SDK."""
    run = asyncio.run(fanout(body, **options))
    assert isinstance(run, FanoutRun)
    return run


def caches(run: FanoutRun) -> list[tuple[int, int]]:
    """Tokens read from the cache and written to it, by worker."""
    used = [record.usage or Usage() for record in run.results]
    return [(usage.cache_read_tokens, usage.cache_write_tokens) for usage in used]


@pytest.mark.parametrize("stream", ["on", "off"])
def test_claude_is_billed_for_one_write(server: Loopback, stream: str) -> None:
    """One write and four reads; the run knows what that saved, and its footer says it."""
    server.script(HAIKU, Deed(delay=0.05))
    run = asked(sections(5), model=HAIKU, stream=stream)
    size = len(SHARED.strip()) // 4
    assert sorted(caches(run)) == [(0, size)] + [(size, 0)] * 4
    assert caches(run)[0] == (0, size)
    mtok = 1_000_000
    assert run.saved == 4 * size * Decimal("0.09") / mtok - size * Decimal("0.025") / mtok
    assert run.saved > 0
    said = static_plain(run._view()).replace("\n", " ")
    assert f"({4 * size:,} from cache, {size:,} written to it)" in said
    assert "prompt caching saved $0.00047" in said


@pytest.mark.parametrize("stream", ["on", "off"])
def test_openai_reads_what_the_first_call_left(server: Loopback, stream: str) -> None:
    """Its cache costs nothing to fill; all but the first call read it."""
    server.script("gpt-5", Deed(delay=0.05))
    run = asked(sections(5), model="gpt-5", stream=stream)
    assert caches(run) == [(0, 0)] + [(1024, 0)] * 4
    assert run.saved is not None
    assert run.saved > 0


def marks(server: Loopback) -> list[bool]:
    """Which requests carried a mark or a key of a cache."""
    return ["cache" in str(call.body).replace("clause", "") for call in server.log]


@pytest.mark.parametrize("model", [HAIKU, "gpt-5"])
@pytest.mark.parametrize(
    ("body", "options", "marked"),
    [
        pytest.param(sections(3), {}, True, id="a long beginning"),
        pytest.param(sections(3), {"cache": "off"}, False, id="--cache off"),
        pytest.param("short" + sections(3)[len(SHARED) :], {}, False, id="a short beginning"),
        pytest.param(sections(1), {}, False, id="one worker"),
        pytest.param(SHARED, {"n": 1}, False, id="-n 1"),
        pytest.param(SHARED, {"n": 3}, True, id="-n 3"),
    ],
)
def test_marks_are_sent_only_where_caching_applies(
    server: Loopback, model: str, body: str, options: dict[str, Any], marked: bool
) -> None:
    """A single worker would pay for a write that nobody reads."""
    run = asked(body, model=model, **options)
    assert marks(server) == [marked] * len(run.results)


def test_a_vote_shares_its_prompt(server: Loopback) -> None:
    """Five votes: one writes, four read; one vote alone marks nothing."""
    body = SHARED + "\nSafe or not?"
    run = asyncio.run(vote(body, model=HAIKU, n=5, choices="safe,unsafe", min_success=0))
    read = [record.usage.cache_read_tokens > 0 for record in run.results if record.usage]
    assert sorted(read) == [False] + [True] * 4
    server.clear()
    asyncio.run(vote(body, model=HAIKU, n=1, choices="safe,unsafe", min_success=0))
    assert marks(server) == [False]


def test_a_first_call_that_fails_is_not_billed_twice(server: Loopback) -> None:
    """The server refuses the first: the second writes, everybody else reads."""
    server.script(HAIKU, Deed(status=400), Deed(delay=0.05))
    run = asked(sections(5), model=HAIKU)
    assert len(run.failed) == 1
    assert sorted(caches(run)[1:])[0][1] > 0
    assert sum(wrote > 0 for _, wrote in caches(run)) == 1
    assert sum(read > 0 for read, _ in caches(run)) == 3
