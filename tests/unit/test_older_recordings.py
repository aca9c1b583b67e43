"""A file that an earlier version has written serves what it says, every kind of outcome alike."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from paths import DATA

from parallm_magics.core.tasks import Attempt, Fault, Model, Reading, Record, Task, Usage
from parallm_magics.recordings.store import Recordings

FILE = DATA / "recorded-outcomes.jsonl"
REAL = Model("openai", "gpt-6-luna")
SIMULATED = Model("sim", "teacher", (("accuracy", "0.9"),))
TRIED: dict[str, Any] = {"attempts": (Attempt("server", 1.0),), "seconds": 1.0}
ANSWERED: dict[str, Any] = {"attempts": (Attempt("ok", 1.0),), "seconds": 1.0}
OUTCOMES: dict[str, dict[str, Any]] = {
    "bare": {"status": "ok", "text": "safe", **ANSWERED},
    "truncated": {
        "status": "truncated",
        "text": "half of",
        "finish": "length",
        "error": Fault("length", "cut off at max_tokens"),
        **TRIED,
    },
    "refused": {
        "status": "refused",
        "text": "I cannot",
        "finish": "refusal",
        "error": Fault("refusal", "the model declined"),
        **TRIED,
    },
    "invalid": {
        "status": "invalid",
        "error": Fault("empty", "the answer holds no text"),
        **TRIED,
    },
    # The answer came: how it is read may have changed since.
    "unreadable": {"status": "ok", "text": "maybe", **TRIED},
    "failed": {
        "status": "failed",
        "text": "half",
        "error": Fault("server", "overloaded", http=529),
        **TRIED,
    },
    "timed_out": {
        "status": "timed_out",
        "error": Fault("timeout", "nothing for 15 s"),
        **TRIED,
    },
    "cancelled": {
        "status": "cancelled",
        "text": "begun",
        "error": Fault("cancelled", "decided"),
        "seconds": 0.3,
    },
    "blocked": {
        "status": "blocked",
        "error": Fault("blocked", "withheld: the guardrail"),
        **TRIED,
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of the file."""
    return Path(shutil.copy(FILE, tmp_path / "answers.jsonl"))


def asked(name: str, **fields: Any) -> Task:
    """The request of that line."""
    return Task(0, name, fields.pop("model", REAL), f"outcome {name}", **fields)


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_outcome_is_served(path: Path, name: str) -> None:
    """As it ended then."""
    store = Recordings(path, "replay")
    expected = Record(0, name, model=str(REAL), replayed=True, **OUTCOMES[name])
    assert store.find(asked(name)) == expected
    assert store.warnings == ()


def test_every_field_comes_back(path: Path) -> None:
    """Tokens, money, times, tries and texts in any script."""
    task = asked("full", system="Kurz.", temperature=0.5, params={"top_p": 1})
    assert Recordings(path, "replay").find(task) == Record(
        0,
        "full",
        "ok",
        str(REAL),
        "Ä safe \u202e \ud83d\ude00",
        usage=Usage(10, 2, 3, 4),
        cost=Decimal("0.0000125"),
        saved=Decimal("-0.000001"),
        start=0.5,
        queued=0.25,
        seconds=1.5,
        attempts=(Attempt("rate_limit", 0.5), Attempt("ok", 1.0)),
        model_answered="gpt-6-luna-2026",
        finish="stop",
        request_id="req_1",
        address="gateway.example:8000",
        adapted="stream_options is not taken: left out",
        thinking="Hm, grüße 日本\u2028.",
        thinking_tokens=3,
        replayed=True,
        temperature=0.5,
        system="Kurz.",
    )


def test_samples_and_retries_are_told_apart(path: Path) -> None:
    """And a simulated answer is found by all that it depends on."""
    store = Recordings(path, "replay")
    samples = [store.find(asked("sampled", sample=number)) for number in range(3)]
    assert [found and found.text for found in samples] == ["first", "second", None]
    tries = [store.find(asked("again"), further) for further in range(3)]
    assert [found and (found.status, found.text) for found in tries] == [
        ("failed", ""),
        ("ok", "at last"),
        ("ok", "at last"),
    ]
    task = asked("simulated", model=SIMULATED, reading=Reading("choice", ("safe", "unsafe")))
    found = store.find(task)
    assert found is not None
    assert (found.text, found.simulated) == ("unsafe", True)


def test_the_file_goes_on(path: Path) -> None:
    """Only successes are taken where the rest may be asked, and what is added is found."""
    store = Recordings(path)
    assert store.find(asked("failed")) is None
    store.add(asked("failed"), Record(0, "failed", "ok", str(REAL), "well", **ANSWERED))
    for each in (store, Recordings(path)):
        found = each.find(asked("failed"))
        assert found is not None
        assert found.text == "well"
    assert store.prune()[:2] == (1, 15)
