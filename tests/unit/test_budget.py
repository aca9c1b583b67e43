"""`--max-cost` and `session_max_cost`: no call begins that could pass a cap, and nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from asking import worst_of
from fakes import Act, Fake, answer, by_name, failing, previewed, price, run_context, tasks
from provider import Act as Deed
from provider import Loopback
from virtual_time import run_virtual

from parallm_magics import BudgetExceeded, FanoutRun, OptionError, VoteRun, fanout
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, FaultKind, Model, Record, Task, Usage
from parallm_magics.engine.accounts import Accounts, Budget, Ledger
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.guard_verdicts import Verdict
from parallm_magics.patterns.run_context import of_its_own
from parallm_magics.patterns.runner import raise_if_blocked
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers import bill

HAIKU = "claude-haiku-5-5"
GPT = "gpt-5"
MICRO = Decimal(1) / 1_000_000  # what a token of the fakes costs
MOST_LOOKS = 20_000


def micro(amount: int) -> Decimal:
    """So many millionths of a dollar."""
    return amount * MICRO


# C01: random schedules.


@dataclass
class Bank:
    """An account of its own: what ended, and what is under way at its worst."""

    cap: Decimal | None
    gone: Decimal = Decimal(0)
    flying: Decimal = Decimal(0)
    most: Decimal = Decimal(0)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, worst: Decimal) -> None:
        """A request begins."""
        with self.lock:
            self.flying += worst
            self.most = max(self.most, self.gone + self.flying)

    def end(self, worst: Decimal, cost: Decimal) -> None:
        """A request has ended."""
        with self.lock:
            self.flying -= worst
            self.gone += cost

    @property
    def kept(self) -> bool:
        """Whether the cap was never passed."""
        return self.cap is None or self.most <= self.cap


class Schedule:
    """Some cells with random calls, random caps and random luck, sharing one session's ledger."""

    def __init__(self, seed: int, latency: float = 10.0) -> None:
        rng = self.rng = random.Random(seed)
        self.latency = latency
        # On a real clock nobody waits for a next try.
        self.unbilled: list[FaultKind] = ["server", "rate_limit", "connection"]
        if latency < 1:
            self.unbilled = ["bad_request"]
        cap = rng.choice([None, rng.randint(0, 400), rng.randint(50, 2000), rng.randint(50, 2000)])
        self.session = Ledger("session_max_cost", None if cap is None else micro(cap))
        self.bank = Bank(self.session.cap)
        self.pools = RateLimits()
        self.looks = itertools.count()
        self.banks: list[Bank] = []
        self.owns: list[Ledger] = []
        self.told: list[tuple[Task, Record, Ledger]] = []

    def worst(self, task: Task) -> Decimal:
        """The most that a task's tries can cost; asked without end only by a run that spins."""
        assert next(self.looks) < MOST_LOOKS, "the run spins"
        return micro(task.max_tokens)

    async def cell(self) -> None:
        """One cell; its own cap, its own number of workers at once."""
        rng = self.rng
        cap = rng.choice([None, micro(rng.randint(0, 1500))])
        own, bank = Ledger("--max-cost", cap), Bank(cap)
        self.banks.append(bank)
        self.owns.append(own)
        fake = Fake(lambda task, heard: self.call(task, bank), caching=rng.random() < 0.5)
        todo = [
            replace(task, max_tokens=rng.randint(1, 300), cache_key=rng.choice(["", "k"]))
            for task in tasks(rng.randint(1, 8), deadline=1e6)
        ]
        stop = Stop()
        if rng.random() < 0.3:
            loop = asyncio.get_running_loop()
            loop.call_later(rng.uniform(0, 3 * self.latency), stop, "interrupted")
        ledgers = [own, self.session] if cap is not None else [self.session]
        accounts = Accounts(price, budget=Budget(ledgers, self.worst))
        routes = Routes(lambda model: fake, self.pools.of)
        paced = self.latency > 1 and rng.random() < 0.3
        rules = Rules(rng.choice([1, 2, 20]), rpm=5 if paced else None)
        await asyncio.sleep(rng.uniform(0, self.latency))
        records = await Scheduler(todo, routes, rules, accounts, None, stop).run()
        self.told += [(t, r, own) for t, r in zip(todo, records, strict=True)]

    async def call(self, task: Task, own: Bank) -> Reply:
        """Cost anything up to the worst, tell it or not, fail or not."""
        rng = self.rng
        worst = micro(task.max_tokens)
        cost = worst
        for bank in (self.bank, own):
            bank.begin(worst)
        try:
            await asyncio.sleep(rng.uniform(0, self.latency))
            luck = rng.random()
            if luck < 0.2:
                cost = Decimal(0)
                raise CallFailed(Fault(rng.choice(self.unbilled), "no"))
            if luck < 0.3:
                raise CallFailed(Fault("timeout", "silence"))
            if luck < 0.4:
                return Reply("fine")
            used = rng.randint(0, task.max_tokens)
            cost = micro(used)
            return Reply("fine", usage=Usage(0, 0, 0, used))
        finally:
            for bank in (self.bank, own):
                bank.end(worst, cost)

    def judge(self) -> None:
        """No cap was passed; who was refused never fitted, and everybody else was asked."""
        for bank in (self.bank, *self.banks):
            assert bank.kept
        for ledger, bank in [(self.session, self.bank), *zip(self.owns, self.banks, strict=True)]:
            assert ledger.held == 0
            if ledger is self.session or ledger.cap is not None:
                assert ledger.spent == bank.gone
        for task, record, own in self.told:
            kind = record.error.kind if record.error else ""
            if kind == "budget":
                worst = micro(task.max_tokens)
                assert not (own.ever(worst) and self.session.ever(worst))
            elif kind != "cancelled":
                assert record.attempts


def test_no_schedule_passes_a_cap() -> None:
    """1,000 random ones: 0 overshoots, 0 deadlocks, and only what never fits is refused."""
    refused = waited = 0
    for seed in range(1000):
        schedule = Schedule(seed)

        async def cells(schedule: Schedule = schedule) -> None:
            await asyncio.gather(*(schedule.cell() for _ in range(schedule.rng.randint(1, 3))))

        run_virtual(cells())
        schedule.judge()
        kinds = [record.error.kind if record.error else "" for _, record, _ in schedule.told]
        refused += kinds.count("budget")
        waited += sum(record.queued > 0 for _, record, _ in schedule.told)
    assert refused > 1000
    assert waited > 1000


def test_threads_share_one_ledger() -> None:
    """Four loops at once against one cap: none passes it, and nobody waits for ever."""
    for seed in range(20):
        schedule = Schedule(seed, latency=0.002)
        schedule.session.cap = schedule.bank.cap = micro(600)
        problems: list[BaseException] = []

        def work(schedule: Schedule = schedule, problems: list[BaseException] = problems) -> None:
            try:
                asyncio.run(asyncio.wait_for(schedule.cell(), 30))
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert problems == []
        assert len(schedule.banks) == 4
        schedule.judge()


# The ledgers alone.


def booked(*ledgers: Ledger, worst: int = 100) -> Budget:
    """A budget in which every call costs at most so many millionths."""
    return Budget(ledgers, lambda task: micro(worst))


[TASK] = tasks(1)


def test_a_refused_hold_holds_nothing_and_wakes_nobody() -> None:
    """Where the second cap has no room the first one is untouched: else the waiter woke itself."""
    own, session = Ledger("own", micro(500)), Ledger("session", micro(150), held=micro(100))
    budget = booked(own, session)
    woken: list[str] = []
    off = budget.on_room(lambda: woken.append("!"))
    assert budget.hold(TASK) is None
    assert (own.held, session.held, woken) == (0, micro(100), [])
    session.release(micro(100), micro(50))
    assert woken == ["!"]
    assert budget.hold(TASK) == micro(100)
    off()
    budget.settle(micro(100), None)
    assert woken == ["!"]
    assert (own.spent, session.spent) == (micro(100), micro(150))


def test_a_cap_that_is_changed_wakes_who_waits() -> None:
    """Raised or taken off, those who wait for room look again; unchanged, nobody is troubled."""
    ledger = Ledger("session", micro(100), held=micro(50))
    woken: list[str] = []
    booked(ledger).on_room(lambda: woken.append("!"))
    for cap, times in ((micro(100), 0), (micro(200), 1), (None, 2), (None, 2), (micro(1), 3)):
        ledger.allow(cap)
        assert len(woken) == times


def test_what_was_spent_without_a_cap_counts_under_a_later_one() -> None:
    """Also what is under way, and what nobody has told the cost of."""
    ledger = Ledger("session")
    free = booked(ledger)
    held = [free.hold(TASK) for _ in range(3)]
    assert held == [micro(100)] * 3
    free.settle(micro(100), None)
    free.settle(micro(100), micro(7))
    ledger.allow(micro(300))
    assert (ledger.spent, ledger.held) == (micro(107), micro(100))
    assert booked(ledger).hold(TASK) is None
    # The run that began without a cap goes on without one.
    assert free.hold(TASK) == micro(100)
    assert free.never(TASK) == ""


@pytest.mark.parametrize(
    ("worst", "cap", "spent", "said"),
    [
        (1234567, 1200000, 0, "up to $1.2346, but of --max-cost 1.2 only $1.2000 is left"),
        (3, 2, 0, "up to $0.0000030, but of --max-cost 0.000002 only $0.0000020 is left"),
        (100, 100, 1, "up to $0.00010, but of --max-cost 0.0001 only $0.000099 is left"),
        (5, 5, 5, "up to $0.0000050, but of --max-cost 0.000005 only $0 is left"),
        (5, 5, 9, "only $0 is left; raise the cap, or lower --max-tokens"),
    ],
)
def test_the_reason_is_true_to_the_figure(worst: int, cap: int, spent: int, said: str) -> None:
    """What is needed is rounded up, what is left down: never "$0.0000 of $0.0000"."""
    ledger = Ledger("--max-cost", (micro(cap)).normalize(), spent=micro(spent))
    assert said in booked(ledger, worst=worst).never(TASK)


# What a try costs is booked.


def scheduled(
    act: Act, count: int = 1, stop_at: float | None = None, **fields: Any
) -> tuple[list[Record], Ledger]:
    """The records of some calls that cost at most 100 millionths each, and their ledger."""
    fake, ledger, stop = Fake(act), Ledger("--max-cost", Decimal(1)), Stop()

    async def main() -> list[Record]:
        if stop_at is not None:
            asyncio.get_running_loop().call_later(stop_at, stop, "interrupted")
        routes = Routes(lambda model: fake, RateLimits().of)
        accounts = Accounts(price, budget=booked(ledger))
        return await Scheduler(tasks(count, **fields), routes, Rules(), accounts, None, stop).run()

    return run_virtual(main())[0], ledger


def overloaded(used: Usage | None) -> Act:
    """Fails in the middle of its first answer, having used this; then answers."""
    seen: list[str] = []

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        seen.append(task.name)
        if len(seen) == 1:
            raise CallFailed(Fault("server", "overloaded"), text="par", usage=used)
        return Reply("fine", usage=Usage(10, 0, 0, 5))

    return act


async def hangs(task: Task, heard: Heard) -> Reply:
    """Never a sign of life."""
    await asyncio.sleep(1e6)
    raise AssertionError


@pytest.mark.parametrize(
    ("act", "fields", "spent", "cost"),
    [
        pytest.param(answer(1.0), {}, 15, 15, id="a success"),
        pytest.param(overloaded(Usage(7)), {}, 22, 22, id="a billed try and a success"),
        pytest.param(overloaded(None), {}, 115, None, id="an unknown try and a success"),
        pytest.param(failing("server", 2), {}, 15, 15, id="unbilled tries and a success"),
        pytest.param(failing("server", 9), {}, 0, 0, id="unbilled tries"),
        pytest.param(failing("rate_limit", 3), {}, 15, 15, id="rate limits"),
        pytest.param(hangs, {}, 100, None, id="timed out"),
        pytest.param(hangs, {"retry_timeouts": True}, 200, None, id="timed out twice"),
        pytest.param(answer(1.0, usage=None), {}, 100, None, id="no usage"),
        pytest.param(answer(1.0, usage=Usage(150)), {}, 150, 150, id="more than the worst"),
    ],
)
def test_every_try_is_in_the_ledger(
    act: Act, fields: dict[str, Any], spent: int, cost: int | None
) -> None:
    """Failed and timed-out ones too; an unknown cost is None, and the reservation is kept."""
    [record], ledger = scheduled(act, **fields)
    assert (ledger.spent, ledger.held) == (micro(spent), 0)
    assert record.cost == (None if cost is None else micro(cost))


@pytest.mark.parametrize("at", [0.5, 3.0])
def test_cancelled_calls_are_in_the_ledger(at: float) -> None:
    """Whoever stops a call may have paid for it."""
    records, ledger = scheduled(by_name({"w0": answer(1.0)}, hangs), 4, stop_at=at)
    done = 1 if at > 1 else 0
    assert [record.status for record in records].count("cancelled") == 4 - done
    assert ledger.spent == micro(100 * (4 - done) + 15 * done)
    assert ledger.held == 0


def test_a_stop_between_two_tries_keeps_the_cost_of_the_first() -> None:
    """It was told, so the record has it as well as the ledger."""
    [record], ledger = scheduled(
        failing_then_waiting(Usage(7)), stop_at=1.0, deadline=100.0, retries=2
    )
    assert record.status == "cancelled"
    assert record.cost == ledger.spent == micro(7)


def failing_then_waiting(used: Usage) -> Act:
    """Is told to wait for half a minute, having used this."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        raise CallFailed(Fault("rate_limit", "slow", retry_after=30.0), text="p", usage=used)

    return act


def test_a_stop_in_the_moment_of_a_second_try_loses_nothing() -> None:
    """The call that is cancelled before its first step has a record, and holds no money."""
    fake, ledger, stop = (
        Fake(failing("rate_limit", 1, 5.0)),
        Ledger("--max-cost", Decimal(1)),
        Stop(),
    )
    routes, accounts = (
        Routes(lambda model: fake, RateLimits().of),
        Accounts(price, budget=booked(ledger)),
    )

    class Stopping(Scheduler):
        """Is stopped as soon as a second try has begun."""

        def _begin(self, *args: Any) -> None:
            super()._begin(*args)
            if fake.calls:
                stop("interrupted")

    async def main() -> list[Record]:
        return await Stopping(tasks(1), routes, Rules(), accounts, None, stop).run()

    [record] = run_virtual(main())[0]
    assert record.status == "cancelled"
    assert len(fake.calls) == 1
    assert (ledger.held, ledger.spent) == (0, 0)


def test_nobody_waits_for_money_beyond_a_deadline() -> None:
    """A second try that finds no room ends with its worker's deadline, which says so."""
    session = Ledger("session_max_cost", micro(150))
    budget = booked(session)
    pools = RateLimits()

    async def cell(act: Act, later: float) -> tuple[list[Record], float]:
        await asyncio.sleep(later)
        fake = Fake(act)
        routes, accounts = Routes(lambda model: fake, pools.of), Accounts(price, budget=budget)
        todo = tasks(1, deadline=20.0, first=1e3, silence=1e3)
        records = await Scheduler(todo, routes, Rules(), accounts, None, Stop()).run()
        return records, asyncio.get_running_loop().time()

    async def main() -> Any:
        long = replace(TASK, deadline=500.0, first=500.0)
        fake = Fake(answer(300.0))
        routes, accounts = Routes(lambda model: fake, pools.of), Accounts(price, budget=budget)
        holder = Scheduler([long], routes, Rules(), accounts, None, Stop())
        first = asyncio.ensure_future(cell(failing("server", 9), 0.0))
        await asyncio.sleep(0.05)  # its first try is under way, and there is no room for ours
        other = asyncio.ensure_future(holder.run())
        return await first, await other

    (records, ended), [held] = run_virtual(main())[0]
    assert held.ok
    assert ended == pytest.approx(20.0)
    assert records[0].error is not None
    assert "no time for another try before the deadline of 20 s" in records[0].error.message


# Cells.


def planned(magic: str, line: str, body: str, model: str = HAIKU, **variables: Any) -> Plan:
    """The plan of a cell that asks a priced model, answered by a fake."""
    provider = "anthropic" if model == HAIKU else "nobody"
    return make_plan(
        parse(magic, f"-m {model} {line}", body), variables, lambda name: Model(provider, name)
    )


THREE = "%section a\nA\n%section b\nB\n%section c\nC"
SHORT = 100  # --max-tokens of these cells


def capped(cap: Decimal, body: str = THREE, line: str = "", act: Act | None = None) -> Any:
    """A fan-out with this cap, and its provider."""
    fake = Fake(act or answer(1.0))
    plan = planned("fanout", f"--max-cost {cap:f} --max-tokens {SHORT} {line}", body)
    return run_virtual(FanoutPattern.run(plan, run_context(fake))), fake


COST = bill.cost(Model("anthropic", HAIKU), Usage(10, 0, 0, 5)) or Decimal(0)


def test_what_fits_only_one_by_one_runs_one_after_another() -> None:
    """Three workers wait for each other's money rather than for nothing."""
    (run, seconds), fake = capped(worst_of("A") + 2 * COST)
    assert list(run) == ["a", "b", "c"]
    assert fake.most == 1
    assert seconds == 3.0
    assert run.cost == 3 * COST


def test_a_cap_that_is_reached_is_an_error_with_everything() -> None:
    """Every record, the run, what is left and the way out; a further try goes on from there."""
    cap = worst_of("A") + COST
    with pytest.raises(BudgetExceeded) as caught:
        capped(cap)
    error = caught.value
    assert [record.status for record in error.records] == ["ok", "ok", "failed"]
    assert [r.error.kind for r in error.records if r.error] == ["budget"]
    assert isinstance(error.run, FanoutRun)
    assert list(error.run) == ["a", "b"]
    assert error.run.cost == 2 * COST
    message = str(error)
    assert message.startswith("2 of 3 workers succeeded, 1 were not asked: c: not asked: the call")
    assert f"of --max-cost {cap:f} only $0.0000" in message
    assert "raise the cap, or lower --max-tokens" in message
    assert "\n" not in message
    again, _ = run_virtual(error.run.retry())
    assert list(again) == ["a", "b", "c"]
    assert len(error.run.failed) == 1, "the old run is unchanged"


def test_a_cap_below_one_call_asks_nothing() -> None:
    """All are refused, whatever `--min-success` says."""
    fake = Fake(answer(1.0))
    line = f"--max-cost {worst_of('A') / 2:f} --max-tokens {SHORT} --min-success 0"
    with pytest.raises(BudgetExceeded, match="0 of 3 workers succeeded, 3 were not asked"):
        run_virtual(FanoutPattern.run(planned("fanout", line, THREE), run_context(fake)))
    assert fake.calls == []


@pytest.mark.parametrize("line", ["--max-cost 1", ""])
def test_without_a_price_no_cap_can_be_kept(line: str) -> None:
    """It is told before any call, for the session's cap as well."""
    fake = Fake(answer(1.0))
    name = "--max-cost" if line else "session_max_cost"
    around = run_context(fake, ledgers=(Ledger("session_max_cost", None if line else Decimal(1)),))
    for body in (THREE, f"{THREE}\n%synthesis\nMerge."):
        with pytest.raises(OptionError, match=rf"^{name}: no price is known for nobody:m"):
            run_virtual(FanoutPattern.run(planned("fanout", line, body, "m"), around))
    assert fake.calls == []


def test_a_simulation_costs_nothing() -> None:
    """A cap of a millionth lets any number of simulated workers run."""
    run = asyncio.run(fanout(THREE, model="sim:?scale=0", max_cost="0.000001"))
    assert isinstance(run, FanoutRun)
    assert len(run) == 3
    fake = Fake(answer(1.0))
    fake.simulated = True
    ledger = Ledger("session_max_cost", micro(1))
    plan = planned("fanout", "", THREE, "m")
    run, _ = run_virtual(FanoutPattern.run(plan, run_context(fake, ledgers=(ledger,))))
    assert len(run) == 3
    assert (ledger.spent, ledger.held) == (0, 0)


def test_a_synthesis_that_does_not_fit_is_a_join_with_a_note() -> None:
    """The sections are paid for: they are shown, a note says that, and the record why they are not merged."""
    body = f"{THREE}\n%synthesis --max-tokens 4000\nMerge."
    (run, _), fake = capped(3 * worst_of("A"), body)
    assert "synthesis" not in fake.calls
    assert run.aggregate == "join"
    assert run.text.startswith("## a\n\nfine")
    [note] = [note for note in run.notes if "synthesis" in note]
    assert "the sections are joined instead" in note
    assert run.synthesis is not None
    assert run.synthesis.error is not None
    assert "not asked: the call may cost up to $" in run.synthesis.error.message
    assert run.synthesis.cost == 0


@pytest.mark.parametrize(
    ("model", "cap", "said"),
    [
        pytest.param(
            "ollama:m", "1", "this run would be refused by --max-cost: no price", id="no price"
        ),
        pytest.param(
            f"anthropic:{HAIKU}",
            "0.000001",
            "this run would skip a: the call may cost",
            id="too low",
        ),
        pytest.param(f"anthropic:{HAIKU}", "1", "", id="enough"),
        pytest.param("sim:", "0.000001", "", id="simulated"),
    ],
)
def test_a_dry_run_says_that_a_cap_cannot_be_kept(model: str, cap: str, said: str) -> None:
    """What the run would refuse, or not ask, is told before it."""
    for magic in RUN:
        body = THREE if magic == "fanout" else VOTERS
        cell = parse(magic, f"-m {model} --max-cost {cap} --max-tokens {SHORT}", body)
        found = previewed(make_plan(cell, {}, lambda name: Model(*name.split(":"))))
        assert bool(found.no_cap or found.unpaid) is bool(said)
        assert said in " ".join(repr(found).split())


# Guards, judges and syntheses: calls that are no worker's cost as much.

GUARDS = "".join(f"%guardrail g{at}\nMay we?\n" for at in range(9))
VOTERS = "Which?\n%voter a\nOne\n%voter b\nTwo\n%voter c\nThree\n"
ASIDES = {
    "nine guards": ("fanout", f"Do it.\n{GUARDS}"),
    "a guard that is a vote": ("vote", "Do it.\n%guardrail g -n 7\nMay we?"),
    "a judge": ("vote", f"{VOTERS}%judge\nPick."),
    "best of several": ("vote", f"{VOTERS}%judge --score 1..10\nRate."),
    "a synthesis": ("fanout", f"{THREE}\n%synthesis\nMerge."),
    "all of it": ("fanout", f"{THREE}\n{GUARDS}%synthesis\nMerge."),
}
RUN: dict[str, Any] = {"fanout": FanoutPattern.run, "vote": VotePattern.run}


def dearest(seen: list[tuple[Decimal, Decimal]], ledger: Ledger) -> Act:
    """Answers that cost nearly all that they may; notes what is set aside, and the call's worst."""

    async def act(task: Task, heard: Heard) -> Reply:
        worst = worst_of(task.prompt, task.max_tokens)
        seen.append((ledger.held, worst))
        await asyncio.sleep(1)
        told = "winner" if '"winner"' in task.prompt else "score"
        text = "ANSWER: ALLOW" if "May we" in task.prompt else f"{task.name} says so"
        text = f'{{"{told}": 1}}' if task.name.startswith("judge") else text
        return Reply(text, usage=Usage(len(task.prompt), output_tokens=task.max_tokens))

    return act


@pytest.mark.parametrize("kind", ASIDES)
def test_money_is_set_aside_for_every_call(kind: str) -> None:
    """While a call is under way its worst is held, whoever's it is."""
    magic, body = ASIDES[kind]
    seen: list[tuple[Decimal, Decimal]] = []
    ledger = Ledger("session_max_cost", Decimal(1))
    plan = planned(magic, f"-c 1 --max-tokens {SHORT}", body)
    run_virtual(RUN[magic](plan, run_context(Fake(dearest(seen, ledger)), ledgers=(ledger,))))
    assert len(seen) > 3
    assert [held >= worst for held, worst in seen] == [True] * len(seen)


@pytest.mark.parametrize("kind", ASIDES)
def test_no_cap_is_passed_by_any_call(kind: str) -> None:
    """Of every cap from nothing to plenty: what was spent stays below, and plenty lets all be asked."""
    magic, body = ASIDES[kind]
    asked = []
    for step in range(1, 41):
        cap = worst_of("x" * 400) * step / 2
        ledger = Ledger("session_max_cost", Decimal(1))
        fake = Fake(dearest([], ledger))
        plan = planned(magic, f"--max-cost {cap:f} --max-tokens {SHORT} --min-success 0", body)
        try:
            run = run_virtual(RUN[magic](plan, run_context(fake, ledgers=(ledger,)))).result
        except BudgetExceeded as error:
            run = error.run
        assert (run.cost or 0) <= cap
        assert ledger.spent <= cap
        asked.append(len(fake.calls))
    assert asked[0] < asked[-1] == max(asked)


@pytest.mark.parametrize("magic", RUN)
@pytest.mark.parametrize("options", ["", " --on-error pass", " -n 3", " --on-block raise"])
def test_a_guard_that_cannot_be_paid_is_no_block(magic: str, options: str) -> None:
    """It has said nothing: the error names the cap, carries the run, and nothing of the work shows."""
    body = f"Do it.\n%guardrail g --max-tokens 100000{options}\nMay we?"
    cap = 3 * worst_of("Do it.")
    plan = planned(magic, f"--max-cost {cap:f} --max-tokens {SHORT}", body)
    fake = Fake(answer(1.0, "WORK"))
    with pytest.raises(
        BudgetExceeded, match=r"guardrail 'g' gave no verdict: not asked.*--max-cost"
    ):
        run_virtual(RUN[magic](plan, run_context(fake)))


def test_a_guard_that_blocks_does_so_beside_one_that_cannot_be_paid() -> None:
    """What was said holds: the run is a blocked one."""
    unpaid = Record(0, "g", "failed", "p:m", error=Fault("budget", "not asked"))
    guards = [Verdict("g", False, None, "", (unpaid,)), Verdict("h", False, "BLOCK", "", ())]
    plan = planned("fanout", "", f"Do it.\n{GUARDS}")
    raise_if_blocked(plan.guards, FanoutRun([], [], guards=guards))
    with pytest.raises(BudgetExceeded, match="guardrail 'g' gave no verdict: not asked"):
        raise_if_blocked(plan.guards, FanoutRun([], [], guards=guards[:1]))


def test_a_vote_that_runs_out_of_money_is_no_verdict() -> None:
    """The votes that came in are kept in the run, the error has them all."""
    fake = Fake(answer(1.0, "safe"))
    plan = planned(
        "vote",
        f"-n 5 -c 1 --choices safe,unsafe --max-tokens {SHORT} "
        f"--max-cost {worst_of('Safe?' + 80 * 'x') + 2 * COST:f}",
        "Safe?",
    )
    with pytest.raises(
        BudgetExceeded, match=r"of 5 calls returned an answer, \d were not asked"
    ) as caught:
        run_virtual(VotePattern.run(plan, run_context(fake)))
    run = caught.value.run
    assert isinstance(run, VoteRun)
    assert len(run.ballots) == len(caught.value.records) == 5
    assert sum(run.tally.values()) == len(fake.calls) >= 2
    again, _ = run_virtual(run.retry())
    assert (again.winner, again.valid) == ("safe", 5)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_large_source_is_not_read_on(asynchronous: bool) -> None:
    """Of a million items some hundred are read; a further try goes on where the money ended."""
    read = itertools.count()

    async def later() -> Any:
        for _ in range(1_000_000):
            yield next(read)

    docs = later() if asynchronous else (next(read) for _ in range(1_000_000))
    cap = worst_of("123") + 30 * COST
    plan = planned(
        "fanout",
        f"--each docs -c 5 --max-tokens {SHORT} --max-cost {cap:f}",
        "{{item}}",
        docs=docs,
    )
    fake = Fake(answer(1.0))
    with pytest.raises(BudgetExceeded) as caught:
        run_virtual(FanoutPattern.run(plan, run_context(fake)))
    assert next(read) < 300
    good = len(caught.value.run.succeeded)
    assert 25 <= good == len(fake.calls) <= 31
    assert caught.value.run.cost <= cap


def test_parameters_that_cost_are_counted() -> None:
    """A higher limit, and tools with their texts."""
    plain = capped_hold("")
    assert capped_hold("--param max_completion_tokens=200") >= plain * 19 / 10
    text = "é" * 50_000
    extra = capped_hold(f'--param \'tools=[{{"description":"{text}"}}]\'') - plain
    assert extra >= worst_of("x" * 100_000, 0) - worst_of("", 0)


def capped_hold(line: str) -> Decimal:
    """What is held for one call of a cell."""
    held: list[Decimal] = []
    ledger = Ledger("session_max_cost", Decimal(100))

    async def act(task: Task, heard: Heard) -> Reply:
        held.append(ledger.held)
        return Reply("fine")

    plan = planned("fanout", f"--max-tokens 100 {line}", "%section a\nA")
    run_virtual(FanoutPattern.run(plan, run_context(Fake(act), ledgers=(ledger,))))
    return held[0]


# Through the SDKs.


ABSURD = {"input_tokens": 10**30, "prompt_tokens": 10**30}
NEGATIVE = {"output_tokens": -5, "completion_tokens": -5}


@pytest.mark.parametrize("name", [HAIKU, GPT])
@pytest.mark.parametrize("stream", ["on", "off"])
@pytest.mark.parametrize(
    ("deed", "known"),
    [
        pytest.param(Deed(), True, id="well"),
        pytest.param(Deed(usage=False), False, id="missing"),
        pytest.param(Deed(patch={"usage": None}), False, id="null"),
        pytest.param(Deed(patch={f"usage.{k}": v for k, v in ABSURD.items()}), False, id="absurd"),
        pytest.param(Deed(patch={f"usage.{k}": v for k, v in NEGATIVE.items()}), False, id="minus"),
    ],
)
def test_an_unknown_usage_keeps_the_reservation(
    server: Loopback, name: str, stream: str, deed: Deed, known: bool
) -> None:
    """Its cost is None, never 0; the money that was set aside counts as spent."""
    server.script(name, deed)
    provider = "anthropic" if name == HAIKU else "openai"
    plan = make_plan(
        parse("fanout", f"-m {name} --stream {stream} --max-tokens {SHORT}", "%section a\nA"),
        {},
        lambda text: Model(provider, text),
    )
    ledger = Ledger("session_max_cost", Decimal(1))

    async def main() -> FanoutRun:
        async with of_its_own(plan) as around:
            around.ledgers = (ledger,)
            return await FanoutPattern.run(plan, around)

    [record] = asyncio.run(main()).results
    assert record.ok
    worst = bill.worst(Model(provider, name), 1, SHORT)
    assert worst is not None
    assert ledger.held == 0
    if known:
        assert record.cost is not None
        assert 0 < record.cost == ledger.spent < worst
    else:
        assert record.cost is None
        assert ledger.spent == worst


@pytest.mark.parametrize("name", [HAIKU, GPT])
def test_the_ledger_is_the_servers_log(server: Loopback, name: str) -> None:
    """Fails once, then answers: the sum over all requests is what the server has given."""
    server.script(name, Deed(status=500), Deed(status=529), Deed())
    run = asyncio.run(fanout(THREE, model=name, max_cost=1))
    assert isinstance(run, FanoutRun)
    model = Model("anthropic" if name == HAIKU else "openai", name)
    given = [Usage(*call.fed, call.gave) for call in server.log if call.fed]
    assert len(server.log) == 5
    assert run.cost == sum((bill.cost(model, usage) or 0 for usage in given), Decimal(0))


# In a kernel.
