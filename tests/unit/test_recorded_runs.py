"""Recorded runs: what has been answered is served as it was, and only what is missing is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fakes import Fake, answer, by_name, failing, run_context
from provider import Loopback
from virtual_time import run_virtual

from parallm_magics import (
    BudgetExceeded,
    FanoutRun,
    MissingKeyError,
    OptionError,
    TooFewSucceeded,
    VoteRun,
    fanout,
    vote,
)
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import Reply
from parallm_magics.core.tasks import Event, Model, Record, Task
from parallm_magics.engine.accounts import Ledger
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.notebook.session import Spend
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers.registry import define_simulated, forget
from parallm_magics.recordings import store as recording
from parallm_magics.recordings.store import Recordings

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
each_dialect = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
SECTIONS = "about this\n%section a\nA\n%section b\nB\n%section c\nC\n"
MERGED = f"{SECTIONS}%synthesis\nMerge.\n"
QUESTION = "Which one?"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """The provider of both dialects."""
    with Loopback() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the recordings, named by the environment; not there yet."""
    path = tmp_path / "answers.jsonl"
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    return path


@pytest.fixture
def door(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """The server, as the provider of every official model, with keys."""
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-a-key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    return server


def forget_keys(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """From now on nobody can be asked."""
    for name in names or ("ANTHROPIC", "OPENAI"):
        monkeypatch.delenv(f"{name}_API_KEY")


async def awaited(count: int) -> AsyncIterator[str]:
    """Items that come one by one."""
    for number in range(count):
        await asyncio.sleep(0)
        yield f"item {number}"


def entries(path: Path) -> list[dict[str, Any]]:
    """The lines of the file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_asked(run: FanoutRun | VoteRun) -> list[Record]:
    """The records as if all had been asked just now."""
    return [replace(record, replayed=False) for record in run.results]


def shown(run: FanoutRun | VoteRun) -> dict[str, str]:
    """What a saved notebook shows."""
    return run._repr_mimebundle_()


def same(first: Any, second: Any) -> None:
    """The second run is the first one again, all of it served."""
    assert as_asked(second) == as_asked(first)
    assert all(record.replayed for record in second.results)
    assert second.to_dict() == first.to_dict()
    assert shown(second) == shown(first)


RUNS: dict[str, Callable[[str], Any]] = {
    "sections": lambda model: fanout(SECTIONS, model=model),
    "synthesis": lambda model: fanout(MERGED, model=model),
    "vote": lambda model: vote(QUESTION, model=model, n=3, choices="echo,other"),
    "list": lambda model: fanout("{{item}}", model=model, each=["x", "y", "x"]),
    "generator": lambda model: fanout("{{item}}", model=model, each=(f"{n}" for n in range(40))),
    "sections of items": lambda model: fanout(
        "{{item}}\n%section a\nA\n%section b\nB", model=model, each=(f"{n}" for n in range(9))
    ),
    "async generator": lambda model: fanout("{{item}}", model=model, each=awaited(40)),
}


@each_dialect
@pytest.mark.parametrize("kind", RUNS)
def test_a_second_run_asks_nothing(
    path: Path, door: Loopback, monkeypatch: pytest.MonkeyPatch, kind: str, model: str
) -> None:
    """It needs no key, and is the first run to the last digit, in values, order and pictures."""
    first = asyncio.run(RUNS[kind](model))
    asked = len(door.log)
    assert asked == len(entries(path)) >= 3
    forget_keys(monkeypatch)
    second = asyncio.run(RUNS[kind](model))
    assert len(door.log) == asked
    same(first, second)
    if kind == "synthesis":
        assert replace(second.synthesis, replayed=False) == first.synthesis
    assert first.usage is not None
    assert (second.cost, second.usage) == (first.cost, first.usage)


@each_dialect
def test_only_what_has_changed_is_asked(path: Path, door: Loopback, model: str) -> None:
    """One section of three, and the synthesis of the new answers; back again, nothing."""
    first = asyncio.run(RUNS["synthesis"](model))
    door.clear()
    changed = asyncio.run(fanout(MERGED.replace("\nB", "\nB!"), model=model))
    assert [call.prompt.endswith("B!") for call in door.log] == [True, False]
    assert [record.replayed for record in changed.results] == [True, False, True]
    assert list(changed) == ["a", "b", "c"]
    door.clear()
    same(first, asyncio.run(RUNS["synthesis"](model)))
    assert door.log == []


@each_dialect
def test_votes_are_entries_of_their_own(path: Path, door: Loopback, model: str) -> None:
    """Each keeps its answer; more votes are asked for only as far as they are more."""
    said = iter("abcdefg")
    door.answers = lambda body: f"ANSWER: {next(said)}"

    def ask(votes: int) -> VoteRun:
        run = asyncio.run(vote(QUESTION, model=model, n=votes, choices="a,b,c,d,e,f,g"))
        assert isinstance(run, VoteRun)
        return run

    first = ask(5)
    assert sorted(ballot.label or "" for ballot in first.ballots) == list("abcde")
    assert sorted(entry["sample"] for entry in entries(path)) == list(range(5))
    assert len({entry["key"] for entry in entries(path)}) == 1
    same(first, ask(5))
    more = ask(7)
    assert more.ballots[:5] == first.ballots
    assert len(door.log) == 7


def test_only_the_doors_of_what_is_missing_are_opened(
    path: Path, door: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is needed for a call that is made; a missing one is told before any is."""
    text = "%section a -m claude-haiku-5-5\nA\n%section b -m gpt-6-luna\nB{}\n"
    asyncio.run(fanout(text.format("")))
    forget_keys(monkeypatch, "ANTHROPIC")
    door.clear()
    asyncio.run(fanout(text.format("!")))
    assert [call.dialect for call in door.log] == ["openai"]
    with pytest.raises(MissingKeyError, match="ANTHROPIC_API_KEY"):
        asyncio.run(fanout(text.format("?").replace("\nA", "\nA?")))
    with pytest.raises(MissingKeyError, match="ANTHROPIC_API_KEY"):
        asyncio.run(fanout(f"{text.format('?')}%synthesis -m claude-haiku-5-5\nMerge.\n"))
    assert len(door.log) == 1


@pytest.mark.parametrize("kind", RUNS)
def test_simulated_answers_stay_marked(path: Path, kind: str) -> None:
    """From the file too they are no model's, and laid out in the simulation's own time."""
    model = "sim:?scale=0&latency=2"
    first = asyncio.run(RUNS[kind](model))
    size = path.stat().st_size
    second = asyncio.run(RUNS[kind](model))
    same(first, second)
    assert path.stat().st_size == size
    assert second.simulated
    assert all("SIMULATED" in text for text in shown(second).values())


# --- with a provider of our own, on the virtual clock ---------------------------------------------


def planned(
    body: str = SECTIONS,
    line: str = "",
    docs: Any = None,
    settings: Mapping[str, Any] | None = None,
    model: Model | None = None,
) -> Plan:
    """A fan-out's plan, or a vote's where the line says so."""
    magic, _, options = line.partition(" ") if line.startswith("vote") else ("fanout", "", line)
    return make_plan(
        parse(magic, options, body),
        {"docs": docs},
        lambda text: model or Model("fake", text),
        {"model": ("m",), "retries": 0, **(settings or {})},
    )


def run(fake: Fake, path: Path, plan: Plan, before: Any = None, **more: Any) -> Any:
    """A run over the fake, or its retry; what an error carries, where it ends in one."""
    around = run_context(fake, recordings=Recordings(path), **more)
    runner: Any = VotePattern.run if plan.magic == "vote" else FanoutPattern.run
    try:
        return run_virtual(runner(plan, around, before)).result
    except TooFewSucceeded as error:
        return error.run


@pytest.mark.parametrize("kind", ["timeout", "refusal", "length", "empty", "cut", "server", "bug"])
def test_what_is_no_success_is_asked_again(path: Path, kind: Any) -> None:
    """It is in the file as an outcome, and hides no answer that comes later."""
    fake = Fake(by_name({"b": failing(kind, 1, text="half an answ")}, answer()))
    first = run(fake, path, planned())
    assert [record.ok for record in first.results] == [True, False, True]
    assert len(entries(path)) == 3
    second = run(fake, path, planned())
    assert fake.calls[3:] == ["b"]
    assert second.failed == ()
    assert run(fake, path, planned())["b"] == second["b"]
    assert len(fake.calls) == 4


def test_cancelled_calls_are_asked_again(path: Path) -> None:
    """What was done before the stop is served."""
    stop = Stop()
    fake = Fake(by_name({"a": answer(0.5)}, answer(5.0)))

    async def stopped() -> Any:
        asyncio.get_running_loop().call_later(1.0, stop, "interrupted")
        return await FanoutPattern.run(
            planned(), run_context(fake, stop, recordings=Recordings(path))
        )

    first, _ = run_virtual(stopped())
    assert [record.status for record in first.results] == ["ok", "cancelled", "cancelled"]
    second = run(fake, path, planned())
    assert fake.calls[3:] == ["b", "c"]
    assert second.failed == ()


def test_a_retry_is_not_served_what_it_replaces(path: Path) -> None:
    """A text recorded as an answer may hold no label for this cell; a retry asks for a new one."""
    said = iter(["perhaps", "no"])
    fake = Fake(lambda task, heard: soon(Reply(next(said))))
    run(fake, path, planned("%section a\nIs it?"))
    plan = planned("%section a --choices yes,no\nIs it?", "--no-ask")
    first = run(fake, path, plan)
    assert (first.results[0].status, first.results[0].replayed) == ("invalid", True)
    assert len(fake.calls) == 1
    again = run(fake, path, plan, before=first)
    assert again["a"] == "no"
    assert len(fake.calls) == 2
    same(again, run(fake, path, plan))


async def soon(reply: Reply) -> Reply:
    """The reply."""
    return reply


def test_a_ballot_without_a_label_is_a_result(path: Path) -> None:
    """It is served like any other; asking again until it can be read would make up a vote."""
    said = iter(["ANSWER: yes", "perhaps", "ANSWER: yes"])
    fake = Fake(lambda task, heard: soon(Reply(next(said))))
    plan = planned("Is it?", "vote -n 3 --choices yes,no")
    first = run(fake, path, plan)
    assert [ballot.state for ballot in first.ballots] == ["valid", "invalid", "valid"]
    same(first, run(fake, path, plan))


def test_a_label_that_could_not_be_read_is_asked_again_in_a_section(path: Path) -> None:
    """A section without its value is no success."""
    fake = Fake(by_name({"a": failing("refusal", 0)}, answer(text="ANSWER: yes")))
    body = "%section a --choices yes,no\nA\n%section b --choices yes,no\nB"
    first = run(fake, path, planned(body))
    assert [record.status for record in first.results] == ["invalid", "ok"]
    run(fake, path, planned(body))
    assert fake.calls == ["a", "b", "a"]


def test_a_retry_is_served_what_its_run_never_reached(path: Path) -> None:
    """Only what that run has a record of is asked anew."""
    count = 300
    fake = Fake(answer())
    whole = run(fake, path, planned("{{item}}", "--each docs", (n for n in range(100, count))))
    assert len(whole) == 200
    stop = Stop()
    plan = planned("{{item}}", "--each docs -c 10", (n for n in range(count)))

    async def stopped() -> Any:
        asyncio.get_running_loop().call_later(1.5, stop, "interrupted")
        store = Recordings(path)
        part = await FanoutPattern.run(plan, run_context(fake, stop, recordings=store))
        assert len(part) < 100
        return await FanoutPattern.run(plan, run_context(fake, recordings=store), before=part)

    done, _ = run_virtual(stopped())
    assert len(done) == count
    assert len(fake.calls) == 200 + 100 + 10  # those in flight when it was stopped


def test_new_calls_begin_after_kept_ones(path: Path) -> None:
    """On the run's time axis, the synthesis last of all; order is the cell's."""
    fake = Fake(answer(2.0))
    run(fake, path, planned(MERGED))
    mixed = run(fake, path, planned(MERGED.replace("\nB", "\nB!")))
    a, b, c = mixed.results
    assert [each.name for each in (a, b, c)] == ["a", "b", "c"]
    assert (a.start, c.start, b.start) == (0.0, 0.0, 2.0)
    assert (mixed.seconds, mixed.sequential_seconds) == (6.0, 6.0)  # the synthesis comes last
    assert mixed.synthesis.start == b.end == 4.0
    same(mixed, run(fake, path, planned(MERGED.replace("\nB", "\nB!"))))
    only_merged = run(fake, path, planned(MERGED.replace("Merge", "Join")))
    assert only_merged.synthesis.start == 2.0


def test_kept_answers_cost_nothing_now(path: Path) -> None:
    """The run says what they had cost; no sum of the session and no cap counts it."""
    model = Model("openai", "gpt-6-luna")
    fake = Fake(answer())
    run(fake, path, planned(model=model))
    spend, ledger = Spend(), Ledger("session_max_cost", Decimal("0.0000001"))
    capped = planned(settings={"max_cost": Decimal("0.0000001")}, model=model)
    second = run(fake, path, capped, ledgers=(ledger,), spent=spend.add)
    assert second.cost > 0
    assert (spend.calls, spend.cost, ledger.spent, ledger.held) == (0, None, 0, 0)
    with pytest.raises(BudgetExceeded, match="2 of 3 workers succeeded, 1 were not asked"):
        run(fake, path, replace_prompt(capped, model), ledgers=(ledger,), spent=spend.add)
    assert len(fake.calls) == 3


def replace_prompt(plan: Plan, model: Model) -> Plan:
    """The plan with one section changed."""
    body = SECTIONS.replace("\nB", "\nB!")
    return planned(body, settings={"max_cost": plan.options.max_cost}, model=model)


@pytest.mark.parametrize("source", [list, iter], ids=["list", "generator"])
def test_an_unknown_price_under_a_cap_matters_for_calls_only(path: Path, source: Any) -> None:
    """What is recorded is served under any cap; a call that would have to be made is refused."""
    fake = Fake(answer())
    line, cap = "--each docs", {"max_cost": Decimal("0.01")}
    first = run(fake, path, planned("{{item}}", line, source([1, 2, 3])))
    same(first, run(fake, path, planned("{{item}}", line, source([1, 2, 3]), cap)))
    with pytest.raises(OptionError, match="no price is known for fake:m"):
        run(fake, path, planned("{{item}}", line, source([1, 2, 3, 4]), cap))
    assert len(fake.calls) == 3


def test_a_kept_answer_is_told_as_an_end_only(path: Path) -> None:
    """The table sees no start of a call that is not made."""
    fake, events = Fake(answer()), list[Event]()
    run(fake, path, planned())
    run(fake, path, planned(), tell=events.append)
    assert [event.kind for event in events] == ["ended"] * 3


def test_a_large_file_holds_nobody_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken in by parts between which others run; items are read no faster than they end."""
    count = 2_000
    store = Recordings(path)
    for n in range(count):
        task = Task(n, str(n + 1), Model("fake", "m"), f"{n}")
        store.add(task, Record(n, str(n + 1), "ok", "fake:m", f"answer {n}"))
    monkeypatch.setattr(recording, "PART", 10_000)
    turns = ended = 0
    read: list[int] = []
    ahead: list[int] = []

    def docs() -> Iterator[int]:
        for n in range(count):
            read.append(turns)
            yield n

    def tell(event: Event) -> None:
        nonlocal ended
        ended += 1
        ahead.append(len(read) - ended)

    async def watch() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def watched() -> Any:
        watcher = asyncio.create_task(watch())
        around = run_context(Fake(answer()), recordings=Recordings(path), tell=tell)
        done = await FanoutPattern.run(planned("{{item}}", "--each docs", docs()), around)
        watcher.cancel()
        return done

    done, _ = run_virtual(watched())
    assert len(done) == count
    assert read[1] >= path.stat().st_size // 10_000  # turns of others, before the second item
    assert max(ahead) < 500


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "no\0name", "readonly/answers.jsonl"])
def test_a_file_that_cannot_be_used_costs_a_note(tmp_path: Path, name: str) -> None:
    """The run goes on as if there were none."""
    (tmp_path / "readonly").write_text("a file where a folder is needed")
    fake = Fake(answer())
    done = run(fake, tmp_path / name, planned())
    assert len(done) == 3
    [note] = done.notes
    assert note.startswith("recordings in ")
    assert "\n" not in note
    assert str(tmp_path) not in note


def test_a_note_belongs_to_the_run_that_it_is_about(path: Path) -> None:
    """What was said of one answer is not said of the next run; damage is, as long as it lasts."""
    key = "sk-CANARY-0123456789abcdef"
    store = Recordings(path)

    def noted(text: str, prompt: str) -> tuple[str, ...]:
        around = run_context(Fake(answer(text=text)), recordings=store)
        done, _ = run_virtual(FanoutPattern.run(planned(f"%section a\n{prompt}"), around))
        return tuple(done.notes)

    assert [len(noted(text, "A")) for text in (key, key, "fine", "fine")] == [1, 1, 0, 0]
    assert [len(noted("fine", prompt)) for prompt in (f"B {key}", "C", f"B {key}")] == [1, 0, 0]
    with path.open("ab") as file:
        file.write(b"{}\n")
    assert ["damaged" in " ".join(noted("fine", "C")) for _ in range(2)] == [True, True]


def test_two_runs_at_once_share_a_file(path: Path, door: Loopback) -> None:
    """Each finds its own later, and what both have asked has one answer from then on."""
    model, spans = MODELS["openai"], (range(25), range(15, 40))

    async def both() -> None:
        await asyncio.gather(*[fanout("{{item}}", each=span, model=model) for span in spans])

    asyncio.run(both())
    door.clear()
    whole = asyncio.run(fanout("{{item}}", each=range(40), model=model))
    assert door.log == []
    assert list(whole) == [str(n) for n in range(1, 41)]
    assert [record.text for record in whole.results] == [f"echo: {n}" for n in range(40)]


def test_a_changed_dict_of_given_answers_is_asked_again(path: Path) -> None:
    """Who edits the answers of a lesson sees them at once."""
    said = []
    for text in ("one", "two", "two"):
        define_simulated("lesson", {"a": text})
        try:
            run = asyncio.run(fanout("%section a\nx", model="lesson:?scale=0"))
        finally:
            forget("lesson")
        said.append((run["a"], run.results[0].replayed))
    assert said == [("one", False), ("two", False), ("two", True)]
