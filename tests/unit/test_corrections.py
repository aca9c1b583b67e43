"""An answer that does not conform is asked for once more, within the same worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fakes import USED, Act, Fake, kinds, run_context
from virtual_time import run_virtual

from parallm_magics import FanoutRun, VoteRun, fanout, vote
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Event, Fault, Model, Record, Task
from parallm_magics.engine.accounts import Accounts, Budget, Ledger
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.providers.registry import define_simulated, forget

SCHEMA = "vendor, total: number"
GOOD = '{"vendor": "ACME", "total": 12.5}'
BAD = '{"vendor": "ACME", "total": "twelve"}'


def saying(*texts: str | CallFailed, seconds: float = 1.0, prompts: list[str] | None = None) -> Act:
    """Say one text after the other, the same again at the end; a fault is raised."""
    left: dict[str, list[str | CallFailed]] = {}

    async def act(task: Task, heard: Heard) -> Reply:
        if prompts is not None:
            prompts.append(task.prompt)
        await asyncio.sleep(seconds)
        queue = left.setdefault(task.name, [*texts])
        said = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(said, CallFailed):
            raise said
        heard(said)
        return Reply(said, usage=USED)

    return act


def one(
    act: Act, *, options: dict[str, Any] | None = None, stop: Stop | None = None
) -> tuple[Record, Fake, list[Event]]:
    """The record of one worker with a schema, over a fake provider on the virtual clock."""
    fake, events = Fake(act), list[Event]()
    keywords = {"schema": SCHEMA, "min_success": 0, **(options or {})}
    cell = parse("fanout", "-n 1", "Read it.")
    plan = make_plan(cell, {}, lambda text: Model("fake", text), {"model": ("m",)}, keywords)
    context = run_context(fake, stop, tell=events.append)
    run, _ = run_virtual(FanoutPattern.run(plan, context))
    return run.results[0], fake, events


def test_the_second_answer_counts() -> None:
    """One record: the mended object, both usages, both tries, the time of both."""
    prompts: list[str] = []
    record, fake, events = one(saying(BAD, GOOD, prompts=prompts))
    assert record.status == "ok"
    assert record.value == {"vendor": "ACME", "total": 12.5}
    assert record.text == GOOD
    assert record.usage == USED + USED
    assert [each.outcome for each in record.attempts] == ["unreadable", "ok"]
    assert record.seconds == 2.0
    assert len(fake.calls) == 2
    assert prompts[1].startswith(prompts[0])
    assert BAD in prompts[1]
    assert "total: input should be a valid" in prompts[1]
    assert kinds(events, 0) == ["started", "heard", "waiting", "started", "heard", "ended"]


def test_a_second_mistake_is_the_end() -> None:
    """The status is invalid, and the error one line that says what is wrong."""
    record, fake, _ = one(saying(BAD))
    assert record.status == "invalid"
    assert record.value is None
    assert record.error is not None
    assert record.error.kind == "unreadable"
    assert record.error.message.startswith("total: input should be a valid")
    assert [each.outcome for each in record.attempts] == ["unreadable", "unreadable"]
    assert len(fake.calls) == 2


def test_what_cannot_be_mended_is_not_asked_again() -> None:
    """A refusal, a cut answer and one that declines in words stand as for text."""

    def ending(finish: Any, text: str = BAD) -> Act:
        async def act(task: Task, heard: Heard) -> Reply:
            return Reply(text, finish, usage=USED)

        return act

    for act, status in (
        (ending("refusal"), "refused"),
        (ending("length"), "truncated"),
        (ending("stop", "I'm sorry, but I cannot help with that."), "invalid"),
    ):
        record, fake, _ = one(act)
        assert record.status == status
        assert len(fake.calls) == 1


def test_a_failed_further_try_keeps_the_first_answer() -> None:
    """What was paid for is not lost: the answer stays, with both reasons."""
    failed = CallFailed(Fault("bad_request", "HTTP 400: no"))
    record, _, _ = one(saying(BAD, failed))
    assert record.status == "invalid"
    assert record.text == BAD
    assert record.error is not None
    assert record.error.message.endswith("; asked again: HTTP 400: no")


def test_a_passing_fault_is_tried_again_within_the_correction() -> None:
    """A rate limit in between changes nothing: the corrected question is asked anew."""
    prompts: list[str] = []
    limited = CallFailed(Fault("rate_limit", "slow down", retry_after=1.0))
    record, _, _ = one(saying(BAD, limited, GOOD, prompts=prompts))
    assert record.status == "ok"
    assert prompts[1] == prompts[2]
    assert [each.outcome for each in record.attempts] == ["unreadable", "rate_limit", "ok"]


def test_the_deadline_holds_for_both() -> None:
    """The further try has what the first one has left."""
    record, fake, _ = one(saying(BAD, seconds=8.0), options={"deadline": 10, "timeout": 9})
    assert record.status == "invalid"
    assert record.seconds == 10.0
    assert record.text == BAD
    assert len(fake.calls) == 2
    record, fake, _ = one(saying(BAD, seconds=10.0), options={"deadline": 10, "timeout": 20})
    assert record.seconds == 10.0


def test_a_stopped_further_try_keeps_the_first_answer() -> None:
    """An interrupt between two tries leaves the text of the first."""
    stop = Stop()
    prompts: list[str] = []
    inner = saying(BAD, prompts=prompts)

    async def act(task: Task, heard: Heard) -> Reply:
        if prompts:
            stop("interrupted")
            await asyncio.sleep(1)
        reply: Reply = await inner(task, heard)
        return reply

    record, _, _ = one(act, stop=stop)
    assert record.status == "cancelled"
    assert record.text == BAD


@pytest.fixture
def given() -> Iterator[dict[str, list[str]]]:
    """Answers of a simulated provider "given", by the number of the sample; each is said once."""
    answers: dict[str, list[str]] = {}

    def say(request: Any, sample: int) -> str:
        queue = answers[request.name]
        return queue.pop(0) if len(queue) > 1 else queue[0]

    define_simulated("given", say)
    yield answers
    forget("given")


def test_a_recording_holds_the_one_record(
    given: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay asks nothing: the mended object with both tries, and the broken one with its reason."""
    path = tmp_path / "answers.jsonl"
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    given |= {"a": [BAD, GOOD], "b": [BAD]}
    text = "%section a\nA\n%section b\nB"
    options: dict[str, Any] = {"model": "given", "schema": SCHEMA, "min_success": 0}
    live, _ = run_virtual(fanout(text, **options))
    assert len(path.read_text().splitlines()) == 2
    given.clear()
    monkeypatch.setenv("PARALLM_RECORDINGS", f"replay:{path}")
    replayed, _ = run_virtual(fanout(text, **options))
    for run in (live, replayed):
        assert isinstance(run, FanoutRun)
        assert run["a"] == {"vendor": "ACME", "total": 12.5}
        assert [each.outcome for each in run.results[0].attempts] == ["unreadable", "ok"]
        assert run.results[1].status == "invalid"
        assert run.results[1].error is not None
        assert run.results[1].error.message.startswith("total: input should be")
    assert all(record.replayed for record in replayed.results)


def test_the_deadline_of_a_simulated_worker_holds_for_both(given: dict[str, list[str]]) -> None:
    """In simulated time too the further try has what the first one has left."""
    given |= {"a": [BAD]}
    model = "given:?latency=8"
    options: dict[str, Any] = {"schema": SCHEMA, "min_success": 0, "deadline": 10}
    run, _ = run_virtual(fanout("%section a\nA", model=model, **options))
    assert isinstance(run, FanoutRun)
    [record] = run.results
    assert record.seconds == 10.0
    assert record.status == "invalid"
    assert record.text == BAD


def test_a_replayed_vote_ends_as_it_had(
    given: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A voter whose answers did not conform is invalid in a replay too, with the reason."""
    path = tmp_path / "answers.jsonl"
    given |= {"v1": [GOOD], "v2": [GOOD], "v3": [BAD]}
    ends = []
    for mode in ("auto", "replay"):
        monkeypatch.setenv("PARALLM_RECORDINGS", f"{mode}:{path}")
        run, _ = run_virtual(vote("Read it.", model="given", schema=SCHEMA))
        assert isinstance(run, VoteRun)
        ends.append([(r.status, r.value, r.error, r.attempts) for r in run.results])
    assert ends[0] == ends[1]
    assert ends[0][2][0] == "invalid"


def test_votes_are_asked_again_too(given: dict[str, list[str]]) -> None:
    """A voter whose first answer does not conform still votes; one that fails twice is invalid."""
    given |= {"v1": [BAD, GOOD], "v2": [GOOD], "v3": [BAD]}
    run, _ = run_virtual(vote("Read it.", model="given", schema=SCHEMA))
    assert isinstance(run, VoteRun)
    assert [ballot.state for ballot in run.ballots] == ["valid", "valid", "invalid"]
    assert [len(record.attempts) for record in run.results] == [2, 1, 2]


def capped(ledger: Ledger, worst: int, release: float | None = None) -> tuple[Record, Fake]:
    """The record of a worker whose first answer is no object, and whose further try is so dear.

    Args:
        worst: the most that the further try can cost, in US dollars; the first one a dollar.
        release: when others give back what they hold of the cap, in seconds.
    """
    fake = Fake(saying(BAD))
    cell = parse("fanout", "-n 1", "Read it.")
    keywords = {"schema": SCHEMA, "min_success": 0}
    plan = make_plan(cell, {}, lambda text: Model("fake", text), {"model": ("m",)}, keywords)
    [task] = plan.tasks

    def most(call: Task) -> Decimal:
        return Decimal(1 if call.prompt == task.prompt else worst)

    async def main() -> list[Record]:
        if release is not None:
            held = ledger.held
            loop = asyncio.get_running_loop()
            loop.call_later(release, lambda: ledger.release(held, Decimal(0)))
        routes = Routes(lambda model: fake, RateLimits().of)
        accounts = Accounts(lambda *_: Decimal("0.1"), budget=Budget((ledger,), most))
        return await Scheduler([task], routes, Rules(), accounts, None, Stop()).run()

    [record] = run_virtual(main())[0]
    return record, fake


def test_no_further_try_passes_a_cap() -> None:
    """Where no money is left for it the answer stands, with both reasons."""
    ledger = Ledger("--max-cost", Decimal("1.5"))
    record, fake = capped(ledger, worst=2)
    assert len(fake.calls) == 1
    assert record.status == "invalid"
    assert record.text == BAD
    assert record.cost == Decimal("0.1")
    assert ledger.spent == Decimal("0.1")
    assert record.error is not None
    assert "total: input should be a valid" in record.error.message
    assert "--max-cost" in record.error.message


def test_a_further_try_waits_for_room_below_a_cap() -> None:
    """It is as long as both answers and the first one's mistake, and so may be dearer."""
    ledger = Ledger("--max-cost", Decimal(4), held=Decimal(2))
    record, fake = capped(ledger, worst=3, release=5.0)
    assert len(fake.calls) == 2
    assert record.seconds == 6.0
    assert record.cost == Decimal("0.2")
