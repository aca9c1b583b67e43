"""`--each` at scale: items are read as they are needed, and nothing of them is kept but results."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fakes import Act, Fake, answer, failing, previewed, price, run_context
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun, ModelError, OptionError, TooFewSucceeded
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.items import ITEMS_AHEAD
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Record, Task
from parallm_magics.engine.accounts import Accounts, Budget, Ledger
from parallm_magics.engine.admission import Routes
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import RateLimits
from parallm_magics.engine.retries import Rules
from parallm_magics.engine.scheduler import Scheduler
from parallm_magics.errors import UnfinishedError
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.recordings.store import Recordings

SECTIONS = "about {{item}}\n%section a\nA\n%section b --choices yes,no\nB"
QUICK = answer(0.1)


def planned(
    docs: Any, body: str = "{{item}}", line: str = "", settings: Mapping[str, Any] | None = None
) -> Plan:
    """The plan of a map."""
    cell = parse("fanout", f"--each docs {line}", body)
    return make_plan(
        cell,
        {"docs": docs},
        lambda text: Model("fake", text),
        {"model": ("m",), **(settings or {})},
    )


def mapped(
    docs: Any, act: Act = QUICK, body: str = "{{item}}", line: str = "", stop: Stop | None = None
) -> tuple[FanoutRun, Fake]:
    """A map over a fake provider on the virtual clock."""
    fake = Fake(act)
    run, _ = run_virtual(FanoutPattern.run(planned(docs, body, line), run_context(fake, stop)))
    return run, fake


async def awaited(count: int) -> AsyncIterator[int]:
    """Items that come one by one."""
    for number in range(count):
        await asyncio.sleep(0.01)
        yield number


def echo(task: Task, heard: Heard) -> Any:
    """Answer with the prompt, the later ones first."""

    async def said() -> Reply:
        await asyncio.sleep(1 / (1 + task.index))
        return Reply(f"{task.prompt}: yes")

    return said()


SOURCES: dict[str, Callable[[int], Any]] = {
    "list": lambda count: list(range(count)),
    "range": range,
    "generator": lambda count: (n for n in range(count)),
    "async generator": awaited,
    "iterator": lambda count: iter(range(count)),
    "map": lambda count: map(int, range(count)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("count", [1, 3, ITEMS_AHEAD + 5])
def test_every_source_gives_every_result_in_order(source: Callable[[int], Any], count: int) -> None:
    """Whatever finishes first, and however many there are."""
    run, fake = mapped(source(count), echo)
    assert list(run) == [str(number) for number in range(1, count + 1)]
    assert list(run.values()) == [f"{number}: yes" for number in range(count)]
    assert len(fake.calls) == count


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_sections_of_items_have_keys_and_values(source: Callable[[int], Any]) -> None:
    """One record an item and section; labels are read."""
    run, _ = mapped(source(2), answer(0.1, "ANSWER: yes"), SECTIONS)
    assert list(run) == ["1.a", "1.b", "2.a", "2.b"]
    assert run["2.b"] == "yes"


def test_of_a_large_source_only_little_is_read_ahead() -> None:
    """The reader is never further than two rounds of places before the answers."""
    read = 0
    ahead = []

    def source() -> Iterator[int]:
        nonlocal read
        for number in range(3000):
            read += 1
            yield number

    async def act(task: Task, heard: Heard) -> Reply:
        ahead.append(read - task.index)
        await asyncio.sleep(0.1)
        return Reply("fine")

    run, _ = mapped(source(), act, line="-c 10")
    assert len(run) == 3000
    assert max(ahead) <= 41


@pytest.mark.parametrize("source", ["list", "generator", "async generator"])
def test_an_empty_source_is_an_error(source: str) -> None:
    """Before any call, and with the reason that is most often behind it."""
    with pytest.raises(OptionError, match="docs is empty; a generator can be read only once"):
        mapped(SOURCES[source](0))


def test_a_generator_is_used_up() -> None:
    """A second run says so instead of doing nothing."""
    docs = (n for n in range(2))
    mapped(docs)
    with pytest.raises(OptionError, match="docs is empty"):
        mapped(docs)


def test_an_item_that_has_no_text_fails_alone_in_a_large_map() -> None:
    """Of few items all are looked at before the first call; of many, one costs only itself."""
    with pytest.raises(Exception, match="item 3"):
        planned(["x", "y", None])
    run, fake = mapped(["x"] * ITEMS_AHEAD + [None, "z"], line="--min-success 0")
    assert len(fake.calls) == ITEMS_AHEAD + 1
    [lost] = run.failed
    assert (lost.name, lost.error and lost.error.kind) == (str(ITEMS_AHEAD + 1), "bad_item")
    assert lost.error is not None
    assert f"item {ITEMS_AHEAD + 1}" in lost.error.message
    assert str(ITEMS_AHEAD + 2) in run


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_source_that_breaks_loses_no_answer(kind: str) -> None:
    """What came before it is kept; what is missing is a failed record that says why."""

    def breaking() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the disk\nis gone")

    async def breaking_later() -> AsyncIterator[int]:
        async for number in awaited(5):
            yield number
        raise ValueError("the disk\nis gone")

    run, _ = mapped(breaking() if kind == "sync" else breaking_later())
    assert dict(run) == {**dict.fromkeys("12345", "fine"), "6": None}
    [lost] = run.failed
    assert lost.error is not None
    assert lost.error.message == "docs failed at item 6 with ValueError: the disk is gone"


def test_an_unknown_source_is_told_in_the_option_s_words() -> None:
    """Nothing there could be kept as text."""
    cell = parse("fanout", "--each dosc", "{{item}}")
    with pytest.raises(
        OptionError,
        match=r"^--each: there is no variable 'dosc'; did you mean "
        r"'docs'\?$",
    ):
        make_plan(cell, {"docs": [1]}, lambda text: Model("fake", text), {"model": ("m",)})


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_retry_keeps_what_could_not_be_asked(kind: str) -> None:
    """A bad item and a broken source stay failures: what is incomplete never looks complete."""

    def broken() -> Iterator[Any]:
        yield from ("a", None, "b")
        raise ValueError("gone")

    async def broken_later() -> AsyncIterator[Any]:
        for item in broken():
            yield item

    run, fake = mapped(broken() if kind == "sync" else broken_later(), line="--min-success 0")
    for _ in range(2):
        assert [(r.name, r.status) for r in run.results] == [
            ("1", "ok"),
            ("2", "failed"),
            ("3", "ok"),
            ("4", "failed"),
        ]
        run, _ = run_virtual(run.retry())
    assert len(fake.calls) == 2


def test_a_retry_goes_on_in_a_source_that_recovers() -> None:
    """What comes after a break takes the place of the record that stood for it."""

    class Flaky:
        def __init__(self) -> None:
            self.left = [1, 2, OSError("no network"), 3]

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            if not self.left:
                raise StopIteration
            item = self.left.pop(0)
            if isinstance(item, OSError):
                raise item
            return item

    run, _ = mapped(Flaky(), line="--min-success 0")
    assert [r.name for r in run.failed] == ["3"]
    again, _ = run_virtual(run.retry())
    assert list(again) == ["1", "2", "3"]
    assert not again.failed


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_source_that_ends_as_cancelled_broke_off(kind: str) -> None:
    """Such as one that awaits a task which somebody has cancelled; the run neither hangs nor ends so."""

    def cancelled() -> Iterator[int]:
        yield 1
        raise asyncio.CancelledError

    async def cancelled_later() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    source = cancelled() if kind == "sync" else cancelled_later()
    run, _ = mapped(source, line="--min-success 0")
    assert dict(run) == {"1": "fine", "2": None}
    [lost] = run.failed
    assert lost.error is not None
    assert lost.error.message == "docs failed at item 2 with CancelledError"


def test_an_error_without_a_text_is_named_by_its_type() -> None:
    """An exception's text is the user's code as well, and may raise."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def mute() -> Iterator[int]:
        raise Mute
        yield 1

    with pytest.raises(OptionError, match=r"docs failed at item 1 with Mute$"):
        planned(mute())


def test_a_slow_source_holds_up_neither_calls_nor_a_stop() -> None:
    """A generator that takes its time is not read ahead before the first call has begun."""
    clock = [0.0]
    read: list[int] = []
    begun: list[int] = []

    def slow() -> Iterator[int]:
        for number in range(300):
            clock[0] += 0.1
            read.append(number)
            yield number

    async def act(task: Task, heard: Heard) -> Reply:
        begun.append(len(read))
        return Reply("fine")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        time = loop.time
        loop.time = lambda: time() + clock[0]  # type: ignore[method-assign]
        await FanoutPattern.run(planned(slow()), run_context(Fake(act)))

    run_virtual(run())
    assert begun[0] < 5
    assert len(read) == 300


def test_a_missing_name_is_told_before_any_call() -> None:
    """Also where the items come from a generator."""
    fake = Fake(QUICK)
    with pytest.raises(Exception, match="no variable 'nope'"):
        planned((n for n in range(9)), "{{item}} {{nope}}")
    assert fake.calls == []


def test_what_a_model_cannot_do_is_told_before_any_call() -> None:
    """Even where the first item must be awaited."""
    fake = Fake(QUICK)

    def refuse(task: Task) -> None:
        raise ModelError("m takes no such thing")

    fake.check = refuse  # type: ignore[method-assign]
    for name in ("list", "generator", "async generator"):
        with pytest.raises(ModelError, match="no such thing"):
            run_virtual(FanoutPattern.run(planned(SOURCES[name](5)), run_context(fake)))
    assert fake.calls == []


@pytest.mark.parametrize("source", ["generator", "async generator", "list"])
def test_retry_asks_only_for_what_is_missing(source: str) -> None:
    """Also of a source that can be read once; results stay in order."""
    seen: dict[str, int] = {}

    async def act(task: Task, heard: Heard) -> Reply:
        seen[task.name] = seen.get(task.name, 0) + 1
        await asyncio.sleep(0.1)
        odd = int(task.name) % 2
        return Reply("fine" if odd or seen[task.name] > 1 else " ")

    run, _ = mapped(SOURCES[source](10), act)
    assert list(run.values()) == ["fine", None] * 5
    again, _ = run_virtual(run.retry())
    assert list(again) == [str(n) for n in range(1, 11)]
    assert seen == {str(n): 1 + (n % 2 == 0) for n in range(1, 11)}
    assert len(run.failed) == 5, "the old run is unchanged"


@pytest.mark.parametrize("source", ["generator", "async generator", "list"])
def test_a_stopped_map_goes_on_where_it_was(source: str) -> None:
    """What was not begun has no record and is asked by a retry; nothing is asked twice."""
    stop = Stop()
    done: list[str] = []

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        done.append(task.name)
        if len(done) == 50:
            stop("interrupted")
        return Reply("fine")

    count = ITEMS_AHEAD + 500
    run, _ = mapped(SOURCES[source](count), act, line="-c 20", stop=stop)
    assert 50 <= len(run.succeeded) <= 70
    assert len(run.results) <= 150
    if source == "list":
        assert any("calls were not started; await run.retry() to continue" in n for n in run.notes)
    again, _ = run_virtual(run.retry())
    # An asynchronous generator that is broken off while it is awaited has come to its end.
    least = {"async generator": len(run.results)}.get(source, count)
    assert least <= len(again.succeeded) <= count
    assert not again.failed
    assert len(done) == len(set(done)) == len(again.succeeded)


def test_a_wrong_key_stops_the_reading() -> None:
    """Of a million items none is rendered for nothing, and at most those at once are asked."""
    read = itertools.count()
    with pytest.raises(TooFewSucceeded) as error:
        mapped((next(read) for _ in range(1_000_000)), failing("auth", 10**9), line="-c 20")
    assert next(read) < 100
    assert sum(bool(record.attempts) for record in error.value.records) <= 20


def test_streams_are_for_few() -> None:
    """A source of unknown length is a large one; the choice can be forced."""
    assert planned([1] * 200).tasks[0].stream
    assert not planned([1] * 201).tasks[0].stream
    assert not planned(n for n in (1, 2)).calls.head[0].stream
    assert planned((n for n in (1, 2)), line="--stream on").calls.head[0].stream


def test_a_dry_run_leaves_a_generator_alone() -> None:
    """It says so, rather than using it up; a long list is counted but not shown whole."""
    docs = (n for n in range(3))
    with pytest.raises(OptionError, match="--dry-run: docs can be read only once"):
        previewed(planned(docs))
    seen = previewed(planned(range(5000)))
    assert seen.calls == 5000
    assert len(seen.tasks) == 200


def test_a_dry_run_counts_what_it_does_not_show() -> None:
    """The rest of all calls, not the rest of the prompts that it keeps."""
    seen = previewed(planned(range(5000)))._repr_mimebundle_()
    assert seen["text/plain"].endswith("… and 4,950 more")
    assert "… and 4,950 more" in seen["text/html"]


def test_the_title_counts_items_where_each_is_one_call() -> None:
    """Several sections of an item are no items."""
    one, _ = mapped(range(2))
    two, _ = mapped(range(2), body="{{item}}\n%section a\nA\n%section b\nB")
    assert "2 of 2 items" in repr(one)
    assert "4 of 4 sections" in repr(two)


def test_the_title_spells_all_its_numbers_alike() -> None:
    """A thousand is written with a comma wherever it stands."""
    run, _ = mapped(range(1200))
    assert repr(run) == "<FanoutRun: 1,200 of 1,200 items succeeded>"


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        pytest.param("%system\nguide\n%prompt\n{{item}}?", "", id="system"),
        pytest.param("{{docs[0]}} is a guide\n{{item}}?", "x is a guide\n", id="text"),
        pytest.param("guide {{index}} {{item}}", "guide ", id="index"),
    ],
)
def test_what_all_items_share_is_cached(body: str, beginning: str) -> None:
    """Up to the first `{{item}}` a map's prompts are one text, with the same key for all."""
    tasks = planned(["x", "", "y"], body).tasks
    assert {task.begins for task in tasks} == {beginning}
    assert all(task.prompt.startswith(beginning) for task in tasks)
    assert len({task.cache_key for task in tasks}) == 1
    assert tasks[0].cache_key


@pytest.mark.parametrize("body", ["{{item}} guide", "%system\n{{item}}\n%prompt\nguide {{item}}"])
def test_what_begins_with_its_item_shares_nothing(body: str) -> None:
    """No worker waits for a cache that it cannot read."""
    assert {task.cache_key for task in planned(["x", "y"], body).tasks} == {""}


def test_repeats_are_numbered_across_items() -> None:
    """Identical requests of one cell are samples, in the cell's order."""
    plan = planned(["x", "y", "x", "x"])
    assert [task.sample for task in plan.tasks] == [0, 0, 1, 2]
    many = planned(["x"] * (ITEMS_AHEAD + 1))
    assert [task.sample for task in many.tasks] == list(range(ITEMS_AHEAD + 1))


def test_the_out_file_holds_every_result(tmp_path: Path) -> None:
    """One line each as it ends, with the value; a retry goes on, a new run keeps the old file."""
    path = tmp_path / "run.jsonl"

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        return Reply("ANSWER: yes" if task.index != 1 else "")

    line = f"--choices yes,no --out-file {path}"
    run, _ = mapped(range(3), act, line=line)
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    assert {(row["index"], row["status"], row["value"]) for row in rows} == {
        (0, "ok", "yes"),
        (1, "invalid", None),
        (2, "ok", "yes"),
    }
    run_virtual(run.retry())
    assert len(path.read_text().splitlines()) == 4
    mapped(range(1), act, line=line)
    assert len(path.read_text().splitlines()) == 1
    assert len((tmp_path / "run.jsonl.bak").read_text().splitlines()) == 4


def test_an_out_file_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    """It is told before any call, and a disk that fills up on the way is a note."""
    fake = Fake(QUICK)
    for bad in ("/dev/null/", tmp_path / "no" / "such.jsonl"):
        plan = planned(range(3), line=f"--out-file {bad}")
        with pytest.raises(OptionError, match="cannot be written"):
            run_virtual(FanoutPattern.run(plan, run_context(fake)))
    assert fake.calls == []
    os.mkfifo(tmp_path / "pipe")  # opened plainly it would wait for a reader for ever
    for bad in (tmp_path / "pipe", "~nobody-of-that-name/run.jsonl"):
        plan = planned(range(3), line=f"--out-file {bad}")
        with pytest.raises(OptionError, match="cannot be written"):
            run_virtual(FanoutPattern.run(plan, run_context(fake)))
    assert fake.calls == []
    run, _ = mapped(range(3), line="--out-file /dev/full")
    assert len(run) == 3
    [note] = run.notes
    assert note.startswith("--out-file: writing stopped after 0 results (No space left")


def test_a_retry_begins_a_line_of_its_own(tmp_path: Path) -> None:
    """After a line that a full disk has cut, the next result is whole."""
    path = tmp_path / "run.jsonl"
    run, _ = mapped(range(2), failing("server", 9), line=f"--out-file {path} --min-success 0")
    path.write_bytes(path.read_bytes()[:-20])
    run_virtual(run.retry())
    *_, cut, second, third = path.read_text().splitlines()
    with pytest.raises(ValueError, match=r".+"):
        json.loads(cut)
    assert {json.loads(line)["index"] for line in (second, third)} == {0, 1}


def test_a_synthesis_merges_a_generators_sections() -> None:
    """It comes after the last item, knows their keys, and has a place of its own."""
    run, fake = mapped((n for n in range(3)), echo, "{{item}}\n%synthesis\nMerge {{outputs}}")
    assert run.synthesis is not None
    assert run.synthesis.role == "synthesis"
    assert fake.calls[-1] == "synthesis"
    assert run.aggregate == "synthesis"


def test_a_source_that_broke_off_is_told_at_the_top() -> None:
    """One failed row among thousands is easily missed."""

    def breaking() -> Iterator[int]:
        yield from range(5)
        raise ValueError("gone")

    run, _ = mapped(breaking())
    assert "docs failed at item 6 with ValueError: gone; the items before it are kept" in run.notes
    assert mapped(range(5))[0].notes == ()


def test_a_stopped_generator_says_that_there_is_more() -> None:
    """Nobody knows how much, and a retry goes on."""
    stop = Stop()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        stop("interrupted")
        return Reply("fine")

    run, _ = mapped((n for n in range(500)), act, stop=stop)
    assert "docs was not read to its end; await run.retry() to continue" in run.notes


def test_a_retry_that_is_stopped_carries_what_it_has() -> None:
    """Its own code awaits it, so that nothing else could hand the new run over."""
    stop = Stop()
    seen: list[str] = []

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1)
        seen.append(task.name)
        if len(seen) == 6:
            stop("interrupted")
        return Reply(" " if len(seen) <= 4 else "fine")

    fake = Fake(act)
    around = run_context(fake)

    @contextlib.asynccontextmanager
    async def stoppable(plan: Plan) -> AsyncIterator[RunContext]:
        yield dataclasses.replace(run_context(fake), stop=stop)

    around.renew = stoppable
    run, _ = run_virtual(FanoutPattern.run(planned(range(4), line="-c 1 --min-success 0"), around))
    assert dict(run) == dict.fromkeys("1234")
    with pytest.raises(UnfinishedError, match="interrupted; 2 of 4 workers are done") as error:
        run_virtual(run.retry())
    assert list(error.value.run.values())[:2] == ["fine"] * 2
    assert not any(list(error.value.run.values())[2:])


def test_one_item_that_is_too_dear_does_not_end_a_large_map() -> None:
    """The others still fit; only where nothing does is the rest not read."""
    docs = ["x"] * 30 + ["x" * 3000] + ["x"] * ITEMS_AHEAD
    plan = planned(docs, line="--max-cost 1000 --min-success 0")
    fake = Fake(QUICK)

    def worst(task: Task) -> Decimal:
        return Decimal(2000 if len(task.prompt) > 100 else 1)

    async def main() -> list[Record]:
        routes = Routes(lambda model: fake, RateLimits().of)
        accounts = Accounts(price, budget=Budget([Ledger("--max-cost", Decimal(1000))], worst))
        return await Scheduler(
            plan.calls.read(), routes, Rules(drain=False), accounts, None, Stop()
        ).run()

    records, _ = run_virtual(main())
    assert len(records) == len(docs)
    assert [r.index for r in records if r.error is not None] == [30]


def test_recordings_and_results_cannot_share_a_file(tmp_path: Path) -> None:
    """A new run would put the recordings aside as an old file of results."""
    path = tmp_path / "same.jsonl"
    fake = Fake(QUICK)
    around = run_context(fake, recordings=Recordings(path))
    with pytest.raises(OptionError, match="this is the recordings file"):
        run_virtual(FanoutPattern.run(planned(range(3), line=f"--out-file {path}"), around))
    assert fake.calls == []


def test_the_items_of_a_map_are_not_one_to_a_simulation() -> None:
    """What their prompts have in common does not make them right and wrong together."""
    tasks = planned(range(2), "Is review {{item}} good?").tasks
    assert [task.shared for task in tasks] == [task.prompt for task in tasks]
    assert {task.begins for task in tasks} == {"Is review "}


@pytest.mark.parametrize(
    ("items", "line", "body", "temperatures"),
    [
        pytest.param("abc", "-t 0.2..1", "{{item}}", [0.2, 0.6, 1.0], id="one worker an item"),
        pytest.param("aaa", "-t 0.2..1", "{{item}}", [0.2, 0.6, 1.0], id="equal items"),
        pytest.param("abc", "-t 0.2", "{{item}}", [0.2] * 3, id="no range"),
        pytest.param("ab", "-t 0..1 -n 2", "{{item}}", [0.0, 1.0] * 2, id="workers an item"),
        pytest.param(
            "ab",
            "-t 0..1",
            "{{item}}\n%section a\nA\n%section b\nB",
            [0.0, 1.0] * 2,
            id="sections",
        ),
        pytest.param(
            "ab",
            "-t 0.5",
            "{{item}}\n%section a -t 0..1\nA\n%section b\nB",
            [0.0, 0.5, 1.0, 0.5],
            id="a range of one section",
        ),
    ],
)
def test_a_range_of_temperatures_is_spread(
    items: str, line: str, body: str, temperatures: list[float]
) -> None:
    """Over the workers that it is given for; where that is one an item, over the items."""
    plan = planned(list(items), body, line)
    assert [task.temperature for task in plan.tasks] == temperatures
    assert not plan.notes


@given(st.integers(2, 40), st.floats(0, 1), st.floats(1.01, 2))
def test_the_ends_of_a_range_are_reached(count: int, low: float, high: float) -> None:
    """The first item has the low end, the last one the high end, and none is left out."""
    tasks = planned(list(range(count)), line=f"-t {low:.3f}..{high:.3f}").tasks
    found = [task.temperature for task in tasks]
    assert (found[0], found[-1]) == (float(f"{low:.3f}"), float(f"{high:.3f}"))
    assert found == sorted(set(found))


@pytest.mark.parametrize("source", ["generator", "async generator", "map"])
def test_a_range_over_a_number_that_nobody_knows_is_an_error(source: str) -> None:
    """Before any call: nobody can tell how far one item is from the next."""
    with pytest.raises(OptionError, match=r"-t 0.2..1: .* docs is read one by one"):
        planned(SOURCES[source](3), line="-t 0.2..1")
    assert planned(SOURCES[source](3), line="-t 0.2..1 -n 3")


def test_a_range_of_one_worker_is_told() -> None:
    """Nothing can be spread over one, and nobody would see it."""
    run, _ = mapped(["a"], echo, line="-t 0.2..1")
    assert run.notes == ("-t 0.2..1: the range has only one worker, which takes 0.2",)
