"""A replay shows a run again as it was, failures and early ends included, and asks nobody."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import USED, Act, Fake, answer, by_name, failing, run_context
from judges import choosing, saying
from virtual_time import run_virtual

from parallm_magics import RecordingMissing, fanout, vote
from parallm_magics.api import PATTERNS
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.plan import Plan, make_plan
from parallm_magics.core.provider import Heard, Reply
from parallm_magics.core.tasks import Model, Record, Task
from parallm_magics.errors import UnfinishedError
from parallm_magics.patterns.fanout import FanoutPattern
from parallm_magics.patterns.vote import VotePattern
from parallm_magics.recordings.store import Recordings

SECTIONS = "about this\n%section a\nA\n%section b\nB\n%section c\nC\n"
MERGED = f"{SECTIONS}%synthesis\nMerge.\n"
GUARDED = "about this\n%section a\nA\n%section b\nB\n%guardrail g\nMay it?\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the recordings; not there yet."""
    return tmp_path / "answers.jsonl"


def planned(head: str, body: str) -> Plan:
    """The plan of a cell whose model is the fake one."""
    magic, _, line = head.partition(" ")
    cell = parse(magic, f"{line} -m fake:m", body)
    plan = make_plan(cell, {"docs": ["x", "y", "x"]}, lambda text: Model(*text.split(":", 1)))
    PATTERNS[plan.pattern].check(plan)
    return plan


def nobody(task: Task, heard: Heard) -> Any:
    """A provider that must not be asked."""
    raise AssertionError(f"{task.name} was asked in a replay")


def run(plan: Plan, act: Act, store: Recordings, before: Any = None) -> tuple[Any, str]:
    """The run, and the error that it ended in."""
    runner: Any = VotePattern.run if plan.magic == "vote" else FanoutPattern.run
    around = run_context(Fake(act), recordings=store)
    try:
        return run_virtual(runner(plan, around, before)).result, ""
    except UnfinishedError as error:
        return error.run, str(error)


def as_asked(run: Any) -> list[Record]:
    """The records as if all had been asked just now."""
    return [replace(record, replayed=False) for record in run.results]


def same(first: Any, second: Any) -> None:
    """The second run shows what the first one did."""
    assert as_asked(second) == as_asked(first)
    assert second.to_dict() == first.to_dict()
    assert second._repr_mimebundle_() == first._repr_mimebundle_()


def timed(*answers: tuple[float, str]) -> Act:
    """Each voter answers after its own time."""

    async def act(task: Task, heard: Heard) -> Reply:
        seconds, text = answers[task.index % len(answers)]
        await asyncio.sleep(seconds)
        heard(text)
        return Reply(text, usage=USED)

    return act


def beside(guards: dict[str, Act], other: Act) -> Act:
    """Guards by their names, beside the work."""
    return by_name(guards, other)


def judged(judge: Callable[[str], str], *texts: str) -> Act:
    """Voters that say these texts, and a judge."""

    async def act(task: Task, heard: Heard) -> Reply:
        await asyncio.sleep(1 + task.index % 7 / 10)
        text = judge(task.prompt) if task.name.startswith("judge") else texts[task.index]
        return Reply(text, usage=USED)

    return act


YES, NO = "ANSWER: yes", "ANSWER: no"
FIVE = timed((1, YES), (4, NO), (2, YES), (3, YES), (9, NO))
RUNS: dict[str, tuple[str, str, Act]] = {
    "sections": ("fanout", SECTIONS, answer()),
    "synthesis": ("fanout", MERGED, answer()),
    "the synthesis fails": (
        "fanout",
        MERGED,
        by_name({"synthesis": failing("server", 9)}, answer()),
    ),
    "a section times out": ("fanout", SECTIONS, by_name({"b": answer(99)}, answer())),
    "a section is unreadable": (
        "fanout --choices yes,no",
        SECTIONS,
        by_name({"b": answer(text="perhaps")}, answer(text=YES)),
    ),
    "too few": ("fanout --min-success 3", SECTIONS, by_name({"b": failing("server", 9)}, answer())),
    "items": ("fanout --each docs", "{{item}}", answer()),
    "places": ("fanout -c 1", SECTIONS, answer()),
    "a section is a vote": (
        "fanout",
        "%section a -n 3 --choices yes,no\nA\n%section b\nB",
        timed((1, YES), (2, NO), (3, YES), (1, "b")),
    ),
    "vote": ("vote -n 5 --choices yes,no", "Is it?", FIVE),
    "a vote with losses": (
        "vote -n 5 --choices yes,no",
        "Is it?",
        by_name({"v2": failing("server", 9), "v3": answer(99), "v4": answer(text="?")}, FIVE),
    ),
    "clinch": ("vote -n 5 --choices yes,no --stop clinch", "Is it?", FIVE),
    "clinch, two at once": ("vote -n 5 -c 2 --choices yes,no --stop clinch", "Is it?", FIVE),
    "clinch after a loss": (
        "vote -n 5 --choices yes,no --stop clinch",
        "Is it?",
        by_name({"v1": failing("server", 9)}, FIVE),
    ),
    "clinch by majority of weights": (
        "vote --choices yes,no --stop clinch --pick weighted",
        "%voter a --weight 3\nA\n%voter b\nB\n%voter c\nC",
        FIVE,
    ),
    "lazy": ("vote -n 5 --choices yes,no --launch lazy", "Is it?", FIVE),
    "beta": ("vote -n 9 --choices yes,no --stop beta:0.9", "Is it?", FIVE),
    "judge": ("vote -n 3", "Which?\n%judge\nThe best.", judged(choosing("two"), "one", "two", "3")),
    "a judge asked twice": (
        "vote -n 2",
        "Which?\n%judge\nThe best.",
        judged(saying(["-", "two", "two", "two"]), "one", "two"),
    ),
    "a judge without a verdict": (
        "vote -n 2",
        "Which?\n%judge\nThe best.",
        judged(saying("----"), "one", "two"),
    ),
    "a tie for the judge": (
        "vote -n 2 --choices yes,no --ties judge",
        "Is it?\n%judge\nThe best.",
        judged(choosing("no"), YES, NO),
    ),
    "guard passes": ("fanout", GUARDED, beside({"g": answer(2, "ANSWER: ALLOW")}, answer())),
    "guard blocks after the work": (
        "fanout",
        GUARDED,
        beside({"g": answer(2, "rude\nANSWER: BLOCK")}, answer()),
    ),
    "guard blocks before the work": (
        "fanout",
        GUARDED,
        beside({"g": answer(0.5, "rude\nANSWER: BLOCK")}, answer()),
    ),
    "guard blocks work that waits": (
        "fanout -c 2",
        GUARDED,
        beside({"g": answer(0.5, "rude\nANSWER: BLOCK")}, answer()),
    ),
    "guard fails": ("fanout", GUARDED, beside({"g": failing("server", 9)}, answer())),
    "guard fails and may": (
        "fanout",
        GUARDED.replace("%guardrail g", "%guardrail g --on-error pass"),
        beside({"g": failing("server", 9)}, answer()),
    ),
    "two guards": (
        "fanout",
        f"{GUARDED}%guardrail h\nAnd this?\n",
        beside({"g": answer(3, "ANSWER: ALLOW"), "h": answer(0.5, "ANSWER: BLOCK")}, answer()),
    ),
    "a guard of three": (
        "vote -n 3 --choices yes,no",
        "Is it?\n%guardrail g -n 3\nMay it?",
        beside({f"g.{n}": answer(n, "ANSWER: ALLOW") for n in (1, 2, 3)}, answer(text=YES)),
    ),
    "a guard beside a clinch": (
        "vote -n 5 --choices yes,no --stop clinch",
        "Is it?\n%guardrail g\nMay it?",
        beside({"g": answer(2.5, "ANSWER: BLOCK")}, FIVE),
    ),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_replay_shows_the_run_again(path: Path, kind: str) -> None:
    """Records, dict, html and plain text are the same, and so is the error that it ended in."""
    head, body, act = RUNS[kind]
    first, problem = run(planned(head, body), act, Recordings(path))
    second, again = run(planned(head, body), nobody, Recordings(path, "replay"))
    same(first, second)
    assert again == problem


SIMULATED: dict[str, Any] = {
    "sections": lambda m: fanout(MERGED, model=m),
    "failures": lambda m: fanout("x", n=9, model=f"{m}&fail=0.4", min_success=0),
    "clinch": lambda m: vote("Is it?", n=5, choices="yes,no", model=m, stop="clinch"),
    "clinch of two": lambda m: vote(
        "Is it?", n=5, choices="yes,no", model=m, stop="clinch", concurrency=2
    ),
    "lazy": lambda m: vote("Is it?", n=5, choices="yes,no", model=m, launch="lazy"),
    "beta": lambda m: vote("Is it?", n=9, choices="yes,no", model=m, stop="beta:0.9"),
    "judge": lambda m: vote("Which?\n%judge\nBest.", n=3, model=m),
    "blocked": lambda m: fanout(GUARDED, model=f"{m}&truth=BLOCK&accuracy=1"),
    "passed": lambda m: fanout(GUARDED, model=f"{m}&truth=ALLOW&accuracy=1"),
    "blocked vote": lambda m: vote(
        f"Is it?\n%guardrail g -m {m}&truth=BLOCK&accuracy=1\nMay it?",
        n=5,
        choices="yes,no",
        stop="clinch",
        model=m,
    ),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", SIMULATED)
def test_a_simulated_run_replays(
    path: Path, kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was ended early, of which not every call was made."""
    model = f"sim:m{seed}?scale=0&latency=lognormal(1,0.8)"
    monkeypatch.setenv("PARALLM_RECORDINGS", str(path))
    first = asyncio.run(SIMULATED[kind](model))
    monkeypatch.setenv("PARALLM_RECORDINGS", f"replay:{path}")
    same(first, asyncio.run(SIMULATED[kind](model)))


def test_a_retry_replays_what_it_came_to(path: Path) -> None:
    """A failure that was asked again stays a failure in the first run, and is mended in the second."""
    plan = planned("fanout", SECTIONS)
    act = by_name({"b": failing("bad_request", 2)}, answer())
    store = Recordings(path)
    failed, _ = run(plan, act, store)

    async def further(before: Any, times: int, store: Recordings, act: Act) -> list[Any]:
        found = []
        for turn in range(1, times + 1):
            around = run_context(Fake(act), recordings=store)
            before = await FanoutPattern.run(plan, around, before, turn)
            found.append(before)
        return found

    tries = run_virtual(further(failed, 2, store, act)).result
    assert [len(each.failed) for each in (failed, *tries)] == [1, 1, 0]
    replayed = Recordings(path, "replay")
    again, _ = run(plan, nobody, replayed)
    same(failed, again)
    for first, second in zip(
        tries, run_virtual(further(again, 2, replayed, nobody)).result, strict=True
    ):
        assert second.to_dict() == first.to_dict()


def test_n_votes_replay_as_n_answers(path: Path) -> None:
    """Repeats of one prompt are entries of their own."""
    texts = [f"answer {n}" for n in range(5)]
    plan = planned("vote -n 5", "Which?")
    run(plan, timed(*((1, text) for text in texts)), Recordings(path))
    again, _ = run(plan, nobody, Recordings(path, "replay"))
    assert [record.text for record in again.results] == texts


def test_the_last_outcome_is_replayed(path: Path) -> None:
    """What was asked again and failed is a failure now; `auto` still has the answer before it."""
    plan = planned("fanout", "%section a\nA")
    run(plan, answer(text="fine"), Recordings(path))
    failed, _ = run(plan, failing("server", 9), Recordings(path, "refresh"))
    assert failed.failed
    replayed, _ = run(plan, nobody, Recordings(path, "replay"))
    same(failed, replayed)
    auto, _ = run(plan, nobody, Recordings(path))
    assert auto["a"] == "fine"


# --- what is not recorded -------------------------------------------------------------------------


def missed(path: Path, head: str, body: str) -> str:
    """The error of a replay."""
    with pytest.raises(RecordingMissing) as caught:
        run(planned(head, body), nobody, Recordings(path, "replay"))
    return re.sub(r"nearest is line \d", "nearest is line N", str(caught.value))


@pytest.mark.parametrize(
    ("head", "body", "told"),
    [
        pytest.param(
            "fanout",
            SECTIONS.replace("B", "Be"),
            "b: not recorded in 'answers.jsonl': the nearest is line N (b), with a different prompt: 'about "
            "this\\n\\nB' is now 'about this\\n\\nBe'. To record it: %parallm recordings ",
            id="prompt",
        ),
        pytest.param(
            "fanout",
            SECTIONS.replace("about this", "about that"),
            "a: not recorded in 'answers.jsonl', nor are 2 more of its cell: the nearest is line N "
            "(a), with a different prompt: 'about this\\n\\nA' is now 'about that\\n\\nA'.",
            id="preamble",
        ),
        pytest.param(
            "fanout",
            SECTIONS.replace("%section c", '%section c --system "be kind"'),
            "c: not recorded in 'answers.jsonl': the nearest is line N (c), with a different system: "
            'none is now "be kind".',
            id="system prompt",
        ),
        pytest.param(
            "fanout --max-tokens 100 -t 0.5",
            SECTIONS,
            "with a different temperature: none is now 0.5; also different: max_tokens.",
            id="options",
        ),
        pytest.param(
            "fanout",
            SECTIONS.replace("%section c", "%section c -m fake:n"),
            "with a different model: 'm' is now 'n'.",
            id="model",
        ),
        pytest.param(
            "fanout",
            "about this\n\nA\n%guardrail g\nMay it?",
            "g: not recorded",
            id="a guard that is new",
        ),
    ],
)
def test_a_miss_says_what_differs(path: Path, head: str, body: str, told: str) -> None:
    """It names the worker, the nearest entry, the field, and the words of a prompt."""
    run(planned("fanout", SECTIONS), answer(), Recordings(path))
    assert told in missed(path, head, body)


def test_a_miss_of_one_more_vote_says_so(path: Path) -> None:
    """Not the request is new, but how often it is made."""
    run(planned("vote -n 3 --choices yes,no", "Is it?"), FIVE, Recordings(path))
    told = missed(path, "vote -n 5 --choices yes,no", "Is it?")
    assert (
        "nor is 1 more of its cell: 3 answers to this request are recorded, but not number 4"
        in told
    )


def test_an_edited_answer_is_a_miss(path: Path) -> None:
    """It is not taken for what a model said; the line is named."""
    run(planned("fanout", SECTIONS), answer(), Recordings(path))
    path.write_text(path.read_text().replace('"fine"', '"finer"', 1))
    told = missed(path, "fanout", SECTIONS)
    assert told.startswith("a: not recorded in 'answers.jsonl': the nearest is line N (")
    assert "; line 1 is damaged." in told


def test_without_a_file_the_miss_says_so(path: Path) -> None:
    """And an empty one likewise."""
    assert ": there is no such file." in missed(path, "fanout", SECTIONS)
    path.touch()
    assert ": it contains no recordings." in missed(path, "fanout", SECTIONS)


def test_a_miss_shows_no_key(path: Path) -> None:
    """A difference may be one."""
    run(planned("fanout", SECTIONS), answer(), Recordings(path))
    told = missed(path, "fanout", SECTIONS.replace("B", "sk-ant-api03-" + "x1Y2" * 12))
    assert "x1Y2" not in told


def test_of_a_long_map_the_first_miss_ends_the_run(path: Path) -> None:
    """Items that are read one by one are looked up one by one."""
    cell = parse("fanout", "--each docs -m fake:m", "{{item}}")
    for store, act in ((Recordings(path), answer()), (Recordings(path, "replay"), nobody)):
        count = 20 if act is nobody else 10
        docs = (f"item {n}" for n in range(count))
        plan = make_plan(cell, {"docs": docs}, lambda text: Model(*text.split(":", 1)))
        around = run_context(Fake(act), recordings=store)
        if act is not nobody:
            run_virtual(FanoutPattern.run(plan, around))
            continue
        with pytest.raises(
            RecordingMissing, match=r"with a different prompt: 'item .' is now 'item 10'"
        ):
            run_virtual(FanoutPattern.run(plan, around))


# --- prune ----------------------------------------------------------------------------------------


def test_a_prune_takes_out_what_is_served_no_more(path: Path) -> None:
    """Old requests, outcomes that were replaced and damaged lines go; a replay is as before."""
    run(
        planned("fanout", SECTIONS),
        by_name({"b": failing("server", 9)}, answer()),
        Recordings(path),
    )
    run(planned("fanout", "%section old\nold"), answer(), Recordings(path))
    with open(path, "ab") as file:
        file.write(b'{"half a line\n')
    store = Recordings(path)
    first, _ = run(planned("fanout", SECTIONS), answer(), store)
    before = path.read_bytes()
    pruned = store.prune()
    assert (pruned.kept, pruned.dropped) == (3, 3)
    assert pruned.backup is not None
    assert pruned.backup.read_bytes() == before
    assert store.prune() == (3, 0, None), "nothing more to take out, and no backup of that"
    left = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((entry["worker"], entry["status"]) for entry in left) == [
        ("a", "ok"),
        ("b", "ok"),
        ("c", "ok"),
    ]
    again, _ = run(planned("fanout", SECTIONS), nobody, Recordings(path, "replay"))
    same(again, run(planned("fanout", SECTIONS), nobody, store)[0])
    assert as_asked(again) == as_asked(first)


def test_a_prune_keeps_what_others_add_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another kernel may write to the old file until it is replaced."""
    import os

    store, other = Recordings(path), Recordings(path)
    run(planned("fanout", "%section old\nold"), answer(), other)
    run(planned("fanout", SECTIONS), answer(), store)
    replaced = os.replace

    def late(*paths: Any) -> None:
        run(planned("fanout", "%section late\nlate"), answer(), other)
        replaced(*paths)

    monkeypatch.setattr(os, "replace", late)
    store.prune()
    monkeypatch.undo()
    for body in (SECTIONS, "%section late\nlate"):
        assert not run(planned("fanout", body), nobody, Recordings(path, "replay"))[1]


def test_a_prune_loses_no_line_of_whoever_has_opened_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is written once more where the file was replaced before it came."""
    import os

    store, other = Recordings(path), Recordings(path)
    run(planned("fanout", "%section old\nold"), answer(), other)
    run(planned("fanout", SECTIONS), answer(), store)
    opened = os.open

    def slowly(*args: Any) -> int:
        file = opened(*args)
        monkeypatch.undo()
        store.prune()
        return file

    monkeypatch.setattr(os, "open", slowly)
    run(planned("fanout", "%section late\nlate"), answer(), other)
    for body in (SECTIONS, "%section late\nlate"):
        assert not run(planned("fanout", body), nobody, Recordings(path, "replay"))[1]


def test_a_second_prune_keeps_the_first_ones_backup(path: Path) -> None:
    """What was taken out is lost by no later prune."""
    run(planned("fanout", "%section old\nold"), answer(), Recordings(path))
    for body, name in (
        ("%section a\nA", "answers.jsonl.bak"),
        ("%section b\nB", "answers.jsonl.bak2"),
    ):
        store = Recordings(path)
        run(planned("fanout", body), answer(), store)
        before = path.read_bytes()
        pruned = store.prune()
        assert pruned.backup is not None
        assert (pruned.backup.name, pruned.backup.read_bytes()) == (name, before)
    assert b"old" in path.with_name("answers.jsonl.bak").read_bytes()


def test_a_prune_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says why, and nothing is left beside the file but the backup."""
    import os

    from parallm_magics import ParallmError

    run(planned("fanout", "%section old\nold"), answer(), Recordings(path))
    store = Recordings(path)
    run(planned("fanout", SECTIONS), answer(), store)
    before = path.read_bytes()

    def full(*paths: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        ParallmError, match=r"cannot be pruned \(No space left on device\); it was not"
    ):
        store.prune()
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "answers.jsonl",
        "answers.jsonl.bak",
    ]
