"""Recordings: an answer comes back as it was, for the same request only, whatever happens to the file."""

from __future__ import annotations

import json
import os
import random
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallm_magics.core.tasks import Attempt, Fault, Model, Reading, Record, Task, Usage
from parallm_magics.errors import OptionError
from parallm_magics.providers import keys
from parallm_magics.recordings import codec as recording_lines
from parallm_magics.recordings import lines_file as recording_file
from parallm_magics.recordings.modes import forced, offline
from parallm_magics.recordings.request_key import key_of, request_of
from parallm_magics.recordings.store import Recordings, from_environment

REAL = Model("openai", "gpt-6-luna")
CANARY = "sk-CANARY-0123456789abcdef"
ANY_TEXT = st.text(st.characters(), max_size=40)  # lone surrogates and controls included
EXAMPLES = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def task(prompt: str = "Is it safe?", **fields: Any) -> Task:
    """A call of a real model."""
    return Task(**{"index": 0, "name": "w1", "model": REAL, "prompt": prompt, **fields})


def answer(asked: Task, text: str = "safe", **fields: Any) -> Record:
    """A success of that call, with every field filled."""
    known: dict[str, Any] = {
        "usage": Usage(10, 2, 3, 4),
        "cost": Decimal("0.0000125"),
        "saved": Decimal("-0.000001"),
        "start": 0.5,
        "queued": 0.25,
        "seconds": 1.5,
        "attempts": (Attempt("rate_limit", 0.5), Attempt("ok", 1.0)),
        "model_answered": "gpt-6-luna-2026",
        "finish": "stop",
        "request_id": "req_1",
    }
    return Record(asked.index, asked.name, "ok", str(asked.model), text, **{**known, **fields})


def failure(asked: Task, **fields: Any) -> Record:
    """A call that was tried in vain."""
    return Record(
        asked.index,
        asked.name,
        fields.pop("status", "failed"),
        str(asked.model),
        **{"attempts": (Attempt("server", 1.0),), "seconds": 1.0, **fields},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "answers.jsonl"


def filled(path: Path, count: int = 4) -> list[Task]:
    """A file with so many answers, each the number of its task."""
    store = Recordings(path)
    tasks = [task(f"question {number}") for number in range(count)]
    for number, each in enumerate(tasks):
        store.add(each, answer(each, f"answer {number}"))
    assert store.warnings == ()
    return tasks


def texts(store: Recordings, tasks: list[Task]) -> list[str | None]:
    """What is found for each."""
    return [found.text if (found := store.find(each)) else None for each in tasks]


# --- what comes back ------------------------------------------------------------------------------


def test_an_answer_comes_back_as_the_record_of_whoever_asks(path: Path) -> None:
    """All of it but the value, which is read again; place and name are the asker's."""
    store, asked = Recordings(path), task(index=3, name="risks")
    store.add(asked, answer(asked, value="safe"))
    other = replace(asked, index=7, name="security")
    expected = replace(answer(asked), index=7, name="security", replayed=True)
    assert store.find(other) == Recordings(path).find(other) == expected
    assert store.warnings == ()


def test_unknown_cost_usage_and_ids_stay_unknown(path: Path) -> None:
    """None is not zero."""
    asked = task()
    bare = Record(0, "w1", "ok", str(REAL), "safe", attempts=(Attempt("ok", 1.0),))
    Recordings(path).add(asked, bare)
    assert Recordings(path).find(asked) == replace(bare, replayed=True)


@EXAMPLES
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_texts_come_back_as_they_were(tmp_path: Path, prompt: str, system: str, text: str) -> None:
    """Whatever characters they hold; and they stay on one line of the file."""
    path = tmp_path / "texts.jsonl"
    path.unlink(missing_ok=True)
    asked = task(prompt, system=system)
    Recordings(path).add(asked, answer(asked, text))
    found = Recordings(path).find(asked)
    assert found is not None
    assert found.text == text
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ud83d\ude00", id="two halves of a character"),
        pytest.param("\ud83d\ud83d\ude00\ude00", id="halves around halves"),
        pytest.param("a\u2028b\u2029c\x85d", id="line separators"),
        pytest.param("\ufeff\x00\x1b[31m\x9b", id="controls"),
        pytest.param("\u202etxt.exe\u2066", id="turned text"),
        pytest.param("日本語 — Ä 😀", id="other scripts"),
    ],
)
def test_odd_texts_come_back(path: Path, text: str) -> None:
    """As asked and as answered."""
    asked = task(text)
    Recordings(path).add(asked, answer(asked, text))
    found = Recordings(path).find(asked)
    assert found is not None
    assert found.text == text


def test_a_line_can_be_read_by_a_person(path: Path) -> None:
    """Other scripts as they are, what tools break lines at or hide spelt out, no key."""
    asked = task("Grüße 日本\u2028", system="Kurz.", temperature=0.5, params={"top_p": 1})
    Recordings(path).add(asked, answer(asked, "Ä\u202e"))
    line = path.read_text(encoding="utf-8")
    assert "Grüße 日本\\u2028" in line
    assert "Ä\\u202e" in line
    entry = json.loads(line)
    assert entry["request"] == request_of(asked)
    assert list(entry)[:4] == ["schema", "key", "sample", "status"]
    assert entry["outcome"]["cost"] == "0.0000125"
    assert entry["outcome"]["priced"] == entry["recorded"][:10]
    assert entry["parallm_magics"]


# --- for whom -------------------------------------------------------------------------------------

CHANGES: dict[str, Any] = {
    "prompt": "Is it safe? ",
    "system": "",
    "temperature": 0.0,
    "effort": "low",
    "max_tokens": 4095,
    "sample": 1,
    "model": Model("openai", "gpt-6-terra"),
    "params": {"top_p": 1},
}
SIMULATED_CHANGES: dict[str, Any] = {
    "seed": 1,
    "name": "w2",
    "shared": "Is",
    "reading": Reading("choice", ("safe", "unsafe")),
    "truth": "unsafe",
}
SAME: dict[str, Any] = {
    "tier": "flex",
    "index": 5,
    "stream": False,
    "silence": 1.0,
    "first": 1.0,
    "deadline": 1.0,
    "retries": 0,
    "retry_timeouts": True,
    "begins": "x",
    "cache_key": "x",
    "role": "guard",
    "key": "x",
    "item": "x",
    "persona": "x",
    "questions": (),
}


def test_every_field_of_a_task_is_decided_upon() -> None:
    """A field that is added to Task has to be put into the key, or left out on purpose."""
    with_its_reading = {"enforced"}  # tests/unit/test_answer_formats.py
    assert {*CHANGES, *SIMULATED_CHANGES, *SAME, *with_its_reading} == set(Task.__slots__)


@pytest.mark.parametrize("field", CHANGES)
def test_another_request_is_a_miss(path: Path, field: str) -> None:
    """One changed field is enough."""
    store = Recordings(path)
    store.add(task(), answer(task()))
    assert store.find(replace(task(), **{field: CHANGES[field]})) is None


@pytest.mark.parametrize("field", SIMULATED_CHANGES)
def test_a_simulated_answer_depends_on_more(path: Path, field: str) -> None:
    """On the seed, the asker and the reading, which a real model never sees."""
    store = Recordings(path)
    for model, found in ((Model("sim", "a"), False), (REAL, True), (Model("mine", "a"), True)):
        asked = task(model=model)
        store.add(asked, answer(asked))
        changed = replace(asked, **{field: SIMULATED_CHANGES[field]})
        assert (store.find(changed) is not None) is found


@pytest.mark.parametrize("field", SAME)
@pytest.mark.parametrize("model", [REAL, Model("sim")], ids=str)
def test_when_an_answer_comes_does_not_matter(path: Path, field: str, model: Model) -> None:
    """Limits, retries, streaming and places are no part of the request."""
    store, asked = Recordings(path), task(model=model)
    store.add(asked, answer(asked))
    assert store.find(replace(asked, **{field: SAME[field]}))


def test_a_simulation_with_other_parameters_is_another() -> None:
    """In another order too: its draws depend on it."""
    queries = [(), (("a", "1"),), (("a", "1"), ("b", "2")), (("b", "2"), ("a", "1"))]
    asked = {key_of(request_of(task(model=Model("sim", "x", query)))) for query in queries}
    assert len(asked) == len(queries)


LOOKALIKES = [1, 1.0, True, "1", "true", [1], ["1"], {"1": 1}, float("nan"), "NaN", "null", "", 0]


def test_parameters_that_look_alike_differ() -> None:
    """1, 1.0, true and "1" are four requests; the order of parameters makes none."""
    asked = {key_of(request_of(task(params={"x": value}))) for value in LOOKALIKES}
    assert len(asked) == len(LOOKALIKES)
    assert None not in asked
    halves = [
        key_of(request_of(task(text))) for text in ("\ud83d\ude00", "😀", "\ud83d", "\ude00", "?")
    ]
    assert len(set(halves)) == len(halves)
    one, other = ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    assert key_of(request_of(task(params=one))) == key_of(request_of(task(params=other)))


VALUES = {
    "prompt": ANY_TEXT,
    "system": st.none() | ANY_TEXT,
    "temperature": st.none() | st.floats(),
    "effort": st.none() | ANY_TEXT,
    "max_tokens": st.integers(),
    "params": st.dictionaries(
        st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.floats(), max_size=1
    ),
    "model": st.builds(Model, st.sampled_from(["openai", "sim", "x"]), st.text(max_size=3)),
}


@EXAMPLES
@given(st.fixed_dictionaries(VALUES), st.sampled_from(sorted(VALUES)), st.data())
def test_no_two_requests_share_a_key(
    fields: dict[str, Any], changed: str, data: st.DataObject
) -> None:
    """Any field set to any other value."""
    other = {**fields, changed: data.draw(VALUES[changed])}
    same = repr(other) == repr(fields)
    assert (key_of(request_of(task(**fields))) == key_of(request_of(task(**other)))) is same


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"x", {1: 2, "1": 3}, 10**5000], ids=lambda v: type(v).__name__
)
def test_parameters_without_a_json_form_are_not_recorded(path: Path, value: object) -> None:
    """Nor do they fail, and it is said once."""
    store, asked = Recordings(path), task(params={"x": value})
    for _ in range(2):
        store.add(asked, answer(asked))
        assert store.find(asked) is None
    assert len(store.warnings) == 1
    assert not path.exists()


# --- which outcomes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["truncated", "refused", "invalid", "failed", "timed_out", "cancelled", "blocked"]
)
def test_only_successes_are_found(path: Path, status: str) -> None:
    """Other outcomes are kept with their reason, and asked again; no later one hides an answer."""
    store, asked = Recordings(path), task()
    error = Fault("server", "overloaded", http=529)
    store.add(asked, failure(asked, status=status, error=error, text="half"))
    assert store.find(asked) is None
    entry = json.loads(path.read_text())
    assert entry["status"] == status
    assert entry["outcome"]["error"] == {"kind": "server", "message": "overloaded", "http": 529}
    assert entry["outcome"]["text"] == ("" if status == "blocked" else "half")
    store.add(asked, answer(asked, "first"))
    store.add(asked, answer(asked, "last"))
    store.add(asked, failure(asked, status=status))
    assert texts(store, [asked]) == texts(Recordings(path), [asked]) == ["last"]


@pytest.mark.parametrize(
    "record",
    [
        replace(answer(task()), replayed=True),
        failure(task(), status="cancelled", attempts=(), seconds=0.0),
        failure(task(), error=Fault("budget", "no money"), attempts=(), seconds=0.0),
        failure(task(), error=Fault("bad_item", "bytes"), attempts=(), seconds=0.0),
    ],
    ids=["replayed", "cancelled", "budget", "bad_item"],
)
def test_what_was_not_asked_now_is_not_recorded(path: Path, record: Record) -> None:
    """It is in the recordings already, or no call was made."""
    Recordings(path).add(task(), record)
    assert not path.exists()


def test_a_call_that_was_stopped_on_its_way_is_an_outcome(path: Path) -> None:
    """It has no finished try, yet it took time and may be billed."""
    Recordings(path).add(task(), failure(task(), status="cancelled", attempts=(), seconds=0.2))
    assert json.loads(path.read_text())["status"] == "cancelled"


# --- secrets --------------------------------------------------------------------------------------


def test_a_key_in_a_prompt_is_hidden_and_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every part of the request, by shape or because it was in use; the answer is found."""
    monkeypatch.setattr(keys._VAULT, "secrets", {"an-unusual-key"})
    store = Recordings(path)
    asked = [
        task(f"log in with {CANARY}"),
        task("a\nan-unusual-key", name=CANARY),
        task(system=CANARY),
        task(params={"deep": [{"er": CANARY}]}),
        task(params={CANARY: 1}),
    ]
    for each in asked:
        store.add(each, answer(each))
    assert texts(Recordings(path), asked) == ["safe"] * 5
    assert "CANARY" not in path.read_text()
    assert "unusual" not in path.read_text()
    assert [warning for warning in store.warnings if "plain text" in warning] == [*store.warnings]
    assert len(store.warnings) == 1


def test_an_answer_with_a_key_is_not_recorded(path: Path) -> None:
    """Hidden, it would be another answer."""
    store = Recordings(path)
    for _ in range(2):
        store.add(task(), answer(task(), f"use {CANARY}"))
    assert not path.exists()
    assert store.find(task()) is None
    assert len(store.warnings) == 1
    assert "CANARY" not in store.warnings[0]


def test_a_key_in_a_reason_is_hidden(path: Path) -> None:
    """A message may echo it; nobody has to be warned of that."""
    store = Recordings(path)
    store.add(task(), failure(task(), error=Fault("auth", f"bad key {CANARY}")))
    assert "bad key [key]" in path.read_text()
    assert store.warnings == ()


# --- damage ---------------------------------------------------------------------------------------


def test_a_file_that_is_cut_anywhere_serves_what_is_whole(path: Path) -> None:
    """And what is added after the torn line is found."""
    tasks = filled(path, 2)
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    fresh = task("fresh")
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        store = Recordings(path)
        count = sum(end - 1 <= cut for end in ends)  # a line is whole without its newline
        assert texts(store, tasks) == [f"answer {n}" if n < count else None for n in range(2)]
        assert store.warnings == ()
        store.add(fresh, answer(fresh, "new"))
        expected = [*(f"answer {n}" for n in range(count)), "new"]
        assert texts(Recordings(path), [*tasks[:count], fresh]) == expected
        assert texts(store, [*tasks[:count], fresh]) == expected


def test_flipped_bits_make_a_miss_and_one_warning(path: Path) -> None:
    """Never another answer, never an exception."""
    tasks = filled(path)
    whole = path.read_bytes()
    numbers = random.Random(1)
    for _ in range(1000):
        at, bit = numbers.randrange(len(whole) - 1), 1 << numbers.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        store = Recordings(path)
        found = texts(store, tasks)
        assert all(text in (None, f"answer {n}") for n, text in enumerate(found))
        assert 1 <= found.count(None) <= 2  # a flipped newline joins two lines
        assert len(store.warnings) == 1
        assert "line " in store.warnings[0]


def test_damage_after_the_first_look_is_a_miss(path: Path) -> None:
    """The checksum is looked at whenever an answer is taken."""
    tasks = filled(path)
    store = Recordings(path)
    store.find(tasks[0])
    path.write_bytes(path.read_bytes().replace(b'"answer 2"', b'"answer 9"'))
    assert texts(store, tasks) == ["answer 0", "answer 1", None, "answer 3"]
    assert "line 3 is damaged" in store.warnings[0]


def test_the_warning_names_three_lines_at_most(path: Path) -> None:
    """And says how many there are."""
    filled(path, 1)
    with path.open("a") as file:
        file.write("x\n\n" * 5)
    store = Recordings(path)
    store.find(task())
    (told,) = store.warnings
    assert "lines 2, 4, 6, … (5 in all) are damaged and skipped" in told


def conflicted(whole: bytes) -> bytes:
    """The file after a merge that nobody finished."""
    first, second, *rest = whole.splitlines(keepends=True)
    return b"".join([b"<<<<<<< HEAD\n", first, b"=======\n", second, b">>>>>>> b\n", *rest])


def reformatted(whole: bytes) -> bytes:
    """The file after an editor has put blanks between the fields and escaped other scripts."""
    lines = [json.dumps(json.loads(line)) for line in whole.decode().splitlines()]
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        pytest.param(lambda whole: whole.replace(b"\n", b"\r\n"), None, id="autocrlf"),
        pytest.param(lambda whole: b"\xef\xbb\xbf" + whole, None, id="BOM"),
        pytest.param(lambda whole: whole.replace(b"\n", b"\n\n \n"), None, id="blank lines"),
        pytest.param(bytes.rstrip, None, id="last newline stripped"),
        pytest.param(reformatted, None, id="reformatted"),
        pytest.param(conflicted, "lines 1, 3, 5 are damaged", id="merge conflict"),
    ],
)
def test_what_tools_do_to_the_file_is_read_well(path: Path, edit: Any, told: str | None) -> None:
    """Or the lines are named; and it can be added to."""
    tasks = filled(path)
    path.write_bytes(edit(path.read_bytes()))
    store, fresh = Recordings(path), task("Ä")
    store.add(fresh, answer(fresh, "new"))
    expected = ["answer 0", "answer 1", "answer 2", "answer 3", "new"]
    assert texts(store, [*tasks, fresh]) == expected
    assert texts(Recordings(path), [*tasks, fresh]) == expected
    assert [told in warning for warning in store.warnings if told] == [True] * bool(told)
    assert bool(store.warnings) is bool(told)


FORGED: dict[str, Any] = {
    "text": ["x"],
    "cost": "1e999999999",
    "saved": "NaN",
    "seconds": float("inf"),
    "start": "0",
    "queued": -1,
    "attempts": [["ok", 1]],
    "usage": {"input_tokens": True},
    "finish": 1,
    "model_answered": {},
    "request_id": [],
}


@pytest.mark.parametrize("field", FORGED)
def test_a_forged_line_is_a_damaged_one(path: Path, field: str) -> None:
    """The file may be somebody else's: a right checksum makes no right type."""
    tasks = filled(path, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    entry = json.loads(lines[1])
    del entry["sum"]
    entry["outcome"][field] = FORGED[field]
    path.write_bytes(lines[0] + recording_lines.line_of(entry))
    store = Recordings(path)
    assert texts(store, tasks) == ["answer 0", None]
    assert texts(store, tasks) == ["answer 0", None]
    assert len(store.warnings) == 1
    assert "line 2 is damaged" in store.warnings[0]


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"schema":' + b"9" * 5000, b"\xff\xfe\x00", b"null", b"{}"]
)
def test_a_hostile_line_is_skipped(path: Path, line: bytes) -> None:
    """Depth, size and bytes that are no text."""
    tasks = filled(path, 1)
    path.write_bytes(line + b"\n" + path.read_bytes())
    store = Recordings(path)
    assert texts(store, tasks) == ["answer 0"]
    assert "line 1 is damaged" in store.warnings[0]


@pytest.mark.parametrize("content", [b'{\n "cells": []\n}\n', b"notes", b"\xef\xbb\xbfa,b\n1,2\n"])
def test_a_file_of_another_kind_is_left_alone(path: Path, content: bytes) -> None:
    """A mistaken name must not cost the user a notebook."""
    path.write_bytes(content)
    store = Recordings(path)
    assert store.find(task()) is None
    store.add(task(), answer(task()))
    assert path.read_bytes() == content
    assert len(store.warnings) == 1
    assert "the file contains no recordings" in store.warnings[0]


# --- newer versions -------------------------------------------------------------------------------


def newer(line: bytes) -> bytes:
    """The line as a later version writes it, the checksum included."""
    entry = json.loads(line)
    del entry["sum"]
    return recording_lines.line_of({**entry, "schema": 2})


@pytest.mark.parametrize(
    "later", [newer, lambda _: b'{"schema":12,"all":"new"}\n'], ids=["like ours", "unlike ours"]
)
def test_a_newer_file_is_refused_and_not_touched(path: Path, later: Any) -> None:
    """Whatever comes first, and as often as it is tried."""
    filled(path, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + later(lines[1]))
    before = path.read_bytes()
    store = Recordings(path)
    for _ in range(2):
        with pytest.raises(OptionError, match="line 2 was written by a newer version"):
            store.find(task())
        with pytest.raises(OptionError, match=r"answers\.jsonl"):
            store.add(task(), answer(task()))
    assert path.read_bytes() == before


def test_a_newer_version_that_joins_in_does_not_end_the_run(path: Path) -> None:
    """What was there serves; nothing is added any more."""
    tasks = filled(path, 1)
    store = Recordings(path)
    store.find(tasks[0])
    path.write_bytes(path.read_bytes() + newer(path.read_bytes()))
    before = path.read_bytes()
    fresh = task("fresh")
    assert store.find(fresh) is None
    store.add(fresh, answer(fresh))
    assert texts(store, tasks) == ["answer 0"]
    assert path.read_bytes() == before
    assert len(store.warnings) == 1


# --- a file that cannot be used -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/dev/full", "/dev/zero", ".", "file/below", "nul\0", "x" * 300])
def test_a_path_that_cannot_be_used_is_told_once(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and no path is shown in full."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    store = Recordings(name)
    for _ in range(2):
        assert store.find(task()) is None
        store.add(task(), answer(task()))
    assert len(store.warnings) == 1
    assert str(tmp_path) not in store.warnings[0]


def test_a_full_disk_costs_no_answer(path: Path) -> None:
    """What was there is found, one warning, no further try; the torn line hides nothing."""
    tasks = filled(path)
    store = Recordings(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, before[1]))
    try:
        store.add(task(), answer(task()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    torn = path.read_bytes()
    store.add(task(), answer(task()))
    assert path.read_bytes() == torn
    assert texts(store, [*tasks, task()]) == [*(f"answer {n}" for n in range(4)), None]
    assert len(store.warnings) == 1
    assert "cannot be written" in store.warnings[0]
    after = Recordings(path)
    after.add(task(), answer(task(), "new"))
    assert texts(after, [*tasks, task()]) == [*(f"answer {n}" for n in range(4)), "new"]


@contextmanager
def failing(operation: str, place: int, for_good: bool) -> Iterator[list[int]]:
    """The operation of the system fails the so-maniest time it is asked for, or from then on."""
    owner: Any = recording_file if operation == "open" else os
    name = operation.removeprefix("os.")
    real = open if operation == "open" else getattr(os, name)
    count = [0]

    def broken(*args: Any, **options: Any) -> Any:
        count[0] += 1
        if count[0] == place or (for_good and count[0] > place):
            raise OSError(5, "Input/output error")
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, broken, raising=False)
        yield count


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize(
    "operation", ["open", "os.stat", "os.open", "os.write", "os.lseek", "os.read", "os.fstat"]
)
def test_any_operation_may_fail(tmp_path: Path, operation: str, for_good: bool) -> None:
    """Whichever and whenever: no exception, no wrong answer, old data intact."""
    for place in range(1, 9):
        path = tmp_path / f"{place}.jsonl"
        tasks = filled(path, 2)
        before = path.read_bytes()
        fresh = task("fresh")
        with failing(operation, place, for_good) as count:
            store = Recordings(path)
            found = texts(store, tasks)
            store.add(fresh, answer(fresh, "new"))
            found += texts(store, [fresh])
        right = ["answer 0", "answer 1", "new"]
        assert all(text in (None, right[at]) for at, text in enumerate(found))
        assert count[0] >= place or place > 1
        assert len(store.warnings) <= 1 + (count[0] > place)
        assert bool(store.warnings) is (count[0] >= place)
        assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_only_the_owner_may_read_a_new_file(tmp_path: Path, mask: int) -> None:
    """Nor enter a new folder; a file that is there keeps its rights."""
    path = tmp_path / "new" / "answers.jsonl"
    before = os.umask(mask)
    try:
        filled(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)
        filled(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# --- others at the same file ----------------------------------------------------------------------


def test_stores_follow_each_other(path: Path) -> None:
    """What one adds the other finds, in turns."""
    one, other = Recordings(path), Recordings(path)
    for number in range(4):
        asked = task(str(number))
        one.add(asked, answer(asked, f"text {number}"))
        assert texts(other, [asked]) == [f"text {number}"]
        one, other = other, one
    assert texts(one, [task(str(number)) for number in range(4)]) == [
        f"text {number}" for number in range(4)
    ]


def test_another_may_write_just_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the file's end and the write: both lines are there and are found."""
    first, second, third = filled(path, 3)
    store, other = Recordings(path), Recordings(path)
    store.find(first)
    mine, theirs = task("mine"), task("theirs")
    write = os.write

    def late(file: int, data: Any) -> int:
        monkeypatch.setattr(os, "write", write)
        other.add(theirs, answer(theirs, "their text"))
        return write(file, data)

    monkeypatch.setattr(os, "write", late)
    store.add(mine, answer(mine, "my text"))
    asked = [theirs, mine, first, second, third]
    expected = ["their text", "my text", "answer 0", "answer 1", "answer 2"]
    assert texts(store, asked) == texts(Recordings(path), asked) == expected
    path.write_bytes(path.read_bytes() + b"damage\n")
    store.find(task("new"))
    assert "line 6 is damaged" in store.warnings[0]


def test_a_miss_looks_at_what_the_file_is_now(path: Path) -> None:
    """Shortened in place, or another file of the same size: nothing tells but the file's own data."""
    tasks = filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    store = Recordings(path)
    assert store.find(tasks[2]) is None
    path.write_bytes(lines[2])
    assert texts(store, [tasks[2]]) == ["answer 2"]
    other = path.with_name("other")
    other.write_bytes(lines[3])
    other.replace(path)
    assert texts(store, [tasks[3]]) == ["answer 3"]


def test_a_deleted_or_replaced_file_is_followed(path: Path) -> None:
    """What is gone is not served, what came instead is; writing goes to the file of that name."""
    tasks = filled(path)
    store = Recordings(path)
    assert texts(store, tasks) == ["answer 0", "answer 1", "answer 2", "answer 3"]
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    assert texts(store, tasks) == [None] * 4
    store.add(tasks[1], answer(tasks[1], "again"))
    assert texts(store, tasks) == [None, "again", None, None]
    other = path.with_name("other")
    other.write_bytes(b"".join(lines[2:]))
    other.replace(path)
    assert texts(store, tasks) == [None, None, "answer 2", "answer 3"]
    path.write_bytes(b"".join(reversed(lines)))  # in place, everything elsewhere
    assert texts(store, tasks) == ["answer 0", "answer 1", "answer 2", "answer 3"]
    path.write_bytes(lines[0])
    assert texts(store, tasks) == ["answer 0", None, None, None]
    assert store.warnings == ()


def test_the_folder_may_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file belongs to the folder in which it was named."""
    monkeypatch.chdir(path.parent)
    store = Recordings(path.name)
    (path.parent / "below").mkdir()
    monkeypatch.chdir("below")
    store.add(task(), answer(task()))
    assert path.exists()
    assert store.path == Path(path.name)


def test_a_closed_store_reads_anew(path: Path) -> None:
    """Closing costs nothing but time."""
    tasks = filled(path)
    store = Recordings(path)
    store.find(tasks[0])
    store.close()
    assert texts(store, tasks) == ["answer 0", "answer 1", "answer 2", "answer 3"]


# --- the environment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "path", "mode"),
    [
        (None, None, None),
        ("", None, None),
        (" ", None, None),
        ("OFF", None, None),
        ("off", None, None),
        (" a/b.jsonl ", "a/b.jsonl", "auto"),
        ("replay", None, None),
        ("Refresh", None, None),
        ("replay:a/b.jsonl", "a/b.jsonl", "replay"),
        ("off:a/b.jsonl", None, None),
        ("C:\\a.jsonl", "C:\\a.jsonl", "auto"),
        ("replay:", "replay:", "auto"),
    ],
)
def test_the_environment_names_the_file(
    value: str | None, path: str | None, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the mode, or says that there is none; a mode alone names no file."""
    if value is not None:
        monkeypatch.setenv("PARALLM_RECORDINGS", value)
    found = from_environment()
    assert (found and str(found.path)) == path
    assert (found and found.mode) == mode


@pytest.mark.parametrize(
    ("value", "wanted", "holds"),
    [
        (None, "auto", "auto"),
        ("a.jsonl", "refresh", "refresh"),
        ("replay", "refresh", "replay"),
        ("REPLAY", "auto", "replay"),
        ("off", "auto", "off"),
        ("auto", "replay", "auto"),
    ],
)
def test_the_environments_mode_wins(
    value: str | None, wanted: Any, holds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CI says holds, whatever a notebook wants."""
    if value is not None:
        monkeypatch.setenv("PARALLM_RECORDINGS", value)
    assert forced(wanted) == holds
    assert offline() == (holds == "replay")


def test_a_file_that_is_far_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a page each look and each read takes a moment: one serves all calls, and a second later there is another."""
    tasks, now, read = filled(path), [0.0], []
    monkeypatch.setattr(recording_file.RecordingFile, "far", True)
    monkeypatch.setattr(recording_file.time, "monotonic", lambda: now[0])
    bytes_of = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read.append(file) or bytes_of(file))
    store, late = Recordings(path), task("late")
    assert texts(store, tasks) == ["answer 0", "answer 1", "answer 2", "answer 3"]
    Recordings(path).add(late, answer(late))
    assert texts(store, [*tasks, late])[-1] is None
    assert read == [path]
    now[0] += 1
    assert texts(store, [late, *tasks]) == ["safe", "answer 0", "answer 1", "answer 2", "answer 3"]
    own = task("own")
    store.add(own, answer(own))
    assert texts(store, [own]) == ["safe"]
