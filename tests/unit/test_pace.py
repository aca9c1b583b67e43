"""`--rpm` and `--tpm`: in no window of a minute more than allowed, and never much less."""

from __future__ import annotations

import asyncio
import bisect
import random
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import Act, Fake, answer, failing, price, run_context, tasks
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import GOES_OUT, CallFailed, Heard, NotNow, Reply
from parallm_magics.core.tasks import Fault, Model, Record, Task, Usage
from parallm_magics.engine.accounts import Accounts
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import (
    ARRIVAL_SECONDS,
    WINDOW_SECONDS,
    RateLimits,
    RateWindow,
    Taken,
)
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.patterns.fanout import FanoutPattern

EPSILON = 1e-6  # of a clock that is a float
MINUTE = WINDOW_SECONDS + ARRIVAL_SECONDS


class Metered:
    """A provider that notes when requests began, and what each used."""

    def __init__(self, act: Act) -> None:
        self.began: list[float] = []
        self.fake = Fake(self._noted)
        self.pools = RateLimits()
        self._act = act

    async def _noted(self, task: Task, heard: Heard) -> Reply:
        self.began.append(asyncio.get_running_loop().time())
        reply: Reply = await self._act(task, heard)
        return reply

    async def cell(
        self,
        count: int,
        stop: Stop | None = None,
        tries: dict[str, Any] | None = None,
        **rules: Any,
    ) -> list[Record]:
        """One cell of so many calls."""
        routes = Routes(lambda model: self.fake, self.pools.of)
        todo = tasks(count, **(tries or {}))
        scheduler = Scheduler(todo, routes, Rules(**rules), Accounts(price), None, stop or Stop())
        return await scheduler.run()

    @property
    def most(self) -> int:
        """The most requests that began in any window of a minute."""
        return densest(self.began)


def densest(began: Sequence[float]) -> int:
    """The most of these times in any window of a minute, wherever it begins."""
    times = sorted(began)
    return max(
        bisect.bisect_left(times, t + WINDOW_SECONDS - EPSILON) - at for at, t in enumerate(times)
    )


# The window alone.


class Brute:
    """What a window of a minute must say, by looking at everything anew."""

    def __init__(self) -> None:
        self.taken: list[list[float]] = []

    def used(self, at: float) -> float:
        """What counts at this time."""
        return sum(amount for begun, amount in self.taken if begun + WINDOW_SECONDS > at)

    def wait(self, now: float, amount: float, most: int) -> float:
        """The first of all moments at which something leaves the window, from which on it fits."""
        moments = sorted(
            {now, *(at + WINDOW_SECONDS for at, _ in self.taken if at + WINDOW_SECONDS > now)}
        )
        for moment in moments:
            left = [at for at, _ in self.taken if at + WINDOW_SECONDS > moment]
            if not left or self.used(moment) + amount <= most:
                return moment - now
        raise AssertionError


STEP = st.tuples(
    st.integers(0, 70),  # seconds that pass
    st.integers(0, 12),  # how much is wanted
    st.integers(1, 10),  # how much is allowed
    st.none() | st.tuples(st.integers(0, 30), st.integers(0, 15)),  # a correction
)


@given(st.lists(STEP, max_size=40))
def test_the_window_says_what_counting_says(steps: list[tuple[Any, ...]]) -> None:
    """Waits, takes and corrections in any order, with any limit: as a brute-force count has it."""
    pace, brute, now, taken = RateWindow(), Brute(), 0.0, []
    for seconds, amount, most, correction in steps:
        now += seconds
        wait = pace.wait(now, amount, most)
        assert wait == brute.wait(now, amount, most)
        assert wait <= WINDOW_SECONDS
        if wait == 0:
            taken.append(pace.take(now, amount))
            brute.taken.append([now, amount])
        if correction is not None and taken:
            which = correction[0] % len(taken)
            pace.correct(taken[which], correction[1])
            brute.taken[which][1] = correction[1]


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), min_size=1, max_size=60),
    st.integers(1, 10),
)
def test_whoever_waits_as_told_never_passes_the_limit(
    arrivals: list[tuple[float, int]], most: int
) -> None:
    """Of any amounts at any times: each minute holds at most the limit, or one that never fits."""
    pace, now = RateWindow(), 0.0
    taken: list[tuple[float, int]] = []
    for pause, amount in arrivals:
        now += pause
        while wait := pace.wait(now, amount, most):
            now += max(wait, EPSILON)
        pace.take(now, amount)
        taken.append((now, amount))
    for at, _ in taken:
        inside = [amount for t, amount in taken if at <= t < at + WINDOW_SECONDS - EPSILON]
        assert sum(inside) <= most or len(inside) == 1


# Requests.


def test_one_a_minute_with_three_workers() -> None:
    """The third begins after two minutes."""
    metered = Metered(answer(1.0))
    records, seconds = run_virtual(metered.cell(3, rpm=1))
    assert metered.began == pytest.approx([0, MINUTE, 2 * MINUTE])
    assert seconds == pytest.approx(2 * MINUTE + 1)
    assert all(record.ok for record in records)


@pytest.mark.parametrize("rpm", [1, 7, 60])
@pytest.mark.parametrize("seed", range(3))
def test_in_no_minute_more_requests_than_allowed(rpm: int, seed: int) -> None:
    """Any window, with answers and failures of any length; tries again count as well."""
    rng = random.Random(seed)

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(rng.uniform(0, 40))
        if rng.random() < 0.2:
            raise CallFailed(Fault(rng.choice(["server", "rate_limit"]), "no"))
        return Reply("fine", usage=Usage(5, 0, 0, 5))

    metered = Metered(act)
    records, _ = run_virtual(metered.cell(4 * rpm, rpm=rpm, tries={"deadline": 1e6}))
    assert 0.8 * rpm <= metered.most <= rpm
    assert len(metered.began) == sum(len(record.attempts) for record in records)
    assert all(r.ok or (r.error and r.error.kind == "server") for r in records)


def test_cells_of_one_provider_share_the_minute() -> None:
    """Two at once, and one after the other: together not more than one alone."""
    metered = Metered(answer(0.5))

    async def cells() -> None:
        await asyncio.gather(metered.cell(25, rpm=10), metered.cell(25, rpm=10))
        await metered.cell(15, rpm=10)

    _, seconds = run_virtual(cells())
    assert len(metered.began) == 65
    assert metered.most == 10
    assert seconds == pytest.approx(6 * MINUTE + 0.5)


@pytest.mark.parametrize(("before", "after"), [(30, 10), (10, 30)])
def test_a_changed_limit_counts_what_came_before(before: int, after: int) -> None:
    """A cell is run again with another number: what the first one asked is still in the minute."""
    metered = Metered(answer(0.5))

    async def cells() -> None:
        await metered.cell(before, rpm=before)
        await metered.cell(50, rpm=after)

    run_virtual(cells())
    assert densest(metered.began[before:]) == after
    assert metered.most == max(before, after)


def test_a_long_pace_wait_gives_nobody_up() -> None:
    """Fresh workers wait for an hour if need be; no deadline runs before they begin."""
    metered = Metered(answer(0.1))
    records, seconds = run_virtual(metered.cell(61, rpm=1, tries={"deadline": 5.0}))
    assert all(record.ok for record in records)
    assert seconds == pytest.approx(60 * MINUTE + 0.1)
    assert records[-1].queued == pytest.approx(60 * MINUTE)


def test_a_worker_that_cannot_try_again_in_time_says_why() -> None:
    """The limit is the user's own: the provider has not asked for that wait."""
    metered = Metered(failing("server", 9))
    records, _ = run_virtual(metered.cell(2, rpm=1, tries={"deadline": 20.0}))
    for record in records:
        assert record.error is not None
        assert record.error.kind == "server"
        assert "no time for another try before the deadline of 20 s" in record.error.message
        assert "asks for a wait" not in record.error.message


def test_a_stop_ends_the_wait() -> None:
    """Whoever waits for the minute has a record, and was not asked."""
    metered, stop = Metered(answer(1.0)), Stop()

    async def main() -> list[Record]:
        asyncio.get_running_loop().call_later(70, stop, "interrupted")
        return await metered.cell(20, stop, rpm=2)

    records, seconds = run_virtual(main())
    assert seconds == pytest.approx(70)
    assert [r.status for r in records].count("ok") == len(metered.began) == 4
    assert [r.status for r in records].count("cancelled") == 16


# Tokens.


def used(total: int, seconds: float = 1.0, fault: bool = False) -> Act:
    """An answer, or a failure, that used so many tokens."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(seconds)
        if fault:
            raise CallFailed(Fault("cut", "cut"), usage=Usage(total))
        return Reply("fine", usage=Usage(total - 1, 0, 0, 1))

    return act


def test_short_answers_do_not_starve() -> None:
    """Four fit by their `max_tokens`; corrected as they end, a thousand tokens a call are used up."""
    metered = Metered(used(100))
    records, seconds = run_virtual(metered.cell(90, tpm=20_000))
    assert all(record.ok for record in records)
    assert seconds < 60  # at 4,096 each, four a minute, it were 22 minutes
    assert metered.fake.most == 4


def test_in_no_minute_more_tokens_than_allowed() -> None:
    """Corrected or not, what is really used in any minute stays below."""
    rng = random.Random(1)
    spent: list[tuple[float, int]] = []

    async def act(task: Task, heard: Heard) -> Reply:
        tokens = rng.randint(1, 500)
        spent.append((asyncio.get_running_loop().time(), tokens))
        await asyncio.sleep(rng.uniform(0, 20))
        return Reply("fine", usage=Usage(0, 0, 0, tokens))

    metered = Metered(act)
    run_virtual(metered.cell(200, tpm=3000, tries={"max_tokens": 500}))
    assert len(spent) == 200
    for at, _ in spent:
        assert sum(n for t, n in spent if at <= t < at + WINDOW_SECONDS - EPSILON) <= 3000


def test_a_call_larger_than_the_limit_is_made_alone() -> None:
    """It waits for an empty minute instead of for ever."""
    metered = Metered(used(4000))
    records, _ = run_virtual(metered.cell(3, tpm=1000))
    assert all(record.ok for record in records)
    assert metered.began == pytest.approx([0, MINUTE, 2 * MINUTE])


def test_what_failed_is_corrected_too() -> None:
    """A call that was turned away used nothing; one that was cut used what it says."""
    for act, tokens in ((failing("bad_request", 99), 0), (used(300, fault=True), 300)):
        metered = Metered(act)
        _, seconds = run_virtual(metered.cell(20, tpm=20 * max(tokens, 300) + 4200))
        assert seconds < 60


def test_unknown_tokens_stay_as_expected() -> None:
    """Where nobody says what a call used, the most that it can have used counts."""
    metered = Metered(answer(1.0, usage=None))
    run_virtual(metered.cell(3, tpm=4500))
    assert metered.began == pytest.approx([0, MINUTE, 2 * MINUTE])


def test_cells_share_the_minutes_tokens() -> None:
    """A correction in one cell lets the other one go on."""
    metered = Metered(used(100))

    async def cells() -> None:
        await asyncio.gather(metered.cell(20, tpm=9000), metered.cell(20, tpm=9000))

    _, seconds = run_virtual(cells())
    assert len(metered.began) == 40
    assert seconds < 60


# Through cells.


@pytest.mark.parametrize("option", ["--rpm 1", "--tpm 4200"])
def test_the_options_reach_the_engine(option: str) -> None:
    """Three sections, one a minute; the next try of the same run waits as well."""
    fake = Fake(answer(0.5, usage=None))
    plan = make_plan(
        parse("fanout", f"-m m {option}", "%section a\nA\n%section b\nB\n%section c\nC"),
        {},
        lambda name: Model("fake", name),
    )
    run, seconds = run_virtual(FanoutPattern.run(plan, run_context(fake)))
    assert isinstance(run, FanoutRun)
    assert len(run) == 3
    assert seconds == pytest.approx(2 * MINUTE + 0.5)


# From the moment at which a request is sent.


def test_a_minute_counts_from_when_requests_are_sent() -> None:
    """The first calls are held up by imports and connections, later ones by nothing."""
    sent: list[float] = []

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(5 if len(sent) < 10 else 0)
        goes_out = GOES_OUT.get()
        assert goes_out is not None
        goes_out()
        late = random.Random(len(sent)).uniform(
            0, ARRIVAL_SECONDS
        )  # its provider counts it so much later
        sent.append(asyncio.get_running_loop().time() + late)
        return Reply("yes", usage=Usage(1, output_tokens=1))

    records, _ = run_virtual(Metered(act).cell(30, rpm=10))
    assert len(sent) == 30
    assert all(record.ok for record in records)
    assert densest(sent) == 10


def test_a_request_that_may_not_go_out_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It loses no try and no time of its deadline, and its tokens and money are free again."""
    refused: list[float] = []

    def not_now(self: RateWindow, taken: Taken, now: float) -> None:
        if len(refused) < 7:
            refused.append(now)
            raise NotNow

    monkeypatch.setattr(RateWindow, "goes_out", not_now)
    metered = Metered(answer())
    records, _ = run_virtual(metered.cell(5, rpm=20, tpm=10_000, tries={"retries": 0}))
    assert len(refused) == 7
    assert len(metered.began) == 5
    assert [len(record.attempts) for record in records] == [1] * 5
    assert all(record.ok for record in records)
