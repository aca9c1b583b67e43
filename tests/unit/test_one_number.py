"""One number, one meaning: object, plain data, frame, page, recording and program say the same."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from asking import served
from fakes import Fake, run_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from virtual_time import run_virtual

from parallm_magics import FanoutRun, VoteRun, display
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import CallFailed, Heard, Reply
from parallm_magics.core.tasks import Fault, Model, Record, Task, Usage
from parallm_magics.export.program import program
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.providers import registry
from parallm_magics.recordings.store import Recordings
from parallm_magics.voting import label_of

Run = FanoutRun | VoteRun
MODELS = {"dear": Model("anthropic", "claude-haiku-5-5"), "odd": Model("fake", "odd")}


@dataclass(frozen=True)
class End:
    """How a call ends: what it says or why it says nothing, when, and after how many 429."""

    said: str
    seconds: float
    waits: int
    used: Usage | None


LABELS = st.sampled_from(["ANSWER: safe", "ANSWER: unsafe", "as it is.\nANSWER: safe"])
ODD = st.sampled_from(["hm", " ", "!", "?", "…"])
ENDS = st.builds(
    End,
    LABELS | LABELS | ODD,
    st.integers(1, 80).map(lambda tenths: tenths / 10),
    st.sampled_from([0, 0, 0, 1]),
    st.none() | st.builds(Usage, *[st.integers(0, 900)] * 4),
)
SPELLINGS = st.sampled_from(["Safe", "safe", "SAFE.", "unsafe", "Unsafe", "**safe**"])
GUARD = "\n%guardrail\nMay it? BLOCK or ALLOW."


@dataclass(frozen=True)
class Case:
    """A cell and how each of its calls ends."""

    magic: str
    line: str
    body: str
    ends: tuple[End, ...]

    def plan(self) -> Plan:
        """The plan of the cell."""
        docs = [f"text number {at}" for at in range(1, 5)]
        line = f"--min-success 0 --retries 0 {self.line}"
        cell = parse(self.magic, line, self.body)
        return make_plan(cell, {"docs": docs}, MODELS.__getitem__, {"model": ("dear",)})

    def end(self, task: Task) -> End:
        """The end of a call: of each worker another one, of guard, judge and synthesis too."""
        return self.ends[(task.index + 3 * task.index.bit_length()) % len(self.ends)]


def words_of(task: Task, end: End) -> str:
    """What a call says: judges and guards have words of their own."""
    if task.role == "judge":
        return '{"winner": 1, "reason": "so"}'
    if task.role == "guard":
        return "ANSWER: BLOCK" if end.said == "ANSWER: unsafe" else "ANSWER: ALLOW"
    return end.said


def acting(case: Case) -> Fake:
    """A provider that ends the calls as the case says."""
    seen: Counter[str] = Counter()

    async def act(task: Task, heard: Heard) -> Reply:
        end = case.end(task)
        seen[task.name] += 1
        if seen[task.name] <= end.waits:
            raise CallFailed(Fault("rate_limit", "slow down", retry_after=1.0), usage=Usage())
        await asyncio.sleep(end.seconds)
        said = words_of(task, end)
        if said == "!":
            raise CallFailed(Fault("bad_request", "no"), usage=Usage())
        if said == "?":
            await asyncio.sleep(10_000)
        heard(said)
        return Reply(said, finish="length" if said == "…" else "stop", usage=end.used)

    return Fake(act)


def ran(case: Case, path: Path, mode: Any = "auto") -> Run:
    """The case's run, recorded there or served from there."""
    plan, store = case.plan(), Recordings(path, mode)
    function: Any = VotePattern.run if case.magic == "vote" else FanoutPattern.run
    try:
        found: Run = run_virtual(function(plan, run_context(acting(case), recordings=store))).result
    finally:
        store.close()
    return found


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A fan-out, a map or a vote, with or without what comes beside and after it."""
    kind = draw(st.sampled_from(["sections", "labels", "map", "items", "vote", "open"]))
    n = draw(st.integers(1, 5))
    line = draw(st.sampled_from(["", "-c 1", "-c 2"]))
    models = "-m dear,odd" if n > 1 and draw(st.booleans()) else ""
    guard = GUARD if draw(st.booleans()) else ""
    after = ""
    if kind in ("vote", "open"):
        magic, body = "vote", "Is it?"
        choices = "--choices safe,unsafe" if kind == "vote" else ""
        rules = ["", "--pick majority", "--threshold 2/3", "--quorum 1", "--ties first"]
        rules += ["--stop clinch", "--pick judge"] if n > 1 else []
        rules += ["--pick any --flag unsafe"] if kind == "vote" else []
        rule = draw(st.sampled_from(rules))
        line += f" -n {n} {models} {choices} {rule}"
        body += "\n%judge -m dear" if "judge" in rule else ""
    elif kind in ("map", "items"):
        magic, body = "fanout", "About {{item}}"
        line += " --each docs" + (" --choices safe,unsafe" if kind == "map" else "")
    else:
        magic = "fanout"
        choices = " --choices safe,unsafe" if kind == "labels" else ""
        body = "\n".join(f"%section s{at}{choices}\nAsk {at}." for at in range(n))
    if magic == "fanout" and draw(st.booleans()):
        after = "\n%synthesis\nMerge."
    ends = st.builds(End, SPELLINGS, *[st.floats(0.1, 4), st.just(0), st.just(Usage(3, 0, 0, 2))])
    told = draw(st.lists(ends if kind == "open" else ENDS, min_size=1, max_size=9))
    return Case(magic, line, body + guard + after, tuple(told))


@contextlib.contextmanager
def recorded() -> Iterator[Path]:
    """A file for recordings."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "answers.jsonl"


def extra(run: Run) -> list[Record]:
    """The calls beside and after the workers, in no order."""
    after = run.judgments if isinstance(run, VoteRun) else (run.synthesis,) if run.synthesis else ()
    return [*(record for guard in run.guards for record in guard.records), *after]


def numbers(run: Run) -> dict[str, Any]:
    """Every number of a run, as the object has it."""
    found: dict[str, Any] = {
        "seconds": run.seconds,
        "sequential_seconds": run.sequential_seconds,
        "sequential_at_most": run.sequential_at_most,
        "speedup": run.speedup,
        "cost": None if run.cost is None else float(run.cost),
        "cost_complete": run.cost_complete,
        "usage": run.usage.to_dict() if run.usage else None,
    }
    if isinstance(run, FanoutRun):
        return {**found, "values": {str(key): value for key, value in run.items()}}
    names = ("winner", "status", "agreement", "confidence", "share_requested", "margin", "p_mode")
    names += ("is_majority", "decided_after", "interval", "entropy", "flagged")
    return {**found, "tally": dict(run.tally), **{name: getattr(run, name) for name in names}}


def asked(record: Record) -> bool:
    """Whether a model was asked at all."""
    return bool(record.attempts) or record.seconds > 0 or record.ok


QUIET = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(cases())
def test_the_object_means_what_its_records_say(case: Case) -> None:
    """Seconds and money of all calls, the sum and the speed-up of the workers."""
    with recorded() as path:
        run = ran(case, path)
    workers = [record for record in run.results if asked(record)]
    calls = [*workers, *filter(asked, extra(run))]
    ends = [record.end for record in calls]
    assert run.seconds == pytest.approx(max(ends) - min(r.start for r in calls) if calls else 0)
    assert run.sequential_seconds == pytest.approx(sum(record.seconds for record in workers))
    costs = [record.cost for record in calls if record.cost is not None]
    assert run.cost == (sum(costs, Decimal()) if costs else None)
    assert run.cost_complete == (len(costs) == len(calls))
    lost = {"failed", "timed_out", "cancelled", "blocked"} & {r.status for r in run.results}
    if lost or not workers:
        assert run.speedup is None
    else:
        wall = max(r.end for r in workers) - min(r.start for r in workers)
        assert run.speedup == pytest.approx(run.sequential_seconds / wall)
    roles = {record.role for record in run.results} | {record.role for record in extra(run)}
    assert roles <= {"worker", "guard", "judge", "synthesis"}
    assert {record.role for record in run.results} == {"worker"}
    assert "worker" not in {record.role for record in extra(run)}


@QUIET
@given(cases())
def test_plain_data_and_frame_say_the_same(case: Case) -> None:
    """Every number of the object is in to_dict(), and rows add up to it."""
    with recorded() as path:
        run = ran(case, path)
    data = json.loads(json.dumps(run.to_dict()))
    mine = json.loads(json.dumps(numbers(run)))
    assert {name: data[name] for name in mine} == mine
    frame = run.to_pandas()
    assert frame["seconds"].sum() == pytest.approx(run.sequential_seconds, abs=1e-5)
    assert [*frame["status"]] == [record.status for record in run.results]
    if isinstance(run, FanoutRun):
        if "item" in frame and run.blocked is False:
            values = [None if value != value else value for value in frame["value"]]
            said = [row.value if row.value is not None else row.text for row in run.results]
            ok = [record.ok for record in run.results]
            expected = [value if good else None for value, good in zip(said, ok, strict=True)]
            assert [*run.values()] == expected
            assert values == [record.value for record in run.results]
    else:
        states = Counter(ballot.state for ballot in run.ballots)
        assert sum(states.values()) == len(frame)
        assert sum(run.tally.values()) == states["valid"] == run.valid
    beside = sum((r.cost for r in extra(run) if r.cost is not None), Decimal())
    total = float(frame["cost"].fillna(0).sum()) + float(beside)
    assert total == pytest.approx(float(run.cost or 0), abs=1e-9)


@QUIET
@given(cases())
def test_the_page_says_the_same(case: Case) -> None:
    """The seconds, the cost, the tokens and the counts that the object has.

    One by one counts every call of the run, those beside the workers too, against all of its seconds.
    """
    with recorded() as path:
        run = ran(case, path)
    plain, html = str(run), run._repr_mimebundle_()["text/html"]
    heading = " ".join(" ".join(plain.split("\n\n")[0].split("\n")).split())
    assert f" · {display.seconds(run.seconds)}" in heading
    for page in (" ".join(plain.split()), html):  # lines are wrapped where they must be
        told = re.findall(r"one by one: (at most )?([\w. ]+?), ([\d.]+) times faster", page)
        one_by_one = sum(record.seconds for record in (*run.results, *extra(run)) if asked(record))
        times = one_by_one / run.seconds if run.seconds else 0.0
        if told:
            most = "at most " if run.sequential_at_most else ""
            assert run.speedup is not None
            assert told == [(most, display.seconds(one_by_one), f"{times:.1f}")]
        else:
            assert run.speedup is None or times < 1.05
        assert run.cost is None or display.money(run.cost, run.cost_complete) in page
    # Texts that a judge chooses from are no votes, and have no bars.
    if isinstance(run, VoteRun) and not run.blocked and "judge" not in case.line:
        for label, votes in run.tally.items():
            assert re.search(
                rf"(?m)^{re.escape(label)} +[█·]+ +{votes} of {len(run.ballots)}", plain
            )
    if isinstance(run, FanoutRun) and not run.blocked and "--each docs --choices" in case.line:
        counts = Counter(run.values())
        assert f"safe {counts['safe']} · unsafe {counts['unsafe']}" in plain


@QUIET
@given(cases())
def test_a_replay_says_the_same(case: Case) -> None:
    """Nobody is asked, and no number differs."""
    with recorded() as path:
        first = ran(case, path)
        second = ran(case, path, "replay")
    assert numbers(second) == numbers(first)
    assert second.text == first.text
    assert [r.role for r in second.results] == [r.role for r in first.results]
    shown = [(r.key, r.item, r.temperature, r.effort, r.system) for r in first.results]
    assert [(r.key, r.item, r.temperature, r.effort, r.system) for r in second.results] == shown


@pytest.fixture(scope="module")
def _keys() -> Iterator[None]:
    """Keys, so that a program can make its clients; the odd model is on a server of the user's."""
    registry.define("fake", "http://127.0.0.1:9/v1")
    with served():
        yield
    registry.forget("fake")


@pytest.mark.usefixtures("_keys")
@QUIET
@given(cases())
def test_the_program_decides_the_same(case: Case) -> None:
    """Given the same answers it counts, reads and joins as the cell has done."""
    with recorded() as path:
        run = ran(case, path)
    after = "%synthesis" in case.body or "--pick judge" in case.line
    if run.blocked or after or "--stop" in case.line:
        return  # it asks, or leaves off, and has other answers then
    names: dict[str, Any] = {}
    source = program(case.plan()).rpartition("asyncio.run(main())")[0]
    exec(compile(source, "program", "exec"), names)  # noqa: S102
    texts = {record.name: record.text for record in run.results if record.ok}
    if isinstance(run, FanoutRun):  # an answer that nothing can be read from came back too
        texts |= {r.name: r.text for r in run.results if r.error and r.error.kind == "unreadable"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        result = names["result"](texts)
    if isinstance(run, VoteRun):
        winner, tally = re.fullmatch(r"(?s)winner: (.*)\ntally: (.*)", result).groups()  # type: ignore[union-attr]
        assert winner == (label_of(run.winner) if run.winner is not None else "None")
        assert sorted(ast.literal_eval(tally).values()) == sorted(run.tally.values())
        assert said.getvalue() == f"{run.valid} of {len(run.ballots)} votes could be read\n"
    elif any(section.value is not None for section in run.results):
        values = {key: run[key] for key in run if run[key] is not None}
        lines = [line for line in result.split("\n") if not line.endswith(": None")]
        assert lines == [f"{key}: {value}" for key, value in values.items()]
    elif not run.failed:
        assert result == (run.text or "").strip()
