"""`--out-file DIR/`: the results of a map lie in Parquet parts, and the run is as any other."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import gc
import importlib.util
import json
import pickle
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fakes import Act, Fake, answer, run_context
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun, OptionError, ParallmError, TooFewSucceeded
from parallm_magics.cell import sample_counts
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import make_plan
from parallm_magics.cell.sample_counts import SampleCounts
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Attempt, Fault, Model, Record, Task, Usage
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.patterns import part_folder, stored_records
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.parquet_rows import COLUMNS, line_of, read_group, write_part
from parallm_magics.patterns.part_folder import JOURNAL, PartFolder
from parallm_magics.patterns.stored_fanout import StoredFanoutRun
from parallm_magics.patterns.stored_records import StoredRecords
from parallm_magics.patterns.tallies import open_in_batches

LABELS = "--choices good,bad --flag bad --min-success 0"
CELL = "Is {{item}} good?"


def plan_of(docs: Any, line: str, body: str = CELL, magic: str = "fanout") -> Any:
    """The plan of a map."""
    cell = parse(magic, f"--each docs {line}", body)
    return make_plan(cell, {"docs": docs}, lambda text: Model("fake", text), {"model": ("m",)})


def ran(docs: Any, act: Act, line: str, body: str = CELL, stop: Stop | None = None) -> FanoutRun:
    """A map over a fake provider on the virtual clock."""
    run, _ = run_virtual(FanoutPattern.run(plan_of(docs, line, body), run_context(Fake(act), stop)))
    return run


async def uneven(task: Task, heard: Heard) -> Reply:
    """Every seventh fails, every fifth says bad, and later ones may end first."""
    await asyncio.sleep(0.1 + 0.01 * (task.index * 7 % 30))
    if task.index % 7 == 3:
        raise CallFailed(Fault("invalid", f"no {task.index}", http=400), text="half")
    return Reply("bad" if task.index % 5 == 0 else "good", usage=Usage(10, 0, 0, 2), model="m-1")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_folder, "ROWS_A_PART", 16)


def told(run: FanoutRun) -> dict[str, Any]:
    """Everything that both kinds of runs must say alike."""
    return {
        "keys": list(run),
        "values": list(run.values()),
        "results": list(run.results),
        "failed": [record.index for record in run.failed],
        "succeeded": [record.index for record in run.succeeded],
        "flagged": list(run.flagged),
        "unchecked": list(run.unchecked),
        "clean": run.clean,
        "numbers": (run.usage, run.cost, run.cost_complete, run.seconds, run.speedup, run.saved),
        "dict": run.to_dict(),
        "text": run.text,
        "page": run._repr_mimebundle_(),
        "print": str(run),
        "frame": run.to_pandas().to_json(),
        "timeline": str(run.timeline()),
    }


@pytest.mark.parametrize(
    "docs",
    [list, lambda items: (item for item in items), lambda items: pd.DataFrame({"n": [*items]})],
    ids=["list", "generator", "frame"],
)
@pytest.mark.parametrize(
    "body", [CELL, f"%section a --choices good,bad\n{CELL}\n%section b\n{CELL}"]
)
def test_a_run_on_disk_says_what_one_in_memory_says(
    docs: Callable[[Any], Any], body: str, tmp_path: Path
) -> None:
    """The same values, numbers, page, text and frame."""
    line = LABELS if body == CELL else "--min-success 0"
    stored = ran(docs(range(50)), uneven, f"{line} --out-file {tmp_path}/out/", body)
    held = ran(docs(range(50)), uneven, line, body)
    assert isinstance(stored, StoredFanoutRun)
    assert len(sorted((tmp_path / "out").iterdir())) == -(-len(held.results) // 16)
    for name, expected in told(held).items():
        assert told(stored)[name] == expected, name
    assert stored.results[-1] == held.results[-1]
    assert stored.results[3:40:5] == held.results[3:40:5]
    assert "nope" not in stored
    with pytest.raises(KeyError, match="there is no key"):
        stored["nope"]


def test_a_large_map_draws_its_failures_first(tmp_path: Path) -> None:
    """Of more workers than have a row, the page is the same as that of a run in memory."""
    stored = ran(range(300), uneven, f"{LABELS} --out-file {tmp_path}/out/")
    held = ran(range(300), uneven, LABELS)
    assert stored._repr_mimebundle_() == held._repr_mimebundle_()


def test_a_part_is_a_table_with_the_documented_columns(tmp_path: Path) -> None:
    """A reader of Parquet finds one row a result, and nothing else in the folder."""
    run = ran(range(40), uneven, f"{LABELS} --out-file {tmp_path}/out/")
    table = pq.read_table(tmp_path / "out")
    assert table.column_names == list(COLUMNS)
    assert sorted(table.column("index").to_pylist()) == list(range(40))
    values = dict(zip(table["index"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert values[0] == '"bad"'
    assert values[3] is None
    assert (
        sum(table["input_tokens"].to_pylist()[n] or 0 for n in range(40)) == run.usage.input_tokens
    )  # type: ignore[union-attr]
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        f"part-{number:05}.parquet" for number in range(3)
    ]


def test_the_documentation_names_every_column() -> None:
    """A schema that nobody can look up is none."""
    page = (Path(__file__).parents[2] / "docs" / "maps.md").read_text()
    assert [name for name in COLUMNS if f"`{name}`" not in page] == []


def test_a_retry_goes_on_in_the_folder(tmp_path: Path) -> None:
    """Only what is missing is asked; the last row of an index holds; the old run stays as it is."""
    fails = True

    async def act(task: Task, heard: Heard) -> Reply:
        if fails and task.index % 7 == 3:
            raise CallFailed(Fault("invalid", "no"))
        return Reply("good", usage=Usage(1))

    line = f"{LABELS} --out-file {tmp_path}/out/"
    fake = Fake(act)
    run, _ = run_virtual(
        FanoutPattern.run(plan_of((n for n in range(50)), line), run_context(fake))
    )
    assert len(run.failed) == 7
    fails = False
    fake.calls.clear()
    again, _ = run_virtual(run.retry())
    assert len(fake.calls) == 7
    assert len(again.failed) == 0
    assert [record.index for record in again.results] == list(range(50))
    assert again.usage == Usage(50)
    assert list(again.values()) == ["good"] * 50
    assert len(run.failed) == 7
    assert run["4"] is None
    table = pq.read_table(tmp_path / "out")
    last = dict(zip(table["index"].to_pylist(), table["status"].to_pylist(), strict=True))
    assert last == dict.fromkeys(range(50), "ok")


def test_a_retry_begins_with_the_successes_alone(tmp_path: Path) -> None:
    """What it does not reach has no record, rather than that of the run before."""
    run = ran(range(50), uneven, f"{LABELS} --out-file {tmp_path}/out/")
    assert isinstance(run.results, StoredRecords)
    folder = PartFolder(f"{tmp_path}/out/", goes_on=True, run=run.results.run)
    begun = StoredRecords(folder, lambda place, value: value, run.results.facts)
    begun.begin_with(run.results)
    folder.close()
    assert [record.index for record in begun] == [record.index for record in run.succeeded]
    assert not begun.has(3)


def test_a_new_run_keeps_the_parts_of_the_one_before(tmp_path: Path) -> None:
    """They lie beside the folder, and the run that they belong to still reads them; others' files stay."""
    line = f"{LABELS} --out-file {tmp_path}/out"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    first = ran(range(40), answer(0.1, "good"), line)
    second = ran(range(20), answer(0.1, "bad"), line)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert len(sorted((tmp_path / "out.bak").iterdir())) == 3
    assert set(first.values()) == {"good"}
    assert set(second.values()) == {"bad"}
    ran(range(20), answer(0.1, "bad"), line)
    with pytest.raises(
        ParallmError, match=r"part-00000.parquet of this run is no longer in .*/out"
    ):
        pickle.loads(pickle.dumps(first))["1"]  # noqa: S301
    with pytest.raises(OptionError, match="the parts of a later run; name another folder"):
        run_virtual(first.retry())


@pytest.mark.parametrize("place", ["out", "out.bak"])
def test_a_file_of_somebody_else_is_never_moved_or_removed(place: str, tmp_path: Path) -> None:
    """It may have the name of a part: the cell ends before any call, and the file is where it was."""
    out = tmp_path / "out"
    for _ in range(2 if place == "out.bak" else 0):
        ran([1], uneven, f"{LABELS} --out-file {out}/")
    theirs = tmp_path / place / "part-00007.parquet"
    theirs.parent.mkdir(exist_ok=True)
    pd.DataFrame({"mine": [1]}).to_parquet(theirs)
    before = theirs.read_bytes(), sorted(out.iterdir())
    for _ in range(2):  # whoever was refused holds nothing
        with pytest.raises(OptionError, match=f"{place}/part-00007.parquet is no part of a run"):
            ran([1], uneven, f"{LABELS} --out-file {out}/")
    assert (theirs.read_bytes(), sorted(out.iterdir())) == before


def test_a_run_comes_back_from_a_pickle(tmp_path: Path) -> None:
    """What is pickled is where the parts lie."""
    run = ran(range(40), uneven, f"{LABELS} --out-file {tmp_path}/out/")
    back = pickle.loads(pickle.dumps(run))  # noqa: S301
    assert list(back.values()) == list(run.values())
    assert back._repr_mimebundle_() == run._repr_mimebundle_()


class Vendor:
    """A class of the user's."""


def test_objects_come_back_as_objects(tmp_path: Path) -> None:
    """With `--schema`, a value is what it is in memory; a number too."""
    said = answer(0.1, '{"vendor": "x", "total": 3}')
    line = "--schema 'vendor, total: number'"
    stored = ran(range(20), said, f"{line} --out-file {tmp_path}/out/")
    held = ran(range(20), said, line)
    assert stored["3"] == held["3"]
    assert type(stored["3"]) is type(held["3"])
    assert stored.to_pandas().equals(held.to_pandas())
    numbers = ran(range(20), answer(0.1, "2.5"), f"--number --out-file {tmp_path}/numbers/")
    assert numbers["1"] == ran(range(20), answer(0.1, "2.5"), "--number")["1"]


# --- rows ---------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
MAYBE = st.none() | TEXT.filter(bool)
COUNT = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e6)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "index": st.integers(0, 5),
    "name": TEXT,
    "status": st.sampled_from(["ok", "failed", "truncated", "timed_out"]),
    "model": TEXT,
    "text": TEXT,
    "value": st.none() | TEXT | st.integers(-9, 9) | st.booleans() | st.lists(TEXT, max_size=2),
    "usage": st.none() | st.builds(Usage, COUNT, COUNT, COUNT, COUNT),
    "cost": st.none() | st.decimals(0, 100, places=9),
    "saved": st.none() | st.decimals(-1, 1, places=9),
    "start": SECONDS,
    "queued": SECONDS,
    "seconds": SECONDS,
    "attempts": st.lists(st.builds(Attempt, TEXT, SECONDS), max_size=3).map(tuple),
    "model_answered": MAYBE,
    "finish": MAYBE,
    "request_id": MAYBE,
    "error": st.none() | st.builds(Fault, st.just("server"), TEXT, st.none() | st.just(500)),
    "simulated": st.booleans(),
    "replayed": st.booleans(),
    "address": TEXT,
    "adapted": TEXT,
    "role": st.just("worker"),
    "key": st.none() | TEXT | st.integers(-9, 9) | st.floats(-9, 9),
    "item": st.none() | TEXT | st.integers(-9, 9) | st.booleans(),
    "temperature": st.none() | st.floats(0, 2),
    "effort": MAYBE,
    "system": MAYBE,
    "thinking": MAYBE,
    "thinking_tokens": st.none() | COUNT,
    "probabilities": st.none() | st.dictionaries(TEXT, st.floats(0, 1), min_size=1, max_size=2),
    "batch": TEXT,
}
RECORDS = st.builds(Record, **FIELDS)


def test_every_field_of_a_record_is_drawn_here() -> None:
    """A new field must have a column, or it is lost."""
    assert {each.name for each in dataclasses.fields(Record)} == set(FIELDS)


@given(records=st.lists(RECORDS, min_size=1, max_size=4))
def test_a_record_comes_back_from_its_row(
    records: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All that it said, to the last digit."""
    path = tmp_path_factory.mktemp("rows") / "part-00000.parquet"
    write_part(path, [*map(line_of, records)], "r")
    back = read_group(path, 0, lambda place, value: value)
    assert back == records
    assert [repr(a.cost) for a in back] == [
        repr(b.cost if b.cost is None else Decimal(repr(float(b.cost)))) for b in records
    ]


def test_half_a_character_is_replaced(tmp_path: Path) -> None:
    """No part is lost for it."""
    path = tmp_path / "part-00000.parquet"
    write_part(path, [line_of(Record(0, "a\ud800", "ok", "m", text="b"))], "r")
    [back] = read_group(path, 0, lambda place, value: value)
    assert back.name == "a?"


@given(st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1), max_size=60))
def test_identical_requests_are_counted(identities: list[int]) -> None:
    """As by a dict of all of them."""
    counts, seen = SampleCounts(), dict[int, int]()
    for identity in identities:
        assert counts.next(identity) == seen.get(identity, 0)
        seen[identity] = seen.get(identity, 0) + 1


# --- faults ---------------------------------------------------------------------------------------


def test_without_pyarrow_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any call."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else find(name, *a)
    )
    fake = Fake(answer(0.1))
    plan = plan_of(range(3), f"--out-file {tmp_path}/out/")
    with pytest.raises(OptionError, match=r'%pip install "parallm_magics\[dask\]"'):
        run_virtual(FanoutPattern.run(plan, run_context(fake)))
    assert fake.calls == []


def test_a_folder_that_cannot_be_made_is_told_before_any_call(tmp_path: Path) -> None:
    """A file in its way, or one run too many in it."""
    (tmp_path / "file").write_text("x")
    fake = Fake(answer(0.1))
    for bad, why in (
        (f"{tmp_path}/file/", "a file of that name is there; leave out the / to write to it"),
        (f"{tmp_path}/file/out/", "Not a directory"),
        ("~nobody-of-that-name/out/", ""),
    ):
        with pytest.raises(OptionError, match=rf"cannot be written \({why}"):
            run_virtual(
                FanoutPattern.run(plan_of(range(3), f"--out-file {bad}"), run_context(fake))
            )
    other = PartFolder(f"{tmp_path}/out/", goes_on=False)
    with pytest.raises(OptionError, match="another run is writing to it"):
        run_virtual(
            FanoutPattern.run(plan_of(range(3), f"--out-file {tmp_path}/out/"), run_context(fake))
        )
    other.close()
    assert fake.calls == []
    assert (tmp_path / "file").read_text() == "x"


def test_a_disk_that_fills_up_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no part takes stays in memory, and the run says so."""

    def full(path: Path, *rest: Any) -> None:
        if path.name != "part-00000.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_part(path, *rest)

    monkeypatch.setattr(part_folder, "write_part", full)
    run = ran(range(50), uneven, f"{LABELS} --out-file {tmp_path}/out/")
    [note] = run.notes
    assert note == (
        "--out-file: writing stopped after 16 results (No space left on device); the run holds the other 34 in memory"
    )
    assert list(run.results) == list(ran(range(50), uneven, LABELS).results)
    lines = (tmp_path / "out" / JOURNAL).read_text().splitlines()
    assert {json.loads(line)["index"] for line in lines} >= {
        record.index for record in run.results if record.index > 40
    }


def test_a_disk_that_has_room_again_gets_all_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed once is tried again, and nothing is said then."""
    failed = []

    def at_first(path: Path, *rest: Any) -> None:
        if not failed:
            failed.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        write_part(path, *rest)

    monkeypatch.setattr(part_folder, "write_part", at_first)
    run = ran(range(50), uneven, f"{LABELS} --out-file {tmp_path}/out/")
    assert run.notes == ()
    assert len(pq.read_table(tmp_path / "out")) == 50


def test_a_folder_that_is_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    """Later results are kept there; that the earlier ones are gone is told, not hidden."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        if task.index == 40:
            shutil.rmtree(tmp_path / "out")
        return Reply("good")

    run = ran(range(50), act, f"-c 1 {LABELS} --out-file {tmp_path}/out/")
    [note] = run.notes
    assert note.startswith("--out-file: 2 of 4 parts are gone from ")
    assert run["50"] == "good"
    assert len(run.succeeded) == 50
    run._repr_mimebundle_()
    with pytest.raises(ParallmError, match=r"part-00000.parquet of this run is no longer in"):
        run["1"]


def test_an_interrupted_map_keeps_what_is_done(tmp_path: Path) -> None:
    """It lies in parts, and a retry asks the rest."""
    stop = Stop()

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        if task.index == 30:
            stop("interrupted")
        return Reply("good")

    run = ran((n for n in range(3000)), act, f"-c 5 {LABELS} --out-file {tmp_path}/out/", stop=stop)
    assert 25 <= len(run.succeeded) < 40
    assert len(run) == len(run.results)
    assert len(pq.read_table(tmp_path / "out")) == len(run.results)
    assert any("retry" in note for note in run.notes)


def test_too_few_successes_are_an_error_with_every_record(tmp_path: Path) -> None:
    """As in memory, word for word."""
    errors = []
    for line in ("--min-success 99%", f"--min-success 99% --out-file {tmp_path}/out/"):
        with pytest.raises(TooFewSucceeded) as caught:
            ran(range(50), uneven, line)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    assert list(errors[0].records) == list(errors[1].records)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (f"{CELL}\n%guardrail\nIs it safe?", "--min-success 0"),
        (f"{CELL}\n%synthesis\nMerge {{{{outputs}}}}", ""),
        (f"%section a -n 3 --choices good,bad\n{CELL}", ""),
    ],
    ids=["guard", "synthesis", "votes"],
)
def test_what_needs_all_results_holds_them_and_says_so(
    body: str, line: str, tmp_path: Path
) -> None:
    """The parts are written all the same."""
    run = ran(range(20), answer(0.1, "good"), f"{line} --out-file {tmp_path}/out/", body)
    assert not isinstance(run, StoredFanoutRun)
    assert any("holds all results in memory" in note for note in run.notes)
    table = pq.read_table(tmp_path / "out")
    roles = dict(zip(table["index"].to_pylist(), table["role"].to_pylist(), strict=True))
    workers = [at for at, role in roles.items() if role == "worker"]
    assert sorted(workers) == [record.index for record in run.results]


def test_of_too_many_results_no_frame_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how to read them."""
    module = sys.modules[StoredFanoutRun.__module__]
    monkeypatch.setattr(module, "MOST_HELD", 10)
    run = ran(range(20), answer(0.1, "good"), f"{LABELS} --out-file {tmp_path}/out/")
    with pytest.raises(ParallmError, match=r"pandas.read_parquet\("):
        run.to_pandas()
    for much in (run.to_dict, lambda: run.text):
        with pytest.raises(ParallmError, match="would hold all 20 results in memory"):
            much()


def test_no_part_is_read_before_somebody_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How a run ended, and what is told of it, is known without: ten million answers stay where they are."""
    monkeypatch.setattr(part_folder, "ROWS_A_PART", 10)
    read: list[Path] = []

    def reading(path: Path, group: int, made: object) -> list[Record]:
        read.append(path)
        return read_group(path, group, lambda place, value: value)

    monkeypatch.setattr(stored_records, "read_group", reading)
    run = ran(range(50), answer(0.1, "good"), f"{LABELS} --out-file {tmp_path}/out/")
    assert (len(run.succeeded), run.seconds > 0, open_in_batches(run.results)) == (50, True, {})
    assert not read
    assert run["49"] == "good"
    assert len(read) == 1


def test_a_result_costs_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 120 bytes for each further item, whatever its answer; in memory it would be some 2,000."""
    monkeypatch.setattr(part_folder, "ROWS_A_PART", 500)
    monkeypatch.setattr(sample_counts, "_BUCKETS", 0x3F)  # as full as after millions

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(0.1)
        return Reply("good " * 100, usage=Usage(10, 0, 0, 2))

    def held(count: int) -> int:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        run = ran((n for n in range(count)), act, f"-c 200 --out-file {tmp_path}/{count}/")
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
        assert len(run.results) == count
        return taken

    tracemalloc.start()
    try:
        held(500)
        few, many = held(1_000), held(4_000)
    finally:
        tracemalloc.stop()
    assert (many - few) / 3_000 < 120
